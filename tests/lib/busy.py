# SPDX-License-Identifier: MIT
"""A guest that does all the time what must not be noticed from outside: its disk is verified, it pings, and, where a digest is given, downloads a file that
has it (make_www in machine.py). Everything of it is looked at when the load ends."""
import re

from tests.lib.machine import check
from tests.lib.wait import guest_says

IP = "10.0.2.77"
DOWNLOADS = ("(while [ ! -e /tmp/stop ]; do wget -q -O - http://10.0.2.100/10mb.bin | sha256sum | cut -d' ' -f1; done > /tmp/sums 2>/dev/null; "
             "echo over >> /tmp/sums) &")


class Busy:
    def __init__(self, m, volume, digest=None, name="busy"):
        self.m, self.name, self.digest = m, name, digest
        out = m.cmd(f"create debian name={name} memory=128 vif=['mac=00:16:3e:00:00:77,bridge=net0'] disk=['phy:blk0:{volume},xvda,w'] "
                    f"extra='console=hvc0 quiet bh.host=busy bh.ip={IP}/24 bh.gw=10.0.2.2'", 60)
        check("created as domain" in out, f"create: {out}")
        m.console(name)
        self.lines = self.kernel()
        m.guest("(diskcheck /dev/xvda 3000 16 32 > /tmp/check.log 2>&1; echo status $? >> /tmp/check.log) &")
        m.guest("(ping -i 0.2 -W 10 10.0.2.2 > /tmp/ping.log 2>&1) &")
        if digest:
            m.guest(DOWNLOADS)
        m.leave()

    def kernel(self):
        """Lines of its kernel log, but for that of a processor that was late (the machine's is made of software), and of a second disk that came."""
        out, _ = self.m.guest("echo lines=$(dmesg | grep -vc -e 'hrtimer: interrupt took' -e clocksource -e 'blkfront: xvdb: flush')")
        return re.findall(r"lines=(\d+)", out)[-1]

    def ends(self):
        """Nobody noticed: no wrong byte, no ping lost, no download broken, no line of the kernel's. What it did, in words."""
        m = self.m
        m.console(self.name)
        m.guest("touch /tmp/stop; killall -INT ping")
        disk = guest_says(m, "cat /tmp/check.log", "status")
        check("status 0" in disk and " 0 errors" in disk, f"diskcheck: {disk}")
        pings = guest_says(m, "cat /tmp/ping.log", "packet loss")
        check(" 0% packet loss" in pings, f"pings: {pings[-300:]}")
        now = self.kernel()
        log, _ = m.guest("dmesg | tail -5")
        check(now == self.lines, f"its kernel log had {self.lines} lines and has {now}: {log}")
        did = [re.search(r"diskcheck: .*", disk).group(0).strip(), re.search(r"\d+ packets transmitted", pings).group(0)]
        if self.digest:
            did.append(f"{self.downloads()} downloads")
        m.leave()
        m.cmd(f"destroy {self.name}", 60)
        return ", ".join(did)

    def downloads(self):
        out = guest_says(self.m, "cat /tmp/sums", "^over")
        sums = [x.strip() for x in out.split("\n") if re.fullmatch(r"[0-9a-f]{64}", x.strip())]
        bad = [x for x in sums if x != self.digest]
        check(sums and not bad, f"{len(bad)} of {len(sums)} downloads are wrong: {out[-300:]}")
        return len(sums)
