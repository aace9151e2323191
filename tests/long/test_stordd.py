#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""fio writes at random and verifies what it wrote, in a whole Debian, on disks of stordd that relays keep: a file, a volume of LVM, a clone of one, an export of NBD of
another machine; two to a relay. stordd, which has a controller of its own, dies five times under it, and now and then a relay with it, or the other machine is away: no I/O
error, no block that is not as it was written last. Then a disk comes back with another size: nothing is asked of it until it is as it was. The short forms are in tests/system/test_stordd.py."""
import os
import re
import signal
import socket
import subprocess

import pytest

from tests.lib.guest import SHELL, login, sh
from tests.lib.machine import CMDLINE, DEBIAN_DISK, LOGS, Machine, check, make_iso
from tests.lib.wait import pause, until

KILLS = int(os.environ.get("KILLS", "5"))
MIB = 1 << 20
NVME = "00:06.0"
DISKS = {"xvdb": "relay:xvda", "xvdc": "relay:xvdb", "xvdd": "relay2:xvda", "xvde": "relay2:xvdb"}  # of the guest; b: file, c: LVM, d: clone, e: NBD
# A pass writes each block once, in an order of its own, and reads all of them: the checksum and the header say that it is this pass's block for that place.
FIO = "fio --name=v --filename=/dev/{0} --size=4m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --randrepeat=0 " \
      "--verify=crc32c --do_verify=1 --verify_fatal=1"
LOOP = "(n=0; until [ -e /tmp/stop ]; do " + FIO + " >> /tmp/{0}.log 2>&1 || {{ echo bad pass >> /tmp/{0}.log; exit; }}; n=$((n+1)); echo $n > /tmp/{0}.passes; " \
       "done; echo good to the end >> /tmp/{0}.log) & disown"


def volumes():
    """What stordd's own controller has: a file system with two files without holes, and a partition for LVM."""
    image, files = LOGS / "stordd-fio.img", LOGS / "stordd-fio.files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "a.img").write_bytes(os.urandom(8 * MIB))
    (files / "b.img").write_bytes(os.urandom(8 * MIB))
    image.write_bytes(bytes(150 * MIB))
    subprocess.run(["sgdisk", "-a", "2048", "-n", "1:2048:+48M", "-c", "1:vols", "-n", "2:0:+96M", "-c", "2:lvm", str(image)], check=True, timeout=30,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", f"offset={MIB}", "-d", str(files), str(image), "12288"], check=True,
                   timeout=60, stderr=subprocess.DEVNULL)
    return image


class Export:
    """Another machine's, by NBD: QEMU's network reaches this one's own address as 10.0.2.2. Each connection has a process of its own, for one whose client died stays."""
    def __init__(self):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.image, self.pid = LOGS / "stordd-fio-nbd.img", LOGS / "stordd-fio-nbd.pid"
        self.image.write_bytes(bytes(8 * MIB))
        self.image.chmod(0o666)  # the server is a user of its own
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.start()

    def start(self):
        with open(LOGS / "stordd-fio-nbd.log", "a", encoding="utf-8") as log:
            subprocess.run(["nbd-server", "-p", str(self.pid), f"127.0.0.1:{self.port}", str(self.image)], stdout=log, stderr=log, check=True, timeout=60)
        until(lambda: self.pid.exists() and self.pid.read_text().strip(), bool, "no NBD server", 20)

    def stop(self):
        os.kill(int(self.pid.read_text()), signal.SIGTERM)  # it ends those of its connections
        self.pid.unlink()


@pytest.fixture(name="export")
def an_export():
    e = Export()
    yield e
    e.stop()
    e.image.unlink()


def in_stordd(m, line):
    m.console("stordd")
    text, status = m.guest(line)
    m.leave()
    check(status == 0, f"{line}: {status}: {text}")
    return text


def in_guest(m, line, seconds=120):
    m.console("debian-disk", SHELL)
    text = sh(m, line, seconds)
    m.leave()
    return text


def make(m, export):
    out = m.cmd(f"create stordd memory=256 disk=[] pci=['{NVME}'] extra='console=hvc0 quiet bh.role=storage bh.vols=/dev/nvme0n1p1 bh.lvm=/dev/nvme0n1p2 "
                "bh.ip=10.0.2.30/24 bh.gw=10.0.2.2'", 120)
    check("stordd: created" in out, out)
    in_stordd(m, "vgcreate -q vg /dev/nvme0n1p2 && lvcreate -q -y -Zn -Wn -n base -L 16M vg && lvcreate -q -y -Zn -Wn -n data -L 16M vg && "
                 "lvcreate -q -y -s -n clone -L 24M vg/base")
    for line in ("create relay disk=['file:/vols/a.img,xvda,w,backend=stordd','phy:/dev/vg/data,xvdb,w,backend=stordd','file:/vols/b.img,xvdc,w,backend=stordd']",
                 f"create relay name=relay2 disk=['phy:/dev/vg/clone,xvda,w,backend=stordd','nbd:10.0.2.2:{export.port},xvdb,w,backend=stordd']"):
        out = m.cmd(line, 120)
        check("created as domain" in out and "disk" not in out, out)
    until(lambda: m.cmd("volumes"), lambda out: len([x for x in out.splitlines() if x.startswith("relay")]) == 5 and "relay: " not in out,
          "not all disks are there", 60)
    disks = ",".join(f"'phy:{volume},{vdev},w'" for vdev, volume in {"xvda": "blk0:root", **DISKS, "xvdf": "relay:xvdc"}.items())
    out = m.cmd(f"create debian-disk disk=[{disks}]", 120)
    check("created as domain" in out, out)
    m.send("console debian-disk\r")
    login(m)
    m.leave()


