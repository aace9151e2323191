#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# NEEDS: disk
"""A disk that is handed over, with blk0 crashed between any two steps: from GRUB to Linux, from Linux to the next kernel
(kexec), from Linux to itself (unbind and bind). Whoever has it at the end has a working disk with what was written. ROUNDS in
the environment: how often it is unbound; BURSTS: how many boots and kernels see deaths at a time of their own, 3 at most."""
import hashlib
import os
import re
import time

from tests.lib import handdisk
from tools import mkgpt
import pexpect
from tests.lib.crash import crash
from tests.lib.machine import LOGS, Failed, Machine, check
from tests.lib.wait import pause, shows, until

NAME = "hand"
ROUNDS = int(os.environ.get("ROUNDS", "8"))  # each combination of how it is let go and taken away
BURSTS = int(os.environ.get("BURSTS", "1"))
BAD = r"'I/O error|EXT4-fs error|blkfront.*(broken|error)|imeout connecting|BUG|WARNING: CPU|hung_task'"


# --- the shell of the control domain ---------------------------------------------------------------------------------
def disks(n):
    vols = ["boot", "data1", "data2", "data3"][:n]
    return ",".join(f"'phy:blk0:{v},xvd{'abcd'[i]},w'" for i, v in enumerate(vols))


def states(m):
    """The front-ends' states, or None while the domain is being made again."""
    out = m.cmd(f"block-list {NAME}")
    return tuple(int(x) for x in re.findall(r"^\d+ +\d+ +\d+ +(-?\d+) +", out, re.M)) or None


def blk0_dies(m, how="--inject", then=0):
    """And is back when this returns."""
    crash(m, "blk0", how=how, then=then)
    m.crashes += 1


def burst(m):
    """Three deaths in a row, the second and third before the instance has served for long; then time to have served."""
    for _ in range(3):
        blk0_dies(m)
    pause(0.15)


def wait_states(m, want):
    return until(lambda: states(m), lambda s: s and want(s), "the front-ends' states stay", 60, 0)


def free_memory(m):
    out = m.cmd("info")
    return int(re.search(r"free_memory +: (\d+)", out).group(1))


def users(m, name, want):
    """volumes shows who has it."""
    shows(m, "volumes", rf"^blk0:{name} +\d+ MiB +{want}$")


# --- the guest ---------------------------------------------------------------------------------------------------------
def in_guest(m, line, timeout=60):
    out, status = m.guest(line, timeout)
    check(status == 0, f"{line!r} ended with {status}: {out[-600:]}")
    return out


def to_shell(m):
    """Attaches to the guest, which comes up or is up, and waits until its shell answers."""
    m.send(f"console {NAME}\r")
    for _ in range(60):
        mark = f"{time.monotonic_ns() % 1000000}"
        m.send(f"\recho u''p{mark}\r")
        try:
            m.sp.expect(f"up{mark}", timeout=2)
            break
        except pexpect.TIMEOUT:
            continue
    else:
        raise Failed(f"the guest comes to no shell\n{m.tail()}")
    m.expect(r"guest# ", 20)
    in_guest(m, "true")


def content(n, letter):
    return (f"hand-over {n} of disk {letter}\n" * 20000)[:256 << 10].encode()


def write_all(m, n, letters):
    """Returns when it is on the disk."""
    in_guest(m, f"for x in {' '.join(letters)}; do yes \"hand-over {n} of disk $x\" | head -c 262144 | "
                "dd of=/dev/xvd$x bs=64k iflag=fullblock conv=fsync 2>/dev/null || break; done")


def check_all(m, n, letters):
    """What was written as number n is there, read from the disk."""
    out = in_guest(m, f"echo 3 > /proc/sys/vm/drop_caches; for x in {' '.join(letters)}; do "
                      "dd if=/dev/xvd$x bs=64k count=4 2>/dev/null | sha256sum; done")
    want = [hashlib.sha256(content(n, x)).hexdigest() for x in letters]
    check(re.findall(r"[0-9a-f]{64}", out) == want, f"the disks {letters} are not as written in round {n}: {out}")


