#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a boot, a restart and transfers cost, in instructions of the whole machine and by who executed them: a Debian's disk and NIC through
blk0 and net0, on one CPU whose clock ticks once an instruction. A transfer's figure is the difference of a long and a short run by the
operations between them, so that what comes before and after cancels out. Idle time passes as on the host and costs nothing, so no two
runs are quite the same: a figure is the median of five, its spread the distance of the second from the fourth. Compared with
cost_devices.golden: "ok cost-ROW" or "not ok cost-ROW". Usage: cost_devices.py [--write | --widen | --bare] [ROW...]
    --write  the figures go there instead
    --bare   prints what the same transfers cost the same Debian without a hypervisor (peers.py has it)
    --widen  the spreads there grow to what this boot shows, for boots differ, too: do it once or twice after --write"""
import collections
import itertools
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from count import CORE, Counted  # noqa: E402
from disk import bare_command, copy  # noqa: E402
from tests.lib.machine import BUILD, CMDLINE, DEBIAN_DISK, LOGS, OLD_CPU, Failed, Skipped, check, make_iso  # noqa: E402
from tests.lib.wait import pause  # noqa: E402
from tests.lib.counts import counters, grown  # noqa: E402
from tests.lib.guest import SHELL, login, sh  # noqa: E402
from tests.lib import vnets  # noqa: E402
from tests.lib.wire import GATEWAY, NET, Wire  # noqa: E402

GOLDEN = pathlib.Path(__file__).parent / "cost_devices.golden"
RUNS = 5
WORSE, SPREADS = 0.02, 3  # a figure is worse by more than so many of its spreads, and by more than that share of it
FEW = 0.05  # calls an operation that are noise
SEGMENT = 1448  # bytes of a TCP segment on this wire
SINK, SOURCE, PACKETS, PROGRAM = 5001, 5002, 5003, 5004
NEIGHBOUR = "10.0.2.16"  # a second guest, for what goes from one to another
NETCHECK = BUILD / "guest/netcheck"
# What the peer runs: takes all that comes on one port, gives without end on the other, on the third the program for small datagrams.
PEER = f"""
import socket, threading
def port(n, fn):
    s = socket.create_server(("", n))
    def go():
        while True:
            c, _ = s.accept()
            threading.Thread(target=fn, args=(c,), daemon=True).start()
    threading.Thread(target=go).start()
def sink(c):
    while c.recv(1 << 20):
        pass
    c.close()
def source(c):
    try:
        while True:
            c.sendall(bytes(1 << 16))
    except OSError:
        c.close()
def program(c):
    c.sendall(open("{NETCHECK}", "rb").read())
    c.close()
