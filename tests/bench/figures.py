#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make measurements`: writes docs/measurements.md from the tree, the images in build/ and build/bench.txt (make bench)."""
import os
import pathlib
import subprocess
import sys

import cost
import cost_devices
from peers import ROWS

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))
import lines as code_lines  # noqa: E402

BEFORE = "bd94a4e"
BUILD = pathlib.Path(os.environ.get("BH_BUILD", ROOT / "build"))
XEN = """| what | Xen 4.17, same QEMU |
|---|---|
| exit round trip | 25 us |
| hypercall | 27 us |
| event-channel ping-pong between two domains | 200 us |
| QEMU start to `xl list` | 9 to 10 s |
| `xl create` to a Debian guest's shell | 9.4 s |
| network outage when a Linux driver domain is restarted | 7.5 to 12 s, and the guest sets its interface up again |
"""


def loaded(elf):
    """(bytes in the file, bytes in memory) of an ELF's load segments."""
    out = subprocess.run(["readelf", "-lW", str(elf)], capture_output=True, text=True, check=True).stdout
    rows = [x.split() for x in out.splitlines() if x.strip().startswith("LOAD")]
    return sum(int(r[4], 16) for r in rows), sum(int(r[5], 16) for r in rows)


def instructions():
    """Lines of the tables: ours as committed, Xen's and the bare machine's."""
    ours, parts = dict(cost.golden()), cost_devices.golden()
    ours |= {row: p[""][0] for row, p in parts.items() if "" in p}
    lines = ["## Instructions", "",
             "Of the whole machine, with one CPU whose clock ticks once an instruction, so they do not depend on how busy the host is. Ours are those that",
             "`make cost` (rows without a device, equal twice) and `tests/bench/cost_devices.py` (rows with one: medians of five, part of `make test-long`)",
             "compare with; `--write` takes them again. Xen's and the bare machine's were taken once, under the same emulator and CPU model",
             "(tests/bench/peers.py). A ratio below 1 is better.", "",
             "| operation | Bulkhead | of it core; driver domain | Xen 4.17 | bare | to Xen | to bare |", "|---|---|---|---|---|---|---|"]
    for row, (what, xen, bare) in ROWS.items():
        if row not in ours and row not in parts:
            continue
        p = {k: v[0] for k, v in parts.get(row, {}).items()}
        mine = ours.get(row, p.get("core", 0) + sum(p.get(d, 0) for d in ("blk", "net")))
        who = "; ".join(f"{p[k]:,.0f}" for k in ("core", "blk", "net") if k in p) if row != "boot" else f"{p['core']:,.0f}"
        cells = [f"{x:,.0f}" if x else "-" for x in (xen, bare)] + [f"{mine / x:.2f}" if x else "-" for x in (xen, bare)]
        lines.append(f"| {what} | {mine:,.0f} | {who if p else '-'} | {' | '.join(cells)} |")
    return [*lines, "", *network(parts), *ways(parts)]


COUNTS = {"exits": cost_devices.REASONS, "intr": "intr", "window": "window", "hlt": "hlt", "hypercalls": "hypercalls", "copies": "copies",
          "IPIs": "ipis"}


def network(parts):
    """What the rows of the network are made of. An exit of a reason that is not there is rarer than one in 200."""
    lines = ["What the network's rows are made of: instructions by who executed them (the rest of a row is the services'), and how often for one. Exits are those",
             "of all domains, hypercalls among them; IPIs go to the one CPU itself.",
             "A ping is netcheck's, one after another, which sleeps until it is answered. ping(8) was no measure: if an answer took longer than a millisecond, it",
             "spins through the last one before its next request, a million instructions by this clock: its guest took 58,000 to 296,000 for one, as the host was",
             "busy. What scatters still is how often it sleeps for one (`hlt`, 1.05 in one boot, 1.40 in another): when the answer comes, the peer's clock says.",
             "What the guest itself needs is held against all that the bare machine needs for the same: what a row has beyond that are core and net0.", "",
             f"| operation | guests | to bare | core | net0 | {' | '.join(COUNTS)} |", "|---|---|---|---|---|" + "---|" * len(COUNTS)]
    for row in (r for r in ROWS if r in cost_devices.TRANSFERS and cost_devices.TRANSFERS[r][0] == "net" and "guest" in parts.get(r, {})):
        p = {k: v[0] for k, v in parts[row].items()}
        counts = [sum(p.get(name, 0) for name in ([names] if isinstance(names, str) else names)) for names in COUNTS.values()]
        what, _, bare = ROWS[row]
        guest, core, net = (f"{p[k]:,.0f}" for k in ("guest", "core", "net"))
        lines.append(f"| {what} | " + " | ".join([guest, f"{p['guest'] / bare:.2f}" if bare else "-", core, net] + [f"{n:.2f}" for n in counts]) + " |")
    return [*lines, ""]


