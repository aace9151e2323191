#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the make rules of the native programs: tests/unit/test_*.c, tests/attacks/*/*.c and the
probes of tests/cases. The first lines of each may say
    // LINK: hv/mem/frame.c ...     sources of the tree linked into it; a harness among them (tests/unit/core_harness.c) says by such lines of its
                                    own what it stands on, and that is linked too; with a minus before it, one of these is left out
    // FLAGS: -Isomewhere -DX=1 ... more flags (put before the usual include paths)
A source that several programs link with the same flags is compiled once. Usage: native.py > build/native.mk"""
import glob
import hashlib
import os
import shlex

BASE = ("-std=gnu11 -g1 -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -DUNIT_TEST '-DBH_VERSION=\"test\"'")
INC = "-Itests/unit/shim -Itests/unit -Ihv -Ihv/abi/public -I. -D__XEN_INTERFACE_VERSION__=0x00040e00"
STRLCPY = ("-include string.h -D'strlcpy(d,s,n)=demo_strlcpy(d,s,n)' -include tests/attacks/service/strlcpy.h")
SHIM = "tests/unit/shim/shim.c"
MAIN = {"unit": ["tests/unit/unit.c"]}
GROUPS = (  # programs, where they go, what comes before FLAGS, what after it for the program alone, warnings of the program
    ("tests/unit/test_*.c", "unit", "", "", "$(UNIT_WARN)"),
    ("tests/attacks/core/*.c", "attacks", "", "-Itests/attacks/core", "-w"),
    ("tests/attacks/service/*.c", "attacks", STRLCPY, "-Itests/attacks/service -I.", "-w"),
    ("tests/cases/probe/*.c", "cases", "", "", "$(UNIT_WARN)"),
)


def header(path, word):
    if path.startswith("build/"):  # somebody else's, and not there before it is asked for
        return []
    with open(path, encoding="utf-8") as f:
        lines = [line.rstrip("\n") for _, line in zip(range(12), f)]
    return " ".join(line[len(word):] for line in lines if line.startswith(word)).split()


def flags_of(path):
    return " ".join(shlex.quote(w) for w in header(path, "// FLAGS:"))


def unpacked(flags):
    """What has to be there before its headers are."""
    return "| $(B)/lwip/.done" if "build/lwip/" in flags else ""


def linked(path):
    """What it links, in order. A source that says what it links itself brings that along; !FILE takes one out again."""
    found = {}
    for part in header(path, "// LINK:"):
        if part.startswith("!"):
            found.pop(part[1:])
        else:
            found.update(dict.fromkeys([part, *linked(part)]))
    return list(found)


def rule(out, src, flags, deps=""):
    print(f"{out}: {src} {deps}\n\t@mkdir -p $(@D)\n\t@echo \"CC(native) $<\"\n\t@$(CC) {flags} -MMD -MP -c -o $@ $<\n")


def main():
    objects = {}
    programs = {"unit": [], "attacks": [], "cases": []}
    for pattern, kind, before, own, warn in GROUPS:
        for src in sorted(set(glob.glob(pattern)) - set(glob.glob("tests/attacks/*/*_world.c"))):  # these are harnesses
            flags = " ".join((BASE, before, flags_of(src), INC))
            where = "$(B)/native/" + hashlib.sha1(flags.encode()).hexdigest()[:8]
            link = []
            for part in linked(src) + [SHIM, *MAIN.get(kind, [])]:
                obj = f"{where}/{part[:-2]}.o"
                objects[obj] = (part, flags)
                link.append(obj)
            name = os.path.basename(src)[:-2]
            main_obj = f"$(B)/native/{kind}/{name}.o"
            rule(main_obj, src, f"{BASE} {warn} {before} {flags_of(src)} {own} {INC}", unpacked(flags))
            out = f"$(B)/{kind}/{name}"
            print(f"{out}: {main_obj} {' '.join(link)}\n\t@mkdir -p $(@D)\n\t@echo \"LD(native) $@\"\n"
                  f"\t@$(CC) {BASE} {flags_of(src)} -o $@ $^ {flags_of(src)} -lcmocka -pthread\n")
            programs[kind].append(out)
    for obj, (part, flags) in sorted(objects.items()):
        rule(obj, part, f"{flags} $(UNIT_WARN)", unpacked(flags))
    print("UNIT_BIN :=", " ".join(programs["unit"]))
    print("ATTACK_BIN :=", " ".join(programs["attacks"]))
    print("CASE_BIN :=", " ".join(programs["cases"]))


if __name__ == "__main__":
    main()