def dies(m, meanwhile=None):
    """stordd, and what happens while nobody is there. All disks are plugged again when it is there."""
    m.cmd("crash stordd")
    m.expect(r"disk xvd\w is unplugged until there is a stordd again", 60)
    if meanwhile:
        meanwhile()
    for _ in range(5):
        m.expect(r"disk xvd\w is plugged again: stordd is domain \d+ now", 240)


def kills(m, export):
    m.console("debian-disk", SHELL)
    for vdev in DISKS:
        m.send(LOOP.format(vdev) + "\r")
        m.expect(SHELL, 60)
    m.leave()
    for n in range(KILLS):
        pause(3 + 2 * n)  # a pass writes and then reads: it dies under both
        dies(m, (None, lambda: m.cmd("crash --inject relay"), lambda: m.cmd("crash --inject relay2"), export.stop)[n % 4])
        if n % 4 == 3:  # the other machine was away when stordd looked for it
            until(lambda: in_stordd(m, "xenstore-ls backend/vbd"), lambda out: "hotplug-error" in out, "the export is not missed", 60)
            export.start()
        for vdev in DISKS:
            in_guest(m, f"dd if=/dev/{vdev} of=/dev/null bs=4k count=1 iflag=direct status=none", 240)
    names = " ".join(DISKS)
    said = in_guest(m, f"touch /tmp/stop; for d in {names}; do until tail -n 1 /tmp/$d.log | grep -q -e good -e bad; do sleep 1; done; "
                       "echo end $d $(cat /tmp/$d.passes) $(tail -n 1 /tmp/$d.log); done", 900)
    passes = dict(re.findall(r"^end (xvd\w) (\d+) good to the end$", said, re.M))
    if set(passes) != set(DISKS):
        check(False, f"fio: {said}\n{in_guest(m, f'cd /tmp; for d in {names}; do grep -e err= -e verify -e bad $d.log; done')}")
    print(f"  {KILLS} deaths; passes of fio: {passes}", flush=True)
    check("I/O error" not in in_guest(m, "dmesg"), "its kernel says that there was an error")


def other_size(m, mib):
    """The file under relay:xvdc is another one in stordd's next life, and then itself again."""
    sums = "dd if=/dev/xvdf bs=64k iflag=direct status=none | sha256sum"
    digest = re.search(r"[0-9a-f]{64}", in_guest(m, sums)).group()
    in_stordd(m, f"mv /vols/b.img /vols/b.old && dd if=/dev/zero of=/vols/b.img bs=1M count={mib} 2> /dev/null")
    dies(m)
    line = f"xvdc: it came back with {mib * 2048} sectors and not {8 * 2048}: nothing is asked of it"
    until(lambda: m.cmd("volumes"), lambda out: line in out, "it is not said that it has another size", 60)
    in_guest(m, f"rm -f /tmp/sum; ({sums} > /tmp/sum) & disown; sleep 5; [ ! -s /tmp/sum ]")
    in_guest(m, "dd if=/dev/xvdb of=/dev/null bs=4k count=1 iflag=direct status=none")  # the relay's others go on
    in_stordd(m, "mv /vols/b.old /vols/b.img")
    dies(m)
    got = in_guest(m, "until [ -s /tmp/sum ]; do sleep 1; done; cat /tmp/sum")
    check(digest in got, f"it reads {got} and not {digest}")
    check(line not in m.cmd("volumes"), "it still has another size")


def taken_as_it_is(m):
    """Nobody has it when it comes back."""
    out = m.cmd("block-detach debian-disk xvdf", 120)
    check(not out.strip(), out)
    in_stordd(m, "mv /vols/b.img /vols/b.old && dd if=/dev/zero of=/vols/b.img bs=1M count=12 2> /dev/null")
    dies(m)
    until(lambda: m.cmd("volumes"), lambda out: "12 MiB" in out and "relay: " not in out, "it is not taken as it is", 60)
    out = m.cmd("block-attach debian-disk phy:relay:xvdc,xvdf,w", 120)
    check("xvdf" not in out, out)
    in_guest(m, "until [ -b /dev/xvdf ]; do sleep 1; done; [ $(cat /sys/block/xvdf/size) = 24576 ] && " + FIO.format("xvdf"), 240)


def test_stordd_fio(export):
    image = volumes()
    extra = ["-drive", f"if=none,id=d6,file={image},format=raw,cache=writeback", "-device", "nvme,drive=d6,serial=bh6,addr=6"]
    with Machine("stordd-fio", iso=make_iso("stordd-fio", f"{CMDLINE}({NVME})"), disk=f"{DEBIAN_DISK},snapshot=on", extra=extra) as m:
        m.boot()
        m.cmd("destroy debian", 60)
        make(m, export)
        kills(m, export)
        for mib in 4, 12:
            other_size(m, mib)
        taken_as_it_is(m)
    image.unlink()
