"""What all tests share: hypothesis profiles, what need not be collected, and five rules about a whole run.

- With `CI` set in the environment a skipped test fails the run, unless tests/allowed_skips.toml names it. A
  test that needs what `make test-deps` installs carries the marker `lab`; `make test` deselects those, so a
  skip means that something which should be there is missing.
- A test marked `alone` runs while no other worker of pytest-xdist runs one, after the others.
- A process that a test leaves behind is named, ended, and fails the run.
- A transport of asyncio that a test leaves open, its loop being closed, fails that test.
- A statement of SQL that a part of the program outside `wsinspect/capture/` has made raises an error.
"""

from __future__ import annotations

import fcntl
import fnmatch
import functools
import gc
import itertools
import os
import re
import shutil
import signal
import sys
import tomllib
import uuid
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from tests.support import sql_guard, transports, warm, warm_command
from tests.support.processes import MARK, Started, left_over, run_folder

# Hundreds of interpreters start, and each would compile all of wsinspect where bytecode is not kept.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis.settings.register_profile(
    "fast",
    max_examples=50,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("quick", parent=hypothesis.settings.get_profile("fast"), max_examples=10)
hypothesis.settings.register_profile(
    "deep", parent=hypothesis.settings.get_profile("fast"), max_examples=2000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

if hypothesis.settings.get_current_profile_name() == "quick":
    # Each worker would read all modules of ours for constants to try: a tenth of what collecting the tests
    # costs. `make test-all` does it.
    providers._get_local_constants = functools.cache(Constants)

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.toml")


class SkipGate:
    """Collects the skips of a run and fails it on CI when one of them is not allowed."""

    def __init__(self) -> None:
        self.allowed = tomllib.loads(ALLOWED_SKIPS.read_text("utf-8")).get("skip", [])
        self.refused: list[str] = []

    def judge(self, test: str, reason: str) -> None:
        """Take note of one skipped test, unless it is on the list."""
        for entry in self.allowed:
            if fnmatch.fnmatchcase(test, entry["test"]) and entry["reason"] in reason:
                return
        self.refused.append(f"{test}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.judge(report.nodeid, skip_reason(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.judge(report.nodeid, skip_reason(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.refused:
            terminalreporter.section(
                "skips that tests/allowed_skips.toml does not name fail a run on CI", red=True
            )
            for line in self.refused:
                terminalreporter.line(line)


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The words of a skip: pytest reports them as (path, line, reason)."""
    place = report.longrepr
    return place[2] if isinstance(place, tuple) else str(place)


class Turns:
    """Keeps the other workers waiting while one runs a test marked `alone`.

    Each test holds a lock, shared with others or not. The gate before it is what a test marked `alone` waits
    behind, so that no stream of other tests can get ahead of it.
    """

    def __init__(self, run: str) -> None:
        self.gate, self.turn = ((run_folder(run) / name).open("w") for name in ("gate", "turn"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-timeout, which is not to count the waiting
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        is_alone = item.get_closest_marker("alone") is not None
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        fcntl.flock(self.turn, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(self.gate, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(self.turn, fcntl.LOCK_UN)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: item.get_closest_marker("alone") is not None)

    def pytest_unconfigure(self) -> None:
        self.gate.close()
        self.turn.close()


class Orphans:
    """Finds what tests left running: after each test that failed, and of all tests when the run ends.

    Lives in the process that starts the run, which hears of all tests and outlives workers that crash.
    """

    #: A recorder empties its journal after its engine's end; on a busy machine that takes a while.
    PATIENCE_SECONDS = 20.0

    def __init__(self, run: str) -> None:
        self.run = run
        self.failed: set[str] = set()
        self.found: list[Started] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test that fails may leave an engine that would use a whole core until the run ends.

        What its fixtures started is theirs to end, later perhaps.
        """
        if nodeid in self.failed:
            mine = f"{nodeid} (call)"
            self.found += left_over(self.run, is_meant=lambda process: process.test == mine, patience=2.0)

    @pytest.hookimpl(trylast=True)  # after pytest-xdist has ended its workers
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.found += left_over(self.run, patience=self.PATIENCE_SECONDS)
        if self.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section("processes that tests left behind, killed now", red=True)
            for process in self.found:
                terminalreporter.line(str(process))

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(run_folder(self.run), ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """Else Python's warning of it, whenever that comes, would fail another test."""
    try:
        result = yield
    finally:
        left = transports.left_open()
    if left:
        pytest.fail("open, and its event loop is closed: " + "; ".join(left), pytrace=False)
    return result


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A script's shell lets what it starts in the background ignore Ctrl-C; tests send it to themselves.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    transports.watch()
    sql_guard.watch()
    is_worker = hasattr(config, "workerinput")
    if not is_worker:
        os.environ[MARK] = uuid.uuid4().hex
    run = os.environ[MARK]
    config.pluginmanager.register(Turns(run), "wsinspect-turns")
    if not is_worker:
        config.pluginmanager.register(Orphans(run), "wsinspect-orphans")
    if os.environ.get("CI"):
        config.pluginmanager.register(SkipGate(), "wsinspect-skip-gate")


#: The marks that a module gives to all its tests.
_OF_MODULE = re.compile(r"^pytestmark = (\[[^\]]*\]|[^\n]*)", re.MULTILINE)
#: The words of `-m` that are read here; an option with others is left to pytest alone.
_MARKS = frozenset({"lab", "slow", "alone", "snapshot"})


def are_all_deselected(source: str, expression: str) -> bool:
    """Whether `-m` leaves out every test of a module, whatever marks one of them has in addition."""
    words = set(re.findall(r"\w+", expression)) - {"and", "or", "not"}
    found = _OF_MODULE.findall(source)
    if len(found) != 1 or not words or not words <= _MARKS:
        return False
    open_ones = sorted(words - set(re.findall(r"\bpytest\.mark\.(\w+)", found[0])))
    return not any(
        eval(expression, {}, dict.fromkeys(words, True) | dict(zip(open_ones, values, strict=True)))
        for values in itertools.product((False, True), repeat=len(open_ones))
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of `make test`, each worker would import a hundred modules whose tests it leaves out afterwards."""
    expression = config.getoption("markexpr")
    is_module = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    if is_module and expression and are_all_deselected(collection_path.read_text("utf-8"), expression):
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting tests makes hundreds of thousands of objects and hardly any garbage.

    They stay in memory to the end: each full collection of garbage would go through all of them. Afterwards
    garbage is looked for less often than usual: screens make many objects, and each look costs CPU time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        gc.enable()


def pytest_sessionfinish() -> None:
    warm_command.stop()
    warm.stop()
