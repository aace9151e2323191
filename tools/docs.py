#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make docs`: writes docs/hypercalls.md and docs/privileges.md from the core's own tables. `--check` only compares."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MULTIPLEXED = [("memory_op", "XENMEM_", "hv/abi/memory_op.c"), ("xen_version", "XENVER_", "hv/abi/xen_version.c"),
               ("grant_table_op", "GNTTABOP_", "hv/abi/grant_op.c"), ("vcpu_op", "VCPUOP_", "hv/abi/vcpu_op.c"),
               ("sched_op", "SCHEDOP_", "hv/abi/sched_op.c"), ("hvm_op", "HVMOP_", "hv/abi/hvm_op.c"),
               ("physdev_op", "PHYSDEVOP_", "hv/pci/pirq.c"), ("console_io", "CONSOLEIO_", "hv/abi/console_io.c")]


def text(path):
    return (ROOT / path).read_text()


def unique(items):
    return list(dict.fromkeys(items))


def hypercalls():
    out = ["# Hypercalls", "", "Made by `make docs` from the tables in `hv/`. Every other number or operation answers -ENOSYS.", "",
           "| hypercall | privilege of the whole call | operations |", "|---|---|---|"]
    ops = {name: [x[len(prefix):] for x in unique(re.findall(rf"case ({prefix}\w+)", text(path)))]
           for name, prefix, path in MULTIPLEXED}
    ops["event_channel_op"] = re.findall(r"\[EVTCHNOP_(\w+)\]", text("hv/abi/evtchn_op.c"))
    ops["set_timer_op"] = ["none: its argument is the time"]
    ops["control"] = ["see below"]
    ops["service"] = [x.lower() for x in re.findall(r"\[BH_SVC_(\w+)\]", text("hv/abi/service.c"))]
    for name, priv in re.findall(r'\[\w+\]\s*= \{ "(\w+)",\s*\w+,\s*PRIV_(\w+) \}', text("hv/abi/hypercall.c")):
        out.append(f"| {name} | {'open' if priv == 'NONE' else priv.lower()} | {', '.join(ops[name])} |")
    out += ["", "## control", "", "| operation | argument | privilege |", "|---|---|---|"]
    for name, size, priv in re.findall(r'\[BH_CTL_\w+\]\s*= \{ "(\w+)", ([^,]+), PRIV_(\w+),', text("hv/abi/control.c")):
        arg = re.sub(r"sizeof\((.*)\)", r"`\1`", size) if size != "0" else "none"
        out.append(f"| {name} | {arg} | {priv.lower()} |")
    return "\n".join(out) + "\n"


def privileges():
    rows = [x.split() for x in text("tests/unit/privileges.golden").splitlines() if x.strip()]
    roles = unique(r[0] for r in rows)
    table = {(r[0], r[1]): r[2] for r in rows}
    out = ["# Privileges", "", "Made by `make docs` from tests/unit/privileges.golden, which a test holds against `hv/abi/privilege.c`.",
           "", "| class | " + " | ".join(roles) + " |", "|---" * (len(roles) + 1) + "|"]
    for cls in unique(r[1] for r in rows):
        out.append(f"| {cls} | " + " | ".join("yes" if table[(role, cls)] == "yes" else "" for role in roles) + " |")
    return "\n".join(out) + "\n"


def main():
    stale = []
    for path, content in (("docs/hypercalls.md", hypercalls()), ("docs/privileges.md", privileges())):
        file = ROOT / path
        if "--check" not in sys.argv:
            file.write_text(content)
        elif not file.exists() or file.read_text() != content:
            stale.append(path)
    if stale:
        sys.exit(f"stale: {', '.join(stale)}: run make docs")


if __name__ == "__main__":
    main()
