# SPDX-License-Identifier: MIT
"""Debian's packages unpacked below build/, not installed: the QEMU of its backports, and Bochs. They come from where this machine gets Debian's
packages, through its own apt and with apt's signatures."""
import pathlib
import shutil
import subprocess

from tests.lib.machine import BUILD

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SECONDS = 900  # for what goes over the network


class Missing(Exception):
    """Cannot be had here; says why."""


def call(cmd, seconds=60, **kw):
    try:
        p = subprocess.run(cmd, capture_output=True, text=True, timeout=seconds, check=False, **kw)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Missing(str(e)) from None
    if p.returncode:
        raise Missing(f"{cmd[0]}: {(p.stderr.strip() or p.stdout.strip() or str(p.returncode)).splitlines()[-1]}")
    return p.stdout


def mirror():
    """Where this machine's Debian comes from, and its code name."""
    rows = call(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages"])
    for row in rows.splitlines():
        origin, component, release, codename, uri = row.split("|")
        if (origin, component, release) == ("Debian", "main", codename):
            return uri, codename
    raise Missing("apt knows no Debian")


def fetch_backports(home, packages):
    """By sources and lists of their own: this machine need not know the backports, and does not afterwards."""
    uri, codename = mirror()
    for folder in ("lists/partial", "parts"):
        (home / folder).mkdir(parents=True)
    signed = f" [signed-by={KEYRING}]" if KEYRING.exists() else ""
    (home / "sources.list").write_text(f"deb{signed} {uri} {codename}-backports main\n")
    private = ["-o", f"Dir::Etc::SourceList={home}/sources.list", "-o", f"Dir::Etc::SourceParts={home}/parts",
               "-o", f"Dir::State::Lists={home}/lists", "-o", "Dir::Cache::PkgCache=", "-o", "Dir::Cache::SrcPkgCache=",
               "-o", "APT::Sandbox::User="]
    call(["apt-get", "-q", *private, "-o", "APT::Update::Error-Mode=any", "update"], SECONDS)
    call(["apt-get", "-q", *private, "download", *(f"{p}/{codename}-backports" for p in packages)], SECONDS, cwd=home / "debs")


def fetch(home, packages):
    """With what they depend on and this machine has not."""
    call(["apt-get", "-q", "-y", "--no-install-recommends", "--reinstall", "--download-only", "-o", f"Dir::Cache::Archives={home}/debs",
          "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=", "install", *packages], SECONDS)


def unpacked(name, packages, fetcher):
    """The folder into which these packages are unpacked, once for this build/."""
    home = BUILD / "unpacked" / name
    root = home / "root"
    if root.is_dir():
        return root
    shutil.rmtree(home, ignore_errors=True)
    (home / "debs/partial").mkdir(parents=True)
    fetcher(home, packages)
    for deb in sorted((home / "debs").glob("*.deb")):
        call(["dpkg", "-x", str(deb), str(home / "new")], 300)
    (home / "new").rename(root)  # whole, or not there
    for folder in ("debs", "lists"):
        shutil.rmtree(home / folder, ignore_errors=True)
    return root


def qemu():
    """The QEMU of the backports and its version. Missing if it cannot be had, or lacks a library here."""
    root = unpacked("qemu", ("qemu-system-x86", "qemu-system-common", "qemu-system-data"), fetch_backports)
    run = root.parent / "qemu-system-x86_64"
    run.write_text(f'#!/bin/sh\nexec {root}/usr/bin/qemu-system-x86_64 -L {root}/usr/share/qemu "$@"\n')
    run.chmod(0o755)
    return run, call([str(run), "--version"]).split()[3]


def bochs():
    """The root of an unpacked Bochs."""
    return unpacked("bochs", ("bochs", "bochsbios", "vgabios", "bochs-term"), fetch)
