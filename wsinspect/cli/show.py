"""`wsinspect show`: the connections of a capture, or the handshake, frames and end of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wsinspect.cli.capture_options import capture_argument, filter_option
from wsinspect.cli.options import color_option, examples, json_option, parse_filter, session_by_option
from wsinspect.units import whole_number

if TYPE_CHECKING:
    from pathlib import Path

    from wsinspect.faults.sessions import SessionBy


@click.command(
    epilog=examples(
        "wsinspect show                       the connections of the last capture",
        "wsinspect show 3                     connection 3 of the last capture",
        "wsinspect show chat.db 3 --payload   with whole payloads",
        "wsinspect show last 3 --time utc     with the time of day",
        "wsinspect show last 3 --follow       new frames as they come",
        "wsinspect show --filter 'close:1006'                    connections closed with 1006",
        "wsinspect show chat.db 3 --filter 'op:ctl | len>64KiB'  some frames of connection 3",
        "wsinspect show chat.db --sessions    how each client coped with its outages, and its grade",
        "wsinspect show chat.db --json | jq '.connections[].url'",
    )
)
@capture_argument
@click.argument("connection", required=False, type=click.IntRange(min=1))
@filter_option
@click.option("--payload", is_flag=True, help="Print whole payloads: text as text, the rest as a hex dump.")
@click.option("--follow", "-f", is_flag=True, help="Keep printing what a running engine adds.")
@click.option(
    "--time",
    "clock",
    type=click.Choice(["relative", "delta", "local", "utc"]),
    help="Times of frames: since the attempt (the default), since the frame before, or of the day.",
)
@click.option("--sessions", is_flag=True, help="Show clients across their reconnects, each with its grade.")
@session_by_option
@json_option
@color_option
def show(
    capture: str | None,
    connection: int | None,
    expression: str | None,
    payload: bool,
    follow: bool,
    clock: str | None,
    sessions: bool,
    session_by: SessionBy | None,
    as_json: bool,
    color: str,
) -> None:
    """List the connections of CAPTURE, or the frames of one CONNECTION.

    CAPTURE is a file or `last` (the default): the capture of the newest running engine, otherwise the
    newest one in the default directory. A number alone is a connection of the last capture; write ./3 for a
    file of that name.

    --filter selects connections if all its keys are about connections, otherwise frames of CONNECTION or of
    all.

    --sessions joins the attempts of each client: how it lost its connection, when it noticed, how it tried
    again, and a grade with reasons (docs/grades.md). With CONNECTION, only the client of that one.

    --json prints one object; with --follow, one object per line.
    """
    from wsinspect.launch.captures import resolve_capture

    if session_by is not None and not sessions:
        raise click.UsageError("--session-by needs --sessions")
    if sessions and (expression or payload or follow):
        raise click.UsageError("--sessions cannot be combined with --filter, --payload or --follow")
    if clock is not None and (sessions or as_json):
        other = "--sessions" if sessions else "--json, whose times are nanoseconds since 1970"
        raise click.UsageError(f"--time cannot be combined with {other}")
    flt = parse_filter(expression)
    name, number = _arguments(capture, connection)
    if clock is not None and number is None and (flt is None or flt.lists_connections):
        raise click.UsageError("--time needs a CONNECTION, or a filter for frames")
    path = resolve_capture(name)
    if not as_json:
        _narrate(path)
    if sessions:
        from wsinspect.cli.sessions import show_sessions

        show_sessions(path, number, session_by, as_json=as_json, color=color)
    elif flt is not None:
        from wsinspect.cli.filtered import show_filtered

        show_filtered(
            path,
            flt,
            number,
            with_payload=payload,
            follow=follow,
            as_json=as_json,
            color=color,
            clock=clock or "relative",
        )
    elif number is None:
        _show_connections(path, follow, as_json)
    else:
        _show_connection(path, number, payload, follow, as_json, color, clock or "relative")


def _arguments(capture: str | None, connection: int | None) -> tuple[str | None, int | None]:
    """Capture and connection; a lone number means a connection of the last capture."""
    number = None if capture is None or connection is not None else whole_number(capture, 18)
    if number is not None:
        return None, number
    return capture, connection


def _narrate(path: Path) -> None:
    from wsinspect.capture.missing import missing
    from wsinspect.capture.story import story
    from wsinspect.cli.output import note
    from wsinspect.present.story import story_words
    from wsinspect.recorder.opening import open_capture
    from wsinspect.text import escape

    with open_capture(path) as capture:
        lacks = missing(capture)
        if capture.is_live:
            state = "it is still being written"  # by an engine, or by an import
        else:
            whole = "incomplete" if lacks else "complete"
            state = whole if capture.meta.get("closed_cleanly") else "the engine did not exit cleanly"
        done = story(capture)
    more = [lacks.words] if lacks else []
    more += [story_words(done)] if done is not None else []
    note(escape("; ".join([f"{path}: {state}", *more])))


def _show_connections(path: Path, follow: bool, as_json: bool) -> None:
    from wsinspect.cli.listing import follow_connections_json, print_connections_json, show_connections

    if not as_json:
        show_connections(path, follow=follow)
    elif follow:
        follow_connections_json(path)
    else:
        print_connections_json(path)


def _show_connection(
    path: Path, number: int, payload: bool, follow: bool, as_json: bool, color: str, clock: str
) -> None:
    from wsinspect.cli.detail import Detail, follow_json, print_connection_json, show_connection
    from wsinspect.present.clock import Clock
    from wsinspect.present.terminal import Palette

    detail = Detail(path, number, with_payload=payload, follow=follow)
    if not as_json:
        show_connection(detail, Palette.choose(color), Clock(clock))
    elif follow:
        follow_json(detail)
    else:
        print_connection_json(detail)
