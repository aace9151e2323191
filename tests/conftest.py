# SPDX-License-Identifier: MIT
"""How pytest runs the programs of tests/system and tests/long. Each is a program by itself (its first line starts pytest with it), with pytest's options and
    NAME ...   these tests only; a test's name is that of its function, with - in place of _ and of the brackets around parameters
    --list     the names, those that share a machine in one line (tests/lanes.py runs a line at a time)
    --all      those too that are marked `long`
It prints "ok NAME", "not ok NAME: why" and "skipped NAME: why" lines, and at last "N passed, N failed" unless tests were named. A JUnit file goes
to build/test-logs/junit/, or where --junitxml says.

A test that wants a booted machine to itself makes a Machine. Those that share one take the fixture `m`, and their module has a fixture `boot` that
gives a Boot: each leaves the others what they expect of a machine that has just booted, and one that fails ends it."""
import itertools
import pathlib
import re

import pytest

from tests.lib.machine import LOGS, Failed, Skipped

COUNT = {"ok": 0, "not ok": 0, "skipped": 0}
TOOK = {}  # seconds of a test, with what it had to set up


def pytest_addoption(parser):
    parser.addoption("--list", action="store_true", help="print the names, those that share a machine in one line")
    parser.addoption("--all", action="store_true", help="the long ones too")


@pytest.hookimpl(tryfirst=True)  # before the JUnit file's
def pytest_configure(config):
    """Words that can be no files' are names of tests, whatever lies in the folder that one stands in."""
    config.names = [a for a in config.args if "/" not in a and not a.split("::")[0].endswith(".py")]
    config.args[:] = [a for a in config.args if a not in config.names]
    if not (config.option.xmlpath or config.option.list or config.option.collectonly):
        what = config.names[0] if config.names else pathlib.Path(config.args[0].split("::")[0]).stem
        config.option.xmlpath = str(LOGS / "junit" / f"{what}.xml")


def pytest_sessionstart(session):
    """Our lines take the place of pytest's."""
    if not session.config.option.collectonly:
        session.config.pluginmanager.unregister(name="terminalreporter")


def name_of(item):
    return re.sub(r"[_\[]", "-", item.name.removeprefix("test_")).rstrip("]")


def pytest_collection_modifyitems(config, items):
    for item in items:
        item.user_properties.append(("name", name_of(item)))
    missing = set(config.names) - {name_of(item) for item in items}
    if missing:
        raise pytest.UsageError(f"no test of the name {' '.join(sorted(missing))}")
    if config.names:
        items[:] = [item for item in items if name_of(item) in config.names]
    elif not config.option.all:
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_runtestloop(session):
    if session.config.option.list:
        for _, group in itertools.groupby(session.items, lambda item: item.path if "boot" in item.fixturenames else item):
            print(*map(name_of, group))
        return True
    return None


@pytest.fixture
def m(boot):
    """The booted machine that the tests of a module share."""
    return boot.booted()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if not call.excinfo:
        return
    e = call.excinfo.value
    if isinstance(e, Skipped):
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, str(e))
    elif report.failed:
        boot = item.funcargs.get("boot")
        seen = str(e) if isinstance(e, Failed) else str(call.excinfo.getrepr(style="short"))
        notes = getattr(e, "__notes__", []) if isinstance(e, Failed) else []
        if boot and boot.machine and call.when != "teardown":
            notes = [*notes, *([] if "  --- " in seen else [boot.machine.tail()])]
            boot.end()
        report.longrepr = "\n".join([seen, *notes])


def pytest_runtest_logreport(report):
    name = dict(report.user_properties)["name"]
    TOOK[name] = TOOK.get(name, 0) + report.duration
    if report.failed:
        how = "not ok"
    elif report.skipped:
        how = "skipped"
    elif report.when == "call":
        how = "ok"
    else:
        return
    COUNT[how] += 1
    took = "" if how == "skipped" else f" ({TOOK[name]:.0f} s)"
    why = "" if how == "ok" else f": {report.longrepr[-1].removeprefix('Skipped: ') if how == 'skipped' else report.longrepr}"
    print(f"{how} {name}{took}{why}", flush=True)


def pytest_collectreport(report):
    if report.failed:
        COUNT["not ok"] += 1
        print(f"not ok {report.nodeid}: {report.longrepr}", flush=True)


def pytest_sessionfinish(session):
    config = session.config
    if not (config.names or config.option.list or config.option.collectonly):
        print(f"{COUNT['ok']} passed, {COUNT['not ok']} failed", flush=True)
