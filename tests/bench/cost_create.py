# SPDX-License-Identifier: MIT
"""What making a guest costs, in instructions of the whole machine from the command until its first instruction: Debian's kernel and ramdisk,
for the first time (hashed, inflated) and again (copied). The machine's clock ticks once an instruction, and `create` says how long it took."""
import re

from tests.lib.machine import check


def create(m, name):
    out = m.cmd(f"create debian name={name}", 300)
    got = re.search(r"created as domain \d+ \((\d+)\.(\d{3}) ms\)", out)
    check(got, f"create {name}: {out}")
    m.cmd(f"destroy {name}", 60)
    return int("".join(got.groups())) * 1000  # of a microsecond


def rows(m):
    """Row -> instructions. Not the first guest of a machine: that one waits until the core knows the time."""
    return {f"create-{name}": create(m, name) for name in ("first", "again")}
