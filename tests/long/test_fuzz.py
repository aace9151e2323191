#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The fuzzers under libFuzzer, for ten minutes each. The store: ring pages that are scribbled over, requests of any form, memory that runs short. The net
driver domain: hostile front-ends and a NIC that lies. Deaths in both. MINUTES in the environment says how long. What they have found to be worth going
on from stays in build/fuzz."""
import os
import re
import subprocess

from tests import native
from tests.lib.machine import BUILD, ROOT, check

MINUTES = float(os.environ.get("MINUTES", "10"))
SANITIZE = "-fsanitize=fuzzer,address,undefined"


def build(name):
    """The fuzzer of which tests/unit/test_NAME_fuzz.c is the bounded run: what that links."""
    subprocess.run(["tools/setup.sh"], cwd=ROOT, check=True, timeout=900, env={**os.environ, "BH_EXTRA_PACKAGES": "clang-14 libclang-rt-14-dev"})
    test = f"tests/unit/test_{name}_fuzz.c"
    program = BUILD / "fuzz" / f"fuzz_{name}"
    corpus(program).mkdir(parents=True, exist_ok=True)
    subprocess.run(["clang-14", "-Wno-gnu-variable-sized-type-not-at-end", "-Wno-constant-logical-operand", "-std=gnu11", "-g1", "-O1", SANITIZE, "-fno-sanitize-recover=undefined", "-DUNIT_TEST",
                    *native.flags_of(test).split(), *native.INC.split(), *native.linked(test), native.SHIM, "-lz", "-lcmocka", "-o", str(program)],
                   cwd=ROOT, check=True, timeout=600)
    return program


def corpus(program):
    return program.parent / f"corpus_{program.name}"


def fuzz(name):
    os.chdir(ROOT)
    program = build(name)
    done = subprocess.run([str(program), f"-max_total_time={round(60 * MINUTES)}", "-max_len=65536", "-len_control=10", "-timeout=60", "-rss_limit_mb=4096",
                           f"-artifact_prefix={program.parent}/{name}-", str(corpus(program))], timeout=60 * MINUTES + 600,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    check(done.returncode == 0, f"a finding:\n{done.stdout[-6000:]}")
    print("  " + re.findall(r"^Done.*|^#\d+.*", done.stdout, re.M)[-1], flush=True)


def test_fuzz_store():
    fuzz("xs")


def test_fuzz_net():
    fuzz("net")
