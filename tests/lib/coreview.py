# SPDX-License-Identifier: MIT
"""What the core has in use and no call tells: frames, ports, mappings and pins of grants. Read from the machine's RAM, which is a file here
(tests/lib/coreview.c)."""
import os
import re
import subprocess

from tests.lib.machine import BUILD, Machine, check

SYMBOLS = ("domains", "heap_frames", "scrubbing", "core_frames", "promised")


class OpenMachine(Machine):
    """A machine into whose memory one can look."""
    def __init__(self, name, mem=2048, **kw):  # as one piece, it ends at 2 GiB
        self.ram = os.memfd_create("ram")
        os.truncate(self.ram, mem << 20)
        ram = f"memory-backend-file,id=ram,size={mem}M,share=on,mem-path=/proc/{os.getpid()}/fd/{self.ram}"
        super().__init__(name, mem=mem, extra=["-object", ram, "-machine", "memory-backend=ram"], **kw)

    def clean(self):
        os.close(self.ram)
        super().clean()

    def in_use(self):
        """{"machine": {"free": n, ...}, domid: {"ram": n, "ports": n, ...}}; {}: something changed while it was looked at."""
        text = subprocess.run(["nm", str(BUILD / "bulkhead.elf.dbg")], capture_output=True, text=True, check=True, timeout=60).stdout
        where = [re.search(rf"^([0-9a-f]+) \w {name}$", text, re.M) for name in SYMBOLS]
        check(all(where), f"the core has no {SYMBOLS}")
        got = subprocess.run([str(BUILD / "coreview"), f"/proc/self/fd/{self.ram}", *(f"{s}={w.group(1)}" for s, w in zip(SYMBOLS, where))],
                             pass_fds=[self.ram], capture_output=True, text=True, timeout=60, check=False)
        if got.returncode:
            return {}
        said = re.findall(r"^(machine|domain \d+)((?: [a-z]+ \d+)+)$", got.stdout, re.M)
        return {who.removeprefix("domain "): {k: int(n) for k, n in re.findall(r" ([a-z]+) (\d+)", what)} for who, what in said}
