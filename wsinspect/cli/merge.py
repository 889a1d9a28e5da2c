"""`wsinspect merge`: several captures on one time axis."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.capture_options import output_option
from wsinspect.cli.completion import complete_capture_file
from wsinspect.cli.options import examples, placed
from wsinspect.cli.output import say
from wsinspect.units import QuantityError, parse_duration


@click.command(
    epilog=examples(
        "wsinspect merge browser.db server.db -o both.db",
        "wsinspect merge browser.db server.db --shift server.db=-250ms -o both.db",
    )
)
@click.argument(
    "captures", nargs=-1, required=True, type=click.Path(path_type=Path), shell_complete=complete_capture_file
)
@output_option
@click.option(
    "--shift",
    "shifts",
    multiple=True,
    metavar="CAPTURE=DURATION",
    help="Shift the times of a capture; -250ms is earlier.",
)
def merge(captures: tuple[Path, ...], output: Path, shifts: tuple[str, ...]) -> None:
    """Merge CAPTURES into one, on one time axis.

    Connections and frames are renumbered in time order. Connections of an unnamed listener get their file's
    name as tap, so you can still see where each was recorded.
    """
    from wsinspect.formats.merge import Source
    from wsinspect.formats.merge import merge as run

    by_name = dict(map(_shift, shifts))
    for name in by_name:
        if name not in map(str, captures):
            raise click.UsageError(f"--shift {name}: not one of the captures")
    merged = run([Source(path, by_name.get(str(path), 0)) for path in captures], output)
    say(f"{output}: {merged.connections} connections, {merged.frames} frames")


def _shift(text: str) -> tuple[str, int]:
    name, equals, duration = text.rpartition("=")
    if not equals or not name:
        raise click.UsageError(f"--shift {text!r}: write CAPTURE=DURATION, such as server.db=-250ms")
    sign = -1 if duration.startswith("-") else 1
    try:
        return name, sign * parse_duration(duration[1:] if duration[:1] in ("+", "-") else duration)
    except QuantityError as error:
        raise placed(click.UsageError(f"--shift: {error}"), error) from None
