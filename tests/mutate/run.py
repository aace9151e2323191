#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks one check at a time in a scratch copy of the tree and shows which test notices. README.md says what a file looks like.
Usage: run.py [NAME...]. Prints "ok mutate NAME" or "not ok mutate NAME (why)"; status 1 if any is not noticed.
run.py --texts only looks whether each text to be taken out still stands in its source (and, on small texts of its own, whether it finds
what it should): a moment's work, in `make unit`."""
import filecmp
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COPY = os.path.join(ROOT, "build", "mutate", "tree")
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", MAKEFLAGS="", MAKELEVEL="")


def parse(path):
    """The tests' names and a list of (file, old, new)."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    tests = re.search(r"^test: *(.+)$", text, re.M)
    blocks = re.findall(r"^file: *(\S+)\n(?:test:[^\n]*\n)?--- old\n(.*?)^--- new\n(.*?)(?=^file: |\Z)", text, re.M | re.S)
    if not tests or not blocks:
        raise ValueError("no test: line or no file: block")
    return tests.group(1).split(), blocks


def places(text, old):
    """Where `old` stands in `text`, as (begin, end): its tokens one after the other. How lines are broken and aligned does not count."""
    tokens = re.findall(r"\w+|[^\w\s]", old)
    pattern = r"\b" if re.match(r"\w", tokens[0]) else ""
    for i, token in enumerate(tokens):
        words = i and re.match(r"\w", tokens[i - 1]) and re.match(r"\w", token)
        pattern += (r"\s+" if words else r"\s*" if i else "") + re.escape(token)
    pattern += r"\b" if re.match(r"\w", tokens[-1]) else ""
    return [m.span() for m in re.finditer(pattern, text)]


TRIES = [  # text, old text, how often it is there
    ("    return a && b;\n", "    return a && b;\n", 1),
    ("    return a &&\n           b;\n", "return a && b;", 1),
    ("int f(int a) { return a; }", "int f(int a)\n{\n    return a;\n}\n", 1),
    ("    [OP_X]   = {  1, x },", "    [OP_X] = { 1, x },", 1),
    ("    x = 1;\n    if (y)\n        x = 1;\n", "    x = 1;", 2),
    ("    x = 1;\n    if (y)\n        x = 1;\n", "if (y)\n x = 1;", 1),
    ("    max = 1;\n", "x = 1;", 0),
    ("    x = 10;\n", "x = 1", 0),
    ("    return ab;\n", "return a b;", 0),
    ("    returnx;\n", "return x;", 0),
    ("    f(\"a.b\");\n", "f(\"a+b\");", 0),
]


def copy_tree():
    """Tracked files (as they are now, committed or not), and new ones that git does not ignore. Files that did not change keep their time."""
    names = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True).stdout
    os.makedirs(COPY, exist_ok=True)
    for name in filter(None, names.decode().split("\0")):
        src, dst = os.path.join(ROOT, name), os.path.join(COPY, name)
        if not os.path.isfile(src):
            continue
        os.makedirs(os.path.dirname(dst), exist_ok=True)
        if not os.path.exists(dst) or not filecmp.cmp(src, dst, shallow=False):
            shutil.copyfile(src, dst) # with the time of now: what was built from the file before is old
            shutil.copymode(src, dst)


def build(test):
    """"" or what the compiler said."""
    r = subprocess.run(["make", "-s", f"-j{os.cpu_count()}", f"build/{test}"], cwd=COPY, env=ENV, capture_output=True, text=True)
    return "" if r.returncode == 0 else (r.stderr or r.stdout)[-2000:]


def passes(test):
    try:
        return subprocess.run([f"build/{test}"], cwd=COPY, env=ENV, capture_output=True, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def change(blocks):
    """Puts the new texts in; returns what undoes it."""
    before = {}
    for name, old, new in blocks:
        path = os.path.join(COPY, name)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        before.setdefault(path, text)
        found = places(text, old)
        if len(found) != 1:
            raise ValueError(f"the old text stands {len(found)} times in {name}")
        begin, end = found[0]
        with open(path, "w", encoding="utf-8") as f:
            f.write(text[:begin] + new.strip() + text[end:])
    return before


def undo(before):
    for path, text in before.items():
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def run(name, good):
    tests, blocks = parse(os.path.join(HERE, name + ".mut"))
    for test in tests:
        if test not in good:
            said = build(test)
            good[test] = not said and passes(test)
        if not good[test]:
            return f"{test} does not pass before"
    before = {}
    try:
        before = change(blocks)
        noticed = []
        for test in tests:
            said = build(test)
            if said:
                return f"{test} does not build with it: {said}"
            if not passes(test):
                noticed.append(test)
        if noticed:
            print(f"ok mutate {name} ({' '.join(noticed)} failed)")
            return None
        return "nobody noticed"
    except ValueError as e:
        return str(e)
    finally:
        undo(before)


def texts(names):
    """How many texts do not stand once in their sources, and of the small ones are not found as often as they should."""
    bad = 0
    for text, old, want in TRIES:
        if len(places(text, old)) != want:
            bad += 1
            print(f"not ok mutate try ({old!r} was found {len(places(text, old))} times in {text!r}, not {want})")
    for name in names:
        for path, old, _ in parse(os.path.join(HERE, name + ".mut"))[1]:
            try:
                with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                    n = len(places(f.read(), old))
            except FileNotFoundError:
                n = 0
            if n != 1:
                bad += 1
                print(f"not ok mutate {name} (the old text stands {n} times in {path})")
    return bad


def main():
    if sys.argv[1:] == ["--texts"]:
        return 1 if texts(sorted(n[:-4] for n in os.listdir(HERE) if n.endswith(".mut"))) else 0
    names = [n.removesuffix(".mut") for n in sys.argv[1:]] or sorted(n[:-4] for n in os.listdir(HERE) if n.endswith(".mut"))
    copy_tree()
    good, bad = {}, 0
    for name in names:
        why = run(name, good)
        if why:
            bad += 1
            print(f"not ok mutate {name} ({why})")
        sys.stdout.flush()
    print(f"mutate: {len(names) - bad} passed, {bad} failed")
    return 1 if bad else 0


sys.exit(main())
