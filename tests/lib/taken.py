# SPDX-License-Identifier: MIT
"""tests/guest/taken.c in a Linux that serves others: root there, with all the doors that its kernel has, against everybody else."""
import os
import re
import subprocess
import tempfile

from tests.lib.guest import modules
from tests.lib.machine import BUILD, ROOT, check, make_www

DOORS = ["drivers/xen/xen-gntdev", "drivers/xen/xen-evtchn", "drivers/xen/xen-privcmd"]  # not in the ramdisk that is shipped
REFS = int(os.environ.get("REFS", "2048"))  # entries of each grant table; there may be 32768
SECRET = "in-no-page-that-was-granted"


def pack():
    """Puts the program and the modules where a guest can fetch them, unless they are there."""
    www, _ = make_www()
    source, out = ROOT / "tests/guest/taken.c", www / "taken.tar.gz"
    if out.exists() and out.stat().st_mtime > max(f.stat().st_mtime for f in (source, BUILD / "guest/version", *(ROOT / "hv/abi/public").rglob("*.h"))):
        return
    with tempfile.TemporaryDirectory(dir=BUILD) as d:
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-s", "-Wall", "-Wextra", "-Werror", "-static", f"-I{ROOT}/hv/abi/public",
                        "-D__XEN_INTERFACE_VERSION__=0x00040e00", "-o", f"{d}/taken", str(source)], check=True, timeout=120)
        files = ["taken"] + [f"{name}.ko" for name in modules(d, DOORS)]
        subprocess.run(["tar", "-C", d, "-czf", f"{d}/tar.gz", *files], check=True, timeout=60)
        os.rename(f"{d}/tar.gz", out)


def domids(m):
    return {x.split()[0]: int(x.split()[1]) for x in m.cmd("list").splitlines() if re.match(r"\S+ +\d+ ", x)}


def must(m, line, seconds=60):
    """On the console that is attached."""
    text, status = m.guest(line, seconds)
    check(status == 0, f"{line}: {status}: {text}")
    return text


def tried(m, name, client, way="true", serves=True):
    """`name` serves `client` its devices, or not; both have a shell. `way` gives it one to the host's web server."""
    pack()
    ids = domids(m)
    mine = ids[client] if serves else ""
    m.console(client)
    must(m, f"yes {SECRET} | head -c 4000000 > /tmp/secret; grep -c {SECRET} /tmp/secret")
    m.leave()
    m.console(name)
    must(m, f"{way}; wget -q -O - http://10.0.2.100/taken.tar.gz | tar -xzC /run")
    must(m, "[ -e /dev/xen/privcmd ] || (insmod /run/xen-gntdev.ko && insmod /run/xen-evtchn.ko && insmod /run/xen-privcmd.ko unrestricted=1)")
    must(m, f"(/run/taken watches {ids[client]} > /run/watched 2>&1 &); until grep watching /run/watched; do usleep 20000; done")
    text, status = m.guest(f"/run/taken tries {REFS} {max(ids.values())} {mine}", 120)
    m.leave()
    check(status == 0 and re.search(r"taken: \d+ ok, 0 not ok", text) and ("grants_of_a_client" in text) == serves, f"{name}, taken over: {text}")
    m.console(client)
    must(m, "xenstore-write data/secret 1")
    m.leave()
    m.console(name)
    text = must(m, "xenstore-write data/own 1; until grep data/own /run/watched; do usleep 20000; done; cat /run/watched; killall taken; rm /run/taken /run/*.ko")
    m.leave()
    check("data/secret" not in text, f"{name} was told what {client} wrote: {text}")
