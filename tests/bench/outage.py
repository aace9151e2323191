#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""outage.py ISO [ISO...]: crashes net0 of each ISO in turn, and compares what the supervisor says a restart took.
Figures of one run on one machine: the first ISO's p50 is 1. CRASHES (50) is for each ISO, in ROUNDS (2) boots."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.machine import OLD_CPU, Machine  # noqa: E402
from tests.lib.wait import pause  # noqa: E402

CRASHES, ROUNDS = int(os.environ.get("CRASHES", "50")), int(os.environ.get("ROUNDS", "2"))


def crashes(iso, n, name):
    """Milliseconds of n restarts, and of their parts."""
    out = []
    with Machine(name, iso=pathlib.Path(iso), cpu=OLD_CPU) as m:
        m.boot()
        pause(10)  # the guest has booted
        for _ in range(n):
            m.send("crash net0 --inject\r")
            got = m.expect(r"net0: crashed[^\n]*restarted in ([\d.]+) ms \(detect ([\d.]+) fence ([\d.]+) rebuild ([\d.]+) "
                           r"reset ([\d.]+) adopt ([\d.]+)\)", 60)
            out.append([float(x) for x in got.groups()])
            m.prompt()
            pause(0.3)  # it has served for a while: no back-off
    return out


def at(rows, column, share):
    values = sorted(r[column] for r in rows)
    return values[min(len(values) - 1, int(share * len(values)))]


def main():
    isos, rows = sys.argv[1:], {iso: [] for iso in sys.argv[1:]}
    for r in range(ROUNDS):
        for i, iso in enumerate(isos):
            rows[iso] += crashes(iso, CRASHES // ROUNDS, f"outage-{i}-{r}")
    first = at(rows[isos[0]], 0, 0.5)
    print("ISO  p50 ms  ratio  p90 ms   p50 of detect fence rebuild reset adopt")
    for iso in isos:
        parts = " ".join(f"{at(rows[iso], c, 0.5):.1f}" for c in range(1, 6))
        print(f"{iso}  {at(rows[iso], 0, 0.5):.1f}  {at(rows[iso], 0, 0.5) / first:.2f}  {at(rows[iso], 0, 0.9):.1f}   {parts}")


main()
