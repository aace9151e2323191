# SPDX-License-Identifier: MIT
"""The services' part of `make bench`: what the store gives a small guest (tests/domains/microbench/store.c) and Debian's xenstore-write, and
how long a restart of a service keeps its clients waiting."""
import os
import re
import statistics
import time

from tests.lib.counts import counters, grown
from tests.lib.crash import crash
from tests.lib.machine import check
from tests.lib.wait import pause

CRASHES = int(os.environ.get("SERVICE_CRASHES", "10"))
OPERATIONS = 1000, 6000  # of the short and the long run: making and ending the guest cancels out
PAIRS = 300
COUNTED = "exits", "ipis"


def small(m, words, name="microbench"):
    out = m.cmd(f"create microbench name={name} extra='{words}'", 60)
    check("created as domain" in out, f"create: {out}")


def says(m, pattern, name="microbench", seconds=120):
    """What it said; its console is left again."""
    m.send(f"console {name}\r")
    got = m.expect(pattern, seconds)
    m.leave()
    return got


def run(m, what, n):
    """(ns for each, of the guest and of the store what was counted) of so many operations in a guest of its own."""
    before = counters(m, "store")
    small(m, f"store={what} n={n}")
    ns = int(says(m, rf"microbench: {what} (\d+) ns").group(1))
    guest, store = counters(m, "microbench"), grown(before, counters(m, "store"))
    m.cmd("destroy microbench", 60)
    return ns, (grown(dict.fromkeys(guest, 0), guest), store)


def store(say, m):
    for what in ("read", "write", "transaction"):
        (_, short), (ns, long) = (run(m, what, n) for n in OPERATIONS)
        each = [{c: (b[c] - a[c]) / (OPERATIONS[1] - OPERATIONS[0]) for c in COUNTED} for a, b in zip(short, long)]
        say(f"store, {what}s of one small guest: {1e9 / ns:.0f} a second; for one " +
            ", ".join(f"{who} {e['exits']:.1f} exits and {e['ipis']:.1f} IPIs" for who, e in zip(("the guest", "the store"), each)))
    small(m, "store=says", "says")
    small(m, "store=hears", "hears")
    say(says(m, r"microbench: (a write in the store[^\r\n]*us)", "hears").group(1))
    m.cmd("destroy hears", 60)
    m.cmd("destroy says", 60)


def timed(m, line):
    begin = time.monotonic()
    out, status = m.guest(line, 300)
    check(status == 0, f"{line}: {out}")
    return time.monotonic() - begin


def writes(say, m):
    """300 nodes, in the guest's shell, whose console is not attached yet."""
    m.console("debian")
    loop = f"i=0; while [ $i -lt {PAIRS} ]; do {{}}; i=$((i+1)); done"
    each = timed(m, loop.format("xenstore-write data/k$i v"))
    nothing = timed(m, loop.format("xenstore-write > /dev/null 2>&1"))
    pairs = timed(m, f"xenstore-write $({loop.format('echo data/k$i v')})")
    m.guest(f"xenstore-rm $({loop.format('echo data/k$i')})", 120)
    m.leave()
    say(f"{PAIRS} xenstore-write of a Debian guest: {each:.2f} s; of {PAIRS} that only print their usage {nothing:.2f} s; one with {PAIRS} pairs {pairs:.2f} s, "
        "which is the most that the store can have of it")


def spread(ms):
    return f"p50 {statistics.median(ms):.1f}  max {max(ms):.1f}"


def longest_reads(m, seconds, meanwhile):
    """The longest reads of a small guest that reads on for so long, in ms, the longest first; `meanwhile` is done with its console left."""
    small(m, f"store=gaps seconds={seconds}")
    says(m, "microbench: reads")
    meanwhile()
    got = says(m, r"microbench: longest us([ \d]+)\r", seconds=seconds + 60)
    m.cmd("destroy microbench", 60)
    return [int(us) / 1000 for us in got.group(1).split()]


def kill(m, name, how, times, key=None):
    """(ms by the supervisor, of each; ms from its death to the echo of a `key`, which is typed when it is back)"""
    took, echo = [], []
    for _ in range(times):
        if key:
            m.send(f"crash --{how} {name}\r")
            m.expect(rf"\({name}\) crashed", 60)
            begin = time.monotonic()
            took.append(float(m.expect(rf"{name}: crashed[^\n]*restarted in ([\d.]+) ms", 60).group(1)))
            m.send(key)
            m.expect(rf"bh> {key}", 60)
            echo.append((time.monotonic() - begin) * 1000)
            m.send("\r")
            m.prompt()
        else:
            took.append(crash(m, name, how=f"--{how}"))
        pause(0.4)
    return took, echo


def outages(say, m, start_ping, gaps, interval):
    """Each service's, as those see it who use it; beside it what a guest's ping sees."""
    def pings(fn):
        m.console("debian")
        start_ping(m)
        m.leave()
        pause(1)
        got = fn()
        m.console("debian")
        longest = max(gaps(m, 1)) - interval
        m.leave()
        return got, longest

    say("longest reads of the store without a crash in 10 s (ms): " + ", ".join(f"{x:.1f}" for x in longest_reads(m, 10, lambda: None)[:5]))
    for how, times in (("inject", CRASHES), ("hang", 1)):
        took = []
        reads, ping = pings(lambda: longest_reads(m, 10 + 2 * times, lambda: took.extend(kill(m, "store", how, times)[0])))
        say(f"outage, {how} of the store {times} times (ms): its reader waits {spread(reads[:times])}, supervisor {spread(took)}, longest gap of a ping {ping:.1f}")
        (took, _), ping = pings(lambda: kill(m, "pciback", how, times))
        say(f"outage, {how} of pciback {times} times (ms): supervisor {spread(took)}, longest gap of a ping {ping:.1f}")
        (took, echo), ping = pings(lambda: kill(m, "control", how, times, "help"))
        say(f"outage, {how} of control {times} times (ms): from its death to the echo of a key {spread(echo)}, supervisor {spread(took)}, longest gap of a ping {ping:.1f}")
