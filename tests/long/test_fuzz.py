#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The store's fuzzer under libFuzzer, for ten minutes: ring pages that are scribbled over, requests of any form, memory that runs short. MINUTES in the
environment says how long. What it has found to be worth going on from stays in build/fuzz."""
import os
import re
import subprocess

from tests import native
from tests.lib.machine import BUILD, ROOT, check

MINUTES = float(os.environ.get("MINUTES", "10"))
SANITIZE = "-fsanitize=fuzzer,address,undefined"


def build():
    subprocess.run(["tools/setup.sh"], cwd=ROOT, check=True, timeout=900, env={**os.environ, "BH_EXTRA_PACKAGES": "clang-14 libclang-rt-14-dev"})
    sources = [*native.linked("tests/unit/test_xs_fuzz.c"), native.SHIM]
    program = BUILD / "fuzz" / "fuzz_xs"
    (program.parent / "corpus").mkdir(parents=True, exist_ok=True)
    subprocess.run(["clang-14", "-Wno-gnu-variable-sized-type-not-at-end", "-std=gnu11", "-g1", "-O1", SANITIZE, "-fno-sanitize-recover=undefined", "-DUNIT_TEST", *native.INC.split(), *sources, "-lz",
                    "-o", str(program)], cwd=ROOT, check=True, timeout=600)
    return program


def test_fuzz_store():
    os.chdir(ROOT)
    program = build()
    done = subprocess.run([str(program), f"-max_total_time={round(60 * MINUTES)}", "-max_len=65536", "-len_control=10", "-timeout=60", "-rss_limit_mb=4096",
                           f"-artifact_prefix={program.parent}/", str(program.parent / "corpus")], timeout=60 * MINUTES + 600,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    check(done.returncode == 0, f"a finding:\n{done.stdout[-6000:]}")
    print("  " + re.findall(r"^Done.*|^#\d+.*", done.stdout, re.M)[-1], flush=True)
