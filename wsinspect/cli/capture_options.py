"""Arguments and options about captures that several commands have: which one, what of it, and where to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsinspect.cli.completion import complete_capture, complete_filter
from wsinspect.cli.options import Once

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture
    from wsinspect.capture.records import Connection

capture_argument = click.argument("capture", required=False, shell_complete=complete_capture)
#: As `expression`; `wsinspect.cli.options.parse_filter` reads it.
filter_option = click.option(
    "--filter",
    "expression",
    cls=Once,
    instead="'A B' is both, 'A | B' is one of them",
    metavar="EXPR",
    shell_complete=complete_filter,
    help="Only matching connections or frames (docs/filters.md).",
)
#: As `numbers`; `find_connections` looks them up.
connections_option = click.option(
    "--connection",
    "-c",
    "numbers",
    type=click.IntRange(min=1),
    multiple=True,
    help="Only this connection; repeatable.",
)
#: As `output`: the capture that a command makes from other files.
output_option = click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    metavar="CAPTURE",
    help="Capture to write.",
)
#: As `capture`: where a command that starts an engine records to.
record_option = click.option(
    "--capture", cls=Once, type=click.Path(path_type=Path), help="File to record to; a new one by default."
)


def find_connections(capture: Capture, numbers: tuple[int, ...]) -> list[Connection]:
    """The connections that `--connection` names.

    Raises:
        UsageError: the capture does not have one of them.
    """
    from wsinspect.errors import UsageError

    found = []
    for number in numbers:
        one = capture.connection(number)
        if one is None:
            raise UsageError(f"{capture.path} has no connection {number}")
        found.append(one)
    return found
