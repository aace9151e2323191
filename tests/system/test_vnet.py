#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""A vnet with a Linux at its other end: what is heard of whom, a download while the vnet's domain and net0 die, and such a domain that was taken over. The long form, with two machines, is
tests/long/test_vnets.py."""
import re
import subprocess

from tests.lib import vnets
from tests.lib.crash import crash, rows
from tests.lib.hub import Hub
from tests.lib.machine import TEST_ISO, Machine, check, make_www
from tests.lib.vnets import OTHER, PEER, on_peer
from tests.lib.wait import shows, until

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


# The letters of those frames that reached the wire, up to the last one.
SEEN = """
import re, signal, socket
signal.alarm(120)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print("ready", flush=True)
while True:
    for letter in re.findall(rb"taken over ([a-z])", s.recv(65536)):
        print(letter.decode(), flush=True)
        if letter == b"z":
            raise SystemExit
"""


def taken_over(m, w):
    """A vnet's domain of its own program, taken over (tests/domains/vnethostile): nothing that docs/threat-model.md says it cannot do is done, and net0's guest lives
    on."""
    out = m.cmd("create vnet96", 60)
    check("vnet96: created as domain" in out, f"create vnet96: {out}")
    until(lambda: w.peer("ping", "-c", "1", "-W", "1", "10.0.2.42"), lambda got: got[1] == 0, "it is not up")
    ids = rows(m)
    seen = subprocess.Popen(w.command("/usr/bin/python3", "-c", SEEN), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    check(seen.stdout.readline() == "ready\n", "nobody looks at the wire")
    m.cmd(f"xenstore-write /local/domain/{ids['vnet96'][0]}/taken '{ids['debian'][0]} {ids['debian2'][0]} {ids['net0'][0]}'")
    m.send("console vnet96\r")
    got = m.expect(r"taken: (\d+) tried, (\d+) went through", 60)
    m.leave()
    check(int(got.group(1)) > 1500 and got.group(2) == "0", f"{got.group()}: {m.tail()}")
    shows(m, "network-list vnet96", r"^vnet96 +0( +\d+){4} +9 ")
    out = seen.communicate(timeout=60)[0]
    check(set(out.split()) == {"a", "z"}, f"seen on the wire: {out}")
    m.console("debian")
    check(m.guest("ping -c 1 -W 5 10.0.2.2")[1] == 0, "net0's guest is not served any more")
    m.leave()
    out = m.cmd("destroy vnet96")
    check(not out.strip(), f"destroy vnet96: {out}")


def by_a_group(m, w):
    """Ends that know each other by a multicast group alone; a second interface of the guest's, plugged while it runs."""
    on_peer(w, "ip", "link", "add", "vx99", "type", "vxlan", "id", "99", "local", PEER, "group", "239.9.9.9", "dstport", "4789", "dev", "eth0")
    on_peer(w, "ip", "addr", "add", "10.99.0.2/24", "dev", "vx99")
    on_peer(w, "ip", "link", "set", "vx99", "mtu", "1450", "up")
    out = m.cmd("vnet-create 99 ip=10.0.2.43/24 group=239.9.9.9 peers=any", 60) + m.cmd("network-attach debian2 vnet=99", 60)
    check("vnet99: created as domain" in out, f"vnet-create: {out}")
    m.console("debian2")
    until(lambda: m.guest("ip addr add 10.99.0.16/24 dev eth1 && ip link set dev eth1 mtu 1450 up"), lambda got: got[1] == 0, "no second interface")
    until(lambda: m.guest("ping -c 1 -W 1 10.99.0.2"), lambda got: got[1] == 0, "the group does not answer")
    m.leave()
    on_peer(w, "ping", "-c", "1", "-W", "5", "10.99.0.16")
    m.cmd("network-detach debian2 1", 60)
    out = m.cmd("vnet-delete 99")
    check(not out.strip(), f"vnet-delete: {out}")


def reached(m):
    m.console("debian2")
    until(lambda: m.guest(f"ping -c 1 -W 1 {OTHER}"), lambda got: got[1] == 0, "the other end is not reached any more")
    m.leave()


def others_anew(m):
    """The store dies; net0 ends, and another one comes: the vnet's own interface is plugged anew."""
    crash(m, "store")
    crash(m, "vnet97")
    reached(m)
    m.cmd("destroy net0")
    m.send("create net0\r")
    m.expect(r"vnet97: vif 0 plugged again as vif 1: net0 is a new one", 60)
    reached(m)


def test_vnet():
    www, digest = make_www()
    with Hub() as w, Machine("vnet", iso=TEST_ISO, netdev=w.netdev) as m:
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
        by_a_group(m, w)
        taken_over(m, w)
        others_anew(m)
        out = m.cmd("vnet-delete 97")
        check("vnet97: is in use: debian2" in out, f"vnet-delete: {out}")
        m.cmd("destroy debian2")
        out = m.cmd("vnet-delete 97") + m.cmd("vnet-list")
        check("there are no vnets" in out, f"vnet-delete: {out}")
