# SPDX-License-Identifier: MIT
"""A NIC whose wire goes away and comes back."""
import re

from tests.lib.crash import crash
from tests.lib.machine import check
from tests.lib.wait import until


def away(m):
    """Its wire is away for a while: said once, what goes there is dropped and counted, and another instance finds it so."""
    m.monitor("set_link nic0 off")
    m.expect(r"net0: its NIC has no link", 60)
    m.send("\r")
    m.prompt()
    crash(m, "net0")
    m.console("debian")
    out, status = m.guest("ping -c 2 -W 1 10.0.2.2")
    check(status == 1, f"ping without a wire: {out}")
    m.leave()
    out = m.cmd("network-list debian")
    check("net0: its NIC has no link" in out and re.search(r"^net0 +wire +\d+ +\d+ +\d+ +[1-9]", out, re.M), f"network-list: {out}")
    m.monitor("set_link nic0 on")
    m.console("debian")
    until(lambda: m.guest("ping -c 1 -W 1 10.0.2.2"), lambda got: got[1] == 0, "no wire")
    m.leave()
    out = m.cmd("network-list debian")
    check("link" not in out, f"network-list: {out}")
