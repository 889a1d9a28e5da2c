"""`wsinspect show`: the connections of a capture, or the handshake, frames and end of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wsinspect.cli.options import color_option, examples, json_option

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture


@click.command(
    epilog=examples(
        "wsinspect show                       the connections of the last capture",
        "wsinspect show 3                     connection 3 of the last capture",
        "wsinspect show chat.db 3 --payload   with whole payloads",
        "wsinspect show last 3 --follow       new frames as they come",
        "wsinspect show chat.db --json | jq '.connections[].url'",
    )
)
@click.argument("capture", required=False)
@click.argument("connection", required=False, type=click.IntRange(min=1))
@click.option("--payload", is_flag=True, help="Print whole payloads: text as text, the rest as a hex dump.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what a running engine adds.")
@json_option
@color_option
def show(
    capture: str | None, connection: int | None, payload: bool, follow: bool, as_json: bool, color: str
) -> None:
    """List the connections of CAPTURE, or the frames of one CONNECTION of it.

    CAPTURE is a file or `last`, which is also what is shown where none is given: the capture of the newest
    running engine, else the newest one in the default place. A number alone is a connection of the last
    capture; write ./3 for a file of that name.

    With --json: one object; with --follow too, one object a line.
    """
    from wsinspect.capture.reader import Capture
    from wsinspect.launch.captures import resolve_capture

    name, number = _arguments(capture, connection)
    with Capture.open(resolve_capture(name)) as opened:
        if not as_json:
            _narrate(opened)
        if number is None:
            _show_connections(opened, follow, as_json)
        else:
            _show_connection(opened, number, payload, follow, as_json, color)


def _arguments(capture: str | None, connection: int | None) -> tuple[str | None, int | None]:
    """Capture and connection; a lone number means a connection of the last capture."""
    if capture is not None and connection is None and capture.isascii() and capture.isdigit():
        return None, int(capture)
    return capture, connection


def _narrate(capture: Capture) -> None:
    from wsinspect.text import escape

    if capture.is_live:
        state = "an engine is writing it"
    else:
        state = "complete" if capture.meta.get("closed_cleanly") else "its engine did not end cleanly"
    click.echo(f"{escape(str(capture.path))}: {state}", err=True)


def _show_connections(capture: Capture, follow: bool, as_json: bool) -> None:
    from wsinspect.cli.listing import print_connections_json, show_connections

    if as_json:
        print_connections_json(capture, follow=follow)
    else:
        show_connections(capture, follow=follow)


def _show_connection(
    capture: Capture, number: int, payload: bool, follow: bool, as_json: bool, color: str
) -> None:
    from wsinspect.cli.detail import Detail, follow_json, print_connection_json, show_connection
    from wsinspect.cli.output import Palette
    from wsinspect.errors import UsageError

    if capture.connection(number) is None:
        known = [one.id for one in capture.connections()]
        hint = f"it has {known[0]} to {known[-1]}" if known else "it has none yet"
        raise UsageError(f"{capture.path} has no connection {number}", hint=hint)
    detail = Detail(capture, number, payload)
    if not as_json:
        show_connection(detail, Palette.choose(color), follow=follow)
    elif follow:
        follow_json(detail)
    else:
        print_connection_json(detail)
