#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make docs`: writes docs/hypercalls.md, docs/privileges.md and tests/unit/privileges.golden from the table of the ABI.
`--check` only compares."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROLES = ("guest", "control", "store", "pciback", "driver")  # enum bh_role
OWN = ("CONTROL_OP", "SERVICE_OP")  # number, name of the constant, name, ...
COLUMNS = {"CONTROL_OP": ("name", "argument", "direction", "privilege", "target", "what")}
XEN = ("name", "argument", "direction", "privilege", "callers", "what")


def table():
    """{macro: [its rows' fields]} of ops.def, in its order."""
    rows = {}
    for macro, fields in re.findall(r"^(\w+)\((.*)\)(?: *(?:/\*.*\*/)?)$", (ROOT / "hv/abi/public/ops.def").read_text(), re.M):
        fields = re.findall(r'\s*("[^"]*"|[^,]+)', fields)
        rows.setdefault(macro, []).append([f.strip().strip('"') for f in fields])
    return rows


def operations(rows, macro, title):
    skip = 2 if macro in OWN else 1
    columns = COLUMNS.get(macro, XEN if macro not in OWN else XEN[:4] + XEN[5:])
    out = ["", f"## {title}", "", "| number | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows[macro]:
        fields = dict(zip(columns, row[skip:], strict=True))
        fields["argument"] = "" if fields["argument"] == "none" else f"`{fields['argument']}`"
        fields["direction"] = fields["direction"].lower().replace("_", ", ")
        fields["privilege"] = fields["privilege"].lower()
        fields["callers"] = {"B64": "64", "B32": "32", "BOTH": "64, 32"}.get(fields.get("callers"), "")
        fields["target"] = fields.get("target", "").lower().replace("none", "")
        out.append(f"| {row[0]} | " + " | ".join(fields[c] for c in columns) + " |")
    return out


def hypercalls(rows):
    out = ["# Hypercalls", "", "Made by `make docs` from `hv/abi/public/ops.def`, whose head says what the columns mean. Every other number or operation answers",
           "-ENOSYS. `callers`: the bits of the code that may ask."]
    for number, name in rows["HYPERCALL"] + rows["HYPERCALL32"]:
        macro = name.upper() if name.upper() in rows else name.upper() + "_OP"
        out += operations(rows, macro, f"{name.removesuffix('32')} ({number}{', 32-bit code' if name.endswith('32') else ''})")
    return "\n".join(out) + "\n"


def expansion(rows):
    classes = [("open", set(ROLES))] + [(name, set(re.findall(r"R\((\w+)\)", roles.lower().replace("r(", "R("))))
                                        for _, name, roles in rows["PRIVILEGE"]]
    return [(role, name, role in who) for role in ROLES for name, who in classes]


def golden(rows):
    return "".join(f"{role:8} {name:12} {'yes' if may else 'no'}\n" for role, name, may in expansion(rows))


def privileges(rows):
    cells = {(role, name): may for role, name, may in expansion(rows)}
    out = ["# Privileges", "", "Made by `make docs` from `hv/abi/public/ops.def`. A test holds the core's own table against tests/unit/privileges.golden, made of the same.",
           "", "| class | " + " | ".join(ROLES) + " |", "|---" * (len(ROLES) + 1) + "|"]
    for name in dict.fromkeys(name for _, name in cells):
        out.append(f"| {name} | " + " | ".join("yes" if cells[(role, name)] else "" for role in ROLES) + " |")
    return "\n".join(out) + "\n"


def main():
    stale = []
    rows = table()
    for path, content in (("docs/hypercalls.md", hypercalls(rows)), ("docs/privileges.md", privileges(rows)),
                          ("tests/unit/privileges.golden", golden(rows))):
        file = ROOT / path
        if "--check" not in sys.argv:
            file.write_text(content)
        elif not file.exists() or file.read_text() != content:
            stale.append(path)
    if stale:
        sys.exit(f"stale: {', '.join(stale)}: run make docs")


if __name__ == "__main__":
    main()
