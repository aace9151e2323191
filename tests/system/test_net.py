#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# ALONE: networks
"""tools/net: networks are whole or gone, whenever their builder dies; nothing of the host's own network changes."""
import os
import pathlib
import subprocess
import tempfile

from tests.lib.machine import check
from tests.lib.wire import NET, Wire, net

# Stands before the real `ip` in the path: the step with this number ends who asked for it.
DEADLY_IP = """#!/bin/sh
n=$(($(cat {dir}/steps) + 1))
echo $n > {dir}/steps
[ $n -ne $(cat {dir}/deadly) ] || {{ kill -9 $PPID; exit 1; }}
exec {ip} "$@"
"""


def host():
    """What the host's own network is made of."""
    return subprocess.run("ip -o link | cut -d: -f2; ip -o addr | cut -d' ' -f2-7; ip route; ls /proc/sys/net/ipv4/conf", shell=True,
                          capture_output=True, text=True, check=True).stdout


def listed():
    return net("list").stdout.split()


def ours(name):
    """Names in /run/netns and processes that belong to a network."""
    there = [str(p) for p in pathlib.Path("/run/netns").glob(f"bulkhead-{name}*")]
    found = subprocess.run(["pgrep", "-f", f"bulkhead-{name}\\b"], capture_output=True, text=True, check=False)
    return there + found.stdout.split()


def whole(name):
    """The wire has its bridge, the peer's end and the tap, the peer its address."""
    got = net("wire", name, "ip", "-br", "link").stdout
    check(all(x in got for x in ("wire ", "peer@", "tap0 ")), f"the wire has {got}")
    got = net("peer", name, "ip", "-br", "addr").stdout
    check("10.9.0.1/24" in got, f"the peer has {got}")


def up(name, **env):
    return subprocess.run([NET, "up", name, "--address", "10.9.0.1/24"], env={**os.environ, **env}, capture_output=True,
                          text=True, check=False).returncode


def test_net_lifetimes():
    me, before = str(os.getpid()), host()
    with Wire() as w:  # or skipped
        check(listed().count(me) == 1, f"listed: {listed()}")
        w.vlan("5", "10.9.5.1/24")
        w.vlan("7.9", "10.9.79.1/24")
        got, _ = w.peer("ip", "-br", "addr")
        check("10.9.5.1/24" in got and "10.9.79.1/24" in got, f"the peer has {got}")
        sleeper = w.serve("sleep", "1000")
        check(host() == before, "something of it is in the host's own network")
    check(sleeper.wait(10) != 0, "what ran on the peer runs on")
    check(not ours(me) and me not in listed(), f"left: {ours(me)}")
    check(net("down", me).returncode == 0, "what is not there cannot be taken down")
    for word in ("", "../x", "UPPER", "a-b", "averylongnameofanet"):
        check(net("up", word).returncode == 2, f"a network called {word!r}")
    gone = subprocess.run(["sh", "-c", f"{NET} up $$; echo $$"], capture_output=True, text=True, check=True).stdout.split()[0]
    check(gone in listed(), f"listed: {listed()}")
    check(up(me) == 0, "up")
    check(gone not in listed() and not ours(gone), "a network without its process stays")
    net("down", me)
    check(host() == before, "the host's own network has changed")


def test_net_killed_in_the_middle():
    """At the first steps and at some of the others: what is left is taken down by `down`, or by the next `up`, which gets further."""
    with Wire():
        pass  # or skipped
    me = str(os.getpid())
    real = subprocess.run(["sh", "-c", "command -v ip"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="bh-") as d:
        fake = pathlib.Path(d, "ip")
        fake.write_text(DEADLY_IP.format(dir=d, ip=real))
        fake.chmod(0o755)
        for deadly in (1, 2, 3, 4, 8, 12, 14, 1000):
            pathlib.Path(d, "steps").write_text("0")
            pathlib.Path(d, "deadly").write_text(str(deadly))
            got = up(me, PATH=f"{d}:{os.environ['PATH']}")
            check((got == 0) == (deadly == 1000), f"killed at step {deadly}, but it ended with {got}")
            if deadly % 8 == 4:  # else the next `up` finds it
                check(net("down", me).returncode == 0 and not ours(me), f"after step {deadly} this stays: {ours(me)}")
        whole(me)
        check(net("down", me).returncode == 0 and not ours(me), f"left: {ours(me)}")
