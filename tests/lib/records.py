# SPDX-License-Identifier: MIT
"""The host's half of tests/guest/records.c: what a record looks like, and which ones a disk must hold."""
import functools
import pathlib
import re
import subprocess

from tests.lib.machine import BUILD, Failed, ROOT, check

KEEP, UNIT, SLOT, LOG, MARK = 16, 32, 32768, 1024, 4096
JOBS = range(5)
FILES, APPEND, RAW = (0, 1), 2, (3, 4)


def program(name, source="records"):
    """A program of tests/guest, in a directory of this test's own that its guest can fetch from."""
    www = BUILD / f"www-{name}"
    www.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-s", "-Wall", "-Wextra", "-Werror", "-static", "-pthread",
                    "-o", str(www / source), str(ROOT / f"tests/guest/{source}.c")], check=True, timeout=120)
    return www


@functools.lru_cache(maxsize=4096)
def content(job, n):
    most = 128 if job == APPEND else SLOT // UNIT
    units = 1 + (((n * 2654435761 + job * 40503) & 0xffffffff) >> 16) % most
    return b"".join(b"%02u:%012u:%015u\n" % (job, n, i) for i in range(units))


def same(job, n, got, where):
    want = content(job, n)
    if got[:len(want)] != want:
        at = next((i for i in range(len(want)) if got[i:i + 1] != want[i:i + 1]), 0)
        raise Failed(f"job {job}, record {n} in {where} is wrong from byte {at} of {len(want)} on: "
                     f"{bytes(got[at // UNIT * UNIT:][:UNIT])!r}")


def check_raw(volume, durable):
    """volume: the bytes of the raw volume; durable: job -> its last record that was durable. The next one may be under way."""
    for job in RAW:
        n = durable.get(job, 0)
        for i in range(max(1, n + 2 - KEEP), n + 1):
            at = (job - RAW[0]) * KEEP * SLOT + i % KEEP * SLOT
            same(job, i, volume[at:at + SLOT], f"the raw volume, {n} are durable")


def check_tree(tree, durable):
    """tree: a directory with what the file system held."""
    tree = pathlib.Path(tree)
    for job in FILES:
        n = durable.get(job, 0)
        present = {int(p.name.split(".")[1]): p for p in tree.glob(f"rec{job:02}.*")}
        missing = [i for i in range(max(1, n + 2 - KEEP), n + 1) if i not in present]
        check(not missing, f"job {job}: record {n} was durable, files {missing} are missing: {sorted(present)}")
        for i, p in present.items():  # what has its final name was synced before
            got = p.read_bytes()
            same(job, i, got, p.name)
            check(len(got) == len(content(job, i)), f"{p.name} has {len(got)} bytes")
    n = durable.get(APPEND, 0)
    if n:
        first = (n - 1) // LOG * LOG + 1
        p = tree / f"log{APPEND:02}.{first // LOG}"
        check(p.exists(), f"record {n} was durable, {p.name} is missing")
        got, at = p.read_bytes(), 0
        for i in range(first, n + 1):
            same(APPEND, i, got[at:at + SLOT], f"{p.name}, {n} are durable")
            at += len(content(APPEND, i))


def mark(offset, data):
    """What a write to the volume of marks says: (job, record), or None."""
    m = re.match(rb"durable (\d+) (\d+)\n", data)
    return (int(m.group(1)), int(m.group(2))) if m and offset == int(m.group(1)) * MARK else None
