#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""What docs/vnets.md says of a vnet's words, lengths and number, on one machine with a Linux at the other ends: an address by DHCP, ends on another network, another
port, IPv6 outside, VLANs inside and outside, frames that are too long and a wire that takes longer ones, and as many vnets as there can be."""
from tests.lib import vnets
from tests.lib.announce import announced
from tests.lib.crash import crash
from tests.lib.hub import Hub
from tests.lib.machine import ROOT, TEST_ISO, Machine, check, make_www
from tests.lib.vnets import OTHER, PEER, on_peer
from tests.lib.wait import shows, until

HERE, LEASED, FAR = "10.0.2.40", "10.0.2.77", "203.0.113.2"
HERE6, FAR6 = "fd00::40", "fd00::2"


class Guest:
    """debian2, whose interfaces are plugged one after another."""
    def __init__(self, m):
        self.m, self.nr = m, 0

    def on(self, where, address):
        """One more, on that bridge or vnet; its name in the guest."""
        self.nr += 1
        out = self.m.cmd(f"network-attach debian2 {where}", 60)
        self.m.console("debian2")
        until(lambda: self.m.guest(f"ip addr add {address}/24 dev eth{self.nr} && ip link set eth{self.nr} up"), lambda got: got[1] == 0,
              f"no interface on {where}: {out}")
        self.m.leave()
        return f"eth{self.nr}"

    def reaches(self, address, *words):
        self.m.console("debian2")
        until(lambda: self.m.guest(f"ping -c 1 -W 1 {' '.join(words)} {address}"), lambda got: got[1] == 0, f"{address} is not reached")
        self.m.leave()

    def says(self, line):
        self.m.console("debian2")
        got = self.m.guest(line, 180)
        self.m.leave()
        return got


def create(m, vni, words):
    out = m.cmd(f"vnet-create {vni} {words}", 60)
    check(f"vnet{vni}: created as domain" in out, f"vnet-create {vni} {words}: {out}")


def by_dhcp(m, w, guest):
    """Also in its next life."""
    vnets.segment(w, 90, LEASED)
    with announced(w, LEASED):
        create(m, 90, f"dhcp=1 peers={PEER}")
        guest.on("vnet=90", "10.90.0.16")
        guest.reaches("10.90.0.2")
        crash(m, "vnet90")
        guest.reaches("10.90.0.2")
    shows(m, "vnet-list", rf"^90 +by DHCP +.*\n  {PEER} +[1-9]\d* +[1-9]\d*$")


def behind_a_gateway(m, w, guest):
    """Ends that are not on its own network, another port and an address of its own."""
    on_peer(w, "ip", "addr", "add", f"{FAR}/32", "dev", "lo")
    vnets.segment(w, 91, "10.0.2.41", local=FAR, port=8472)
    create(m, 91, f"ip=10.0.2.41/24 gateway={PEER} peers={FAR} port=8472 mac=00:16:3e:00:00:91")
    guest.on("vnet=91", "10.91.0.16")
    guest.reaches("10.91.0.2")
    check("00:16:3e:00:00:91" in on_peer(w, "ip", "neigh", "show", "10.0.2.41"), "it has another address")


def tagged(w, link, tag, name, address):
    """An interface of the peer's in a VLAN: the program, which needs no module."""
    w.serve(str(ROOT / "tools/vlan"), link, name, str(tag))
    until(lambda: w.peer("ip", "addr", "add", address, "dev", name), lambda got: got[1] == 0, f"no {name}")
    on_peer(w, "ip", "link", "set", name, "mtu", "1400", "up")


def vlans(m, w, guest):
    """One inside of a vnet, for a guest that is in it; and a vnet whose outside is in one."""
    tagged(w, "vx97", 10, "inner10", "10.110.0.2/24")
    guest.on("bridge=vnet97.10", "10.110.0.16")
    guest.reaches("10.110.0.2")
    tagged(w, "eth0", 20, "outer20", "192.0.2.2/24")
    on_peer(w, "ip", "link", "set", "outer20", "mtu", "1500")
    vnets.segment(w, 92, "192.0.2.40", local="192.0.2.2", dev="outer20")
    create(m, 92, "ip=192.0.2.40/24 peers=192.0.2.2 bridge=net0.20")
    guest.on("vnet=92", "10.92.0.16")
    guest.reaches("10.92.0.2")


