#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""Devices of an unmodified Linux: a NIC, an NVMe controller (MSI-X), a USB controller, a sound card (MSI alone) are seen where the configuration wants them,
their drivers bind, their interrupts count, the NIC has an option ROM; while pciback dies; after a reboot and another life they are as new. Another NIC is net0's all the time, for a
neighbour, whom it does no harm when the guest has its devices write and read all over the machine."""
import hashlib
import random
import re
import time

import pytest

from tests.lib.crash import crash, rows
from tests.lib.machine import CMDLINE, LOGS, Boot, check, make_iso
from tests.lib.wait import guest_says, until

BDF = {"e1000e": "00:06.0", "nvme": "00:07.0", "xhci_hcd": "00:08.0", "snd_hda_intel": "00:09.0"}
SEEN = {"e1000e": "01", "nvme": "07", "xhci_hcd": "02", "snd_hda_intel": "03"}  # slots
EDU = "00:0a.0", "00:0a.1"  # two functions of one slot, without a driver: they copy what they are told to
EDU_SEEN = "0000:00:04.0", "0000:00:04.1"
# The last four have no reset that anybody knows of.
PCI = "pci=['00:06.0', '00:07.0@7', '00:08.0,permissive=1', '00:09.0,permissive=1', '00:0a.*,permissive=1']"
FOREIGN = (384 << 20, 1 << 30, 3 << 29, 0x7FF00000, 0x7FFF0000, 1 << 32)  # no memory of the guest's; of the machine's all but the last
PATTERN = 0xB01DFACE
CREATE = f"create debian ramdisk='linux-service' memory=384 vcpus=2 vif=[] extra='console=hvc0 quiet bh.role=storage' {PCI}"


ROM = LOGS / "passthrough.rom"


def make_rom():
    """One image of 64 KiB (PCI 3.0, 6.3.1), for UEFI: SeaBIOS does not run it."""
    image = bytearray(random.Random(82574).randbytes(128 * 512))
    image[:3] = b"\x55\xaa\x80"
    image[0x18:0x1a] = b"\x1c\0"
    image[0x1c:0x34] = b"PCIR\x86\x80\xd3\x10\0\0\x18\0\0\0\0\2\x80\0\0\0\x03\x80\0\0"
    ROM.write_bytes(image)


@pytest.fixture(scope="module")
def boot():
    disk = LOGS / "passthrough.img"
    LOGS.mkdir(parents=True, exist_ok=True)
    make_rom()
    with open(disk, "wb") as f:
        f.write(b"bulkhead" * 512)
        f.truncate(8 << 20)
    hide = "(00:03.0)" + "".join(f"({x})" for x in (*BDF.values(), *EDU))
    iso = make_iso("passthrough", CMDLINE.replace("(00:03.0)(00:05.0)", hide))
    extra = ["-netdev", "user,id=p6", "-device", f"e1000e,netdev=p6,addr=6,romfile={ROM},mac=52:54:00:12:34:66",
             "-drive", f"if=none,id=x7,file={disk},format=raw", "-device", "nvme,drive=x7,serial=bh7,addr=7",
             "-device", "qemu-xhci,addr=8,id=xhci", "-device", "usb-kbd,bus=xhci.0",
             "-audiodev", "none,id=snd", "-device", "intel-hda,addr=9", "-device", "hda-output,audiodev=snd",
             "-device", "edu,addr=a.0,multifunction=on,dma_mask=0xffffffffffff", "-device", "edu,addr=a.1"]
    with Boot("passthrough", iso=iso, extra=extra) as b:
        yield b


def has_started(m):
    """The guest's shell; all drivers are bound."""
    m.console("debian", seconds=120)
    for driver, slot in SEEN.items():
        guest_says(m, f"readlink /sys/bus/pci/devices/0000:00:{slot}.0/driver || modprobe {driver.replace('xhci_hcd', 'xhci-pci')}", f"/{driver}$")


