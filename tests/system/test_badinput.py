#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Bad input: each gets one clear line that names the thing, nothing half-built stays behind, the prompt comes back."""
import re

from tests.lib.machine import BUILD, CMDLINE, CPU, LOGS, Machine, check, make_iso
from tests.lib.unpacked import Missing
from tests.lib.xl import held, manual


def help_and_table(text):
    """docs/xl.md and the shell agree about what xl has."""
    ours = {line.split()[0]: "works" for line in text.splitlines() if re.match(r"  \S", line)}
    check({"help", "create"} <= ours.keys() and "\nDevices:" in text.replace("\r", ""), f"help: {text}")
    try:
        held("commands", manual()["commands"], ours)
    except Missing as e:
        print(f"skipped bad-shell-xl: Xen's manual pages: {e}", flush=True)


def test_bad_shell():
    with Machine("bad-shell") as m:
        m.boot()
        help_and_table(m.cmd("help"))
        names = m.cmd("list")
        said = m.cmd("create debian 'name=\"warm\"; memory=96' vif=['bridge=net0,model=e1000']")  # tables and pools grow once
        check(re.search(r"vif: passed over, it does nothing here: model\r?\n[^\n]*warm: created", said), f"create answered {said!r}")
        m.cmd("destroy warm")
        before = m.free_mib()
        for line, pattern in [
                ("create debian", r"debian.*(already|exists)"),
                ("create debian name=u1 vif=[] colour=red", r"colour"),
                ("create debian 'vif=[]; memory=lots' name=u2 on_crash=maybe", r"memory: 'lots' is no number[\s\S]*on_crash: unknown value 'maybe'"),
                ("create debian name=u2 vif=[] memory=99999", r"memory|MiB"),
                ("create debian name=u2 vif=[] memory=16", r"u2: memory: kernel.* needs \d+ MiB, 16 are given"),
                ("create debian name=u3 vif=[] kernel=debian-ramdisk", r"debian-ramdisk.*(PVH|ELF)"),
                ("create debian name=u4 vif=[] pci=['00:03.0']", r"00:03\.0.*net0"),
                ("create debian name=u5 vif=[] pci=['00:04.0']", r"00:04\.0.*hid"),
                ("create debian name=u6 vif=[] pci=['07:1f.5']", r"07:1f\.5"),
                ("create debian name=u7 vif=[] vcpus=0", r"vcpus"),
                ("create debian name=u8 vif=['bridge=nobody']", r"nobody"),
                ("create debian name=u9", r"u9: vif 0: debian has the address 00:16:3e:00:00:01 already, chosen for its vif 0 on net0"),
                ("create debian name=u9 vif=['mac=00:16:3E:00:00:01']", r"u9: vif 0: debian has the address"),
                ("create debian name=u9 vif=['mac=00:16:3e:00:00:09','mac=00:16:3e:00:00:09,bridge=net0']", r"vif 0 and vif 1"),
                ("create debian name=u9 vif=['mac=00:00:00:00:00:00']", r"no station's address"),
                ("create nosuch", r"nosuch"),
                ("create /etc/xen/web.cfg", r"/etc/xen/web.cfg: there are no files here, configurations come from the boot bundle"),
                ("destroy nosuch", r"nosuch"),
                ("console nosuch", r"nosuch"),
                ("restart debian", r"debian.*restart"),
                ("crash nosuch", r"nosuch"),
                ("pause", r"pause"),
                ("pause store", r"store.*needs"),
                ("frobnicate", r"frobnicate"),
                ("x" * 3000, r"x{20}"),
                ("create debian name='", r"quote|'"),
        ]:
            out = m.cmd(line)
            said = [x for x in out.split("\n") if x.strip()]
            check(said and re.search(pattern, out), f"{line[:60]!r} answered {out!r}")
            check(len(said) <= 3, f"{line[:60]!r} answered {len(said)} lines: {out!r}")
        m.send(("y" * 2900 + "\r") * 8)  # typed ahead of a shell that cannot keep up: nothing is lost
        for _ in range(8):
            m.expect(r"y{20}[^\n]*: unknown command", 30)
            m.prompt()
        check(names.split() and re.sub(r"[\d.]+\s*\n|[rb]-|-[rb]", "", m.cmd("list")).count("\n")
              == re.sub(r"[\d.]+\s*\n|[rb]-|-[rb]", "", names).count("\n"), "a half-built domain stayed in list")
        check(m.memory_is_back(before), f"free memory went from {before} to {m.free_mib()} MiB")


