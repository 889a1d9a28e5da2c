"""Connections as a capture tells them, in the words in which the lab's applications tell theirs.

A message is its text, or `hex:` and digits; a close is [code, reason], [None, ""] for an empty CLOSE frame.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.apps import NodeApp, Outcome
from tests.support.engine import Engine
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection, FrameRow, Handshake, Message
from wsinspect.wire.opcodes import Direction, Opcode

ALL = 1 << 30


@dataclass(frozen=True)
class Side:
    """One direction of a connection.

    Attributes:
        messages: finished ones, in order.
        heard: how many of them were before a CLOSE frame of either side or a violation; to later ones nobody
            listens.
        kinds: of each message its opcode, whether all of its frames are masked, how many frames it has, and
            whether it is compressed.
        wire_lengths: of each message the bytes of its frames on the wire.
        frames: how many of all kinds.
        pings, pongs: payloads of the control frames.
        closes: how many CLOSE frames.
        close: of the first one, if one came.
    """

    messages: list[str]
    heard: int
    kinds: list[tuple[int, bool, int, bool]]
    wire_lengths: list[int]
    frames: int
    pings: list[bytes]
    pongs: list[bytes]
    closes: int
    close: list[Any] | None


@dataclass(frozen=True)
class Recording:
    """One connection; `faults` are sentences about what is wrong with it or missing."""

    connection: Connection
    handshake: Handshake
    c2s: Side
    s2c: Side
    faults: list[str]

    def request_headers(self) -> dict[str, str]:
        """Of the request as it was forwarded, by lower-case name."""
        head = (self.handshake.request_out or b"").decode("latin-1")
        lines = (line.partition(":") for line in head.split("\r\n")[1:] if line)
        return {name.lower(): value.strip() for name, _, value in lines}


def recordings(engine: Engine, path: str = "", *, tap: str | None = None, count: int = 1) -> list[Recording]:
    """The connections whose path contains `path`, in the order of their attempts, once all have ended.

    Raises:
        TimeoutError: there are not so many, or they have not ended.
    """
    deadline = time.monotonic() + 60
    while True:
        with Capture.open(engine.capture) as capture:
            found = [
                one
                for one in capture.connections()
                if path in (one.path or "") and (tap is None or one.tap == tap)
            ]
            if len(found) >= count and all(_is_over(one) for one in found):
                assert len(found) == count, found
                return [_recording(capture, one) for one in found]
        if time.monotonic() > deadline:
            states = [(one.path, one.state) for one in found]
            raise TimeoutError(f"{count} expected, found {states}; stderr: {engine.stderr[-2000:]}")
        time.sleep(0.05)


def recording(engine: Engine, path: str, *, tap: str | None = None) -> Recording:
    """The only connection whose path contains `path`."""
    (one,) = recordings(engine, path, tap=tap)
    return one


def _is_over(connection: Connection) -> bool:
    """Ended, and nothing more will be recorded of it: a refusal's body comes after its status."""
    return connection.state not in ("connecting", "open") and connection.closed_ns is not None


def _recording(capture: Capture, connection: Connection) -> Recording:
    frames = capture.frames(connection.id, limit=ALL)
    messages = capture.messages(connection.id, limit=ALL)
    handshake = capture.handshake(connection.id)
    assert handshake is not None
    sides: list[Side] = []
    faults = [f"frame {one.id}: {one.violation}" for one in frames if one.violation]
    faults += [f"message {one.id}: {one.problem}" for one in messages if one.problem]
    faults += [f"message {one.id}: not valid text" for one in messages if one.valid_text is False]
    opaque = capture.opaque(connection.id)
    faults += [f"opaque bytes: {one.reason}" for one in opaque]
    for direction, counted, size in (
        (Direction.CLIENT_TO_SERVER, connection.c2s_frames, connection.c2s_bytes),
        (Direction.SERVER_TO_CLIENT, connection.s2c_frames, connection.s2c_bytes),
    ):
        mine = [frame for frame in frames if frame.direction is direction]
        rest = sum(one.length for one in opaque if one.direction is direction)
        if len(mine) != counted or sum(frame.wire_length for frame in mine) + rest != size:
            faults.append(f"{direction.short}: {len(mine)} of {counted} frames, or not all of {size} bytes")
        own = [one for one in messages if one.direction is direction]
        sides.append(_side(capture, mine, own, [one.id for one in frames if one.opcode == Opcode.CLOSE]))
    return Recording(connection, handshake, sides[0], sides[1], faults)


