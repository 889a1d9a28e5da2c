"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

from wsinspect.formats.progress import nobody
from wsinspect.text import escape

#: How often the bar moves, however many frames or bytes there are.
_STEPS = 200
_CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress_bar(label: str, total: int, *, is_wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Gives what to call with how much is done of `total`; nothing is printed into a pipe."""
    if not (is_wanted and sys.stderr.isatty()):
        yield nobody
        return
    every = max(total // _STEPS, 1)
    with click.progressbar(length=max(total, 1), label=label, file=sys.stderr, update_min_steps=every) as bar:
        done = 0

        def update(now: int) -> None:
            nonlocal done
            if now > done:
                bar.update(now - done)
                done = now

        yield update


@contextmanager
def filling(label: str, total: int, *, is_wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """A `progress_bar` that is drawn when it first moves."""
    with ExitStack() as stack:
        update: Callable[[int], None] | None = None

        def move(now: int) -> None:
            nonlocal update
            if update is None:
                update = stack.enter_context(progress_bar(label, total, is_wanted=is_wanted))
            update(min(now, total))

        yield move


@contextmanager
def asking(*, is_wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Gives what to call with what is being waited for, "" for nothing; a terminal shows it until the end."""
    if not (is_wanted and sys.stderr.isatty()):
        yield lambda words: None
        return
    try:
        yield lambda words: click.echo(
            f"{_CLEAR_LINE}{escape(words)} ..." if words else _CLEAR_LINE, nl=False, err=True
        )
    finally:
        clear_bar()


def clear_bar() -> None:
    """Make room on the terminal for a line; the bar is drawn again below it when it moves."""
    if sys.stderr.isatty():
        click.echo(_CLEAR_LINE, nl=False, err=True)
