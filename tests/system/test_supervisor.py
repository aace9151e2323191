#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the supervisor does with a service that comes back and never says that it serves."""
from machine import Machine, run


def never_serves():
    with Machine("supervisor") as m:
        m.boot()
        m.cmd("create microbench name=mute role=driver keep=1", 60)
        m.send("restart mute\r")
        m.expect(r"mute: runs, but has not said for 10 s that it serves[^\n]*it is restarted", 60)
        m.expect(r"\(mute\) crashed: crashed on request", 30)
        m.send("\r")
        m.prompt()
        m.cmd("destroy mute")


if __name__ == "__main__":
    run([("supervisor-never-serves", never_serves)])
