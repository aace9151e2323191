# SPDX-License-Identifier: MIT
"""QEMU's socket network with a Linux on it: machines connect to it (`-netdev socket,connect=`), and the Linux has the other end of a tap, in namespaces that
anybody may make. No root, nothing of the host's network, and no two of them meet. Whoever is on it has QEMU's user network's addresses."""
import pathlib
import re
import socket
import subprocess

from tests.lib.machine import Skipped, check

GATEWAY = "10.0.2.2"
PEER = pathlib.Path(__file__).with_name("hub_peer.py")


class Hub:
    """For as long as a `with` lasts; `netdev` is for Machine."""
    def __enter__(self):
        self.served = []
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.netdev = f"socket,connect=127.0.0.1:{s.getsockname()[1]}"
            self.proc = subprocess.Popen(["unshare", "--user", "--map-root-user", "--net", PEER, str(s.fileno()), f"{GATEWAY}/24"], text=True,
                                         pass_fds=[s.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.proc.stdout.readline().strip() != "ready":
            why = self.proc.communicate(timeout=30)[1].strip()
            check(re.search(r"unshare:|not permitted|Permission denied|No such (file|device)", why), f"the hub: {why}")
            raise Skipped(f"no namespaces, or no taps in them: {why.splitlines()[-1]}")
        return self

    def __exit__(self, *exc):
        for proc in (*self.served, self.proc):
            proc.kill()
            proc.wait()

    def command(self, *command):
        """As who runs it on the peer."""
        return ["nsenter", "--target", str(self.proc.pid), "--user", "--preserve-credentials", "--net", *command]

    def peer(self, *command, timeout=60):
        """Runs it on the peer; its output and status."""
        got = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
        return got.stdout + got.stderr, got.returncode

    def serve(self, *command):
        """Runs on the peer until the network goes."""
        self.served.append(subprocess.Popen(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self.served[-1]
