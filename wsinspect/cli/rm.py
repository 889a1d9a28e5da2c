"""`wsinspect rm`: deletes captures, with their journals."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from wsinspect.cli.completion import complete_capture
from wsinspect.cli.options import DURATION, examples
from wsinspect.cli.output import say


@click.command(
    epilog=examples(
        "wsinspect rm last",
        "wsinspect rm checkout-bug ./chat.db",
        "wsinspect rm --older-than 7d          asks first; --yes does not",
    )
)
@click.argument("names", nargs=-1, metavar="[CAPTURE]...", shell_complete=complete_capture)
@click.option("--older-than", type=DURATION, help="Captures in the default directory older than this.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
def rm(names: tuple[str, ...], older_than: int | None, yes: bool) -> int:
    """Delete captures by name, path or age.

    A capture that an engine is writing is kept.
    """
    from wsinspect.cli.output import echo
    from wsinspect.errors import CaptureError
    from wsinspect.launch.captures import remove, size_of
    from wsinspect.text import counted, escape
    from wsinspect.units import format_size

    if bool(names) == (older_than is not None):
        raise click.UsageError("name captures, or give --older-than DURATION")
    paths = _named(names) if older_than is None else _old(older_than)
    if not paths:
        say("no capture is that old")
        return 0
    if not yes and older_than is not None:
        what = f"{counted(len(paths), 'capture')} ({format_size(sum(map(size_of, paths)))})"
        if not _is_terminal():
            raise click.UsageError(f"this would delete {what}; without a terminal it needs --yes")
        for path in paths:
            click.echo(f"  {escape(path.stem)}", err=True)
        if not click.confirm(f"Delete {what}?", err=True):
            say("nothing was deleted")
            return 0
    code = 0
    for path in paths:
        try:
            size = remove(path)
        except CaptureError as error:
            say(f"not deleted: {error}")
            code = error.exit_code
        else:
            echo(escape(f"deleted {path} ({format_size(size)})"))
    return code


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _named(names: tuple[str, ...]) -> list[Path]:
    """The captures, each once.

    Raises:
        CaptureError: there is no last one.
    """
    from wsinspect.launch.captures import resolve_capture

    return list(dict.fromkeys(resolve_capture(name) for name in names))


def _old(age_ns: int) -> list[Path]:
    """Captures of the default directory that began before that; those that cannot be read are not judged."""
    from wsinspect.capture.reader import Capture
    from wsinspect.errors import CaptureError
    from wsinspect.launch.captures import newest_first

    before_ns = time.time_ns() - age_ns
    found = []
    for path in newest_first():
        try:
            with Capture.open(path) as capture:
                start_ns, is_live = capture.start_ns, capture.is_live
        except CaptureError:
            continue
        if not is_live and start_ns is not None and start_ns < before_ns:
            found.append(path)
    return found
