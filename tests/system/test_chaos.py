#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Every service domain, the store and the control domain among them, dies at random times, two at once in every tenth round, while two guests
work and a third is made and destroyed. No guest notices, the store holds in the end what it held, and the core has nothing more in use.
At last the store's journal is made unreadable, and the next instance begins empty: they go on as well.
ROUNDS, MINUTES and SEED in the environment; the same seed gives the same victims at the same times. `make chaos` does 500 rounds."""
import mmap
import os
import random
import re
import struct
import time

from tools import mkgpt
from tests.lib.busy import Busy
from tests.lib.coreview import OpenMachine
from tests.lib.crash import crash, rows
from tests.lib.machine import ANSI, LOGS, TEST_ISO, Failed, check, make_www
from tests.lib.tree import same_tree, tree
from tests.lib.wait import shows, until

ROUNDS = int(os.environ.get("ROUNDS", "60"))
SECONDS = float(os.environ.get("MINUTES", "3")) * 60  # no round begins later
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
VICTIMS = ("store", "pciback", "control", "net0", "blk0")
GUESTS = (("data1", "left", 41), ("data2", "right", 42))
ECHO = "create echo name=third vif=['mac=00:16:3e:00:00:2b,bridge=net0']"
DEBIAN = ("create debian name=third memory=128 vif=['mac=00:16:3e:00:00:2b,bridge=net0'] disk=['phy:blk0:data3,xvda,w'] "
          "extra='console=hvc0 quiet bh.host=third bh.ip=10.0.2.43/24 bh.gw=10.0.2.2'")
FIRST_GUEST = 16
FREE = r"^blk0:data3 .* -"  # nobody's; blk0 says so a little after the disk went
BACK = r"control: crashed[^\n]*restarted in[^\n]*\r"
MOST_LOST = 10  # pings, for each death of net0: it may have to wait for the control domain


def plan(seed, rounds):
    """For each round: the third guest's command, whether it is looked at afterwards, victims, and when they die, in ms from the command on."""
    rng = random.Random(seed)
    for i in range(1, rounds + 1):
        victims = rng.sample(VICTIMS, 2 if i % 10 == 0 else 1)
        line, looks = rng.choice((ECHO, ECHO, DEBIAN)), rng.random() < 0.3
        after = rng.choice((0, rng.randrange(20), rng.randrange(300), rng.randrange(1500)))
        yield line if i % 2 else "destroy third", looks and i % 2 and line == DEBIAN, victims, after


def test_chaos_plan():
    check(list(plan(7, 100)) == list(plan(7, 100)) != list(plan(8, 100)), "a seed does not say what happens")


def strike(m, mark, line, victims, after):
    """The deaths are ordered, then comes the command; what it printed, or None if the control domain died, which may be in the midst of it."""
    mark = f"@round{mark}"
    ordered = sorted(victims, key=lambda v: v == "control")  # who is asked first is not the one that asks
    m.send("".join(f"crash --inject={after} {v}\r" for v in ordered) + f"{mark} {line}\r")
    if "control" not in victims:
        m.expect(rf"\n{mark} begin\r?\n", 60)
        m.expect(rf"{mark} end\r?\nbh> ", 60)
        return m.sp.before
    if m.expect([rf"{mark} end\r?\nbh> ", BACK], 60).re.pattern != BACK:
        m.expect(BACK, 60)
    m.send("\r")
    m.prompt()
    return None


def running(m):
    """Restarts of those that run, by name."""
    return {name: int(n) for name, state, n in re.findall(r"^(\S+) +\d+ +\d+ +\d+ +([a-z-]{6}) +[\d.]+ +(\d+)", m.cmd("list"), re.M)
            if not set(state) & set("pscd")}


def works(m):
    """The third guest has its disk and its network."""
    m.console("third")
    out, status = m.guest("dd if=/dev/xvda bs=64k iflag=direct 2> /tmp/err | wc -c; ping -c 3 -i 0.2 -W 10 10.0.2.2", 60)
    check(status == 0 and str(4 << 20) in out, f"the third guest: {out}")
    m.leave()


def one(m, i, line, looks, victims, after, lives):
    out = strike(m, i, line, victims, after)
    # A restart in the midst of which the control domain dies is begun anew by the next one.
    may = {v: {n} if v not in victims else {n + 1, n + 2} if "control" in victims and v != "control" else {n + 1} for v, n in lives.items()}
    lives.update(until(lambda: running(m), lambda now: all(now.get(v) in may[v] for v in may), f"restarts of {lives}, then of {victims}", 30, 0.1))
    there = line.startswith("create")
    if out is None and ("third" in rows(m)) != there:  # it was interrupted, and is undone
        out = m.cmd(line, 60)
    check(out is None or ("created as domain" in out if there else "third" not in out), f"{line!r} said {out}")
    check(("third" in rows(m)) == there, f"after {line!r}")
    if looks:
        works(m)


def quiet(m):
    """What the store holds and what the core has in use, now that nobody does anything. What a running guest's tables take of what it was
    promised is its own affair, as long as the sum is the same."""
    shows(m, "volumes", FREE)
    return tree(m), in_use(m)


def in_use(m):
    used = m.in_use()
    for domid, of in used.items():
        if domid == "machine":
            of["taken"] = of.pop("core") + of.pop("promised")
        elif int(domid) >= FIRST_GUEST:
            del of["core"]
    return used


