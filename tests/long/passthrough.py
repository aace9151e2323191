#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""An emulator's IOMMU that translates no DMA and swallows the serial line's interrupt (QEMU from 9.2 on, by default): every assignment is refused,
and a shell is there to see it. test_emulators.py runs it; QEMU in the environment."""
import re

from tools import mkgpt
from tests.lib.machine import LOGS, Machine, check

UNIT = "amd-iommu,intremap=on,pt=on"


def test_passthrough():
    with Machine("passthrough", iommu=UNIT, disk=mkgpt.make(LOGS / "passthrough.img", [("data1", 16)])) as m:
        m.boot(300)
        out = m.cmd("dmesg")  # these are keys that arrived
        failed = set(re.findall(r"IOMMU: unit 00:01\.0 failed its trial: it translates no DMA of (00:0[35]\.0)", out))
        check(failed == {"00:03.0", "00:05.0"}, f"the trials of both devices: {out[-3000:]}")
        check(len(re.findall(r"serial: the interrupt of the line does not come", out)) == 1, f"the serial line: {out[-3000:]}")
        check("passed its trial" not in out, f"a unit that translates nothing passed: {out[-3000:]}")
        for name, what in (("net0", "NIC 0000:00:03.0"), ("blk0", "controller 0000:00:05.0")):
            out = m.cmd("list")
            check(re.search(rf"{name}: {what} refused: its IOMMU unit failed its trial", out), f"list does not say why {name}'s device does not work: {out}")
        for name in ("net0", "blk0"):
            m.cmd(f"destroy {name}", 60)
        out = m.cmd("create debian vif=[]", 60)
        check("created as domain" in out, f"a guest that needs no device: {out}")
        for line in ("create net0", "create blk0"):
            out = m.cmd(line, 60)
            check(re.search(r"the trial of its IOMMU unit failed", out), f"{line!r} answered {out!r}")
        m.console("debian")
        out, status = m.guest("echo $((6 * 7))")
        check(status == 0 and "42" in out, f"the guest: {out}")
        m.leave()
