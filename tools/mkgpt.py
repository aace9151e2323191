#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""mkgpt.py OUT NAME=MIB ...: a disk image with a GPT (UEFI 2.8, chapter 5) and empty partitions of these names and sizes."""
import pathlib
import struct
import sys
import uuid
import zlib

SECTOR = 512
ENTRIES = 128
ALIGN = 2048  # sectors: partitions begin at a MiB
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


def header(mine, other, disk_guid, first, last, table_at, table):
    """One copy of the header; its own checksum is computed with zero in its place."""
    fields = [b"EFI PART", 0x10000, 92, 0, 0, mine, other, first, last, disk_guid.bytes_le, table_at, ENTRIES, 128,
              zlib.crc32(table)]
    pack = "<8sIIIIQQQQ16sQIII"
    fields[3] = zlib.crc32(struct.pack(pack, *fields))
    return struct.pack(pack, *fields).ljust(SECTOR, b"\0")


def make(out, parts):
    """parts: (name, MiB), each behind the one before, or (name, MiB, first MiB). GUIDs come from names, so that the same call gives
    the same image."""
    table = b""
    at = ALIGN
    for name, mib, *first in parts:
        size = mib * 2048
        at = first[0] * 2048 if first else at
        table += struct.pack("<16s16sQQQ72s", LINUX.bytes_le, uuid.uuid5(LINUX, name).bytes_le, at, at + size - 1, 0,
                             name.encode("utf-16le"))
        at += size
    total = at + ALIGN
    table = table.ljust(ENTRIES * 128, b"\0")
    tsec = len(table) // SECTOR
    guid = uuid.uuid5(LINUX, "disk")
    first, last = 2 + tsec, total - 2 - tsec
    mbr = bytes(446) + struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, min(total - 1, 0xffffffff))
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "wb") as f:
        f.truncate(total * SECTOR)
        f.write(mbr.ljust(510, b"\0") + b"\x55\xaa")
        f.write(header(1, total - 1, guid, first, last, 2, table))
        f.write(table)
        f.seek((total - 1 - tsec) * SECTOR)
        f.write(table)
        f.write(header(total - 1, 1, guid, first, last, total - 1 - tsec, table))
    return out


def partitions(image):
    """name -> (first byte, bytes) of an image's partitions, as its primary table says."""
    with open(image, "rb") as f:
        f.seek(SECTOR)
        head = f.read(SECTOR)
        table_at, entries, size = struct.unpack_from("<QII", head, 72)
        f.seek(table_at * SECTOR)
        table = f.read(entries * size)
    out = {}
    for i in range(entries):
        kind, _, first, last, _, name = struct.unpack_from("<16s16sQQQ72s", table, i * size)
        if any(kind):
            out[name.decode("utf-16le").rstrip("\0")] = (first * SECTOR, (last - first + 1) * SECTOR)
    return out


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in a for a in sys.argv[2:]):
        sys.exit(__doc__)
    make(sys.argv[1], [(a.split("=")[0], int(a.split("=")[1])) for a in sys.argv[2:]])
