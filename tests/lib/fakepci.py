#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""PCI devices that QEMU does not have: controllers that misbehave, made of a few registers in this process.

QEMU's `x-pci-proxy-dev` forwards configuration space and BARs over a socket; the messages are those of QEMU 7.2's
hw/remote/mpqemu-link.h. A device here has one memory BAR with MSI-X in it and a function level reset, and does no DMA.
`fakepci.py SOCKET ... -- COMMAND ...` connects to each socket and runs the command, in which it replaces @0@, @1@ ... by the
descriptors.
"""
import os
import socket
import struct
import sys
import threading

SYSMEM, RET, CFGWRITE, CFGREAD, BARWRITE, BARREAD, IRQFD, RESET = range(8)
BAR = 0x8000
MSIX_TABLE, MSIX_PBA = 0x4000, 0x5000
MSIX, AF = 0x40, 0x50


class Device:
    """One whose registers read as regs() says, as far as that goes; from there on as they were written."""
    ids = 0x1b36, 0x0010, 2, 8, 1  # vendor, device, class: NVMe

    def __init__(self, path):
        self.mem = {}
        self.cfg = bytearray(256)
        vendor, device, interface, sub, base = self.ids
        struct.pack_into("<HHHHBBBB", self.cfg, 0, vendor, device, 0, 0x10, 1, interface, sub, base)
        self.cfg[0x34] = MSIX
        struct.pack_into("<BBHII", self.cfg, MSIX, 0x11, AF, 1, MSIX_TABLE, MSIX_PBA)     # two entries
        struct.pack_into("<BBBBBB", self.cfg, AF, 0x13, 0, 6, 3, 0, 0)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(1)
        threading.Thread(target=self.serve, daemon=True).start()

    def cfg_write(self, at, val, n):
        if at == 4:
            self.cfg[at:at + min(n, 2)] = val.to_bytes(4, "little")[:min(n, 2)]
        elif at == 0x10:
            struct.pack_into("<I", self.cfg, at, val & ~(BAR - 1))
        elif at == MSIX + 2 and n == 2:
            struct.pack_into("<H", self.cfg, at, 1 | val & 0xc000)

    def read(self, at, n):
        regs = self.regs()
        if at + n <= len(regs):
            return int.from_bytes(regs[at:at + n], "little")
        return self.mem.get(at, 0) & (1 << 8 * n) - 1

    def answer(self, cmd, data):
        if cmd == CFGREAD:
            at, _, n = struct.unpack_from("<IIi", data)
            return int.from_bytes(self.cfg[at:at + n], "little") if at + n <= 256 else 0
        if cmd == CFGWRITE:
            self.cfg_write(*struct.unpack_from("<IIi", data))
        elif cmd == BARREAD:  # the address is that in memory
            at, _, n = struct.unpack_from("<QQI", data)
            return self.read(at % BAR, n)
        elif cmd == BARWRITE:
            at, val, _ = struct.unpack_from("<QQI", data)
            self.mem[at % BAR] = val
        return 0

    def serve(self):
        sock, _ = self.listener.accept()
        with sock, sock.makefile("rb") as stream:
            while head := stream.read(16):
                cmd, size = struct.unpack("<i4xQ", head)
                data = stream.read(size)
                if cmd not in (SYSMEM, IRQFD):
                    sock.sendall(struct.pack("<i4xQQ", RET, 8, self.answer(cmd, data)))


class Nvme(Device):
    """status(cc) is CSTS for what was last written to CC (NVM Express 1.4, 3.1)."""
    def __init__(self, path, status):
        self.status = status
        super().__init__(path)

    def regs(self):
        cc = self.mem.get(0x14, 0)
        return struct.pack("<QIIIIII", 0xff | 1 << 24 | 1 << 37, 0x10400, 0, 0, cc, 0, self.status(cc))


class Virtio(Device):
    """Virtio 1.1, 4.1.4: common configuration, notification and device configuration in BAR 0."""
    def __init__(self, path):
        super().__init__(path)
        self.cfg[AF + 1] = 0x60
        for i, (at, kind) in enumerate(((0, 1), (0x1000, 2), (0x2000, 4))):
            struct.pack_into("<BBBBBxxxIII", self.cfg, 0x60 + 20 * i, 9, 0x60 + 20 * (i + 1) if i < 2 else 0, 20, kind, 0,
                             at, 0x1000, 4)


class VirtioBlk(Virtio):
    """Its device_status stays 1."""
    ids = 0x1af4, 0x1042, 0, 0, 1

    def regs(self):
        return bytes(4) + b"\2" + bytes(0x0f) + b"\1"  # feature 33, the IOMMU's: whatever word is selected


class VirtioNet(Virtio):
    """Lets itself be set up, and asks for a reset as soon as it is to work."""
    ids = 0x1af4, 0x1041, 0, 0, 2
    FEATURE, STATUS, QUEUE_SIZE, DRIVER_OK, NEEDS_RESET = 4, 20, 24, 4, 64

    def read(self, at, n):
        val = self.mem.get(at, 0)
        if at == self.FEATURE:
            return 3 * self.mem.get(0, 0)  # word 1: version 1, and that it goes by the IOMMU
        if at == self.QUEUE_SIZE:
            return 256
        if at == self.STATUS and val & self.DRIVER_OK:
            return val | self.NEEDS_RESET
        return val & (1 << 8 * n) - 1


def never_ready(path):
    return Nvme(path, lambda cc: 0)


def never_resets(path):
    return Nvme(path, lambda cc: 1)


def fatal(path):
    return Nvme(path, lambda cc: 2 * (cc & 1))


def dead(path):
    device = Nvme(path, None)
    device.regs = lambda: b"\xff" * BAR
    return device


def main():
    split = sys.argv.index("--")
    command = sys.argv[split + 1:]
    for i, path in enumerate(sys.argv[1:split]):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(path)
        fd = os.dup(s.fileno())
        os.set_inheritable(fd, True)
        command = [word.replace(f"@{i}@", str(fd)) for word in command]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