def outages(m):
    """ms that each death cost, the longest ones first, by the supervisor's lines and the core's."""
    m.log.flush()
    text = ANSI.sub("", open(m.log.name, encoding="utf-8", errors="replace").read())
    found = re.findall(r"(\w+): crashed[^\n]*restarted in ([\d.]+) ms", text)
    return "; ".join(f"{v} {' '.join(f'{x:.0f}' for x in sorted((float(t) for n, t in found if n == v), reverse=True)[:4])}" for v in VICTIMS)


def last_deaths(m):
    """The last lines about deaths, in the order in which they came, and the report of who died without an order."""
    m.log.flush()
    lines = [line for line in ANSI.sub("", open(m.log.name, encoding="utf-8", errors="replace").read()).splitlines() if "crashed" in line]
    odd = {name for name, why in re.findall(r"^(\w+): crashed \((\w+)", "\n".join(lines), re.M) if why != "injected"}
    try:
        return "\n".join(lines[-8:] + [m.cmd(f"crashes {name}")[-1500:] for name in sorted(odd)])
    except Failed as e:
        return "\n".join([*lines[-8:], str(e)])


def warmed_up(m, digest):
    """Two guests that are ready. Tables of the core's that grow once, and stay, have grown."""
    m.cmd("destroy debian")
    guests = [Busy(m, volume, digest, *words) for volume, *words in GUESTS]
    for line in (ECHO, DEBIAN):
        check("created as domain" in m.cmd(line, 60), line)
        m.cmd("destroy third", 60)
        for v in VICTIMS:
            crash(m, v)
    return guests


def rounds(m, lives):
    """As many as there are, or as there is time for; how many there were, and deaths of net0."""
    end, nets = time.monotonic() + SECONDS, 0
    for i, (line, looks, victims, after) in enumerate(plan(SEED, ROUNDS), 1):
        try:
            one(m, i, line, looks, victims, after, lives)
        except Failed as e:
            raise Failed(f"round {i} of seed {SEED}, {' '.join(line.split()[:2])!r}, {' and '.join(victims)} after {after} ms: {e}\n{last_deaths(m)}") from None
        nets += "net0" in victims
        if time.monotonic() > end:
            break
    return i, nets


# --- a store that begins empty --------------------------------------------------------------------------------------------
def journal_kills(m):
    """The head of the store's journal says that many instances died while they read it (xenstore-lite/journal.h), so the next one reads nothing."""
    with mmap.mmap(m.ram, 0) as ram:
        found = []
        for at in range(0, len(ram), 4096):
            half, half_not, _, adopting, _ = struct.unpack_from("<IIQQQ", ram, at)
            if half ^ half_not == 0xffffffff and 1 < half < 1 << 20 and not adopting and not any(ram[at + 32:at + 4096]):
                found.append(at)
        check(len(found) == 1, f"pages like the head of the journal: {found}")
        struct.pack_into("<II", ram, found[0] + 16, 9, ~9 & 0xffffffff)


def begins_empty(m, guests):
    """Those who run are introduced again and do not notice, whatever their driver domains do afterwards; others come and go."""
    for g in guests:
        g.begins()
    journal_kills(m)
    m.send("crash store\r")
    m.expect(r"store: it began empty and is told again who runs; 3 service domains are restarted", 60)
    m.expect(r"store: what 2 guests had there is gone: they notice no new device, shutdown or reboot until they start again", 60)
    for name in ("pciback", "net0", "blk0"):
        m.expect(r"(pciback|net0|blk0): restarted on request", 60)
    m.send("\r")
    m.prompt()
    for name in ("net0", "blk0", "store", "control", "pciback"):
        crash(m, name)
    check("created as domain" in m.cmd(DEBIAN, 60), "create")
    works(m)
    check(not m.cmd("destroy third", 60).strip(), "destroy")
    for g in guests:
        print(f"  after the store was empty: {g.ends(3 * MOST_LOST)}", flush=True)
    check("stands still" not in m.cmd("list") and "domain" not in m.cmd("crashes left"), "list")


def test_chaos():
    print(f"  seed {SEED}", flush=True)
    www, digest = make_www()
    image = mkgpt.make(LOGS / "chaos.img", [("data1", 32), ("data2", 32), ("data3", 4)])
    with OpenMachine("chaos", iso=TEST_ISO, disk=image, www=www) as m:
        m.boot()
        guests = warmed_up(m, digest)
        lives = {v: int(rows(m)[v][1]) for v in VICTIMS}
        tree_before, used_before = quiet(m)
        for g in guests:
            g.begins()
        start = time.monotonic()
        n, nets = rounds(m, lives)
        print(f"  {n} rounds in {time.monotonic() - start:.0f} s; longest outages in ms: {outages(m)}", flush=True)
        if "third" in rows(m):
            m.cmd("destroy third", 60)
        for g in guests:
            print(f"  {g.ends(MOST_LOST * nets)}", flush=True)
        tree_after, _ = quiet(m)
        same_tree(tree_before, tree_after)
        until(lambda: in_use(m), lambda now: now == used_before, f"in use was {used_before}", 30)
        begins_empty(m, guests)
    image.unlink()
