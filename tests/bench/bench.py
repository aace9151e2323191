#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench`: figures of one run on this machine, printed and written to build/bench.txt; pictures of them in build/bench/. The last
line says whether the machine was quiet enough for them to mean anything. Usage: bench.py [PART...]: outages, network, each-second, many, disks; of some
parts nothing is written but the pictures.

Outage: the guest pings at 2 ms while its NIC driver domain is crashed again and again. The outage of one crash is the longest
gap between two replies around it, less the interval; the same gaps without crashes stand beside it, since a shared machine
has pauses of its own. The disks' part is in disk.py.
"""
import os
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import disk  # noqa: E402
import many  # noqa: E402
import picture  # noqa: E402
import services  # noqa: E402
import transfers  # noqa: E402
from busy import Reference  # noqa: E402
from tests.lib import restarts  # noqa: E402
from tests.lib.machine import BUILD, OLD_CPU, TEST_ISO, Machine, make_www  # noqa: E402
from tests.lib.wait import pause  # noqa: E402
from tests.lib.wire import wire_or_user_network  # noqa: E402

INTERVAL_MS = 2.0
CRASHES = int(os.environ.get("CRASHES", "50"))
HANGS = int(os.environ.get("HANGS", "5"))
SECONDS = int(os.environ.get("SECONDS", "60"))  # of a transfer
LINES = []
PICTURES = BUILD / "bench"


def say(text):
    print(text, flush=True)
    LINES.append(text)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def start_ping(m):
    m.guest(f"ping -D -i {INTERVAL_MS / 1000} 10.0.2.2 > /tmp/p.log 2>&1 &")


def gaps(m, most):
    """The `most` longest gaps between replies, in ms, longest first."""
    m.guest("kill -INT $(pidof ping); sleep 1")
    out, _ = m.guest("awk -F'[][]' '/bytes from/ { if (l) printf \"%.2f\\n\", ($2 - l) * 1000; l = $2 }' /tmp/p.log"
                     f" | sort -rn | head -n {most}", 120)
    return [float(x) for x in re.findall(r"^\d+\.\d+$", out, re.M)]


def outage(m, how, count, pause):
    """Crashes net0 `count` times; returns (gaps, supervisor's parts)."""
    m.console("debian")
    start_ping(m)
    m.leave()
    pause(1)
    parts = []
    for _ in range(count):
        m.send(f"crash --{how} net0\r")
        got = m.expect(r"net0: crashed[^\n]*restarted in ([\d.]+) ms \(([^)]*)\)", 60)
        part = {k: float(v) for k, v in re.findall(r"(\w+) ([\d.]+)", got.group(2))}
        part["total"] = float(got.group(1))
        parts.append(part)
        m.prompt()
        pause(pause)
    m.console("debian")
    longest = gaps(m, count)
    m.leave()
    return longest, parts


def lost(longest):
    return [max(0.0, g - INTERVAL_MS) for g in longest]


def report(what, lost, parts):
    say(f"outage, {what}, as the guest sees it (ms, {len(lost)} times): p50 {statistics.median(lost):.1f}  "
        f"p99 {quantile(lost, 0.99):.1f}  max {max(lost):.1f}")
    rows = [("what the guest sees", [spread(lost)])]
    for key in parts[0]:
        vals = [p[key] for p in parts if key in p]
        say(f"  supervisor, {key:8s} p50 {statistics.median(vals):7.2f}  p99 {quantile(vals, 0.99):7.2f}  "
            f"max {max(vals):7.2f}")
        rows.append((f"supervisor: {key}", [spread(vals)]))
    name = re.sub(r"\W+", "-", what).strip("-")
    picture.bars(PICTURES / f"outage-{name}.svg", f"Outage, {what}: p50, with the range to p99", "ms", rows)


def spread(values):
    return statistics.median(values), min(values), quantile(values, 0.99)


def network():
    www, _ = make_www()
    start = time.monotonic()
    with Machine("bench", iso=TEST_ISO, www=www, cpu=OLD_CPU) as m:
        m.expect(r"\(BH\) Bulkhead", 120)
        first = time.monotonic()
        m.boot()
        say(f"QEMU start to the core's first line {first - start:.2f} s, first line to the prompt "
            f"{time.monotonic() - first:.2f} s")
        info = m.cmd("info")
        core, total = (int(re.search(rf"{key}\s*: (\d+)", info).group(1)) for key in ("core_memory_kib", "total_memory"))
        say(f"core's own memory {core // 1024} MiB of {total} MiB (limit 2 % and 16 MiB: {total // 50 + 16} MiB); service domains, MiB: "
            + ", ".join(f"{name} {mem}" for name, mem in re.findall(r"^(\w+) +\d+ +(\d+) ", m.cmd("list"), re.M)
                        if name != "debian"))
        begin = time.monotonic()
        m.send("create debian2 name=second vcpus=1\r")
        m.prompt(120)
        built = time.monotonic() - begin
        m.send("console second\r")
        m.expect(r"guest# ", 120)
        say(f"create to the Debian guest's shell {time.monotonic() - begin:.2f} s, of which building it {built:.2f} s")
        m.leave()
        m.cmd("destroy second")

        m.console("debian")
        start_ping(m)
        pause(10)
        quiet = gaps(m, CRASHES)
        m.leave()
        say(f"longest gaps without a crash in 10 s (ms over the interval): "
            f"{', '.join(f'{g - INTERVAL_MS:.1f}' for g in quiet[:5])}")
        longest, parts = outage(m, "inject", CRASHES, 0.4)
        report("crash", lost(longest), parts)
        longest, parts = outage(m, "hang", HANGS, 0.5)
        report("hang (deadline in the configuration)", lost(longest), parts)

        m.cmd("create microbench", 60)
        m.cmd("create microbench name=peer extra=peer", 60)
        m.send("console microbench\r")
        m.expect(r"microbench: done", 120)
        for line in re.findall(r"microbench: ([^\r\n]*us[^\r\n]*)", m.sp.before):
            say(line)
        m.leave()
        m.cmd("destroy peer", 60)
        m.cmd("destroy microbench", 60)
        services.store(say, m)
        services.writes(say, m)
        services.outages(say, m, start_ping, gaps, INTERVAL_MS)


def each_second():
    with wire_or_user_network("bench-each-second") as w:
        if w:
            for nic in "virtio", "e1000e":
                with Machine(f"bench-each-second-{nic}", wire=w.name, nic=nic, cpu=OLD_CPU) as m:
                    m.boot()
                    restarts.compared(lambda line: say(f"{nic}: {line}"), m, w, SECONDS)


def ratios():
    found = transfers.measure(say)
    if found:
        picture.bars(PICTURES / "network.svg", "The network through net0, as a share of the bare machine's, or of the wire's", "",
                     [(name, [times, instructions]) for name, times, instructions in found], ("by the clock", "by instructions"))


def disks(between):
    found = disk.measure(say, report, between)
    picture.bars(PICTURES / "disks.svg", "A disk through blkback, as a share of the bare machine's", "", [(n, [r]) for n, r in found])


def main():
    quiet = Reference()
    parts = {"outages": network, "network": ratios, "each-second": each_second, "many": lambda: many.measure(say), "disks": lambda: disks(quiet.look)}
    for name in sys.argv[1:] or parts:
        quiet.look()
        parts[name]()
    quiet.look()
    say(quiet.verdict())
    if not sys.argv[1:]:
        BUILD.joinpath("bench.txt").write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
