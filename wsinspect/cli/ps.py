"""`wsinspect ps`: the engines that run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsinspect.cli.options import examples, json_option
from wsinspect.net import Address

if TYPE_CHECKING:
    from wsinspect.launch.engines import EngineInfo


@click.command(epilog=examples("wsinspect ps", "wsinspect ps --json"))
@json_option
def ps(as_json: bool) -> None:
    """List running engines: process id, listeners, capture."""
    from wsinspect.cli.output import echo, echo_json, note, prose_columns
    from wsinspect.launch.engines import list_engines
    from wsinspect.launch.paths import spoken
    from wsinspect.present.terminal import table
    from wsinspect.text import escape, truncate

    engines = list_engines()
    if as_json:
        echo_json({"engines": [asdict(info) for info in engines]})
    elif not engines:
        note("no engine is running; start one with: wsinspect run")
    else:
        columns = prose_columns()
        rows = [_row(info) for info in engines]
        if columns is not None:
            # A screen has no room for the folder that all of them are in; a script gets the path.
            for row, info in zip(rows, engines, strict=True):
                row[-1] = escape(spoken(Path(info.capture))) if info.capture else "-"
        for line in table(["PID", "STARTED", "LISTENS ON", "CAPTURE"], rows):
            echo(line if columns is None else truncate(line, columns))


def _row(info: EngineInfo) -> list[str]:
    from wsinspect.present.terminal import date_time
    from wsinspect.text import escape

    listeners = ", ".join(_listener(one) for one in info.listeners) or "-"
    return [str(info.pid), date_time(info.started_ns), escape(listeners), escape(info.capture or "-")]


def _listener(listener: dict[str, object]) -> str:
    tap, mode = listener.get("tap"), listener.get("mode")
    if listener.get("port") is None:
        return str(mode)
    address = Address(str(listener.get("host")), int(str(listener["port"])))
    kind, _, target = str(mode).partition(":")
    words = f"{address} to {target}" if kind == "reverse" and target else f"{address} ({mode})"
    # A listener without a name of its own is called by its mode: nothing that the mode does not say.
    return f"{tap}={words}" if tap and tap != kind else words
