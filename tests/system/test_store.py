#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The store dies and comes back, and no client notices: a guest's questions are all answered, guests come and go meanwhile, and in the end the store
holds what it held. KILLS and SEED in the environment say how often, and at which moments."""
import os
import random
import re
import shutil

import pytest

from tools import mkgpt
from tests.lib.crash import crash
from tests.lib.machine import LOGS, ROOT, TEST_ISO, Boot, check
from tests.lib.records import program
from tests.lib.tree import same_tree, tree
from tests.lib.wait import pause, shows

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
ASKS = 3000  # of each of the two threads
FREE = r"^blk0:data1 +16 MiB +-"  # nobody's; blk0 says so a little after the disk went


def www():
    folder = program("store", "storeask")
    shutil.copy(ROOT / "tests/guest/storeutils.sh", folder)
    return folder


@pytest.fixture(scope="module")
def boot():
    with Boot("store", iso=TEST_ISO, www=www, disk=lambda: mkgpt.make(LOGS / "store.img", [("data1", 16)])) as b:
        yield b


def fetch(m, name):
    """The guest, whose console is attached, gets a program of tests/guest."""
    out, status = m.guest(f"cd /tmp; n=0; until [ -e {name} ] || wget -q http://10.0.2.100/{name} || [ $n = 20 ]; "
                          f"do n=$((n + 1)); sleep 1; done; chmod 755 {name}", 120)
    check(status == 0, f"the program does not come: {out}")


def asks(m):
    m.console("debian")
    fetch(m, "storeask")
    m.guest(f"(./storeask 2 {ASKS}; echo ov''er) > /tmp/log 2>&1 &")
    m.leave()


def all_answered(m):
    m.console("debian")
    out, _ = m.guest("until grep -q over /tmp/log; do sleep 1; done; cat /tmp/log", ASKS)
    check(f"{2 * ASKS} of {2 * ASKS} requests" in out, out)
    out, _ = m.guest("dmesg | grep -i -E 'xen.*(error|fail|fatal|timeout)'; true")
    check(not out.strip(), f"the guest's kernel noticed: {out}")
    m.leave()


def test_store_kills(m):
    print(f"  seed {SEED}", flush=True)
    rng = random.Random(SEED)
    m.console("debian")
    m.leave()
    m.cmd("create echo", 60)
    m.cmd("destroy echo", 60)
    before, took = tree(m), []
    asks(m)
    for i in range(KILLS):
        if i % 4 == 0:
            m.send("create echo\r")
        if i % 4 == 2:
            m.send("destroy echo\r")
        pause(rng.random() * 0.3)
        took.append(crash(m, "store", count=i + 1, then=0.2))
    m.cmd("", 60)
    print(f"  {KILLS} deaths, back after {min(took):.0f} to {max(took):.0f} ms, median {sorted(took)[len(took) // 2]:.0f}", flush=True)
    out = m.cmd("list")
    check(re.search(rf"^store .* {KILLS}$", out, re.M), f"restarts are not counted: {out}")
    check("echo" not in out, f"a guest stayed: {out}")
    all_answered(m)
    same_tree(before, tree(m))


def test_store_hangs(m):
    """It stands still while a guest is made, and a driver domain dies meanwhile: that one does not wait for it, and the guest gets all it needs."""
    m.console("debian")
    m.leave()
    restarts = int(re.search(r"^store .* (\d+)$", m.cmd("list"), re.M).group(1))
    before = tree(m)
    m.send("crash store --hang\rcreate echo\r")
    pause(0.5)
    m.send("crash net0 --inject\r")
    seen = {}
    while len(seen) < 2:
        got = m.expect(r"(net0|store): crashed[^\n]*restarted in ([\d.]+) ms", 60)
        seen[got.group(1)] = float(got.group(2))
    print(f"  a store that hung was back after {seen['store']:.0f} ms, net0 meanwhile after {seen['net0']:.0f} ms", flush=True)
    out = m.cmd("list", 60)
    check(re.search(rf"^store .* {restarts + 1}$", out, re.M) and "echo" in out, out)
    m.send("console echo\r")
    m.expect("echo: ready", 30)
    m.leave()
    out = m.cmd("destroy echo", 60)
    same_tree(before, tree(m))


def test_store_at_any_moment(m):
    """Deaths at random instructions of a create and a destroy; everything that begins ends as it would have."""
    m.console("debian")
    m.leave()
    before = tree(m)
    rng = random.Random(SEED)
    for i in range(KILLS):
        m.send("crash store --inject\r" + ("destroy echo\r" if i % 2 else "create echo\r"))
        m.expect(r"store: crashed[^\n]*restarted in [\d.]+ ms", 60)
        pause(rng.random() * 0.2)
        out = m.cmd("list", 60)
        check(("echo" in out) == (i % 2 == 0), f"after the {'destroy' if i % 2 else 'create'} of round {i}: {out}")
    same_tree(before, tree(m))


def test_store_hotplug(m):
    """A guest's disk comes and goes: Linux watches, reads, writes in transactions, while the store dies in each."""
    m.console("debian")
    m.leave()
    m.cmd("block-attach debian phy:blk0:data1,xvdb,w", 60)
    m.cmd("block-detach debian xvdb", 60)
    shows(m, "volumes", FREE)
    before = tree(m)
    rng = random.Random(SEED)
    for i in range(KILLS):
        there = i % 2 == 0
        m.send("block-attach debian phy:blk0:data1,xvdb,w\r" if there else "block-detach debian xvdb\r")
        pause(rng.random() * 0.3)
        crash(m, "store")
        m.console("debian")
        out, status = m.guest("n=0; while [ %s -b /dev/xvdb ] && [ $n -lt 200 ]; do n=$((n + 1)); usleep 50000; done; "
                              "[ $n -lt 200 ]%s" % (("!", " && dd if=/dev/xvdb of=/dev/null bs=64k count=16") if there else ("", "")), 60)
        check(status == 0, f"round {i}: the disk is {'not there' if there else 'still there'}: {out}")
        m.leave()
        m.cmd("", 60)
    shows(m, "volumes", FREE)
    same_tree(before, tree(m))


