#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""The bundle's tools, without a machine: a kernel's payload in each compression, and that an image is what its file has now."""
import gzip
import os
import re
import shutil
import struct
import subprocess
import tempfile

from tests.lib.machine import BUILD, ROOT, TEST_BUNDLE, check

FETCH = "tools/guest/fetch-kernel.sh"
UNPACK = "tools/unpack-kernel"
MKBUNDLE = "tools/mkbundle"
ELF = b"\x7fELF\x02\x01\x01" + b"kernel" * 5000
PACKERS = {
    "gzip": ["gzip", "-9nc"], "xz": ["xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB", "-c"], "lzma": ["xz", "--format=lzma", "-c"],
    "bzip2": ["bzip2", "-9c"], "lz4": ["lz4", "-l", "-9", "-c"], "zstd": ["zstd", "-19", "-qc"],
}


def bzimage(payload, sects=3, size=True):
    """Documentation/arch/x86/boot.rst; code before the payload and something behind it, as there is."""
    head = bytearray((sects + 1) * 512)
    head[0x1f1] = sects
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20f)
    if size:
        payload += struct.pack("<I", len(ELF))
    struct.pack_into("<II", head, 0x248, 700, len(payload))
    return bytes(head) + b"c" * 700 + payload + b"tail"


def test_bundle_kernels():
    with tempfile.TemporaryDirectory() as d:
        src, out, done = d + "/bz", d + "/elf", []
        for kind, command in PACKERS.items():
            if not shutil.which(command[0]):
                continue
            payload = subprocess.run(command, input=ELF, stdout=subprocess.PIPE, check=True).stdout
            with open(src, "wb") as f:
                f.write(bzimage(payload, size=kind != "gzip"))
            got = subprocess.run([UNPACK, src, out], capture_output=True, text=True)
            check(got.returncode == 0, f"{kind}: {got.stderr}")
            with open(out, "rb") as f:
                check(f.read() == ELF, f"{kind}: another file comes out")
            done.append(kind)
        check({"gzip", "xz", "lzma"} <= set(done), f"only {done} were tried")
        for what, data in (("no ELF", bzimage(gzip.compress(b"x" * 9000), size=False)), ("neither", b"x" * 4096), ("not known", bzimage(b"?" * 99)),
                           ("cannot unpack", bzimage(gzip.compress(ELF)[:90], size=False))):
            with open(src, "wb") as f:
                f.write(data)
            got = subprocess.run([UNPACK, src, out], capture_output=True, text=True)
            check(got.returncode and what in got.stderr and got.stderr.count("\n") == 1, f"{what}: {got}")


NOTE = """
.section .note.Xen, "a", @note
.long 4, 4, 18
.asciz "Xen"
.long 0x100000
.data
.globl _start
_start: .asciz "Linux version 6.1.0-x (a kernel)"
"""


def test_bundle_package():
    """A package of a kernel: what of it is a link is none of its modules, wherever it leads."""
    with tempfile.TemporaryDirectory() as d:
        modules = d + "/deb/lib/modules/6.1.0-x"
        for folder in (d + "/deb/DEBIAN", d + "/deb/boot", modules):
            os.makedirs(folder)
        for name, text in (("deb/DEBIAN/control", "Package: k\nVersion: 1\nArchitecture: amd64\nMaintainer: k\nDescription: k\n"),
                           ("secret", "not the guest's"), ("deb/lib/modules/6.1.0-x/xen-blkfront.ko", "a module")):
            with open(f"{d}/{name}", "w") as f:
                f.write(text)
        os.symlink(d + "/secret", modules + "/xen-netfront.ko")
        subprocess.run(["cc", "-nostdlib", "-no-pie", "-x", "assembler", "-", "-o", d + "/deb/boot/vmlinuz-6.1.0-x"], input=NOTE, text=True, check=True)
        subprocess.run(["dpkg-deb", "-Znone", "-b", d + "/deb", d + "/k.deb"], check=True, capture_output=True)
        got = subprocess.run([FETCH, d + "/out", d + "/k.deb"], capture_output=True, text=True)
        check(got.returncode == 0, f"the package is not taken: {got.stderr}")
        got = sorted(f for _, _, files in os.walk(d + "/out/modules") for f in files)
        check(got == ["xen-blkfront.ko"], f"modules: {got}")
        with open(d + "/out/version") as f:
            check(f.read() == "6.1.0-x\n", "another release")


def image(itb, number):
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run(["dumpimage", "-T", "flat_dt", "-p", str(number), "-o", f.name, itb], check=True, capture_output=True)
        with open(f.name, "rb") as got:
            return gzip.decompress(got.read())