def counts(m):
    """Interrupts of the devices, by kind and name of /proc/interrupts; several have the same name."""
    out, _ = m.guest("grep xen-pirq /proc/interrupts")
    rows = [re.match(r"\s*\d+:\s+(\d+)\s+(\d+)\s+xen-pirq\s+-(msi(?:-x)?)\s*(.*)", x) for x in out.splitlines()]
    n = {}
    for r in filter(None, rows):
        key = (r.group(3), r.group(4).strip())
        n[key] = n.get(key, 0) + int(r.group(1)) + int(r.group(2))
    return n


def works(m):
    """Each of them does something, and interrupts by it."""
    before = counts(m)
    out, _ = m.guest("set -- /sys/bus/pci/devices/0000:00:01.0/net/*; i=${1##*/}; ip l set $i up; ip a replace 10.0.2.99/24 dev $i; "
                     "until grep -q 1 /sys/class/net/$i/carrier; do usleep 100000; done; ping -c 3 -W 5 -I $i 10.0.2.2")
    check(" 0% packet loss" in out, f"ping through the NIC: {out}")
    out, _ = m.guest("dd if=/dev/nvme0n1 bs=4k count=1 iflag=direct 2> /dev/null | head -c 16; echo")
    check("bulkheadbulkhead" in out, f"the disk: {out}")
    guest_says(m, "ls /sys/bus/usb/devices", r"^1-\d|\s\d-\d+(\s|$)")
    after = counts(m)
    for what in "eth", "nvme", "xhci":
        grown = sum(n - before.get(k, 0) for k, n in after.items() if what in k[1])
        check(sum(n for k, n in after.items() if what in k[1]) > 0, f"no interrupts of {what}: {after}")
        check(grown > 0 or what == "xhci", f"no interrupts of {what} since: {before} {after}")
    check(sum(n for k, n in after.items() if k[0] == "msi") > 0, f"no interrupts by MSI: {after}")


def has_rom(m):
    """The NIC's ROM is what the emulator has of it; nobody else has one."""
    out, _ = m.guest("cd /sys/bus/pci/devices; ls */rom; cd 0000:00:01.0; echo 1 > rom; md5sum < rom; echo 0 > rom; cd /")
    check(hashlib.md5(ROM.read_bytes()).hexdigest() in out and re.findall(r"\S+/rom", out) == ["0000:00:01.0/rom"], f"the ROM: {out}")


def owners(m):
    out = m.cmd("pci-assignable-list")
    return {bdf: re.search(rf"0000:{bdf}[^\n]*group \d+ +(\S+)", out).group(1) for bdf in (*BDF.values(), *EDU)}


def neighbour(m):
    """A guest that owns no device: what it has in memory, and its network."""
    m.console("neighbour", seconds=120)
    out, _ = m.guest("ping -c 3 -W 5 10.0.2.2; md5sum /tmp/much")
    m.leave()
    check(" 0% packet loss" in out, f"the neighbour's network: {out}")
    return re.search(r"[0-9a-f]{32}", out).group(0)


def blocked(m):
    return len(re.findall(r"IOMMU: blocked [^\n]*DMA of", m.cmd("dmesg")))


