#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Guests that stand still, beside busy loops on the host (docs/known-issues.md, 8, 9 and 13). In the environment: BUSY=2 loops, ROUNDS=20000 of a
pair that wakes each other by STI; HLT, FLIPS=2000 of a static key of Debian's kernel, ASKS=50000 requests to the store by each of two threads in
two guests, BOOTS=300 of Debian with 2 and 4 vCPUs in turn."""
import os
import subprocess

import pytest

from tests.lib.hltpair import pairs
from tests.lib.machine import Failed, Machine, check
from tests.lib.records import program

COUNTS = (("BUSY", 2), ("ROUNDS", 20000), ("FLIPS", 2000), ("ASKS", 50000), ("BOOTS", 300))
BUSY, ROUNDS, FLIPS, ASKS, BOOTS = (int(os.environ.get(k, v)) for k, v in COUNTS)
KEY = "/proc/sys/kernel/sched_schedstats"  # patches some dozens of places of the scheduler
CHUNK = 10     # flips between two signs of life
SILENCE = 600  # seconds without one, or until a boot is done: a guest that stands still does so for ever, a busy machine does not


@pytest.fixture(autouse=True)
def busy_loops():
    """All of this is beside them."""
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def listed(m):
    """What the shell says of the guests, if there still is one."""
    try:
        m.leave()
        return m.cmd("list -v")
    except Failed as e:
        return f"the shell does not answer: {e}"


def create(m, name, vcpus, words="vif=[]"):
    out = m.cmd(f"create debian name={name} vcpus={vcpus} {words}", 120)
    check("created as domain" in out, f"create: {out}")
    try:
        m.console(name, seconds=SILENCE)
    except Failed as e:
        raise Failed(f"{name} stood still while it booted: {e}\n{listed(m)}") from None


def test_hlt_pair_nop():
    pairs("hlt-pair-nop", 1, 500, True)


def test_hlt_pair():
    pairs("hlt-pair", 1, ROUNDS, False)


def test_static_keys():
    """Each flip patches code that both vCPUs run all the time: a pipe of single bytes each."""
    with Machine("static-keys") as m:
        m.boot(300)
        m.cmd("destroy debian")
        create(m, "keys", 2)
        m.guest("for i in 0 1; do (dd if=/dev/zero bs=1 2>/dev/null | dd of=/dev/null bs=1 2>/dev/null) & done", 120)
        m.send(f"i=0; while [ $i -lt {FLIPS} ]; do i=$((i+1)); echo $((i%2)) > {KEY}; "
               f"[ $((i%{CHUNK})) != 0 ] || echo fl''ips=$i; done; echo al''ldone\r")
        last, done = "0", False
        while not done:
            try:
                seen = m.expect(r"flips=(\d+)\r|alldone\r", SILENCE).group(1)
            except Failed as e:
                raise Failed(f"the guest stood still after {last} flips: {e}\n{listed(m)}") from None
            last, done = seen or last, not seen
        m.leave()


def test_store_asked():
    """Two guests, so that the store is often awake when a request comes."""
    guests = {"left": "10.0.2.21", "right": "10.0.2.22"}
    with Machine("store-asked", www=program("store-asked", "storeask")) as m:
        m.boot(300)
        m.cmd("destroy debian")
        for name, ip in guests.items():
            create(m, name, 2, f"vif=['mac=00:16:3e:00:00:{ip[-2:]},bridge=net0'] "
                               f"extra='console=hvc0 quiet bh.host={name} bh.ip={ip}/24 bh.gw=10.0.2.2'")
            out, status = m.guest("cd /tmp; n=0; until wget -q http://10.0.2.100/storeask || [ $n = 20 ]; do n=$((n + 1)); sleep 1; done; "
                                  "chmod 755 storeask", 120)
            check(status == 0, f"the program does not come: {out}")
            m.guest(f"(./storeask 2 {ASKS}; echo ov''er) > /tmp/log 2>&1 &")
            m.leave()
        for name in guests:
            m.console(name)
            out, _ = m.guest("until grep -q over /tmp/log; do sleep 1; done; cat /tmp/log", ASKS)
            check(f"{2 * ASKS} of {2 * ASKS} requests" in out, f"{name}: {out}")
            m.leave()


def test_boots():
    with Machine("boots") as m:
        m.boot(300)
        m.cmd("destroy debian")
        for n in range(BOOTS):
            create(m, f"boot{n}", 4 if n % 2 else 2)
            m.leave()
            m.cmd(f"destroy boot{n}", 120)
        print(f"  {BOOTS} boots", flush=True)
