#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The core with the runner in the control domain's place: libbh on the machine, and the hostile guest alone beside it; then small guests
that are not Linux under the control domain: two that wait for each other right behind an STI, and one in as little memory as unikernels are given."""
import re

import pytest

from tests.lib import hltpair, runner
from tests.lib.machine import BUILD, CMDLINE, Machine, check, make_iso


def test_small_lib():
    runner.lib()


@pytest.mark.parametrize("cpus", [pytest.param(1, id="1-cpu"), pytest.param(3, id="3-cpus")])
def test_small_hostile(cpus):
    runner.hostile(cpus)


RTC, OFF = "+05:30", -3600  # the battery clock is local time; a guest is an hour behind that


def utc(m):
    return float(re.search(r"^utc_seconds +: ([\d.]+)", m.cmd("info"), re.M).group(1))


def abicalls(m, memory, words, offset):
    """The guest by its PVH entry, from its creation to its end; its clock is the core's, and `offset` seconds."""
    before = utc(m)
    out = m.cmd(f"create abicalls name=abi memory={memory} {words}", 120)
    check("created as domain" in out, f"create: {out}")
    m.send("console abi\r")
    m.expect(r"abi: (\d+) ok, (\d+) not\r", 120)
    text = m.sp.before
    bad = re.findall(r"abi: NOT [^\r\n]*", text)
    check(m.sp.match.group(2) == "0" and int(m.sp.match.group(1)) >= (75 if "vcpus=3" in words else 45), f"in {memory} MiB: {bad or text[-1500:]}")
    clock = int(re.search(r"abi: clock (\d+)\r", text).group(1))
    m.leave()
    after = utc(m)
    check(before - 1 <= clock - offset <= after, f"its clock says {clock}, the core's {before} to {after}, it was to be {offset} s ahead")
    m.cmd("destroy abi", 60)


def waits(m):
    """One that waits for a driver domain; made by hand meanwhile, and destroyed, it waits no more."""
    waiting = "later: vif 0: no net driver domain net0; it starts when that is there"
    check(waiting in m.cmd("list"), f"list does not say who waits: {m.cmd('list')}")
    out = m.cmd("create later vif=[]", 120)
    check("created as domain" in out, f"create: {out}")
    m.cmd("destroy later", 60)
    out = m.cmd("list")
    check("later" not in out, f"it was made by hand and destroyed: {out}")


def test_small_guests():
    with Machine("small-guests", iso=make_iso("small-guests", f"{CMDLINE} rtc={RTC}", bundle=BUILD / "hlt-pair.itb"), mem=1024, nics=False) as m:
        m.boot(300)
        early = hltpair.pair(m, 500, True)
        check(not early, f"{early} up-calls in an interrupt shadow")
        out = m.cmd("create abicalls memory=1", 60)
        check(re.search(r"abicalls: memory: kernel 'abicalls' needs \d MiB, 1 are given", out), f"in 1 MiB: {out}")
        for memory in (4, 8):
            abicalls(m, memory, "", 0)
        abicalls(m, 48, "vcpus=3", 0) # two of them by VCPUOP_initialise
        abicalls(m, 16, f"localtime=1 rtc_timeoffset={OFF}", 19800 + OFF)
        said = m.cmd("dmesg").count("no device at guest-physical")
        check(said == 4, f"the core said {said} times of 4 guests that they have a filler")
        waits(m)
