#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Power cuts: what a guest had made durable is there. One run, in which blk0 dies now and then; the disk under it has a
volatile cache and logs what reaches it (cachedisk.py). Then, offline, forty cuts at random points of that log: all that
was not flushed is partly lost and out of order, e2fsck replays the journal and finds nothing else, every record whose
durability the guest had told by then is there. And the counter-check: had flushes been lost, it would be found out.
CUTS, CRASHES and SEED in the environment say how many and which."""
import os
import pathlib
import random
import re
import subprocess
import tempfile
import time

import pytest

from tools import mkgpt
from tests.lib.cachedisk import CacheDisk, PowerCuts
from tests.lib.guest import modules
from tests.lib.crash import crash
from tests.lib.machine import LOGS, Failed, Machine, check
from tests.lib.wait import pause, until
from tests.lib.records import JOBS, MARK, check_raw, check_tree, mark, program

CUTS = int(os.environ.get("CUTS", "40"))
CRASHES = int(os.environ.get("CRASHES", "8"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
PARTS = [("fs", 24), ("raw", 4), ("marks", 1)]
MODULES = ["lib/crc16", "crypto/crc32c_generic", "lib/libcrc32c", "fs/mbcache", "fs/jbd2/jbd2", "fs/ext4/ext4"]
# What e2fsck may say of a disk whose power was cut: the journal is replayed, files that were open and deleted are given
# back, the superblock's sums (not those of a group), which ext4 writes at unmount only, are summed up again.
USUAL = re.compile(r"^(e2fsck [\d.]+ |.*: recovering journal|(.*: )?(Clearing|Truncating) orphaned inode|Pass \d[A-Z]?: "
                   r"|Free (blocks|inodes) count wrong \(|Fix\? yes|.*: (\*+ FILE SYSTEM WAS MODIFIED|\d+/\d+ files)|$)")


def make_image(name):
    image = mkgpt.make(LOGS / f"{name}.img", PARTS)
    first, size = mkgpt.partitions(image)["fs"]
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4",
                    "-E", f"offset={first},lazy_itable_init=0", str(image), str(size // 4096)], check=True, timeout=60)
    return image


def enough_records(disk):
    """A slow machine gets the time that it needs."""
    until(lambda: durable_at(told(disk, *mkgpt.partitions(disk.image)["marks"]), disk.events),
          lambda last: len(last) == len(JOBS) and min(last.values()) > 100, "too few records to say anything", 300, 1)


def machine(name, disk, www):
    """With QEMU's NVMe, or with virtio-blk in its place."""
    if name == "powercut":
        return Machine(name, disk=disk.drive(), www=www)
    return Machine(name, www=www, extra=[
        "-drive", f"if=none,id=d0,file={disk.drive()},format=raw,cache=writeback",
        "-device", "virtio-blk-pci,drive=d0,addr=5,disable-legacy=on,iommu_platform=on"])


def logged_run(name, disk, www, mods, rng):
    with machine(name, disk, www) as m:
        m.boot()
        m.cmd("destroy debian")
        out = m.cmd("create debian name=cut vcpus=2 "
                    "disk=['phy:blk0:fs,xvda,w','phy:blk0:raw,xvdb,w','phy:blk0:marks,xvdc,w']", 60)
        check("created as domain" in out, f"create: {out}")
        m.console("cut")
        for _ in range(30):
            if m.guest("ping -c 1 -W 1 10.0.2.2")[1] == 0:
                break
        out, status = m.guest(f"cd /run && for f in records {' '.join(x + '.ko' for x in mods)}; do "
                              "wget -q http://10.0.2.100/$f || break; done && cd / && chmod 755 /run/records")
        check(status == 0, f"the programs do not come: {out}")
        for mod in mods:
            m.guest(f"insmod /run/{mod}.ko")
        out, status = m.guest("mkdir /mnt && mount -t ext4 -o commit=1 /dev/xvda /mnt")
        check(status == 0, f"mount: {out} {m.guest('dmesg | tail')}")
        m.guest("(/run/records /mnt /dev/xvdb /dev/xvdc > /run/log 2>&1; echo status $? >> /run/log) &")
        m.leave()
        for i in range(1, CRASHES + 1):
            pause(rng.expovariate(1))
            crash(m, "blk0", i)
        enough_records(disk)
        m.console("cut")
        out, _ = m.guest("touch /run/stop; until grep -q status /run/log; do sleep 1; done; cat /run/log", 300)
        check("status 0" in out and " 0 errors" in out, f"records: {out}")
        log, _ = m.guest("dmesg | grep -e 'I/O error' -e EXT4-fs.error -e blkfront.*broken")
        check("error" not in log and "broken" not in log, f"the guest's kernel log: {log}")
        return re.search(r"records:.*", out).group(0).strip()