def goes_astray(m):
    """Root in the guest programs DMA beyond the guest's memory: a copy now and then, then a NIC's ring of it as fast as that goes."""
    # Page 0 is the guest's, and its Linux uses it for nothing: /dev/mem shows it. The device copies it to itself, and from there.
    m.guest("cd /sys/bus/pci/devices/0000:00:04.0; echo 1 > enable; printf '\\006' | dd of=config bs=1 seek=4 conv=notrunc; set -- $(head -1 resource); B=$1; "
            "dma() { for x in 80:$1 88:$2 90:256 98:$3; do devmem $((B + 0x${x%:*})) 64 ${x#*:}; done; "
            "while [ $(($(devmem $((B + 0x98)) 64) & 1)) = 1 ]; do usleep 20000; done; }; cd /")
    out, _ = m.guest(f"for o in 0 4 8; do devmem $((0x800 + o)) 32 {PATTERN:#x}; devmem $((0xc00 + o)) 32 0; done; "
                     "dma 0x800 0x40000 1; dma 0x40000 0xc00 3; devmem 0xc08 32")
    check(f"0x{PATTERN:X}" in out, f"DMA of the guest's own memory: {out}")
    m.leave()
    check(blocked(m) == 0, "a device went where it must not")
    m.console("debian")
    m.guest("; ".join(f"dma 0x40000 {a:#x} 3; dma {a:#x} 0x40000 1; dma 0x800 0x40000 1" for a in FOREIGN), 120)
    for a in FOREIGN[:-1]:
        there = m.monitor(f"xp/3xw {a:#x}")
        check(f"{PATTERN:#x}" not in there, f"it arrived: {there}")
    m.leave()
    some = blocked(m)
    check(some > 0, "the core reported no blocked DMA")
    m.console("debian")
    m.guest("cd /sys/bus/pci/devices/0000:00:01.0; echo 0000:00:01.0 > driver/unbind; echo 1 > enable; printf '\\006' | dd of=config bs=1 seek=4 conv=notrunc; "
            f"set -- $(head -1 resource); B=$1; for x in 3800:{FOREIGN[1]:#x} 3804:0 3808:65536 3810:0 400:2; do devmem $((B + 0x${{x%:*}})) 32 ${{x#*:}}; done; "
            "ring() { for t in $(seq 4095 -1 4092); do devmem $((B + 0x3818)) 32 $t; done; }; cd /")
    m.leave()
    most, began = some, time.monotonic()
    for _ in range(20):  # lines are 8 in 10 seconds, and the copies had some
        m.console("debian")
        m.guest("ring", 120)
        m.leave()
        most = blocked(m)
        if most > some:
            break
    seconds = time.monotonic() - began
    check(some < most <= some + 8 * (seconds / 10 + 2), f"{most - some} lines in {seconds:.0f} s about 16,000 descriptors and more")


def test_passthrough(m):
    m.cmd("destroy debian")
    out = m.cmd("create debian name=neighbour memory=128", 60)
    check("created" in out, out)
    out = m.cmd(CREATE, 60)
    check("created" in out, out)
    has_started(m)
    has_rom(m)
    works(m)
    # Whoever reads configuration space meanwhile waits, and reads the same.
    reads = "for d in /sys/bus/pci/devices/*/config; do head -c 64 $d; done | md5sum"
    want = re.search(r"[0-9a-f]{32}", m.guest(reads)[0]).group(0)
    m.guest(f"(for n in 1 2 3 4 5 6 7 8; do {reads}; done > /run/sums) &")
    check(m.guest("cat " + " ".join(f"/sys/bus/pci/devices/{x}/device" for x in EDU_SEEN))[0].split() == ["0x11e8"] * 2, "the functions of one slot")
    m.leave()
    m.console("neighbour", seconds=120)
    m.guest("dd if=/dev/urandom of=/tmp/much bs=1M count=16")
    m.leave()
    much = neighbour(m)
    crash(m, "pciback")
    m.console("debian")
    out = until(lambda: m.guest("wait; cat /run/sums")[0], lambda x: len(re.findall(r"[0-9a-f]{32}", x)) == 8, "reads of configuration space do not end")
    check(set(re.findall(r"[0-9a-f]{32}", out)) == {want}, f"other configuration space: {want} {out}")
    works(m)
    # The next life finds them as the first did.
    m.send("reboot -f\r")
    m.expect(r"debian: reboots, restarting", 60)
    m.expect(r"debian: started again as domain \d+", 60)
    m.prompt()
    has_started(m)
    has_rom(m)
    works(m)
    m.leave()
    check(set(owners(m).values()) == {"debian"}, str(owners(m)))
    m.console("debian")
    goes_astray(m)
    check(neighbour(m) == much, "the neighbour's memory is not what it was")
    check(rows(m)["net0"][1] == "0", f"net0 was restarted: {rows(m)}")
    m.cmd("destroy debian", 60)
    check(set(owners(m).values()) == {"nobody"}, str(owners(m)))
