#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tables.py DIR: disks whose block 0 is not quite what UEFI 2.8, 5.2.3 asks for, with a sound GPT behind it."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "probe"))
from gpt import Disk, Out

out = Out(sys.argv[1])


def disk(*records, **kw):
    d = Disk()
    d.part(1, 2048, 4095, "boot").part(2, 4096, 6143, "data1").seal()
    return d.mbr(*records, **kw) if records else d


W = "data1,w boot,r"
out.add("plain.img", disk((0, 0xee, 1, 8191)), W)
out.add("hybrid-ee-first.img", disk((0, 0xee, 1, 2047), (0x80, 0x83, 2048, 2048), (0, 0x83, 4096, 2048)), W)
out.add("hybrid-ee-last.img", disk((0x80, 0x0c, 2048, 2048), (0, 0x83, 4096, 2048), (0, 0, 0, 0), (0, 0xee, 1, 2047)), W)
out.add("protective-is-active.img", disk((0x80, 0xee, 1, 8191)), W)
out.add("protective-second-after-empty-active.img", disk((0x80, 0x00, 0, 0), (0, 0xee, 1, 8191)), W)
out.add("protective-second-after-tiny-active.img", disk((0x80, 0x00, 0, 1), (0, 0xee, 1, 8191)), W)
out.add("protective-size-all-ones.img", disk((0, 0xee, 1, 0xffffffff)), W)
out.add("protective-size-of-smaller-disk.img", disk((0, 0xee, 1, 4095)), W)
out.add("isohybrid-no-ee.img", disk((0x80, 0x17, 0, 4096), (0, 0xef, 2048, 2048)), W + " disk,r")
out.add("isohybrid-type-0.img", disk((0x80, 0x00, 0, 4096), (0, 0xef, 2048, 2048)), W + " disk,r")
out.add("mbr-gone-gpt-good.img", disk(), W)
out.add("boot-code-no-signature.img", disk((0, 0xee, 1, 8191), signature=False), W)
