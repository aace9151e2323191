# SPDX-License-Identifier: MIT
"""Two small guests (hlt-pair/) that wake each other through an event channel, and sleep by STI; HLT, or wait by STI; NOP. The client counts
up-calls that came in right behind an STI: a processor never does that, and a core that does not keep the interrupt shadow does."""
import re

from tests.lib.machine import BUILD, Failed, Machine, check, make_iso

SILENCE = 60  # seconds without 100 rounds: they stand still


def create(m, name, extra):
    out = m.cmd(f"create hlt-pair name={name} extra={extra}", 120)
    got = re.search(r"created as domain (\d+)", out)
    check(got, f"create {name}: {out}")
    return int(got.group(1))


def pair(m, rounds, nop):
    """One pair from its creation to its end; how many up-calls came in a shadow."""
    last = create(m, "next", "none")  # to see which domid comes next
    m.cmd("destroy next", 60)
    mode = ",nop" if nop else ""
    ids = (create(m, "server", f"server,peer={last + 2}{mode}"), create(m, "client", f"client,peer={last + 1},rounds={rounds}{mode}"))
    check(ids == (last + 1, last + 2), f"domids {last}, {ids}")
    m.send("console client\r")
    seen, early, done = 0, 0, False
    while not done:
        try:
            got = m.expect(r"client: (round|done) (\d+) early (\d+)\r", SILENCE)
        except Failed as e:
            raise Failed(f"the pair stood still after round {seen}: {e}") from None
        done, seen, early = got.group(1) == "done", int(got.group(2)), int(got.group(3))
    m.leave()
    m.cmd("destroy server", 60)
    m.cmd("destroy client", 60)
    check(seen == rounds, f"{seen} of {rounds} rounds")
    return early


def pairs(name, runs, rounds, nop):
    """`runs` pairs of `rounds` rounds (a multiple of 100) in one machine."""
    with Machine(name, iso=make_iso(name, bundle=BUILD / "hlt-pair.itb"), mem=1024, nics=False) as m:
        m.boot(300)
        for _ in range(runs):
            early = pair(m, rounds, nop)
            check(not early, f"{early} up-calls in an interrupt shadow")