def check_log(m):
    out, _ = m.guest(f"dmesg | grep -E {BAD}")
    bad = [x for x in out.split("\n") if re.match(r"\[ *\d+\.\d+\]", x)]
    check(not bad, f"in the guest's log: {bad}")


def check_guest(m, n, letters):
    """A disk that works: what the kernel before wrote is there, more can be written; the log has no bad line."""
    check_log(m)
    if n:
        check_all(m, n - 1, letters)
    write_all(m, n, letters)
    check_all(m, n, letters)
    out = in_guest(m, f"mount /dev/xvda /mnt && cat /mnt/marks 2>/dev/null; echo mark{n} >> /mnt/marks && umount /mnt")
    check(re.findall(r"^mark(\d+)", out, re.M) == [str(i) for i in range(n)], f"marks in round {n}: {out}")
    in_guest(m, "ping -c 2 -i 0.2 -W 2 10.0.2.2")


def make_guest(m, ndisks):
    out = m.cmd(f"create debian-disk name={NAME} memory=192 disk=[{disks(ndisks)}]", 90)
    check("created as domain" in out, f"create: {out}")


def grub(m):
    m.send(f"console {NAME}\r\r")
    m.expect(r"nothing but this", 60)
    m.send("c")
    m.expect(r"grub> ", 30)


def grub_load(m):
    m.send(handdisk.LINUX + "\r")
    m.expect(r"grub> ", 60)
    m.send("initrd /ramdisk\r")
    m.expect(r"grub> ", 60)


def reboot(m):
    m.send("reboot -f\r")
    m.expect(rf"{NAME}: started again as domain \d+", 90)
    m.prompt()


# --- GRUB to Linux -------------------------------------------------------------------------------------------------------
def hop(m, seen):
    """The guest stands still while blk0 dies, at each state of the front-ends that is seen for the first time."""
    s = states(m)
    if s and s not in seen:
        m.cmd(f"pause {NAME}")
        seen.append(states(m))
        blk0_dies(m, then=0.15)
        m.cmd(f"unpause {NAME}")
    return s


def boot_by_steps(m):
    """One boot, blk0 crashed at each step that can be told from the others."""
    for _ in range(4):
        blk0_dies(m, then=0.15) # GRUB starts and probes
    grub(m)
    m.leave()
    blk0_dies(m) # at its prompt, all disks open
    m.send(f"console {NAME}\r")
    m.send(handdisk.LINUX + "\rinitrd /ramdisk\r")
    m.leave()
    for _ in range(4):
        blk0_dies(m, then=0.15) # it loads
    m.send(f"console {NAME}\r\r")
    m.expect(r"grub> \r*\n*.*grub> ", 60)
    m.leave()
    blk0_dies(m) # all is loaded
    m.send(f"console {NAME}\rboot\r")
    m.leave()
    seen, end = [], time.monotonic() + 90
    while not (hop(m, seen) == (4,) * 4 and (1,) * 4 in seen):
        if time.monotonic() >= end: # a vCPU that runs without an end is the emulator's, one that waits is ours
            check(False, f"Linux does not connect: {seen}\n{m.cmd('list')}\n{m.cmd('list')}\n{m.tail()}")
    blk0_dies(m) # just connected
    print(f"  states: {' '.join(''.join(str(x) for x in s) for s in seen)}", flush=True)


def boot_by_holding(m):
    """blk0 stands still when GRUB closes and when Linux connects, and dies there."""
    grub(m)
    grub_load(m)
    m.leave()
    m.cmd("pause blk0")
    m.send(f"console {NAME}\rboot\r")
    m.leave()
    s = [wait_states(m, lambda s: 6 in s)] # it waits for the back-end to close
    blk0_dies(m, "", then=0.15)
    s.append(wait_states(m, lambda s: s == (1,) * 4))
    m.cmd("pause blk0")
    s.append(wait_states(m, lambda s: 3 in s)) # it waits for the back-end to connect
    blk0_dies(m, "")
    s.append(wait_states(m, lambda s: s == (4,) * 4))
    print(f"  states: {' '.join(''.join(str(x) for x in t) for t in s)}", flush=True)