port({SINK}, sink)
port({SOURCE}, source)
port({PROGRAM}, program)
"""
# Its last part: netcheck may ping.
FETCH = f"cat < /dev/tcp/{GATEWAY}/{PROGRAM} > /tmp/netcheck; chmod +x /tmp/netcheck; echo 0 0 > /proc/sys/net/ipv4/ping_group_range"
FIO = "fio --name=t --filename=/dev/xvdb --size=200m --direct=1 --ioengine=libaio --minimal --output=/dev/null"
DD = f"dd bs={SEGMENT * 100} count=$(({{}}/100)) iflag=fullblock status=none"
# The same bytes again and again, as iperf3: a device that gives zeroes would cost an instruction for each.
SEND = f"""perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new("HOST:{SINK}")||die;$b="x"x{SEGMENT * 100};
for(1..{{}}/100){{{{syswrite($s,$b)==length($b)||die}}}}'""".replace("\n", "")
# Row -> (the driver domain, the command with the number of operations in it, operations of the short and of the long run).
TRANSFERS = {
    "read-4k-1": ("blk", FIO + " --rw=randread --bs=4k --iodepth=1 --number_ios={}", 1000, 4000),
    "read-4k-32": ("blk", FIO + " --rw=randread --bs=4k --iodepth=32 --number_ios={}", 2000, 8000),
    "write-4k-1": ("blk", FIO + " --rw=randwrite --bs=4k --iodepth=1 --number_ios={}", 1000, 4000),
    "read-128k-8": ("blk", FIO + " --rw=read --bs=128k --iodepth=8 --number_ios={}", 200, 1000),
    "read-1m-4": ("blk", FIO + " --rw=read --bs=1m --iodepth=4 --number_ios={}", 50, 150),
    "write-1m-4": ("blk", FIO + " --rw=write --bs=1m --iodepth=4 --number_ios={}", 50, 150),
    "read-4k-relay": ("blk", FIO + " --rw=randread --bs=4k --iodepth=1 --number_ios={}", 1000, 4000),
    "tcp-out": ("net", SEND.replace("HOST", GATEWAY), 10000, 50000),
    "tcp-in": ("net", DD + f" of=/dev/null < /dev/tcp/{GATEWAY}/{SOURCE}", 10000, 50000),
    "tcp-guests": ("net", SEND.replace("HOST", NEIGHBOUR), 10000, 50000),
    "udp-out": ("net", f"/tmp/netcheck give {GATEWAY} {PACKETS} {{}}", 10000, 50000),
    "udp-in": ("net", f"/tmp/netcheck get {GATEWAY} {PACKETS} {{}}", 10000, 50000),
    "udp-guests": ("net", f"/tmp/netcheck give {NEIGHBOUR} {PACKETS} {{}}", 10000, 50000),
    "ping": ("net", f"/tmp/netcheck ping {GATEWAY} {{}}", 200, 1200),
    "ping-guests": ("net", f"/tmp/netcheck ping {NEIGHBOUR} {{}}", 200, 1200),
    "second": ("net", "sleep {}", 2, 6),  # of nothing
    "vnet-out": ("vnet", SEND.replace("HOST", vnets.OTHER), 10000, 50000),  # the same bytes through a tunnel, in and out by net0
    "vnet-in": ("vnet", DD + f" of=/dev/null < /dev/tcp/{vnets.OTHER}/{SOURCE}", 10000, 50000),
    # On a machine of their own, where a Linux as driver domain counts as a guest: by an 82574L that net0 has and then a Linux, netdd; from an NVMe that a Linux has, stordd, and by a relay before it.
    "tcp-out-82574": ("net", SEND.replace("HOST", GATEWAY), 10000, 50000),
    "tcp-in-82574": ("net", DD + f" of=/dev/null < /dev/tcp/{GATEWAY}/{SOURCE}", 10000, 50000),
    "tcp-out-netdd": ("guest", SEND.replace("HOST", GATEWAY), 10000, 50000),
    "tcp-in-netdd": ("guest", DD + f" of=/dev/null < /dev/tcp/{GATEWAY}/{SOURCE}", 10000, 50000),
    "read-4k-stordd": ("guest", FIO + " --rw=randread --bs=4k --iodepth=1 --number_ios={}", 1000, 4000),
    "read-4k-stordd-relay": ("blk", FIO + " --rw=randread --bs=4k --iodepth=1 --number_ios={}", 1000, 4000),
}
RESTARTS = {"restart-net0": "net", "restart-blk0": "blk"}
GUESTS = {row for row in TRANSFERS if row.endswith("-guests")}
RELAY = {"read-4k-relay"}
VNETS = {row for row in TRANSFERS if row.startswith("vnet-")}
LINUX = {row for row in TRANSFERS if row.endswith(("-82574", "-netdd", "-stordd", "-stordd-relay"))}
TUNNEL = "10.0.2.40"
REASONS = "intr", "window", "cpuid", "hlt", "io", "msr", "call", "npf", "other"
# Part of a row -> the core's function that is entered once for each.
CALLS = {"entries": "svm_enter", "hypercalls": "hypercall", "copies": "grant_pin", "translations": "p2m_get", "walks": "walk_pae",
         "ipis": "apic_send_ipi"}


# What an idle CPU does: it goes on after the prompt.
SCRUBBING = {(CORE, fn) for fn in ("scrub", "frame_scrub_some", "sched_loop", "heap_take", "heap_free")}


def figures(before, after, driver):
    """Parts of a row: instructions of all, of the core and of the driver domain, and the calls."""
    (who0, calls0), (who1, calls1) = before, after
    who = collections.Counter({name: n - who0[name] for name, n in who1.items()})  # some never run
    parts = {"": sum(who.values()), "core": who[CORE], driver: who[driver], "guest": who["guest"]}
    return parts | {part: calls1[CORE, fn] - calls0[CORE, fn] for part, fn in CALLS.items()}


