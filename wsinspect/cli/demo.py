"""`wsinspect demo`: an embedded server, clients and a misconfigured hop, seen through a real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from wsinspect.cli.capture_options import record_option
from wsinspect.cli.options import Parsed, color_option, examples
from wsinspect.cli.screen import is_terminal, ready_option, write_ready
from wsinspect.launch.interrupts import nothing_to_end
from wsinspect.units import DURATION, HOUR, SECOND, parse_duration

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture
    from wsinspect.present.terminal import Palette

LAST_FRAMES = 8
#: Long enough to watch it happen; in the timeline all of it stays.
DURATION_ON_SCREEN = "9s"


def parse_length(text: str) -> int:
    """How long a demo may take, in nanoseconds.

    Raises:
        ValueError: not a duration, or one that is too short or too long.
    """
    duration = parse_duration(text)
    if not SECOND <= duration <= HOUR:
        raise ValueError(f"expected a duration from 1 s to 1 h, found {text!r}")
    return duration


@click.command(
    epilog=examples("wsinspect demo --headless", "wsinspect demo --headless --seconds 10 --capture demo.db")
)
@click.option("--headless", is_flag=True, help="No timeline: print what happens, a summary and findings.")
@click.option(
    "--seconds",
    "duration",
    type=Parsed("duration", parse_length),
    default="5s",
    show_default=True,
    help="How long it takes, from 1s to 1h, including starting and stopping the proxy.",
)
@record_option
@color_option
@ready_option
def demo(headless: bool, duration: int, capture: Path | None, color: str, ready_fd: int | None) -> int:
    """See it work: a chat server, two clients and a hop that strips Upgrade, on loopback.

    The proxy between them is the real one. One attempt is refused, and one connection ends without a CLOSE
    frame. On a terminal, the timeline shows it live.
    """
    import asyncio
    import shlex

    from wsinspect.cli.diagnosis import diagnose_file
    from wsinspect.cli.output import echo, prose_columns
    from wsinspect.demo.play import play
    from wsinspect.demo.report import report
    from wsinspect.launch.paths import new_capture_path, own_command
    from wsinspect.present.findings import diagnosis_lines
    from wsinspect.present.terminal import Palette
    from wsinspect.recorder.opening import open_capture
    from wsinspect.text import escape

    path = (capture or new_capture_path()).absolute()
    if not headless and is_terminal():
        with nothing_to_end():
            from wsinspect.launch.child import EngineChild
            from wsinspect.tui.start import watch_engine

        command = ("demo", "--headless")
        return watch_engine(
            EngineChild(_duration_on_screen(duration), path, command=command, can_restart=False)
        )
    try:
        asyncio.run(play(path, duration / SECOND, echo, lambda event: _pass_on(event, ready_fd)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    with open_capture(path) as seen:
        for line in ("", *report(seen), *_last_frames(seen, Palette.choose(color)), ""):
            echo(line)
    found = diagnosis_lines(diagnose_file(path, None, None))
    for line in Palette.choose(color).folded(found, prose_columns()):
        echo(line)
    echo("")
    name = "last" if capture is None else shlex.quote(str(capture))
    echo(escape(f"recorded in {path}"))
    echo(escape(f"to view it: {own_command()} show {name}"))
    return 0


def _pass_on(ready: dict[str, Any], descriptor: int | None) -> None:
    if descriptor is not None:
        write_ready(descriptor, json.dumps(ready))


def _duration_on_screen(duration: int) -> list[str]:
    """In the timeline it takes a little longer, unless the user said how long."""
    is_default = click.get_current_context().get_parameter_source("duration") is ParameterSource.DEFAULT
    return ["--seconds", DURATION_ON_SCREEN if is_default else DURATION.exact(duration)]


def _last_frames(capture: Capture, palette: Palette) -> Iterator[str]:
    """How the connection that ended without a CLOSE frame looked at its end, as `show` prints it."""
    from wsinspect.cli.output import columns
    from wsinspect.present.frame_table import FrameTable
    from wsinspect.present.pages import read_pages

    dropped = [one for one in capture.connections() if one.open_ns is not None and one.js_code == 1006]
    for connection in dropped[:1]:
        last = capture.last_frames(connection.id, LAST_FRAMES)
        table = FrameTable(connection, columns(), palette)
        yield ""
        yield f"connection {connection.id}, its last frames:"
        yield table.header()
        for page in read_pages(capture, connection.id, after=last[0].id - 1 if last else 0):
            yield from table.lines(page)
