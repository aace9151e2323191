#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The generated pages in docs/ say what the core's tables say; every source file names its licence."""
import subprocess

from tests.lib.machine import ROOT, check


def test_docs_current():
    got = subprocess.run([str(ROOT / "tools/docs.py"), "--check"], capture_output=True, text=True)
    check(got.returncode == 0, got.stderr.strip())


def test_licence_lines():
    files = subprocess.run(["git", "ls-files", "*.c", "*.h", "*.S", "*.py", "*.sh", "*.mk", "Makefile", "*.lds", "*.cfg"],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    check(len(files) > 100, "too few files to say anything")
    missing = [f for f in files if "SPDX-License-Identifier: MIT" not in "".join((ROOT / f).open().readlines()[:3])]
    check(not missing, f"no licence line: {missing}")
