#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The same session on another emulator: tests of tests/system under the QEMU of Debian's backports, and its IOMMU as it is by default (passthrough.py).
Each result is named after the emulator. Where it cannot be had: a line that says so. With words: only these
programs; --list prints them all."""
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib import unpacked  # noqa: E402

TESTS = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = ("system/test_session.py", "system/test_isolation.py", "system/test_disk.py", "system/test_matrix.py", "system/test_small.py",
            "long/passthrough.py")


def under(qemu, version, program):
    """Whether it passed."""
    p = subprocess.Popen([str(TESTS / program), "--all"], env={**os.environ, "QEMU": str(qemu)}, stdout=subprocess.PIPE, text=True)
    said = 0
    for line in p.stdout:
        line, named = re.subn(r"^((?:(?:not )?ok|skipped) )", rf"\1qemu-{version}-", line)
        said += named
        print(line, end="", flush=True)
    if not said:
        print(f"not ok qemu-{version} {program}: it said nothing", flush=True)
    return p.wait() == 0 and said > 0


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(PROGRAMS))
        return 0
    try:
        qemu, version = unpacked.qemu()
    except unpacked.Missing as e:
        print(f"skipped qemu-of-backports: it cannot be had here: {e}", flush=True)
        return 0
    results = [under(qemu, version, p) for p in sys.argv[1:] or PROGRAMS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
