#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The store, pciback and the control domain die by order of the shell, at random instructions and by hanging, beside a guest whose pings, downloads and
disk are checked all the time: nobody but the prompt notices. Then pciback dies while devices come and go, and under a front-end of pciif. KILLS and HANGS in the environment say how
often each of them. And net driver domains with several NICs and bridges, beside each other."""
import os
import random
import re
import struct
import time

import pytest

from tests.lib.busy import Busy
from tests.lib.crash import crash, rows
from tests.lib.machine import CMDLINE, LOGS, TEST_BUNDLE, Boot, check, make_iso, make_www
from tests.lib.wait import guest_says, pause, shows
from tools import mkgpt

KILLS = int(os.environ.get("KILLS", "6"))
HANGS = int(os.environ.get("HANGS", "2"))
SERVICES = ("store", "pciback", "control")


def disk():
    LOGS.mkdir(parents=True, exist_ok=True)
    return mkgpt.make(LOGS / "services.img", [("data1", 32), ("data2", 16)])


VIRTIO = "virtio-net-pci,disable-legacy=on,iommu_platform=on,romfile="
WIRES = {n: LOGS / f"services-{n}.pcap" for n in ("n1", "u2")}  # what passed on the second NIC's, and on that of the two below


def nics():
    """Two more NICs, on one wire with a network behind it; and one of another kind."""
    return ["-netdev", "user,id=na,restrict=on", "-device", "e1000e,netdev=na,addr=a.0,multifunction=on,romfile=",
            "-device", "edu,addr=a.1",
            "-netdev", "user,id=u2,restrict=on", "-netdev", "hubport,id=h,hubid=1,netdev=u2",
            *(x for i in (7, 8) for x in ("-netdev", f"hubport,id=n{i},hubid=1", "-device", f"{VIRTIO},netdev=n{i},addr={i}")),
            *(x for n, to in WIRES.items() for x in ("-object", f"filter-dump,id=d{n},netdev={n},file={to}"))]


@pytest.fixture(scope="module")
def boot():
    iso = make_iso("services", CMDLINE + "(00:04.0)(00:07.0)(00:08.0)(00:0a.*)", bundle=TEST_BUNDLE)
    with Boot("services", iso=iso, www=lambda: make_www()[0], disk=disk, extra=nics) as b:
        yield b
    for wire in WIRES.values():
        wire.unlink(missing_ok=True)
    (LOGS / "services.img").unlink(missing_ok=True)


def works(m):
    """A guest comes, another one goes, a disk comes and goes, and the first guest has its network."""
    check("created as domain" in m.cmd("create echo", 60), "create")
    m.send("console echo\r")
    m.expect("echo: ready", 30)
    m.leave()
    check(not m.cmd("destroy echo", 60).strip(), "destroy")
    out = m.cmd("block-attach busy phy:blk0:data2,xvdb,w", 60)
    check(not out.strip(), f"block-attach: {out}")
    m.console("busy")
    guest_says(m, "ls /dev/xvdb", "^/dev/xvdb")
    out, status = m.guest("dd if=/dev/urandom of=/tmp/x bs=64k count=4 && dd if=/tmp/x of=/dev/xvdb bs=64k && cmp /tmp/x /dev/xvdb -n 262144", 60)
    check(status == 0, f"the disk that was attached: {out}")
    m.leave()
    out = m.cmd("block-detach busy xvdb", 60)
    check(not out.strip(), f"block-detach: {out}")


def test_services_killed(m):
    load = Busy(m, "data1", make_www()[1])
    load.begins()
    before, outage = rows(m), {}
    for how, times in (("--inject", KILLS), ("--hang", HANGS)):
        for _ in range(times):
            for name in SERVICES:
                pause(0.2)
                outage.setdefault((name, how), []).append(crash(m, name, how=how))
    after = rows(m)
    want = {n: (d, str(int(r) + KILLS + HANGS) if n in SERVICES else r) for n, (d, r) in before.items()}
    check(after == want, f"{before} became {after}")
    for name in SERVICES:
        reasons = re.findall(rf"{name} \(\d+\)  (injected|missed its deadline).*, back after [\d.]+ ms", m.cmd(f"crashes {name}"))
        check(len(reasons) == min(KILLS + HANGS, 8) and reasons[-1] == "missed its deadline", f"crashes {name}: {reasons}")
    works(m)
    print(f"  {load.ends()}", flush=True)
    m.cmd("destroy busy", 60)
    for (name, how), ms in outage.items():
        print(f"  {name} {how}: {len(ms)} deaths, outage ms {' '.join(str(round(x)) for x in sorted(ms))}", flush=True)


# --- pciback at work ------------------------------------------------------------------------------------------------------
NIC = "00:04.0"
CFG = "f41a4110"  # how its configuration space begins: 1af4:1041, a virtio NIC


def struck(m, line):
    """What the command printed; pciback, whose death was ordered for some moment of it, is back."""
    m.send(f"crash --inject={random.randrange(random.choice((5, 40)))} pciback\r")
    m.prompt()
    m.send(f"@struck {line}\r")
    back, out = False, None
    while not back or out is None:
        got = m.expect([r"pciback: crashed[^\n]*restarted in[^\n]*\r", r"@struck end\r?\nbh> "])
        if got.re.pattern.startswith("pciback"):
            check(not back, "pciback died twice")
            back = True
        else:
            out = m.sp.before.split("@struck begin", 1)[1]
    return out


def described(m):
    """Its owner's device is, once and whole."""
    path = f"/local/domain/2/backend/pci/{rows(m)['net1'][0]}/0"
    shows(m, f"xenstore-read {path}/state", "^4$")
    cfg = m.cmd(f"xenstore-read {path}/cfg-0").strip()
    check(cfg.startswith(CFG) and cfg.endswith(".."), f"cfg-0: {cfg}")  # the prompt shows the beginning of so much
    names = m.cmd(f"xenstore-list {path}").split()
    check("error" not in names and "cfg-1" not in names, f"of net1: {names}")
    shows(m, "pci-list net1", rf"{NIC} .* DMA on")  # it found its NIC
    return path