def boot_by_time(m, delay):
    """A burst some time after GRUB's `boot`, another when Linux connects."""
    grub(m)
    grub_load(m)
    m.send("boot\r")
    m.leave()
    pause(delay)
    burst(m)
    wait_states(m, lambda s: max(s) > 1)
    burst(m)
    wait_states(m, lambda s: s == (4,) * 4)


def test_handover_grub():
    image = handdisk.make(LOGS / "handover-grub.img")
    with Machine("handover-grub", disk=image) as m:
        m.crashes = 0
        m.boot()
        m.cmd("destroy debian")
        before = free_memory(m)
        make_guest(m, 4)
        boots = [boot_by_steps, boot_by_holding] + [lambda m, d=d: boot_by_time(m, d) for d in (0.02, 0, 0.1)[:BURSTS]]
        for n, boot in enumerate(boots):
            boot(m)
            to_shell(m)
            check_guest(m, n, "bcd")
            if n + 1 < len(boots):
                reboot(m)
        m.leave()
        finish(m, before)
        print(f"  {len(boots)} boots, {m.crashes} crashes of blk0", flush=True)
    check(handdisk.fsck(image), "the file system is not clean")
    image.unlink()


def finish(m, before):
    """Nothing is left of the guest, and all crashes were ours."""
    users(m, "data1", f"{NAME}:w")
    m.cmd(f"destroy {NAME}")
    users(m, "data1", "-")
    restarts = int(re.search(r"^blk0 .* (\d+)\s*$", m.cmd("list"), re.M).group(1))
    check(restarts == m.crashes, f"{m.crashes} crashes, {restarts} restarts")
    after = free_memory(m)
    check(after >= before - 1, f"{before} MiB were free before the guest, {after} MiB are after it")


# --- kexec ---------------------------------------------------------------------------------------------------------------
def kexec(m, delay):
    """The next kernel, and a burst some time after; its prompt is awaited."""
    m.send("kexec -e\r")
    m.leave()
    pause(delay)
    burst(m)


def kexec_under_load(m):
    in_guest(m, "diskcheck /dev/xvdc 600 8 > /dev/null 2>&1 & sleep 0.5")
    kexec(m, 0.1)


def kexec_without_closing(m):
    """The back-end stands still: no front-end can close, its requests are in the ring. They end with the old kernel."""
    in_guest(m, "diskcheck /dev/xvdc 600 8 > /dev/null 2>&1 & sleep 0.5")
    m.leave()
    m.cmd("pause blk0")
    m.send(f"console {NAME}\rkexec -e\r")
    m.leave()
    m.expect(rf"{NAME}: soft reset, its next kernel starts", 90)
    blk0_dies(m, "")


def test_handover_kexec():
    image = handdisk.make(LOGS / "handover-kexec.img")
    with Machine("handover-kexec", disk=image) as m:
        m.crashes = 0
        m.boot()
        m.cmd("destroy debian")
        before = free_memory(m)
        make_guest(m, 3)
        grub(m)
        grub_load(m)
        m.send("boot\r")
        m.leave()
        to_shell(m)
        check_guest(m, 0, "b")
        ways = [lambda m, d=d: kexec(m, d) for d in (0, 0.1)[:BURSTS]] + [kexec_under_load, kexec_without_closing]
        for n, way in enumerate(ways, 1):
            in_guest(m, "mount -o ro /dev/xvda /mnt && kexec -l /mnt/vmlinuz --initrd=/mnt/ramdisk --reuse-cmdline && "
                        "umount /mnt && touch /tmp/old", 90)
            m.leave()
            blk0_dies(m) # before
            to_shell(m)
            way(m)
            blk0_dies(m) # the next kernel boots
            to_shell(m)
            in_guest(m, "[ ! -e /tmp/old ]")
            check_guest(m, n, "b")
        in_guest(m, "diskcheck /dev/xvdc 1 8")
        check(in_guest(m, "nproc").split()[-1] == "2", "not both processors came back")
        m.leave()
        check("no crashes" in m.cmd(f"crashes {NAME}"), "the guest crashed")
        finish(m, before)
        print(f"  {len(ways)} kernels, {m.crashes} crashes of blk0", flush=True)
    check(handdisk.fsck(image), "the file system is not clean")
    image.unlink()


