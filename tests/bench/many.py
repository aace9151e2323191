# SPDX-License-Identifier: MIT
"""The part of `make bench` with many small guests (tests/domains/microbench, idle): how long until all are up, what each takes of the machine's
memory, what the services do when nobody wants anything, and what one more costs."""
import re
import time

from count import CORE, Counted
from tests.lib.machine import OLD_CPU, TEST_ISO, Machine, check
from tests.lib.wait import pause, until

GUESTS = 50
SECONDS = 5
BUSY = 1_000_000  # instructions of the core in two seconds: it scrubs
WHO = CORE, "control", "store"


def make(m, i):
    out = m.cmd(f"create microbench name=small{i} extra=idle", 120)
    check("created as domain" in out, f"create: {out}")


def up(m):
    """How many wait for something to do."""
    return len(re.findall(r"^small\d+ +\d+ +\d+ +1 +-b", m.cmd("list"), re.M))


def free_kib(m):
    return int(re.search(r"free_memory\s*:\s*(\d+)", m.cmd("info")).group(1)) * 1024


def timed(say):
    with Machine("bench-many", iso=TEST_ISO, cpu=OLD_CPU, nics=False) as m:
        m.boot()
        make(m, 0)
        m.cmd("destroy small0", 60)
        pause(2)
        free, begin = free_kib(m), time.monotonic()
        for i in range(GUESTS):
            make(m, i)
        until(lambda: up(m), lambda n: n == GUESTS, "not all are up", 60, 0.05)
        say(f"{GUESTS} small guests of 4 MiB: all up after {time.monotonic() - begin:.2f} s, "
            f"{(free - free_kib(m)) / GUESTS / 1024:.2f} MiB each of the machine's memory")


def work(m, fn):
    before = m.executed()
    fn()
    after = m.executed()
    return {who: after[who] - before[who] for who in WHO}


def settles(m):
    """Until all free pages are scrubbed: the core does that while nobody wants anything."""
    until(lambda: work(m, lambda: pause(2))[CORE], lambda n: n < BUSY, "the core does not come to rest", 90, 0.1)


def counted(say):
    with Counted("bench-many-counted", sleep=True, who=True, iso=TEST_ISO, cpu=OLD_CPU, nics=False) as m:
        m.boot(600)
        m.cmd("destroy debian", 60)  # its clock ticks
        make(m, 0)
        m.cmd("destroy small0", 60)
        settles(m)
        costs = [sum(work(m, lambda: make(m, i)).values()) for i in range(GUESTS + 1)]
        until(lambda: up(m), lambda n: n == GUESTS + 1, "not all are up", 60)
        settles(m)
        idle = work(m, lambda: pause(SECONDS))
        say(f"the {GUESTS + 1}st small guest costs {costs[-1] / costs[0]:.2f} of the first in instructions; when all wait, a second costs "
            + ", ".join(f"{who} {n / SECONDS:.0f}" for who, n in idle.items()))


def measure(say):
    timed(say)
    counted(say)
