#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs tests/cases: each input of a case goes through its probe, and what the probe says is compared with the committed INPUT.right.
    run.py             every input; last line "cases: N passed, N failed" (make cases builds the probes first)
    run.py CASE ...    those of the cases whose name begins so
    run.py --write CASE ...   writes INPUT.right anew: read every line before it is committed, it says what is right, not what is
tests/cases/README.md tells which input goes to which probe."""
import difflib
import fnmatch
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("B", HERE.parents[1] / "build")).resolve() / "cases"
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:exitcode=99", UBSAN_OPTIONS="print_stacktrace=1")


def probe(name, *args):
    """What it prints. A probe says 0 (taken) or 1 (refused); anything else, a sanitizer's report above all, becomes part of the text."""
    p = subprocess.run([BUILD / name, *args], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    text = p.stdout.decode("utf-8", "backslashreplace")
    return text if p.returncode in (0, 1) else f"{text}the probe ended with status {p.returncode}\n"


def one_file(name):
    return lambda path, tmp: probe(name, path)


def config(path, tmp):
    """FILE.cfg; words for it (KEY=VALUE of create), one a line, in FILE.cfg.words."""
    words = path.with_name(path.name + ".words")
    return probe("config", path, *(words.read_text(encoding="utf-8").splitlines() if words.exists() else ()))


def made(path, tmp):
    """A script that writes *.cfg into a folder: files that an editor would not leave as they are."""
    subprocess.run([sys.executable, path, tmp], check=True)
    return "".join(f"== {f.name}\n{probe('config', f)}" for f in sorted(pathlib.Path(tmp).glob("*.cfg")))


def spec(path, tmp):
    """disk.txt, vif.txt, pci.txt: each line as the only element of that list."""
    out, key, cfg = "", path.stem.split("-")[0], pathlib.Path(tmp) / "spec.cfg"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            out += line + "\n"
            continue
        q = '"' if "'" in line else "'"
        cfg.write_text(f'name = "spec"\nkernel = "k"\nmemory = 256\n{key} = [ {q}{line}{q} ]\n', encoding="utf-8")
        lines = [s.strip() for s in probe("config", cfg).splitlines()]
        out += "".join([f"[{line}]\n"] + [f"    {s}\n" for s in lines if not s.startswith(("taken:", "on_"))])
    return out


def tables(path, tmp):
    """A script that writes disk images and a `list` of NAME|BLOCK|SPEC ... (probe/gpt.py)."""
    subprocess.run([sys.executable, path, tmp], check=True)
    out = ""
    for line in (pathlib.Path(tmp) / "list").read_text(encoding="utf-8").splitlines():
        name, block, words = line.split("|")
        out += f"== {name} (blocks of {block})\n" + probe("table", block, pathlib.Path(tmp) / name, *words.split())
    return out


KINDS = (("boot*.txt", one_file("cmdline")), ("*.cfg", config), ("make*.py", made), ("disk*.txt", spec), ("vif*.txt", spec), ("pci*.txt", spec),
         ("tables*.py", tables), ("frames*.txt", one_file("frame")), ("words*.txt", one_file("split")))


def run(path):
    how = next(f for pattern, f in KINDS if fnmatch.fnmatch(path.name, pattern))
    with tempfile.TemporaryDirectory() as tmp:
        return how(path, tmp).replace(f"{tmp}/", "")


def inputs(names):
    for case in sorted(HERE.iterdir()):
        if case.is_dir() and case.name != "probe" and (not names or case.name.startswith(tuple(names))):
            yield from (f for f in sorted(case.iterdir()) if any(fnmatch.fnmatch(f.name, p) for p, _ in KINDS))


def main():
    write = "--write" in sys.argv[1:]
    names = [a for a in sys.argv[1:] if a != "--write"]
    if write and not names:
        sys.exit("name the cases to write")
    passed = failed = 0
    for path in inputs(names):
        right, said, name = path.with_name(path.name + ".right"), run(path), f"{path.parent.name}/{path.name}"
        if write:
            right.write_text(said, encoding="utf-8")
        want = right.read_text(encoding="utf-8") if right.exists() else ""
        if said == want and want:
            passed += 1
            print(f"ok case {name}")
        else:
            failed += 1
            print(f"not ok case {name}")
            sys.stdout.writelines("  | " + s.rstrip("\n") + "\n" for s in difflib.unified_diff(
                want.splitlines(), said.splitlines(), "right", "said", lineterm="", n=2))
    if passed + failed == 0:
        failed = 1
        print("not ok case: there is none of that name")
    print(f"cases: {passed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
