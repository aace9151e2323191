#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make check-unused: global symbols that only their own file uses (make them static) or nobody (delete them), by nm of the objects.
Used is what another object that is linked with it asks for, a packaged library, a linker script, or any source below tests/.
A source that is built into several programs is judged by all of them. Prints "not ok FILE: SYMBOL" for each; exits 1 if there is one.
Usage: unused.py"""
import collections
import glob
import os
import re
import subprocess
import sys

CORE, LIBRARY, LWIP = "build", "build/dom/libbh", "build/dom/lwip"
ARCHIVES = "fdt", "z", "uuid", "crypto"
ANY_REGISTER = re.compile("__x86_indirect_thunk_|__x86_return_thunk")  # which of them there are calls of is the compiler's choice


def source_of(root, obj):
    name = obj[len(root) + 1:-2]
    return next((s for s in (name, name + ".c", name + ".S") if os.path.isfile(s)), None)  # an object may be left of what is gone


def objects(root):
    below = [f"{root}/hv", f"{root}/common"] if root == CORE else [root]
    return {o: s for b in below for o in glob.glob(f"{b}/**/*.o", recursive=True) if (s := source_of(root, o))}


def symbols(files):
    """{file: (defined, asked for)}"""
    found = collections.defaultdict(lambda: (set(), set()))
    said = subprocess.run(["nm", "-A", "-P", *files], capture_output=True, text=True, check=True)
    for line in said.stdout.splitlines():
        where, rest = line.rsplit(": ", 1)
        name, kind = rest.split()[:2]
        if kind in "Uvw":
            found[where][1].add(name)
        elif kind.isupper():
            found[where][0].add(name)
    return found


def words(*patterns):
    found = set()
    for path in (p for pattern in patterns for p in glob.glob(pattern, recursive=True)):
        with open(path, encoding="utf-8", errors="replace") as f:
            found.update(re.findall(r"\w+", f.read()))
    return found


def archives():
    where = [subprocess.run(["gcc", f"-print-file-name=lib{a}.a"], capture_output=True, text=True, check=True).stdout.strip() for a in ARCHIVES]
    return set().union(*(asked for _, asked in symbols(where).values()))


def main():
    worlds = {root: objects(root) for root in [CORE, *glob.glob("build/dom/*")]}
    tables = {root: symbols(files) for root, files in worlds.items() if files}
    if CORE not in tables or LIBRARY not in tables:
        sys.exit("unused.py: nothing is built (make components)")
    asked = {root: collections.Counter(s for _, a in table.values() for s in a) for root, table in tables.items()}
    others = words("tests/**/*.[chS]", "tests/**/*.py", "hv/*.lds", "domains/*.lds") | archives()
    domains = [r for r in tables if r not in (CORE, LIBRARY, LWIP)]
    linked = list(set(tables) - {CORE})
    users = {CORE: [CORE], LIBRARY: linked, LWIP: linked, **{r: [r, LIBRARY] for r in domains}}
    used, defined = set(), set()
    for root, table in tables.items():
        for obj, (has, _) in table.items():
            for symbol in has if not worlds[root][obj].startswith("build/") else ():  # those of a packaged source are not ours
                defined.add((worlds[root][obj], symbol))
                if symbol in others or ANY_REGISTER.match(symbol) or any(asked[u][symbol] for u in users[root]):
                    used.add((worlds[root][obj], symbol))
    for source, symbol in sorted(defined - used):
        print(f"not ok {source}: {symbol}")
    print(f"{len(used)} symbols are used")
    print(f"check-unused: {0 if defined - used else 1} passed, {len(defined - used)} failed")
    sys.exit(bool(defined - used))


main()
