"""`wsinspect mock`: a WebSocket server made of steps in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.options import color_option, examples, json_option, listen_option
from wsinspect.cli.output import say
from wsinspect.net import Address
from wsinspect.text import counted

if TYPE_CHECKING:
    from wsinspect.peers.mock.script import Script
    from wsinspect.peers.mock.server import Watcher


@click.command(
    epilog=examples(
        "wsinspect mock chat.yaml                          on any free port",
        "wsinspect mock chat.yaml --listen 3000 --json",
        "wsinspect mock --check chat.yaml",
        "wsinspect export last --format mock -o chat.yaml  a script of what a server said",
    )
)
@click.argument("script", type=click.Path(path_type=Path), required=False)
@listen_option
@click.option("--check", is_flag=True, help="Only read the script, and say what is wrong with it.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of scripts.")
@json_option
@color_option
def mock(
    script: Path | None, listen: Address, check: bool, schema: bool, as_json: bool, color: str
) -> int | None:
    """Serve WebSockets from SCRIPT, a YAML file: on this message, say that; every 5 s, say this; then close.

    It needs no recording, and plays for any number of clients until SIGINT. docs/mock.md has the format and
    examples.
    """
    import asyncio

    if schema:
        from wsinspect.peers.mock.schema import schema as document

        click.echo(json.dumps(document(), indent=2))
        return None
    if script is None:
        raise click.UsageError("give a script: wsinspect mock FILE.yaml")
    from wsinspect.peers.mock.script import load_file

    loaded = load_file(script)
    if check:
        click.echo(f"{script}: {counted(len(loaded.script), 'step')}, {counted(len(loaded.rules), 'rule')}")
        return None
    return asyncio.run(_serve(loaded, listen, _watcher(as_json, color), as_json))


async def _serve(script: Script, listen: Address, watcher: Watcher, as_json: bool) -> int:
    import secrets
    import time

    from wsinspect.cli.output import echo, echo_json, release
    from wsinspect.cli.signals import until_signalled
    from wsinspect.peers.mock.server import MockServer

    server = MockServer(script, watcher, octets=secrets.token_bytes, now_ns=time.time_ns)
    port = await server.start(*listen)
    url = f"ws://{Address(listen.host, port)}{script.path or ''}"
    release()
    if as_json:
        echo_json({"event": "listening", "host": listen.host, "port": port, "url": url})
    else:
        echo(f"serving {url}")
    await until_signalled()
    await server.close()
    return 0


def _watcher(as_json: bool, color: str) -> Watcher:
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.peers.mock.server import Watcher
    from wsinspect.peers.printing import Printer, frame_object
    from wsinspect.peers.socket import Seen
    from wsinspect.present.terminal import Palette
    from wsinspect.text import escape

    class Lines(Watcher):
        """What happens, as lines for people."""

        def opened(self, number: int, path: str, subprotocol: str | None) -> None:
            said = f", subprotocol {escape(subprotocol)}" if subprotocol is not None else ""
            echo(f"#{number}  open {escape(path)}{said}")

        def refused(self, number: int, path: str, status: int) -> None:
            echo(f"#{number}  refused {escape(path)} with {status}")

        def frame(self, number: int, seen: Seen) -> None:
            Printer(lambda line: echo(f"#{number}  {line}"), Palette.choose(color)).frame(seen)

        def ended(self, number: int, how: str | None) -> None:
            echo(f"#{number}  ended{'' if how != 'rst' else ' (RST)'}")

        def failed(self, number: int, problem: str) -> None:
            say(f"connection {number}: {problem}")

    class Objects(Watcher):
        """One object per line."""

        def opened(self, number: int, path: str, subprotocol: str | None) -> None:
            _say("open", number, path=path, subprotocol=subprotocol)

        def refused(self, number: int, path: str, status: int) -> None:
            _say("refused", number, path=path, status=status)

        def frame(self, number: int, seen: Seen) -> None:
            found = frame_object(seen)
            _say(found.pop("event"), number, **found)

        def ended(self, number: int, how: str | None) -> None:
            _say("close", number, how=how)

        def failed(self, number: int, problem: str) -> None:
            _say("failed", number, problem=problem)

    def _say(event: str, number: int, **facts: Any) -> None:
        echo_json({"event": event, "connection": number, **facts})

    return Objects() if as_json else Lines()
