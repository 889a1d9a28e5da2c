"""Signals that end a command: once, and with the exit code that the command gives itself."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wsinspect.launch.interrupts import Ended, Ending, left_to_child, nothing_to_end

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


class Circle:
    """Raises what a signal raises where nobody can catch it: while the cycle collector deletes it."""

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_raised_and_later_ones_are_not(number: signal.Signals) -> None:
    ending = Ending()
    before = signal.getsignal(number)
    with ending.watched():
        with pytest.raises(Ended) as ended:
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)
        assert ended.value.exit_code == 128 + number
        assert ending.number == number
    assert signal.getsignal(number) is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_raised_where_nobody_got_it_is_raised_again() -> None:
    ending = Ending()
    with ending.watched():
        ending.check()
        Circle()
        gc.collect()
        with pytest.raises(Ended):
            ending.check()


def test_who_takes_over_is_told_of_what_has_come_and_of_what_comes() -> None:
    told: list[str] = []
    ending = Ending()
    with ending.watched():
        ending.hand_over()
        signal.raise_signal(signal.SIGHUP)
        ending.hand_over(lambda: told.append("before"))
        signal.raise_signal(signal.SIGINT)
        ending.hand_over(lambda: told.append("now"))
    assert told == ["before", "before", "now"]
    assert ending.number == signal.SIGHUP


def test_a_child_that_has_the_terminal_has_its_ctrl_c_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with left_to_child():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_while_nothing_is_started_ends_the_program_wherever_it_comes(tmp_path: Path) -> None:
    program = """
import gc, signal
from wsinspect.launch.interrupts import nothing_to_end

class Circle:
    def __init__(self):
        self.own = self
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

with nothing_to_end():
    Circle()
    gc.collect()
print("still here")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_somebody_elses_handler_stays() -> None:
    own = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        with nothing_to_end():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, own)
