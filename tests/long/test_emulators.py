#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The same session on another emulator: tests of tests/system under the QEMU of Debian's backports, and its IOMMU as it is by default (passthrough.py).
Where it cannot be had: skipped, and why. What its tests say is passed on, so that it is counted and what was skipped is seen at the end."""
import os
import re
import subprocess

import pytest

from tests.lib import unpacked
from tests.lib.machine import ROOT, Skipped, check

PROGRAMS = ("system/test_session.py", "system/test_isolation.py", "system/test_disk.py", "system/test_matrix.py", "system/test_small.py",
            "system/test_wire.py wire-igb", "long/passthrough.py")


@pytest.mark.parametrize("program", [pytest.param(p, id=os.path.basename(p.split()[0])[:-3].removeprefix("test_")) for p in PROGRAMS])
def test_emulator(program):
    try:
        qemu, version = unpacked.qemu()
    except unpacked.Missing as e:
        raise Skipped(f"the QEMU of backports cannot be had here: {e}") from None
    print(f"  QEMU {version}:", flush=True)
    path, *names = program.split()
    p = subprocess.Popen([ROOT / "tests" / path, "--all", *names], env={**os.environ, "QEMU": str(qemu)}, stdout=subprocess.PIPE, text=True)
    good = False
    for line in p.stdout:
        print(re.sub(r"^(?!(ok|not ok|skipped) )", "  ", line), end="", flush=True)
        good |= line.startswith("ok ")
    check(p.wait() == 0 and good, f"under QEMU {version}")
