# SPDX-License-Identifier: MIT
"""docs/xl.md and what it is held against: the manual pages of Xen's packages on one side, our own tables on the other."""
import html.parser
import re

from tests.lib.machine import ROOT, check
from tests.lib.unpacked import fetch, unpacked

CLASSES = {"works", "differs", "noted", "not here"}
SECTIONS = {"commands": "Commands", "keys": "Keys of a configuration", "options": "Options of the core's command line"}


class Page(html.parser.HTMLParser):
    """A manual page: `terms`, each (how deep in lists, the chapter it stands in, its text), and `titles`, (level, text)."""
    def __init__(self, path):
        super().__init__()
        self.depth, self.chapter, self.text = 0, "", ""
        self.terms, self.titles = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        if tag == "dl":
            self.depth += 1
        if tag == "dt" or re.fullmatch(r"h[1-4]", tag):
            self.text = ""

    def handle_endtag(self, tag):
        if tag == "dl":
            self.depth -= 1
        text = " ".join(self.text.split())
        if tag == "dt":
            self.terms.append((self.depth, self.chapter, text))
        elif re.fullmatch(r"h[1-4]", tag):
            self.titles.append((int(tag[1]), text))
            if tag == "h1":
                self.chapter = text

    def handle_data(self, data):
        self.text += data


def manual():
    """The words of xl(1), xl.cfg(5) and Xen's command line. Missing (tests.lib.unpacked) where the package cannot be had."""
    pages = unpacked("xen-doc", ("xen-doc",), fetch) / "usr/share/doc/xen/html"
    no_commands = {"NAME", "NOTES", "GLOBAL OPTIONS", "IGNORED FOR COMPATIBILITY WITH XM", "ENVIRONMENT VARIABLES", "SEE ALSO"}
    commands = {text.split()[0] for depth, chapter, text in Page(pages / "man/xl.1.html").terms if depth == 1 and chapter not in no_commands}
    keys = {m[1] for depth, _, text in Page(pages / "man/xl.cfg.5.html").terms if depth == 1 and (m := re.match(r"([a-z_0-9]+)=", text))}
    options = {m[1] for _, text in Page(pages / "misc/xen-command-line.html").titles if (m := re.match(r"1\.2\.\d+ (\S+)", text))}
    for what, words in (("commands", commands), ("keys", keys), ("options", options)):
        check(len(words) > 50, f"the manual's {what} are not to be read any more: {sorted(words)}")
    return {"commands": commands, "keys": keys, "options": options}


def table(which):
    """Word -> class, of one table of docs/xl.md."""
    text = (ROOT / "docs/xl.md").read_text(encoding="utf-8").split(f"\n## {SECTIONS[which]}\n")[1].split("\n## ")[0]
    seen = {}
    for words, cls, _ in re.findall(r"^\| ([^|`]+) \| ([a-z ]+) \| ?(.*) ?\|$", text, re.M):
        if set(words) == {"-"} or cls == "here":
            continue
        check(cls in CLASSES, f"docs/xl.md: {words}: {cls}?")
        for word in words.split(", "):
            check(word not in seen, f"docs/xl.md: {word} is there twice")
            seen[word] = cls
    return seen


def held(which, xen, ours):
    """Each of Xen's words has a row, and each row says what is: ours is word -> class; what it has not is not here."""
    rows = table(which)
    wrong = [f"{w}: no row" for w in sorted(xen - rows.keys())]
    wrong += [f"{w}: neither Xen's nor ours" for w in sorted(rows.keys() - xen - ours.keys())]
    there = {"works", "differs"}
    for word, cls in sorted(rows.items()):
        is_ = ours.get(word, "not here")
        if cls != is_ and not {cls, is_} <= there:
            wrong.append(f"{word}: the table says {cls}, it is {'there' if is_ in there else is_}")
    check(not wrong, f"docs/xl.md, {which}: " + "; ".join(wrong))