def test_store_utils(m):
    """Debian's xenstore-utils in the guest: what each prints, and how it ends; then the same while the store dies between any two of their requests."""
    m.console("debian")
    fetch(m, "storeutils.sh")
    out, status = m.guest("./storeutils.sh", 120)
    check(status == 0 and "storeutils: 1 rounds" in out, out)
    m.guest("rm -f stop; (./storeutils.sh stop; echo ov''er) > log 2>&1 &")
    m.leave()
    rng = random.Random(SEED)
    for _ in range(2 * KILLS):
        crash(m, "store", then=rng.random() * 0.8)
    m.console("debian")
    out, _ = m.guest("touch stop; until grep -q over log; do sleep 1; done; cat log", 300)
    check(re.search(r"storeutils: \d+ rounds, \d+ commands, 0 wrong", out), out)
    print("  " + re.search(r"storeutils: .*", out).group(0), flush=True)
    m.leave()


def test_store_commands(m):
    """The shell's own: over the whole tree, and a watch that ends after so many changes, or by Ctrl-C, and holds up nothing else."""
    def said(line, want):
        out = m.cmd(line).strip("\n")
        check(out == want, f"{line}: {out!r}, not {want!r}")

    m.console("debian")
    m.leave()
    before = tree(m)
    said("xenstore-write /t/a 1 /t/b/c 'two words' mine x", "")
    said("xenstore-read -p /t/a /t/b/c /local/domain/0/mine /none", "/t/a: 1\n/t/b/c: two words\n/local/domain/0/mine: x\n/none: not found")
    said("xenstore-write /t/a 2 /t// 3", "/t//: invalid")
    said("xenstore-read /t/a", "1")
    said("xenstore-list -p /t /t/a /t/b", "/t/a\n/t/b\n/t/b/c")
    said("xenstore-exists /t/b /t/c", "/t/b: exists\n/t/c: not found")
    said("xenstore-chmod -r /t/b n16 r17", "")
    said("xenstore-ls -fp /t", "/t/a = 1  (n0)\n/t/b =   (n16,r17)\n/t/b/c = two words  (n16,r17)")
    said("xenstore-chmod /t/b 16", "usage: xenstore-chmod [-r] PATH PERM...")
    said("xenstore-rm -t /t/b/c", "")
    said("xenstore-ls /t", "a = 1")
    said("xenstore-rm /t mine", "")
    domid = re.search(r"^debian +(\d+)", m.cmd("list"), re.M).group(1)
    data = f"/local/domain/{domid}/data"
    m.console("debian")
    m.guest("(while [ -e /tmp ]; do xenstore-write data/ticks 1; usleep 100000; done) & echo $! > /tmp/ticks")
    m.leave()
    said(f"xenstore-watch -n 4 {data}", "\n".join([data] + 3 * [f"{data}/ticks"]))
    m.send(f"xenstore-watch {data}\r")
    for _ in range(3):
        m.expect(rf"\n{data}/ticks\r", 60)
    m.send("\x03")
    m.prompt()
    m.send(f"xenstore-watch {data} @releaseDomain\r")
    m.expect(r"\n@releaseDomain\r", 60)
    m.send("\x03")
    m.prompt()
    m.console("debian")
    m.guest("kill $(cat /tmp/ticks); wait; xenstore-rm data/ticks")
    m.leave()
    same_tree(before, tree(m))
