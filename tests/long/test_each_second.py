#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# ALONE: networks
"""net0 is restarted 60 times (SECONDS), once each second, under TCP transfers, each way: all bytes are right and each restart is counted; what it
costs, beside as long without, is printed. The short form is in tests/system/test_wire.py."""
import os

import pytest

from tests.lib import restarts
from tests.lib.machine import Machine
from tests.lib.wire import Wire

SECONDS = int(os.environ.get("SECONDS", "60"))


@pytest.mark.parametrize("nic", ["virtio", "e1000e"])
def test_each_second(nic):
    with Wire() as w, Machine(f"each-second-{nic}", wire=w.name, nic=nic) as m:
        m.boot()
        restarts.compared(lambda line: print(f"  {nic}: {line}", flush=True), m, w, SECONDS)
