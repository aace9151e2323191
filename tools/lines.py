#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Code lines of each folder, neither blank nor comment, of .c .h .def .inc .S .py .sh .mk and Makefiles.
Usage: lines.py [--laid-out] [REVISION...]    (none: the tree as it lies there; several: one beside the other)
--laid-out: C is counted as clang-format lays it out by today's .clang-format, so that trees before and after are comparable."""
import collections
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COUNTED = re.compile(r"(\.(c|h|def|inc|S|py|sh|mk)|(^|/)Makefile)$")
NO_C = re.compile(r"\s*(//.*|/\*.*|\*(/|\s.*)?)?$")
NO_SCRIPT = re.compile(r"\s*(#.*)?$")


def lay_out(folder, files):
    subprocess.run(["cp", os.path.join(ROOT, ".clang-format"), folder], check=True)
    files = [f for f in files if f.endswith((".c", ".h"))]
    for i in range(0, len(files), 60):
        subprocess.run(["clang-format", "--style=file", "-i", *files[i:i + 60]], cwd=folder, check=True)


def count(revision, laid_out):
    """{folder: lines}"""
    with tempfile.TemporaryDirectory() as folder:
        if revision:
            tar = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", folder], input=tar, check=True)
            files = [os.path.relpath(os.path.join(at, f), folder) for at, _, names in os.walk(folder) for f in names]
        else:
            files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
            subprocess.run(["cp", "--parents", *files, folder], cwd=ROOT, check=True)
        files = [f for f in files if COUNTED.search(f) and not os.path.islink(os.path.join(folder, f))]
        if laid_out:
            lay_out(folder, files)
        lines = collections.Counter()
        for name in files:
            other = NO_C if re.search(r"\.(c|h|def|inc|S)$", name) else NO_SCRIPT
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                lines[os.path.dirname(name) or "."] += sum(not other.match(x.rstrip("\n")) for x in f)
        return lines


def rows(lines):
    """Sums of the top folders, and each folder of hv/ by itself."""
    out = collections.Counter()
    for folder, n in lines.items():
        out["all"] += n
        out[folder.split("/")[0] + "/" if folder != "." else "top"] += n
        if folder.startswith("hv/"):
            out["hv/: " + folder[3:]] += n
    return out


def table(revisions, laid_out):
    """Lines of Markdown; None is the tree as it lies there."""
    tables = [rows(count(x, laid_out)) for x in revisions]
    names = sorted({n for t in tables for n in t} - {"all", "top"}) + ["top", "all"]
    return (["| folder |" + "".join(f" {x or 'now'} |" for x in revisions), "|---|" + "---|" * len(tables)]
            + [f"| {name} |" + "".join(f" {t[name] or '-'} |" for t in tables) for name in names])


def main():
    words = [x for x in sys.argv[1:] if x != "--laid-out"]
    print("\n".join(table(words or [None], len(words) != len(sys.argv) - 1)))


if __name__ == "__main__":
    main()
