#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# NEEDS: disk
"""A whole Debian boots from its own disk. The block driver domain dies forty times under it: fio with verification on a raw
volume, records on two ext4 file systems (its root and one of the test's). Nothing fails, nothing is wrong, the guest's kernel
has nothing to say. It reboots and powers off, then both file systems pass a forced check. CRASHES and SEED in the environment
say how often and with which intervals."""
import os
import random
import re
import subprocess
import time

import pytest

from tests.lib.guest import SHELL, login, sh
from tests.lib.crash import crash
from tests.lib.machine import DEBIAN_DISK, LOGS, Boot, check
from tests.lib.wait import pause
from tools.mkgpt import partitions
from tests.lib.records import program

CRASHES = int(os.environ.get("CRASHES", "40"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
IMAGE = LOGS / "kill.img"
FS_MIB = 96  # of data1; fio has the rest
LOAD = r"""cd /root && wget -q http://10.0.2.100/records && chmod 755 records || exit 1
mke2fs -q -F -t ext4 -J size=4 /dev/xvdb FSm && mkdir -p /run/fs /root/tree && mount /dev/xvdb /run/fs || exit 1
dmesg > /run/dmesg0
(./records /run/fs > /run/fs.log 2>&1; echo status $? >> /run/fs.log) &
(./records /root/tree > /run/root.log 2>&1; echo status $? >> /run/root.log) &
(r=0 s=0
while [ ! -e /run/stop ] && [ $s = 0 ]; do
    r=$((r + 1))
    # A block that stayed as the last round left it would pass: zeroes do not.
    dd if=/dev/zero of=/dev/xvdb bs=1M seek=FS count=32 oflag=direct conv=notrunc status=none &&
    fio --name=kill --filename=/dev/xvdb --allow_mounted_write=1 --numjobs=4 --offset=FSm --offset_increment=8m --size=8m \
        --rw=randwrite --bsrange=4k-64k --ioengine=libaio --direct=1 --iodepth=32 --randseed=$r --verify=crc32c --do_verify=1 \
        --verify_fatal=1 --group_reporting > /run/fio.$r 2>&1
    s=$?
done
echo status $s rounds $r > /run/fio.log) &
"""


def disk():
    LOGS.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--sparse=always", str(DEBIAN_DISK), str(IMAGE)], check=True, timeout=300)
    return IMAGE


def web():
    www = program("kill")
    (www / "load").write_text(LOAD.replace("FS", str(FS_MIB)))
    return www


@pytest.fixture(scope="module")
def boot():
    with Boot("kill", disk=disk, www=web) as b:
        yield b
    IMAGE.unlink(missing_ok=True)


def rows(listing):
    lines = [x.split() for x in listing.split("\n") if x.strip()]
    head = next(i for i, x in enumerate(lines) if x[0] == "Name")
    return {x[0]: x for x in lines[head + 1:]}


def interval(rng, i):
    """Some come while the next instance adopts; not three in a row, or the supervisor would begin to wait between its tries."""
    return rng.random() * 0.1 if i % 3 == 0 else 0.15 + rng.expovariate(5)


def crashes(m, rng, before):
    """Injects them, at random times; the outage of each, as the control domain reports it."""
    outage = []
    for i in range(1, CRASHES + 1):
        pause(interval(rng, i))
        outage.append(crash(m, "blk0", before + i))
    return outage


def only_blk0_restarted(before, after):
    check(before.keys() == after.keys(), f"domains came or went: {before.keys()}, {after.keys()}")
    for name, row in after.items():
        check(row[1] == before[name][1], f"{name}: domid {before[name][1]} became {row[1]}")
        if name == "blk0":
            check(int(row[-1]) == int(before[name][-1]) + CRASHES, f"restarts of blk0: {row}")
        else:
            check(row[-1] == before[name][-1], f"{name} restarted: {row}")


def attach_again(m):
    """The console shows first what it showed before, so each time has a mark of its own."""
    mark = time.monotonic_ns()
    m.send(f"console debian-disk\recho ba''ck{mark}\r")
    m.expect(rf"back{mark}\r", 60)
    m.expect(SHELL, 20)


def end_load(m):
    """Waits for the last round and the read-back. What the load did, in words."""
    sh(m, "until [ -e /run/fio.2 ] || [ -e /run/fio.log ]; do sleep 1; done", 400)  # few crashes are over before
    sh(m, "touch /run/stop; cd /run; until grep -q status fio.log && grep -q status fs.log && grep -q status root.log; "
          "do sleep 1; done 2>/dev/null; cd", 400)
    did = []
    for log in ("fs", "root"):
        out = sh(m, f"cat /run/{log}.log")
        check("status 0" in out and " 0 errors" in out, f"records, {log}: {out}")
        did.append(sum(int(x) for x in re.search(r"records: (\d+) (\d+) (\d+)", out).groups()))
    out = sh(m, "cat /run/fio.log")
    if "status 0" not in out:
        check(False, f"fio: {out} {sh(m, 'tail -n 30 $(ls -t /run/fio.[0-9]* | head -n 1)')}")
    said = sh(m, "cat /run/fio.[0-9]* | grep -E 'verify:|err= *[^ 0]|error=' || true")
    check(not said.strip(), f"fio: {said}")
    check(min(did) > 50 and int(out.split()[-1]) >= 2, f"too little load to say anything: {did}, {out}")
    return f"{out.split()[-1]} rounds of fio, {did[0]} and {did[1]} records"


def kernel_log(m):
    news = sh(m, "dmesg | diff /run/dmesg0 - | grep '^>' || true")
    bad = [x for x in news.split("\n") if re.search(r"blkfront|xvd|I/O error|EXT4|JBD2|blk_update|Buffer|hung|blocked for", x)]
    check(not bad, f"the guest's kernel log has news of its disks: {bad}")


def host_fsck(image, volume):
    at = partitions(image)[volume][0]
    done = subprocess.run(["e2fsck", "-fn", f"{image}?offset={at}"], capture_output=True, text=True, timeout=300)
    out = done.stdout + done.stderr
    check(done.returncode == 0 and "recovery" not in out, f"e2fsck of {volume}: {done.returncode}\n{out}")


def attach(m):
    """The guest's shell: of the one that is there, or of a new one that boots from its disk."""
    if "debian-disk" in rows(m.cmd("list")):
        attach_again(m)
        return
    m.cmd("destroy debian")
    out = m.cmd("create debian-disk disk=['phy:blk0:root,xvda,w','phy:blk0:data1,xvdb,w']", 90)
    check("created as domain" in out, f"create: {out}")
    m.send("console debian-disk\r")
    login(m)


def test_debian_disk(m):
    attach(m)
    check("6.1." in sh(m, "uname -r"), "another kernel")
    check("/dev/xvda" in sh(m, "findmnt -no SOURCE /"), "the root is not on xvda")
    sh(m, "ping -c 3 10.0.2.2")
    sh(m, "fio --name=ext4 --filename=/root/fio.bin --size=4m --rw=randwrite --bsrange=4k-32k --ioengine=libaio --direct=1 --iodepth=8 "
          "--verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse > /dev/null", 240)
    check(sh(m, "dmesg | grep -c -e 'I/O error' -e 'EXT4-fs error' || true").strip() == "0", "errors in the log")
    m.leave()


def test_kill(m):
    rng = random.Random(SEED)
    print(f"  seed {SEED}", flush=True)
    attach(m)
    sh(m, "wget -q http://10.0.2.100/load && sh load", 120)
    m.leave()
    before = rows(m.cmd("list"))
    start = time.monotonic()
    outage = sorted(crashes(m, rng, int(before["blk0"][-1])))
    took = time.monotonic() - start
    only_blk0_restarted(before, rows(m.cmd("list")))
    attach_again(m)
    did = end_load(m)
    kernel_log(m)
    sh(m, "umount /run/fs && e2fsck -fn /dev/xvdb", 120)
    print(f"  {CRASHES} crashes in {took:.0f} s, outage ms p50 {outage[len(outage) // 2]} p99 "
          f"{outage[len(outage) * 99 // 100]} max {outage[-1]}; {did}", flush=True)
    m.leave()


def test_debian_disk_reboots(m):
    attach(m)
    sh(m, "echo here > /root/mark")
    m.send("reboot\r")
    m.expect(r"debian-disk: reboots, restarting", 120)
    m.expect(r"debian-disk: started again as domain", 60)
    m.send("\r")
    m.prompt()
    m.send("console debian-disk\r")
    login(m)
    check("here" in sh(m, "cat /root/mark"), "what was written before the reboot is gone")
    m.send("poweroff\r")
    m.prompt(120)
    check("debian-disk" not in rows(m.cmd("list")), "it is still there after its power-off")
    check("no crashes" in m.cmd("crashes debian-disk"), "it crashed")
    host_fsck(IMAGE, "root")
    host_fsck(IMAGE, "data1")
