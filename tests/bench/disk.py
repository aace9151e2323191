# SPDX-License-Identifier: MIT
"""The disk part of `make bench`: fio in the whole Debian, through blkback, against the same Debian (kernel, ramdisk, root) on
the same QEMU disk without a hypervisor. Both machines run at once and take turns, so that a pause of the host meets both.
And what a crash of blk0 costs: the longest single reads of a guest that reads on at depth 1. And what is left of a
neighbour's rate beside a hostile front-end.
"""
import os
import re
import statistics
import subprocess

from tools import mkgpt
from tests.lib.machine import DEBIAN_DISK, LOGS, OLD_CPU, QEMU, TEST_ISO, Machine, check
from tests.lib.wait import pause
from tests.lib.guest import SHELL, login, sh
from tests.lib.neighbour import DISKS, PARTS, Neighbour

ROOT_OFFSET = 1 << 20  # of the root partition, as tools/guest/mkdisk.sh makes it
ROUNDS = int(os.environ.get("DISK_ROUNDS", "3"))
SECONDS = int(os.environ.get("DISK_SECONDS", "5"))
CRASHES = int(os.environ.get("DISK_CRASHES", "50"))
JOBS = [("4 KiB random read, depth 1", "randread", "4k", 1), ("4 KiB random read, depth 32", "randread", "4k", 32),
        ("128 KiB sequential read", "read", "128k", 8), ("128 KiB sequential write", "write", "128k", 8)]


def dump(path, out):
    """One file of the disk's root file system."""
    subprocess.run(["debugfs", "-R", f"dump {path} {out}", f"{DEBIAN_DISK}?offset={ROOT_OFFSET}"], check=True,
                   capture_output=True, timeout=60)
    check(out.stat().st_size > 0, f"{path} is not on {DEBIAN_DISK}")


def boot_files():
    listing = subprocess.run(["debugfs", "-R", "ls -p /boot", f"{DEBIAN_DISK}?offset={ROOT_OFFSET}"], check=True,
                             capture_output=True, text=True, timeout=60).stdout
    kernel = next(x for x in re.findall(r"/(vmlinuz-[^/]+)/", listing) if "cloud" not in x)
    files = LOGS / "bare-vmlinuz", LOGS / "bare-initrd"
    dump(f"/boot/{kernel}", files[0])
    dump(f"/boot/{kernel.replace('vmlinuz', 'initrd.img')}", files[1])
    return files


def bare_command(serial, disk, cpus=2, more=(), words=""):
    """A Debian of its own on QEMU's disk. more: devices; words: of the kernel."""
    kernel, initrd = boot_files()
    return [QEMU, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", OLD_CPU, "-smp", str(cpus),
            "-m", "512", "-nodefaults", "-display", "none", "-no-reboot", *serial,
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", f"root=LABEL=root ro console=ttyS0 quiet {words}",
            "-drive", f"if=none,id=d0,file={disk},format=raw,cache=writeback",
            "-device", "nvme,drive=d0,serial=bh0,addr=5", *more]


class Bare(Machine):
    """The same Debian, with nothing between it and QEMU's disk; it need not share its devices, so it has no IOMMU."""
    def command(self, serial):
        return bare_command(serial, self.kw["disk"])


def fio(m, dev, rw, bs, depth):
    """(operations, KiB) a second."""
    out = sh(m, f"fio --name=b --filename={dev} --size=200m --rw={rw} --bs={bs} --iodepth={depth} --ioengine=libaio "
                f"--direct=1 --time_based --runtime={SECONDS} --minimal | cut -d';' -f5,7,8,48,49")
    error, rbw, riops, wbw, wiops = (int(x) for x in re.search(r"(\d+;\d+;\d+;\d+;\d+)", out).group(1).split(";"))
    check(not error, f"fio {rw}: error {error}")
    return riops + wiops, rbw + wbw


def spread(values):
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def compare(say, bare, guest):
    """Gives (job, ratio with its spread) for each."""
    ratios = []
    sh(bare, "dd if=/dev/zero of=/dev/nvme0n1p2 bs=1M count=200 oflag=direct status=none")  # no holes to be filled later
    sh(guest, "dd if=/dev/zero of=/dev/xvdb bs=1M count=200 oflag=direct status=none")
    for name, rw, bs, depth in JOBS:
        runs = [], []
        for _ in range(ROUNDS):
            runs[0].append(fio(bare, "/dev/nvme0n1p2", rw, bs, depth))
            runs[1].append(fio(guest, "/dev/xvdb", rw, bs, depth))
        unit, col = ("IOPS", 0) if bs == "4k" else ("KiB/s", 1)
        a, b = ([x[col] for x in r] for r in runs)
        each = [y / x for x, y in zip(a, b)]
        ratios.append((name, (statistics.median(each), min(each), max(each))))
        say(f"{name}: {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f}) of the bare machine; {unit} {spread(b)} through "
            f"blkback, {spread(a)} bare")
    return ratios


