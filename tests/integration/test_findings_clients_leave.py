"""Clients that leave: with a CLOSE that nobody answers, amid heartbeats, or deaf; one tap or two."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support.bytes_of_frames import CLOSE, KEY, TEXT, frame
from tests.support.engine import Engine
from tests.support.hop_taps import Attempt, attempts, nginx_hop, record_around, with_nginx
from tests.support.hops import LOOPBACK, Hop, haproxy
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.socket_echo import ACCEPTED, HEAD

pytestmark = pytest.mark.lab

BYE = (1000).to_bytes(2, "big")


def seen_in(engine: Engine) -> list[Attempt]:
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return attempts(engine.capture)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def leave_first(port: int) -> None:
    """CLOSE and, without waiting, FIN; then it listens until the server's end."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(HEAD)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame(TEXT, b"hello", key=KEY))
    await reader.readexactly(7)
    writer.write(frame(CLOSE, BYE, key=KEY))
    writer.write_eof()
    with contextlib.suppress(OSError):
        await asyncio.wait_for(reader.read(), 20)
    writer.close()


def server(over: asyncio.Event, *, answers: bool, stays: float) -> Serve:
    """A raw server that answers a CLOSE or does not, and closes TCP `stays` seconds after the FIN."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ACCEPTED)
            await reader.readexactly(11)
            writer.write(frame(TEXT, b"hello"))
            await reader.readexactly(8)
            if answers:
                writer.write(frame(CLOSE, BYE))
            await reader.read()
            await asyncio.sleep(stays)
        writer.close()
        over.set()

    return handle


def haproxy_hop(folder: Path, origin: int) -> Hop:
    return haproxy(folder, f"server app {LOOPBACK}:{origin}", timeouts="timeout tunnel 20s")


@pytest.mark.parametrize("answers", [False, True], ids=["never answered", "answered"])
@pytest.mark.parametrize("hop", [None, haproxy_hop, nginx_hop], ids=["one tap", "HAProxy", "nginx"])
def test_a_close_that_the_client_s_fin_follows_at_once(tmp_path, hop, answers):
    """The server had time to answer, and did not."""

    async def play() -> Engine:
        over = asyncio.Event()

        async def talk(port: int) -> None:
            await leave_first(port)
            await asyncio.wait_for(over.wait(), 20)

        app = await asyncio.start_server(server(over, answers=answers, stays=0.8), LOOPBACK, 0)
        async with app:
            return await record_around(tmp_path, hop, app.sockets[0].getsockname()[1], talk)

    (one,) = seen_in(asyncio.run(play()))
    silent = [] if answers else [("WS-CL-031", "warning", "server")]
    # nginx ends with the client's FIN: only the tap behind it sees that the server was silent.
    for found, wanted in ((one.one, [] if hop is nginx_hop else silent), (one.all, silent)):
        assert [(each.id, each.severity, each.fault_of) for each in found] == wanted
        if wanted:
            assert found[0].title == "The server did not answer the client's CLOSE frame"
            assert "no CLOSE from the server" in found[0].evidence


#: A client with a heartbeat that exits soon after its last one; it says when it sent, and when it went.
BEATING = """
import asyncio, json, os, sys, time
from websockets.asyncio.client import connect

async def main():
    async with connect(sys.argv[1], ping_interval=None, proxy=None) as socket:
        times = []
        for _ in range(4):
            await socket.send('{"type":"heartbeat"}')
            times.append(time.monotonic())
            await asyncio.sleep(times[0] + len(times) * 0.92 - time.monotonic())
        await asyncio.sleep(times[-1] + 0.99 - time.monotonic())
        print(json.dumps([*times, time.monotonic()]), flush=True)
        os._exit(0)

asyncio.run(main())
"""


def is_as_for_a_limit(times: list[float]) -> bool:
    """Whether it left just after its next heartbeat was due, as if a limit of that length had ended it."""
    *gaps, last = [after - before for before, after in pairwise(times)]
    beat = median(gaps)
    return all(abs(gap - beat) < 0.08 * beat for gap in gaps) and 1.04 * beat < last < 1.16 * beat


async def hear(socket: ServerConnection) -> None:
    with contextlib.suppress(WebSocketException):
        async for _ in socket:
            pass


@with_nginx
def test_a_client_that_exits_within_a_second_of_its_last_message_is_no_error(tmp_path, hop):
    left: list[float] = []

    async def talk(port: int) -> None:
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", BEATING, f"ws://{LOOPBACK}:{port}/beats"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdout is not None
        left[:] = json.loads(await asyncio.wait_for(client.stdout.read(), 20))
        await client.wait()

    async def play(folder: Path) -> Engine:
        async with serve(hear, LOOPBACK, 0, ping_interval=None) as app:
            return await record_around(folder, hop, next(iter(app.sockets)).getsockname()[1], talk)

    # Where the machine is too busy for the client's timers it leaves at another moment, which is no error
    # either but no near neighbour: then once more, and not for ever.
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        (one,) = seen_in(asyncio.run(play(folder)))
        for found in (one.one, one.all):
            assert [each.id for each in found if each.severity == "error" or each.id == "WS-KA-002"] == []
        if is_as_for_a_limit(left):
            break


@with_nginx
def test_a_client_that_stays_and_answers_no_ping_is(tmp_path, hop):
    """The heartbeat is the server's; its library gives up."""

    async def deaf(port: int) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, b"hello", key=KEY))
        with contextlib.suppress(OSError):
            await asyncio.wait_for(reader.read(), 20)
        writer.close()

    async def play() -> Engine:
        async with serve(hear, LOOPBACK, 0, ping_interval=0.92, ping_timeout=1.5, close_timeout=0.5) as app:
            return await record_around(tmp_path, hop, next(iter(app.sockets)).getsockname()[1], deaf)

    (one,) = seen_in(asyncio.run(play()))
    for found in (one.one, one.all):
        assert [(each.id, each.severity, each.fault_of) for each in found] == [
            ("WS-KA-001", "error", "client")
        ]
