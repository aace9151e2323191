#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# ALONE: networks
"""A vnet with a Linux at its other end: what is heard of whom, and a download while the vnet's domain and net0 die. The long form, with two machines, is
tests/long/test_vnets.py."""
import re

from tests.lib import vnets
from tests.lib.crash import crash
from tests.lib.machine import TEST_ISO, Machine, check, make_www
from tests.lib.vnets import OTHER, PEER, on_peer
from tests.lib.wait import shows, until
from tests.lib.wire import Wire

HERE, STRANGER = "10.0.2.40", "10.0.2.99"
GUEST = "10.97.0.16"

# A frame of vnet 97 from the address that the first word says.
FRAME = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.sendto(bytes.fromhex("0800000000006100" "ffffffffffff" "020000000063" "88b5") + bytes(46), (sys.argv[2], 4789))
"""


def not_taken(m):
    """Datagrams of strangers, of other vnets."""
    got = re.search(r"not taken: (\d+) of strangers, (\d+) of other vnets", m.cmd("vnet-list"))
    return tuple(int(x) for x in got.groups()) if got else (0, 0)


def heard_of_peers_alone(m, w):
    vnets.segment(w, 98, HERE)
    on_peer(w, "ip", "addr", "add", f"{STRANGER}/24", "dev", "eth0")
    before = not_taken(m)
    on_peer(w, "ip", "neigh", "replace", "10.98.0.16", "lladdr", "00:16:3e:00:00:02", "dev", "vx98", "nud", "permanent")
    got = w.peer("ping", "-c", "3", "-i", "0.2", "-W", "1", "10.98.0.16")
    check(got[1] == 1, f"a guest was reached by another vnet's number: {got}")
    on_peer(w, "/usr/bin/python3", "-c", FRAME, STRANGER, HERE)
    until(lambda: not_taken(m), lambda n: n[0] > before[0] and n[1] >= before[1] + 3, f"they are not counted, after {before}", 10)
    out = m.cmd("vnet-list")
    check(STRANGER not in out, f"a stranger is a peer: {out}")


def another_address(m, w):
    """A vnet's domain that says it is another: net0 lets nothing of that out."""
    out = m.cmd("create vnet96", 60)
    check("vnet96: created as domain" in out, f"create vnet96: {out}")
    shows(m, "network-list vnet96", r"^vnet96 +0( +\d+){4} +[1-9]")
    got = w.peer("ping", "-c", "2", "-i", "0.2", "-W", "1", "10.0.2.41")
    check(got[1] == 1, f"it answers: {got}")
    m.cmd("vnet-delete 96")


def test_vnet():
    www, digest = make_www()
    with Wire() as w, Machine("vnet", iso=TEST_ISO, wire=w.name) as m:
        vnets.segment(w, 97, HERE)
        w.serve("busybox", "httpd", "-f", "-p", f"{OTHER}:80", "-h", str(www))
        m.boot()
        vnets.create(m, 97, HERE, [PEER])
        vnets.guest_on(m, 97, GUEST)
        on_peer(w, "ping", "-c", "2", "-W", "5", GUEST)
        vnets.download_begin(m)
        for name in ("vnet97", "vnet97", "net0", "vnet97"):
            crash(m, name, then=0.5)
        n = vnets.download_end(m, digest)
        print(f"vnet: {n} downloads of 10 MB while its domain died 3 times, and net0", flush=True)
        shows(m, "vnet-list", rf"^97 +{HERE}/24 +\d+ +\d+ +\d+ 1: debian2\n(.*\n)?  {PEER} +\d+ +\d+$")
        heard_of_peers_alone(m, w)
        another_address(m, w)
        out = m.cmd("vnet-delete 97")
        check("vnet97: is in use: debian2" in out, f"vnet-delete: {out}")
        m.cmd("destroy debian2")
        out = m.cmd("vnet-delete 97") + m.cmd("vnet-list")
        check("there are no vnets" in out, f"vnet-delete: {out}")
