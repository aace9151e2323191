# SPDX-License-Identifier: MIT
"""Small GPT images with every field under one's hand (UEFI 2.8, 5.2 and 5.3). Used by the tables.py of the cases."""
import pathlib
import struct
import uuid
import zlib

LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


class Disk:
    def __init__(self, blocks=8192, block=512, entries=128, entry=128, first=None):
        self.block, self.blocks, self.entries, self.entry = block, blocks, entries, entry
        self.data = bytearray(blocks * block)
        self.table = -(-entries * entry // block)           # blocks of one table
        self.first = 2 + self.table if first is None else first
        self.last = blocks - 2 - self.table
        self.parts = {}
        self.guid = uuid.uuid5(LINUX, "disk")

    def part(self, number, first, last, name, guid=None, kind=LINUX, attr=0, raw=None):
        text = name.encode("utf-16le")[:72] if raw is None else raw
        self.parts[number] = struct.pack("<16s16sQQQ72s", kind.bytes_le, (guid or uuid.uuid5(LINUX, f"{number}{name}")).bytes_le,
                                         first, last, attr, text).ljust(self.entry, b"\0")
        return self

    def put(self, lba, data):
        self.data[lba * self.block:lba * self.block + len(data)] = data

    def table_bytes(self):
        out = bytearray(self.entries * self.entry)
        for n, e in self.parts.items():
            out[(n - 1) * self.entry:n * self.entry] = e
        return bytes(out)

    def header(self, mine, other, at, **change):
        f = dict(size=92, first=self.first, last=self.last, entries=self.entries, entry=self.entry, self_=mine, other=other, at=at)
        f.update(change)
        def pack(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, f["size"], crc, 0, f["self_"], f["other"], f["first"], f["last"],
                               self.guid.bytes_le, f["at"], f["entries"], f["entry"], zlib.crc32(self.table_bytes()))
        crc = zlib.crc32(pack(0).ljust(f["size"], b"\0"))
        self.put(mine, pack(crc).ljust(self.block, b"\0"))

    def seal(self, backup=None, **change):
        """Both copies; backup: block of the second header (default: the last)."""
        end = self.blocks - 1 if backup is None else backup
        self.put(2, self.table_bytes())
        self.header(1, end, 2, **change)
        self.put(end - self.table, self.table_bytes())
        self.header(end, 1, end - self.table, **change)
        return self

    def mbr(self, *records, signature=True):
        """records: (active, type, first block, blocks)"""
        for i, (active, kind, first, n) in enumerate(records):
            at = 446 + 16 * i
            self.data[at:at + 16] = struct.pack("<B3sB3sII", active, b"\0\2\0", kind, b"\xff\xff\xff", first, n & 0xffffffff)
        if signature:
            self.data[510:512] = b"\x55\xaa"
        return self

    def protective(self):
        return self.mbr((0, 0xee, 1, min(self.blocks - 1, 0xffffffff)))


class Out:
    """Writes images and the list that run.py reads: NAME|BLOCK|WORDS."""
    def __init__(self, where):
        self.dir = pathlib.Path(where)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.list = open(self.dir / "list", "w")

    def add(self, name, disk, words="", cut=None):
        (self.dir / name).write_bytes(disk.data if cut is None else disk.data[:cut])
        self.list.write(f"{name}|{disk.block}|{words}\n")
        self.list.flush()
