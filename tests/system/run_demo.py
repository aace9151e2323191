# SPDX-License-Identifier: MIT
"""The demonstration machine: two NICs, of which 00:03.0 is hidden from the platform; a web server behind 10.0.2.100."""
import os

import machine

www, digest = machine.make_www()
print(f"In the guest: wget -O - http://10.0.2.100/10mb.bin | sha256sum   must give\n{digest}")
print("Ctrl-A X ends QEMU.\n", flush=True)
cmd = machine.qemu_command(machine.BUILD / "bulkhead.iso",
                           ["-chardev", "stdio,id=ser,mux=on,signal=off", "-serial", "chardev:ser", "-mon", "ser"],
                           cpus=int(os.environ.get("CPUS", "2")), mem=int(os.environ.get("MEM", "2048")), www=www)
cmd.remove("-no-reboot")
os.execvp(cmd[0], cmd)