# --- unbind and bind -------------------------------------------------------------------------------------------------------
# Linux does not look at a disk again whose driver was unbound and is bound again (ctl-dom/store/hotplug.c), so the device goes and
# comes as well: block-detach and block-attach.
VBD = "/sys/bus/xen/drivers/vbd"
DETACH, ATTACH = f"block-detach {NAME} xvdb", f"block-attach {NAME} phy:blk0:data2,xvdb,w"


def meanwhile(m, line):
    """A command, and blk0 dies at a random instruction while it runs."""
    m.send(f"crash --inject blk0\r{line}\r")
    m.expect(r"blk0: crashed[^\n]*restarted in ([\d.]+) ms[^\n]*restart (\d+)\r", 60)
    m.crashes += 1
    pause(0.1)
    m.send("\r")
    m.cmd("list")


def has_disk(m, want):
    wait_states(m, lambda s: s == ((4, 4, 4) if want else (4, 4)))
    m.console(NAME)
    in_guest(m, "n=0; while [ %s -e /sys/bus/xen/devices/vbd-51728 ] || [ %s -b /dev/xvdb ]; do n=$((n + 1)); "
                "[ $n -lt 500 ] || break; usleep 20000; done; [ $n -lt 500 ]" % (("!", "!") if want else ("", "")))


def rebind(m, n, at_once):
    """One round: written, let go, taken away, given again, read; blk0 dies between any two of them or while they run."""
    step = meanwhile if at_once else lambda m, line: (m.cmd(line, 60), blk0_dies(m, then=0.12))
    if n % 5 == 0:
        in_guest(m, "diskcheck /dev/xvdb 0.3 4")
    write_all(m, n, "b")
    m.leave()
    if not at_once:
        blk0_dies(m, then=0.12)
    m.console(NAME)
    if n % 4 < 2: # else the driver has it until it is taken away
        if at_once:
            m.send(f"echo vbd-51728 > {VBD}/unbind\r")
            m.leave()
            blk0_dies(m)
        else:
            in_guest(m, f"echo vbd-51728 > {VBD}/unbind")
            m.leave()
            wait_states(m, lambda s: 6 in s)
            blk0_dies(m)
        pause(0.12)
    else:
        m.leave()
    step(m, DETACH)
    has_disk(m, False)
    m.leave()
    users(m, "data2", "-")
    step(m, ATTACH)
    has_disk(m, True)
    check_all(m, n, "b")


def refusals(m):
    for line, pattern in [
            (f"block-attach {NAME} phy:blk0:data2,xvdb,w", rf"^{NAME}: disk xvdb is there$"),
            # One right after the other: the last word on the one must not reach the nodes of the next.
            *[(f"block-attach {NAME} phy:blk0:data2,xvdd,w", rf"^{NAME}: disk xvdd: blk0: domain \d+ writes it already$"),
              (f"block-attach {NAME} phy:blk0:nosuch,xvdd,w", rf"^{NAME}: disk xvdd: blk0: no volume 'nosuch'")] * 10,
            (f"block-attach {NAME} file:/x,xvdd,w", rf"^{NAME}: disk: .*'file:'"),
            ("block-attach blk0 phy:blk0:data2,xvdd,w", r"^blk0: is a service domain$"),
            (f"block-detach {NAME} xvdd", rf"^{NAME}: has no disk xvdd$"),
    ]:
        out = m.cmd(line, 60).strip()
        check(re.search(pattern, out), f"{line!r} answered {out!r}")
    check(states(m) == (4, 4, 4), "a disk that was refused stayed")


