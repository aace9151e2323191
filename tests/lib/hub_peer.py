#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hub_peer.py LISTENER ADDRESS ...: the peer of tests/lib/hub.py, in whose namespaces this runs, and the switch between its tap (eth0, with these addresses) and the
machines that connect to the socket LISTENER. A frame there has its length in front, 32 bits in network byte order (QEMU's <net/socket.c>). Says "ready"."""
import collections
import fcntl
import os
import selectors
import socket
import struct
import subprocess
import sys

MTU = "9000"  # what is too long is for those on the wire to say
QUEUE = 256  # frames that wait for one who does not take them
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000  # <linux/if_tun.h>


class Machine:
    def __init__(self, listener):
        self.file, _ = listener.accept()
        self.file.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file.setblocking(False)
        self.come, self.go = bytearray(), collections.deque()

    def frames(self):
        """What has come whole. Of one that is gone: OSError."""
        data = self.file.recv(1 << 18)
        if not data:
            raise ConnectionResetError
        self.come += data
        got, at = [], 0
        while len(self.come) >= at + 4 and len(self.come) >= (end := at + 4 + int.from_bytes(self.come[at:at + 4], "big")):
            got.append(bytes(self.come[at + 4:end]))
            at = end
        del self.come[:at]
        return got

    def put(self, frame):
        if len(self.go) < QUEUE:
            self.go.append(len(frame).to_bytes(4, "big") + frame)
            self.flush()

    def flush(self):
        try:
            while self.go:
                n = self.file.send(self.go[0])
                if n < len(self.go[0]):
                    self.go[0] = self.go[0][n:]
                else:
                    self.go.popleft()
        except OSError:  # it takes no more at the moment, or is gone, which its next frames() says
            pass


class Tap:
    go = ()

    def __init__(self, addresses):
        self.file = open("/dev/net/tun", "r+b", buffering=0)
        fcntl.ioctl(self.file, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
        for words in [("link", "set", "lo", "up"), ("link", "set", "eth0", "mtu", MTU), *(("address", "add", a, "dev", "eth0") for a in addresses),
                      ("link", "set", "eth0", "up")]:
            subprocess.run(["ip", *words], check=True)

    def frames(self):
        return [self.file.read(65536)]

    def put(self, frame):
        try:
            self.file.write(frame)
        except OSError:  # it is none to Linux, or the interface is down
            pass


def main():
    listener = socket.socket(fileno=int(sys.argv[1]))
    ports, where = [Tap(sys.argv[2:])], {}
    print("ready", flush=True)
    select = selectors.DefaultSelector()
    select.register(listener, selectors.EVENT_READ)
    select.register(ports[0].file, selectors.EVENT_READ, ports[0])
    while True:
        for key, events in select.select():
            port = key.data
            if not port:
                port = Machine(listener)
                ports.append(port)
                select.register(port.file, selectors.EVENT_READ, port)
                continue
            if events & selectors.EVENT_WRITE:
                port.flush()
            try:
                frames = port.frames() if events & selectors.EVENT_READ else ()
            except OSError:
                select.unregister(port.file)
                ports.remove(port)
                where = {mac: p for mac, p in where.items() if p is not port}
                continue
            for frame in frames:
                where[frame[6:12]] = port
                to = where.get(frame[:6])
                for p in [to] if to else ports:
                    if p is not port:
                        p.put(frame)
        for p in ports[1:]:
            select.modify(p.file, selectors.EVENT_READ | (selectors.EVENT_WRITE if p.go else 0), p)


if __name__ == "__main__":
    main()
