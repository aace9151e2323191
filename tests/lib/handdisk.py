# SPDX-License-Identifier: MIT
"""The quick guest of the hand-over tests: a small disk with GRUB's configuration, Debian's kernel and the ramdisk of
the demonstration guest, to which ext4 and kexec are added. A shell comes some ten seconds after `create`."""
import gzip
import pathlib
import re
import shutil
import subprocess
import tempfile

from tools import mkgpt
from tests.lib.guest import modules
from tests.lib.machine import BUILD, DEBIAN_DISK, Failed

MIB = 1 << 20
BOOT_MIB = 48
PARTS = [("boot", BOOT_MIB), ("data1", 16), ("data2", 16), ("data3", 16)]
LIBS = "usr/lib/x86_64-linux-gnu"
MODULES = ["lib/crc16", "crypto/crc32c_generic", "fs/mbcache", "fs/jbd2/jbd2", "fs/ext4/ext4"] # in this order
GRUB_CFG = """set timeout=-1
search --no-floppy --label handover --set root
menuentry "nothing but this" { true }
"""
LINUX = "linux /vmlinuz console=hvc0 quiet bh.host=hand bh.ip=10.0.2.21/24 bh.gw=10.0.2.2"


def debugfs(what):
    return subprocess.run(["debugfs", "-R", what, f"{DEBIAN_DISK}?offset={MIB}"], check=True, timeout=60,
                          capture_output=True, text=True).stdout


def take(path, to):
    """A file of the whole Debian's disk; the last part of the path may be a link."""
    to.parent.mkdir(parents=True, exist_ok=True)
    link = re.search(r'Fast link dest: "(.*)"', debugfs(f"stat {path}"))
    if link:
        path = pathlib.PurePath(path).parent / link.group(1)
    debugfs(f"dump {path} {to}")
    if not to.exists() or not to.stat().st_size:
        raise Failed(f"{DEBIAN_DISK} has no {path}")


def take_libraries(root, program):
    todo = [root / program]
    while todo:
        out = subprocess.run(["readelf", "-d", str(todo.pop())], check=True, capture_output=True, text=True,
                             timeout=20).stdout
        for lib in re.findall(r"NEEDED.*\[(.*)\]", out):
            to = root / "lib/x86_64-linux-gnu" / lib
            if not to.exists() and not lib.startswith("ld-linux"):
                take(f"/{LIBS}/{lib}", to)
                todo.append(to)


def make_ramdisk(out):
    with tempfile.TemporaryDirectory(prefix="bh-") as t:
        root = pathlib.Path(t)
        to = root / "lib/modules"
        to.mkdir(parents=True)
        for i, module in enumerate(modules(to, MODULES)):
            (to / f"{module}.ko").rename(to / f"0{i}.ko")
        take("/usr/sbin/kexec", root / "bin/kexec")
        (root / "bin/kexec").chmod(0o755)
        take_libraries(root, "bin/kexec")
        (root / "mnt").mkdir()
        names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True, timeout=20).stdout
        more = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=root, input=names, check=True,
                              capture_output=True, timeout=60).stdout
    out.write_bytes(gzip.compress((BUILD / "guest/ramdisk.cpio").read_bytes() + more, 1))


def make(out):
    mkgpt.make(out, PARTS)
    with tempfile.TemporaryDirectory(prefix="bh-") as t:
        root = pathlib.Path(t)
        shutil.copy(BUILD / "guest/vmlinuz", root / "vmlinuz")
        make_ramdisk(root / "ramdisk")
        (root / "boot/grub").mkdir(parents=True)
        (root / "boot/grub/grub.cfg").write_text(GRUB_CFG)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "handover", "-b", "4096", "-E",
                        f"offset={MIB},lazy_itable_init=0", "-d", str(root), str(out), str(BOOT_MIB * 256)],
                       check=True, timeout=60, stdout=subprocess.DEVNULL)
    return out


def fsck(image):
    """True if the file system is clean, by a forced check."""
    return subprocess.run(["e2fsck", "-fn", f"{image}?offset={MIB}"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
