#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Disk controllers: NVMe and virtio-blk, one and several, sectors of 4096 bytes; controllers, disks and tables that are no good."""
import json
import os
import pathlib
import re
import struct
import sys
import time
import uuid
import zlib

import fakepci
from machine import CMDLINE, LOGS, Failed, Machine, check, make_iso, run

CRASHES = int(os.environ.get("CRASHES", "10"))
MIB = 1 << 20
HIDE = CMDLINE.replace("(00:05.0)", "".join(f"(00:{i:02x}.0)" for i in range(5, 16)))
VIRTIO = "disable-legacy=on,iommu_platform=on"


# --- disks ------------------------------------------------------------------------------------------------------------
def image(name, size):
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{name}.img"
    path.unlink(missing_ok=True)
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def gpt_image(name, size, entries, sector=512, nr=128):
    """A disk with a GPT (UEFI 2.8, chapter 5). entries: (number, first, last, label), in MiB unless first is a tuple of sectors."""
    path = image(name, size)
    total = size // sector
    table = bytearray(nr * 128)
    for number, first, last, label in entries:
        struct.pack_into("<16s16sQQQ72s", table, (number - 1) * 128, uuid.UUID(int=1).bytes_le,
                         uuid.uuid5(uuid.NAMESPACE_OID, f"{name}{number}").bytes_le, first, last, 0, label.encode("utf-16le"))
    blocks = -(-len(table) // sector)

    def header(mine, other, table_at):
        fields = [b"EFI PART", 0x10000, 92, 0, 0, mine, other, 2 + blocks, total - 2 - blocks, uuid.UUID(int=2).bytes_le,
                  table_at, nr, 128, zlib.crc32(table)]
        fields[3] = zlib.crc32(struct.pack("<8sIIIIQQQQ16sQIII", *fields))
        return struct.pack("<8sIIIIQQQQ16sQIII", *fields).ljust(sector, b"\0")

    with open(path, "r+b") as f:
        f.write(mbr(0xee, 1, min(total - 1, 0xffffffff)).ljust(sector, b"\0"))
        f.write(header(1, total - 1, 2) + table)
        f.seek((total - 1 - blocks) * sector)
        f.write(bytes(table).ljust(blocks * sector, b"\0") + header(total - 1, 1, total - 1 - blocks))
    return path


def mbr(kind, first, count):
    return (bytes(446) + struct.pack("<B3sB3sII", 0, b"\0\2\0", kind, b"\xff\xff\xff", first, count)).ljust(510, b"\0") + b"\x55\xaa"


def poke(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at if at >= 0 else path.stat().st_size + at)
        f.write(data)
    return path


def mib(first, last, sector=512):
    """First and last sector of the MiB [first, last)."""
    return first * MIB // sector, last * MIB // sector - 1


def nvme(i, path, more=""):
    return ["-drive", f"if=none,id=x{i},file={path},format=raw,discard=unmap",
            "-device", f"nvme,drive=x{i},serial=bh{i},addr={i:x}{more}"]


def virtio(i, path, more="", how=VIRTIO):
    return ["-drive", f"if=none,id=x{i},file={path},format=raw,discard=unmap",
            "-device", f"virtio-blk-pci,drive=x{i},addr={i:x},romfile=,{how}{more}"]


# --- what the shell says ------------------------------------------------------------------------------------------------
def one_line(m, line, pattern, timeout=60):
    out = m.cmd(line, timeout)
    said = [x for x in out.split("\n") if x.strip() and not re.search(r": up \(\d+ ms\)$", x)]
    check(re.search(pattern, out), f"{line!r} answered {out!r}, expected {pattern!r}")
    check(len(said) == 1, f"{line!r} answered {len(said)} lines: {out!r}")
    return out


def until(m, line, pattern, tries=20):
    """Driver domains tell the store once a second."""
    for _ in range(tries):
        out = m.cmd(line)
        if re.search(pattern, out, re.M):
            return out
        time.sleep(0.5)
    raise Failed(f"{line!r} does not show {pattern!r}: {out}")


def create(m, words, timeout=60):
    m.send(f"create debian memory=128 vif=[] {words}\r")
    m.expect(r"created as domain \d+ ", timeout)
    m.prompt()


def stats(m, name, vdev):
    """block-stats by column."""
    out = m.cmd(f"block-stats {name}")
    rows = [x.split() for x in out.split("\n") if x.strip()]
    row = next((x for x in rows if x[:2] == [name, vdev]), None)
    check(row and rows[0][0] == "Name", f"block-stats: {out}")
    return dict(zip(rows[0][2:], map(int, row[2:])))


def kernel_lines(m):
    out, _ = m.guest("echo lines=$(dmesg | grep -c -e xvd -e blkfront -e 'I/O error')")
    return re.findall(r"lines=(\d+)", out)[-1]


def load(m, dev, tag):
    m.guest(f"rm -f /tmp/stop; (diskcheck {dev} 600 16 24 > /tmp/{tag}.log 2>&1; echo status $? >> /tmp/{tag}.log) &")


def load_ends(m, tags):
    m.guest("touch /tmp/stop")
    for tag in tags:
        for _ in range(60):
            out, _ = m.guest(f"cat /tmp/{tag}.log")
            if "status" in out:
                break
            time.sleep(1)
        got = re.search(r"(\d+) reads, (\d+) writes, (\d+) flushes", out)
        check("status 0" in out and " 0 errors" in out, f"diskcheck {tag}: {out}")
        check(got and min(map(int, got.groups())) > 0 and int(got.group(1)) > 50, f"too little load to say anything: {out}")
        print(f"  {tag}: {got.group(0)}", flush=True)


def crash(m, name, i):
    m.send(f"crash --inject {name}\r")
    got = m.expect(rf"{name}: crashed[^\n]*restarted in ([\d.]+) ms[^\n]*restart (\d+)\r", 60)
    check(int(got.group(2)) == i, f"{name}: restart count {got.group(2)}, expected {i}")
    m.prompt()


# --- cases ----------------------------------------------------------------------------------------------------------------
def virtio_blk():
    """blk0 on virtio-blk: verified load over crashes, flush, discard, figures, limits."""
    path = gpt_image("ctl-virtio", 64 * MIB, [(1, *mib(1, 33), "data1"), (2, *mib(33, 49), "data2")])
    with Machine("ctl-virtio", extra=virtio(5, path, ",serial=v5")) as m:
        m.boot()
        until(m, "volumes", r"^blk0:data1 +32 MiB +-$")
        create(m, "name=d vcpus=2 disk=['phy:blk0:data1,xvda,w','phy:blk0:data2,xvdb,w,limit-ops=100']")
        m.console("d")
        before = kernel_lines(m)
        load(m, "/dev/xvda", "load")
        m.leave()
        for i in range(1, CRASHES + 1):
            crash(m, "blk0", i)
            time.sleep(0.3)
        m.console("d")
        load_ends(m, ["load"])
        check(kernel_lines(m) == before, "the guest's kernel has something to say about its disks")
        m.leave()
        figures(m)
        discards(m, path)
        limits(m)


def figures(m):
    """block-stats counts on over the driver's deaths, and what one command adds is right."""
    time.sleep(1.5)
    old = stats(m, "d", "xvda")
    check(old["Reads"] > 50 and old["Writes"] > 50 and old["Flushes"] > 0 and old["Errors"] == old["Bad"] == 0, f"stats: {old}")
    m.console("d")
    m.guest("dd if=/dev/zero of=/dev/xvda bs=64k count=16 oflag=direct; dd if=/dev/xvda of=/dev/null bs=4k count=32 iflag=direct; "
            "sync /dev/xvda")
    m.leave()
    time.sleep(1.5)
    new = stats(m, "d", "xvda")
    got = {k: new[k] - old[k] for k in new}
    check(got["WrSectors"] == 2048 and got["RdSectors"] == 256 and got["Reads"] == 32 and 16 <= got["Writes"] <= 32,
          f"16 writes of 64 KiB and 32 reads of 4 KiB counted as {got}")
    one_line(m, "block-stats nosuch", r"nosuch")


def discards(m, path):
    m.console("d")
    out, status = m.guest("tr '\\0' x < /dev/zero | dd of=/dev/xvdb bs=64k count=64 iflag=fullblock oflag=direct 2>/dev/null; sync; "
                          "blkdiscard -o 1048576 -l 1048576 /dev/xvdb && echo 3 > /proc/sys/vm/drop_caches; "
                          "dd if=/dev/xvdb bs=64k count=64 2>/dev/null | tr -d x | wc -c; cat /sys/block/xvdb/queue/discard_max_bytes")
    check(status == 0 and str(MIB) in out.split(), f"blkdiscard: {out}")
    m.leave()
    with open(path, "rb") as f:
        f.seek(33 * MIB)
        data = f.read(4 * MIB)
    check(data == b"x" * MIB + bytes(MIB) + b"x" * 2 * MIB, "the discarded range is not what the disk has forgotten")
    check(stats(m, "d", "xvdb")["Discards"] > 0, "a discard that nobody counted")


def timed(m, line):
    out, status = m.guest(f"read a x < /proc/uptime; {line} > /dev/null 2>&1; s=$?; read b x < /proc/uptime; echo took=$a,$b; (exit $s)")
    check(status == 0, f"{line}: {out}")
    a, b = re.findall(r"took=([\d.]+),([\d.]+)", out)[-1]
    return float(b) - float(a)


def limits(m):
    reads = "dd if=/dev/xvdb of=/dev/null iflag=direct bs=4k count=300"
    m.console("d")
    slow = timed(m, reads)
    m.leave()
    check(re.search(r"d xvdb: ops=100 bytes=0", m.cmd("block-limit d xvdb")), "block-limit does not show the limit")
    m.cmd("block-limit d xvdb ops=0 bytes=2M")
    m.console("d")
    fast = timed(m, reads)
    bytes_slow = timed(m, "dd if=/dev/xvdb of=/dev/null iflag=direct bs=64k count=128")
    m.leave()
    print(f"  300 reads at 100 a second: {slow:.1f} s, without a limit {fast:.1f} s; 8 MiB at 2 MiB/s: {bytes_slow:.1f} s", flush=True)
    check(slow > 2.5 and bytes_slow > 3.5, f"limits of 100 reads and 2 MiB a second: {slow} s, {bytes_slow} s")
    check(fast < slow, f"without a limit it took {fast} s, with one {slow} s")
    one_line(m, "block-limit d xvdz ops=1", r"d: has no disk xvdz")
    one_line(m, "block-limit d xvda ops=many", r"bad 'ops=many'")


def two():
    """An NVMe and a virtio-blk at once, both with sectors of 4096 bytes; each dies while the other goes on."""
    size = ",logical_block_size=4096,physical_block_size=4096"
    one = gpt_image("ctl-two-a", 48 * MIB, [(1, *mib(1, 33, 4096), "data1")], 4096)
    other = gpt_image("ctl-two-b", 48 * MIB, [(1, *mib(1, 33, 4096), "data1")], 4096)
    with Machine("ctl-two", iso=hiding("ctl-two", 5, 6), extra=nvme(5, one, size) + virtio(6, other, size)) as m:
        m.boot()
        m.cmd("create blk1")
        out = until(m, "volumes", r"^blk1:data1 +32 MiB +-$")
        check(re.search(r"^blk0:data1 +32 MiB +-$", out, re.M) and re.search(r"^blk1:disk +48 MiB +-$", out, re.M), out)
        create(m, "name=d vcpus=2 disk=['phy:blk0:data1,xvda,w','phy:blk1:data1,xvdb,w']")
        until(m, "volumes", r"^blk1:data1 +32 MiB +d:w$")
        m.console("d")
        out, _ = m.guest("cd /sys/block; echo $(cat xvd[ab]/queue/logical_block_size xvd[ab]/queue/physical_block_size xvd[ab]/size)")
        check("4096 4096 4096 4096 65536 65536" in out, f"disks of 4096-byte sectors: {out}")
        before = kernel_lines(m)
        load(m, "/dev/xvda", "nvme")
        load(m, "/dev/xvdb", "virtio")
        m.leave()
        for i in range(1, CRASHES // 2 + 1):
            for name in ("blk0", "blk1"):
                crash(m, name, i)
                time.sleep(0.2)
        m.console("d")
        load_ends(m, ["nvme", "virtio"])
        m.guest("dd if=/dev/urandom of=/dev/xvda bs=4k count=8 oflag=direct; dd if=/dev/zero of=/dev/xvda bs=4k seek=8191 count=1 oflag=direct")
        out, status = m.guest("dd if=/dev/zero of=/dev/xvda bs=4k seek=8192 count=1 oflag=direct")
        check(status != 0, f"a write beyond the end of the volume: {out}")
        check(kernel_lines(m) == before, "the guest's kernel has something to say about its disks")
        m.leave()
        one_line(m, "destroy blk1", r"blk1: d has a disk")
        m.cmd("destroy d")
        m.cmd("destroy blk1")
        check("blk1:" not in m.cmd("volumes"), "volumes of a controller whose domain is gone")
    with open(one, "rb") as f:
        f.seek(33 * MIB)
        check(not any(f.read(15 * MIB - 5 * 4096)), "something was written behind the volume")


def hiding(name, *slots):
    return make_iso(name, cmdline=CMDLINE.replace("(00:05.0)", "".join(f"(00:{i:02x}.0)" for i in slots)))


class Fakes(Machine):
    """fakes: a function of fakepci for each slot."""
    def __init__(self, name, fakes, extra, **kw):
        super().__init__(name, extra=["-object", "memory-backend-memfd,id=ram,size=2048M,share=on",
                                      "-machine", "memory-backend=ram", *extra], **kw)
        self.fakes = fakes

    def command(self, serial):
        paths = [self.dir / f"fake{slot}" for slot in self.fakes]
        self.devices = [make(path) for make, path in zip(self.fakes.values(), paths)]
        front = [sys.executable, str(pathlib.Path(fakepci.__file__)), *map(str, paths), "--"]
        cmd = super().command(serial)
        for i, slot in enumerate(self.fakes):
            cmd += ["-device", f"x-pci-proxy-dev,id=fake{slot},fd=@{i}@,addr={slot:x}"]
        return front + cmd


def refused(m, slot, why, name="blk1"):
    """A controller that is no good: the domain runs, one line says why, and a disk of it is refused with the same words."""
    pattern = rf"{name}: controller 0000:00:{slot:02x}\.0 refused: [^\n]*{why}[^\n]*\n"
    m.send(f"create {name} pci=['00:{slot:02x}.0']\r")
    m.expect(pattern, 60)
    m.send("\r")
    m.prompt()
    out = until(m, "volumes", rf"^{name}: controller .*{why}")
    check(f"{name}:disk" not in out, f"a disk of a controller that was refused: {out}")
    one_line(m, f"create debian name=x memory=128 vif=[] disk=['phy:{name}:disk,xvda,w']", rf"x: disk xvda: {name}: .*{why}")
    m.cmd(f"destroy {name}")


def bad_controllers():
    tiny, empty, void = image("ctl-tiny", 512), image("ctl-empty", 0), image("ctl-void", 0)
    any_disk = gpt_image("ctl-any", 8 * MIB, [(1, *mib(1, 2), "p")])
    fakes = {5: fakepci.never_ready, 6: fakepci.never_resets, 7: fakepci.fatal, 8: fakepci.dead}
    extra = ["-drive", f"if=none,id=slow,file={any_disk},format=raw,readonly=on,throttling.bps-total=1",
             "-device", "nvme,drive=slow,serial=s,addr=9", "-device", "nvme,serial=none,addr=a",
             *virtio(11, tiny, how="disable-legacy=on"), *nvme(12, empty), *virtio(13, void),
             "-netdev", "user,id=n2", "-device", f"virtio-net-pci,netdev=n2,addr=e,romfile=,{VIRTIO}",
             "-device", f"virtio-scsi-pci,addr=f,{VIRTIO}"]
    with Fakes("ctl-bad", fakes, extra, iso=hiding("ctl-bad", *range(5, 16))) as m:
        m.boot()
        m.expect(r"blk0: controller 0000:00:05\.0 refused: it does not become ready\r", 60)
        m.prompt()
        one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk0:disk,xvda,w']", r"x: disk xvda: blk0: .*not become ready")
        refused(m, 6, "it does not reset")
        refused(m, 7, r"fatal error")
        refused(m, 8, "its registers do not answer")
        refused(m, 9, "it does not answer a read of its partition table")
        refused(m, 10, "it has no namespace")
        refused(m, 11, r"round the IOMMU \(iommu_platform=on\?\)")
        refused(m, 12, "size makes no sense")
        refused(m, 13, "it is empty")
        refused(m, 14, "neither NVMe nor virtio-blk")
        refused(m, 15, "neither NVMe nor virtio-blk")
        m.console("debian")
        out, status = m.guest("ping -c 1 -W 5 10.0.2.2")
        check(status == 0, f"the rest does not go on: {out}")
        m.leave()


def blkdebug(i, path, model, errors):
    """A controller whose disk fails: errors are (iotype, sector, once)."""
    rules = [{"event": "none", "iotype": kind, "sector": sector, "errno": 5, "once": once} for kind, sector, once in errors]
    node = {"driver": "raw", "node-name": f"x{i}", "file": {
        "driver": "blkdebug", "inject-error": rules, "image": {"driver": "file", "filename": str(path)}}}
    return ["-blockdev", json.dumps(node), "-device", f"{model},drive=x{i},addr={i:x}"]


def table(m, slot, pattern, volumes, name="blk1"):
    """What is said about a disk's table, by itself and by `volumes`, and which volumes it has."""
    m.send(f"create {name} pci=['00:{slot:02x}.0']\r")
    m.expect(rf"{name}: {pattern}[^\n]*\n", 60)
    m.send("\r")
    m.prompt()
    out = until(m, "volumes", rf"^{name}: {pattern}")
    got = re.findall(rf"^{name}:(\S+) +(\d+ \S+) +-", out, re.M)
    check(got == volumes, f"volumes of {name}: {got}, expected {volumes}")


def bad_tables():
    good = [(1, *mib(1, 3), "data1"), (2, *mib(3, 7), "data2")]
    two_volumes = [("disk", "8192 KiB"), ("data1", "2048 KiB"), ("data2", "4096 KiB")]
    whole = two_volumes[:1]
    size = 8 * MIB
    odd = [(1, *mib(1, 5), "left"), (2, *mib(3, 7), "right"), (3, 2048 * 7, 2048 * 9, "beyond"), (4, 5000, 4999, "backwards")]
    many = [(128, *mib(1, 2), "last"), (129, *mib(2, 3), "more"), (256, *mib(3, 4), "most")]
    disks = [
        nvme(5, poke(gpt_image("ctl-t5", size, good), 512 + 40, b"\xff")),
        nvme(6, poke(poke(gpt_image("ctl-t6", size, good), 512, b"X"), -500, b"\xff")),
        nvme(7, poke(image("ctl-t7", size), 0, mbr(0x83, 2048, 2048))),
        virtio(8, gpt_image("ctl-t8", size, odd)),
        nvme(9, gpt_image("ctl-t9", size, many, nr=256)),
        blkdebug(10, gpt_image("ctl-ta", size, good), "nvme,serial=a", [("read", 1, False)]),
        nvme(11, image("ctl-tb", 4096)),
    ]
    with Machine("ctl-tables", iso=hiding("ctl-tables", *range(5, 12)), extra=sum(disks, [])) as m:
        m.boot()
        m.expect(r"blk0: the first GPT is damaged \(its header's CRC is wrong\), its backup is used\r", 60)
        m.prompt()
        out = until(m, "volumes", r"^blk0: the first GPT is damaged")
        check(re.search(r"^blk0:data2 +4096 KiB +-$", out, re.M), f"volumes of the backup GPT: {out}")
        table(m, 6, r"both copies of the GPT are damaged \(its header is gone\): only the whole disk", whole)
        one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk1:data1,xvda,w']", r"x: disk xvda: blk1: no volume 'data1'")
        m.cmd("destroy blk1")
        table(m, 7, r"an MBR partition table, no GPT: only the whole disk is a volume", whole)
        m.cmd("destroy blk1")
        table(m, 9, r"2 partitions left out: .*beyond 128", [("disk", "8192 KiB"), ("last", "1024 KiB")])
        m.cmd("destroy blk1")
        table(m, 10, r"the first GPT is damaged \(its header cannot be read\), its backup is used", two_volumes)
        m.cmd("destroy blk1")
        m.cmd("create blk1 pci=['00:0b.0']")
        until(m, "volumes", r"^blk1:disk +4 KiB +-$")
        m.cmd("destroy blk1")
        table(m, 8, r"2 partitions left out: outside of the disk", [("disk", "8192 KiB"), ("left", "4096 KiB"), ("right", "4096 KiB")])
        users(m)
        full(m)


def users(m):
    """Who is let in beside whom, also on volumes that overlap."""
    create(m, "name=u disk=['phy:blk1:left,xvda,w']")
    one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk1:right,xvda,w']", r"x: disk xvda: blk1: domain \d+ writes a part of it")
    one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk1:left,xvda,r']", r"x: disk xvda: blk1: domain \d+ writes it already")
    create(m, "name=forced disk=['phy:blk1:right,xvda,w!','phy:blk1:left,xvdb,r!']")
    until(m, "volumes", r"^blk1:left +4096 KiB +(u:w,forced:r|forced:r,u:w)$")
    m.cmd("destroy forced")
    m.cmd("destroy u")
    create(m, "name=u disk=['phy:blk1:left,xvda,r']")
    one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk1:left,xvda,w']", r"x: disk xvda: blk1: domain \d+ reads it already")


def full(m):
    """More disks than blk1 has room for: u has one, 15 others make 16."""
    def disks(names):
        return ",".join(f"'phy:blk1:left,xvd{c},r'" for c in names)
    create(m, f"name=many disk=[{disks('abcdefghijklmno')}]")
    one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk1:left,xvda,r']", r"x: disk xvda: blk1: it has 16 disks already")
    m.console("many")
    out, status = m.guest("for d in /dev/xvd?; do dd if=$d of=/dev/null bs=64k 2>/dev/null && echo good; done")
    check(out.split().count("good") == 15, f"15 disks at once: {out}")
    m.leave()
    crash(m, "blk1", 1)
    m.console("many")
    m.guest("echo 3 > /proc/sys/vm/drop_caches")
    out, status = m.guest("for d in /dev/xvd?; do dd if=$d of=/dev/null bs=64k 2>/dev/null && echo good; done")
    check(out.split().count("good") == 15, f"15 disks after a crash: {out}")
    m.leave()
    m.cmd("destroy u")
    create(m, "name=x disk=['phy:blk1:left,xvda,r']")


def medium():
    """Sectors that cannot be read or written: EIO for these requests, and for no others."""
    parts = [(1, *mib(1, 17), "data1"), (2, *mib(17, 33), "data2")]
    at = 2048
    errors = [("read", at + 800, False), ("write", at + 1600, False), ("read", at + 2400, True)]
    extra = blkdebug(5, gpt_image("ctl-medium-a", 40 * MIB, parts), "nvme,serial=a", errors)
    extra += blkdebug(6, gpt_image("ctl-medium-b", 40 * MIB, parts), f"virtio-blk-pci,{VIRTIO}", errors)
    with Machine("ctl-medium", iso=hiding("ctl-medium", 5, 6), extra=extra) as m:
        m.boot()
        m.cmd("create blk1")
        create(m, "name=d vcpus=2 disk=['phy:blk0:data1,xvda,w','phy:blk0:data2,xvdb,w','phy:blk1:data1,xvdc,w','phy:blk1:data2,xvdd,w']")
        m.console("d")
        m.guest("dmesg -n 1")
        load(m, "/dev/xvdb", "beside-nvme")
        load(m, "/dev/xvdd", "beside-virtio")
        for dev, once in (("xvda", 0), ("xvdc", 1)):
            # NVMe says that a retry may help, and a retry is what it gets; virtio says nothing, so the guest is told.
            out, _ = m.guest("f=''; for i in $(seq 97 103) $(seq 297 303); do "
                             f"dd if=/dev/{dev} of=/dev/null bs=4k skip=$i count=1 iflag=direct 2>/dev/null || f=$f,$i; done; echo bad=$f", 180)
            check(f"bad=,100{',300' * once}\n" in out, f"{dev}: {1 + once} reads cover what is broken: {out}")
            out, _ = m.guest("f=''; for i in $(seq 195 205); do "
                             f"dd if=/dev/zero of=/dev/{dev} bs=4k seek=$i count=1 oflag=direct 2>/dev/null || f=$f,$i; done; echo bad=$f")
            check("bad=,200\n" in out, f"{dev}: one write hits what is broken: {out}")
            out, _ = m.guest(f"for i in $(seq 30); do dd if=/dev/{dev} of=/dev/null bs=4k skip=100 count=1 iflag=direct 2>/dev/null && echo ok; "
                             "done; echo end", 180)
            check("ok" not in out.split(), f"{dev}: a broken sector was read: {out}")
        load_ends(m, ["beside-nvme", "beside-virtio"])
        m.leave()
        time.sleep(1.5)
        for dev, name, n in (("xvda", "blk0", 32), ("xvdc", "blk1", 33)):
            got = stats(m, "d", dev)
            check(got["Errors"] == n and got["Bad"] == 0, f"{dev}: {n} requests failed, block-stats says {got}")
            check(stats(m, "d", {"xvda": "xvdb", "xvdc": "xvdd"}[dev])["Errors"] == 0, "errors at the volume beside it")
            m.send(f"console {name}\r")
            m.expect(rf"{name}: write failed at sector {at + 1600}, 8 sectors: (NVMe|virtio-blk) status 0x", 30)
            m.send("\r")
            m.leave()
            lines = len(re.findall(rf"{name}: read failed at sector", pathlib.Path(m.log.name).read_text(errors="replace")))
            check(1 <= lines <= 20, f"{name} complained {lines} times about 31 reads")
        listing = m.cmd("list")
        check(re.search(r"^blk0 .* 0$", listing, re.M) and re.search(r"^blk1 .* 0$", listing, re.M), f"restarts: {listing}")


def no_controller():
    """The README's machine without a disk."""
    with Machine("ctl-none") as m:
        m.expect(r"blk0: 0000:00:05\.0: there is no such device; it starts without", 120)
        m.boot()
        out = until(m, "volumes", r"^blk0: it has no controller")
        check("blk0:disk" not in out, f"volumes without a disk: {out}")
        one_line(m, "create debian name=x memory=128 vif=[] disk=['phy:blk0:disk,xvda,w']", r"x: disk xvda: blk0: it has no controller")
        one_line(m, "create blk1", r"blk1: 0000:00:06\.0: there is no such device")
        crash(m, "blk0", 1)
        check("debian" in m.cmd("list"), "the guest without a disk")


if __name__ == "__main__":
    run([("controllers-virtio-blk", virtio_blk), ("controllers-two-4k", two), ("controllers-bad", bad_controllers),
         ("controllers-tables", bad_tables), ("controllers-medium", medium), ("controllers-none", no_controller)])
