#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Guests that take all they can get and service domains that die or stand still at a bad moment: the others do not notice. And what the
supervisor does with a service that is crashed by commands, and with one that comes back and never says that it serves."""
import re

import pytest

from tests.lib.crash import crash
from tests.lib.machine import TEST_ISO, Boot, check
from tests.lib.wait import pause, until

STORE_WAIT = 5000  # ms that a call waits for the store (REPLY_TIMEOUT, domains/xs_client.c): who waited for it took longer


@pytest.fixture(scope="module")
def boot():
    with Boot("abuse", iso=TEST_ISO) as b:
        yield b


def check_free(m, before):
    check(m.memory_is_back(before), f"free memory went from {before} to {m.free_mib()} MiB")


def listed(m, name):
    row = re.search(rf"^{name} +\d+ .*$", m.cmd("list"), re.M)
    return row.group(0) if row else None


def ping(m, count=20, to="10.0.2.2"):
    """Pings the gateway, or somebody else, from the guest; returns how many were answered."""
    m.console("debian")
    out, _ = m.guest(f"ping -c {count} -i 0.2 -W 10 {to} | tail -2; echo", 60)
    m.leave()
    got = re.search(r"(\d+) received", out)
    return int(got.group(1)) if got else 0


@pytest.mark.parametrize("kind", ["net", "store", "state"])
def test_abuse_flood(m, kind):
    """A neighbour floods: pings get through, a crash is over soon, a new guest gets its vif."""
    m.console("debian")
    m.leave()
    m.cmd("destroy flood")
    m.cmd(f"create flood extra='flood={kind}'", 60)
    m.send("console flood\r")
    m.expect(rf"flood: {kind}", 20)
    m.leave()
    received = ping(m)
    check(received >= 18, f"{received} of 20 pings beside a flood")
    took = crash(m, "net0", then=0.3)
    check(took < STORE_WAIT, f"a restart took {took} ms beside a flood")
    received = ping(m)
    check(received >= 18, f"{received} of 20 pings after a restart beside a flood")
    out = m.cmd("create echo", 60)
    check("created" in out, f"no new guest beside a flood: {out}")
    m.cmd("destroy flood", 60)
    m.cmd("destroy echo", 60)
    check(not listed(m, "flood") and not listed(m, "echo"), f"they did not go: {m.cmd('list')}")


def test_abuse_holder_stands_still(m):
    """A guest destroyed while its driver domain is paused: the driver domain is restarted, all memory comes back."""
    m.cmd("create debian name=warm memory=64 vif=['bridge=net0']", 60)
    m.cmd("destroy warm", 60)
    m.cmd("restart net0", 20)
    before = m.free_mib()
    m.cmd("create echo", 60)
    m.send("console echo\r")
    m.expect("echo: ready", 20)
    m.leave()
    check(any(ping(m, 1, "10.0.2.30") for _ in range(20)), "net0 never connected the guest")  # it holds the rings now
    m.cmd("pause net0")
    m.cmd("destroy echo", 30)
    check(listed(m, "echo"), "net0 is paused, and still nothing of the guest is left")
    m.expect(r"net0: does not let go of domain \d+, restarting", 20)
    m.expect(r"net0: restarted on request", 20)
    m.send("\r")
    m.prompt()
    pause(0.5)
    check(not listed(m, "echo"), f"the guest is still there: {m.cmd('list')}")
    check_free(m, before)
    received = ping(m)
    check(received >= 18, f"{received} of 20 pings")


def test_abuse_churn(m):
    """net0 crashes at any moment of its guests' creation and destruction: everything is as before in the end."""
    m.cmd("create debian name=warm memory=64 vif=['bridge=net0']", 60)
    m.cmd("destroy warm", 60)
    before = m.free_mib()
    for i in range(12):
        m.send("crash net0 --inject\r" + ("create echo\r" if i % 3 else "create echo\rcrash net0 --inject\r"))
        m.expect(r"echo: created as domain", 60)
        m.prompt()
        pause(0.05 * i)
        m.send("crash net0 --inject\rdestroy echo\r")
        m.cmd("list", 60)
    pause(2)
    check(not listed(m, "echo"), f"a guest stayed: {m.cmd('list')}")
    check_free(m, before)
    received = ping(m)
    check(received >= 18, f"{received} of 20 pings")


def restarts(m):
    return {name: int(listed(m, name).split()[-1]) for name in ("store", "pciback", "net0")}


