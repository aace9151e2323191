#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tables.py DIR: a disk that once had a GPT and was then given whole to a file system or a container. What made the new content
wrote over the beginning; the old backup header and table at the end are still there, with right checksums."""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "probe"))
from gpt import Disk, Out

out = Out(sys.argv[1])


def old():
    d = Disk()
    d.protective().part(1, 2048, 4095, "data1").part(2, 4096, 6143, "data2").seal()
    d.data[0:65536] = bytes(65536)  # what every mkfs clears or fills
    return d


def at(d, byte, data):
    d.data[byte:byte + len(data)] = data
    return d


W = "data1,w data2,r disk,r @backup/data1,r @backup/2,w @backup/data3,r"
out.add("luks.img", at(old(), 0, b"LUKS\xba\xbe\x00\x02" + b"\x5a" * 4088), W)
out.add("ext4.img", at(old(), 1024 + 0x38, struct.pack("<H", 0xef53)), W)
out.add("lvm.img", at(old(), 512, b"LABELONE" + struct.pack("<Q", 1) + b"\0" * 8 + b"LVM2 001"), W)
out.add("xfs.img", at(at(at(old(), 0, b"XFSB"), 512, b"XAGF"), 1024, b"XAGI"), W)
out.add("btrfs.img", at(old(), 65536 + 64, b"_BHRfS_M"), W)
out.add("swap.img", at(old(), 4086, b"SWAPSPACE2"), W)
out.add("md-1.2.img", at(old(), 4096, struct.pack("<I", 0xa92b4efc)), W)
out.add("fat-with-signature.img", at(at(old(), 0, b"\xeb\x3c\x90MSDOS5.0"), 510, b"\x55\xaa"), W)
out.add("beginning-cleared.img", old(), W)
