# SPDX-License-Identifier: MIT
"""What the store holds."""
import re

from tests.lib.machine import check

COUNTERS = r" *(?:bh-stats|uplink(?:-\d)?) = "


def tree(m):
    """All of it but counters."""
    lines = m.cmd("xenstore-ls", 120).split("\n")
    check(any("local" in x for x in lines), f"no tree: {lines}")
    return [x.rstrip() for x in lines if x.strip() and not re.match(COUNTERS, x)]


def same_tree(before, after):
    lost, more = [x for x in before if x not in after], [x for x in after if x not in before]
    check(not lost and not more and len(before) == len(after), f"gone: {lost}; new: {more}; {len(before)} lines, now {len(after)}")
