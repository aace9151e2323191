#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the supervisor does with a service that is crashed by commands, and with one that comes back and never says that it serves."""
from machine import Machine, check, run


def typed(m):
    """Crashes by command, one after another, are no row of deaths: none waits for the next instance, the first as the last."""
    for i in range(1, 11):
        m.send("crash --inject net0\r")
        got = m.expect(r"net0: crashed \([^\n]*restarted in [\d.]+ ms \(([^)]*)\), restart (\d+)\r", 60)
        check(int(got.group(2)) == i, f"restart count {got.group(2)}, expected {i}")
        check("pause" not in got.group(1), f"crash {i} by command had to wait: {got.group(0)}")
        m.prompt()


def never_serves():
    with Machine("supervisor") as m:
        m.boot()
        typed(m)
        m.cmd("create microbench name=mute role=driver keep=1", 60)
        m.send("restart mute\r")
        m.expect(r"mute: runs, but has not said for 10 s that it serves[^\n]*it is restarted", 60)
        m.expect(r"\(mute\) crashed: crashed on request", 30)
        m.send("\r")
        m.prompt()
        m.cmd("destroy mute")


if __name__ == "__main__":
    run([("supervisor-never-serves", never_serves)])
