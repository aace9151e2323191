# SPDX-License-Identifier: MIT
"""Addresses that a wire's peer gives away: one by DHCP (busybox), and a prefix by router advertisements, from which a host makes its own."""
import contextlib
import ipaddress
import pathlib
import tempfile

from tests.lib.machine import check
from tests.lib.wire import GATEWAY

PREFIX = "fd77::"
# To all nodes, twice a second: no router, but a prefix of 64 bits for whoever wants it (RFC 4861 4.2, 4.6.2), for a minute.
ADVERTISE = f"""
import ipaddress, socket, struct, time
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 60, 60, 0) + ipaddress.ip_address("{PREFIX}").packed
while True:
    s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0) + prefix, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
    time.sleep(0.5)
"""


def own(mac):
    """The address that a host with this one makes of the prefix (RFC 4291, appendix A)."""
    b = bytes.fromhex(mac.replace(":", ""))
    return str(ipaddress.ip_address(ipaddress.ip_address(PREFIX).packed[:8] + bytes([b[0] ^ 2]) + b[1:3] + b"\xff\xfe" + b[3:]))


@contextlib.contextmanager
def announced(w, address):
    """For as long as it lasts, who asks gets that address."""
    got = w.peer("ip", "addr", "replace", f"{PREFIX}2/64", "dev", "eth0", "nodad")
    check(got[1] == 0, f"on the peer: {got}")
    with tempfile.TemporaryDirectory() as home:
        config = pathlib.Path(home) / "udhcpd.conf"
        config.write_text(f"interface eth0\nstart {address}\nend {address}\noption subnet 255.255.255.0\noption router {GATEWAY}\n"
                          f"lease_file {home}/leases\npidfile {home}/pid\n")
        (pathlib.Path(home) / "leases").touch()
        servers = w.serve("busybox", "udhcpd", "-f", str(config)), w.serve("/usr/bin/python3", "-c", ADVERTISE)
        try:
            yield
        finally:
            for p in servers:
                p.terminate()
                p.wait(30)
