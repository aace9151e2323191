#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""An unmodified Linux (netdd.cfg of the bundle) serves a guest's interface by its own xen-netback and bridge: ping, a download with its checksum. It crashes
KILLS times, once under a download: the guest has its interface again, with the number and the address that it had, and the download ends right. Then it
is as somebody who has taken it over. The same with a NIC of its own, which its own driver drives. KILLS in the environment says how often,
REFS how much is tried (tests/lib/taken.py)."""
import os
import re

import pytest

from tests.lib import taken
from tests.lib.machine import CMDLINE, Boot, check, make_iso, make_www
from tests.lib.wait import until

KILLS = int(os.environ.get("KILLS", "2"))
MAC = "00:16:3e:00:00:21"
NIC = "00:06.0"  # an 82574L, on a network of its own
WWW, DIGEST = make_www()
LOAD = "wget -q -O - http://10.0.2.100/10mb.bin | sha256sum"
RX = "/sys/class/net/eth0/statistics/rx_bytes"
WAY = "ip addr replace 10.0.2.23/24 dev br0"  # netdd's own
# Of the guest behind it; each returns when the interface is there again and answers.
ANSWERS = "until ping -c 1 -W 2 10.0.2.2 > /dev/null 2>&1; do sleep 1; done"


@pytest.fixture(scope="module")
def boot():
    extra = ["-netdev", f"user,id=n6,guestfwd=tcp:10.0.2.100:80-cmd:busybox httpd -i -h {WWW}", "-device", "e1000e,netdev=n6,addr=6,romfile="]
    with Boot("netdd", iso=make_iso("netdd", f"{CMDLINE}({NIC})"), www=WWW, extra=extra) as b:
        yield b


def make(m):
    """netdd, and a guest behind it."""
    if "netdd" in m.cmd("list"):
        return
    out = m.cmd("create netdd", 60)
    check("netdd: created" in out, out)
    out = m.cmd("create debian2 name=behind memory=192 vcpus=1 extra='console=hvc0 quiet bh.host=behind bh.ip=10.0.2.21/24 bh.gw=10.0.2.2' "
                f"vif=['mac={MAC},backend=netdd']", 120)
    check("behind: created" in out, out)


def vif(m):
    """Number, back-end, address and state of the interface."""
    row = [x.split() for x in m.cmd("network-list behind").splitlines() if MAC in x]
    check(len(row) == 1, f"interfaces: {row}")
    return row[0][0], int(row[0][1]), row[0][4]


def in_guest(m, line, seconds=120, name="behind"):
    m.console(name)
    text, status = m.guest(line, seconds)
    m.leave()
    check(status == 0, f"{line}: {status}: {text}")
    return text


def dies(m, how="crash netdd"):
    m.cmd(how)
    m.expect(r"behind: vif 0 is unplugged until there is a netdd again", 60)
    m.expect(r"behind: vif 0 is plugged again: netdd is domain (\d+) now", 120)
    return int(m.sp.match.group(1))


def test_netdd_serves(m):
    make(m)
    in_guest(m, "ping -c 3 10.0.2.2")
    check(vif(m)[::2] == ("0", "4"), f"{vif(m)}")
    check(DIGEST in in_guest(m, LOAD, 300), "the download is another file")


def test_netdd_killed(m):
    make(m)
    for i in range(KILLS):
        load = i == KILLS - 1  # it is under way when netdd dies, and goes on
        if load:
            in_guest(m, f"had=$(cat {RX}); ({LOAD} > /tmp/sum 2>&1) & until [ $(cat {RX}) -gt $((had + 65536)) ]; do usleep 20000; done")
        new = dies(m)
        in_guest(m, ANSWERS, 120)
        check(vif(m) == ("0", new, "4"), f"{vif(m)}, not of {new}")
    text = in_guest(m, "while [ ! -s /tmp/sum ]; do sleep 1; done; cat /tmp/sum; ip addr show eth0; dmesg | sed -n '/xen_netfront/,$p'", 300)
    check(DIGEST in text, f"the download ended otherwise: {text}")
    check("10.0.2.21/24" in text and MAC in text.lower(), f"another address: {text}")
    check("WARNING" not in text and "BUG" not in text and "xen_netfront: " in text, f"its kernel says {text}")


def test_netdd_destroyed(m):
    """Its guest has no interface then, and can end; the next netdd takes up those that are there."""
    make(m)
    m.cmd("destroy netdd", 60)
    m.cmd("create netdd", 60)
    m.expect(r"behind: vif 0 is plugged again", 60)
    in_guest(m, ANSWERS)
    out = m.cmd("destroy behind", 60) + m.cmd("network-list netdd")
    check(MAC not in out, out)
    make_again = m.cmd("create debian2 name=behind memory=192 vif=['backend=netdd,ip=10.0.2.21']")
    check("netdd is a Linux: ip= is not enforced there" in make_again, make_again)


def spoofed(m):
    """Frames of netdd that net0 refused for their sender."""
    return int(re.search(r"^netdd +\d+ +(.*) net0$", m.cmd("network-list netdd"), re.M).group(1).split()[4])


def test_netdd_taken_over(m):
    """What it may write in the store is its side of its own clients' interfaces; a guest that it serves sends from its own address alone."""
    make(m)
    if "behind" not in m.cmd("list"):
        m.cmd("destroy netdd", 60)
        make(m)
    back, behind = vif(m)[1], int([x.split() for x in m.cmd("list").splitlines() if x.startswith("behind ")][0][1])
    m.console("netdd")
    for path, value in ((f"/local/domain/{behind}/device/vif/0/state", "6"), (f"/local/domain/{behind}/control/shutdown", "poweroff"),
                        (f"/local/domain/{back}/backend/vif/{behind}/0/frontend", "/"), (f"/local/domain/{back}/backend/vif/99/0/state", "1"),
                        (f"/local/domain/{back}/backend/vbd/{behind}/51712/state", "1"), ("/local/domain/4/backend/vif/16/0/state", "6"),
                        (f"/local/domain/{back}/name", "net0"), ("/tool/x", "1")):
        text, status = m.guest(f"xenstore-write {path} {value}")
        check(status != 0, f"it wrote {path}: {text}")
    text, status = m.guest(f"bridge fdb show | grep -i '{MAC} .*sticky'")  # a frame from outside with that address does not take its place
    check(status == 0, f"another may take its place on the bridge: {text}")
    m.leave()
    taken.tried(m, "netdd", "behind", WAY)
    before = spoofed(m)
    m.console("netdd")
    m.guest("read own < /sys/class/net/br0/address; ip link set br0 address 00:16:3e:00:00:01; ping -c 1 -W 1 10.0.2.2; ip link set br0 address $own")
    m.leave()
    until(lambda: spoofed(m), lambda n: n > before, "it sent from debian's MAC address", 10)
    in_guest(m, "ip link set eth0 down; ip link set eth0 address 00:16:3e:00:00:22; ip link set eth0 up; ip route add default via 10.0.2.2; "
                "! ping -c 2 -W 2 10.0.2.2", 60)
    in_guest(m, f"ip link set eth0 down; ip link set eth0 address {MAC}; ip link set eth0 up; ip route add default via 10.0.2.2; {ANSWERS}", 60)


def test_netdd_nic(m):
    """Its way out is a NIC that it was given; each of its lives has it."""
    out = m.cmd(f"create netdd name=nicdd memory=256 vif=[] pci=['{NIC}']", 120)
    check("nicdd: created" in out, out)
    out = m.cmd("create debian2 name=wired memory=192 vcpus=1 extra='console=hvc0 quiet bh.host=wired bh.ip=10.0.2.22/24 bh.gw=10.0.2.2' "
                "vif=['backend=nicdd']", 120)
    check("wired: created" in out, out)
    for life in range(2):
        in_guest(m, ANSWERS, 120, "wired")
        check(DIGEST in in_guest(m, LOAD, 300, "wired"), "the download is another file")
        out = m.cmd("pci-assignable-list")
        check(f"{NIC[:5]}" in out and "nicdd" in [x for x in out.splitlines() if NIC in x][0], out)
        if not life:
            m.cmd("crash nicdd")
            m.expect(r"wired: vif 0 is plugged again", 120)
    m.cmd("destroy wired nicdd", 60)