# Operation -> way -> row: what is between the guest and the device.
WAYS = {
    "TCP out, per 1,448 bytes, 82574L": {"net0": "tcp-out-82574", "netdd": "tcp-out-netdd"},
    "TCP in, per 1,448 bytes, 82574L": {"net0": "tcp-in-82574", "netdd": "tcp-in-netdd"},
    "TCP out, per 1,448 bytes, virtio": {"net0": "tcp-out", "vnet, net0": "vnet-out"},
    "TCP in, per 1,448 bytes, virtio": {"net0": "tcp-in", "vnet, net0": "vnet-in"},
    "4 KiB random read, depth 1, NVMe": {"blk0": "read-4k-1", "relay, blk0": "read-4k-relay", "stordd": "read-4k-stordd", "relay, stordd": "read-4k-stordd-relay"},
}


def ways(parts):
    """The same by way of a Linux with the device, a relay, a vnet."""
    lines = ["What is between a guest and its device: our own driver domains, a Linux (netdd or stordd, each with the device as its own), a relay, a vnet. Of a Linux as",
             "driver domain the instructions are among those of the Linuxes, with the guest's.",
             "Spread: the distance of the second from the fourth of five, or of two boots. The last column is all of the row to all of the first with that device.", "",
             "| operation | by | all | spread | core | our driver domains | Linuxes | exits | hypercalls | copies | to the first |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for what, by in WAYS.items():
        first = parts[next(iter(by.values()))][""][0]
        for way, row in by.items():
            p = {k: v[0] for k, v in parts[row].items()}
            ours = p[""] - p["core"] - p["guest"] if "vnet" in p else sum(p.get(k, 0) for k in ("net", "blk"))  # net0's part has no name there
            guests = p.get("guest", p[""] - p["core"] - ours)
            numbers = " | ".join(f"{n:,.0f}" for n in (p[""], parts[row][""][1], p["core"], ours, guests))
            counts = " | ".join(f"{n:.2f}" for n in (p["entries"], p["hypercalls"], p["copies"], p[""] / first))
            lines.append(f"| {what} | {way} | {numbers} | {counts} |")
    return [*lines, ""]


def main():
    lines = ["# Measurements", "",
             "Made by `make bench && make measurements` on a shared machine with two cores, in QEMU's software emulation. Times",
             "there vary from run to run by tens of per cent; compare within one run.", "",
             "## Size", "", "| image | file | loaded, KiB | in memory, KiB | limit |", "|---|---|---|---|---|"]
    for name, limit in (("bulkhead", "512 KiB"), ("control", "1 MiB"), ("store", "1 MiB"), ("pciback", "1 MiB"),
                        ("net", "1 MiB"), ("blk", "1 MiB")):
        elf = BUILD / f"{name}.elf"
        if elf.exists():
            file, mem = loaded(elf)
            lines.append(f"| {name} | {elf.stat().st_size // 1024} KiB | {file // 1024} | {mem // 1024} | {limit} |")
    lines += ["", f"Code lines, neither blank nor comment, C as .clang-format lays it out (tools/lines.py --laid-out). {BEFORE} is before the tree was put",
              "in order: floors, rooms, one table of hypercalls, one frame for driver domains.", "", *code_lines.table([BEFORE, None], True)]
    bench = BUILD / "bench.txt"
    lines += ["", *instructions()]
    lines += ["## Time", ""]
    lines += ["    " + x for x in bench.read_text().splitlines()] if bench.exists() else ["(no bench run yet)"]
    lines += ["", "The outage that the guest sees is the longest silence around a crash less the ping's interval; packets that were in flight are lost,",
              "so the next round trip counts too, and the pauses of the shared machine (the line without a crash) are in it. From the crash",
              "to the word `adopted` is the supervisor's total.", "",
              "A transfer under restarts (`tests/long/test_each_second.py`) costs frames: some 40 segments of 1,448 bytes each time are sent again, by selective",
              "acknowledgements. An outage there is a time in which no byte came; of so many restarts as many longest ones are taken, and beside them stand those of",
              "as long a transfer without, which are the machine's own pauses. Turns of 10 s with and without follow each other; the peer had BBR.",
              "", "For comparison:", "", XEN]
    (ROOT / "docs/measurements.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
