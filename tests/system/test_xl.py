#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""docs/xl.md says of each key and boot option of Xen's manual pages what the parser and the core do with it. (Of the commands: test_badinput.py, which has
a shell to ask.) No machine is booted."""
import re

from tests.lib.machine import ROOT, Skipped
from tests.lib.unpacked import Missing
from tests.lib.xl import held, manual


def words_of(which):
    try:
        return manual()[which]
    except Missing as e:
        raise Skipped(f"Xen's manual pages: {e}") from None


def test_xl_options():
    text = (ROOT / "hv/boot/cmdline.c").read_text(encoding="utf-8")
    ours = {w: "works" for w in re.findall(r'\{ "([^"]+)", (?:opt_|offsetof)', text)}
    ours |= {w: "noted" for w in re.findall(r'^    \{ "([^"]+)", (?:XEN_LEFT|NOTHING)', text, re.M)}
    held("options", words_of("options"), ours)


def test_xl_keys():
    folder = ROOT / "ctl-dom/config"
    ours = {w: "works" for w in re.findall(r"^KEY_[A-Z]+\((\w+)", (folder / "keys.def").read_text(encoding="utf-8"), re.M)}
    known = (folder / "known.def").read_text(encoding="utf-8")
    ours |= {w: "noted" for w in re.findall(r"^NOTED\((\w+)\)", known, re.M)}
    ours |= {w: "not here" for w in re.findall(r"^REFUSED\((\w+),", known, re.M)}
    held("keys", words_of("keys"), ours)
