"""`wsinspect demo`: an embedded server, clients and a misconfigured hop, seen through a real engine."""

from __future__ import annotations

from pathlib import Path

import click

from wsinspect.cli.options import examples


@click.command(
    epilog=examples("wsinspect demo --headless", "wsinspect demo --headless --seconds 10 --capture demo.db")
)
@click.option("--headless", is_flag=True, help="Print what happens and a summary.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=3600),
    default=5.0,
    show_default=True,
    help="How long the clients talk, start and end of the proxy included.",
)
@click.option(
    "--capture", type=click.Path(path_type=Path), help="The file to record to; a new one by default."
)
def demo(headless: bool, seconds: float, capture: Path | None) -> int:
    """See it work: a chat server, two clients and a hop that strips Upgrade, on loopback.

    The proxy between them is a real one. One attempt is refused, one connection ends without a CLOSE frame.
    """
    import asyncio
    import shlex

    from wsinspect.capture.reader import Capture
    from wsinspect.cli.output import echo
    from wsinspect.demo.play import play
    from wsinspect.demo.report import report
    from wsinspect.launch.paths import new_capture_path
    from wsinspect.text import escape

    path = (capture or new_capture_path()).absolute()
    asyncio.run(play(path, seconds, echo))
    echo()
    with Capture.open(path) as seen:
        for line in report(seen):
            echo(line)
    echo()
    name = "last" if capture is None else shlex.quote(str(capture))
    echo(escape(f"recorded in {path}"))
    echo(escape(f"to look at it: wsinspect show {name}"))
    return 0
