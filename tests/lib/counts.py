# SPDX-License-Identifier: MIT
"""The core's counters, as `info -v` shows them."""
import re

ALL, ENDED, CORE = "(all)", "(domains that ended)", "(core, for none of them)"


def counters(m, domain=None):
    """What was counted for a domain by its name, or for ALL (the default), ENDED or CORE: {name: count}, exits by reason (intr, window,
    cpuid, hlt, io, msr, call, npf, other) and the core's work (hypercalls, copies, guest-walks, remembered, nested-walks, ipis,
    self-ipis, moves, device-irqs, irqs-astray). {}: there is no such domain."""
    text = m.cmd("info -v")
    rows = re.findall(rf"^{re.escape(domain or ALL)} +(?:\d+|-)  ((?: [a-z-]+ \d+)+)$", text, re.M)
    return {name: int(n) for row in rows for name, n in re.findall(r" ([a-z-]+) (\d+)", row)}


def grown(before, after):
    """What was counted between two looks; "exits": of all reasons."""
    by = {name: after[name] - n for name, n in before.items()}
    reasons = list(by)[:list(by).index("hypercalls")]
    return {**by, "exits": sum(by[name] for name in reasons)}