def boot_line(name, pattern, prompt=False, **kw):
    iso_kw = {k: kw.pop(k) for k in ("cmdline", "control", "bundle") if k in kw}
    iso = make_iso(name, **iso_kw) if iso_kw else None
    with Machine(name, iso=iso, **kw) as m:
        m.expect(pattern, 120)
        if prompt:
            m.prompt(120)


def test_bad_no_module():
    boot_line("bad-nomodule", r"no control domain", control="none", bundle="none")


def test_bad_no_bundle():
    boot_line("bad-nobundle", r"bundle", prompt=True, bundle="none")


def broken_bundle(name, change, pattern):
    data = bytearray((BUILD / "bundle.itb").read_bytes())
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{name}.itb"
    path.write_bytes(change(data))
    boot_line(name, pattern, prompt=True, bundle=path)


def flip(data):
    data[len(data) // 2] ^= 0x20
    return data


def test_bad_bundle_truncated():
    broken_bundle("bad-truncated", lambda d: d[:len(d) // 3], r"bundle")


def test_bad_bundle_corrupt():
    broken_bundle("bad-corrupt", flip, r"hash mismatch")


def test_bad_hide_garbage():
    """With the lines of people who come from Xen or Linux, each of which once left the machine mute: the shell stays on com1."""
    mute = "root=/dev/sdb2 ro console=none console=vga console=tty0 console=ttyS0,115200n8 console=hvc0 com2=115200,8n1,0x2f8,3 console=com2"
    iso = make_iso("bad-hide", cmdline=f"{mute} com1=115200,8n1,0x3f8,4 noreboot iommu=required mem=1G badpage=0x20000-0x20fff sync_console xen_pciback.hide=(00:03.0)(zz:03.0)(00:1e.7)(41:00.*)(40:00.0)")
    # A second root bus (64) with a root port and an NVMe behind it: only the MCFG leads there.
    other = ["-device", "pxb-pcie,id=px,bus=pcie.0,bus_nr=64", "-device", "pcie-root-port,id=rp,bus=px,addr=0,chassis=1,slot=1",
             "-drive", "if=none,id=none,format=raw,file=null-co://,file.size=64M", "-device", "nvme,drive=none,serial=none,bus=rp,addr=0"]
    with Machine("bad-hide", iso=iso, extra=other) as m:
        m.expect(r"'console=none'[^\n]*log and shell stay on com1", 120)
        m.expect(r"pciback\.hide=\(zz:03\.0\)': not", 120)
        m.expect(r"'root ro': for a Linux kernel", 120)  # a first word with a slash in its value is no file's name
        m.prompt(120)
        check("net0" in m.cmd("list"), "the shell does not answer")
        check(re.search(r"0000:41:00\.0 .*class 010802", m.cmd("pci-assignable-list")), "the NVMe of the other root bus is not hidden")
        mib = int(re.search(r"total_memory +: (\d+)", m.cmd("info")).group(1))
        check(900 < mib <= 1024 - 16, f"{mib} MiB of memory by mem=1G and 16 MiB of bad pages")
        said = m.cmd("create debian name=u1 vif=[] pci=['40:00.0']")
        check(re.search(r"40:00\.0 is a bridge", said), f"the root port: {said!r}")


def test_bad_no_svm():
    boot_line("bad-nosvm", r"SVM", cpu=f"{CPU},-svm")


def test_bad_no_npt():
    boot_line("bad-nonpt", r"nested paging", cpu=f"{CPU},-npt")


def test_bad_no_iommu():
    """No unit at all: everything runs but what needs one, and that says why."""
    with Machine("bad-noiommu", iommu=False) as m:
        m.expect(r"IOMMU: none that can be used: no device can be assigned", 120)
        m.expect(r"net0[^\n]*IOMMU", 120)
        m.prompt(120)
        check("debian" in m.cmd("list"), "the guest did not start without the NIC")


def test_bad_iommu_required():
    """One that the core cannot use, and a command line that wants one: nothing starts. It says so of Intel's."""
    with Machine("bad-required", iso=make_iso("bad-required", cmdline=f"{CMDLINE} iommu=required"), iommu="intel-iommu") as m:
        m.expect(r"VT-d\) is not supported yet", 120)
        m.expect(r"iommu=required: there is no IOMMU that can be used", 120)
