#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tables.py DIR: tables that tools, clones, grown and cut disks leave behind."""
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "probe"))
from gpt import Disk, Out

out = Out(sys.argv[1])


def two(**kw):
    return Disk(**kw).protective().part(1, 2048, 4095, "data1").part(2, 4096, 6143, "data2")


# a disk that was made larger: the backup stays where the old end was
grown = Disk(blocks=12288).protective()
grown.last = 8192 - 34
grown.part(1, 2048, 4095, "data1").part(2, 4096, 6143, "data2").seal(backup=8191)
out.add("grown.img", grown, "data1,w data2,w disk,r")
grown.data[2 * 512 + 5] ^= 1
out.add("grown-first-table-damaged.img", grown, "data1,w")
grown.data[512:1024] = bytes(512)
out.add("grown-first-header-gone.img", grown, "data1,w disk,r")
# the same, but block 0 is as it was: it says where the disk ended
out.add("grown-first-header-gone-old-record.img", grown.mbr((0, 0xee, 1, 8191)), "data1,w @backup/data1,w @backup/2,r disk,r")
# a disk that was cut: an image copied to a smaller one
out.add("cut.img", two().seal(), "data1,w disk,r", cut=7000 * 512)
# sizes that the specification allows and few tools make
out.add("entry-256.img", two(entries=64, entry=256).seal(), "data1,w data2,r")
out.add("entries-16.img", Disk(entries=16, first=64).protective().part(1, 64, 4095, "data1").seal(), "data1,w")
out.add("entries-248.img", Disk(entries=248, first=64).protective().part(1, 64, 4095, "data1").part(200, 4096, 6143, "data200").seal(),
        "data1,w data200,w 200,w")
# overlaps: nobody may write twice, and the list should say so
out.add("overlap.img", Disk().protective().part(1, 2048, 4095, "data1").part(2, 4000, 6143, "data2").seal(), "data1,w data2,w data2,r")
out.add("one-inside-the-other.img", Disk().protective().part(1, 2048, 6143, "outer").part(2, 3000, 3999, "inner").seal(),
        "inner,w outer,r outer,w disk,w")
# partitions outside of what the header says is usable
out.add("before-first-usable.img", two().part(3, 34, 2047, "gap").seal(first=2048), "data1,w gap,w 3,w")
out.add("over-the-backup.img", two().part(3, 6144, 8191, "tail").seal(), "tail,w")
out.add("usable-says-over-the-backup.img", two().part(3, 6144, 8191, "tail").seal(last=8191), "tail,w data1,w")
# names
same = uuid.UUID("11111111-2222-4333-8444-555555555555")
out.add("same-guid.img", Disk().protective().part(1, 2048, 4095, "original", guid=same).part(2, 4096, 6143, "clone", guid=same).seal(),
        f"{same},w original,w clone,w")
out.add("same-name.img", Disk().protective().part(1, 2048, 4095, "primary").part(2, 4096, 6143, "primary").seal(),
        "primary,w 1,w 2,w")
out.add("name-is-a-number.img", Disk().protective().part(1, 2048, 4095, "2").part(2, 4096, 6143, "1").seal(), "1,w 2,w")
out.add("name-is-disk.img", Disk().protective().part(1, 2048, 4095, "disk").part(2, 4096, 6143, "data").seal(), "disk,w 1,r")
out.add("names-odd.img", Disk().protective().part(1, 2048, 2303, "").part(2, 2304, 2559, "my data").part(3, 2560, 2815, "my_data")
        .part(4, 2816, 3071, "a,b/c:d").part(5, 3072, 3327, "Büro-Daten").part(6, 3328, 3583, "x" * 36)
        .part(7, 3584, 3839, "\U0001f4be disk").part(8, 3840, 4095, "tab\tnl\n").part(9, 4096, 4351, "DATA").part(10, 4352, 4607, "data").seal(),
        "1,w 2,w my_data,w a_b_c_d,w Büro-Daten,w " + "x" * 36 + ",w DATA,w data,w")
# the two copies disagree: the second is older
d = Disk().protective().part(1, 2048, 6143, "old").seal()
old_end = bytes(d.data[-33 * 512:])
d = two().seal()
d.data[-33 * 512:] = old_end
out.add("backup-older.img", d, "data1,w data2,w")
d.data[2 * 512 + 40] ^= 1
out.add("backup-older-first-damaged.img", d, "data1,w old,w")
# block 0 is a boot sector without any record, as of a file system without partitions
out.add("record-gone.img", two().seal().mbr((0, 0, 0, 0), signature=False), "data1,w @backup/data2,w")
