# SPDX-License-Identifier: MIT
"""A TCP transfer between the guest debian and the peer on the wire (tests/guest/netcheck.c), while its driver domain is restarted again and again."""
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from tests.lib.crash import rows
from tests.lib.machine import BUILD, check
from tests.lib.wait import pause
from tests.lib.wire import GATEWAY as PEER

NETCHECK, PORT = str(BUILD / "guest/netcheck"), "9"
GUEST = "10.0.2.15"
WAYS = "out", "in"  # of the guest
TURNS = 6


def restarts(m, count, interval):
    """`restart net0` so often, each counted; ms that each took, by the supervisor."""
    before, begin, took = int(rows(m)["net0"][1]), time.monotonic(), []
    for n in range(count):
        pause(max(0, begin + n * interval - time.monotonic()))
        m.send("restart net0\r")
        took.append(float(m.expect(rf"net0: restarted on request in ([\d.]+) ms[^\n]*restart {before + n + 1}\r", 60).group(1)))
        m.prompt()
    check(int(rows(m)["net0"][1]) == before + count, f"{count} restarts after {before}: {rows(m)['net0']}")
    return took


class Transfer:
    def __init__(self, said):
        got = re.search(r"netcheck: (\d+) bytes in (\d+) ms, (\d+) segments again: (\d+) of (\d+) bytes right, longest us([ \d]+)", said)
        check(got and got.group(1) == got.group(4) == got.group(5), f"not all that was sent came, and was right: {said}")
        self.bytes, self.ms, self.again = (int(x) for x in got.groups()[:3])
        self.gaps = [int(us) / 1000 for us in got.group(6).split()]  # ms without a byte

    def rate(self):
        """MB a second."""
        return self.bytes / self.ms / 1000

    def add(self, other):
        self.bytes, self.ms, self.again = self.bytes + other.bytes, self.ms + other.ms, self.again + other.again
        self.gaps = sorted(self.gaps + other.gaps, reverse=True)
        return self


def serve(m, w):
    """Who takes it, at both ends."""
    w.serve(NETCHECK, "take", PORT)
    m.console("debian")
    m.guest(f"netcheck take {PORT} > /dev/null 2>&1 &")
    m.leave()


def transfer(m, w, way, seconds, meanwhile):
    """The Transfer, and what `meanwhile` gave."""
    if way == "in":
        with ThreadPoolExecutor() as beside:
            said = beside.submit(w.peer, NETCHECK, "fill", GUEST, PORT, str(seconds), timeout=60 + 4 * seconds)
            got = meanwhile()
            return Transfer(said.result()[0]), got
    m.console("debian")
    m.guest(f"netcheck fill {PEER} {PORT} {seconds} > /tmp/fill 2>&1 &")
    m.leave()
    got = meanwhile()
    m.console("debian")
    said, _ = m.guest("wait $!; cat /tmp/fill", 60 + seconds)
    m.leave()
    return Transfer(said), got


def spread(ms):
    ms = sorted(ms)
    return f"p50 {statistics.median(ms):.1f}  p99 {ms[len(ms) * 99 // 100]:.1f}  max {ms[-1]:.1f}"


def compared(say, m, w, seconds):
    """Each way: with a restart each second, and without, for so long each and by turns: what else the host does is in both. Of n restarts the n longest
    times in which nothing came are the outages, and what the host's pauses add to them is told by the n longest without."""
    serve(m, w)
    gaps, took = ([], []), []
    for way in WAYS:
        sums, before = [], len(took)
        for turn in range(TURNS):
            pair = [None, None]
            for with_ in (False, True) if turn % 2 else (True, False):
                pair[with_], got = transfer(m, w, way, seconds // TURNS, (lambda: restarts(m, seconds // TURNS, 1)) if with_ else list)
                took += got
            sums = [a.add(b) for a, b in zip(sums, pair)] if sums else pair
        (alone, with_), n = sums, len(took) - before
        for longest, s in zip(gaps, sums):
            longest.extend(s.gaps[:n])
        say(f"TCP {way}, net0 restarted each second, {n} times: {with_.rate() / alone.rate():.2f} of the rate undisturbed, all bytes right; "
            f"{with_.rate():.1f} MB/s, {alone.rate():.1f} without; {with_.again} segments sent again, {alone.again} without")
    say(f"  outage, {len(took)} restarts both ways, as the receiver sees it (ms): {spread(gaps[1])}; as many longest pauses without: {spread(gaps[0])}")
    say(f"  supervisor (ms): {spread(took)}")