def too_long(m, w, guest, digest):
    """1500 bytes outside, 1450 inside, and a guest that believes 1500. A packet that is to stay whole is lost and counted, both ways; a TCP to an end that knows goes on."""
    guest.says("ip link set dev eth0 mtu 1500")
    before = column(m, "network-list debian2", "debian2", "WireLong")
    check(guest.says(f"ping -c 2 -i 0.2 -W 1 -M do -s 1423 {OTHER}")[1] == 1, "1451 bytes were answered")
    until(lambda: column(m, "network-list debian2", "debian2", "WireLong"), lambda n: n >= before + 2, f"they are not counted, after {before}")
    check(guest.says(f"ping -c 2 -i 0.2 -W 1 -M do -s 1422 {OTHER}")[1] == 0, "1450 bytes were not answered")
    out, _ = guest.says(f"wget -q -O - http://{OTHER}/10mb.bin | sha256sum")
    check(digest in out, f"the download: {out}")
    on_peer(w, "ip", "link", "set", "vx97", "mtu", "1500")
    got = w.peer("ping", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1472", "10.97.0.16")
    check(got[1] == 1, f"1500 bytes of the peer's were answered: {got}")
    on_peer(w, "ip", "link", "set", "vx97", "mtu", "1450")
    # And a vnet that is told of more than its outside takes: what it sends stays with net0, counted as its own.
    create(m, 93, f"ip=10.0.2.43/24 peers={PEER} mtu=1500")
    vnets.segment(w, 93, "10.0.2.43", mtu=1500)
    guest.on("vnet=93", "10.93.0.16")
    guest.reaches("10.93.0.2", "-s", "1422")
    check(guest.says("ping -c 2 -i 0.2 -W 1 -M do -s 1472 10.93.0.2")[1] == 1, "1500 bytes were answered over a wire that takes 1500")
    until(lambda: column(m, "network-list vnet93", "vnet93", "WireLong"), lambda n: n >= 2, "what vnet93 sends is not counted")


def longer_wire(m, w, guest, digest):
    """Another net0, whose wire takes 1550: the same vnet has room for 1500, as guests have them."""
    m.cmd("destroy net0")
    m.send("create net0 mtu=1550\r")
    for _ in (90, 91, 92, 93, 94, 97):
        m.expect(r"vnet\d+: vif \d+ plugged again as vif \d+: net0 is a new one", 60)
    guest.reaches("10.93.0.2", "-M", "do", "-s", "1472")
    got = w.peer("ping", "-c", "2", "-i", "0.2", "-W", "5", "-M", "do", "-s", "1472", "10.93.0.16")
    check(got[1] == 0, f"1500 bytes of the peer's were not answered: {got}")
    out, _ = guest.says("wget -q -O - http://10.93.0.2/10mb.bin | sha256sum")
    check(digest in out, f"the download: {out}")
    check(guest.says("ping -c 1 -W 1 -M do -s 1473 10.93.0.2")[1] == 1, "the guest's own 1500 are more")


def column(m, line, name, title):
    """A figure of a row of that command's, by the title of its column."""
    out = m.cmd(line)
    head = next(x.split() for x in out.split("\n") if title in x)
    row = next(x.split() for x in out.split("\n") if x.startswith(f"{name} "))
    return int(row[head.index(title)])


def by_ipv6(m, w, guest, digest):
    """Outside is IPv6: 20 bytes less inside. It dies under a download, and its next life has its address at once."""
    on_peer(w, "ip", "addr", "add", f"{FAR6}/64", "dev", "eth0", "nodad")
    vnets.segment(w, 94, HERE6, local=FAR6, mtu=1430)
    create(m, 94, f"ip={HERE6}/64 peers={FAR6}")
    dev = guest.on("vnet=94", "10.94.0.16")
    guest.says(f"ip link set dev {dev} mtu 1430")
    guest.reaches("10.94.0.2", "-M", "do", "-s", "1402")
    vnets.download_begin(m, "10.94.0.2")
    for n in range(3):
        crash(m, "vnet94", count=n + 1, then=0.5)
    n = vnets.download_end(m, digest)
    print(f"vnet-words: {n} downloads of 10 MB by IPv6 while its domain died 3 times", flush=True)
    on_peer(w, "ping", "-c", "1", "-W", "5", "10.94.0.16")
    shows(m, "vnet-list", rf"^94 +{HERE6} +\d+ +[1-9]\d* +[1-9]\d* 1: debian2\n(.*\n)?  {FAR6} +[1-9]\d* +[1-9]\d*$")


def as_many_as_there_can_be(m):
    """Until one is refused, in words, and nothing else comes of it."""
    made = []
    for vni in range(200, 216):
        out = m.cmd(f"vnet-create {vni} ip=10.0.2.{vni}/24 peers={PEER}", 60)
        if "created as domain" not in out:
            break
        made.append(vni)
    print(f"vnet-words: {len(made)} vnets more, then: {out.strip()}", flush=True)
    check(len(made) >= 4 and f"vnet{vni}" in out, f"{made}, then {out}")
    shows(m, "vnet-list", rf"^{made[-1]} +10\.0\.2\.{made[-1]}/24 ")
    for vni in made:
        out = m.cmd(f"vnet-delete {vni}")
        check(not out.strip(), f"vnet-delete {vni}: {out}")


def test_vnet_words():
    www, digest = make_www()
    with Hub() as w, Machine("vnet-words", iso=TEST_ISO, netdev=w.netdev) as m:
        vnets.segment(w, 97, HERE)
        w.serve("busybox", "httpd", "-f", "-p", "80", "-h", str(www))
        m.boot()
        m.cmd("destroy debian")
        vnets.create(m, 97, HERE, [PEER])
        vnets.guest_on(m, 97, "10.97.0.16")
        guest = Guest(m)
        by_dhcp(m, w, guest)
        behind_a_gateway(m, w, guest)
        vlans(m, w, guest)
        too_long(m, w, guest, digest)
        by_ipv6(m, w, guest, digest)
        as_many_as_there_can_be(m)
        longer_wire(m, w, guest, digest)
