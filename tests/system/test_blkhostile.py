#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""A hostile disk front-end beside a neighbour whose data are verified: it harms itself and nobody else."""
import os
import re
import time

import pytest

from tools import mkgpt
from tests.lib.neighbour import DISKS, PARTS, Neighbour
from tests.lib.crash import crash
from tests.lib.machine import LOGS, TEST_ISO, Boot, Failed, check
from tests.lib.wait import pause, until

CRASHES = int(os.environ.get("CRASHES", "5"))
PHASES = 22


@pytest.fixture(scope="module")
def boot():
    with Boot("blkhostile", iso=TEST_ISO, disk=lambda: mkgpt.make(LOGS / "blkhostile.img", PARTS)) as b:
        yield b


def row(m, name):
    got = re.search(rf"^{name} +\d+ .*$", m.cmd("list"), re.M)
    return got.group(0) if got else None


def restarts(m):
    head = re.search(r"^Name .*$", m.cmd("list"), re.M).group(0)
    at = head.split().index("Restarts")
    return int(row(m, "blk0").split()[at])


def blk0_lines(m):
    """What blk0 says of disks."""
    m.send("console blk0\r")
    pause(1)
    m.leave()
    return re.findall(r"vbd\d+\.\d+: [^\r\n]*", m.sp.before)


def with_state(m, text):
    """The text, and how everybody is. The hostile guest's console is attached."""
    try:
        m.leave()
        seen = [m.cmd(c).strip() for c in ("list", "volumes", "block-list blkhostile")]
        return "\n".join([text, *seen, "blk0 says:", *blk0_lines(m)[-10:]])
    except Failed:
        return text


def wait_for(m, pattern, timeout):
    """Waits for a line of the hostile guest, whose console is attached."""
    try:
        return m.expect(pattern, timeout)
    except Failed as e:
        raise Failed(with_state(m, str(e))) from None


def hostile_ends(m, how):
    """Ends with all its rings full; then its volume is free for the next one, and its memory is back."""
    m.cmd(f"create blkhostile extra='loop end={how}' {DISKS}", 60)
    m.send("console blkhostile\r")
    wait_for(m, "blkhostile: loop", 30)
    m.send("q")
    wait_for(m, r"blkhostile: loop ended, [^\n]*all good", 180)
    wait_for(m, "blkhostile: ends", 30)
    m.leave()
    pause(1)
    m.cmd("destroy blkhostile", 30)


def test_blkhostile_phases(m):
    n, lives = Neighbour(m), restarts(m)
    m.cmd(f"create blkhostile {DISKS}", 60)  # what a first guest costs for good is paid
    m.cmd("destroy blkhostile", 60)
    before = m.free_mib()
    alone = n.rate()
    out = m.cmd(f"create blkhostile {DISKS}", 60)
    check("created as domain" in out, f"create: {out}")
    m.send("console blkhostile\r")
    good, start = 0, time.monotonic()
    while True:
        got = wait_for(m, r"blkhostile: (phase ([^\r\n]*) (ok|FAILED)([^\r\n]*)|done, (\d+) ok, (\d+) failed)[^\r\n]*[\r\n]", 180)
        if got.group(5):
            break
        if got.group(3) != "ok":
            raise Failed(with_state(m, f"phase {got.group(2)}{got.group(4)}"))
        good += 1
    check(good == PHASES and got.group(6) == "0", f"{good} phases were good, {PHASES} expected; {got.group(0)}")
    m.leave()
    lines, bound = blk0_lines(m), 4 * (9 + (time.monotonic() - start) / 5)
    check(any("broke the protocol" in x for x in lines), f"blk0 said nothing of it: {lines}")
    check(len(lines) < bound, f"blk0 said {len(lines)} lines, {bound:.0f} would be many")
    no_deaths(m, lives)
    m.cmd("destroy blkhostile", 60)
    for how in ("crash", "poweroff"):
        hostile_ends(m, how)
    out = m.cmd(f"create blkhostile extra=loop {DISKS}", 60)
    beside = n.rate(10)
    m.cmd("destroy blkhostile", 60)
    print(f"  the neighbour: {alone:.0f} requests/s alone, {beside:.0f} beside a hostile front-end", flush=True)
    gone(m, before)
    next_one(m)
    no_deaths(m, lives)
    n.ends()


def no_deaths(m, expected):
    """blk0 was restarted that often; else the core's lines say of what it died."""
    n = restarts(m)
    if n != expected:
        m.log.flush()
        text = (LOGS / f"{m.name}.serial.log").read_text(errors="replace")
        check(False, f"blk0 was restarted {n} times:\n" + "\n".join(re.findall(r"\(BH\) d\d+ \(blk0\)[^\r\n]*", text)[-3:]))


def gone(m, before):
    until(lambda: (row(m, "blkhostile"), m.free_mib()), lambda seen: not seen[0] and m.memory_is_back(before),
          f"free memory was {before} MiB, and now", 10)


def next_one(m):
    """Somebody else gets what was the hostile guest's volume, and it works."""
    out = m.cmd("create debian name=heir memory=128 vif=[] disk=['phy:blk0:evil,xvda,w']", 60)
    check("created as domain" in out, f"create: {out}")
    m.console("heir")
    out, status = m.guest("diskcheck /dev/xvda 2 4", 120)
    check(status == 0, f"the volume in other hands: {out}")
    m.leave()
    m.cmd("destroy heir", 60)


def test_blkhostile_crashes(m):
    n, lives = Neighbour(m), restarts(m)
    out = m.cmd(f"create blkhostile extra=loop {DISKS}", 60)
    check("created as domain" in out, f"create: {out}")
    for i in range(1, CRASHES + 1):
        pause(0.5 + 0.37 * (i % 5))
        crash(m, "blk0", lives + i)
        n.rate(1)
    m.send("console blkhostile\r")
    m.send("q")
    got = wait_for(m, r"blkhostile: loop ended, ([^\n]*, 0 not closed), then all good", 180)
    print("  " + got.group(1), flush=True)
    m.leave()
    no_deaths(m, lives + CRASHES)
    m.cmd("destroy blkhostile", 60)
    next_one(m)
    n.ends()
