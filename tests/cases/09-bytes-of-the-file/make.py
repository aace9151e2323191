#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes into DIR one small configuration with the line ends, marks and strange characters that editors and web pages leave."""
import pathlib
import sys

FILE = 'name = "bytes"\nkernel = "debian-kernel"\nmemory = 128\nvif = [\n  \'bridge=net0\',\n]\nextra = "console=hvc0"\n'
OUT = {
    "crlf": FILE.replace("\n", "\r\n").encode(),
    "bom-crlf": b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode(),
    "no-newline": FILE.rstrip().encode(),
    "latin1-comment": b"# f\xfcr die Ger\xe4te\n" + FILE.encode(),
    "utf8-text": FILE.replace("console", "wer=Jürgen console").encode(),
    "utf16": FILE.encode("utf-16"),
    "utf16-no-mark": FILE.encode("utf-16-be"),
    "curly": FILE.replace('"bytes"', "\u201cbytes\u201d").encode(),
    "no-break-space": FILE.replace("memory = ", "memory\u00a0= ").encode(),
    "no-break-space-value": FILE.replace("= 128", "=\u00a0128").encode(),
    "dash": FILE.replace("128", "128 \u2014 enough").encode(),
    "nul": FILE.replace("hvc0", "hv\0c0").encode(),
    "form-feed": FILE.replace("memory", "\fmemory").encode(),
    "old-mac": FILE.replace("\n", "\r").encode(),
    "one-lone-cr": FILE.replace("128\n", "128\r").encode(),
}
for name, data in OUT.items():
    (pathlib.Path(sys.argv[1]) / f"{name}.cfg").write_bytes(data)
