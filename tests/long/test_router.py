#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The router of tests/system/test_router.py dies ten times under downloads, and is made anew with net0 in between: nobody gets other bytes, and nobody is
reached who was not before. Then root in it has its kernel's doors to the hypervisor."""
from tests.lib import taken
from tests.lib.machine import Machine, make_www
from tests.system import test_router as router


def test_router_rounds():
    www, digest = make_www()
    with Machine("router-rounds", www=www) as m:
        router.set_up(m)
        for n in range(10):
            router.crashed(m, digest)
            if n % 5 == 4:
                router.made_anew(m)
        taken.tried(m, "router", "translated", serves=False)
