#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Tests of tests/system that repeat something, with as many rounds as an evening has room for, and those for which `make test` has no room."""
import os
import subprocess

import pytest

from tests.lib.machine import ROOT, check

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
    ("test_services.py", "services-killed", {"KILLS": "20", "HANGS": "5"}),
    ("test_services.py", "services-pciback", {"KILLS": "60"}),
    ("test_store.py", "store-kills", {"KILLS": "60"}),
    ("test_store.py", "store-utils", {"KILLS": "60"}),
    ("test_control.py", "control-killed", {"KILLS": "60"}),
    ("test_stordd.py", "stordd-killed", {"KILLS": "5"}),
    ("test_stordd.py", "stordd-relay", {"KILLS": "5"}),
    ("test_stordd.py", "stordd-ten-clones", {}),
    ("test_netdd.py", "netdd-killed", {"KILLS": "5"}),
    ("test_chaos.py", "chaos", {"ROUNDS": "500", "MINUTES": "120"}),
    ("test_netdd.py", "netdd-taken-over", {"REFS": "32768"}),
    ("test_stordd.py", "stordd-taken-over", {"REFS": "32768"}),
    ("test_matrix.py", "matrix-bios-2cpu", {}),
    ("test_matrix.py", "matrix-uefi-1cpu", {}),
    ("test_matrix.py", "matrix-uefi-4cpu", {}),
)


@pytest.mark.parametrize("program, name, counts", [pytest.param(*case, id=case[1]) for case in CASES])
def test_rounds(program, name, counts):
    got = subprocess.run([ROOT / "tests/system" / program, name], env={**os.environ, **counts}, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    said = "".join(f"  {line}\n" for line in got.stdout.splitlines())
    print(said, end="", flush=True)
    check(got.returncode == 0 and f"ok {name} " in said, f"with {counts}")
