"""What all tests share: hypothesis profiles, and the rule that CI skips nothing silently.

Contract: with `CI` set in the environment a skipped test fails the run, unless tests/allowed_skips.toml names
    it. A test that needs what `make test-deps` installs carries the marker `lab`; `make test` deselects
    those, so a skip means that something which should be there is missing.
"""

from __future__ import annotations

import fnmatch
import os
import tomllib
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "fast",
    max_examples=50,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "deep", parent=hypothesis.settings.get_profile("fast"), max_examples=2000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

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


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI"):
        config.pluginmanager.register(SkipGate(), "wsinspect-skip-gate")