def test_services_pciback(m):
    """pciback dies while a device is given with its domain and to one that runs, while it is described again, and while it goes."""
    seed = os.environ.get("SEED", str(random.randrange(1 << 32)))
    print(f"  seed {seed}", flush=True)
    random.seed(seed)
    for i in range(KILLS):
        given = i % 2
        out = struck(m, f"create net0 name=net1 pci=[{'' if given else repr(NIC)}]")
        check("created as domain" in out, f"create: {out}")
        if given:
            out = struck(m, f"pci-attach net1 {NIC}")
            check(not out.strip(), f"pci-attach to one that runs: {out}")
        path = described(m)
        m.cmd(f"xenstore-rm {path}/cfg-0")
        struck(m, f"xenstore-write {path}/state 1")
        described(m)
        if given:
            out = struck(m, f"pci-detach net1 {NIC[1:]}")
            check("net1: bridge net1 has no NIC: its guests reach each other, and nobody else" in out, f"pci-detach: {out}")
        check(not struck(m, "destroy net1").strip(), "destroy")
        check(f"{path.split('/')[-2]}" not in m.cmd("xenstore-list /local/domain/2/backend/pci").split(), "what was described is still there")
        shows(m, "pci-assignable-list", rf"{NIC}.* nobody")


# --- front-ends of pciif ----------------------------------------------------------------------------------------------
FRONT_NIC = "00:0a.0"  # an 82574L
FRONT_EDU = "00:0a.1"  # MSI alone, and no reset


def front(m, name, *patterns):
    """The guest says these one after the other, and complains of nothing. Its console shows what it said before."""
    m.send(f"console {name}\r")
    for p in patterns:
        got = m.expect([r"not ok [^\n]*", p], 60)
        check(not got.group(0).startswith("not ok"), f"{name}: {got.group(0)}")
    m.leave()
    return got


