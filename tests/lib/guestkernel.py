# SPDX-License-Identifier: MIT
"""More of the guest's kernel than the bundle has: modules out of its package. The whole Debian on the disk may have another kernel."""
import subprocess

from tests.lib.machine import BUILD


def modules(to, paths):
    """Puts these modules ("fs/ext4/ext4") into a directory, and returns their names."""
    release = (BUILD / "guest/version").read_text().strip()
    deb = next((BUILD / "guest").glob(f"linux-image-{release}_*.deb"))
    want = [f"./lib/modules/{release}/kernel/{m}.ko" for m in paths]
    tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(to), "--transform", "s,.*/,,", *want], stdin=tar.stdout, check=True,
                   timeout=120)
    tar.stdout.close()
    tar.wait(60)
    return [m.split("/")[-1] for m in paths]
