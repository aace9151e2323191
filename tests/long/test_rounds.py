#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of tests/system that repeat something, with as many rounds as an evening has room for, and those for which `make test` has no room."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.machine import ROOT, check, run  # noqa: E402

CASES = (
    ("test_kill.py", "kill", {"CRASHES": "200"}),
    ("test_session.py", "session", {"CRASHES": "100"}),
    ("test_handover.py", "handover-grub", {"BURSTS": "3"}),
    ("test_handover.py", "handover-kexec", {"BURSTS": "3"}),
    ("test_handover.py", "handover-bind", {"ROUNDS": "20"}),
    ("test_powercut.py", "powercut", {"CUTS": "100", "CRASHES": "20"}),
    ("test_powercut.py", "powercut-virtio", {"CUTS": "100", "CRASHES": "20"}),
    ("test_disk.py", "disk-kill", {"CRASHES": "10"}),
    ("test_blkhostile.py", "blkhostile-crashes", {"CRASHES": "10"}),
    ("test_controllers.py", "controllers-virtio-blk", {"CRASHES": "10"}),
    ("test_controllers.py", "controllers-two-4k", {"CRASHES": "10"}),
    ("test_matrix.py", "matrix-bios-2cpu", {}),
    ("test_matrix.py", "matrix-uefi-1cpu", {}),
    ("test_matrix.py", "matrix-uefi-4cpu", {}),
)


def rounds(program, name, counts):
    got = subprocess.run([ROOT / "tests/system" / program, name], env={**os.environ, **counts}, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    said = "".join(f"  {line}\n" for line in got.stdout.splitlines())
    print(said, end="", flush=True)
    check(got.returncode == 0 and f"ok {name} " in said, f"with {counts}")


if __name__ == "__main__":
    run([(f"rounds-{case[1]}", lambda case=case: rounds(*case)) for case in CASES])