def look(m):
    return m.executed(), m.calls()


def ran(m, line, driver):
    """What it took. Half a second lets what it left behind end."""
    before = look(m)
    sh(m, line, 600)
    pause(0.5)
    return figures(before, look(m), driver)


def exits(m):
    """Of all domains, by reason. The guest's console is left for it, and taken again."""
    m.leave()
    got = counters(m)
    m.console("debian-disk", SHELL)
    return got


def transfer(m, row):
    driver, command, short, long = TRANSFERS[row]
    runs, looks = [], [exits(m)]
    for n in short, long:
        runs.append(ran(m, command.format(n), driver))
        looks.append(exits(m))
    a, b = ({part: n for part, n in grown(*pair).items() if part in REASONS} for pair in zip(looks, looks[1:]))
    a, b = runs[0] | a, runs[1] | b
    return {part: (b[part] - a[part]) / (long - short) for part in b}


def restart(m, row):
    """From the command to the line that it is back; what the guest does meanwhile is not in it."""
    m.leave()
    before = look(m)
    m.send(f"crash --inject {row.removeprefix('restart-')}\r")
    m.expect(r": crashed[^\n]*restarted in [^\n]*\)", 60)
    got = figures(before, look(m), RESTARTS[row])
    m.prompt()
    pause(0.5)  # it has served for a while: no back-off
    m.console("debian-disk", SHELL)
    return {part: n for part, n in got.items() if part in ("core", RESTARTS[row])}


def boot(m):
    """Boots, and gives what the core and its domains took to the prompt. Firmware, GRUB and scrubbing are not in it."""
    m.boot(600)
    who, calls = m.functions(), m.calls()
    parts = {name: sum(n for (image, fn), n in who.items() if image == name and (image, fn) not in SCRUBBING)
             for name in dict.fromkeys(image for image, _ in who) if name != "guest"}
    return {"": sum(parts.values())} | parts | {"entries": calls[CORE, CALLS["entries"]]}


def neighbour(m):
    """Made for its row alone, since it would have a share of all others."""
    out = m.cmd("create debian2 vcpus=1", 600)
    check("created as domain" in out, f"create: {out}")
    m.console("debian2", seconds=300)
    for words in f"sink {SINK}", f"packets {PACKETS}":
        out, status = m.guest(f"netcheck {words} > /dev/null 2>&1 &")
        check(status == 0, f"in the second guest: {out}")
    m.leave()
    m.console("debian-disk", SHELL)


def at_the_prompt(m, *lines):
    """The guest's console is left for them, and taken again."""
    m.leave()
    for line in lines:
        out = m.cmd(line, 600)
        check(": " not in out or "created as domain" in out, f"{line}: {out}")
    m.console("debian-disk", SHELL)


def relay(m):
    """The same volume of blk0 by way of a relay."""
    at_the_prompt(m, "block-detach debian-disk xvdb", "create blk0 name=relay pci=[] configs='' autostart=0 disk=['phy:blk0:data1,xvda,w']",
                  "block-attach debian-disk phy:relay:xvda,xvdb,w")


def vnet(m, wire):
    """Made for its rows alone, as the neighbour is: the guest has a second interface, on it."""
    vnets.segment(wire, 97, TUNNEL)
    at_the_prompt(m, f"vnet-create 97 ip={TUNNEL}/24 peers={GATEWAY} bridge=net0", "network-attach debian-disk vnet=97")
    sh(m, "sleep 3; set -- $(ls /sys/class/net | grep -v lo); ip addr add 10.97.0.15/24 dev $2; ip link set dev $2 mtu 1450 up; "
          f"for i in 1 2 3 4 5 6 7 8; do ping -c 1 -W 2 {vnets.OTHER} && break; done", 600)


def netdd(m):
    """The NIC goes from net0 to it; the guest's eth0 is by it."""
    at_the_prompt(m, "network-detach debian-disk 0", "destroy net0", "create netdd memory=256 vif=[] pci=['00:03.0']",
                  "network-attach debian-disk backend=netdd")
    sh(m, f"until ping -c 1 -W 2 {GATEWAY} > /dev/null; do sleep 1; done", 600)


