#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make check-references: what comments and documents name must be in the tree: links of Markdown, paths, names of files, and numbered
sections of documents ("docs/linux-pvh.md 7"). Looks at Markdown outside of code blocks, and at comments of everything else.
A name may be a path from the top or from the folder of who names it, or the end of one path of the tree. Names of other people's
files are not ours to check: those in <angle brackets>, after a scheme or an absolute path, and those in FOREIGN.
Prints "not ok references FILE:LINE: why" lines; the last line is "check-references: N passed, N failed" (1 if no reference failed). Before the tree itself it
looks at small texts of its own."""
import io
import os
import re
import subprocess
import sys
import tokenize

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = r"(?:c|h|S|py|sh|md|mk|txt|golden|mut|cfg|lds|def|inc|yml|in|map)"
NAME = re.compile(r"(?<![\w./<~$*@{-])((?:\.\./)*\w[\w-]*(?:/[\w.*{},-]*[\w*}])*(?:/|\.%s)?)(?![\w/*-])" % KINDS)
FILE = re.compile(r"\.%s$" % KINDS)
SECTION = re.compile(r"([\w/-]+\.md)(?:,? section)? (\d+)(?:\.\d+)?\b")
OTHER = re.compile(r"build/|.*(?<![A-Za-z])(NAME|FILE|WHAT)(?![A-Za-z])")
FOREIGN = {"drivers-dom/clock/main.c", "hw/remote/mpqemu-link.h", "pci.txt", "vif.txt", "blkif.h", "cmocka.h", "grub.cfg", "netif.h", "pvclock.h", "qemu-plugin.h", "stdarg.h", "xenstore-ring.txt", "xenstore.txt", "xl.cfg", "xs_wire.h"}


def comments(name, text):
    """[(line, text)] of what people read."""
    if name.endswith(".md"):
        kept, code = [], False
        for i, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith("```"):
                code = not code
            elif not code and not line.startswith("    "):
                kept.append((i, line))
        return kept
    if re.search(r"\.(c|h|S|def|inc|lds)$", name):
        found = re.finditer(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', text, re.S)
        return [(text.count("\n", 0, m.start()) + 1 + k, line) for m in found if m.group()[0] == "/"
                for k, line in enumerate(m.group().splitlines())]
    if name.endswith(".py"):
        kept = []
        for t in tokenize.generate_tokens(io.StringIO(text).readline):
            if t.type == tokenize.COMMENT or t.type == tokenize.STRING and t.string.startswith('"""'):
                kept += [(t.start[0] + k, line) for k, line in enumerate(t.string.splitlines())]
        return kept
    return [(i, m.group()) for i, line in enumerate(text.splitlines(), 1) if (m := re.search(r"(?:^|\s)#.*", line))]


