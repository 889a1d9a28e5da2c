"""A side that does not read: at one tap, around a hop, by `diagnose` and in `show`; and who is only slow.

The server sends until its own patience with `send` is over, as servers with a limit on what may wait do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support import warm
from tests.support.bytes_of_frames import KEY, frame
from tests.support.engine import Engine, private_environment
from tests.support.finding_lab import in_time
from tests.support.hop_taps import Attempt, attempts, each_hop, nginx_hop, record_around
from tests.support.hops import LOOPBACK, Hop
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.socket_echo import HEAD

pytestmark = [pytest.mark.lab, pytest.mark.slow]

BLOCK = os.urandom(65536)
#: How long the server waits until a message can be sent.
PATIENCE = 3.0
CLOSE = 8
REASON = "client too slow: queue is full"
#: The server's CLOSE frames.
GOODBYES = (frame(CLOSE, b"\x03\xe8"), frame(CLOSE, b"\x03\xf0" + REASON.encode()))
#: More than all buffers on the way take.
MOST = 1200


class Flood:
    """A server that sends until a message has to wait for too long, and then ends the connection.

    Attributes:
        gave_up: it has.
        how: "abort" (TCP), "policy" (CLOSE 1008), or "all": it has no limit, and closes after the last.
        most: messages that it has.
    """

    def __init__(self, how: str, most: int = MOST) -> None:
        self.how = how
        self.most = most
        self.gave_up = asyncio.Event()
        self.waited = asyncio.Event()

    async def __call__(self, connection: ServerConnection) -> None:
        with contextlib.suppress(WebSocketException):
            try:
                for _ in range(self.most):
                    await asyncio.wait_for(connection.send(BLOCK), PATIENCE)
            except TimeoutError:
                self.waited.set()
                if self.how == "all":
                    for _ in range(4):
                        await connection.send(BLOCK)
                elif self.how == "abort":
                    connection.transport.abort()
                else:
                    closing = asyncio.create_task(connection.close(1008, REASON))
                    self.gave_up.set()
                    await closing
            self.gave_up.set()


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client with a small window that has its 101 and reads nothing more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2048)
    writer.write(HEAD)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def take_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read to the end, and answer a CLOSE as it has to be."""
    tail = b""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 20):
            tail = (tail + data)[-80:]
            found = next((one for one in GOODBYES if tail.endswith(one)), None)
            if found is not None:
                writer.write(frame(CLOSE, found[2:4], key=KEY))
    writer.close()


async def sleeps(flood: Flood, port: int) -> None:
    """Reads nothing until the server has given up, and then all."""
    reader, writer = await opened(port)
    await flood.waited.wait()
    await take_all(reader, writer)


async def leaves(flood: Flood, port: int) -> None:
    """Reads nothing, and is killed while the server waits."""
    _, writer = await opened(port)
    await flood.waited.wait()
    writer.transport.abort()


async def reads(flood: Flood, port: int) -> None:
    """Takes everything at once."""
    reader, writer = await opened(port)
    await take_all(reader, writer)


async def reads_slowly(flood: Flood, port: int) -> None:
    """Takes a little all the time, until the server has given up, and then all."""
    reader, writer = await opened(port)
    while not flood.waited.is_set():
        await reader.read(16384)
        await asyncio.sleep(0.05)
    await take_all(reader, writer)


def play(
    folder: Path,
    hop: Callable[[Path, int], Hop] | None,
    how: str,
    client: Callable[[Flood, int], Awaitable[Any]],
    most: int = MOST,
) -> tuple[Engine, Attempt]:
    async def run(place: Path) -> Engine:
        flood = Flood(how, most)
        options: Any = {"ping_interval": None, "close_timeout": 20, "compression": None}
        async with serve(flood, LOOPBACK, 0, **options) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            return await record_around(place, hop, app, lambda port: client(flood, port))

    engines: list[Engine] = []

    def once(place: Path) -> Path:
        engines.append(asyncio.run(run(place)))
        return engines[-1].capture

    in_time(folder, once)
    engine = engines[-1]
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    (attempt,) = attempts(engine.capture)
    return engine, attempt