def longest_reads(m, most):
    """The `most` longest reads in ms, longest first."""
    sh(m, "kill -INT %1; wait; true")
    out = sh(m, f"cut -d, -f2 /dev/shm/l_clat.1.log | sort -rn | head -n {most}")
    return [int(x) / 1e6 for x in re.findall(r"^\s*(\d+)\s*$", out, re.M)]


def read_on(m):
    m.send("rm -f /dev/shm/l_*; fio --name=b --filename=/dev/xvdb --size=200m --rw=randread --bs=4k --ioengine=libaio --direct=1 "
           "--time_based --runtime=3600 --write_lat_log=/dev/shm/l > /dev/null 2>&1 &\r")
    m.expect(SHELL, 30)


def undisturbed(say, m):
    read_on(m)
    pause(10)
    say("longest reads without a crash in 10 s (ms): " + ", ".join(f"{x:.1f}" for x in longest_reads(m, 5)))


def outage(m, how, count):
    read_on(m)
    pause(5)  # fio has begun, on a busy machine too
    m.leave()
    parts = []
    for _ in range(count):
        m.send(f"crash --{how} blk0\r")
        got = m.expect(r"blk0: crashed[^\n]*restarted in ([\d.]+) ms \(([^)]*)\)", 60)
        part = {k: float(v) for k, v in re.findall(r"(\w+) ([\d.]+)", got.group(2))}
        part["total"] = float(got.group(1))
        parts.append(part)
        m.prompt()
        pause(0.4)
    m.console("debian-disk", SHELL)
    return longest_reads(m, count), parts


def neighbour(say):
    with Machine("bench-hostile", iso=TEST_ISO, cpu=OLD_CPU, disk=mkgpt.make(LOGS / "bench-hostile.img", PARTS)) as m:
        m.boot()
        n = Neighbour(m)
        alone, beside, each = [], [], []
        for _ in range(ROUNDS):
            alone.append(n.rate(SECONDS))
            out = m.cmd(f"create blkhostile extra=loop {DISKS}", 60)
            check("created as domain" in out, f"create: {out}")
            beside.append(n.rate(SECONDS))
            each.append(beside[-1] / alone[-1])
            m.cmd("destroy blkhostile", 60)
        n.ends()
        say(f"a neighbour's disk beside a hostile front-end: {statistics.median(each):.2f} ({min(each):.2f} to "
            f"{max(each):.2f}) of its rate alone; requests/s {spread(beside)} beside, {spread(alone)} alone")


def copy(name):
    LOGS.mkdir(parents=True, exist_ok=True)
    out = LOGS / name
    subprocess.run(["cp", "--sparse=always", str(DEBIAN_DISK), str(out)], check=True, timeout=300)
    return out


def measure(say, report, between):
    """Prints by `say`; `report(what, lost, parts)` prints an outage; `between` is called where no machine runs. Gives compare's ratios."""
    disks = copy("bench-bare.img"), copy("bench-guest.img")
    try:
        with Bare("bench-bare", disk=disks[0]) as bare, Machine("bench-disk", cpu=OLD_CPU, disk=disks[1]) as m:
            m.boot()
            m.cmd("destroy debian")
            out = m.cmd("create debian-disk disk=['phy:blk0:root,xvda,w','phy:blk0:data1,xvdb,w']", 90)
            check("created as domain" in out, f"create: {out}")
            m.send("console debian-disk\r")
            login(bare)
            login(m)
            ratios = compare(say, bare, m)
            bare.stop()
            undisturbed(say, m)
            report("crash of blk0", *outage(m, "inject", CRASHES))
            report("hang of blk0", *outage(m, "hang", 1))
            check(sh(m, "dmesg | grep -c -e 'I/O error' -e 'blkfront.*broken' || true").strip() == "0", "errors in the log")
    finally:
        for disk in disks:
            disk.unlink(missing_ok=True)
    between()
    neighbour(say)
    return ratios