def rebind_in_use(m):
    """Unbound under load: its user gets errors and nobody else; the disk is as good as new afterwards."""
    in_guest(m, "rm -f /tmp/stop; (diskcheck /dev/xvdb 600 8 > /tmp/used 2>&1; echo status $? >> /tmp/used) & sleep 0.5")
    m.send(f"echo vbd-51728 > {VBD}/unbind\r")
    m.leave()
    blk0_dies(m)
    m.console(NAME)
    in_guest(m, "touch /tmp/stop; while ! grep -q status /tmp/used; do usleep 100000; done; grep 'status 1' /tmp/used")
    m.leave()
    m.cmd(DETACH)
    m.console(NAME)
    in_guest(m, "while [ -e /sys/bus/xen/devices/vbd-51728 ]; do usleep 20000; done")
    m.leave()
    m.cmd(ATTACH)
    has_disk(m, True)
    in_guest(m, "rm /tmp/stop; diskcheck /dev/xvdb 0.5 8")
    m.leave()


def taken_away(m):
    """A guest that does not close: a plain detach says so, --force takes the disk, and it can have it again."""
    m.leave()
    m.cmd(f"pause {NAME}")
    out = m.cmd(DETACH, 60)
    check("the guest still has it" in out, f"detached from a guest that stands still: {out}")
    users(m, "data2", f"{NAME}:w")
    out = m.cmd(DETACH + " --now")
    check("unknown word '--now'" in out, out)
    m.cmd(DETACH + " --force")
    users(m, "data2", "-")
    m.cmd(f"unpause {NAME}")
    has_disk(m, False)
    m.leave()
    m.cmd(ATTACH)
    has_disk(m, True)
    in_guest(m, "diskcheck /dev/xvdb 0.5 8")


def silent(m):
    """blk0 stands still: it is waited for as long as it may take once; when it goes on all is as before."""
    m.leave()
    m.cmd("pause blk0")
    for says in ("does not answer", "still does not answer", "still does not answer"):
        out = m.cmd(f"block-attach {NAME} phy:blk0:boot,xvdd,r", 60).strip()
        check(out == f"{NAME}: disk xvdd: blk0 {says}", f"blk0 is paused: {out}")
    m.cmd("unpause blk0")
    out = m.cmd(f"block-attach {NAME} phy:blk0:boot,xvdd,r", 60).strip()
    check(not out, f"blk0 goes on: {out}")
    wait_states(m, lambda s: s == (4, 4, 4, 4))
    m.cmd(f"block-detach {NAME} xvdd", 60)
    wait_states(m, lambda s: s == (4, 4, 4))


def test_handover_bind():
    image = mkgpt.make(LOGS / "handover-bind.img", handdisk.PARTS)
    with Machine("handover-bind", disk=image) as m:
        m.crashes = 0
        m.boot()
        m.cmd("destroy debian")
        before = free_memory(m)
        out = m.cmd(f"create debian name={NAME} memory=192 vcpus=2 vif=[] disk=["
                    "'phy:blk0:data1,xvda,w','phy:blk0:data2,xvdb,w','phy:blk0:data3,xvdc,w']", 60)
        check("created as domain" in out, f"create: {out}")
        to_shell(m)
        in_guest(m, "(diskcheck /dev/xvdc 600 4 > /tmp/check 2>&1; echo status $? >> /tmp/check) &")
        for n in range(ROUNDS):
            rebind(m, n, n % 2)
        in_guest(m, "touch /tmp/stop; while ! grep -q status /tmp/check; do usleep 100000; done")
        out = in_guest(m, "cat /tmp/check")
        check("status 0" in out and " 0 errors" in out, f"the neighbour disk: {out}")
        check_log(m)
        m.leave()
        users(m, "data2", f"{NAME}:w")
        refusals(m)
        m.console(NAME)
        rebind_in_use(m)
        m.console(NAME)
        taken_away(m)
        silent(m)
        finish(m, before)
        print(f"  {ROUNDS} rounds, {m.crashes} crashes of blk0", flush=True)
    image.unlink()
