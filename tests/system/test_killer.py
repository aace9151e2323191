#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# NEEDS: door
"""A guest that kills net0, blk0 and the store at will (builds with a back door: tests/door/mortal_net.c, mortal_blk.c, mortal_store.c) is found and put aside: a neighbour pays
three restarts of each at most, and loses nothing. Another chance that is not deserved costs as much; one that is deserved brings the device back, and what
the guest had asked for before is answered."""
import os
import re
import subprocess

from tools import mkgpt
from tests.lib.machine import BUILD, LOGS, ROOT, Machine, check, make_iso
from tests.lib.neighbour import Neighbour
from tests.lib.wait import guest_says, pause, shows, until

MAY_COST = 3  # restarts
QUIET = r"hrtimer: interrupt took|clocksource"
KILL = {  # until it is told to stop
    "net0": "(until [ -e /tmp/stop ]; do ping -c 1 -W 1 10.0.2.66; done > /dev/null 2>&1; touch /tmp/net0) &",
    "blk0": "(dd if=/dev/xvda of=/tmp/read bs=4k skip=541 count=1 iflag=direct 2> /tmp/err; touch /tmp/blk0) &",
}
STILL = {"net0": "killer: vif 0 stands still: net0: put aside", "blk0": "killer: disk xvda stands still: blk0: put aside"}
ASKS = "printf '\\002\\000\\000\\000\\001\\000\\000\\000\\000\\000\\000\\000\\{:03o}\\000\\000\\000{}\\000'"  # a READ of that
RETRY = {"net0": "network-retry killer 0", "blk0": "block-retry killer xvda"}


def mortal_iso():
    """The delivered core and control domain, and a bundle that differs in two images."""
    subprocess.run(["make", "-s", "door", f"B={os.path.relpath(BUILD, ROOT)}"], cwd=ROOT, check=True, timeout=600)
    return make_iso("killer", bundle=BUILD / "door/mortal.itb")


def vif(host, n):
    return f"vif=['mac=00:16:3e:00:00:{n},bridge=net0'] extra='console=hvc0 quiet bh.host={host} bh.ip=10.0.2.{n}/24 bh.gw=10.0.2.2'"


def restarts(m):
    return {name: int(re.search(rf"^{name} .* (\d+)\s*$", m.cmd("list"), re.M).group(1)) for name in [*KILL, "store"]}


def news(m):
    """What the guest's kernel says, but for that of a processor that was late; its console is attached."""
    out, _ = m.guest("dmesg")
    return [x for x in out.splitlines() if x.startswith("[") and not re.search(QUIET, x)]


def kills(m, driver, begin):
    """The guest kills it, as often as it can, until it is put aside: that many restarts."""
    before = restarts(m)[driver]
    begin()
    m.expect(re.escape(STILL[driver]), 60)
    m.send("\r")
    m.prompt()
    pause(3)  # it goes on trying
    cost = restarts(m)[driver] - before
    check(cost <= MAY_COST, f"{driver} was restarted {cost} times")
    listing = {"net0": "network-list", "blk0": "block-list"}[driver]
    for line in ("list", f"{listing} killer", f"{listing} {driver}"):
        check(STILL[driver] in m.cmd(line), f"{line} does not say that it stands still")
    return cost


def attacks(m, driver):
    m.console("killer")
    m.guest(KILL[driver])
    m.leave()


def comes_back(m):
    """Both doors are closed by now. All that stood still goes on where it was."""
    for line in RETRY.values():
        m.cmd(line)
    m.console("killer")
    m.guest("touch /tmp/stop")
    guest_says(m, "ls /tmp", r"\bblk0\b")
    guest_says(m, "ls /tmp", r"\bnet0\b")
    out, _ = m.guest("wc -c < /tmp/read; cat /tmp/err")
    check("4096" in out, f"the read that had waited: {out}")
    out, _ = m.guest("ping -c 3 -W 10 10.0.2.2; dd if=/dev/xvda bs=64k iflag=direct | wc -c", 60)
    check("3 received" in out and str(4 << 20) in out, f"after another chance: {out}")
    m.leave()
    check("still" not in m.cmd("list"), "list still says that something stands still")


def asks(path):
    return ASKS.format(len(path) + 1, path)


def told(m):
    """How often a line said by itself that the store does not serve it."""
    with open(m.log.name, encoding="utf-8", errors="replace") as f:
        return f.read().count("killer: the store does not serve it any more")


def kills_store(m, begin):
    """The same of the store: how many restarts that is. Everybody else is served."""
    before, lines = restarts(m)["store"], told(m)
    begin()
    shows(m, "list", "^killer: the store does not serve it", 60)
    check(m.cmd("xenstore-read /local/domain/0/name").strip().endswith("control"), "the store does not answer")
    cost = restarts(m)["store"] - before
    check(1 < cost <= MAY_COST, f"the store was restarted {cost} times")
    until(lambda: m.cmd("list") and told(m), lambda now: now == lines + 1, "lines that say it", 10)
    return cost


def attacks_store(m):
    m.console("killer")
    m.guest(f"{asks('kill/here')} > /dev/xen/xenbus")
    m.leave()


def store_serves_again(m):
    m.cmd("xenstore-retry killer")
    check("does not serve" not in m.cmd("list"), "list still says that the store puts somebody aside")
    m.console("killer")
    out, _ = m.guest(f"exec 3<> /dev/xen/xenbus; {asks('domid')} >&3; dd bs=64 count=1 <&3 2> /dev/null | wc -c; exec 3>&-")
    check(re.search(r"^1[78]\s*$", out, re.M), f"after another chance: {out}")
    m.leave()


def pings(m):
    """Answers that the neighbour's ping has had; its console is attached."""
    out, _ = m.guest("grep -c 'bytes from' /tmp/ping.log")
    return int(re.findall(r"^(\d+)\s*$", out, re.M)[-1])


def test_killer():
    image = mkgpt.make(LOGS / "killer.img", [("data", 64), ("killer", 4)])
    with Machine("killer", iso=mortal_iso(), disk=image) as m:
        m.boot()
        m.cmd("destroy debian")
        neighbour = Neighbour(m, vif("neighbour", 42))
        m.console("neighbour")
        m.guest("ping -i 0.2 10.0.2.2 > /tmp/ping.log 2>&1 &")
        m.leave()
        out = m.cmd(f"create debian name=killer memory=192 vcpus=1 {vif('killer', 41)} disk=['phy:blk0:killer,xvda,w']", 60)
        check("created as domain" in out, f"create: {out}")
        m.console("killer")
        said = news(m)
        m.leave()
        cost = {driver: kills(m, driver, lambda d=driver: attacks(m, d)) for driver in KILL}
        again = {driver: kills(m, driver, lambda d=driver: m.send(RETRY[d] + "\r")) for driver in KILL}
        comes_back(m)
        m.console("killer")
        check(news(m) == said, "the killer's kernel has news")
        m.leave()
        m.console("neighbour")
        before = pings(m)
        pause(3)
        check(pings(m) > before, "the neighbour's ping is not answered any more")
        m.leave()
        check(neighbour.rate() > 0, "the neighbour's disk stands still")
        cost["store"] = kills_store(m, lambda: attacks_store(m))
        again["store"] = kills_store(m, lambda: m.cmd("xenstore-retry killer"))
        store_serves_again(m)
        print(f"  restarts until it was put aside: {cost}; with another chance: {again}", flush=True)
        neighbour.ends()
    image.unlink()
