#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The session of the README, in full: BIOS, two CPUs for domains. Crashes go on under traffic; the guest must not notice."""
import json
import os
import re
import time

from tests.lib.counts import counters, grown
from tests.lib.crash import crash
from tests.lib.machine import Machine, check, make_www
from tests.lib.wait import guest_says

CRASHES = int(os.environ.get("CRASHES", "30"))
DOWNLOADER = (
    "while [ ! -e /tmp/stop ]; do wget -q -O - http://10.0.2.100/10mb.bin | sha256sum | cut -d' ' -f1 >> /tmp/sums;"
    " done >/dev/null 2>&1 &"
)


def rows(listing):
    """`list` as {name: [columns]}; the header is checked."""
    lines = [x for x in listing.split("\n") if x.strip()]
    head = next((i for i, x in enumerate(lines) if x.startswith("Name ")), None)
    check(head is not None, f"no header in list:\n{listing}")
    check(lines[head].split()[:6] == ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"], f"columns: {lines[head]!r}")
    return {x.split()[0]: x.split() for x in lines[head + 1:]}


def counted(m, before):
    """The core's counters after a guest's download of 10 MiB, by frames of at most 1,514 bytes; and those of its boot."""
    ports = before["debian"]["io"]
    check(ports < 1000, f"Debian asked ports {ports} times: does Linux look for an AGP aperture?")
    debian, net, everything = (grown(before[name], counters(m, name)) for name in ("debian", "net0", None))
    check(net["copies"] > 10 * 2**20 / 1514, f"net0 for 10 MiB: {net}")
    check(not debian["copies"], f"Debian copies no grants: {debian}")
    check(debian["call"] and debian["hypercalls"] and debian["hlt"] and debian["intr"], f"Debian: {debian}")
    check(net["remembered"] and net["nested-walks"] >= net["copies"], f"net0's walks: {net}")
    for name in ("exits", "hypercalls", "copies"):
        check(everything[name] >= debian[name] + net[name], f"{name}: Debian {debian}, net0 {net}, all {everything}")


def renamed(m, domid):
    """Another name holds wherever one is shown, and back."""
    for old, new in (("debian", "web"), ("web", "debian")):
        out = m.cmd(f"rename {old} {new}")
        check("rename" not in out.replace(f"rename {old} {new}", ""), f"rename {old} {new}: {out}")
        check(new in rows(m.cmd("list")) and f"{new} " in m.cmd("info -v"), f"no {new} in list or info -v")
        for line, answer in ((f"domid {new}", domid), (f"domname {domid}", new), (f"xenstore-read /local/domain/{domid}/name", new),
                             (f"domid {old}", f"{old}: no such domain")):
            out = m.cmd(line)
            check(re.search(rf"^{re.escape(answer)}\s*$", out, re.M), f"{line}: {out}")
    check(re.search(rf"^debian +{domid} +\d+:\d\d:\d\d", m.cmd("uptime debian"), re.M), "uptime says nothing of debian")


def core_console(m):
    """Ctrl-A three times and back; what the keys show is what is there."""
    m.send("\x01\x01\x01")
    m.expect(r"\*\*\* input to the core's debug keys", 30)
    for key, line in (("h", r" R  reboot the machine"), ("q", r"d4 net0: running, [^\n]*\r\n\(BH\)   v0 CPU \d (?:runs|waits|sleeps): intr \d+"),
                      ("d", r"d16v0 CPU \d [^\n]* last exit"), ("r", "CPU 0: (?:idle|busy)"), ("e", r"d16 port \d+: interdomain d4 port"),
                      ("g", r"d16 entry \d+: d4, frame"), ("i", r"00:03\.0 MSI-X 0: vector \w+ CPU \d, d4 pirq"), ("m", r"\d+ frames: \d+ free"),
                      ("Q", r"0000:00:03\.0 [^\n]* d4's, DMA on, reset by"), ("V", r"00:03\.0: by 00:01\.0, which passed its trial"),
                      ("o", "d4: its memory is what its devices reach")):
        m.send(key)
        m.expect(rf"\(BH\) [^\n]*{line}", 30)
    m.send("\x01\x01\x01")
    m.expect(r"\*\*\* input to the control domain", 30)
    check("debian" in m.cmd("list"), "the shell does not answer")


def moved(m, line):
    """What the command printed, which restarts net0 in place."""
    out = m.cmd(line, 60)
    m.expect(r"net0: restarted on request[^\n]*\r", 60)
    m.prompt()
    return out


def moves(m, line, answer, want):
    out = moved(m, line)
    check(re.search(answer, out), f"{line}: {out}")
    has = [x for x in ("00:03.0", "00:04.0") if x in m.cmd("pci-list net0")]
    check(has == want, f"after {line} net0 has {has}, not {want}")


def devices_move(m):
    """A NIC of the platform becomes assignable; net0's own goes and comes. Its guest stays."""
    nic, own = "0:4.0", "0000:00:03.0"
    for line, answer in ((f"pci-detach net0 {nic}", r"net0: has no 0000:00:04\.0: the platform has it"),
                         (f"pci-assignable-remove {nic}", "0000:00:04.0: is the platform's already"),
                         (f"pci-assignable-add {nic}", r"^\s*$"),
                         (f"pci-assignable-add {nic}", "0000:00:04.0: is assignable already"),
                         ("pci-assignable-add 00:1f.0", "0000:00:1f.0: is a bridge or part of the platform: the machine needs it"),
                         ("pci-assignable-add 00:1d.*", r"there is no device 00:1d\.\*"),
                         ("pci-assignable-list", r"0000:00:04\.0 .* nobody"),
                         (f"pci-assignable-remove {own}", f"{own}: is assigned to net0: pci-detach net0 {own} first"),
                         (f"pci-attach debian {nic}", "debian: was started without a device, so its kernel knows of no bus"),
                         (f"pci-detach net0 {nic}", r"net0: has no 0000:00:04\.0: nobody has it")):
        out = m.cmd(line, 60)
        check(re.search(answer, out), f"{line}: {out}")
    for line, answer, want in (("pci-detach net0 00:03.0", "net0: bridge net0 has no NIC: its guests reach each other, and nobody else", []),
                               ("pci-attach net0 00:03.0", r"^\s*$", ["00:03.0"])):
        moves(m, line, answer, want)


def nic_passes(m):
    """That NIC is net0's for a while, whose guest downloads meanwhile."""
    moves(m, "pci-attach net0 0:4.0", r"^\s*$", ["00:03.0", "00:04.0"])
    moves(m, "pci-detach net0 00:04.*", r"^\s*$", ["00:03.0"])
    out = m.cmd("pci-assignable-remove 0:4.0")
    check(not out.strip() and "00:04.0" not in m.cmd("pci-assignable-list"), f"pci-assignable-remove: {out}")


def created(m):
    """create without making anything, paused, and with the console from the first line on; a console that is left without Ctrl-], and one of
    a guest that has ended."""
    one = "debian name=c1 vif=[] memory=128"
    out = m.cmd(f"create -n {one}")
    check(re.search(r"^c1: would be created: 128 MiB", out, re.M) and "c1" not in rows(m.cmd("list")), f"create -n: {out}")
    m.cmd(f"create -pq {one}")
    check(rows(m.cmd("list"))["c1"][4] == "--p---", "create -p: c1 is not paused")
    out = m.cmd("config-update c1 memory=no colour=red")
    check("'no' is no number" in out and "'colour'" in out and "c1: nothing is changed" in out, f"config-update: {out}")
    out = m.cmd("config-update c1 memory=96") + m.cmd("config-update c1")
    check(out.count("memory, now: mem-set c1 96") == 2, f"config-update: {out}")
    out = m.cmd("network-list net0 nobody debian")
    check(out.count("Mac Addr.") == 1 and "nobody: no such domain" in out, f"network-list of several: {out}")
    out = m.cmd("sched-credit2 -s") + m.cmd("info")
    check(re.search(r"^Cpupool Pool-0: ratelimit=\d+us$", out, re.M) and re.search(r"^xen_scheduler +: credit2$", out, re.M), out)
    m.cmd("debug-keys z")
    check("'z' is no key, these are:" in m.cmd("dmesg"), "debug-keys does not say which key it has not")
    m.cmd("destroy c1")
    m.send(f"create -c {one}\r")
    m.expect(r"c1: its console; Ctrl-\] leaves it, as does Enter ~ \.\s", 60)
    m.expect(r"guest: [^\n]* up after [^\n]*", 120)
    m.send("\r~.")
    m.expect(r"\x1b\[!p", 30)
    m.prompt()
    m.cmd("destroy c1")
    out = m.cmd("console c1")
    check("c1: has ended, as domain" in out and " up after " in out, f"console of a guest that has ended: {out}")


def plugged(m):
    """An interface that comes and goes while the guest runs, what `list -l` says of it, and what the guest hears otherwise."""
    out = m.cmd("network-attach debian bridge=net0 mac=00:16:3e:11:22:51", 60)
    check("debian:" not in out, f"network-attach: {out}")
    m.console("debian")
    guest_says(m, "cat /sys/class/net/*/address", "00:16:3e:11:22:51")
    m.leave()
    text = m.cmd("list -l debian")
    nics = json.loads(text[text.index("["):text.rindex("]") + 1])[0]["config"]["nics"]
    check([n["mac"] for n in nics][1:] == ["00:16:3e:11:22:51"], f"list -l: {nics}")
    out = m.cmd("network-detach debian 00:16:3e:11:22:51", 60)
    check("debian:" not in out, f"network-detach: {out}")
    check("00:16:3e:11:22:51" not in m.cmd("network-list debian"), "the vif is still listed")
    m.cmd("pause net0")
    m.send("network-attach debian bridge=net0\r")
    m.expect(r"debian: vif \d+: waits for net0 to serve it, \d+ s at most; Ctrl-C: waits no more\s", 60)
    m.send("\x03")
    m.expect(r"debian: vif \d+: net0 had not answered yet: given up\s", 60)
    m.prompt()
    m.cmd("unpause net0")
    m.console("debian")
    guest_says(m, "grep -c 11:22:51 /sys/class/net/*/address | grep -vc :0", "^0")
    m.leave()
    out = m.cmd("top -b -i 2")
    check(len(re.findall(r"^debian +[-rb]+ +\d+ +\d+\.\d ", out, re.M)) == 2, f"top: {out}")
    out = m.cmd("upgrade net0 blk")
    check("net0: 'blk' is no image of its kind: those are called net, or net-..." in out, f"upgrade: {out}")
    m.send("upgrade net0 net\r")
    m.expect(r"net0: runs image net\s", 60)
    m.send("\r")
    m.prompt()
    m.cmd("sysrq debian h")
    m.console("debian")
    guest_says(m, "dmesg | grep -c 'sysrq: HELP'", "^1")
    m.leave()


def helped(m):
    """`help` of each command has its use and an example."""
    names = re.findall(r"^  (\S+) ", m.cmd("help"), re.M)
    check(len(names) > 40, f"help: {names}")
    for name in names:
        out = m.cmd(f"help {name}")
        check(re.search(rf"^{re.escape(name)}( |\r|$)", out, re.M) and f"for example: {name}" in out, f"help {name}: {out}")


def test_session():
    www, digest = make_www()
    with Machine("session", www=www) as m:
        m.boot()
        sent = time.time()
        core = float(re.search(r"^utc_seconds +: ([\d.]+)$", m.cmd("info"), re.M).group(1))
        # QEMU's CMOS clock begins its seconds when QEMU starts: up to one behind.
        check(sent - 1.3 < core < time.time() + 0.3, f"the core's clock says {core}, asked for at {sent}, told at {time.time()}")
        uuid = re.search(r"^debian .* ([0-9a-f-]{36})$", m.cmd("list -v"), re.M)
        check(uuid, "list -v shows no UUID of debian")
        listing = rows(m.cmd("list"))
        for name in ("control", "store", "pciback", "net0", "debian"):
            check(name in listing, f"{name} is not in list: {listing}")
        check(rows(m.cmd("xl list")).keys() == listing.keys(), "a leading xl changes the answer")

        renamed(m, listing["debian"][1])
        created(m)
        plugged(m)
        helped(m)
        out = m.cmd("pci-assignable-list")
        check(re.search(r"0000:00:03\.0.*net0", out), f"hidden NIC and its owner not shown: {out}")
        check("00:04.0" not in out, f"platform NIC listed as assignable: {out}")
        out = m.cmd("pci-attach debian 00:04.0")
        check("not hidden" in out or "pciback.hide" in out, f"refusal does not say why: {out}")
        out = m.cmd("pci-list net0")
        check("0000:00:03.0" in out, f"pci-list net0: {out}")

        devices_move(m)

        counts = {name: counters(m, name) for name in ("debian", "net0", None)}
        m.console("debian")
        out, status = m.guest("ping -c 3 -i 0.2 10.0.2.2")
        check(status == 0 and " 0% packet loss" in out, f"ping: {out}")
        out, status = m.guest("wget -q -O - http://10.0.2.100/10mb.bin | sha256sum", 120)
        check(digest in out, f"download has the wrong checksum: {out}")
        out, _ = m.guest("cat /sys/hypervisor/uuid")
        check(uuid.group(1) in out, f"the guest reads the UUID {out!r}, not {uuid.group(1)}")
        m.guest("dmesg > /tmp/dmesg0; rm -f /tmp/sums /tmp/stop")
        before, _ = m.guest("cut -d. -f1 /proc/uptime")
        m.guest("ping -i 0.2 10.0.2.2 > /tmp/ping.log 2>&1 &")
        m.guest(DOWNLOADER)
        m.leave()
        counted(m, counts)
        core_console(m)
        nic_passes(m)
        restarts = int(rows(m.cmd("list"))["net0"][-1])
        net_counts = counters(m, "net0")

        domid = listing["net0"][1]
        for i in range(1, CRASHES + 1):
            crash(m, "net0", restarts + i, then=0.2)
        row = rows(m.cmd("list"))["net0"]
        check(row[1] == domid, f"domid changed from {domid} to {row[1]}")
        check(row[-1] == str(restarts + CRASHES), f"restart count in list: {row}")
        less = {name: n for name, n in grown(net_counts, counters(m, "net0")).items() if n < 0}
        check(not less, f"counters of net0 went back over its restarts: {less}")

        m.console("debian")
        guest_says(m, "wc -l /tmp/sums", r"^([2-9]|\d\d+) /tmp/sums")  # few crashes are over before the second download is
        m.guest("touch /tmp/stop; kill -INT $(pidof ping); sleep 3", 90)
        guest_says(m, "pidof wget >/dev/null && echo busy || echo idle", "idle")
        out, _ = m.guest("sort /tmp/sums | uniq -c")
        sums = out.split()
        check(len(sums) == 2 and sums[1] == digest, f"downloads across crashes: {out}")
        check(int(sums[0]) >= 2, f"too few downloads to say anything: {out}")
        out, _ = m.guest("dmesg > /tmp/dmesg1; diff /tmp/dmesg0 /tmp/dmesg1 | grep '^+\\['")
        # A busy host makes the guest's clock complain; nothing else may be new.
        news = [x for x in out.splitlines() if x.startswith("+[") and not re.search(r"hrtimer: interrupt took|clocksource:", x)]
        check(not news, f"the guest's kernel log has news: {news}")
        out, _ = m.guest("tail -n 3 /tmp/ping.log")
        check("packets transmitted" in out, f"ping stopped early: {out}")
        after, _ = m.guest("cut -d. -f1 /proc/uptime")
        check(int(after.split()[0]) >= int(before.split()[0]), "uptime went back")
        out, status = m.guest("ping -c 3 -i 0.2 10.0.2.2")
        check(status == 0 and " 0% packet loss" in out, f"ping afterwards: {out}")
        m.leave()

        m.send("machine poweroff\r")
        m.expect(r"machine: waits for debian, \d+ s at most; Ctrl-C: the machine stays up\r")
        m.expect(r"debian: powered off, stays down\r", 60)
        m.expect(r"machine: powers off\r")
        m.ends()
