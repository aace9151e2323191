#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What operations cost, in instructions: on one CPU whose clock ticks once an instruction (QEMU's icount), so however busy the host is, the
figures are the same. Rows without a device: medians of a guest that reads the clock around each operation (cost/guest.c). Compared with
cost.golden: "ok cost-ROW" or "not ok cost-ROW" for each. Usage: cost.py [--write]: writes the figures there instead."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import cost_counts  # noqa: E402
import cost_create  # noqa: E402
from count import Counted  # noqa: E402
from tests.lib.machine import BUILD, OLD_CPU, Failed, check, make_iso  # noqa: E402

GOLDEN = pathlib.Path(__file__).parent / "cost.golden"
WORSE = 0.02  # of a row, before it counts as worse
HEAD = "# Instructions of an operation: cost.py --write. A line that gets smaller is committed with its reason.\n"


def create(m, name, extra):
    out = m.cmd(f"create cost name={name} extra={extra}", 300)
    got = re.search(r"created as domain (\d+)", out)
    check(got, f"create {name}: {out}")
    return int(got.group(1))


def restart_store(m):
    """From its death until it serves again, to tenths of a millisecond of a clock that ticks once an instruction. The first one reads the
    journal of all rows before, the second that of next to nothing."""
    for _ in range(2):
        m.send("crash --inject store\r")
        took = float(m.expect(r"store: crashed[^\n]*restarted in ([\d.]+) ms", 60).group(1))
        m.prompt()
    return {"restart-store": round(took * 1e6)}


def operations():
    """Row -> instructions."""
    with Counted("cost", iso=make_iso("cost", bundle=BUILD / "cost.itb"), cpu=OLD_CPU, nics=False) as m:
        m.boot(600)
        last = create(m, "next", "peer,of=1")  # to see which domids come next
        m.cmd("destroy next", 60)
        ids = create(m, "peer", f"peer,of={last + 2}"), create(m, "cost", f"of={last + 1}")
        check(ids == (last + 1, last + 2), f"domids {last}, {ids}")
        m.send("console cost\r")
        m.expect(r"cost: done", 600)
        said = m.sp.before
        check("error" not in said, said)
        rows = {row: int(n) for row, n in re.findall(r"^([a-z][\w-]*) (\d+)\r$", said, re.M)}
        nothing = rows.pop("nothing", 0)
        m.leave()
        return {row: n - nothing for row, n in rows.items()} | cost_counts.rows(m) | cost_create.rows(m) | restart_store(m)


def golden():
    return {row: int(n) for row, n in (line.split() for line in GOLDEN.read_text().splitlines() if line and line[0] != "#")}


def unit(row):
    return "in 100 operations" if ":" in row else "instructions"


def compare(rows, wanted):
    """How many rows are worse, or are not what they were."""
    bad = 0
    for row in sorted(rows.keys() | wanted.keys()):
        is_now, was = rows.get(row), wanted.get(row)
        good = None not in (is_now, was) and is_now <= was * (1 + WORSE)
        bad += not good
        print(f"{'ok' if good else 'not ok'} cost-{row} ({is_now} {unit(row)}, {was} committed)", flush=True)
    return bad


def main():
    try:
        rows = operations()
    except Failed as e:
        print(f"not ok cost: {e}")
        return 1
    if sys.argv[1:] == ["--write"]:
        GOLDEN.write_text(HEAD + "".join(f"{row} {n}\n" for row, n in rows.items()))
        print(GOLDEN.read_text(), end="")
        return 0
    return 1 if compare(rows, golden()) else 0


if __name__ == "__main__":
    sys.exit(main())