def test_abuse_shares(m):
    """Guests that keep the store's memory, flood the log, reboot all the time and hold each other's pages, at once: the shell
    answers, a guest is created and served, nobody is restarted for it, and everything is back in the end."""
    names = ["keeper", "logger", "hold1", "hold2"] + [f"again{i}" for i in range(10)]
    m.console("debian")
    m.leave()
    m.cmd("create flood name=warm vif=[] extra='flood=keep'", 60)
    m.cmd("destroy warm", 60)
    before, lives = m.free_mib(), restarts(m)
    for name in names:
        kind = {"keeper": "keep", "logger": "log"}.get(name, name.rstrip("0123456789").replace("again", "reboot"))
        reboot = " on_reboot=restart" if kind == "reboot" else ""
        m.send(f"create flood name={name} vif=[] extra='flood={kind}'{reboot}\r")
        m.expect(rf"{name}: created as domain", 60) # lines about guests that end come at any time
    for name in ("hold1", "hold2"):
        m.send(f"console {name}\r")
        m.expect(r"flood: holds a page of \d+", 30)
        m.leave()
    m.expect(r"again\d: started again as domain", 60)
    m.send("create echo\r")
    m.expect("echo: created as domain", 60)
    check(any(ping(m, 1, "10.0.2.30") for _ in range(20)), "the new guest is not served")
    for i in range(10):
        m.send(f"destroy again{i}\r")
    m.send("destroy hold1\r")
    m.expect(r"hold2: has pages of domain \d+ mapped, which is gone: they are taken away", 60)
    m.send("\r")
    m.prompt()
    check(not listed(m, "hold1"), f"a page of hold1 is still held: {m.cmd('list')}")
    for name in names + ["echo"]:
        if name != "hold1":
            m.cmd(f"destroy {name}", 60)
    left = [n for n in names + ["echo"] if listed(m, n)]
    check(not left, f"they did not go: {left}")
    check(restarts(m) == lives, f"restarts were {lives}, are {restarts(m)}")
    check_free(m, before)


def ran(m):
    """Seconds of CPU by the core's own count, of each domain."""
    return {name: float(s) for name, s in re.findall(r"^(\S+) +\d+ +\d+ +\d+\t? +\S+ +([\d.]+) ", m.cmd("list"), re.M)}


def apart(m, names, seconds=10):
    """What each had meanwhile, of so many seconds that they had together at least."""
    before = ran(m)
    now = until(lambda: ran(m), lambda now: sum(now[n] - before[n] for n in names) >= seconds, f"{seconds} s of CPU time", 120, 1)
    return [now[n] - before[n] for n in names]


def near(had, wanted):
    """To 5 %, and to the tenths of seconds that the list shows."""
    return abs(had - wanted) <= wanted / 20 + 0.1


def test_abuse_weights(m):
    """Two guests that compute and one that naps, on one CPU: the two have it by their weights, the napper no more than its own; new weights
    and caps hold at once, are the same after the control domain's death, and nobody else is restarted."""
    names, lives = ["spin1", "spin2", "nap"], restarts(m)
    cpu = re.search(r"^control +0 +0 +\S+ +\S+ +\S+ +(\S+) / all", m.cmd("vcpu-list control"), re.M)
    check(cpu, f"vcpu-list: {m.cmd('vcpu-list')}")
    last = re.search(r"runs on CPU 31, but on (?:\d+-)?(\d+)", m.cmd("vcpu-pin control 0 31")).group(1)
    for name in names:
        out = m.cmd(f"create flood name={name} vif=[] extra='flood={name.rstrip('12')}' cpus='{last}' cpu_weight={512 if name == 'spin2' else 256}", 60)
        check("created as domain" in out, f"create: {out}")
    rows = re.findall(r"^(spin1|spin2|nap) +\d+ +0 +(\d+) +\S+ +[\d.]+ +(\d+) / all", m.cmd("vcpu-list"), re.M)
    check(rows == [(n, last, last) for n in names], f"vcpu-list: {rows}")
    one, two, nap = apart(m, names)
    check(near(one, (one + two) / 3) and near(two, (one + two) / 3 * 2), f"weights 256 and 512: {one} and {two} s, the napper {nap} s")
    check(nap <= (one + two + nap) / 4 * 1.05 + 0.1, f"the napper had {nap} s beside {one} and {two} s")
    for line in ("sched-credit2 -d spin1 -w 1024", "sched-credit2 -d spin2 -w 256"):
        check(not m.cmd(line).strip(), line)
    one, two, nap = apart(m, names, 4)
    check(near(one, (one + two) / 5 * 4), f"weights 1024 and 256: {one} and {two} s, the napper {nap} s")
    m.cmd("sched-credit2 -d spin1 -c 50")
    m.send("crash --inject control\r")
    m.expect(r"control: crashed", 60)
    m.prompt()
    rows = re.findall(r"^(spin1|spin2|nap) +\d+ +(\d+) +(\d+)", m.cmd("sched-credit2"), re.M)
    check(rows == [("spin1", "1024", "50"), ("spin2", "256", "0"), ("nap", "256", "0")], f"after the control domain's death: {rows}")
    m.cmd("destroy nap", 60)
    one, two = apart(m, names[:2])
    # No lower limit: where the host takes the CPU away for longer than an account lasts, what was earned meanwhile is lost.
    check(0 < one <= (one + two) / 2 * 1.05 + 0.1, f"a cap of 50 %: {one} s, and {two} s without")
    check(restarts(m) == lives, f"restarts were {lives}, are {restarts(m)}")
    for name in names[:2]:
        m.cmd(f"destroy {name}", 60)


