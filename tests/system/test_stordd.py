#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""An unmodified Linux (stordd.cfg of the bundle) serves disks by its own xen-blkback: a file, a volume of LVM, clones of that, an export of NBD of another machine. Each is
written and read with verification, by a guest that has it alone. Where the Linux dies a disk stands still, says so, and is there again, with all that was
answered, when it was detached and attached. KILLS in the environment says how often."""
import os
import re
import socket
import subprocess

import pytest

from tests.lib import taken
from tests.lib.machine import LOGS, ROOT, Boot, check, make_www

KILLS = int(os.environ.get("KILLS", "1"))
MIB = 1 << 20
IMAGE = LOGS / "stordd.img"
EXPORT = LOGS / "stordd-nbd.img"
DISK = "backend=stordd"


def disk():
    """A partition with a file system, in it two files without holes; one for LVM."""
    files = LOGS / "stordd.files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "a.img").write_bytes(os.urandom(16 * MIB))
    (files / "b.img").write_bytes(bytes(8 * MIB))
    subprocess.run(["truncate", "-s", "0", str(IMAGE)], check=True, timeout=30)
    subprocess.run(["truncate", "-s", "150M", str(IMAGE)], check=True, timeout=30)
    subprocess.run(["sgdisk", "-a", "2048", "-n", "1:2048:+48M", "-c", "1:vols", "-n", "2:0:+96M", "-c", "2:lvm", str(IMAGE)], check=True,
                   timeout=30, stdout=subprocess.DEVNULL)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", f"offset={MIB}", "-d", str(files), str(IMAGE), "12288"], check=True,
                   timeout=60, stderr=subprocess.DEVNULL)
    return IMAGE


@pytest.fixture(scope="module")
def port():
    """Another machine's export: QEMU's network reaches this one's own address as 10.0.2.2."""
    LOGS.mkdir(parents=True, exist_ok=True)
    EXPORT.write_bytes(bytes(8 * MIB))
    EXPORT.chmod(0o666)  # the server is a user of its own
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        number = s.getsockname()[1]
    server = subprocess.Popen(["nbd-server", "-d", f"127.0.0.1:{number}", str(EXPORT)], stdout=open(LOGS / "stordd-nbd.log", "w"),
                              stderr=subprocess.STDOUT)
    yield number
    server.kill()
    server.wait()


@pytest.fixture(scope="module")
def boot():
    with Boot("stordd", disk=disk, mem=3072, www=make_www()[0]) as b:  # ten guests of clones
        yield b
    IMAGE.unlink(missing_ok=True)


def in_stordd(m, line, seconds=60):
    m.console("stordd")
    text, status = m.guest(line, seconds)
    m.leave()
    check(status == 0, f"{line}: {status}: {text}")
    return text


def in_guest(m, name, line, seconds=120):
    m.console(name)
    text, status = m.guest(line, seconds)
    m.leave()
    check(status == 0, f"{line}: {status}: {text}")
    return text


def make(m):
    """stordd, with volumes of LVM and two clones of one; a guest with a file."""
    if "stordd" in m.cmd("list"):
        return
    out = m.cmd("create stordd", 60)
    check("stordd: created" in out, out)
    in_stordd(m, "vgcreate -q vg /dev/xvdb && lvcreate -q -y -Zn -Wn -n base -L 16M vg && lvcreate -q -y -Zn -Wn -n data -L 16M vg && "
                 "for c in c1 c2; do lvcreate -q -y -s -n $c -L 8M vg/base || exit; done")
    guest(m, "user", f"file:/vols/a.img,xvda,w,{DISK}")


def guest(m, name, spec):
    out = m.cmd(f"create debian2 name={name} memory=128 vcpus=1 extra='console=hvc0 quiet bh.host={name}' vif=[] disk=['{spec}']", 120)
    check(f"{name}: created" in out, out)
    return out


def attach(m, spec, name="user"):
    return m.cmd(f"block-attach {name} {spec},{DISK}", 120)


def there(vdev):
    """For a guest's shell: its front-end has it a little after the attach is over."""
    return f"until dd if=/dev/{vdev} of=/dev/null count=1 2> /dev/null; do usleep 100000; done; "


