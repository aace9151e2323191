#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Two machines and a Linux on QEMU's socket network, a vnet among them, and a guest on each machine: the domains of the vnet die 20 times, now on the one machine and now on
the other, while one guest downloads from the Linux and sends to the other guest. How long the other end hears nothing is printed. The short form is
tests/system/test_vnet.py."""
import re
import subprocess
import threading

from tests.lib import vnets
from tests.lib.crash import crash
from tests.lib.hub import Hub
from tests.lib.machine import BUILD, TEST_ISO, Machine, check, make_www
from tests.lib.vnets import OTHER, PEER, in_guest, on_peer
from tests.lib.wait import guest_says, until

HERE, THERE = ("10.0.2.40", "10.0.2.41"), ("10.97.0.16", "10.97.0.17")
MACS = "00:16:3e:00:00:16", "00:16:3e:00:00:17"
DEATHS = 20


class Pinged:
    """The peer pings that all the time; the longest times without an answer."""
    def __init__(self, w, address):
        self.proc = subprocess.Popen(w.command("ping", "-D", "-i", "0.01", "-W", "1", address), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, text=True)
        self.times = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.proc.stdout:
            if got := re.match(r"\[([\d.]+)\] \d+ bytes from", line):
                self.times.append(float(got.group(1)))

    def end(self, n):
        self.proc.terminate()
        self.proc.wait(30)
        self.reader.join(30)
        return sorted((1000 * (b - a) for a, b in zip(self.times, self.times[1:])), reverse=True)[:n]


def by_a_group(w, machines):
    """A second vnet of all three, who know each other by a multicast group alone."""
    on_peer(w, "ip", "link", "add", "vx99", "type", "vxlan", "id", "99", "local", PEER, "group", "239.9.9.9", "dstport", "4789", "dev", "eth0")
    on_peer(w, "ip", "addr", "add", "10.99.0.2/24", "dev", "vx99")
    on_peer(w, "ip", "link", "set", "vx99", "mtu", "1450", "up")
    for m, here, address in zip(machines, HERE, (16, 17)):
        out = m.cmd(f"vnet-create 99 ip={here[:-2]}5{here[-1]}/24 group=239.9.9.9 peers=any", 60) + m.cmd("network-attach debian2 vnet=99", 60)
        check("vnet99: created as domain" in out, f"vnet-create: {out}")
        m.console("debian2")
        until(lambda m=m, a=address: m.guest(f"ip addr add 10.99.0.{a}/24 dev eth1 && ip link set dev eth1 mtu 1450 up"), lambda got: got[1] == 0, "no second interface")
        until(lambda m=m: m.guest("ping -c 1 -W 1 10.99.0.2"), lambda got: got[1] == 0, "the Linux of the group does not answer")
        m.leave()
    machines[0].console("debian2")
    until(lambda: machines[0].guest("ping -c 1 -W 1 10.99.0.17"), lambda got: got[1] == 0, "the other machine of the group does not answer")
    machines[0].leave()


def test_vnets():
    www, digest = make_www()
    netcheck = str(BUILD / "guest/netcheck")
    with Hub() as w, Machine("vnets-1", iso=TEST_ISO, netdev=w.netdev) as one, Machine("vnets-2", iso=TEST_ISO, netdev=w.netdev) as two:
        vnets.segment(w, 97, *HERE)
        w.serve("busybox", "httpd", "-f", "-p", f"{OTHER}:80", "-h", str(www))
        w.serve(netcheck, "take", "9")
        machines = one, two
        for m in machines:
            m.boot()
            m.cmd("destroy debian")  # both have its address
        for m, here, other, there, mac in zip(machines, HERE, HERE[::-1], THERE, MACS):
            vnets.create(m, 97, here, [PEER, other])
            vnets.guest_on(m, 97, there, mac)
        two.console("debian2")
        in_guest(two, f"ping -c 2 -W 5 {THERE[0]}")
        in_guest(two, "netcheck take 9 > /dev/null 2>&1 &")
        two.leave()
        vnets.download_begin(one)
        one.console("debian2")
        in_guest(one, f"(netcheck fill {THERE[1]} 9 60 > /tmp/fill 2>&1; echo over >> /tmp/fill) &")
        one.leave()
        pinged = Pinged(w, THERE[0])
        for n in range(DEATHS):
            crash(machines[n % 2], "vnet97", count=n // 2 + 1, then=1)
        gaps = pinged.end(DEATHS // 2)
        n = vnets.download_end(one, digest)
        one.console("debian2")
        said = guest_says(one, "cat /tmp/fill", "over", 180)
        one.leave()
        got = re.search(r"netcheck: (\d+) bytes in (\d+) ms, (\d+) segments again: (\d+) of (\d+) bytes right", said)
        check(got and got.group(1) == got.group(4) == got.group(5), f"from guest to guest: {said}")
        print(f"vnets: {DEATHS} deaths, {n} downloads of 10 MB and {int(got.group(1)) / 1e6:.0f} MB from machine to machine, all bytes right; "
              f"longest times without an answer to a ping each 10 ms: {' '.join(f'{g:.0f}' for g in gaps)} ms", flush=True)
        for m, other in zip(machines, HERE[::-1]):
            out = m.cmd("vnet-list")
            check(re.search(rf"^  {other} +[1-9]\d* +[1-9]\d*$", out, re.M), f"the other machine was not heard: {out}")
        on_peer(w, "ping", "-c", "1", "-W", "5", THERE[1])
        by_a_group(w, machines)
