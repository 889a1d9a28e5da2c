"""A run of tests that leaves a process behind names it, ends it and fails: conftest.py on small runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import is_running

ROOT = Path(__file__).resolve().parents[2]
HEADER = """
import os, subprocess, sys, time

def leave(name):
    code = "import time; time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", f"{code}  # {name}"], start_new_session=True)
    with open(name, "w") as file:
        file.write(str(child.pid))
"""
LEAVES = "def test_leaves():\n    leave('left')\n"
IS_NEAT = "def test_is_neat():\n    assert subprocess.run([sys.executable, '-c', '']).returncode == 0\n"
FAILS = "def test_fails():\n    leave('failed')\n    raise ValueError\n"
#: What a failed test left is ended before the next test, which would have to share the machine with it.
COMES_NEXT = (
    "def test_next():\n    from tests.support.processes import is_running\n"
    "    assert not is_running(int(open('failed').read()))\n"
)
#: A recorder may need its time to end; here nothing does.
IMPATIENT = "from tests.conftest import Orphans\n\nOrphans.PATIENCE_SECONDS = 0.2\n"


def run(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """pytest with our conftest on a file of these tests."""
    (folder / "test_small.py").write_text("\n\n".join([HEADER, *tests]))
    (folder / "impatient.py").write_text(IMPATIENT)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    plugins = ("-p", "tests.conftest", "-p", "impatient", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "test_small.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def left(folder: Path, name: str) -> int:
    """The process that a test left under this name."""
    return int((folder / name).read_text())


def test_a_process_left_behind_is_named_and_ended_and_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, IS_NEAT, LEAVES)
    pid = left(tmp_path, "left")
    assert done.returncode == 1, done.stdout
    assert "2 passed" in done.stdout
    assert "processes that tests left behind, killed now" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{pid} ")]
    assert line.endswith("# left (started by test_small.py::test_leaves (call))")
    assert not is_running(pid)


def test_a_run_that_leaves_nothing_passes(tmp_path: Path) -> None:
    done = run(tmp_path, IS_NEAT)
    assert done.returncode == 0, done.stdout
    assert "left behind" not in done.stdout


@pytest.mark.slow
def test_what_a_failed_test_left_is_ended_before_the_next_test(tmp_path: Path) -> None:
    done = run(tmp_path, FAILS, COMES_NEXT)
    assert "1 failed, 1 passed" in done.stdout
    assert f"{left(tmp_path, 'failed')} " in done.stdout
    assert "(started by test_small.py::test_fails (call))" in done.stdout
    assert not is_running(left(tmp_path, "failed"))
