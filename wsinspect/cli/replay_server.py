"""`wsinspect replay --serve`: the recorded server, until all is played or somebody ends it."""

from __future__ import annotations

import asyncio
import signal
import ssl
from typing import TYPE_CHECKING, Any

from wsinspect.cli.output import echo, echo_json, note, release
from wsinspect.cli.replay_words import say_cuts, say_divergence
from wsinspect.net import Address
from wsinspect.replay.as_server.gates import parse_gate
from wsinspect.replay.as_server.server import ReplayServer, ServerOptions
from wsinspect.replay.common.http2 import server_context
from wsinspect.replay.common.pace import parse_speed
from wsinspect.replay.common.report import summary
from wsinspect.text import counted, escape
from wsinspect.wire.opcodes import Direction

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture
    from wsinspect.capture.records import Connection
    from wsinspect.replay.common.matching import Divergence
    from wsinspect.replay.common.report import ConnectionReport
    from wsinspect.replay.common.values import Place


def play_server(
    capture: Capture,
    chosen: list[Connection],
    places: tuple[Place, ...],
    address: Address,
    as_json: bool,
    options: dict[str, Any],
) -> int:
    """Listen and play; the exit code."""
    server_options = ServerOptions(
        places=places,
        match=options["match"],
        tests=dict(map(parse_gate, options["gates"])),
        any_order=options["any_order"],
        speed=parse_speed(options["speed"] or "1"),
        until=options["until"],
        then=options["then"],
        loop=options["loop"],
        normalise=options["normalise"],
        send_secrets=options["send_secrets"],
    )
    say_cuts(capture, chosen, Direction.SERVER_TO_CLIENT)
    certificate = options["certificate"]
    context = server_context(certificate) if certificate is not None else None
    return asyncio.run(_serve(capture, chosen, server_options, address, context, as_json))


async def _serve(
    capture: Capture,
    chosen: list[Connection],
    options: ServerOptions,
    address: Address,
    context: ssl.SSLContext | None,
    as_json: bool,
) -> int:
    on_divergence = _print_divergence if as_json else say_divergence
    server = ReplayServer(
        capture,
        chosen,
        options,
        on_divergence=on_divergence,
        on_report=_report_json if as_json else _report_line,
    )
    port = await server.start(*address, context)
    paths = sorted({(one.path or "/").partition("?")[0] for one in chosen})
    release()
    if as_json:
        echo_json({"event": "listening", "host": address.host, "port": port, "paths": paths})
    else:
        scheme = "ws" if context is None else "wss"
        echo(f"playing {counted(len(chosen), 'connection')} on {scheme}://{Address(address.host, port)}")
        for path in paths:
            echo(f"    {escape(path)}")
    await _until_over(server)
    await server.close()
    return _conclude(server, as_json)


async def _until_over(server: ReplayServer) -> None:
    """All played, or a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    waits = [asyncio.ensure_future(server.wait()), asyncio.ensure_future(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _conclude(server: ReplayServer, as_json: bool) -> int:
    unplayed = [one.id for one in server.unplayed]
    if as_json:
        is_equal = all(report.is_equal for report in server.reports)
        echo_json(
            {"event": "summary", "equal": is_equal, "played": len(server.reports), "unplayed": unplayed}
        )
        return 0 if is_equal else 1
    if unplayed:
        echo(
            f"{len(unplayed)} of the recorded connections were not asked for: {', '.join(map(str, unplayed))}"
        )
    total = sum(report.tally.diverged + len(report.problems) for report in server.reports)
    played = counted(len(server.reports), "connection")
    echo(f"played {played}, {counted(total, 'divergence')}")
    return 0 if all(report.is_equal for report in server.reports) else 1


def _print_divergence(report: ConnectionReport, what: Divergence | str) -> None:
    found = {"problem": what} if isinstance(what, str) else what.as_json()
    echo_json({"event": "divergence", "connection": report.connection, **found})


def _report_json(report: ConnectionReport) -> None:
    echo_json({"event": "connection", **report.as_json()})


def _report_line(report: ConnectionReport) -> None:
    for words in report.notes:
        note(f"connection {report.connection}: {escape(words)}")
    echo(escape(summary(report)))
