#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make check-layers: which file uses which, by nm of the objects, against tests/layers.txt (its head says what the rules are).
An edge goes from the file that uses a symbol to the one that defines it; what a file includes is looked at beside that. Prints "ok NAME" and "not ok NAME: why" lines; the last
line is "check-layers: N passed, N failed". Before the tree itself it looks at small ones of its own, each with one fault in it.
Usage: layers.py [--edges UNIT]     (--edges: prints every edge of the unit with its symbols instead)"""
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

RULES = "tests/layers.txt"


class Unit:
    """What is linked together: the objects below `root` of the sources in these folders."""

    def __init__(self, name, root, *folders):
        self.name, self.root, self.folders = name, root, folders
        self.circle, self.most_known, self.floors, self.known = None, 0, [], []
        self.headers, self.open = None, []

    def floor_of(self, name):
        """0 is the roof. The longest place that the name begins with decides; None: no floor has it."""
        places = [(len(place), i) for i, (_, where) in enumerate(self.floors) for place in where
                  if name == place or name.startswith(place + "/")]
        return max(places)[1] if places else None

    def edges(self):
        """{user: {definer: {symbols}}}, with every file that has an object among the users; and the sources that have none."""
        sources = sorted(s for folder in self.folders for s in glob.glob(f"{folder}/*.[cS]", recursive=True))
        sources = [s if os.path.exists(f"{self.root}/{s}.o") else os.path.splitext(s)[0] for s in sources]  # head.S.o
        files = [s for s in sources if os.path.exists(f"{self.root}/{s}.o")]
        defined, used = {}, {}
        said = subprocess.run(["nm", "-A", "-P", *(f"{self.root}/{f}.o" for f in files)], capture_output=True, text=True, check=True)
        for line in said.stdout.splitlines():
            obj, symbol, kind = line.rsplit(": ", 1)[0], *line.rsplit(": ", 1)[1].split()[:2]
            name = obj[len(self.root) + 1:-2]
            if kind in "Uvw":
                used.setdefault(name, set()).add(symbol)
            elif kind.isupper():
                defined[symbol] = name
        graph = {f: collections.defaultdict(set) for f in files}
        for user, symbols in used.items():
            for symbol in symbols:
                if defined.get(symbol, user) != user:
                    graph[user][defined[symbol]].add(symbol)
        return graph, [s for s in sources if s not in files]

    def includes(self):
        """Which includes a header of a floor above (open ones may be), and which open header has a function that somebody defines."""
        files = [f for folder in self.folders for f in glob.glob(f"{folder}/*.[chS]", recursive=True)]
        for f in sorted(files):
            for name in re.findall(r'^\s*#\s*include "(.*)"', text_of(f), re.M):
                path = os.path.normpath(f"{self.headers}/{name}")
                user, used = (self.floor_of(os.path.splitext(x)[0]) for x in (f, path))
                if path in files and path not in self.open and used < user:
                    yield f"\n  {f} ({self.floors[user][0]}) includes {path} ({self.floors[used][0]})"
        for f in self.open:
            code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text_of(f), flags=re.S)
            for declared in re.findall(r"^(?!static|_Static_assert|#|\s).*\w\([^{}]*?\)[^{}]*?;", code, re.M):
                yield f"\n  {f} declares {declared}"


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def circles(graph):
    """The sets of files that use each other in the round, the largest first (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def go(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                go(w)
            if w in stack:
                low[v] = min(low[v], low[w])
        if low[v] == index[v]:
            cut = stack.index(v)
            found.append(stack[cut:])
            del stack[cut:]
    for v in graph:
        if v not in index:
            go(v)
    return sorted((c for c in found if len(c) > 1), key=len, reverse=True)


def read_rules(path):
    units = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            word, *rest = line.split("#")[0].split() or [""]
            if word == "unit":
                units.append(Unit(*rest))
            elif word == "floor":
                units[-1].floors.append((rest[0], rest[1:]))
            elif word == "headers":
                units[-1].headers = rest[0]
            elif word == "open":
                units[-1].open += rest
            elif word == "circle":
                units[-1].circle = int(rest[0])
            elif word == "known":
                units[-1].most_known = int(rest[0])
            elif rest[:1] == ["->"]:
                units[-1].known.append((word, rest[1]))
            elif word:
                sys.exit(f"{path}: what is '{line.strip()}'?")
    return units


def faults_of(unit):
    """[(check, why it fails or None)]"""
    graph, unbuilt = unit.edges()
    homeless = [f for f in graph if unit.floors and unit.floor_of(f) is None]
    empty = [p for _, where in unit.floors for p in where if not any(f == p or f.startswith(p + "/") for f in graph)]
    if unbuilt or homeless or empty or not graph:
        return [("files", f"not built: {' '.join(unbuilt)}; on no floor: {' '.join(homeless)}; with nothing in them: {' '.join(empty)}; "
                 f"{len(graph)} objects")]
    up = {(a, b): graph[a][b] for a in graph for b in graph[a] if unit.floors and unit.floor_of(b) < unit.floor_of(a)}
    name = [floor for floor, _ in unit.floors]
    new = [f"\n  {a} ({name[unit.floor_of(a)]}) -> {b} ({name[unit.floor_of(b)]}): {' '.join(sorted(up[a, b]))}"
           for a, b in sorted(up) if (a, b) not in unit.known]
    gone = [f"\n  {a} -> {b}" for a, b in unit.known if (a, b) not in up]
    round_ = circles(graph)
    largest = len(round_[0]) if round_ else 0
    checks = [("circle", largest > unit.circle and f"{largest} files use each other in the round, {unit.circle} at most:\n  "
               + " ".join(sorted(round_[0])) or largest < unit.circle and f"is {largest} now, not {unit.circle}: write that down")]
    if unit.headers:
        wrong = "".join(unit.includes())
        checks += [("includes", wrong and "looks up:" + wrong)]
    if unit.floors:
        checks += [("upward", new and "calls up:" + "".join(new)),
                   ("known", gone and "is gone, take it out of the list:" + "".join(gone)
                    or len(unit.known) != unit.most_known and f"{len(unit.known)} are listed, the count says {unit.most_known}")]
    return checks


TRY = {  # the sources of a tree of two floors, and a pair of files of the same floor
    "t/top/a.c": "int low(void); int side(void); int a(void) { return low() + side(); }",
    "t/top/b.c": "int side(void) { return 1; }",
    "t/base/low.c": "int low(void) { return 2; }",
}
LOOKS_UP = {"t/top/a.h": "struct a { int a; };", "t/base/low.c": '#include "top/a.h"\nint low(void) { return 2; }'}
TRY_RULES = "unit try b t/**\nfloor top t/top\nfloor base t/base\n"
UP = {"t/base/low.c": "int side(void); int low(void) { return side(); }"}
ROUND = {"t/top/b.c": "int a(void); int side(void) { return a(); }"}
POINTER = {"t/base/low.c": "int side(void); int (*f)(void) = side; int low(void) { return 2; }"}
TRIES = [  # name, what of the tree is otherwise, rules, the checks that must fail
    ("sound", {}, "circle 0\nknown 0", []),
    ("call up", UP, "circle 0\nknown 0", ["upward"]),
    ("pointer up", POINTER, "circle 0\nknown 0", ["upward"]),
    ("known call up", UP, "circle 0\nknown 1\nt/base/low -> t/top/b", []),
    ("known call up of another file", UP, "circle 0\nknown 1\nt/base/low -> t/top/a", ["upward", "known"]),
    ("known call up that is gone", {}, "circle 0\nknown 1\nt/base/low -> t/top/b", ["known"]),
    ("one more known than counted", UP, "circle 0\nknown 0\nt/base/low -> t/top/b", ["known"]),
    ("circle", ROUND, "circle 0\nknown 0", ["circle"]),
    ("circle allowed", ROUND, "circle 2\nknown 0", []),
    ("circle smaller than written", {}, "circle 2\nknown 0", ["circle"]),
    ("include up", LOOKS_UP, "circle 0\nknown 0\nheaders t", ["includes"]),
    ("include up of an open header", LOOKS_UP, "circle 0\nknown 0\nheaders t\nopen t/top/a.h", []),
    ("open header with a function", {**LOOKS_UP, "t/top/a.h": "int b(int x,\n      int y);"}, "circle 0\nknown 0\nheaders t\nopen t/top/a.h",
     ["includes"]),
    ("include down", {"t/base/low.h": "int low(void);", "t/top/b.c": '#include "base/low.h"\nint side(void) { return low(); }'},
     "circle 0\nknown 0\nheaders t", []),
    ("file on no floor", {"t/c.c": "int c;"}, "circle 0\nknown 0", ["files"]),
    ("floor of no file", {}, "floor deep t/deep\ncircle 0\nknown 0", ["files"]),
]


def try_one(other, rules):
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for src, text in {**TRY, **other}.items():
                os.makedirs(os.path.dirname(src), exist_ok=True)
                os.makedirs("b/" + os.path.dirname(src), exist_ok=True)
                with open(src, "w", encoding="utf-8") as f:
                    f.write(text)
            for src in (s for s in {**TRY, **other} if s.endswith(".c")):
                subprocess.run(["gcc", "-c", "-O1", "-It", "-o", f"b/{src[:-2]}.o", src], check=True)
            with open("rules", "w", encoding="utf-8") as f:
                f.write(TRY_RULES + rules)
            return [check for check, why in faults_of(read_rules("rules")[0]) if why]
        finally:
            os.chdir(here)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)) + "/..")
    units = read_rules(RULES)
    if sys.argv[1:2] == ["--edges"]:
        graph, _ = next(u for u in units if u.name == sys.argv[2]).edges()
        print("\n".join(f"{a} -> {b}: {' '.join(sorted(graph[a][b]))}" for a in sorted(graph) for b in sorted(graph[a])))
        return 0
    done = []
    for name, other, rules, want in TRIES:
        got = try_one(other, rules)
        done.append(("try: " + name, got != want and f"{got} failed, not {want}"))
    for unit in units:
        done += [(f"{unit.name}: {check}", why) for check, why in faults_of(unit)]
    for name, why in done:
        name = re.sub(r"\W+", "_", name)
        print(f"not ok layers_{name}: {why}" if why else f"ok layers_{name}")
    bad = sum(bool(why) for _, why in done)
    print(f"check-layers: {len(done) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
