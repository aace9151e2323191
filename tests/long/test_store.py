#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The native tests of the store's journal, long: a million operations against the model with some hundred thousand deaths, and damaged journals by the
hundred thousand. SEED and MINUTES in the environment say where it begins, and for how long."""
import os
import random
import subprocess
import time

from tests.lib.machine import BUILD, ROOT, check

SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
MINUTES = float(os.environ.get("MINUTES", "2"))


def run(program, **env):
    subprocess.run(["make", "-s", f"build/unit/{program}"], cwd=ROOT, check=True, timeout=600, stdout=subprocess.DEVNULL)
    done = subprocess.run([str(BUILD / "unit" / program)], env={**os.environ, **{k: str(v) for k, v in env.items()}}, timeout=1800,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0, f"{program} with {env}:\n{done.stdout[-3000:]}")
    return done.stdout


def test_store_model():
    end, seed = time.monotonic() + 60 * MINUTES, SEED
    while seed == SEED or time.monotonic() < end:
        said = run("test_xs_model", XS_MODEL_OPS=1000000, XS_MODEL_SEED=seed)
        print("  " + next(x for x in said.split("\n") if x.startswith("seed")), flush=True)
        seed += 1


def test_store_damage():
    run("test_xs_journal", XS_DAMAGE_ROUNDS=30000)
