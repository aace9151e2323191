#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The small domains' tests on Bochs, an interpreter of one instruction after another with an SVM of its own (model ryzen: next rip saved) and another
chipset (i440FX: no MCFG, no IOMMU; an UART that takes its time). Where it cannot be had: a line that says so."""
import os
import subprocess

import pexpect.fdpexpect

from tests.lib import runner, unpacked
from tests.lib.machine import LOGS, Machine, Skipped

CONFIG = """\
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest={mem}, host={mem}
romimage: file={share}/BIOS-bochs-latest
vgaromimage: file={share}/VGABIOS-lgpl-latest
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{iso}", status=inserted
cpu: model=ryzen, count=1, ips=50000000, reset_on_triple_fault=0
clock: sync=none
pci: enabled=1, chipset=i440fx
com1: enabled=1, mode=file, dev=/dev/fd/{serial}
log: {log}
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
"""


class Bochs(Machine):
    """Its serial line is a pipe: nothing is typed. It ends when the core switches the machine off."""
    def start(self):
        root = unpacked.bochs()
        self.name = f"bochs-{self.name}"
        self.qemu_log = LOGS / f"{self.name}.bochs.log"
        self.log = open(LOGS / f"{self.name}.serial.log", "w", encoding="utf-8", errors="replace")
        self.pipe, sink = os.pipe()
        config = self.dir / "bochsrc"
        config.write_text(CONFIG.format(mem=self.kw["mem"], share=root / "usr/share/bochs", iso=self.iso, serial=sink, log=self.qemu_log))
        libs = root / "usr/lib/x86_64-linux-gnu"
        env = {**os.environ, "LD_LIBRARY_PATH": str(libs), "LTDL_LIBRARY_PATH": str(libs / "bochs/plugins"), "BXSHARE": str(root / "usr/share/bochs")}
        self.proc = subprocess.Popen([str(root / "usr/bin/bochs-bin"), "-q", "-f", str(config)], stdin=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     stdout=open(LOGS / f"{self.name}.out.log", "w"), env=env, pass_fds=(sink,))
        os.close(sink)
        self.proc.stdin.write(b"c\n")  # its debugger asks at the start
        self.proc.stdin.flush()
        self.sp = pexpect.fdpexpect.fdspawn(self.pipe, timeout=30, encoding="utf-8", codec_errors="replace", maxread=65536)
        self.sp.logfile_read = self.log

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
            self.proc.stdin.close()
            self.proc = None
        if self.sp:
            os.close(self.pipe)
            self.sp = None
        self.clean()


def on_bochs(test, *args):
    try:
        unpacked.bochs()
    except unpacked.Missing as e:
        raise Skipped(f"Bochs cannot be had here: {e}") from None
    test(*args, Bochs)


def test_bochs_small_lib():
    on_bochs(runner.lib)


def test_bochs_small_hostile():
    on_bochs(runner.hostile, 1)
