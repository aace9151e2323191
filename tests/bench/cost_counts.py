# SPDX-License-Identifier: MIT
"""What the core does for an operation, by its own counters (tests/lib/counts.py): exits by reason, hypercalls, grant copies, walks,
interrupts to CPUs. The guest of cost.py, done with its rows, does an operation many times for each key; what it does for none, the key and its
answer, is taken off. `per_operation` is for anybody who has two looks and a number of operations, with devices too."""
import itertools

from tests.lib.counts import counters, grown

DOMAINS = "cost", "peer", "store"  # in an event's way there and back, and in a request to the store, both have their part


def looks(m):
    return [counters(m, name) for name in DOMAINS]


def per_operation(before, after, n, nothing=None):
    """{counter: how often in an operation}, to hundredths, without those that are none; "exits" are those of all reasons. before, after: lists of what `counters` gave of each
    domain, or of ALL alone; nothing: what was counted between two looks without any operation."""
    steps = [grown(a, b) for a, b in zip(before, after)]
    total = {name: sum(s[name] for s in steps) - (nothing or {}).get(name, 0) for name in steps[0]}
    return {name: round(count / n, 2) for name, count in total.items() if round(count / n, 2)}


def done(m, which):
    """What the guest did for that key, and how often; its console is left again."""
    m.send(f"console cost\r{chr(ord('a') + which)}")
    got = m.expect(rf"counted {which} ([a-z][\w-]*) (\d+)\r", 600)
    m.leave()
    return got.group(1), int(got.group(2))


def rows(m):
    """"OPERATION:COUNTER" -> how often in 100 operations."""
    found, nothing = {}, None
    for which in itertools.count():
        before = looks(m)
        name, n = done(m, which)
        if not n:
            return found
        after = looks(m)
        if nothing is None:
            nothing = per_operation(before, after, 1)
        found |= {f"{name}:{counter}": round(count * 100) for counter, count in per_operation(before, after, n, nothing).items()}