def show(engine: Engine, folder: Path, *words: str) -> str:
    done = warm.run(
        ["show", str(engine.capture), *words], folder=folder, environment=private_environment(folder)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blamed(found: list[Any]) -> set[tuple[str, str]]:
    return {(one.id, one.fault_of) for one in found if one.severity in ("error", "warning")}


@each_hop
@pytest.mark.parametrize("how", ["abort", "policy"])
def test_the_client_that_did_not_read_is_named(tmp_path, hop, how):
    engine, attempt = play(tmp_path, hop, how, sleeps)
    assert ("WS-DROP-015", "client") in blamed(attempt.one)
    (own,) = [one for one in attempt.one if one.id == "WS-DROP-015"]
    assert own.confidence == "medium"
    assert any("acknowledged in that time" in line for line in own.evidence)
    assert next(one.cause for one in own.causes).startswith("the client's program does not read")
    expected = "WS-DROP-015" if hop is None else "WS-DROP-103"
    assert [one.fault_of for one in attempt.all if one.id == expected] == ["client"]
    assert {one.fault_of for one in attempt.all if one.severity == "error"} <= {"client"}
    text = show(engine, tmp_path, str(min(attempt.ids)))
    assert "to the client" in text
    assert "full for" in text


@each_hop
def test_a_client_that_is_killed_while_it_does_not_read_is_blamed_for_no_server(tmp_path, hop):
    _, attempt = play(tmp_path, hop, "all", leaves)
    assert not [one for one in (*attempt.one, *attempt.all) if one.severity == "error"]
    assert "WS-DROP-016" in {one.id for one in attempt.one}


@each_hop
@pytest.mark.parametrize("client", [sleeps, reads], ids=["slow", "quick"])
def test_a_server_that_waits_and_says_goodbye_gave_up_nothing(tmp_path, hop, client):
    _, attempt = play(tmp_path, hop, "all", client)
    assert not blamed(attempt.one)
    assert not blamed(attempt.all)
    if client is reads:
        assert not {one.id for one in (*attempt.one, *attempt.all)} & {
            "WS-DROP-015",
            "WS-DROP-016",
            "WS-DROP-103",
        }


@pytest.mark.parametrize("how", ["abort", "policy"])
def test_a_client_that_reads_slowly_is_not_said_to_read_nothing(tmp_path, how):
    _, attempt = play(tmp_path, None, how, reads_slowly)
    (own,) = [one for one in attempt.one if one.id == "WS-DROP-015"]
    assert own.title.startswith("The client read more slowly than was sent for ")
    assert (own.severity, own.confidence) == ("warning", "low")
    assert own.causes[0].cause.startswith("the way to the client, or a hop on it, carries less")


def test_a_hop_that_stands_still_is_named_and_no_client(tmp_path):
    hops: list[Hop] = []

    def nginx_that_stops(folder: Path, origin: int) -> Hop:
        hops.append(nginx_hop(folder, origin))
        return hops[0]

    async def reads_from_it(flood: Flood, port: int) -> None:
        reader, writer = await opened(port)
        await reader.readexactly(len(BLOCK))
        hop = hops[-1]
        hop.signal(signal.SIGSTOP)
        try:
            taking = asyncio.create_task(take_all(reader, writer))
            await flood.waited.wait()
        finally:
            hop.signal(signal.SIGCONT)
        await taking

    _, attempt = play(tmp_path, nginx_that_stops, "abort", reads_from_it, most=100_000)
    (found,) = [one for one in attempt.all if one.id == "WS-DROP-103"]
    assert (found.fault_of, found.confidence, found.severity) == ("hop", "high", "error")
    assert found.title.startswith("The hop did not take what the server sent for ")
    assert any("behind it nothing waited for the client" in line for line in found.evidence)
    # The frame that was under way is cut, which is said, and blames nobody.
    assert blamed(attempt.all) - {("WS-FR-010", "network")} == {("WS-DROP-103", "hop")}
    # One tap before the hop saw no client that did not read.
    assert not {one.id for one in attempt.one} & {"WS-DROP-015", "WS-DROP-016"}