def rounds(m, past, devices):
    """Looks on until pcifront has looked more than so often, and sees so many devices; how often that is. What its console shows first may be old."""
    m.send("console pcifront\r")
    while True:
        got = m.expect([r"not ok [^\n]*", r"pcifront: (\d+) rounds, (\d+) devices\r"], 60)
        check(not got.group(0).startswith("not ok"), f"pcifront: {got.group(0)}")
        if int(got.group(1)) > past and int(got.group(2)) == devices:
            m.leave()
            return int(got.group(1))


def test_services_pciif(m):
    """A guest of ours uses a NIC that comes, goes and comes again, while pciback dies at every stage; its requests and accesses by ports are answered. Also
    beside one that is hostile."""
    out = struck(m, "create pcifront")
    check("created as domain" in out, f"create: {out}")
    front(m, "pcifront", r"00:01\.0 8086:10d3 class 020000", r"BAR 0 at [0-9a-f]+, 20000 bytes", "bus 1 is ffffffff, the bridge 600",
          "command 6", "pcifront: MSI of the NIC", "pcifront: interrupt", "pcifront: ready")
    shows(m, "pci-list pcifront", r"^01\.0 0000:00:0a\.0  8086:10d3  MSI-X, DMA on")
    at = 0
    for how in ("", "--hang", *["--inject"] * KILLS):
        crash(m, "pciback", how=how)
        at = rounds(m, at, 1)
    for i in range(2):
        out = struck(m, f"pci-detach pcifront {FRONT_NIC}")
        check(not out.strip(), f"pci-detach: {out}")
        at = rounds(m, at, 0)
        shows(m, "pci-assignable-list", rf"{FRONT_NIC}.* nobody")
        out = struck(m, f"pci-attach pcifront {FRONT_NIC}")
        check(not out.strip(), f"pci-attach: {out}")
        front(m, "pcifront", *[r"1 devices now"] * (i + 1))
        at = rounds(m, at, 1)
    # The other function of its slot, beside it and alone.
    check(not m.cmd(f"pci-attach pcifront {FRONT_EDU},permissive=1").strip(), "pci-attach of the other function")
    front(m, "pcifront", r"00:01\.1 1234:11e8", "pcifront: MSI", "2 devices now")
    crash(m, "pciback", how="--inject")
    at = rounds(m, at, 2)
    for bdf in FRONT_EDU, FRONT_NIC:
        check(not m.cmd(f"pci-detach pcifront {bdf}").strip(), f"pci-detach {bdf}")
    at = rounds(m, at, 0)
    check(not m.cmd(f"pci-attach pcifront {FRONT_EDU},permissive=1").strip(), "pci-attach of one function alone")
    front(m, "pcifront", r"00:01\.0 1234:11e8", "pcifront: MSI", "1 devices now")
    at = rounds(m, at, 1)
    # One that claims what is not its own and asks without an end: the other one is answered as before, the store too, and pciback's death changes nothing.
    m.cmd(f"pci-detach pcifront {FRONT_EDU}")
    out = m.cmd("create pcifront name=bad extra=hostile", 60)
    check("created as domain" in out, f"create: {out}")
    front(m, "bad", r"pcifront: hostile", r"[1-9]\d* answers to \d+ requests")
    for _ in range(2):
        crash(m, "pciback", how="--inject")
        at = rounds(m, at, 0)
    check("created as domain" in m.cmd("create echo", 60), "create echo")
    front(m, "echo", "echo: ready")
    for name in ("echo", "bad"):
        check(not m.cmd(f"destroy {name}", 60).strip(), f"destroy {name}")
    m.cmd(f"pci-attach pcifront {FRONT_NIC}")
    rounds(m, at, 1)
    check(not m.cmd("destroy pcifront", 60).strip(), "destroy")
    shows(m, "pci-assignable-list", rf"{FRONT_NIC}.* nobody")