def test_supervisor_typed_crashes(m):
    """Crashes by command, one after another, are no row of deaths: none waits for the next instance, the first as the last."""
    before = restarts(m)["net0"]
    for i in range(1, 11):
        m.send("crash --inject net0\r")
        got = m.expect(r"net0: crashed \([^\n]*restarted in [\d.]+ ms \(([^)]*)\), restart (\d+)\r", 60)
        check(int(got.group(2)) == before + i, f"restart count {got.group(2)}, expected {before + i}")
        check("pause" not in got.group(1), f"crash {i} by command had to wait: {got.group(0)}")
        m.prompt()


def test_supervisor_never_serves(m):
    m.cmd("create microbench name=mute role=driver keep=1", 60)
    m.send("restart mute\r")
    m.expect(r"mute: runs, but has not said for 10 s that it serves[^\n]*it is restarted", 60)
    m.expect(r"\(mute\) crashed: crashed on request", 30)
    m.send("\r")
    m.prompt()
    m.cmd("destroy mute")


def test_abuse_store_stands_still(m):
    """Neither a store that hangs nor one that has just died costs a driver domain's restart, or its packets, anything."""
    m.cmd("crash store --hang")
    # The second comes while control waits for the answer about the first, and before it looks whether the first has come back.
    m.send("crash net0 --inject\r")
    pause(1)
    m.send("crash net0\r")
    seen = []
    while seen.count("net0") < 2 or "store" not in seen:
        got = m.expect(r"(net0|store): crashed[^\n]*restarted in ([\d.]+) ms", 20)
        seen.append(got.group(1))
        check(float(got.group(2)) < STORE_WAIT, f"{got.group(0)} with a store that hangs")
    m.prompt()
    m.send("crash store\rcrash net0 --inject\r")
    for _ in range(2):
        got = m.expect(r"(net0|store): crashed[^\n]*restarted in ([\d.]+) ms", 20)
        check(float(got.group(2)) < STORE_WAIT, f"{got.group(0)} beside a store that has just died")
    m.prompt()
    out = m.cmd("create echo", 30)
    check("created" in out, f"a guest after the store's death: {out}")
    m.cmd("destroy echo", 30)
    received = ping(m)
    check(received >= 18, f"{received} of 20 pings")


def test_abuse_every_port(m):
    """Guests take all 64 interfaces that net0 has, 16 of them one guest: frames go round through all of them, also after its death; one more is refused."""
    sizes = (16, 16, 16, 15)  # and debian's
    for g, n in enumerate(sizes):
        vifs = ",".join(f"'mac=00:16:3e:77:{g:02x}:{v:02x},bridge=net0'" for v in range(n))
        out = m.cmd(f"create flood name=ports{g} memory=12 vif=[{vifs}] extra='flood=ports vifs={n} guests={len(sizes)}'", 120)
        check("created as domain" in out, f"create: {out}")

    def said(name):
        m.send(f"console {name}\r")
        m.leave()
        return m.sp.before

    def least(g):
        text = said(f"ports{g}")
        check("BROKEN" not in text, f"net0 broke the protocol of ports{g}: {text[-500:]}")
        return int((["0"] + re.findall(r"flood: (\d+) frames", text))[-1])

    def goes_round():
        before = [least(g) for g in range(len(sizes))]
        for g, n in enumerate(before):
            until(lambda: least(g), lambda now: now > n + 4, f"ports{g}: one of its interfaces got no more than {n}", 60)

    goes_round()
    out = m.cmd("create echo", 60)
    check(re.search(r"echo: [^\n]*it has 64 interfaces already, that is all it can", out), f"one more: {out}")
    crash(m, "net0")
    up = r"net0: up, [^\n]* (\d+) vifs adopted"
    adopted = until(lambda: re.findall(up, said("net0").rsplit("restarted ---", 1)[-1]), len, "net0 has not come up")
    check(adopted == ["64"], f"net0 adopted {adopted}")
    goes_round()
    out = m.cmd("network-list ports0")
    check(len(re.findall(r"00:16:3e:77:00:", out)) == 16, f"network-list: {out}")
    for g in range(len(sizes)):
        m.cmd(f"destroy ports{g}", 120)
        check(not listed(m, f"ports{g}"), f"ports{g} did not go: {m.cmd('list')}")
    out = m.cmd("create echo", 60)
    check("created as domain" in out, f"once there is room again: {out}")
    m.cmd("destroy echo", 60)