def test_bundle_images():
    with tempfile.TemporaryDirectory() as d:
        itb, one = d + "/b.itb", d + "/one"

        def make(data, when):
            with open(one, "wb") as f:
                f.write(data)
            os.utime(one, (when, when))
            subprocess.run([MKBUNDLE, itb, "one=" + one], check=True)
            return image(itb, 0)
        check(make(b"first" * 100, 2000000000) == b"first" * 100, "the first file is not in the bundle")
        check(make(b"older" * 100, 1000000000) == b"older" * 100, "an older file under the same name left the old image")
        check(make(bzimage(gzip.compress(ELF), size=False), 1000000000) == ELF, "a bzImage was not unpacked")
        got = subprocess.run([MKBUNDLE, itb] + [f"i{i}={one}" for i in range(65)], capture_output=True, text=True)
        check(got.returncode and re.search(r"65 images, .*takes 64", got.stderr), f"65 images: {got}")


def test_bundle_shipped():
    """No domain of the tests is in the bundle that is shipped; the one that tests boot has all that is."""
    def names(itb):
        got = subprocess.run(["dumpimage", "-l", itb], capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"^ Image \d+ \((\S+)\)", got, re.M))
    product = {"store", "pciback", "net", "vnet", "blk", "metrics", "debian-kernel", "debian-ramdisk", "linux-service", "grub"}
    product |= {f.name for f in (ROOT / "ctl-dom/bundle").glob("*.cfg")}
    got = names(BUILD / "bundle.itb")
    check(got == product, f"in the bundle that is shipped: {sorted(got ^ product)}")
    more = names(TEST_BUNDLE) - got
    check(got < names(TEST_BUNDLE) and {"hostile", "hostile.cfg"} < more, f"the tests' bundle has {sorted(more)} beside")


def test_bundle_linux():
    """The Linux service domains' ramdisk: each driver with all that it needs, the storage role's in its archive; programs are no links to busybox."""
    with tempfile.TemporaryDirectory() as d:
        with open(BUILD / "guest/linux-service.cpio", "rb") as f:
            subprocess.run(["cpio", "-idm", "--quiet"], cwd=d, stdin=f, check=True)
        links = [name for name in ("ip", "brctl", "bridge", "nft", "xenstore") if os.path.islink(f"{d}/bin/{name}")]
        check(not links, f"links: {links}")
        release, = os.listdir(d + "/lib/modules")
        modules = f"{d}/lib/modules/{release}"
        check("nf_tables.ko" in os.listdir(modules) and "dm-mod.ko" not in os.listdir(modules), f"modules: {os.listdir(modules)}")
        subprocess.run(["tar", "-xzf", d + "/role/storage.tar.gz", "-C", d], check=True)
        with open(modules + "/modules.dep") as f:
            wanted = {name for line in f for name in line.replace(":", " ").split()}
        missing = sorted(wanted - set(os.listdir(modules)))
        check({"xen-netback.ko", "dm-snapshot.ko", "e1000e.ko"} < wanted and not missing, f"missing: {missing}")
        check(os.access(d + "/bin/lvm", os.X_OK) and os.access(d + "/bin/nbd-server", os.X_OK), "no storage programs in the archive")
        for script in ["init"] + [f"role/{name}" for name in os.listdir(d + "/role") if "." not in name]:
            got = subprocess.run(["busybox", "sh", "-n", f"{d}/{script}"], capture_output=True, text=True)
            check(got.returncode == 0, f"{script}: {got.stderr}")


MEET = """#!/bin/sh
touch "$(dirname "$0")/here.$$"
while [ "$(ls "$(dirname "$0")"/here.* | wc -l)" -lt 2 ]; do sleep 0.05; done
exec REAL "$@"
"""


def test_bundles_at_once():
    """Two bundles in one folder, each with an image of the same name: neither packs before the other has laid out its images."""
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/mkimage", "w") as f:
            f.write(MEET.replace("REAL", shutil.which("mkimage")))
        os.chmod(d + "/mkimage", 0o755)
        makers = []
        for name in ("left", "right"):
            with open(f"{d}/{name}", "w") as f:
                f.write(name * 100)
            makers.append(subprocess.Popen([MKBUNDLE, f"{d}/{name}.itb", f"one={d}/{name}"], env={**os.environ, "PATH": d + ":" + os.environ["PATH"]}))
        check([m.wait(60) for m in makers] == [0, 0], "a bundle was not made beside another one")
        for name in ("left", "right"):
            check(image(f"{d}/{name}.itb", 0) == name.encode() * 100, f"the bundle {name} has an image of the other one")
