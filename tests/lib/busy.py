# SPDX-License-Identifier: MIT
"""A guest that does all the time what must not be noticed from outside: its disk is verified, it pings, and, where a digest is given, downloads a file that
has it (make_www in machine.py). Everything of it, and its kernel's log, is looked at when the load ends."""
import re

from tests.lib.machine import check
from tests.lib.wait import guest_says

SECONDS = 36000  # it is told to stop
ON_THE_WAY = 10  # pings: of the last two seconds, whose answers nobody waits for
QUIET = "hrtimer: interrupt took|clocksource|blkfront: xvdb: flush"  # a processor that was late (the machine's is made of software); a second disk came
DOWNLOADS = ("(while [ ! -e /tmp/stop ]; do wget -q -O - http://10.0.2.100/10mb.bin | sha256sum | cut -d' ' -f1; done > /tmp/sums 2>/dev/null; "
             "echo over >> /tmp/sums) &")


class Busy:
    """A Debian at 10.0.2.`number`, with a disk of its own."""
    def __init__(self, m, volume, digest=None, name="busy", number=77):
        self.m, self.name, self.digest = m, name, digest
        out = m.cmd(f"create debian name={name} memory=128 vif=['mac=00:16:3e:00:00:{number:02x},bridge=net0'] disk=['phy:blk0:{volume},xvda,w'] "
                    f"extra='console=hvc0 quiet bh.host={name} bh.ip=10.0.2.{number}/24 bh.gw=10.0.2.2'", 60)
        check("created as domain" in out, f"create: {out}")
        m.console(name)
        self.said = self.kernel()
        m.leave()

    def kernel(self):
        out, _ = self.m.guest(f"dmesg | grep -v -E '{QUIET}'")
        return [x for x in out.splitlines() if x.startswith("[")]

    def begins(self):
        m = self.m
        m.console(self.name)
        m.guest("rm -f /tmp/stop")
        m.guest("(diskcheck /dev/xvda %u 16 32 > /tmp/check.log 2>&1; echo status $? >> /tmp/check.log) &" % SECONDS)
        m.guest("(ping -i 0.2 -W 10 10.0.2.2 > /tmp/ping.log 2>&1) &")
        if self.digest:
            m.guest(DOWNLOADS)
        m.leave()

    def ends(self, may_lose=0):
        """Nobody noticed: no wrong byte, no download broken, no line of the kernel's, no ping lost but so many: with net0 packets may go. What it did, in
        words."""
        m = self.m
        m.console(self.name)
        m.guest("touch /tmp/stop; killall -INT ping")
        disk = guest_says(m, "cat /tmp/check.log", r"^status \d")  # the shell shows the line that ended, too
        check("status 0" in disk and " 0 errors" in disk, f"{self.name}: diskcheck: {disk}")
        pings = guest_says(m, "tail -n 3 /tmp/ping.log", "packet loss")
        sent, got = map(int, re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received", pings).groups())
        last = m.guest("grep -o 'icmp_seq=[0-9]*' /tmp/ping.log | tail -n 1")[0]
        last = max(int(re.search(r"icmp_seq=(\d+)", last).group(1)), sent - ON_THE_WAY)
        check(last - got <= may_lose and "errors" not in pings, f"{self.name}: {last - got} pings lost, {may_lose} may be: {pings}")
        did = [re.search(r"diskcheck: .*", disk).group(0).strip(), f"{got} of {sent} pings"]
        if self.digest:
            did.append(f"{self.downloads()} downloads")
        news = [x for x in self.kernel() if x not in self.said]
        check(not news, f"{self.name}: its kernel has news: {news}")
        m.leave()
        return f"{self.name}: " + ", ".join(did)

    def downloads(self):
        out = guest_says(self.m, "cat /tmp/sums", "^over")
        sums = [x.strip() for x in out.split("\n") if re.fullmatch(r"[0-9a-f]{64}", x.strip())]
        bad = [x for x in sums if x != self.digest]
        check(sums and not bad, f"{self.name}: {len(bad)} of {len(sums)} downloads are wrong: {out[-300:]}")
        return len(sums)
