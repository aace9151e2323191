#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""What is left of a driver domain that somebody took over, after one restart. net0 and blk0 are builds with a back door (tests/door):
every second instance attacks whoever comes after it and dies. Two guests are behind both; after each attack both have their own packets
and their own sectors, all bytes of the disk are right, and what was lost on the way was said and comes back. Thirty attacks of each kind;
ROUNDS in the environment: so many."""
import hashlib
import os
import re
import subprocess

import pytest

from tools import mkgpt
from tests.lib.machine import ANSI, BUILD, LOGS, ROOT, Failed, Machine, check, make_iso
from tests.lib.wait import pause, shows, until

ROUNDS = int(os.environ.get("ROUNDS", "30"))
GUESTS = {"left": ("00:16:3e:00:00:21", "10.0.2.21"), "right": ("00:16:3e:00:00:22", "10.0.2.22")}
ATTACKS = {
    "net0": ["records", "swapped", "second", "random", "requests", "nodes", "dma"],
    "blk0": ["extent", "mode", "owner", "second", "random", "journal", "nodes", "dma"],
}
MIB = 4
BLOCK = 65536
MANY = 4  # failures are enough
QUIET = r"hrtimer: interrupt took|clocksource"
# What a guest's kernel says when an interface or a disk goes and comes, or a request gets an error.
# Linux looks again at the size of a disk whose back-end says twice that it is connected: it is what it was.
OF_PLUGS = QUIET + rf"|xvda|vbd|blkfront|netfront|eth0|vif|IPv6: ADDRCONF|Setting capacity to {MIB << 11}$"


def door_iso():
    """The delivered core and control domain, and a bundle that differs in two images."""
    subprocess.run(["make", "-s", "door", f"B={os.path.relpath(BUILD, ROOT)}"], cwd=ROOT, check=True, timeout=600)
    return make_iso("door", bundle=BUILD / "door/bundle.itb")


class Door:
    def __init__(self, m, image):
        self.m, self.image, self.round = m, image, 0
        self.instances = {"net0": 0, "blk0": 0}
        self.said = {}
        self.disk = bytearray(image.read_bytes())
        self.part = mkgpt.partitions(image)

    # --- the machine ---
    def text(self, since=0):
        self.m.log.flush()
        return ANSI.sub("", (LOGS / f"{self.m.name}.serial.log").read_text(errors="replace")[since:]).replace("\r", "")

    def mark(self):
        self.m.log.flush()
        return len((LOGS / f"{self.m.name}.serial.log").read_text(errors="replace"))

    def connected(self, name):
        def one(out, mac=""):
            rows = [x.split() for x in out.split("\n") if re.match(r"\d+ +\d+ ", x)]
            return len(rows) == 1 and mac in rows[0] + [""] and rows[0][3 + bool(mac)] == "4"
        return one(self.m.cmd(f"network-list {name}"), GUESTS[name][0]) and one(self.m.cmd(f"block-list {name}"))

    # --- the guests ---
    def create(self, name):
        mac, ip = GUESTS[name]
        out = self.m.cmd(f"create debian name={name} memory=512 vcpus=1 vif=['mac={mac},bridge=net0'] "
                         f"disk=['phy:blk0:{name},xvda,w'] extra='console=hvc0 quiet bh.host={name} bh.ip={ip}/24 bh.gw=10.0.2.2'", 90)
        check("created as domain" in out, f"create: {out}")
        self.m.console(name)
        self.in_guest(f"yes {name} | head -c {MIB << 20} | dd of=/dev/xvda bs=64k iflag=fullblock oflag=direct 2>/dev/null")
        self.in_guest("dmesg > /tmp/dmesg0")
        self.m.leave()
        self.write(name, 0, f"{name}\n", MIB << 20)

    def in_guest(self, line, timeout=90):
        out, status = self.m.guest(line, timeout)
        check(status == 0, f"{line!r} ended with {status}: {out[-600:]}")
        return out

    def write(self, name, at, line, n):
        first = self.part[name][0] + at
        self.disk[first:first + n] = (line * (n // len(line) + 1))[:n].encode()

    def received(self):
        return int(re.findall(r"received=(\d+)", self.in_guest("echo received=$(cat /sys/class/net/eth0/statistics/rx_packets)"))[-1])

    def check_guest(self, name, allowed):
        """Its console is attached. Its own address, its own packets, its own sectors, and no other word of its kernel."""
        self.round += 1
        at, line = self.round % (MIB << 20 >> 16), f"{name} in round {self.round}"
        self.in_guest("n=0; until ping -c 1 -W 1 10.0.2.2 > /dev/null; do n=$((n + 1)); [ $n -lt 40 ] || break; done; [ $n -lt 40 ]")
        check(GUESTS[name][0] in self.in_guest("cat /sys/class/net/eth0/address"), f"{name} has another address")
        out = self.in_guest("ping -q -c 30 -i 0.02 10.0.2.2")
        got = re.search(r" (\d+) received", out)  # a busy machine's last answers may come when ping has stopped waiting
        check(got and int(got.group(1)) >= 27, f"{name}: {out}")
        self.in_guest(f"yes '{line}' | head -c {BLOCK} | dd of=/dev/xvda bs=64k seek={at} iflag=fullblock oflag=direct conv=notrunc")
        self.write(name, at * BLOCK, line + "\n", BLOCK)
        first, n = self.part[name]
        want = hashlib.md5(self.disk[first:first + n]).hexdigest()
        out = self.in_guest("dd if=/dev/xvda bs=64k iflag=direct | md5sum")
        check(want in out, f"{name} has other sectors: {out}")
        news = self.m.guest("dmesg | diff /tmp/dmesg0 - | grep '^+\\['")[0].splitlines()
        news = [x for x in news if x.startswith("+[") and not re.search(allowed, x)]
        check(not news, f"the kernel of {name} has news: {news}")
        self.in_guest("dmesg > /tmp/dmesg0")

    # --- one attack ---
    def attack(self, back, kind, n):
        m, since = self.m, self.mark()
        if kind == "journal":
            m.console("left")
            m.guest("rm -f /tmp/over /tmp/q; (while [ ! -e /tmp/q ]; do dd if=/dev/xvda of=/dev/null bs=4k iflag=direct || break; done; "
                    "touch /tmp/over) 2> /dev/null &")
            m.leave()
        m.send(f"crash --inject {back}\r")
        # The honest one dies, and the one after it by its own hand: on a busy machine before it was told that it had come, then one line tells of both.
        self.instances[back] += 2
        m.expect(rf"{back}: crashed[^\n]*restarted in [\d.]+ ms[^\n]*restart {self.instances[back]}\r", 60)
        m.send("\r")
        m.cmd("list")
        words = re.findall(r"door: attack (\w+), round (\d+)", m.cmd(f"dmesg {back}"))
        check(words and words[-1] == (kind, str(n)), f"{back} did {words[-1:]}")
        self.heal(back, since)
        self.look(back, kind, since)

    def not_adopted(self):
        """How many disks the last instance did not adopt, by its own word: they stand still, and each will be told when the store says so."""
        self.m.send("console blk0\r")
        self.m.leave()
        return len(GUESTS) - int(re.findall(r"blk0: up, [^\n]* (\d+) vbds adopted", self.m.sp.before)[-1])

    def stand_still(self, since):
        """The guests whose disk was told to stand still. (A read would tell, too, but Linux takes no disk away that owes it one.)"""
        def told():
            return [name for name in GUESTS if re.search(rf"{name}: disk xvda stands still", self.text(since))]
        n = self.not_adopted()
        until(lambda: len(told()) >= n, bool, f"not {n} disks were told to stand still", 60)
        return told()

    def heal(self, back, since):
        """A disk that stands still says so, and is as good as new when it was taken away and given again."""
        for name in self.stand_still(since) if back == "blk0" else []:  # else nobody's disk was to be adopted
            out = self.m.cmd(f"block-detach {name} xvda", 60)
            if "still has it" in out:
                self.m.cmd(f"block-detach {name} xvda --force", 60)
            self.m.console(name)
            self.in_guest("n=0; while [ -e /dev/xvda ] && [ $n -lt 500 ]; do usleep 20000; n=$((n + 1)); done; [ $n -lt 500 ]")
            self.m.leave()
            self.m.cmd(f"block-attach {name} phy:blk0:{name},xvda,w", 60)
            self.m.console(name)
            self.in_guest("n=0; until [ -b /dev/xvda ] || [ $n -gt 500 ]; do usleep 20000; n=$((n + 1)); done; [ -b /dev/xvda ]")
            self.m.leave()
        for name in GUESTS:
            until(lambda n=name: self.connected(n), bool, f"{name} has not both its devices", 60)

    def go_on(self, back):
        """After a failure, so that the others are seen too."""
        self.m.send("\x1d\r")
        pause(2)
        out = self.m.cmd("list")
        self.instances[back] = int(re.search(rf"^{back} .* (\d+)\s*$", out, re.M).group(1))

    def look(self, back, kind, since):
        m, said = self.m, self.text(since)
        for line in re.findall(r"((?:left|right): (?:disk xvda stands still|vif \d+ plugged again)[^\n]*)", said):
            self.said.setdefault((back, kind), set()).add(re.sub(r"\d+", "N", line))
        allowed = OF_PLUGS if (back, kind) in self.said or kind in ("journal", "nodes") else QUIET
        m.console("left")
        if kind == "journal":
            self.in_guest("touch /tmp/q; n=0; until [ -e /tmp/over ] || [ $n -gt 500 ]; do usleep 20000; n=$((n + 1)); done; [ -e /tmp/over ]")
        self.check_guest("left", allowed)
        before = self.received()
        m.leave()
        m.console("right")
        self.check_guest("right", allowed)
        m.leave()
        m.console("left")
        more = self.received() - before
        check(more < 25, f"left received {more} packets while right exchanged 30 with somebody else")
        m.leave()
        for name in GUESTS:
            shows(m, "volumes", rf"^blk0:{name} .* {name}:w$")
        image = self.image.read_bytes()
        if image != self.disk:
            at = next(i for i in range(len(image)) if image[i] != self.disk[i])
            check(False, f"the disk is wrong from byte {at} on: {image[at:at + 32]!r}, not {bytes(self.disk[at:at + 32])!r}")
        out = m.cmd("list")
        for driver, n in self.instances.items():
            check(re.search(rf"^{driver} .* {n}\s*$", out, re.M), f"{driver} was to be restarted {n} times: {out}")


@pytest.mark.parametrize("back", list(ATTACKS))
def test_door(back):
    """ROUNDS attacks of each kind by one driver domain."""
    image = mkgpt.make(LOGS / f"door-{back}.img", [(name, MIB) for name in GUESTS])
    with Machine(f"door-{back}", iso=door_iso(), disk=image) as m:
        m.boot()
        m.cmd("destroy debian")
        door = Door(m, image)
        for name in GUESTS:
            door.create(name)
        failed = []
        for n in range(ROUNDS):
            for kind in ATTACKS[back]:
                try:
                    door.attack(back, kind, n)
                except Failed as e:
                    failed.append(f"attack {kind}, round {n}: {e}")
                    check(len(failed) < MANY, "\n".join(failed))
                    door.go_on(back)
        check(not failed, "\n".join(failed))
        print(f"  {ROUNDS} attacks of each of {len(ATTACKS[back])} kinds", flush=True)
        for (_, kind), lines in door.said.items():
            print(f"  {kind}: " + "; ".join(sorted(lines)), flush=True)
    image.unlink()
