# SPDX-License-Identifier: MIT
"""One QEMU machine under test, driven over its serial line. Every wait is bounded; a failure shows the last lines.
QEMU in the environment chooses the emulator."""
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pexpect
import pexpect.fdpexpect

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BH_BUILD", ROOT / "build")).resolve()
LOGS = BUILD / "test-logs"
TEST_ISO, TEST_BUNDLE = BUILD / "test.iso", BUILD / "test-bundle.itb"  # what is shipped, and the domains of tests/domains
DEBIAN_DISK = BUILD / "guest/debian-disk.img"  # what tools/guest/mkdisk.sh makes
CMDLINE = "console=com1 com1=115200,8n1 noreboot pciback.hide=(00:03.0)(00:05.0)"
PROMPT = r"\nbh> "
QEMU = os.environ.get("QEMU") or "qemu-system-x86_64"
# All that the emulator can do, under the name of a CPU that real hosts have (EPYC 7003). "max" alone calls itself family 15, for which
# Linux looks for an AGP aperture on 256 buses: 33,000 exits of a guest's boot.
CPU = "max,-smap,family=25,model=1,stepping=1"
OLD_CPU = "max,-smap"  # of the figures in docs/measurements.md, which compare only under one model: Linux mitigates by family
# Software emulation on a shared machine: bounds are for hangs, not for speed.
BOOT = 120
PATIENCE = 4  # a busy machine takes so many times the seconds of a quiet one


class Failed(Exception):
    pass


class Skipped(Exception):
    """This machine cannot run the test; the text says why."""


@functools.cache
def amd_iommu(qemu=QEMU):
    """The unit as this emulator must be asked for it, so that it translates DMA: from 9.2 on pt=on (its default) translates none,
    from 11 on dma-remap=off (its default)."""
    text = subprocess.run([qemu, "-device", "amd-iommu,help"], capture_output=True, text=True, check=True, timeout=30).stdout
    has = set(re.findall(r"^\s*([\w-]+)=", text, re.MULTILINE))
    wanted = {"intremap": "on", "pt": "off", "dma-remap": "on"}
    return ",".join(["amd-iommu"] + [f"{name}={value}" for name, value in wanted.items() if name in has])


def has_device(name):
    """Whether this emulator has such a device: an 82576 since 8.0. Its status is 0 in any case."""
    return f"{name} options:" in subprocess.run([QEMU, "-device", f"{name},help"], capture_output=True, text=True, check=False, timeout=30).stdout


def qemu_command(iso, serial, cpus=3, mem=2048, uefi=False, cpu=CPU, iommu=True, nics=True, qemu_log=None,
                 www=None, disk=None, wire=None, netdev=None, nic="virtio", extra=()):
    """The machine of the README: q35, SVM in software, an emulated IOMMU (or its `-device` in words), two NICs on QEMU's user
    network, or the first one on a network of tools/net or on a netdev (in words, without its id), and of that kind."""
    cmd = [QEMU, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", cpu, "-smp", str(cpus),
           "-m", str(mem), "-nodefaults", "-display", "none", "-no-reboot"]
    if iommu:
        cmd += ["-device", iommu if isinstance(iommu, str) else amd_iommu()]
    cmd += serial
    if uefi:
        cmd += ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd"]
    cmd += ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={iso}", "-device", "ide-cd,drive=cd,bootindex=0"]
    if nics:
        kinds = {"virtio": f"virtio-net-pci,disable-legacy=on,iommu_platform={'on' if iommu else 'off'}", "e1000e": "e1000e", "igb": "igb"}
        if nic == "igb" and not has_device(nic):
            raise Skipped("this emulator has no 82576")
        fwd = f",guestfwd=tcp:10.0.2.100:80-cmd:busybox httpd -i -h {www}" if www else ""
        netdev = netdev or ("tap,ifname=tap0,script=no,downscript=no,vhost=off" if wire else f"user{fwd}")
        cmd += ["-netdev", f"{netdev},id=n0",
                "-device", f"{kinds[nic]},id=nic0,netdev=n0,addr=3,romfile=,mac=52:54:00:12:34:56",
                "-netdev", "user,id=n1",
                "-device", f"{kinds['virtio']},netdev=n1,addr=4,romfile=,mac=52:54:00:12:34:57"]
    if disk:
        cmd += ["-drive", f"if=none,id=d0,file={disk},format=raw,cache=writeback",
                "-device", "nvme,drive=d0,serial=bh0,addr=5"]
    if qemu_log:
        cmd += ["-d", "guest_errors", "-D", str(qemu_log)]
    if wire:
        cmd[:0] = [str(ROOT / "tools/net"), "wire", wire]
    return cmd + list(extra)