# --- bridges ----------------------------------------------------------------------------------------------------------
def pinger(m, name, bridge, ip, to, mac=""):
    out = m.cmd(f"create pinger name={name} extra='ip=10.0.2.{ip} ping=10.0.2.{to} interval=100' \"vif=['bridge={bridge}{mac}']\"", 60)
    check("created as domain" in out, f"create {name}: {out}")


def pings(m, name, sent=0, came=0):
    """How many it has sent, and how many were answered, once these are so many. Its console shows what it said before."""
    m.send(f"console {name}\r")
    while True:
        got = m.expect(r"echo: ping \S+ sent (\d+) received (\d+) [^\n]* broken (\d+)\r", 30)
        now = [int(x) for x in got.groups()]
        check(now[2] == 0 and now[1] <= now[0] < 4000, f"{name}: {got.group(0)}, not {came} answers")
        if now[0] >= sent and now[1] >= came:
            m.leave()
            return now[:2]


def senders(wire):
    """Of a capture: the addresses that frames came from, and the domids that the pings in them name."""
    data = WIRES[wire].read_bytes()
    at, macs, ids = 24, set(), set()
    while at + 16 <= len(data):
        n = struct.unpack_from("<I", data, at + 8)[0]
        frame = data[at + 16:at + 16 + n]
        at += 16 + n
        macs.add(frame[6:12].hex(":"))
        if frame[12:14] == b"\x08\0" and frame[23] == 1 and frame[34] == 8:  # ICMP, a question
            ids.add(int.from_bytes(frame[38:40], "big"))
    return macs, ids


def test_services_bridges(m):
    """A driver domain with two NICs and three bridges, and another one on the first one's wire. The same addresses are on two of the bridges; nothing
    passes from one to another, before and after the domain dies."""
    out = m.cmd("create net0 name=netb pci=['00:07.0','00:04.0'] bridges=['xenbr0=00:07.0','xenbr1=00:04.0','inside']", 60)
    check("created as domain" in out, f"create netb: {out}")
    out = m.cmd("create net0 name=netc pci=['00:08.0']", 60)
    check("created as domain" in out, f"create netc: {out}")
    out = m.cmd("create pinger name=lost \"vif=['bridge=xenbr2']\"", 60)
    check("lost: vif 0: no bridge xenbr2 (there are: net0, xenbr0, xenbr1, inside, netc)" in out, f"a bridge that there is not: {out}")
    same = ",mac=00:16:3e:00:00:51"
    pinger(m, "a", "xenbr0", 51, 2, same)
    pinger(m, "b", "xenbr1", 51, 2, same)
    pinger(m, "in1", "inside", 53, 54, ",mac=00:16:3e:00:00:53")
    pinger(m, "in2", "inside,backend=netb", 54, 2, ",mac=00:16:3e:00:00:54")  # is answered by none outside
    pinger(m, "seek", "netb", 55, 54)  # on the first bridge, and after one inside
    pinger(m, "c", "netc", 56, 2)
    pinger(m, "across", "netc", 57, 51)  # by the wire to xenbr0
    began, all_of_them = time.monotonic(), ("a", "b", "in1", "c", "across")
    for name in all_of_them:
        pings(m, name, came=5)
    for dead in ("netb", "netc"):
        crash(m, dead)
        most = 10 * int(time.monotonic() - began + 5)  # have been sent by now
        for name in all_of_them:
            pings(m, name, came=most)
    for name in ("in2", "seek"):
        sent, came = pings(m, name, sent=30)
        check(not came, f"{name}: {came} of {sent} pings were answered")
    ids = {name: int(row[0]) for name, row in rows(m).items()}
    macs, asked = senders("n1")
    check("00:16:3e:00:00:51" in macs and asked == {ids["b"]}, f"on xenbr1's wire: {macs} {asked}, of {ids}")
    macs, asked = senders("u2")
    check({ids["a"], ids["c"], ids["across"]} == asked and not {f"00:16:3e:00:00:{x}" for x in (53, 54)} & macs, f"on xenbr0's wire: {macs} {asked}, of {ids}")
    out = m.cmd("network-list netb")
    for row in (r"a +\d+ .* xenbr0", r"b +\d+ .* xenbr1", r"in2 +\d+ .* inside", r"netb +wire +[1-9].* xenbr0", r"netb +wire +[1-9].* xenbr1"):
        check(re.search(rf"^{row}$", out, re.M), f"no {row} in {out}")
    check(len(re.findall(r"^netb +wire", out, re.M)) == 2, f"a wire too many: {out}")
    for name in ("a", "b", "in1", "in2", "seek", "c", "across", "netb", "netc"):
        out = m.cmd(f"destroy {name}", 60)
        check(not out.strip(), f"destroy {name}: {out}")


