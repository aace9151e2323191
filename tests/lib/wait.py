# SPDX-License-Identifier: MIT
"""Waiting that is no `expect`: these few, and each has an end. Seconds are those of a quiet machine, as everywhere."""
import re
import time

from tests.lib.machine import PATIENCE, Failed


def pause(seconds):
    """Lets everything go on by itself, where there is nothing that could be awaited: a load is to run, a driver domain to have served for a while
    (so that its next death is no row of deaths), a command to be under way."""
    time.sleep(seconds)


def until(look, good, what, seconds=30, every=0.5):
    """Looks again and again until what it sees is good, and returns that."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > end:
            raise Failed(f"{what}: {seen}")
        time.sleep(every)


def shows(m, line, pattern, seconds=20):
    """What a shell command prints when it shows that. Driver domains tell the store once a second."""
    return until(lambda: m.cmd(line), lambda out: re.search(pattern, out, re.M), f"{line!r} does not show {pattern!r}", seconds)


def guest_says(m, line, pattern, seconds=120):
    """The same of a command in the guest's shell (its console is attached)."""
    return until(lambda: m.guest(line)[0], lambda out: re.search(pattern, out, re.M), f"{line!r} in the guest does not say {pattern!r}", seconds, 1)
