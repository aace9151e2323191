#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs test programs beside each other, and prints what they said as if they had run one after another.
Usage: lanes.py LANES SECONDS PROGRAM... [-- TARGET...]
    PROGRAM   prints "ok NAME", "not ok NAME" and "skipped NAME: why" lines; one that ends badly without the second, or says nothing,
              has failed. Those named test_*.py list their tests when asked with --list, and each line of these is a job of its own, which
              has failed too if it says nothing of one of them.
              "# NEEDS: TARGET ..." among its lines: it is not begun before these are over.
              "# ALONE: WORD" among its lines: no two jobs with the same word run at once.
    LANES     so many run at once, begun in the order in which they are given
    TARGET    of make: one after another in a lane of their own; those that test print "TARGET: N passed, N failed"
A job that takes more than SECONDS (TEST_TIMEOUT in the environment goes before), a target that takes three times as long, is ended.
The last line is "N passed, N failed"; before it stands what was skipped, and once more the end of what each failed test said: whoever keeps
the last lines of a long run keeps these."""
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

SHOWN = 40  # lines of a failed test, once more
SUM = re.compile(r"^[\w-]+: (\d+) passed, (\d+) failed$", re.M)


class Job:
    def __init__(self, title, *command, names=(), needs=(), alone=()):
        """names: the tests that it is to run, if that is known."""
        self.title, self.command, self.names, self.needs, self.alone = title, (*command, *names), names, needs, alone
        self.log = tempfile.TemporaryFile()
        self.proc, self.status = None, None
        self.over, self.skipped, self.failed = threading.Event(), [], []

    def run(self, seconds):
        try:
            self.proc = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                                         start_new_session=True)
            self.status = self.proc.wait(seconds) and f"exit {self.proc.returncode}"
        except subprocess.TimeoutExpired:
            self.status = f"not over after {seconds} s"
        except OSError as e:
            self.status = e
        self.end()
        self.over.set()

    def end(self):
        """With all that it started, an emulator above all."""
        if self.proc:
            try:
                os.killpg(self.proc.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # nobody is left, or somebody else's: sudo
                pass
            self.proc.wait()

    def show(self):
        """Prints what it says until it is over; how many of its tests were good and how many were not."""
        said = b""
        while True:
            over = self.over.wait(0.5)
            news = os.pread(self.log.fileno(), 1 << 30, len(said))
            sys.stdout.buffer.write(news)
            sys.stdout.flush()
            said += news
            if over:
                return self.count(said.decode(errors="replace"))

    def count(self, text):
        sums = [] if self.names else SUM.findall(text)  # in a test's words it is somebody else's
        good, bad = map(int, sums[-1]) if sums else (len(re.findall(rf"^{x} ", text, re.M)) for x in ("ok", "not ok"))
        self.skipped = re.findall(r"^skipped \S+: .*", text, re.M)
        self.failed = re.findall(r"^not ok [^\n]*(?:\n  [^\n]*)*", text, re.M)
        silent = set(self.names) - set(re.findall(r"^(?:ok|not ok|skipped) ([^\s:]+)", text, re.M))
        for name in sorted(silent):
            print(f"not ok {name} ({self.status or 'printed no result'})", flush=True)
        bad += len(silent)
        if not bad and (self.status or not (good or self.skipped or self.command[0] == "make")):
            print(f"not ok {' '.join(self.command)} ({self.status or 'printed no result'})", flush=True)
            bad = 1
        return good, bad


def jobs_of(program, targets):
    with open(program, encoding="utf-8", errors="replace") as f:
        said = f.read()
    needs = " ".join(re.findall("^# NEEDS: (.*)$", said, re.M)).split()
    order = {"needs": [job for job in targets if job.command[1] in needs], "alone": re.findall("^# ALONE: (.*)$", said, re.M)}
    if os.path.basename(program).startswith("test_"):
        got = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        if got.returncode == 0 and got.stdout.strip():
            return [Job(program, program, names=names.split(), **order) for names in got.stdout.splitlines()]
    return [Job(program, program, **order)]


def lane(todo, lock, alone, seconds):
    """The first that may begin, until there is none left. alone: the words of those that run."""
    while todo:
        with lock:
            job = next((x for x in todo if all(n.over.is_set() for n in x.needs) and not alone & set(x.alone)), None)
            if job:
                todo.remove(job)
                alone |= set(job.alone)
        if job:
            job.run(seconds)
            with lock:
                alone -= set(job.alone)
        else:
            time.sleep(1)


def main():
    lanes, seconds, *names = sys.argv[1:]
    cut = names.index("--") if "--" in names else len(names)
    native = [Job("make " + target, "make", target) for target in names[cut + 1:]]
    tests = [job for program in names[:cut] for job in jobs_of(program, native)]
    queues, lock, alone = (list(native), list(tests)), threading.Lock(), set()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = time.monotonic()
    limit = int(os.environ.get("TEST_TIMEOUT", seconds))
    for todo, most in [(queues[0], 3 * limit)] + [(queues[1], limit)] * int(lanes):
        threading.Thread(target=lane, args=(todo, lock, alone, most), daemon=True).start()
    good = bad = 0
    title = ""
    try:
        for job in native + tests:
            if job.title != title:
                title = job.title
                print(f"--- {title}", flush=True)
            got = job.show()
            good, bad = good + got[0], bad + got[1]
    finally:
        for todo in queues:
            todo.clear()
        for job in native + tests:
            job.end()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.monotonic() - start:.0f} s, in {lanes} lanes, {used.ru_utime + used.ru_stime:.0f} s of processor time")
    for job in native + tests:
        for text in job.failed:
            first, *rest = text.split("\n")
            print("\n".join(["again: " + first, *rest[-SHOWN:]]))
        print("\n".join(job.skipped), end="\n" if job.skipped else "")
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
