"""Signals that end a command: once, and with the exit code that the command gives itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys
from wsinspect.launch.interrupts import one_interrupt

with one_interrupt():
    try:
        exec("signal.raise_signal(signal.{name})")  # as a dataclass compiles its methods
    except KeyboardInterrupt:
        signal.raise_signal(signal.{name})  # a second one is not heard
        code = 130
sys.exit(code)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_in_code_made_from_a_string_leaves_the_exit_code_alone(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(name=name))
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-m", "program"],
        cwd=tmp_path,
        env={"PYTHONPATH": root},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (130, b"")
