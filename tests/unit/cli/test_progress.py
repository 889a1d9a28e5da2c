"""The progress bar: on a terminal alone, on stderr, and out of the way of lines."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from wsinspect.cli.progress import clear_bar, progress_bar

Put = Callable[[io.StringIO], io.StringIO]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a stream in the place of stderr; pytest puts its own there after the fixtures."""

    def put(stream: io.StringIO) -> io.StringIO:
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return put


@pytest.mark.parametrize("total", [0, 1, 150, 100_000])
def test_it_reaches_the_end_and_is_drawn_300_times_at_most(stderr: Put, total: int) -> None:
    terminal = stderr(Terminal())
    with progress_bar("exporting", total) as progress:
        for done in range(1, total + 1):
            progress(done)
        progress(total)  # said twice
    drawn = terminal.getvalue()
    assert drawn.count("exporting") <= 300
    assert ("100%" in drawn) == (total > 0)


def test_a_count_beyond_the_total_is_the_end(stderr: Put) -> None:
    terminal = stderr(Terminal())
    with progress_bar("importing", 10) as progress:
        progress(5)
        progress(25)
    assert "50%" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert "250%" not in terminal.getvalue()


def test_a_line_has_the_terminal_to_itself(stderr: Put) -> None:
    terminal = stderr(Terminal())
    with progress_bar("replaying", 4) as progress:
        progress(1)
        clear_bar()
        terminal.write("a line\n")
        progress(2)
    assert "\r\x1b[Ka line\n" in terminal.getvalue()


def test_nothing_is_printed_where_nobody_looks(stderr: Put) -> None:
    terminal = stderr(Terminal())
    with progress_bar("exporting", 10, is_wanted=False) as progress:
        progress(10)
    assert terminal.getvalue() == ""
    pipe = stderr(io.StringIO())
    with progress_bar("exporting", 10) as progress:
        progress(10)
        clear_bar()
    assert pipe.getvalue() == ""
