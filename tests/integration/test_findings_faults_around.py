"""What a rule of ours held, lost or changed blames neither the hop nor a peer, and clients that give up while
nobody has answered ended it themselves: at one tap, around real hops, and by `diagnose`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support import warm
from tests.support.engine import Engine, private_environment
from tests.support.hop_taps import attempts, each_hop, engine_around, haproxy_hop, nginx_hop
from tests.support.hops import LOOPBACK
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.socket_echo import HEAD
from wsinspect.capture.reader import Capture
from wsinspect.findings.model import Finding

pytestmark = pytest.mark.lab


async def echo(connection: ServerConnection) -> None:
    with contextlib.suppress(WebSocketException):
        async for message in connection:
            await connection.send(message)


async def record(
    folder: Path, hop: Any, app: int, talk: Callable[[Engine], Awaitable[Any]], *options: str
) -> Engine:
    """Talk through it; all three ways to get its findings agree."""
    async with engine_around(folder, hop, app, *options) as engine:
        await talk(engine)
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return engine


def play(folder: Path, hop: Any, talk: Callable[[Engine], Awaitable[Any]], *options: str) -> Engine:
    async def run() -> Engine:
        async with serve(echo, LOOPBACK, 0, ping_interval=None) as server:
            return await record(folder, hop, next(iter(server.sockets)).getsockname()[1], talk, *options)

    return asyncio.run(run())


def wrong(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.id, one.fault_of) for one in found if one.severity != "note"]


def diagnose(engine: Engine, folder: Path) -> tuple[int, dict[str, Any]]:
    done = warm.run(
        ["diagnose", str(engine.capture), "--json"], folder=folder, environment=private_environment(folder)
    )
    return done.returncode, json.loads(done.stdout)


def url(engine: Engine, path: str = "/echo") -> str:
    return f"ws://{LOOPBACK}:{engine.port('edge')}{path}"


# -- a client that gives up before any answer


@pytest.mark.parametrize(
    ("hop", "how"),
    # HAProxy waits for the server after a client's FIN (without `option abortonclose`), so nothing ends then.
    [(None, "fin"), (None, "rst"), (nginx_hop, "fin"), (nginx_hop, "rst"), (haproxy_hop, "rst")],
    ids=["one tap fin", "one tap rst", "nginx fin", "nginx rst", "haproxy rst"],
)
def test_a_client_that_gives_up_before_an_answer_ended_it_and_no_server_is_blamed(tmp_path, hop, how):
    async def run() -> Engine:
        asked = asyncio.Event()

        async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                asked.set()
                await reader.read()
            writer.close()

        async def talk(engine: Engine) -> None:
            _, writer = await asyncio.open_connection(LOOPBACK, engine.port("edge"))
            writer.write(HEAD)
            await asked.wait()
            if how == "rst":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()
            await asyncio.to_thread(engine.wait_for_event, "refused")

        listening = await asyncio.start_server(hangs, LOOPBACK, 0)
        async with listening:
            return await record(tmp_path, hop, listening.sockets[0].getsockname()[1], talk)

    engine = asyncio.run(run())
    with Capture.open(engine.capture) as capture:
        edge = next(one for one in capture.connections() if one.tap == "edge")
    assert (edge.state, edge.ended_by) == ("failed", "client")
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        assert {one.fault_of for one in found if one.severity == "error"} <= {"client"}
        assert not any("server" in one.title and one.fault_of == "server" for one in found)
    _, said = diagnose(engine, tmp_path)
    assert "server" not in {one["fault_of"] for one in said["findings"] if one["severity"] == "error"}


# -- what a rule of ours held and lost


@each_hop
def test_a_frame_that_our_latency_held_and_an_abort_lost_is_no_loss_of_the_hop(tmp_path, hop):
    async def talk(engine: Engine) -> None:
        client = await connect(url(engine), ping_interval=None, proxy=None)
        await client.send("x")
        await asyncio.to_thread(engine.wait_for_event, "fault", rule="slow")
        sock = client.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()
        await asyncio.to_thread(engine.wait_for_event, "close")

    engine = play(tmp_path, hop, talk, "--fault", "latency:s2c,latency=60s,name=slow")
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        # The client's own reset is the client's; where the rule acted at its tap, that is a note.
        assert set(wrong(found)) <= {("WS-DROP-005", "client")}
    with Capture.open(engine.capture) as capture:
        held = [
            frame
            for number in attempt.ids
            for frame in capture.frames(number)
            if frame.direction.short == "s2c" and frame.opcode == 1
        ]
        assert held
        assert [frame.sent_ns for frame in held] == [None] * len(held)
        rows = [json.loads(row[0]) for row in capture.query("SELECT detail FROM fault_event")]
        assert any(row.get("lost") for row in rows)
    code, _ = diagnose(engine, tmp_path)
    assert code == 0


@each_hop
def test_what_a_hop_gets_late_from_us_is_not_late_by_the_hop(tmp_path, hop):
    """The near neighbour: the same rule, and everything arrives."""

    async def talk(engine: Engine) -> None:
        async with connect(url(engine), ping_interval=None, proxy=None) as client:
            for word in ("one", "two"):
                await client.send(word)
                assert await client.recv() == word

    engine = play(tmp_path, hop, talk, "--fault", "latency:s2c,latency=300ms,name=slow")
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        assert wrong(found) == []
    with Capture.open(engine.capture) as capture:
        for number in attempt.ids:
            frames = [
                one for one in capture.frames(number) if one.direction.short == "s2c" and one.opcode == 1
            ]
            assert all(one.sent_ns is not None and one.sent_ns - one.time_ns >= 290_000_000 for one in frames)
    assert diagnose(engine, tmp_path)[0] == 0


# -- what acted, and what did not


@each_hop
def test_a_dropped_fragmented_message_is_one_hit_and_no_loss_of_the_hop(tmp_path, hop):
    async def talk(engine: Engine) -> None:
        async with connect(url(engine), ping_interval=None, proxy=None, compression=None) as client:
            await client.send(["lost ", "and ", "gone"])
            await client.send("kept")
            assert await client.recv() == "kept"

    engine = play(tmp_path, hop, talk, "--fault", "drop:c2s,match=body:lost,name=dropper")
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        assert wrong(found) == []
    with Capture.open(engine.capture) as capture:
        rows = capture.query("SELECT connection_id, frame_id FROM fault_event WHERE rule = 'dropper'")
        messages = capture.query(
            "SELECT DISTINCT message_id FROM frame WHERE id IN (SELECT frame_id FROM fault_event)"
        )
    # Its frames, at the first tap alone, are one message; behind the hop nothing of it arrives.
    assert len({row[0] for row in rows}) == len(messages) == 1
    assert diagnose(engine, tmp_path)[0] == 0


@each_hop
def test_a_reorder_that_nothing_overtook_did_not_act(tmp_path, hop):
    async def talk(engine: Engine) -> None:
        async with connect(url(engine), ping_interval=None, proxy=None) as client:
            await client.send("alone")
            assert await client.recv() == "alone"

    engine = play(tmp_path, hop, talk, "--fault", "reorder:c2s,by=1,wait=300ms,name=mixer")
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        assert wrong(found) == []
    assert not [one for one in engine.events if one["event"] == "fault" and one.get("rule") == "mixer"]


@each_hop
def test_clients_without_a_user_agent_are_told_apart_behind_a_hop_too(tmp_path, hop):
    async def talk(engine: Engine) -> None:
        for cookie in ("sid=a", "sid=b", "sid=a"):
            options: dict[str, Any] = {"user_agent_header": None, "additional_headers": {"Cookie": cookie}}
            async with connect(url(engine), proxy=None, **options) as client:
                await client.send("x")
                await client.recv()

    engine = play(tmp_path, hop, talk)
    with Capture.open(engine.capture) as capture:
        for tap in ("edge",) if hop is None else ("edge", "origin"):
            rows = capture.query("SELECT client_session FROM connection WHERE tap = ? ORDER BY id", (tap,))
            first, second, third = (row[0] for row in rows)
            assert first == third != second
    assert diagnose(engine, tmp_path)[0] == 0