def _side(capture: Capture, frames: list[FrameRow], messages: list[Message], stops: list[int]) -> Side:
    parts: dict[int, list[FrameRow]] = {message.id: [] for message in messages}
    for frame in frames:
        if frame.message_id is not None:
            parts[frame.message_id].append(frame)
    done = [one for one in messages if one.problem not in ("unfinished", "interrupted")]
    stops = stops + [frame.id for frame in frames if frame.violation]
    closes = [frame.payload for frame in frames if frame.opcode == Opcode.CLOSE]
    return Side(
        messages=[_shown(message.opcode, capture.message_payload(message)) for message in done],
        heard=sum(1 for one in done if (one.last_frame or 0) < min(stops, default=ALL)),
        kinds=[
            (
                message.opcode,
                all(frame.masked for frame in parts[message.id]),
                len(parts[message.id]),
                bool(message.compressed),
            )
            for message in done
        ],
        wire_lengths=[sum(frame.wire_length for frame in parts[message.id]) for message in done],
        frames=len(frames),
        pings=[frame.payload for frame in frames if frame.opcode == Opcode.PING],
        pongs=[frame.payload for frame in frames if frame.opcode == Opcode.PONG],
        closes=len(closes),
        close=_close(closes[0]) if closes else None,
    )


def _close(payload: bytes) -> list[Any]:
    if len(payload) < 2:
        return [None, ""]
    return [int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")]


def _shown(opcode: int, data: bytes) -> str:
    return data.decode("utf-8", "replace") if opcode == Opcode.TEXT else "hex:" + data.hex()


def engine_before(folder: Path, *options: str, **taps: int) -> Engine:
    """An engine with a regular listener and a tap of each name before a server on that port of 127.0.0.1."""
    places = [f"--tap={name}=127.0.0.1:0=http://127.0.0.1:{port}" for name, port in taps.items()]
    return Engine.start(
        *("--listen", "127.0.0.1:0", "--insecure"),
        *places,
        *options,
        folder=folder / "engine",
    )


@contextmanager
def node(loop: ThreadedLoop, script: str, *arguments: str) -> Iterator[tuple[NodeApp, Outcome]]:
    """A script of tests/node and the first line it says."""
    app = loop.run(NodeApp.start(script, *arguments))
    try:
        yield app, loop.run(app.first_line())
    finally:
        loop.run(app.stop())


@contextmanager
def graphql_before(folder: Path) -> Iterator[tuple[ThreadedLoop, NodeApp, NodeApp, Engine, Iterator[str]]]:
    """Server and client of graphql-ws, an engine between them, and paths for connections."""
    paths = (f"/graphql?case={number}." for number in itertools.count(1))
    with (
        ThreadedLoop() as loop,
        node(loop, "graphql_ws.mjs", "server") as (server, said),
        node(loop, "graphql_ws.mjs", "client") as (client, _),
        engine_before(folder, app=said["port"]) as engine,
    ):
        yield loop, server, client, engine, paths


def asked(loop: ThreadedLoop, app: NodeApp, timeout: float = 60, **command: Any) -> Outcome:
    """The answer to a command.

    Raises:
        AssertionError: there was none, or it says that it failed.
    """
    outcome = loop.run(app.ask(timeout, **command))
    assert not {"failure", "timeout"} & set(outcome), outcome
    return outcome
