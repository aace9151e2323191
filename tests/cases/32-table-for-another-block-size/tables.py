#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tables.py DIR: a cloud image (table for blocks of 512 bytes) copied to a 4Kn NVMe, and the other way round."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "probe"))
from gpt import Disk, Out

out = Out(sys.argv[1])
# 4096-byte blocks, and a table made for the other block size
out.add("4kn.img", Disk(blocks=1024, block=4096).protective().part(1, 256, 511, "data1").part(2, 512, 767, "data2").seal(), "data1,w data2,w")
other = Disk(blocks=1024, block=4096).protective().part(1, 256, 511, "data1").seal()
other.block = 512
out.add("made-for-4096-read-as-512.img", other, "data1,w disk,r")
other = Disk(blocks=8192).protective().part(1, 2048, 4095, "data1").seal()
other.block = 4096
out.add("made-for-512-read-as-4096.img", other, "data1,w disk,r")
