#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""What tests/lanes.py makes of test programs: nothing that went wrong, did not come to an end or was not run counts as passed."""
import os
import pathlib
import re
import subprocess
import tempfile
import time

from tests.lib.machine import ROOT, check


def lanes(*programs, seconds="20", words=()):
    """Runs these (name, script) in two lanes; the last line, all it said, and the status."""
    with tempfile.TemporaryDirectory() as d:
        for name, script in programs:
            path = pathlib.Path(d) / name
            path.write_text("#!/bin/sh\n" + script, encoding="utf-8")
            path.chmod(0o755)
        env = {k: v for k, v in os.environ.items() if k not in ("TEST_TIMEOUT", "MAKEFLAGS", "MAKELEVEL")}
        got = subprocess.run([str(ROOT / "tests/lanes.py"), "2", seconds, *(f"{d}/{name}" for name, _ in programs), *words], cwd=d, env=env,
                             capture_output=True, text=True, errors="replace", timeout=120, check=False)
    return got.stdout.splitlines()[-1] if got.stdout else "", got.stdout + got.stderr, got.returncode


def listing(names, script):
    return f'[ "$1" != --list ] || {{ echo {names}; exit; }}\n{script}\n'


def test_lanes_count():
    for what, script, want in (
            ("two good ones", listing("a b", "echo ok a; echo ok b"), ("2 passed, 0 failed", 0)),
            ("one skipped", listing("a b", "echo ok a; echo skipped b: why"), ("1 passed, 0 failed", 0)),
            ("one that failed", listing("a b", "echo ok a; echo not ok b; exit 1"), ("1 passed, 1 failed", 1)),
            ("one that failed with status 0", listing("a b", "echo ok a; echo not ok b: why"), ("1 passed, 1 failed", 1)),
            ("an end after the first one", listing("a b c", "echo ok a"), ("1 passed, 2 failed", 1)),
            ("a sum of somebody else's", listing("a b", "echo not ok a: it said; echo 'unit: 7 passed, 0 failed'; echo ok b"), ("1 passed, 1 failed", 1)),
            ("a bad end", listing("a", "echo ok a; exit 3"), ("1 passed, 1 failed", 1)),
            ("nothing", listing("a", ""), ("0 passed, 1 failed", 1)),
            ("no tests at all", "", ("0 passed, 1 failed", 1)),
            ("no list, no tests", 'exec false\n', ("0 passed, 1 failed", 1)),
            ("bytes that are no text", listing("a", "printf 'ok a\\n\\377\\000\\n'"), ("1 passed, 0 failed", 0))):
        last, text, status = lanes(("test_x.py", script))
        check((last, status) == want, f"{what}: {last!r}, status {status}:\n{text}")
    text = lanes(("test_x.py", listing("a b", "echo not ok a: why; echo '  | its last line'; echo ok b")), ("test_y.py", listing("c", "echo ok c")))[1]
    check(text.endswith("\nagain: not ok a: why\n  | its last line\n2 passed, 1 failed\n"), f"what failed is not said again at the end:\n{text}")


def test_lanes_words():
    """A word is the name of a test, whatever lies in the folder that one stands in."""
    with tempfile.TemporaryDirectory() as d:
        pathlib.Path(d, "lanes-count").mkdir()
        got = subprocess.run([ROOT / "tests/system/test_lanes.py", "--list", "lanes-count"], cwd=d, capture_output=True, text=True, timeout=60, check=False)
    check(got.stdout == "lanes-count\n", got.stdout + got.stderr)


def test_lanes_bounded():
    """What hangs is ended with all that it started; what waits for a word that nobody has any more goes on."""
    hang = "# ALONE: x\n" + listing("h", "sleep 600 & echo pid $!; sleep 600")
    after = "# ALONE: x\n# NEEDS: nothing-of-that-name\n" + listing("b", "echo ok b")
    last, text, status = lanes(("test_hang.py", hang), ("test_after.py", after), seconds="2")
    check((last, status) == ("1 passed, 1 failed", 1), f"{last!r}, status {status}:\n{text}")
    check("not ok h (not over after 2 s)" in text, text)
    child = pathlib.Path("/proc", re.search(r"^pid (\d+)$", text, re.M).group(1), "cmdline")
    while running(child):  # until this test is ended
        time.sleep(0.05)


def running(cmdline):
    try:
        return cmdline.read_bytes()
    except OSError:
        return b""
