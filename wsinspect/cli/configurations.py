"""`--config` and `--write`, which `doctor` and `diagnose` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from wsinspect.doctor.configuration.judging import Explained
    from wsinspect.doctor.configuration.reading import Configuration

DEFAULT_PATCH: Final = "wsinspect.patch"

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "configurations",
    multiple=True,
    metavar="PATH",
    help="The proxy's configuration (file, folder, or '-' for what nginx -T prints): name the file and line,"
    " with a diff; repeatable.",
)


def read(paths: Sequence[str]) -> tuple[Configuration, ...]:
    """The configurations that `--config` names; what could not be read is said on stderr.

    Raises:
        UsageError: there is none.
    """
    if not paths:
        return ()
    from wsinspect.doctor.configuration.reading import STDIN, read_configurations
    from wsinspect.doctor.configuration.sources import MAX_TOTAL
    from wsinspect.text import escape

    text = None
    if STDIN in paths:
        text = sys.stdin.buffer.read(MAX_TOTAL + 1).decode("utf-8", "surrogateescape")
    found = read_configurations(paths, text)
    for problem in (one for each in found for one in each.problems):
        click.echo(f"wsinspect: not read: {escape(problem)}", err=True)
    return found


def check_patch(file: Path, paths: Sequence[str]) -> None:
    """Before anything is asked: whether `--write` can do its work at all.

    Raises:
        click.UsageError: there is no --config, or the file is there already.
    """
    if not paths:
        raise click.UsageError("--write needs --config: without it there is no diff to save")
    if os.path.lexists(file):
        raise click.UsageError(f"{file} is there already; give --write another name")


def save_patch(file: Path, explained: Explained | None) -> None:
    """Write the diff that mends it; a new file for the user alone, since lines of a configuration are in it.

    Raises:
        LocalError: it cannot be written.
    """
    from wsinspect.errors import LocalError
    from wsinspect.text import escape

    if explained is None or not explained.diffs:
        click.echo("wsinspect: there is no diff to save", err=True)
        return
    text = "".join(one.exact for one in explained.diffs)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise LocalError(f"cannot write {file}: {error.strerror}") from None
    base = explained.configuration.base([one.file for one in explained.diffs])
    shown = escape(str(file.absolute()))
    click.echo(f"wsinspect: saved {shown}; apply it with: patch -p1 -d {escape(base)} < {shown}", err=True)
