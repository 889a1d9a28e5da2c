"""`wsinspect stop`: ends an engine the way SIGTERM does, and waits for it."""

from __future__ import annotations

import click

from wsinspect.cli.completion import complete_engine
from wsinspect.cli.options import DURATION, examples, json_option


@click.command(epilog=examples("wsinspect stop", "wsinspect stop 4711", "wsinspect stop 4711 --timeout 30s"))
@click.argument("pid", required=False, type=click.IntRange(min=1), shell_complete=complete_engine)
@click.option(
    "--timeout", default="10s", type=DURATION, show_default=True, help="How long to wait for it to exit."
)
@json_option
def stop(pid: int | None, timeout: int, as_json: bool) -> None:
    """Stop the engine with process id PID, or the only running one.

    The engine stops listening, closes open connections and completes its capture. If several engines run,
    PID is needed.
    """
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.launch.engines import choose_engine, stop_engine
    from wsinspect.text import escape

    info = choose_engine(pid)
    stop_engine(info, timeout / 1e9)
    if as_json:
        echo_json({"stopped": {"pid": info.pid, "capture": info.capture}})
    else:
        echo(
            f"stopped engine {info.pid}" + (escape(f"; its capture: {info.capture}") if info.capture else "")
        )
