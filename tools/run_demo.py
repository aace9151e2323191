# SPDX-License-Identifier: MIT
"""The demonstration machine: two NICs, of which 00:03.0 is hidden from the platform; a hidden NVMe disk, 00:05.0; a web
server behind 10.0.2.100. NET=tap in the environment puts the hidden NIC on a tap, with a Linux peer at its other end (tools/net)."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tests.lib import machine, wire  # noqa: E402
from tools import mkgpt  # noqa: E402


def run_on_wire(www, **kw):
    """QEMU as a child, and the network away when it ends; the status of QEMU, or None on a machine that has no taps."""
    with wire.wire_or_user_network("NET=tap") as w:
        if not w:
            return None
        w.serve("busybox", "httpd", "-f", "-p", f"{wire.WEB}:80", "-h", str(www))
        print(f"The NIC of net0 is on tap0 of a network of its own: `tools/net peer {w.name} COMMAND` runs on {wire.GATEWAY}.\n", flush=True)
        return subprocess.run(command(wire=w.name, **kw), check=False).returncode


def command(**kw):
    cmd = machine.qemu_command(machine.BUILD / "bulkhead.iso",
                               ["-chardev", "stdio,id=ser,mux=on,signal=off", "-serial", "chardev:ser", "-mon", "ser"],
                               cpus=int(os.environ.get("CPUS", "3")), mem=int(os.environ.get("MEM", "2048")), **kw)
    cmd.remove("-no-reboot")
    return cmd


www, digest = machine.make_www()
disk = machine.DEBIAN_DISK
if not disk.exists():
    disk = machine.BUILD / "scratch.img"
    if not disk.exists():
        mkgpt.make(disk, [("data1", 256), ("data2", 64), ("bulkhead", 16)])
print(f"In the guest: wget -O - http://10.0.2.100/10mb.bin | sha256sum   must give\n{digest}")
print(f"The NVMe disk is {disk} (`volumes` lists what is on it).")
print("Ctrl-A X ends QEMU.\n", flush=True)
net = os.environ.get("NET") or "user"
if net not in ("user", "tap"):
    sys.exit(f"NET={net}: it is user or tap")
status = run_on_wire(www, disk=disk) if net == "tap" else None
if status is not None:
    sys.exit(status)
cmd = command(www=www, disk=disk)
os.execvp(cmd[0], cmd)
