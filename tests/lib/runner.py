# SPDX-License-Identifier: MIT
"""The core with the runner (tests/domains/runner) in the control domain's place, on a machine of any kind: libbh on the machine, and the
hostile guest alone beside it."""
import os
import random
import re

from tests.lib.machine import BUILD, CMDLINE, Machine, check, make_iso


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
