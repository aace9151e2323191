#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The core with the runner in the control domain's place: libbh on the machine, and the hostile guest alone beside it; then small guests
that are not Linux under the control domain: two that wait for each other right behind an STI, and one in as little memory as unikernels are given."""
import os
import random
import re

from tests.lib import hltpair
from tests.lib.machine import BUILD, CMDLINE, Machine, check, make_iso, run


def small(name, cpus, args, bundle, machine=Machine):
    os.environ["CONTROL_ARGS"] = f"'args={args}'"
    iso = make_iso(name, CMDLINE, BUILD / "runner.elf", bundle)
    os.environ.pop("CONTROL_ARGS")
    with machine(name, iso=iso, cpus=cpus, mem=512, nics=False) as m:
        m.expect(r"runner: done, (\d+) of libbh failed", 180)
        m.log.flush()
        with open(m.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()


def lib(machine=Machine):
    """And beside it a guest that calls what unikernels and BSDs call at boot."""
    text = small("small-lib", 1, "apic=1;refused=1", BUILD / "abicalls.elf", machine)
    check(re.search(r"abi: [5-9]\d ok, 0 not", text), f"calls of guests that are not Linux: {re.findall(r'abi: NOT.*', text) or text[-2000:]}")
    check(len(re.findall(r"no device at guest-physical", text)) <= 1, "a filler is said more than once")
    check(re.search(r"runner: guest ended: state 3 .*invalid guest state", text), f"a state that VMRUN refuses: {text[-500:]}")
    good = re.findall(r"^ok lib_\S+", text, re.M)
    check(len(good) >= 11 and "not ok" not in text, f"libbh on the machine:\n{text}")


def hostile(cpus, machine=Machine):
    seed = random.randrange(1, 1 << 32)
    text = small(f"small-hostile-{cpus}", cpus, f"seed={seed};calls=100000", BUILD / "hostile.elf", machine)
    bad = re.findall(r"not ok [^\r\n]*", text)
    check(re.search(r"hostile: [5-9]\d passed, 0 failed", text) and not bad, f"seed {seed}: {bad or text[-2000:]}")
    check("hostile: 100000 random hypercalls" in text, f"seed {seed}: the random calls did not end")
    check(re.search(r"runner: guest ended: state 3 .*nothing there", text), f"seed {seed}: the hole was not caught: {text[-500:]}")


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


def small_guests():
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


if __name__ == "__main__":
    run([("small-lib", lib), ("small-hostile-1-cpu", lambda: hostile(1)), ("small-hostile-3-cpus", lambda: hostile(3)),
         ("small-guests", small_guests)])