def typed(m, line, answer, seconds=30):
    out = m.cmd(line, seconds)
    check(re.search(rf"^{answer}$", out, re.M), f"{line}: {out}")


def test_services_sizes(m):
    """An unmodified Debian's memory goes down to half and back, and its vCPUs up to four and back; what was set stays set when the control domain and the store die."""
    before = m.free_mib()
    typed(m, "create debian name=big memory=4000 vif=[]", r"big: memory: 40\d\d MiB wanted, with \d+ for the core's tables; \d+ free, \d+ are missing")
    typed(m, "create debian name=sized memory=256 maxmem=288 maxvcpus=4 vif=[]", r"sized: created as domain \d+ [^\n]*", 60)
    shows(m, "list sized", r"^sized +\d+ +256 +1 ", 60)  # more than memory= is given back, and vCPUs beyond vcpus= are taken down
    typed(m, "mem-set sized 128", "sized: has 128 MiB", 60)
    shows(m, "list sized", r"^sized +\d+ +128 +1 ", 1)
    check(m.free_mib() >= before - 128 - 8, f"{before} MiB were free, {m.free_mib()} are with 128 of the guest's")
    m.cmd("mem-max sized 0.5g")
    for wrong in ("sized 289", "sized nonsense", "sized 0", "nobody 128", "net0 4"):
        for word in ("mem-set", "mem-max"):
            typed(m, f"{word} {wrong}", r"[^\n]*(no size|more than the 288|no such domain|is a service domain)[^\n]*")
    crash(m, "control", how="")
    shows(m, "list sized", r"^sized +\d+ +128 +1 ")
    crash(m, "store")
    typed(m, "mem-set sized 262144k", "sized: has 256 MiB", 60)
    m.console("sized")
    out, _ = m.guest("head -n 1 /proc/meminfo; cat /sys/devices/system/cpu/online")
    check(int(re.search(r"MemTotal: +(\d+) kB", out).group(1)) > 180 * 1024 and re.search("^0$", out, re.M), f"the guest sees {out}")
    m.guest("cd /sys/devices/system/cpu; until [ $(cat online) = 0-3 ]; do for c in 1 2 3; do echo 1 > cpu$c/online; done; sleep 1; done 2>/dev/null &")
    m.leave()
    typed(m, "vcpu-set sized 4", "sized: 4 of 4 vCPUs are online")
    shows(m, "list sized", r"^sized +\d+ +256 +4 ")
    for wrong in ("sized 5", "sized 0", "sized x", "nobody 1", "net0 2"):
        typed(m, f"vcpu-set {wrong}", r"[^\n]*(no number of vCPUs from 1 to 4|no such domain|is a service domain)[^\n]*")
    typed(m, "vcpu-set sized 1", "sized: 1 of 4 vCPUs are online", 60)
    check(not m.cmd("destroy sized", 60).strip(), "destroy")
    check(m.memory_is_back(before), f"free memory went from {before} to {m.free_mib()} MiB")
