#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The store, pciback and the control domain die by order of the shell, at random instructions and by hanging, beside a guest whose pings, downloads and
disk are checked all the time: nobody but the prompt notices. Then pciback dies while devices come and go. KILLS and HANGS in the environment say how
often each of them."""
import os
import random
import re

import pytest

from tests.lib.busy import Busy
from tests.lib.crash import crash, rows
from tests.lib.machine import CMDLINE, LOGS, TEST_BUNDLE, Boot, check, make_iso, make_www
from tests.lib.wait import guest_says, pause, shows
from tools import mkgpt

KILLS = int(os.environ.get("KILLS", "6"))
HANGS = int(os.environ.get("HANGS", "2"))
SERVICES = ("store", "pciback", "control")


def disk():
    LOGS.mkdir(parents=True, exist_ok=True)
    return mkgpt.make(LOGS / "services.img", [("data1", 32), ("data2", 16)])


@pytest.fixture(scope="module")
def boot():
    iso = make_iso("services", CMDLINE + "(00:04.0)", bundle=TEST_BUNDLE)  # the second NIC is somebody's, too
    with Boot("services", iso=iso, www=lambda: make_www()[0], disk=disk) as b:
        yield b
    (LOGS / "services.img").unlink(missing_ok=True)


def works(m):
    """A guest comes, another one goes, a disk comes and goes, and the first guest has its network."""
    check("created as domain" in m.cmd("create echo", 60), "create")
    m.send("console echo\r")
    m.expect("echo: ready", 30)
    m.leave()
    check(not m.cmd("destroy echo", 60).strip(), "destroy")
    out = m.cmd("block-attach busy phy:blk0:data2,xvdb,w", 60)
    check(not out.strip(), f"block-attach: {out}")
    m.console("busy")
    guest_says(m, "ls /dev/xvdb", "^/dev/xvdb")
    out, status = m.guest("dd if=/dev/urandom of=/tmp/x bs=64k count=4 && dd if=/tmp/x of=/dev/xvdb bs=64k && cmp /tmp/x /dev/xvdb -n 262144", 60)
    check(status == 0, f"the disk that was attached: {out}")
    m.leave()
    out = m.cmd("block-detach busy xvdb", 60)
    check(not out.strip(), f"block-detach: {out}")


def test_services_killed(m):
    load = Busy(m, "data1", make_www()[1])
    load.begins()
    before, outage = rows(m), {}
    for how, times in (("--inject", KILLS), ("--hang", HANGS)):
        for _ in range(times):
            for name in SERVICES:
                pause(0.2)
                outage.setdefault((name, how), []).append(crash(m, name, how=how))
    after = rows(m)
    want = {n: (d, str(int(r) + KILLS + HANGS) if n in SERVICES else r) for n, (d, r) in before.items()}
    check(after == want, f"{before} became {after}")
    for name in SERVICES:
        reasons = re.findall(rf"{name} \(\d+\)  (injected|missed its deadline).*, back after [\d.]+ ms", m.cmd(f"crashes {name}"))
        check(len(reasons) == min(KILLS + HANGS, 8) and reasons[-1] == "missed its deadline", f"crashes {name}: {reasons}")
    works(m)
    print(f"  {load.ends()}", flush=True)
    m.cmd("destroy busy", 60)
    for (name, how), ms in outage.items():
        print(f"  {name} {how}: {len(ms)} deaths, outage ms {' '.join(str(round(x)) for x in sorted(ms))}", flush=True)


# --- pciback at work ------------------------------------------------------------------------------------------------------
NIC = "00:04.0"
CFG = "f41a4110"  # how its configuration space begins: 1af4:1041, a virtio NIC


def struck(m, line):
    """What the command printed; pciback, whose death was ordered for some moment of it, is back."""
    m.send(f"crash --inject={random.randrange(random.choice((5, 40)))} pciback\r")
    m.prompt()
    m.send(f"@struck {line}\r")
    back, out = False, None
    while not back or out is None:
        got = m.expect([r"pciback: crashed[^\n]*restarted in[^\n]*\r", r"@struck end\r?\nbh> "])
        if got.re.pattern.startswith("pciback"):
            check(not back, "pciback died twice")
            back = True
        else:
            out = m.sp.before.split("@struck begin", 1)[1]
    return out


def described(m):
    """Its owner's device is, once and whole."""
    path = f"/local/domain/2/backend/pci/{rows(m)['net1'][0]}/0"
    shows(m, f"xenstore-read {path}/state", "^4$")
    cfg = m.cmd(f"xenstore-read {path}/cfg-0").strip()
    check(cfg.startswith(CFG) and cfg.endswith(".."), f"cfg-0: {cfg}")  # the prompt shows the beginning of so much
    names = m.cmd(f"xenstore-list {path}").split()
    check("error" not in names and "cfg-1" not in names, f"of net1: {names}")
    shows(m, "pci-list net1", rf"{NIC} .* DMA on")  # it found its NIC
    return path


def test_services_pciback(m):
    """pciback dies while a device is given with its domain and to one that runs, while it is described again, and while it goes."""
    seed = os.environ.get("SEED", str(random.randrange(1 << 32)))
    print(f"  seed {seed}", flush=True)
    random.seed(seed)
    for i in range(KILLS):
        given = i % 2
        out = struck(m, f"create net0 name=net1 pci=[{'' if given else repr(NIC)}]")
        check("created as domain" in out, f"create: {out}")
        if given:
            out = struck(m, f"pci-attach net1 {NIC}")
            check("net1 runs: pause it first" in out, f"pci-attach to one that runs: {out}")
            m.cmd("pause net1")
            out = struck(m, f"pci-attach net1 {NIC}")
            check(not out.strip(), f"pci-attach: {out}")
            m.cmd("unpause net1")
            m.send("restart net1\r")
            m.expect(r"net1: restarted on request[^\n]*\r")
            m.prompt()
        path = described(m)
        m.cmd(f"xenstore-rm {path}/cfg-0")
        struck(m, f"xenstore-write {path}/state 1")
        described(m)
        check(not struck(m, "destroy net1").strip(), "destroy")
        check(f"{path.split('/')[-2]}" not in m.cmd("xenstore-list /local/domain/2/backend/pci").split(), "what was described is still there")
        shows(m, "pci-assignable-list", rf"{NIC}.* nobody")
