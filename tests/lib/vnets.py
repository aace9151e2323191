# SPDX-License-Identifier: MIT
"""Vnets between machines under test and a Linux on their wire, whose own VXLAN is the other end."""
from tests.lib.hub import GATEWAY as PEER
from tests.lib.machine import check
from tests.lib.wait import until

OTHER = "10.97.0.2"  # the peer, on vnet 97


def on_peer(w, *command):
    out, status = w.peer(*command)
    check(status == 0, f"on the peer: {' '.join(command)}: {out}")
    return out


def in_guest(m, line, timeout=60):
    out, status = m.guest(line, timeout)
    check(status == 0, f"{line!r} ended with {status}: {out}")
    return out


def segment(w, vni, *ends, local=PEER, port=4789, dev="eth0", mtu=1450):
    """The peer's own device for it."""
    vx = f"vx{vni}"
    on_peer(w, "ip", "link", "add", vx, "type", "vxlan", "id", str(vni), "local", local, "dstport", str(port), "dev", dev)
    for end in ends:
        on_peer(w, "bridge", "fdb", "append", "00:00:00:00:00:00", "dev", vx, "dst", end)
    on_peer(w, "ip", "addr", "add", f"10.{vni}.0.2/24", "dev", vx)
    on_peer(w, "ip", "link", "set", vx, "mtu", str(mtu), "up")


def create(m, vni, here, peers):
    out = m.cmd(f"vnet-create {vni} ip={here}/24 peers={','.join(peers)} bridge=net0", 60)
    check(f"vnet{vni}: created as domain" in out, f"vnet-create: {out}")


def guest_on(m, vni, address, mac="00:16:3e:00:00:02"):
    """debian2, on that vnet alone; it reaches the peer there."""
    out = m.cmd(f"create debian2 memory=128 \"vif=['mac={mac},vnet={vni}']\" 'extra=console=hvc0 quiet bh.host=debian2 bh.ip={address}/24'", 60)
    check("created as domain" in out, f"create debian2: {out}")
    m.console("debian2")
    in_guest(m, "ip link set dev eth0 mtu 1450")
    until(lambda: m.guest(f"ping -c 1 -W 1 {OTHER}"), lambda got: got[1] == 0, "the other end is not reached")
    in_guest(m, f"ping -c 1 -W 5 -s 1422 {OTHER}")  # 1450 bytes: as long as can be
    m.leave()


def download_begin(m, other=OTHER):
    """10 MB of the peer's, again and again."""
    m.console("debian2")
    in_guest(m, "rm -f /tmp/enough /tmp/sums; (while [ ! -e /tmp/enough ]; do "
                f"wget -q -O - http://{other}/10mb.bin | sha256sum >> /tmp/sums; done; echo over >> /tmp/sums) &")
    m.leave()


def download_end(m, digest):
    """Every byte of them is right; how many there were."""
    m.console("debian2")
    in_guest(m, "touch /tmp/enough")
    sums = until(lambda: m.guest("cat /tmp/sums")[0].split(), lambda words: "over" in words, "the download does not end", 120, 1)
    m.leave()
    sums = [s for s in sums if len(s) == 64]
    check(sums and set(sums) == {digest}, f"the downloads: {sums}, not {digest}")
    return len(sums)
