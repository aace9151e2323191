# SPDX-License-Identifier: MIT
"""The guests that are Debian: the shell of the whole one on the disk, and more of a kernel than the bundle has."""
import subprocess

from tests.lib.machine import ANSI, BUILD, Failed

SHELL = r"root@debian-disk:~# "
# Two minutes on an idle machine; the bound is for hangs.
LOGIN = 400


def modules(to, paths):
    """Puts these modules ("fs/ext4/ext4") of the bundle's kernel into a directory, and returns their names. The Debian on the disk may have
    another kernel."""
    release = (BUILD / "guest/version").read_text().strip()
    deb = next((BUILD / "guest").glob(f"linux-image-{release}_*.deb"))
    want = [f"./lib/modules/{release}/kernel/{m}.ko" for m in paths]
    tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(to), "--transform", "s,.*/,,", *want], stdin=tar.stdout, check=True,
                   timeout=120)
    tar.stdout.close()
    tar.wait(60)
    return [m.split("/")[-1] for m in paths]


def login(m):
    m.expect(r"login: ", LOGIN)
    m.send("root\r")
    m.expect(SHELL, 60)


def sh(m, line, timeout=60):
    """One command in the guest; its output, and a failure unless its status is 0."""
    m.send(f"{line}; echo st''atus=$?\r")
    status = m.expect(r"status=(\d+)", timeout).group(1)
    text = ANSI.sub("", m.sp.before).replace("\r", "").split("\n", 1)[-1]
    m.expect(SHELL, 20)
    if status != "0":
        raise Failed(f"{line!r} ended with {status}: {text}")
    return text
