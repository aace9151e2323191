# SPDX-License-Identifier: MIT
"""Service domains that die by command."""
from tests.lib.machine import check
from tests.lib.wait import pause


def rows(m):
    """Of `list`: domid and restarts by name."""
    return {x[0]: (x[1], x[-1]) for x in (line.split() for line in m.cmd("list").split("\n")) if len(x) > 5 and x[1].isdigit()}


def crash(m, name, count=None, how="--inject", then=0):
    """It dies (at a random instruction, unless `how` says otherwise), and has been restarted when this returns; ms that it was away, by the
    supervisor. count: its restarts by then; then: seconds in which it serves, so that its next death is none in a row."""
    m.send(f"crash {how} {name}\r")
    got = m.expect(rf"{name}: crashed[^\n]*restarted in ([\d.]+) ms[^\n]*restart (\d+)\r", 60)
    check(count is None or int(got.group(2)) == count, f"{name}: restart count {got.group(2)}, expected {count}")
    m.prompt()
    pause(then)
    return float(got.group(1))
