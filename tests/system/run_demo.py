# SPDX-License-Identifier: MIT
"""The demonstration machine: two NICs, of which 00:03.0 is hidden from the platform; a hidden NVMe disk, 00:05.0; a web
server behind 10.0.2.100."""
import os

import machine
import mkgpt

www, digest = machine.make_www()
disk = machine.DEBIAN_DISK
if not disk.exists():
    disk = machine.BUILD / "scratch.img"
    if not disk.exists():
        mkgpt.make(disk, [("data1", 256), ("data2", 64)])
print(f"In the guest: wget -O - http://10.0.2.100/10mb.bin | sha256sum   must give\n{digest}")
print(f"The NVMe disk is {disk} (`volumes` lists what is on it).")
print("Ctrl-A X ends QEMU.\n", flush=True)
cmd = machine.qemu_command(machine.BUILD / "bulkhead.iso",
                           ["-chardev", "stdio,id=ser,mux=on,signal=off", "-serial", "chardev:ser", "-mon", "ser"],
                           cpus=int(os.environ.get("CPUS", "3")), mem=int(os.environ.get("MEM", "2048")), www=www,
                           disk=disk)
cmd.remove("-no-reboot")
os.execvp(cmd[0], cmd)
