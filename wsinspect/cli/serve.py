"""`wsinspect serve`: the timeline of a capture in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wsinspect.cli.completion import complete_capture
from wsinspect.cli.options import examples, json_option, listen_option
from wsinspect.net import Address

if TYPE_CHECKING:
    from wsinspect.launch.serving import TimelineServer

#: What a plain installation does not have.
_PACKAGES = ("aiohttp", "textual_serve")


@click.command(
    epilog=examples(
        "wsinspect serve                     the last capture, on any free port",
        "wsinspect serve chat.db --listen 8099",
        "ssh -L 8099:127.0.0.1:8099 HOST wsinspect serve --listen 8099",
    )
)
@click.argument("capture", required=False, shell_complete=complete_capture)
@listen_option
@json_option
def serve(capture: str | None, listen: Address, as_json: bool) -> int:
    """Show the timeline of CAPTURE in a browser: on loopback, behind a token, until SIGINT.

    CAPTURE is a file, or 'last', which is also the default: what the newest running engine records, otherwise
    the newest capture. Whoever has the printed address sees the capture, and can use a running engine as its
    user can; each visitor gets a timeline of their own.
    """
    import asyncio

    from wsinspect.errors import LocalError
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.recorder.opening import open_capture

    path = resolve_capture(capture)
    with open_capture(path):
        pass  # index what a dead engine and recorder left behind, and report errors now
    try:
        from wsinspect.launch.serving import TimelineServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise LocalError(
            "wsinspect serve needs the package textual-serve, which is not installed",
            hint="pipx inject wsinspect textual-serve, or pip install 'wsinspect[serve]'",
        ) from None
    import os

    from wsinspect.launch.paths import ensure_private_dir, run_dir

    token_file = ensure_private_dir(run_dir()) / f"serve-{os.getpid()}.token"
    return asyncio.run(_serve(TimelineServer(path, listen, token_file), as_json))


async def _serve(server: TimelineServer, as_json: bool) -> int:
    from wsinspect.cli.output import echo, echo_json, release, say
    from wsinspect.cli.signals import until_signalled

    url = await server.start()
    try:
        release()
        if as_json:
            echo_json({"event": "listening", "host": server.host, "port": server.port, "url": url})
        else:
            echo(f"serving {url}")
        if not server.is_private:
            line = (
                f"port {server.port} listens on {server.host}: other machines can open the"
                " timeline with this address, and nothing of it is encrypted on the way"
            )
            say(line)
        await until_signalled()
    finally:
        await server.close()
    return 0