def told(disk, first, size):
    """(position, job, record): which records the guest said to be durable, and since when at the latest."""
    out = []
    for w in list(disk.writes):
        if first <= w.offset < first + size:
            data = disk.content(w)
            for at in range(0, w.length, MARK):  # neighbours may come as one
                got = mark(w.offset - first + at, data[at:at + MARK])
                check(got, f"a write of {w.length} bytes at {w.offset - first} of the marks is none")
                out.append((w.came, *got))
    return out


def durable_at(marks, position):
    out = {}
    for came, job, n in marks:
        if came < position:
            check(n >= out.get(job, 0), f"job {job} told {n} after {out.get(job)}")
            out[job] = n
    return out


def fsck(image, *options):
    done = subprocess.run(["e2fsck", *options, str(image)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def check_cut(whole, parts, durable, scratch):
    fs, tree = scratch / "fs.img", scratch / "tree"
    first, size = parts["raw"]
    check_raw(whole[first:first + size], durable)
    first, size = parts["fs"]
    fs.write_bytes(whole[first:first + size])
    rc, out = fsck(fs, "-fy")
    odd = [x for x in out.split("\n") if not USUAL.match(x)]
    check(rc in (0, 1) and not odd, f"e2fsck -fy: {rc}, {odd[:20]}")
    rc, out = fsck(fs, "-fn")
    check(rc == 0, f"e2fsck -fn after it: {rc}, {out}")
    tree.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {tree}", str(fs)], capture_output=True, timeout=60)
    check_tree(tree, durable)


class Evaluation:
    """The log of a run, cut at random positions between the first record and the last."""

    def __init__(self, disk, rng):
        self.disk, self.rng = disk, rng
        self.parts = mkgpt.partitions(disk.image)
        self.marks = told(disk, *self.parts["marks"])

    def positions(self, n):
        """Half of them anywhere, half where most is at stake: right after a record was told to be durable."""
        anywhere = [self.rng.randrange(self.marks[0][0] + 1, self.disk.events) for _ in range(n // 2)]
        return sorted(anywhere + [self.rng.choice(self.marks)[0] + 1 for _ in range(n - n // 2)])

    def cut(self, cuts, position):
        """Raises Failed if the cut lost what was durable; how many of how many cached writes it left something of."""
        whole, kept, cached = cuts.cut(position, self.rng)
        with tempfile.TemporaryDirectory(prefix="bh-cut-") as scratch:
            try:
                check_cut(whole, self.parts, durable_at(self.marks, position), pathlib.Path(scratch))
            except Failed as e:
                where = f"{position} of {self.disk.events}, {kept} of {cached} cached writes kept"
                raise Failed(f"power cut at {where}: {e}") from None
        return kept, cached

    def nothing_is_lost(self):
        cuts = PowerCuts(self.disk)
        done = [self.cut(cuts, p) for p in self.positions(CUTS)]
        check(cuts.no_cut() == self.disk.now.read_bytes(), "the log does not add up to the disk")
        return sum(x[0] for x in done), sum(x[1] for x in done)

    def a_lost_flush_is_seen(self):
        """The counter-check. As if from the middle of the run on each flush had been answered and not been done."""
        middle = self.disk.events // 2
        cuts = PowerCuts(self.disk, [f for f in self.disk.flushes if f[1] < middle])
        seen, positions = 0, [p for p in self.positions(20) if p > middle]
        for position in positions:
            try:
                self.cut(cuts, position)
            except Failed:
                seen += 1
        check(seen > len(positions) // 2, f"flushes are lost, and only {seen} of {len(positions)} cuts show it")


def judge(disk, rng, said):
    it = Evaluation(disk, rng)
    start = time.monotonic()
    kept, cached = it.nothing_is_lost()
    check(cached > CUTS, f"too few cached writes to say anything: {cached} in {CUTS} cuts")
    print(f"  {said}; {len(disk.writes)} writes, {len(disk.flushes)} flushes, {CRASHES} crashes; {CUTS} cuts in "
          f"{time.monotonic() - start:.0f} s, {kept} of {cached} cached writes kept", flush=True)
    it.a_lost_flush_is_seen()


def powercut(name):
    rng = random.Random(SEED)
    print(f"  seed {SEED}", flush=True)
    www = program(name)
    mods = modules(www, MODULES)
    disk = CacheDisk(make_image(name), SEED)
    try:
        said = logged_run(name, disk, www, mods, rng)
        disk.stop()
        check(not disk.error, f"the disk: {disk.error}")
        judge(disk, rng, said)
    finally:
        disk.remove()


def test_powercut():
    powercut("powercut")


@pytest.mark.long
def test_powercut_virtio():
    powercut("powercut-virtio")
