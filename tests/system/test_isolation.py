#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""A hostile small guest beside a working one: it reaches nothing, and the others live on."""
import re

import pytest

from tests.lib.machine import TEST_ISO, Boot, check


@pytest.fixture(scope="module")
def boot():
    with Boot("isolation", iso=TEST_ISO) as b:
        yield b


def test_isolation_hostile_guest(m):
    m.cmd("create hostile driver_domain=1", 60)  # which gives it no right in the core
    m.send("console hostile\r")
    got = m.expect(r"hostile: (\d+) passed, (\d+) failed", 240)
    text = m.sp.before
    bad = re.findall(r"not ok [^\r\n]*", text)
    check(int(got.group(1)) > 10 and not bad and got.group(2) == "0", f"attacks that succeeded: {bad}")
    m.leave()
    m.expect(r"hostile: crashed[^\n]*", 60)
    m.send("\r")
    m.prompt()
    out = m.cmd("crashes")
    check(re.search(r"hostile.*(nested page fault|NPF|npf|unmapped)", out), f"no crash report of the guest: {out}")
    m.cmd("destroy hostile")
    m.console("debian")
    out, status = m.guest("ping -c 3 -i 0.2 10.0.2.2")
    check(status == 0 and " 0% packet loss" in out, f"the neighbour's network: {out}")
    m.leave()
    listing = m.cmd("list")
    for name in ("control", "store", "pciback", "net0", "debian"):
        check(re.search(rf"^{name}\b", listing, re.M), f"{name} is gone: {listing}")
    check("hostile" not in listing, f"the destroyed guest is still listed: {listing}")


def test_isolation_dma(m):
    """A driver domain that programs its NIC with an address outside its memory: nothing arrives, the core says so.
    A guest that reboots meanwhile is not lost: it starts when it can."""
    m.cmd("destroy net0", 60)
    m.console("debian")
    m.send("reboot -f\r")
    m.expect(r"debian: reboots, restarting", 60)
    why = "debian: vif 0: no net driver domain net0; it is tried again"
    m.expect(why + " until it starts", 60)
    m.prompt()
    m.cmd("create dmatest", 60)
    m.send("console dmatest\r")
    m.expect(r"dmatest: own buffer received: yes", 60)
    m.expect(r"dmatest: foreign buffer received: no", 60)
    m.leave()
    out = m.cmd("dmesg")
    check(re.search(r"IOMMU: unit 00:01\.0 passed its trial: a write of 00:0[35]\.0 arrived", out),
          f"nobody tried the IOMMU, or it failed: {out[-2000:]}")
    check(re.search(r"IOMMU: blocked DMA of (0000:)?00:03\.0", out), f"the core reported no blocked DMA: {out[-2000:]}")
    check(why in m.cmd("list"), "list does not say who waits")
    m.cmd("destroy dmatest", 60)
    m.send("create net0\r")
    m.expect(r"debian: started again as domain", 60)
