#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The control domain dies: by command, at a random instruction, by hanging, together with others, in the middle of what it does. The core brings it
back, it goes on with the domains that there are, and no guest notices."""
import os
import re

import pytest

from tests.lib.busy import Busy
from tests.lib.crash import crash, rows
from tests.lib.machine import LOGS, TEST_ISO, Boot, check
from tests.lib.tree import same_tree, tree
from tests.lib.wait import guest_says, pause, until
from tools import mkgpt

KILLS = int(os.environ.get("KILLS", "12"))


def disk():
    LOGS.mkdir(parents=True, exist_ok=True)
    return mkgpt.make(LOGS / "control.img", [("data1", 32), ("data2", 16)])


@pytest.fixture(scope="module")
def boot():
    with Boot("control", iso=TEST_ISO, disk=disk) as b:
        yield b
    (LOGS / "control.img").unlink(missing_ok=True)


def test_control_killed(m):
    """Many times, beside a guest's disk and network. Afterwards guests are made and destroyed, disks come and go."""
    busy = Busy(m, "data1")
    busy.begins()
    before = rows(m)
    outage = []
    for i in range(1, KILLS + 1):
        pause(0.3)
        outage.append(crash(m, "control", i, how="--inject" if i % 3 else ""))
    after = rows(m)
    check({n: d for n, (d, _) in before.items()} == {n: d for n, (d, _) in after.items()}, f"{before} became {after}")
    check(after["control"][1] == str(KILLS), f"restarts: {after['control']}")
    others = {n: r for n, (_, r) in after.items() if n != "control"}
    check(others == {n: r for n, (_, r) in before.items() if n != "control"}, f"{before} became {after}")
    check(len(re.findall(r"control \(0\)", m.cmd("crashes control"))) == min(KILLS, 8), "crashes does not list them")
    out = m.cmd("block-attach busy phy:blk0:data2,xvdb,w", 60)
    check(not out.strip(), f"block-attach: {out}")
    m.console("busy")
    guest_says(m, "ls /dev/xvdb", "^/dev/xvdb")
    m.leave()
    out = m.cmd("block-detach busy xvdb", 60)
    check(not out.strip(), f"block-detach: {out}")
    busy.ends()
    m.cmd("destroy busy", 60)
    check("created as domain" in m.cmd("create echo", 60), "create")
    m.cmd("destroy echo", 60)
    m.console("debian")
    out, status = m.guest("ping -c 3 -i 0.2 10.0.2.30; ping -c 3 -i 0.2 10.0.2.2")
    check(status == 0, f"the first guest's network: {out}")
    m.leave()
    print(f"  {KILLS} deaths, outage ms {' '.join(str(round(x)) for x in sorted(outage))}", flush=True)


def test_control_hangs(m):
    crash(m, "control", how="--hang")


def test_control_with_others(m):
    """Together with a driver domain, with the store, with both: whoever comes back last, all come back, and a guest is served."""
    for names in (["net0"], ["blk0"], ["store"], ["net0", "store"]):
        was = {n: int(r) for n, (_, r) in rows(m).items() if r.isdigit()}
        m.send("".join(f"crash --inject {n}\r" for n in names) + "crash control\r")
        m.expect(r"control: crashed[^\n]*restarted in[^\n]*\r", 60)
        m.send("\r")
        m.prompt()
        until(lambda: {n: int(r) for n, (_, r) in rows(m).items() if r.isdigit()},
              lambda now: all(now[n] == was[n] + 1 for n in names + ["control"]), f"{names} and control", 30)
        m.console("debian")
        out, status = m.guest("ping -c 3 -i 0.2 -W 10 10.0.2.2")
        check(status == 0, f"after {names}: {out}")
        m.leave()


def test_control_in_the_middle(m):
    """While it makes, ends and restarts guests, the store now and then dead as well: each is whole or gone, and nothing of it is left."""
    m.cmd("create echo", 60)
    m.cmd("destroy echo", 60)
    free, before = m.free_mib(), tree(m)
    for i in range(KILLS):
        line = ["create echo", "destroy echo", "create debian name=mid memory=128 vif=[]", "destroy mid"][i % 4]
        m.send("crash --inject store\r" * (i % 3 == 2) + f"crash --inject control\r{line}\r")
        m.expect(r"control: crashed[^\n]*restarted in[^\n]*\r", 60)
        m.send("\r")
        m.prompt()
        for name in ("echo", "mid"):
            if name in rows(m):
                m.cmd(f"destroy {name}", 60)
    check("created as domain" in m.cmd("create echo", 60), "create after all that")
    m.cmd("destroy echo", 60)
    until(m.free_mib, lambda now: abs(now - free) <= 2, f"free memory was {free}", 30)
    left = {"echo", "mid"} & set(rows(m))
    check(not left, f"still there: {left}")
    until(lambda: sorted(tree(m)) == sorted(before), bool, "what the store has", 20)
    same_tree(before, tree(m))


def test_control_ends_the_machine(m):
    """`machine poweroff` asks the guests first, and they run their own shutdown; Ctrl-C, or the death of the control domain, and the machine stays up; -f asks
    nobody. The last of this machine: it ends."""
    m.cmd("create debian name=kept memory=128 vif=[] on_poweroff=preserve", 60)
    m.console("kept")
    m.leave()
    m.cmd("create echo", 60)  # it does not look at what the store says
    m.cmd("pause kept")
    m.send("machine poweroff\r")
    m.expect(r"machine: waits for (?=[^\n]*debian)(?=[^\n]*kept)[^\n]*echo[^\n]*, \d+ s at most")
    m.expect(r"kept: was paused, it goes on")
    for _ in range(2):
        m.expect(r"(debian: powered off, stays down|kept: powered off, kept)\r", 60)
    m.send("machine poweroff\r\x03")
    m.expect(r"machine: stays up; asked to shut down already: echo\r")
    m.prompt()
    check("debian" not in rows(m) and "kept" in rows(m), f"list: {rows(m)}")
    m.send("console kept\r")
    m.expect(r"reboot: Power down")
    m.leave()
    m.send("crash --inject=3000 control\rmachine reboot\r")
    m.expect(r"machine: waits for echo, \d+ s")
    m.expect(r"control: crashed[^\n]*restarted in[^\n]*\r", 60)
    m.expect(r"control: the machine was about to end: that is given up, it stays up[^\n]*\r")
    m.cmd("create debian", 60)
    m.send("machine poweroff -f\r")
    m.expect(r"machine: powers off\r")
    m.ends()
