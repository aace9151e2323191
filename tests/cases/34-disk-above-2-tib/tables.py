#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tables.py DIR: a sparse disk of 3 TiB with three partitions: low (64 MiB), high (64 MiB, behind 2 TiB), huge (2,047 GiB, longer than a
32-bit block number counts)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "probe"))
from gpt import Disk, Out

BLOCKS = 3 * 2**31
d = Disk(blocks=64)                    # the bytes of one table and its headers; numbers are those of the large disk
d.mbr((0, 0xee, 1, 0xffffffff))
d.last = BLOCKS - 34
d.part(1, 2048, 133119, "low").part(2, 2**32 + 2048, 2**32 + 133119, "high").part(3, 2**20, 2**32 + 1024, "huge")
table, mbr = d.table_bytes(), bytes(d.data[:512])


def header(mine, other, at):
    """Built at block 1 of the small one, with the numbers of the large one."""
    d.header(1, other, at, self_=mine)
    return bytes(d.data[512:1024])


out = Out(sys.argv[1])
out.add("3-tib.img", d, "low,w high,w huge,r disk,r")
with open(pathlib.Path(sys.argv[1]) / "3-tib.img", "wb") as f:
    f.truncate(BLOCKS * 512)
    f.write(mbr + header(1, BLOCKS - 1, 2) + table)
    f.seek((BLOCKS - 33) * 512)
    f.write(table + header(BLOCKS - 1, 1, BLOCKS - 33))
