"""`wsinspect ps`: the engines that run."""

from __future__ import annotations

from dataclasses import asdict
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
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.launch.engines import list_engines
    from wsinspect.present.terminal import table

    engines = list_engines()
    if as_json:
        echo_json({"engines": [asdict(info) for info in engines]})
    elif not engines:
        click.echo("no engine is running; start one with: wsinspect run", err=True)
    else:
        for line in table(["PID", "STARTED", "LISTENS ON", "CAPTURE"], map(_row, engines)):
            echo(line)


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
    return f"{tap}={address} ({mode})" if tap else f"{address} ({mode})"