class Tree:
    def __init__(self, files, read):
        self.files, self.read = set(files), read
        self.folders = {f[:i] for f in files for i, c in enumerate(f) if c == "/"}
        self.top = {f.split("/")[0] for f in self.folders}
        self.stems = [m.group(1) for f in files if (m := re.match(r"docs/(\w+-[\w-]+)\.md$", f))]
        self.ends = {}
        for f in files:
            for i in [-1] + [i for i, c in enumerate(f) if c == "/"]:
                self.ends.setdefault(f[i + 1:], []).append(f)

    def find(self, name, where):
        """The files of that name."""
        for path in (name, os.path.normpath(os.path.join(os.path.dirname(where), name))):
            if path in self.files:
                return [path]
        return self.ends.get(name, [])

    def has(self, name, where):
        name = name.rstrip("/")
        if "*" in name or "{" in name:
            pattern = re.sub(r"\\{(.*?)\\}", lambda m: "(?:%s)" % m.group(1).replace(",", "|"), re.escape(name).replace(r"\,", ","))
            pattern = pattern.replace(r"\*", "[^/]*")
            return any(re.search(f"(?:^|/){pattern}(?:/|$|\\.)", f) for f in self.files)
        beside = os.path.normpath(os.path.join(os.path.dirname(where), name))
        return bool(self.find(name, where) or {name, beside} & self.folders
                    or any(f"{path}.{x}" in self.files for path in (name, beside) for x in ("c", "h", "S", "py", "sh", "golden")))

    def faults(self, where):
        found = []
        for line, text in comments(where, self.read(where)):
            if where.endswith(".md"):
                for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
                    path = os.path.normpath(os.path.join(os.path.dirname(where), target))
                    if not re.match(r"[a-z]+:", target) and path not in self.files and path not in self.folders:
                        found.append((line, f"no {target}"))
                text = re.sub(r"\]\([^)]*\)", "]", text)
            text = text.replace(".[ch]", ".{c,h}")
            for name in NAME.findall(text):
                first = name.split("/")[0]
                ours = "/" in name and first in self.top
                if (ours or FILE.search(name)) and not OTHER.match(name) and name not in FOREIGN and not self.has(name, where):
                    found.append((line, f"no {name}"))
            found += [(line, f"{name} is {name}.md") for name in self.stems if re.search(rf"(?<!\w){name},? [A-Z]?\d", text)]
            for name, section in SECTION.findall(text):
                for path in self.find(name, where)[:1]:
                    if not re.search(rf"^#+ {section}\. ", self.read(path), re.M):
                        found.append((line, f"{path} has no section {section}"))
        return found


TRY = {"docs/a.md": "# A\n\n## 1. One\n\n## 2. Two\n", "docs/d-e.md": "", "hv/x/b.c": "", "hv/x/b.h": "", "tests/test_q.py": ""}
TRIES = [  # of a file of this name, this text, so many faults
    ("hv/c.c", "/* b.c, x/b.h, hv/x/b.c, hv/x/b.[ch], hv/x, docs/a.md 2, tests/test_q.py, <xen/none.h>, and/or, tests/test_*.py */", 0),
    ("hv/c.c", "/* gone.c */", 1),
    ("hv/c.c", "/* one line\n * hv/y/b.c */ int a; // hv/z", 2),
    ("hv/c.c", '#include "gone.h"\nconst char *s = "gone.c";', 0),
    ("hv/c.c", "/* docs/a.md 3 */", 1),
    ("hv/c.c", "/* a.md, section 3 */", 1),
    ("hv/c.c", "/* d-e 3, d-e D3 */", 1),
    ("docs/README.md", "NAME.cfg, docs/NAME, build/a.txt, cmocka.h, d-e.md, a.md. hv/x/b.c, hv/x.", 0),
    ("docs/b.md", "[a](a.md) [b](../hv/x/b.c) [c](https://gone.md) `b.c` `hv/x/`\n    hv/gone\n```\nhv/gone\n```", 0),
    ("docs/b.md", "[a](b2.md) `hv/y/`", 2),
    ("tests/t.py", '"""gone.md"""\nx = "gone2.md"  # hv/gone', 2),
    ("t.sh", "x=hv/gone # docs/a.md\n# docs/gone.md", 1),
]


def main():
    bad = 0
    for where, text, want in TRIES:
        files = {**TRY, where: text}
        got = Tree(files, files.__getitem__).faults(where)
        if len(got) != want:
            bad += 1
            print(f"not ok references try {text!r}: {got}, not {want}")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = [f for f in listed if os.path.isfile(os.path.join(ROOT, f))]

    def read(name):
        with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as f:
            return f.read()
    tree = Tree(files, read)
    looked = [f for f in files if re.search(r"\.(c|h|S|def|inc|lds|py|sh|mk|md)$|(^|/)(Makefile|layers\.txt)$", f)]
    for f in looked:
        for line, why in tree.faults(f):
            bad += 1
            print(f"not ok references {f}:{line}: {why}")
    print(f"{len(looked)} files looked at")
    print(f"check-references: {0 if bad else 1} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