def stordd(m):
    at_the_prompt(m, "create stordd memory=256 vif=[] disk=[] pci=['00:06.0'] extra='console=hvc0 quiet bh.role=storage'",
                  "block-attach debian-disk phy:/dev/nvme0n1,xvdb,w,backend=stordd")


def stordd_relay(m):
    at_the_prompt(m, "block-detach debian-disk xvdb", "create relay disk=['phy:/dev/nvme0n1,xvda,w,backend=stordd']",
                  "block-attach debian-disk phy:relay:xvda,xvdb,w")


def serve(wire):
    wire.serve("python3", "-c", PEER)
    wire.serve(str(NETCHECK), "packets", str(PACKETS))


def prepare(m, disks="'phy:blk0:root,xvda,w','phy:blk0:data1,xvdb,w'"):
    out = m.cmd(f"create debian-disk vcpus=1 disk=[{disks}]", 600)
    check("created as domain" in out, f"create: {out}")
    m.send("console debian-disk\r")
    login(m)
    fill = "dd if=/dev/zero of=/dev/xvdb bs=1M count=200 oflag=direct status=none; " if "xvdb" in disks else ""
    sh(m, f"systemctl stop '*.timer'; {fill}{FETCH}", 600)


def middle(got):
    """Part -> (median, spread) of what was measured."""
    ordered = {part: sorted(g[part] for g in got) for part in got[0]}
    n = len(got)
    return {part: (statistics.median(v), v[n - 1 - n // 4] - v[n // 4]) for part, v in ordered.items()}


def measured(m, rows):
    """Yields row, part -> (figure, spread)."""
    for row in rows:
        if row in TRANSFERS:
            ran(m, TRANSFERS[row][1].format(TRANSFERS[row][2]), "blk")  # what the first run brings in
            yield row, middle([transfer(m, row) for _ in range(RUNS)])
        elif row in RESTARTS:
            yield row, middle([restart(m, row) for _ in range(RUNS)])


def measure_linux(rows):
    """The rows of Linux driver domains, each with its device."""
    disk = LOGS / "cost-linux.img"
    LOGS.mkdir(parents=True, exist_ok=True)
    disk.write_bytes(b"x" * (256 << 20))  # no holes
    more = ["-drive", f"if=none,id=d1,file={disk},format=raw,cache=writeback", "-device", "nvme,drive=d1,serial=bh1,addr=6"]
    iso = make_iso("cost-linux", f"{CMDLINE}(00:06.0)", bundle=BUILD / "cost-linux.itb")
    with Wire() as wire, Counted("cost-linux", sleep=True, who=True, cpu=OLD_CPU, disk=f"{DEBIAN_DISK},snapshot=on", wire=wire.name, nic="e1000e",
                                iso=iso, extra=more) as m:
        serve(wire)
        m.boot(600)
        prepare(m, "'phy:blk0:root,xvda,w'")
        for way, begin in ("-82574", None), ("-netdd", netdd), ("-stordd", stordd), ("-stordd-relay", stordd_relay):
            if begin:
                begin(m)
            yield from measured(m, [row for row in rows if row.endswith(way)])
    disk.unlink()


def measure(rows):
    """Yields row, part -> (figure, spread)."""
    with Wire() as wire, Counted("cost-devices", sleep=True, who=True, cpu=OLD_CPU, disk=f"{DEBIAN_DISK},snapshot=on", wire=wire.name,
                                iso=make_iso("cost-devices", bundle=BUILD / "cost-devices.itb")) as m:
        serve(wire)
        first = boot(m)
        if "boot" in rows:
            yield "boot", {part: (n, 0.01 * n) for part, n in first.items()}  # there is one boot: how far it varies is known
        prepare(m)
        alone = True
        direct, tunnel = True, False
        for row in sorted(rows, key=lambda row: (row in VNETS, row in RELAY, row in GUESTS)):
            if row in VNETS and not tunnel:
                vnet(m, wire)
                tunnel = True
            if row in RELAY and direct:
                relay(m)
                direct = False
            if row in GUESTS and alone:
                m.leave()
                neighbour(m)
                alone = False
            yield from measured(m, [row])


def bare_on_wire(serial, disk, wire):
    nic = ["-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no,vhost=off", "-device", "virtio-net-pci,netdev=n0,romfile="]
    return [NET, "wire", wire, *bare_command(serial, disk, 1, nic, "net.ifnames=0")]


class Bare(Counted):
    def plain(self, serial):
        return bare_on_wire(serial, self.kw["disk"], self.kw["wire"])


def bare(rows):
    disk = copy("cost-bare.img")
    with Wire() as wire, Bare("cost-bare", sleep=True, who=True, disk=disk, wire=wire.name) as m:
        serve(wire)
        login(m)
        sh(m, f"systemctl stop '*.timer'; dd if=/dev/zero of=/dev/nvme0n1p2 bs=1M count=200 oflag=direct status=none; {FETCH}", 600)
        for row in (r for r in rows if r in TRANSFERS and r not in GUESTS | RELAY | VNETS | LINUX):
            driver, command, short, long = TRANSFERS[row]
            command = command.replace("/dev/xvdb", "/dev/nvme0n1p2")
            ran(m, command.format(short), driver)
            got = [[ran(m, command.format(n), driver)[""] for n in (short, long)] for _ in range(RUNS)]
            each = sorted((b - a) / (long - short) for a, b in got)
            print(f"{row} {each[RUNS // 2]:.0f} ({each[1]:.0f} to {each[-2]:.0f})", flush=True)
    disk.unlink()


def golden():
    """Row -> part -> (figure, spread)."""
    out = {}
    for line in GOLDEN.read_text().splitlines():
        if line and line[0] != "#":
            name, figure, spread = line.split()
            row, _, part = name.partition(".")
            out.setdefault(row, {})[part] = float(figure), float(spread)
    return out


def worse(figure, was, spread):
    return figure > was + max(SPREADS * spread, WORSE * was, FEW)


def wider(was, new):
    """A figure as it was, with a spread that takes in what is new."""
    return was[0], max(was[1], new[1], abs(was[0] - new[0]))


def said(row, part, figure, spread):
    """A line of cost_devices.golden."""
    places = 0 if figure >= 100 else 2
    return f"{row}{'.' * bool(part)}{part} {figure:.{places}f} {spread:.{places}f}"


def compare(row, parts, wanted):
    bad = [f"{said(row, part, *parts[part])}, {figure} committed" for part, (figure, spread) in wanted.items()
           if part not in parts or worse(parts[part][0], figure, spread)]
    print(f"{'not ok' if bad or not wanted else 'ok'} cost-{row} ({'; '.join(bad) or said(row, '', *next(iter(parts.values())))})", flush=True)
    return not bad and bool(wanted)


def main():
    write, widen = "--write" in sys.argv, "--widen" in sys.argv
    rows = [a for a in sys.argv[1:] if a[:2] != "--"] or ["boot", *TRANSFERS, *RESTARTS]
    if "--bare" in sys.argv:
        bare(rows)
        return 0
    wanted, good = golden() if GOLDEN.exists() else {}, True
    try:
        machines = (measure, [row for row in rows if row not in LINUX]), (measure_linux, [row for row in rows if row in LINUX])
        for row, parts in itertools.chain.from_iterable(on(those) for on, those in machines if those):
            if write or widen:
                was = wanted.get(row, {}) if widen else {}
                wanted[row] = {part: wider(was.get(part, new), new) for part, new in parts.items()
                               if part not in REASONS or round(new[0], 2)}
                print(*(said(row, part, *figure) for part, figure in parts.items()), sep="\n", flush=True)
            else:
                good &= compare(row, parts, wanted.get(row, {}))
    except Skipped as e:
        print(f"skipped cost-devices: {e}")
    except Failed as e:
        print(f"not ok cost-devices: {e}")
        good = False
    if write or widen:
        GOLDEN.write_text("# Figure and spread of a row and of its parts: cost_devices.py --write. A line that gets smaller is committed with its reason.\n" +
                          "".join(said(row, part, *figure) + "\n" for row, parts in wanted.items() for part, figure in parts.items()))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
