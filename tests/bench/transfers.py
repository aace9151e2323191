# SPDX-License-Identifier: MIT
"""The network's part of `make bench`: the transfers of cost_devices.py by the clock, of a whole Debian on a wire through net0 against the same Debian on the
same NIC and a wire of its own without a hypervisor. Both machines run at once and take turns, so that a pause of the host meets both. Beside each ratio
stands that of the instructions (cost_devices.golden, peers.py), and below it what CPU time net0 has had for it, by the core's clock. Then what one guest
sends another, against what goes over the wire."""
import os
import re
import statistics

import cost_devices
from disk import copy
from peers import ROWS
from tests.lib.guest import SHELL, login, sh
from tests.lib.machine import BUILD, OLD_CPU, Machine, Skipped, make_iso
from tests.lib.wire import Wire

ROUNDS = int(os.environ.get("NET_ROUNDS", "3"))
SCALE = float(os.environ.get("NET_SCALE", "1"))
# Row -> (operations of a run, what they are a second, bytes in one).
RATES = {"tcp-out": (100000, "MB", cost_devices.SEGMENT), "tcp-in": (100000, "MB", cost_devices.SEGMENT), "udp-out": (60000, "datagrams", 64),
         "udp-in": (60000, "datagrams", 64)}
PINGS = 500
GUESTS = {"tcp-guests": "tcp-out", "udp-guests": "udp-out", "ping-guests": "ping"}  # row -> what it is held against


class Bare(Machine):
    def command(self, serial):
        return cost_devices.bare_on_wire(serial, self.kw["disk"], self.kw["wire"])


def operations(row):
    return round(RATES[GUESTS.get(row, row)][0] * SCALE) // 100 * 100


def rate(m, row):
    """Operations a second of one run, by the guest's clock."""
    n = operations(row)
    out = sh(m, f"TIMEFORMAT='took %R'; time {{ {cost_devices.TRANSFERS[row][1].format(n)} ; }}", 600)
    return n / float(re.search(r"took ([\d.]+)", out).group(1))


def pings(m, row):
    """Round trips in ms, in order."""
    to = cost_devices.NEIGHBOUR if row in GUESTS else cost_devices.GATEWAY
    out = sh(m, f"ping -i 0.005 -c {round(PINGS * SCALE)} {to} | grep -o 'time=[0-9.]*'", 600)
    return sorted(float(ms) for ms in re.findall(r"time=([\d.]+)", out))


def quantiles(ms):
    return f"p50 {statistics.median(ms):.2f}  p99 {ms[int(0.99 * (len(ms) - 1))]:.2f}"


def spread(values):
    return statistics.median(values), min(values), max(values)


def said(values, digits=2):
    mid, least, most = spread(values)
    return f"{mid:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def figure(row, per_second):
    """Of several rates, in the row's unit."""
    _, unit, size = RATES[GUESTS.get(row, row)]
    return f"{said([r * size / 1e6 for r in per_second], 1)} MB/s" if unit == "MB" else f"{said(per_second, 0)} {unit}/s"


def instructions(row):
    """(bare by ours, Xen by ours) of one operation; None where one is not known. 1 is as quick, as with rates."""
    ours = cost_devices.golden()[row][""][0]
    _, xen, bare = ROWS[row]
    return [theirs and theirs / ours for theirs in (bare, xen)]


def by_instructions(row):
    bare, xen = instructions(row)
    return ", ".join(f"{ratio:.2f} of {what}" for ratio, what in ((bare, "the bare machine"), (xen, "Xen")) if ratio)


def cpu_seconds(m, name):
    """That the core has given the domain so far, to tenths. The guest's console is left for it, and taken again."""
    m.leave()
    got = re.search(rf"^{name} +\d+ +\d+ +\d+ +\S+ +([\d.]+) ", m.cmd("list"), re.M)
    m.console("debian-disk", SHELL)
    return float(got.group(1))


def compare(say, bare, guest):
    """Gives (job, ratio with its spread, ratio of instructions) for each, and the rates and round trips through net0."""
    ratios, ours = [], {}
    for row in RATES:
        runs, before = ([], []), cpu_seconds(guest, "net0")
        for _ in range(ROUNDS):
            runs[0].append(rate(bare, row))
            runs[1].append(rate(guest, row))
        each = [y / x for x, y in zip(*runs)]
        ours[row] = runs[1]
        ratios.append((ROWS[row][0], spread(each), instructions(row)[0]))
        say(f"{ROWS[row][0]}: {said(each)} of the bare machine, by instructions {by_instructions(row)}; {figure(row, runs[1])} through net0, "
            f"{figure(row, runs[0])} bare")
        each = (cpu_seconds(guest, "net0") - before) / ROUNDS / operations(row)
        say(f"  net0 has a CPU for {each * 1e9:.0f} ns of each, {each * 1e9 / RATES[row][2]:.2f} a byte; {100 * each * statistics.median(runs[1]):.0f} % of the time")
    runs = [], []
    for _ in range(ROUNDS):
        runs[0].append(pings(bare, "ping"))
        runs[1].append(pings(guest, "ping"))
    each = [statistics.median(x) / statistics.median(y) for x, y in zip(*runs)]
    ratios.append(("ping, round trips a second", spread(each), instructions("ping")[0]))
    theirs, ours["ping"] = (sorted(sum(r, [])) for r in runs)
    say(f"ping: round trips {said(each)} as quick as on the bare machine, by instructions {by_instructions('ping')}; ms: {quantiles(ours['ping'])} through "
        f"net0, {quantiles(theirs)} bare")
    return ratios, ours


def guests(say, guest, ours):
    ratios = []
    for row, wire in GUESTS.items():
        if row == "ping-guests":
            got = sorted(sum((pings(guest, row) for _ in range(ROUNDS)), []))
            say(f"ping from one guest to another, ms: {quantiles(got)}; over the wire {quantiles(ours[wire])}")
            continue
        got = [rate(guest, row) for _ in range(ROUNDS)]
        each = [r / statistics.median(ours[wire]) for r in got]
        ratios.append((f"{ROWS[row][0]}, of the wire", spread(each), cost_devices.golden()[wire][""][0] / cost_devices.golden()[row][""][0]))
        say(f"{ROWS[row][0]}: {said(each)} of what goes out by the wire; {figure(row, got)}")
    return ratios


def measure(say):
    """Prints by `say`. Gives (job, ratio of times with its spread, ratio of instructions)."""
    disks = copy("bench-bare.img"), copy("bench-guest.img")
    try:
        with Wire() as ours, Wire(f"bare{os.getpid()}") as theirs, \
                Bare("bench-network-bare", disk=disks[0], wire=theirs.name) as bare, \
                Machine("bench-network", iso=make_iso("bench-network", bundle=BUILD / "cost-devices.itb"), cpu=OLD_CPU, disk=disks[1], wire=ours.name) as m:
            for wire in ours, theirs:
                cost_devices.serve(wire)
            m.boot()
            cost_devices.prepare(m)
            login(bare)
            sh(bare, f"systemctl stop '*.timer'; {cost_devices.FETCH}")
            ratios, rates = compare(say, bare, m)
            bare.stop()
            m.leave()
            cost_devices.neighbour(m)
            return ratios + guests(say, m, rates)
    except Skipped as e:
        say(f"skipped, the network: {e}")
        return []
    finally:
        for disk in disks:
            disk.unlink(missing_ok=True)
