#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
# NEEDS: disk
"""GRUB as a guest, and with it a whole Debian that boots from its own disk while blk0 dies (more of it in test_kill.py)."""
import re
import time

from tests.lib.guest import login, sh
from tests.lib.machine import DEBIAN_DISK, TEST_ISO, Machine, check
from tests.lib.wait import pause

def test_grub_prompt():
    """Without a disk GRUB comes to its prompt: console, memory map, time, reboot."""
    with Machine("grub", iso=TEST_ISO) as m:
        m.boot()
        m.cmd("create grubtest", 60)
        m.send("console grubtest\r")
        m.expect(r"grub> ", 60)
        m.send("lsmmap\r")
        m.expect(r"base_addr = 0x0, length = 0xa0000, available RAM", 20)
        m.expect(r"base_addr = 0xa0000, length = 0x60000, reserved RAM", 20)
        m.expect(r"base_addr = 0x100000, length = 0x3f00000, available RAM", 20)
        m.expect(r"base_addr = 0xffff0000, length = 0x10000, reserved RAM", 20)
        m.expect(r"grub> ", 20)
        start = time.monotonic()
        m.send("sleep 2\r")
        m.expect(r"grub> ", 30)
        took = time.monotonic() - start
        check(took > 1.8, f"two seconds of GRUB took {took:.1f} s")
        m.send("reboot\r")
        m.prompt(30)
        check("grubtest" not in m.cmd("list"), "grubtest is still there")
        check("no crashes" in m.cmd("crashes"), "something crashed")


def test_debian_whole_disk():
    """The whole disk and another kernel: GRUB reads the partition table, Debian's cloud kernel finds its root by label.
    blk0 is crashed all the while: GRUB reading, the hand-over of the vbd, Linux mounting and booting."""
    with Machine("debian-whole", disk=f"{DEBIAN_DISK},snapshot=on") as m:
        m.boot()
        m.cmd("create debian-disk disk=['phy:blk0:disk,xvda,w']", 90)
        m.send("console debian-disk\r")
        m.expect(r"will be executed automatically", 60)
        m.send("k")
        m.leave()
        end, crashes = time.monotonic() + 45, 0
        while time.monotonic() < end:
            m.cmd("crash --inject blk0")
            crashes += 1
            pause(0.5)
        m.send("console debian-disk\r\r")
        login(m)
        check(sh(m, "dmesg | grep -c -e 'I/O error' -e 'EXT4-fs error' -e 'blkfront.*broken' || true").strip() == "0",
              "errors in the log")
        check("cloud" in sh(m, "uname -r"), "not the cloud kernel")
        sh(m, "ping -c 3 10.0.2.2")
        check("/dev/xvda1" in sh(m, "findmnt -no SOURCE /"), "the root is not on xvda1")
        check(sh(m, "xenstore-write data/a/b 1 && xenstore-ls -f data") == 'data/a = ""\ndata/a/b = "1"\n', "xenstore-utils")
        m.send("poweroff\r")
        m.prompt(120)
        restarts = int(re.search(r"^blk0 .* (\d+)\s*$", m.cmd("list"), re.M).group(1))
        check(crashes - 3 <= restarts <= crashes, f"{crashes} crashes, {restarts} restarts")