def make_iso(name, cmdline=CMDLINE, control=None, bundle=None, multiboot=2):
    """A variant of the ISO with its own command line, control domain or bundle ("none" leaves the module out)."""
    out = LOGS / f"{name}.iso"
    LOGS.mkdir(parents=True, exist_ok=True)
    control = control or BUILD / "control.elf"
    bundle = bundle or BUILD / "bundle.itb"
    subprocess.run([str(ROOT / "tools/mkiso.sh"), str(out), cmdline, str(control), str(bundle)], check=True,
                   env={**os.environ, "CORE": str(BUILD / "bulkhead.elf"), "MULTIBOOT": str(multiboot)},
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
    return out


def make_www():
    """A directory with a 10 MB file that does not compress, and its checksum."""
    www = BUILD / "www"
    www.mkdir(parents=True, exist_ok=True)
    big = www / "10mb.bin"
    if not big.exists():
        with tempfile.NamedTemporaryFile(dir=www, delete=False) as f:  # another test may do the same
            f.write(os.urandom(10_000_000))
        os.chmod(f.name, 0o644)
        try:
            os.link(f.name, big)
        except FileExistsError:
            pass
        os.unlink(f.name)
    digest = subprocess.run(["sha256sum", str(big)], capture_output=True, text=True, check=True).stdout.split()[0]
    return www, digest


class Machine:
    def __init__(self, name, iso=None, **kw):
        self.name = name
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bh-"))
        LOGS.mkdir(parents=True, exist_ok=True)
        self.iso = iso or BUILD / "bulkhead.iso"
        self.kw = kw
        self.proc = None
        self.sp = None
        self.marks = 0  # of commands

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, e, trace):
        if e and not isinstance(e, Skipped) and "  --- " not in str(e):
            e.add_note(self.tail())
        self.stop()

    def command(self, serial):
        return qemu_command(self.iso, serial, qemu_log=self.qemu_log, **self.kw)

    def start(self):
        path = self.dir / "serial"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(30)
        serial = ["-chardev", f"socket,id=ser,path={path}", "-serial", "chardev:ser",
                  "-monitor", f"unix:{self.dir / 'monitor'},server=on,wait=off"]
        self.qemu_log = LOGS / f"{self.name}.qemu.log"
        self.log = open(LOGS / f"{self.name}.serial.log", "w", encoding="utf-8", errors="replace")
        self.proc = subprocess.Popen(self.command(serial), stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                                     stdout=open(LOGS / f"{self.name}.out.log", "w"))
        self.sock, _ = listener.accept()
        listener.close()
        # A socket holds few single bytes: what nobody reads at once would stop the machine's UART. A pipe packs them.
        self.pipe, sink = os.pipe()
        threading.Thread(target=self.pump, args=(self.sock, sink), daemon=True).start()
        self.sp = pexpect.fdpexpect.fdspawn(self.pipe, timeout=30, encoding="utf-8", codec_errors="replace",
                                            maxread=65536)
        self.sp.logfile_read = self.log
        self.sp.delaybeforesend = None

    @staticmethod
    def pump(sock, sink):
        try:
            while data := sock.recv(65536):
                os.write(sink, data)
        except OSError:
            pass
        os.close(sink)

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
            self.proc = None
        if self.sp:
            self.sock.close()
            os.close(self.pipe)
            self.sp = None
        self.clean()

    def clean(self):
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def expect(self, pattern, timeout=30):
        """Waits for a regular expression (or the first of a list) and returns the match. The seconds are those of a quiet machine: a wait is
        bounded so that what stands still is told, so a busy one gets PATIENCE times as many."""
        try:
            self.sp.expect(pattern, timeout=timeout * PATIENCE)
        except (pexpect.TIMEOUT, pexpect.EOF) as e:
            what = "time-out" if isinstance(e, pexpect.TIMEOUT) else "the machine ended"
            raise Failed(f"{what} waiting for {pattern!r}\n{self.tail()}") from None
        return self.sp.match

    def tail(self, lines=40):
        """What was said last; of the most telling one at the end."""
        self.log.flush()
        out = []
        for f, n in (LOGS / f"{self.name}.out.log", 10), (self.qemu_log, 10), (LOGS / f"{self.name}.serial.log", lines):
            if f.exists():
                text = f.read_text(errors="replace").splitlines()[-n:]
                out += [f"  --- {f.name}"] + ["  | " + ANSI.sub("", x) for x in text]
        return "\n".join(out)

    def monitor(self, line):
        """One command to the emulator; what it says."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(30 * PATIENCE)
            s.connect(str(self.dir / "monitor"))
            said = b""
            for prompts in 1, 2:
                while said.count(b"(qemu) ") < prompts:
                    got = s.recv(4096)
                    check(got, f"the monitor went away: {said}")
                    said += got
                if prompts == 1:
                    s.sendall(line.encode() + b"\n")
            return said.decode(errors="replace").rsplit("(qemu) ", 2)[1]

    def send(self, text):
        self.sock.sendall(text.encode())

    def prompt(self, timeout=30):
        self.expect(PROMPT, timeout)

    def boot(self, timeout=BOOT):
        self.prompt(timeout)

    def ends(self, timeout=30):
        """By itself, and QEMU with it."""
        self.proc.wait(timeout * PATIENCE)

    def cmd(self, line, timeout=30):
        """One shell command; returns what it printed itself. Lines that came from elsewhere meanwhile follow the prompt that this waits for."""
        self.marks += 1
        mark = f"@{self.marks}"
        self.send(f"{mark} {line}\r")
        self.expect(rf"\n{mark} begin\r?\n", timeout)
        self.expect(rf"{mark} end\r?\nbh> ", timeout)
        text = ANSI.sub("", self.sp.before).replace("\r", "")
        return "\n" + text.removesuffix("\n")

    def free_mib(self):
        return int(re.search(r"free_memory\s*:\s*(\d+)", self.cmd("info")).group(1))

    def memory_is_back(self, before):
        """A page or two of the core's own may tip a figure in MiB."""
        return abs(self.free_mib() - before) <= 1

    # --- the guest's console -----------------------------------------------------------------------------------
    def console(self, name, prompt=r"guest# ", seconds=60):
        """Attaches to a guest whose shell waits, or will within so many seconds. What the console shows again of earlier commands is
        passed over."""
        self.send(f"console {name}\r\r")
        self.expect(prompt, seconds)
        mark = f"here{time.monotonic_ns() % 1000000}"
        self.send(f"echo {mark[:4]}''{mark[4:]}\r")
        self.expect(rf"{mark}\s", 60)
        self.expect(prompt, 60)

    def leave(self):
        """Back to the shell. It ends what the guest did to the terminal first (DECSTR last): an older prompt is none."""
        self.send("\x1d")
        self.expect(r"\x1b\[!p", 30)
        text = self.sp.before
        self.prompt()
        self.sp.before = text  # what the console showed

    def guest(self, line, timeout=60):
        """One command in the guest's shell (its console is attached); returns its output and status."""
        n = time.monotonic_ns() % 1000000
        # One line: of what is typed ahead the guest's terminal may echo a part into the output.
        then = " " if line.endswith("&") else "; "
        self.send(f"echo beg''in{n}; {line}{then}echo en''d{n}=$?\r")
        self.expect(rf"begin{n}\r?\n", timeout)
        m = self.expect(rf"end{n}=(\d+)", timeout)
        text, status = self.sp.before.replace("\r", ""), int(m.group(1))
        self.expect(r"guest# ", 20)
        return text, status


class Boot:
    """A machine that several tests use, one after another (tests/conftest.py). One that fails ends it, and the next has a machine of its own:
    no failure follows from another. A function among the arguments is called for each machine: it makes the disk anew."""
    def __init__(self, name, **kw):
        self.name, self.kw = name, kw
        self.machine, self.boots = None, 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end()

    def booted(self):
        if not self.machine:
            self.boots += 1
            kw = {k: v() if callable(v) else v for k, v in self.kw.items()}
            self.machine = Machine(self.name + (f"-{self.boots}" if self.boots > 1 else ""), **kw)
            self.machine.start()
            self.machine.boot()
        return self.machine

    def end(self):
        if self.machine:
            self.machine.stop()
        self.machine = None


def check(cond, what):
    if not cond:
        raise Failed(what)
