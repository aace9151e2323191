# SPDX-License-Identifier: MIT
"""A wire for the machine's NIC, with a Linux peer on it (tools/net), for as long as a `with` lasts. It has the addresses of QEMU's
user network, so a guest does not see which of the two it is on. Who makes one takes away those whose maker is gone: a test program that
uses them says "# ALONE: networks" (tests/lanes.py)."""
import contextlib
import os
import subprocess

from tests.lib.machine import ROOT, Skipped, check

NET = str(ROOT / "tools/net")
GATEWAY, WEB = "10.0.2.2", "10.0.2.100"


def net(*words, timeout=60):
    return subprocess.run([NET, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)


class Wire:
    def __init__(self, owner=None):
        self.name = str(owner or os.getpid())

    def __enter__(self):
        got = net("up", self.name, "--address", f"{GATEWAY}/24", "--address", f"{WEB}/24")
        if got.returncode == 77:
            raise Skipped(got.stderr.strip())
        check(got.returncode == 0, f"tools/net up: {got.stderr}")
        return self

    def __exit__(self, *exc):
        got = net("down", self.name)
        check(got.returncode == 0, f"tools/net down: {got.stderr}")

    def vlan(self, tags, address):
        got = net("vlan", self.name, tags, address)
        check(got.returncode == 0, f"tools/net vlan {tags}: {got.stderr}")

    def peer(self, *command, timeout=60):
        """Runs it on the peer; its output and status."""
        got = net("peer", self.name, *command, timeout=timeout)
        return got.stdout + got.stderr, got.returncode

    def wire(self, *command):
        """The same where the taps are."""
        got = net("wire", self.name, *command)
        return got.stdout + got.stderr, got.returncode

    def serve(self, *command):
        """Runs on the peer until the wire goes."""
        return subprocess.Popen([NET, "peer", self.name, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def wire_or_user_network(name):
    """A Wire, or None on a machine that has none: then the machine under test uses the user network, and what `name` would have
    checked is reported as skipped."""
    wire = Wire()
    try:
        wire.__enter__()
    except Skipped as e:
        print(f"skipped {name}: {e}", flush=True)
        yield None
        return
    try:
        yield wire
    finally:
        wire.__exit__()
