"""`wsinspect rm --older-than` at a real terminal: what it asks, and what an answer deletes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support import warm_command
from tests.support.engine import private_environment
from tests.support.terminal import Terminal
from tests.unit.cli import maker
from wsinspect.recorder.opening import open_capture

DAY_S = 24 * 3600


def recorded(path: Path) -> Path:
    """A capture of one connection."""
    made = maker.CaptureMaker(path)
    made.attempt(1)
    made.open(1)
    made.closed(1, 20, side="server", how="fin")
    open_capture(made.finish()).close()
    return path


@pytest.fixture
def captures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """One that is 30 days old by its record, its file new; one that is new, its file 30 days old."""
    folder = tmp_path / "home" / "data" / "wsinspect" / "captures"
    folder.mkdir(parents=True)
    monkeypatch.setattr(maker, "START_NS", time.time_ns() - 30 * DAY_S * 10**9)
    old = recorded(folder / "old.db")
    monkeypatch.setattr(maker, "START_NS", time.time_ns() - 10**9)
    young = recorded(folder / "young.db")
    os.utime(young, (time.time() - 30 * DAY_S,) * 2)
    return old, young


@pytest.mark.parametrize(("answer", "words"), [(b"n\n", "nothing was deleted"), (b"y\n", "deleted ")])
def test_it_lists_what_is_old_by_its_record_and_deletes_that_after_a_yes(
    captures: tuple[Path, Path], tmp_path: Path, answer: bytes, words: str
) -> None:
    old, young = captures
    environment = {**private_environment(tmp_path / "home"), "XDG_DATA_HOME": str(tmp_path / "home" / "data")}
    command = [str(warm_command.program()), "rm", "--older-than", "7d"]
    terminal = Terminal(command, environment=environment)
    try:
        terminal.wait_for("Delete 1 capture")
        assert old.exists()
        terminal.press(answer)
        terminal.wait_for(words)
    finally:
        terminal.end()
    assert old.exists() is (answer == b"n\n")
    assert young.exists()
