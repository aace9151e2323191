# SPDX-License-Identifier: MIT
"""A guest whose data are verified all the time, and the disk that it shares with a hostile front-end (tests/domains/blkhostile)."""
import re

from tests.lib.machine import check
from tests.lib.wait import guest_says, pause

PARTS = [("data", 64), ("evil", 16), ("readonly", 2)]
DISKS = "disk=['phy:blk0:evil,xvda,w','phy:blk0:readonly,xvdb,r']"


class Neighbour:
    """A Debian of its own with `diskcheck` on a volume of its own."""
    def __init__(self, m, words="vif=[]"):
        self.m = m
        out = m.cmd(f"create debian name=neighbour memory=192 vcpus=2 {words} disk=['phy:blk0:data,xvda,w']", 60)
        check("created as domain" in out, f"create: {out}")
        m.console("neighbour")
        self.lines = self.kernel()
        m.guest("(diskcheck /dev/xvda 3000 16 32 > /tmp/check.log 2>&1; echo status $? >> /tmp/check.log) &")
        m.leave()

    def kernel(self):
        """Lines of its kernel log, but for that of a processor that was late: the machine's is made of software."""
        out, _ = self.m.guest("echo lines=$(dmesg | grep -vc -e 'hrtimer: interrupt took' -e clocksource)")
        return re.findall(r"lines=(\d+)", out)[-1]

    def count(self):
        out, _ = self.m.guest("read up x < /proc/uptime; set -- $(cat /sys/block/xvda/stat); echo count=$up,$1,$5")
        up, reads, writes = re.findall(r"count=([\d.]+),(\d+),(\d+)", out)[-1]  # a console shows what was before, too
        return float(up), int(reads) + int(writes)

    def rate(self, seconds=5):
        """Requests a second that its disk did meanwhile."""
        self.m.console("neighbour")
        t0, n0 = self.count()
        pause(seconds)
        t1, n1 = self.count()
        self.m.leave()
        check(n1 > n0, "the neighbour's disk stands still")
        return (n1 - n0) / (t1 - t0)

    def ends(self):
        """Its data were right all the time, and its kernel had nothing to say."""
        m = self.m
        m.console("neighbour")
        m.guest("touch /tmp/stop")
        out = guest_says(m, "cat /tmp/check.log", "status")
        check("status 0" in out and " 0 errors" in out, f"diskcheck: {out}")
        print("  " + re.search(r"diskcheck: .*", out).group(0).strip(), flush=True)
        now = self.kernel()
        log, _ = m.guest("dmesg | tail -5")
        check(now == self.lines, f"the neighbour's kernel log had {self.lines} lines and has {now}: {log}")
        m.leave()
        m.cmd("destroy neighbour", 60)
