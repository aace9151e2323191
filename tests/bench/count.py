# SPDX-License-Identifier: MIT
"""Who executed how many instructions: what the plugin cost/count.c has counted so far, of a machine that runs."""
import bisect
import collections
import mmap
import re
import struct
import subprocess

from tests.lib.machine import BUILD, LOGS, Machine

PLUGIN = BUILD / "count.so"
CORE = "core"
IMAGES = {CORE: BUILD / "bulkhead.elf", **{name: BUILD / f"{name}.elf" for name in ("control", "store", "pciback", "net", "blk", "vnet")}}
HEAD, RECORD = struct.Struct("<QQ"), struct.Struct("<QIIQ")


def text_of(elf):
    """(address, file offset, bytes) of an ELF's executable segment."""
    out = subprocess.run(["readelf", "-lW", str(elf)], capture_output=True, text=True, check=True, timeout=60).stdout
    off, at, size = re.search(r"^ *LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E", out, re.M).groups()
    return int(at, 16), int(off, 16), int(size, 16)


class Counted(Machine):
    """One CPU whose clock ticks once an instruction. sleep: idle time passes as on the host (what has a device needs that), or costs nothing.
    The machine's clock begins at a fixed time and goes by its own: when a second of the host's begins is no part of the figures (a timer
    of the core waits for it)."""
    def __init__(self, name, sleep=False, who=False, **kw):
        super().__init__(name, cpus=1, **kw)
        self.sleep, self.who = sleep, who
        self.counts = LOGS / f"{name}.counts"

    def plain(self, serial):
        """The machine without what counts."""
        return super().command(serial)

    def command(self, serial):
        cmd = self.plain(serial)
        cmd[cmd.index("tcg,thread=multi")] = "tcg,thread=single"
        cmd += ["-icount", f"shift=0,sleep={'on' if self.sleep else 'off'}", "-rtc", "base=2026-01-01T00:00:00,clock=vm"]
        if self.who:
            texts = [f"text={at:x}:{off:x}:{size:x}:{elf}" for elf in IMAGES.values() for at, off, size in [text_of(elf)]]
            cmd += ["-plugin", ",".join([str(PLUGIN), f"out={self.counts}", *texts])]
        return cmd

    def clean(self):
        super().clean()
        self.counts.unlink(missing_ok=True)

    def blocks(self):
        """(class, address, instructions in it) -> how many of its instructions were executed."""
        with open(self.counts, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as data:
            nr, lost = HEAD.unpack_from(data)
            if lost:
                raise AssertionError(f"{lost} blocks without a record")
            return {(c, at, n): count for at, c, n, count in RECORD.iter_unpack(data[HEAD.size:HEAD.size + nr * RECORD.size])}

    def executed(self):
        """Name of an image, or "guest" (and what ran before the core) -> instructions."""
        names, sums = ["guest", *IMAGES], collections.Counter()
        for (c, _, _), count in self.blocks().items():
            sums[names[c]] += count
        return sums

    def functions(self):
        """(image, function) -> instructions executed in it, what was inlined there included."""
        names, symbols, sums = ["guest", *IMAGES], {name: symbols_of(elf) for name, elf in IMAGES.items()}, collections.Counter()
        for (c, at, _), count in self.blocks().items():
            addresses, functions = symbols.get(names[c], ([0], ["all of it"]))
            sums[names[c], functions[bisect.bisect_right(addresses, at) - 1]] += count
        return sums

    def calls(self):
        """(image, function) -> how often its first instruction was executed."""
        names, firsts, sums = ["guest", *IMAGES], {name: dict(zip(*symbols_of(elf))) for name, elf in IMAGES.items()}, collections.Counter()
        for (c, at, n), count in self.blocks().items():
            if function := firsts.get(names[c], {}).get(at):
                sums[names[c], function] += count // n
        return sums


def symbols_of(elf):
    """Addresses in order, and the function at each."""
    dbg = next(p for p in (elf.with_suffix(".elf.dbg"), elf.with_suffix(".dbg")) if p.exists())
    out = subprocess.run(["nm", "-n", str(dbg)], capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [(int(at, 16), name) for at, kind, name in (line.split() for line in out.splitlines() if line[0] != " ") if kind in "tTwW"]
    return [at for at, _ in rows], [name for _, name in rows]