def works(m, name, vdev, mib=4):
    out = in_guest(m, name, there(vdev) + f"diskcheck /dev/{vdev} 2 4 {mib} || true", 200)
    if " 0 errors" not in out:
        check(False, f"{vdev}: {out}\n{in_stordd(m, 'dmesg | tail -n 12; cat /run/*.log')}")


def digest(m, name, vdev):
    return in_guest(m, name, there(vdev) + f"dd if=/dev/{vdev} bs=64k iflag=direct 2> /dev/null | sha256sum").split()[0]


# What the role's script calls, of a domain whose back-end directories are folders: an NBD server named `dead` says nothing.
PROGRAMS = {"xenstore-read": 'cat "$T/store/$1"', "xenstore-rm": 'rm -f "$T/store/$1"', "modprobe": "", "blockdev": "echo 0", "stat": "echo 0:0",
            "xenstore-write": 'while [ $# != 0 ]; do echo "$2" > "$T/store/$1"; shift 2; done',
            "nbd-client": 'case $1 in -d) exit ;; esac; echo "$1" >> "$T/asked"; [ "$1" != dead ]'}


def test_storage_silent(tmp_path):
    """Servers that say nothing: each round waits for one of them, and the others' disks have their turn."""
    for folder in "run/vbd", "run/dev", "bin", "sys/block/nbd0", "role":
        (tmp_path / folder).mkdir(parents=True)
    for name, text in PROGRAMS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "role/common").write_text("words() { :; }\n")
    for i, host in enumerate(("dead", "dead", "dead", "lives", "dead")):
        (tmp_path / f"sys/bus/xen-backend/devices/vbd-9-{i}").mkdir(parents=True)
        node = tmp_path / f"store/backend/vbd/9/{i}"
        node.mkdir(parents=True)
        for key, value in ("params", f"{host}:{i}"), ("mode", "w"), ("type", "nbd"):
            (node / key).write_text(value)
    script = tmp_path / "storage"
    script.write_text(re.sub(r"(?<=[ \"(])/(run|sys|role)/", rf"{tmp_path}/\1/", (ROOT / "tools/guest/linux/storage").read_text()))
    env = {**os.environ, "T": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SUBSYSTEM": "xen-backend"}

    def round_of(event):
        (tmp_path / "asked").write_text("")
        subprocess.run(["sh", str(script), event], env=env, check=True, timeout=60)
        return (tmp_path / "asked").read_text().split().count("dead"), (tmp_path / "store/backend/vbd/9/3/hotplug-status").read_text().strip()
    check(round_of("uevent") == (1, "error"), "a first look waits for more than one")
    seen = [round_of("again") for _ in range(4)]
    check(all(n <= 1 for n, _ in seen) and seen[-1][1] == "connected", f"servers waited for, and what the disk of the one that lives is: {seen}")


def test_stordd_serves(m, port):
    make(m)
    for vdev, spec in ("xvdb", "phy:/dev/vg/data,xvdb,w"), ("xvdc", f"nbd:10.0.2.2:{port},xvdc,w"), ("xvdd", "file:/vols/b.img,xvdd,r"):
        out = attach(m, spec)
        check(not out.strip(), out)
        m.expect(rf"user: disk {vdev}: if stordd dies it stands still", 20)
    for vdev in ("xvda", "xvdb", "xvdc"):
        works(m, "user", vdev)
    in_guest(m, "user", there("xvdd") + "! dd if=/dev/zero of=/dev/xvdd count=1 oflag=direct 2> /dev/null")
    check(any(EXPORT.read_bytes()), "nothing came to the other machine")
    rows = m.cmd("block-list user")
    check(len(re.findall(r"\n\d+ ", rows)) == 4, rows)
    for spec, why in ((f"file:/vols/none,xvde,w", "no file /vols/none"), ("phy:/dev/vg/none,xvde,w", "no block device /dev/vg/none"),
                      ("phy:/dev/xvdb,xvde,w", "/dev/xvdb is LVM's"),
                      ("file:/vols/../vols/a.img,xvde,w", "is in use"), ("nbd:10.0.2.2:1,xvde,w", "nbd 10.0.2.2:1")):
        out = attach(m, spec)
        check(why in out, f"{spec}: {out}")
    for vdev in ("xvdb", "xvdc", "xvdd"):
        out = m.cmd(f"block-detach user {vdev}", 60)
        check(not out.strip(), out)
    in_stordd(m, "until [ $(ls /run/vbd | wc -l) = 1 ]; do sleep 1; done; ! losetup -a | grep b.img; [ -e /run/vbd/backend-vbd-*-51712 ]", 60)


def clones(m, names):
    """Each a guest of its own, which writes into its own: no other sees that, nor does what they come from."""
    make(m)
    base = in_stordd(m, "sha256sum < /dev/vg/base").split()[0]
    for name in names:
        guest(m, name, f"phy:/dev/vg/{name},xvda,w,{DISK}")
        check(digest(m, name, "xvda") == base, f"{name} is another one than what it comes from")
    for name in names:
        works(m, name, "xvda")
    sums = {digest(m, name, "xvda") for name in names}
    check(len(sums) == len(names) and base not in sums, f"{sums} of {base}")
    check(in_stordd(m, "sha256sum < /dev/vg/base").split()[0] == base, "what they come from has changed")
    m.cmd(f"destroy {' '.join(names)}", 60)


def test_stordd_clones(m):
    clones(m, ["c1", "c2"])


@pytest.mark.long
def test_stordd_ten_clones(m):
    make(m)
    in_stordd(m, "for c in k1 k2 k3 k4 k5 k6 k7 k8 k9 k10; do lvcreate -q -y -s -n $c -L 4M vg/base || exit; done")
    clones(m, [f"k{i}" for i in range(1, 11)])


def test_stordd_taken_over(m):
    """What it may, beside what it serves, is what any guest may; of its client's memory it has what that granted to it."""
    make(m)
    taken.tried(m, "stordd", "user")


def test_stordd_killed(m):
    make(m)
    for _ in range(KILLS):
        before = digest(m, "user", "xvda")
        m.cmd("crash stordd")
        m.expect(r"user: disk xvda stands still: stordd ended", 60)
        m.expect(r"stordd: started again as domain", 120)
        out = m.cmd("block-detach user xvda --force", 60)
        check("still" not in out and "user:" not in out, out)
        out = attach(m, "file:/vols/a.img,xvda,w")
        check(not out.strip(), out)
        check(digest(m, "user", "xvda") == before, "the file has other contents")
        works(m, "user", "xvda")


def test_stordd_relay(m):
    """By way of a relay a guest notices nothing but the time: no error, no wrong byte."""
    make(m)
    out = m.cmd(f"create blk1 name=relay pci=[] disk=['file:/vols/b.img,xvda,w,{DISK}']", 120)
    check("relay: disk" not in out, out)
    guest(m, "safe", "phy:relay:xvda,xvda,w")
    in_guest(m, "safe", "rm -f /tmp/stop; (diskcheck /dev/xvda 600 4 6 > /tmp/check.log 2>&1; echo status $? >> /tmp/check.log) &")
    for n in range(KILLS + 1):
        if not n:  # the next life does not find it at once
            in_stordd(m, "mv /vols/b.img /vols/b.away")
        m.cmd("crash stordd")
        m.expect(r"relay: disk xvda is unplugged until there is a stordd again", 60)
        if n:  # ... and the relay, while nobody is there for it
            m.cmd("crash --inject relay")
        m.expect(r"relay: disk xvda is plugged again: stordd is domain \d+ now", 120)
        if not n:
            in_stordd(m, "until xenstore-ls backend/vbd | grep -q 'no file /vols/b.img'; do sleep 1; done; mv /vols/b.away /vols/b.img")
        in_guest(m, "safe", "dd if=/dev/xvda of=/dev/null bs=4k count=1 iflag=direct 2> /dev/null", 120)
    out = in_guest(m, "safe", "touch /tmp/stop; until grep -q status /tmp/check.log; do sleep 1; done; cat /tmp/check.log", 200)
    check("status 0" in out and " 0 errors" in out, f"diskcheck: {out}")
    check("I/O error" not in in_guest(m, "safe", "dmesg"), "its kernel says that there was an error")
    m.cmd("destroy safe relay", 60)
