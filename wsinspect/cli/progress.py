"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from wsinspect.formats.progress import nobody

#: The bar moves so often, however many frames or bytes there are.
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


def clear_bar() -> None:
    """Make room on the terminal for a line; the bar is drawn again below it when it moves."""
    if sys.stderr.isatty():
        click.echo(_CLEAR_LINE, nl=False, err=True)
