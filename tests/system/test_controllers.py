#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Disk controllers: NVMe and virtio-blk, one and two, sectors of 4096 bytes; controllers, disks and tables that are no good."""
import json
import os
import pathlib
import re
import struct
import sys
import time
import uuid
import zlib

from tests.lib import fakepci
from tests.lib.crash import crash
from tests.lib.machine import CMDLINE, LOGS, TEST_BUNDLE, TEST_ISO, Machine, check, make_iso
from tests.lib.wait import guest_says, pause, shows

CRASHES = int(os.environ.get("CRASHES", "5"))
MIB = 1 << 20
HIDE = CMDLINE.replace("(00:05.0)", "".join(f"(00:{i:02x}.0)" for i in range(5, 16)))
GRUB = "grubtest"  # a guest that is quickly made
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
    """A disk with a GPT (UEFI 2.8, chapter 5). entries: (number, first sector, last, label)."""
    path = image(name, size)
    total = size // sector
    table = bytearray(nr * 128)
    for number, first, last, label in entries:
        guid = uuid.uuid5(uuid.NAMESPACE_OID, f"{name}{number}").bytes_le
        struct.pack_into("<16s16sQQQ72s", table, (number - 1) * 128, uuid.UUID(int=1).bytes_le, guid, first, last, 0,
                         label.encode("utf-16le"))
    blocks = -(-len(table) // sector)

    def header(mine, other, table_at):
        fields = [b"EFI PART", 0x10000, 92, 0, 0, mine, other, 2 + blocks, total - 2 - blocks,
                  uuid.UUID(int=2).bytes_le, table_at, nr, 128, zlib.crc32(table)]
        fields[3] = zlib.crc32(struct.pack("<8sIIIIQQQQ16sQIII", *fields))
        return struct.pack("<8sIIIIQQQQ16sQIII", *fields).ljust(sector, b"\0")

    with open(path, "r+b") as f:
        f.write(mbr(0xee, 1, min(total - 1, 0xffffffff)).ljust(sector, b"\0"))
        f.write(header(1, total - 1, 2) + table)
        f.seek((total - 1 - blocks) * sector)
        f.write(bytes(table).ljust(blocks * sector, b"\0") + header(total - 1, 1, total - 1 - blocks))
    return path


def mbr(kind, first, count):
    record = struct.pack("<B3sB3sII", 0, b"\0\2\0", kind, b"\xff\xff\xff", first, count)
    return (bytes(446) + record).ljust(510, b"\0") + b"\x55\xaa"


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


def virtio(i, path, more="", how=VIRTIO, drive=""):
    return ["-drive", f"if=none,id=x{i},file={path},format=raw,discard=unmap{drive}",
            "-device", f"virtio-blk-pci,drive=x{i},addr={i:x},romfile=,{how}{more}"]


# --- what the shell says ----------------------------------------------------------------------------------------------
def one_line(m, line, pattern, timeout=60):
    out = m.cmd(line, timeout)
    said = [x for x in out.split("\n") if x.strip() and not re.search(r": up \(\d+ ms\)$", x)]
    check(re.search(pattern, out), f"{line!r} answered {out!r}, expected {pattern!r}")
    check(len(said) == 1, f"{line!r} answered {len(said)} lines: {out!r}")
    return out


def create(m, words, what="debian memory=128 vif=[]", timeout=60):
    m.send(f"create {what} {words}\r")
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


def dd(dev, way, at):
    """One block of 4 KiB, past the guest's page cache. at: a number, or a word of the guest's shell."""
    how = f"if=/dev/{dev} of=/dev/null skip" if way == "read" else f"if=/dev/zero of=/dev/{dev} seek"
    return f"dd {how}={at} bs=4k count=1 {'iflag' if way == 'read' else 'oflag'}=direct 2>/dev/null"


def failing(m, dev, way, blocks):
    """Those of blocks for which the guest gets an error."""
    out, _ = m.guest(f"f=''; for i in {blocks}; do {dd(dev, way, '$i')} || f=$f,$i; done; echo bad=$f", 180)
    return re.findall(r"bad=([\d,]*)", out)[-1].lstrip(",")


def load(m, dev, tag):
    m.guest(f"rm -f /tmp/stop; (diskcheck {dev} 600 16 24 > /tmp/{tag}.log 2>&1; "
            f"echo status $? >> /tmp/{tag}.log) &")


def load_ends(m, tags):
    m.guest("touch /tmp/stop")
    for tag in tags:
        out = guest_says(m, f"cat /tmp/{tag}.log", r"^status \d")  # the shell's own word about the job looks alike
        got = re.search(r"(\d+) reads, (\d+) writes, (\d+) flushes", out)
        check("status 0" in out and " 0 errors" in out, f"diskcheck {tag}: {out}")
        check(got and min(map(int, got.groups())) > 0 and int(got.group(1)) > 50, f"too little load: {out}")
        print(f"  {tag}: {got.group(0)}", flush=True)


# --- cases ------------------------------------------------------------------------------------------------------------
def test_controllers_virtio_blk():
    """blk0 on virtio-blk: verified load over crashes, flush, discard, figures, limits."""
    path = gpt_image("ctl-virtio", 64 * MIB, [(1, *mib(1, 33), "data1"), (2, *mib(33, 49), "data2")])
    with Machine("ctl-virtio", extra=virtio(5, path, ",serial=v5")) as m:
        m.boot()
        shows(m, "volumes", r"^blk0:data1 +32 MiB +-$")
        create(m, "name=d vcpus=2 disk=['phy:blk0:data1,xvda,w','phy:blk0:data2,xvdb,w,limit-ops=20']")
        m.console("d")
        before = kernel_lines(m)
        load(m, "/dev/xvda", "load")
        m.leave()
        for i in range(1, CRASHES + 1):
            crash(m, "blk0", i, then=0.3)
        m.console("d")
        load_ends(m, ["load"])
        check(kernel_lines(m) == before, "the guest's kernel has something to say about its disks")
        m.leave()
        figures(m)
        discards(m, path)
        limits(m)


def figures(m):
    """block-stats counts on over the driver's deaths, and what one command adds is right."""
    pause(1.5)
    old = stats(m, "d", "xvda")
    check(old["Reads"] > 50 and old["Writes"] > 50 and old["Flushes"] > 0 and old["Errors"] == old["Bad"] == 0,
          f"stats: {old}")
    m.console("d")
    m.guest("dd if=/dev/zero of=/dev/xvda bs=64k count=16 oflag=direct; "
            "dd if=/dev/xvda of=/dev/null bs=4k count=32 iflag=direct")
    m.leave()
    pause(1.5)
    new = stats(m, "d", "xvda")
    got = {k: new[k] - old[k] for k in new}
    check(got["WrSectors"] == 2048 and got["RdSectors"] == 256 and got["Reads"] == 32 and 16 <= got["Writes"] <= 32,
          f"16 writes of 64 KiB and 32 reads of 4 KiB counted as {got}")
    one_line(m, "block-stats nosuch", r"nosuch")


def discard(m, dev, offset, length):
    """A MiB of x, a part of it discarded: how many bytes are not x any more."""
    out, status = m.guest("tr '\\0' x < /dev/zero | "
                          f"dd of=/dev/{dev} bs=64k count=16 iflag=fullblock oflag=direct 2>/dev/null; "
                          f"blkdiscard -o {offset} -l {length} /dev/{dev} && echo 3 > /proc/sys/vm/drop_caches; "
                          f"echo gone=$(dd if=/dev/{dev} bs=64k count=16 2>/dev/null | tr -d x | wc -c)")
    check(status == 0, f"blkdiscard: {out}")
    return int(re.findall(r"gone=(\d+)", out)[-1])


def discards(m, path):
    m.console("d")
    check(discard(m, "xvdb", 1 << 18, 1 << 19) == 1 << 19, "the discarded range reads as something else than zeroes")
    m.leave()
    with open(path, "rb") as f:
        f.seek(33 * MIB)
        data = f.read(MIB)
    quarter = b"x" * (MIB // 4)
    check(data == quarter + bytes(MIB // 2) + quarter, "the discarded range is not what the disk has forgotten")
    pause(1.5)
    check(stats(m, "d", "xvdb")["Discards"] > 0, "a discard that nobody counted")


def timed(m, line):
    out, status = m.guest(f"read a x < /proc/uptime; {line} > /dev/null 2>&1; s=$?; read b x < /proc/uptime; "
                          "echo took=$a,$b; (exit $s)")
    check(status == 0, f"{line}: {out}")
    a, b = re.findall(r"took=([\d.]+),([\d.]+)", out)[-1]
    return float(b) - float(a)


def limits(m):
    reads = "dd if=/dev/xvdb of=/dev/null iflag=direct bs=4k count=100"
    m.console("d")
    slow = timed(m, reads)
    m.leave()
    check("d xvdb: ops=20 bytes=0" in m.cmd("block-limit d xvdb"), "block-limit does not show the limit")
    m.cmd("block-limit d xvdb ops=0 bytes=2M")
    check("d xvdb: ops=0 bytes=2097152" in m.cmd("block-limit d xvdb"), "block-limit does not show the new limit")
    m.console("d")
    fast = timed(m, reads)
    bytes_slow = timed(m, "dd if=/dev/xvdb of=/dev/null iflag=direct bs=64k count=96")
    m.leave()
    print(f"  100 reads at 20 a second: {slow:.1f} s, without a limit {fast:.1f} s; 6 MiB at 2 MiB/s: {bytes_slow:.1f} s",
          flush=True)
    check(slow > 4.5 and bytes_slow > 2.7, f"limits of 20 reads and 2 MiB a second: {slow} s, {bytes_slow} s")
    check(fast < slow, f"without a limit it took {fast} s, with one {slow} s")
    one_line(m, "block-limit d xvdz ops=1", r"d: has no disk xvdz")
    one_line(m, "block-limit d xvda ops=many", r"bad 'ops=many'")


def test_controllers_two_4k():
    """An NVMe and a virtio-blk at once, both with sectors of 4096 bytes; each dies while the other goes on."""
    size = ",logical_block_size=4096,physical_block_size=4096"
    one = gpt_image("ctl-two-a", 48 * MIB, [(1, *mib(1, 33, 4096), "data1")], 4096)
    other = gpt_image("ctl-two-b", 48 * MIB, [(1, *mib(1, 33, 4096), "data1")], 4096)
    second = ["-drive", "if=none,id=ns2,format=raw,file=null-co://,file.size=8M", "-device", "nvme-ns,drive=ns2,bus=nv,nsid=2"]
    with Machine("ctl-two", iso=hiding("ctl-two", 5, 6), extra=nvme(5, one, size + ",id=nv") + second + virtio(6, other, size)) as m:
        m.boot()
        shows(m, "volumes", r"^blk0: it has 2 namespaces: 1 is used, the others are not$")
        one_line(m, disk_for_x("blk0", "data2"), r"x: disk xvda: blk0: no volume 'data2' on this disk; it has 2 namespaces: 1 is used")
        m.cmd("create blk1")
        out = shows(m, "volumes", r"^blk1:data1 +32 MiB +-$")
        check(re.search(r"^blk0:data1 +32 MiB +-$", out, re.M) and re.search(r"^blk1:disk +48 MiB +-$", out, re.M), out)
        create(m, "name=d vcpus=2 disk=['phy:blk0:data1,xvda,w','phy:blk1:data1,xvdb,w']")
        shows(m, "volumes", r"^blk1:data1 +32 MiB +d:w$")
        m.console("d")
        out, _ = m.guest("cd /sys/block; echo $(cat xvd[ab]/queue/logical_block_size "
                         "xvd[ab]/queue/physical_block_size xvd[ab]/size)")
        check("4096 4096 4096 4096 65536 65536" in out, f"disks of 4096-byte sectors: {out}")
        before = kernel_lines(m)
        load(m, "/dev/xvda", "nvme")
        load(m, "/dev/xvdb", "virtio")
        m.leave()
        for i in range(1, CRASHES // 2 + 1):
            for name in ("blk0", "blk1"):
                crash(m, name, i, then=0.2)
        m.console("d")
        load_ends(m, ["nvme", "virtio"])
        for dev in ("xvda", "xvdb"):
            check(discard(m, dev, 8192, 65536) == 65536, f"{dev}: 64 KiB were discarded")
        m.guest(dd("xvda", "write", 8191))  # the last block
        check(kernel_lines(m) == before, "the guest's kernel has something to say about its disks")
        m.leave()
        one_line(m, "destroy blk1", r"blk1: d has a disk")
        m.cmd("destroy d")
        m.cmd("destroy blk1")
        check("blk1:" not in m.cmd("volumes"), "volumes of a controller whose domain is gone")
    with open(one, "rb") as f:
        f.seek(33 * MIB)
        check(not any(f.read(15 * MIB - 5 * 4096)), "something was written behind the volume")


def disk_for_x(back, volume, mode="w"):
    return f"create {GRUB} name=x disk=['phy:{back}:{volume},xvda,{mode}']"


def hiding(name, *slots):
    return make_iso(name, bundle=TEST_BUNDLE, cmdline=CMDLINE.replace("(00:05.0)", "".join(f"(00:{i:02x}.0)" for i in slots)))


class Fakes(Machine):
    """fakes: a function of fakepci for each slot. One CPU for domains: QEMU stands still when two touch such a device at once
    (docs/known-issues.md, 5)."""
    def __init__(self, name, fakes, extra, **kw):
        super().__init__(name, cpus=2, extra=["-object", "memory-backend-memfd,id=ram,size=2048M,share=on",
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
    out = shows(m, "volumes", rf"^{name}: controller .*{why}")
    check(f"{name}:disk" not in out, f"a disk of a controller that was refused: {out}")
    one_line(m, disk_for_x(name, "disk"), rf"x: disk xvda: {name}: .*{why}")
    m.cmd(f"destroy {name}")


def nic_of_another_kind(m, slot):
    """The domain runs; whoever looks sees why nobody can have a vif of it, and who wants one is told so."""
    why = rf"net1: NIC 0000:00:{slot:02x}\.0 refused: none of virtio-net, Intel 82574L and 82576"
    m.send(f"create net0 name=net1 pci=['00:{slot:02x}.0']\r")
    m.expect(why, 60)
    m.send("\r")
    m.prompt()
    before = m.cmd("list").count("\n")
    one_line(m, f"create {GRUB} name=x vif=['bridge=net1']", rf"x: vif 0: {why}")
    for line in ("list", "list net1", "network-list net1"):
        check(re.search(rf"^{why}", m.cmd(line), re.M), f"{line} does not say what is wrong with the NIC")
    check(m.cmd("list").count("\n") == before, "something of the guest stayed")
    m.cmd("destroy net1")
    check("net1" not in m.cmd("list"), "words about a NIC whose domain is gone")
    # One of two bridges: the other one serves.
    m.send(f"create net0 name=net1 pci=['00:{slot:02x}.0'] bridges=['good','bad=00:{slot:02x}.0']\r")
    m.expect(why.replace(": NIC", ": bad: NIC"), 60)
    m.send("\r")
    m.prompt()
    one_line(m, f"create {GRUB} name=x vif=['bridge=bad']", rf"x: vif 0: {why}")
    shows(m, "list", rf"^{why.replace(': NIC', ': bad: NIC')}")
    out = m.cmd("create pinger vif=['bridge=good']", 60)
    check("created as domain" in out, f"on the bridge without a wire: {out}")
    check(re.search(r"^pinger .* good$", m.cmd("network-list net1"), re.M), "no row of it")
    for name in ("pinger", "net1"):
        m.cmd(f"destroy {name}", 60)


def nic_that_answers_nothing(m, slot):
    """Each instance dies a moment after it was ready, and nobody was answered: longer and longer pauses, and one line of that."""
    m.cmd(f"create net0 name=net1 pci=['00:{slot:02x}.0']", 60)
    m.send("create pinger vif=['bridge=net1']\r")
    row = m.expect(r"net1: crashed \([^\r\n]*, (\d+) times in a row without an answer to anybody; next tries in 1 to 60 s", 60)
    check(int(row.group(1)) == 9, f"said after {row.group(1)} deaths")
    m.send("\r")
    m.prompt()
    shows(m, "list", r"^net1 .* (1[0-9])\n", 30)
    m.log.flush()
    told = re.findall(r"net1: crashed[^\r\n]*", (LOGS / f"{m.name}.serial.log").read_text(errors="replace"))
    # Who dies again before it was told that it had come has one line for both: fewer than 9 on a busy machine, and none after that of the row.
    restarts = [int(x) for x in re.findall(r"restart (\d+)$", "\n".join(told), re.M)]
    check("in a row" in told[-1] and len(restarts) == len(told) - 1 <= 8 and restarts == sorted(set(restarts)),
          "the row was told as:\n" + "\n".join(told))
    m.cmd("destroy pinger")
    m.cmd("destroy net1")


def frames_that_do_not_fit(m):
    """Longer than the wire takes: nothing arrives, and network-list says where they stayed."""
    m.guest("ip link set eth0 mtu 9000")
    for size in (4000, 1476):
        _, status = m.guest(f"ping -c 1 -W 1 -s {size} 10.0.2.2")
        check(status, f"a ping of {size} bytes was answered")
    m.guest("ip link set eth0 mtu 1500")
    m.leave()
    out = shows(m, "network-list debian", r"^debian +0 +\d+ +\d+ +0 +0 +0 +0 +2( +0){3} net0$")
    check(re.search(r"^net0 +wire +[1-9]\d* +[1-9]\d* ", out, re.M), f"no row of the wire: {out}")


def test_controllers_bad():
    tiny, empty, void = image("ctl-tiny", 512), image("ctl-empty", 0), image("ctl-void", 0)
    any_disk = gpt_image("ctl-any", 8 * MIB, [(1, *mib(1, 2), "p")])
    fakes = {5: fakepci.never_ready, 6: fakepci.never_resets, 7: fakepci.fatal, 8: fakepci.dead,
             16: fakepci.VirtioBlk, 17: fakepci.VirtioNet}
    extra = ["-drive", f"if=none,id=slow,file={any_disk},format=raw,readonly=on,throttling.bps-total=1",
             "-device", "nvme,drive=slow,serial=s,addr=9", "-device", "nvme,serial=none,addr=a",
             *virtio(11, tiny, how="disable-legacy=on"), *nvme(12, empty), *virtio(13, void),
             "-netdev", "user,id=n2", "-device", f"virtio-net-pci,netdev=n2,addr=e,romfile=,{VIRTIO}",
             "-device", f"virtio-scsi-pci,addr=f,{VIRTIO}"]
    with Fakes("ctl-bad", fakes, extra, iso=hiding("ctl-bad", *range(5, 18))) as m:
        m.boot()
        m.expect(r"blk0: controller 0000:00:05\.0 refused: it does not become ready\r", 60)
        m.prompt()
        one_line(m, disk_for_x("blk0", "disk"), r"x: disk xvda: blk0: .*not become ready")
        refused(m, 6, "it does not reset")
        refused(m, 7, r"fatal error")
        refused(m, 8, "its registers do not answer")
        refused(m, 9, "it does not answer a read of its partition table")
        refused(m, 10, "it has no namespace")
        one_line(m, "create blk1 pci=['00:0b.0']", r"blk1: .*00:0b\.0: no IOMMU holds it")
        refused(m, 12, "it is empty")
        refused(m, 13, "it is empty")
        refused(m, 14, "neither NVMe nor virtio-blk")
        refused(m, 15, "neither NVMe nor virtio-blk")
        refused(m, 16, "it does not reset")
        nic_of_another_kind(m, 15)
        nic_that_answers_nothing(m, 17)
        m.console("debian")
        out, status = m.guest("ping -c 1 -W 5 10.0.2.2")
        check(status == 0, f"the rest does not go on: {out}")
        frames_that_do_not_fit(m)


def blkdebug(i, path, model, errors):
    """A controller whose disk fails: errors are (iotype, sector, once)."""
    rules = [{"event": "none", "iotype": kind, "sector": sector, "errno": 5, "once": once}
             for kind, sector, once in errors]
    node = {"driver": "raw", "node-name": f"x{i}", "file": {
        "driver": "blkdebug", "inject-error": rules, "image": {"driver": "file", "filename": str(path)}}}
    return ["-blockdev", json.dumps(node), "-device", f"{model},drive=x{i},addr={i:x}"]


def table(m, slot, pattern, volumes, name="blk1"):
    """What is said about a disk's table, by itself and by `volumes`, and which volumes it has."""
    m.send(f"create {name} pci=['00:{slot:02x}.0']\r")
    m.expect(rf"{name}: {pattern}[^\n]*\n", 60)
    m.send("\r")
    m.prompt()
    out = shows(m, "volumes", rf"^{name}: {pattern}")
    for volume, _ in volumes:  # they come into the store one by one
        out = shows(m, "volumes", rf"^{name}:{volume} ")
    got = re.findall(rf"^{name}:(\S+) +(\d+ \S+) +-", out, re.M)
    check(got == volumes, f"volumes of {name}: {got}, expected {volumes}")


def test_controllers_tables():
    good = [(1, *mib(1, 3), "data1"), (2, *mib(3, 7), "data2")]
    two_volumes = [("disk", "8192 KiB"), ("data1", "2048 KiB"), ("data2", "4096 KiB")]
    whole = two_volumes[:1]
    size = 8 * MIB
    odd = [(1, *mib(1, 5), "left"), (2, *mib(3, 7), "right"), (3, *mib(7, 9), "beyond"), (4, 5000, 4999, "backwards")]
    many = [(128, *mib(1, 2), "last"), (129, *mib(2, 3), "more"), (256, *mib(3, 4), "most")]
    disks = [
        nvme(5, poke(gpt_image("ctl-t5", size, good), 512 + 40, b"\xff")),
        nvme(6, poke(poke(gpt_image("ctl-t6", size, good), 512, b"X"), -500, b"\xff")),
        nvme(7, poke(image("ctl-t7", size), 0, mbr(0x83, 2048, 2048))),
        virtio(8, gpt_image("ctl-t8", size, odd)),
        nvme(9, gpt_image("ctl-t9", size, many, nr=256)),
        blkdebug(10, gpt_image("ctl-ta", size, good), "nvme,serial=a", [("read", 1, False)]),
        nvme(11, image("ctl-tb", 4096)),
        virtio(12, gpt_image("ctl-tc", size, good), drive=",readonly=on"),
    ]
    with Machine("ctl-tables", iso=hiding("ctl-tables", *range(5, 13)), extra=sum(disks, [])) as m:
        m.boot()
        m.expect(r"blk0: the first GPT is damaged \(its header's CRC is wrong\), its backup is used\r", 60)
        m.prompt()
        out = shows(m, "volumes", r"^blk0: the first GPT is damaged")
        check(re.search(r"^blk0:data2 +4096 KiB +-$", out, re.M), f"volumes of the backup GPT: {out}")
        table(m, 6, r"both copies of the GPT are damaged \(its header is gone\): only the whole disk", whole)
        one_line(m, disk_for_x("blk1", "data1"), r"x: disk xvda: blk1: no volume 'data1'")
        m.cmd("destroy blk1")
        table(m, 7, r"an MBR partition table, no GPT: only the whole disk is a volume", whole)
        m.cmd("destroy blk1")
        table(m, 9, r"2 partitions left out \(129: numbers beyond 128 are not served\)", [("disk", "8192 KiB"), ("last", "1024 KiB")])
        m.cmd("destroy blk1")
        table(m, 10, r"the first GPT is damaged \(its header cannot be read\), its backup is used", two_volumes)
        m.cmd("destroy blk1")
        m.cmd("create blk1 pci=['00:0b.0']")
        shows(m, "volumes", r"^blk1:disk +4 KiB +-$")
        m.cmd("destroy blk1")
        m.cmd("create blk1 pci=['00:0c.0']")
        shows(m, "volumes", r"^blk1:data1 +2048 KiB +-$")
        one_line(m, disk_for_x("blk1", "data1"), r"x: disk xvda: blk1: the disk is read-only")
        create(m, "name=x disk=['phy:blk1:data1,xvda,r']", GRUB)
        m.cmd("destroy x")
        m.cmd("destroy blk1")
        table(m, 8, r"partitions 1 and 2 overlap [^\n]*; 2 partitions left out \(3: not within the usable part",
              [("disk", "8192 KiB"), ("left", "4096 KiB"), ("right", "4096 KiB")])
        users(m)
        full(m)


def users(m):
    """Who is let in beside whom, also on volumes that overlap."""
    create(m, "name=u disk=['phy:blk1:left,xvda,w']", GRUB)
    one_line(m, disk_for_x("blk1", "right"), r"x: disk xvda: blk1: domain \d+ writes a part of it")
    one_line(m, disk_for_x("blk1", "left", "r"), r"x: disk xvda: blk1: domain \d+ writes it already")
    create(m, "name=forced disk=['phy:blk1:right,xvda,w!','phy:blk1:left,xvdb,r!']", GRUB)
    shows(m, "volumes", r"^blk1:left +4096 KiB +(u:w,forced:r|forced:r,u:w)$")
    m.cmd("destroy forced")
    m.cmd("destroy u")
    create(m, "name=u disk=['phy:blk1:left,xvda,r']", GRUB)
    one_line(m, disk_for_x("blk1", "left"), r"x: disk xvda: blk1: domain \d+ reads it already")


def full(m):
    """More disks than blk1 has room for: u has one, 15 others make 16."""
    def disks(names):
        return ",".join(f"'phy:blk1:left,xvd{c},r'" for c in names)
    create(m, f"name=many disk=[{disks('abcdefghijklmno')}]")
    one_line(m, disk_for_x("blk1", "left", "r"), r"x: disk xvda: blk1: it has 16 disks already")
    m.console("many")
    out, status = m.guest("for d in /dev/xvd?; do dd if=$d of=/dev/null bs=64k count=4 2>/dev/null && echo good; done")
    check(out.split().count("good") == 15, f"15 disks at once: {out}")
    m.leave()
    crash(m, "blk1", 1)
    m.console("many")
    m.guest("echo 3 > /proc/sys/vm/drop_caches")
    out, status = m.guest("for d in /dev/xvd?; do dd if=$d of=/dev/null bs=64k count=4 2>/dev/null && echo good; done")
    check(out.split().count("good") == 15, f"15 disks after a crash: {out}")
    m.leave()
    m.cmd("destroy u")
    create(m, "name=x disk=['phy:blk1:left,xvda,r']", GRUB)


def test_controllers_medium():
    """Sectors that cannot be read or written: EIO for these requests, and for no others."""
    parts = [(1, *mib(1, 17), "data1"), (2, *mib(17, 33), "data2")]
    errors = [("read", 2048 + 800, False), ("write", 2048 + 1600, False), ("read", 2048 + 2400, True)]
    extra = blkdebug(5, gpt_image("ctl-medium-a", 40 * MIB, parts), "nvme,serial=a", errors)
    extra += blkdebug(6, gpt_image("ctl-medium-b", 40 * MIB, parts), f"virtio-blk-pci,{VIRTIO}", errors)
    with Machine("ctl-medium", iso=hiding("ctl-medium", 5, 6), extra=extra) as m:
        m.boot()
        m.cmd("create blk1")
        create(m, "name=d vcpus=2 disk=['phy:blk0:data1,xvda,w','phy:blk0:data2,xvdb,w',"
                  "'phy:blk1:data1,xvdc,w','phy:blk1:data2,xvdd,w']")
        m.console("d")
        m.guest("dmesg -n 1")
        load(m, "/dev/xvdb", "beside-nvme")
        load(m, "/dev/xvdd", "beside-virtio")
        start = time.monotonic()
        for dev, once in (("xvda", ""), ("xvdc", ",300")):
            # NVMe says that a retry may help, and a retry is what it gets; virtio says nothing, so the guest is told.
            got = failing(m, dev, "read", "$(seq 97 103) $(seq 297 303)")
            check(got == "100" + once, f"{dev}: reads of blocks {got} failed")
            got = failing(m, dev, "write", "$(seq 195 205)")
            check(got == "200", f"{dev}: writes of blocks {got} failed")
            got = failing(m, dev, "read", "$(seq 30 | sed s/.*/100/)")
            check(got.count("100") == 30, f"{dev}: 30 reads of a broken block failed as {got}")
        took = time.monotonic() - start
        load_ends(m, ["beside-nvme", "beside-virtio"])
        m.leave()
        pause(1.5)
        complaints(m, "blk0", ("xvda", "xvdb"), 32, took)
        complaints(m, "blk1", ("xvdc", "xvdd"), 33, took)
        restarts = re.findall(r"^blk[01] .* (\d+)$", m.cmd("list"), re.M)
        check(restarts == ["0", "0"], f"restarts of blk0 and blk1: {restarts}")
        crash(m, "blk0", 1)
        m.console("d")
        check(failing(m, "xvda", "read", "99 100 101") == "100", "what is broken after a crash of blk0")
        m.leave()
        pause(1.5)
        check(stats(m, "d", "xvda")["Errors"] == 33, "the figures did not go on over the crash")


def complaints(m, name, devs, n, took):
    """n requests to the first of devs failed, in so many seconds."""
    got = [stats(m, "d", dev) for dev in devs]
    check([(x["Errors"], x["Bad"]) for x in got] == [(n, 0), (0, 0)], f"{n} requests failed, block-stats says {got}")
    m.send(f"console {name}\r")
    m.expect(rf"{name}: write failed at sector {2048 + 1600}, 8 sectors: (NVMe|virtio-blk) status 0x", 30)
    m.send("\r")
    m.leave()
    m.log.flush()
    text = pathlib.Path(m.log.name).read_text(errors="replace")
    lines = len(re.findall(rf"{name}: \w+ failed at sector", text))
    check(2 <= lines <= took + 2, f"{name} complained {lines} times in {took:.0f} s")


def test_controllers_none():
    """The README's machine without a disk."""
    with Machine("ctl-none", iso=TEST_ISO) as m:
        m.expect(r"blk0: 0000:00:05\.0: there is no such device; it starts without", 120)
        m.boot()
        out = shows(m, "volumes", r"^blk0: it has no controller")
        check("blk0:disk" not in out, f"volumes without a disk: {out}")
        one_line(m, disk_for_x("blk0", "disk"), r"x: disk xvda: blk0: it has no controller")
        one_line(m, "create blk1", r"blk1: 0000:00:06\.0: there is no such device")
        crash(m, "blk0", 1)
        check("debian" in m.cmd("list"), "the guest without a disk")
