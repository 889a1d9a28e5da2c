"""Made-up traffic for the capture's tests: scripts of journal records, and what a capture made of them."""

from __future__ import annotations

import functools
import random
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.journal.format import Record, journal_directory
from wsinspect.journal.reader import JournalReader
from wsinspect.journal.writer import JournalWriter
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.opening import open_capture
from wsinspect.recorder.prepare import close_books, finish
from wsinspect.vocabulary.events import Event
from wsinspect.wire.frame import serialize_frame

START_NS = 1_700_000_000_000_000_000
KEY = b"\x11\x22\x33\x44"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


T = TypeVar("T")


def need(value: T | None) -> T:
    """The value, which must be there."""
    assert value is not None
    return value


@dataclass(frozen=True, slots=True)
class Foreign(Event):
    """An event as the object that it is: of an older engine, or of a stranger."""

    found: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return dict(self.found)


class Step(NamedTuple):
    """One call of a `JournalWriter` method."""

    method: str
    arguments: tuple[Any, ...]


def play(writer: JournalWriter, steps: Iterable[Step]) -> None:
    for step in steps:
        getattr(writer, step.method)(*step.arguments)


class Script:
    """Builds steps with a clock that ticks."""

    def __init__(self, *, meta: dict[str, Any] | None = None) -> None:
        self.steps: list[Step] = []
        self.now = START_NS
        self.event(0, "engine", **({"versions": {"wsinspect": "0"}, "argv": ["run"]} | (meta or {})))

    def _add(self, method: str, *arguments: Any) -> None:
        self.steps.append(Step(method, arguments))
        self.now += 1000

    def event(self, connection: int, kind: str, **facts: Any) -> None:
        self._add("event", connection, Foreign({"event": kind, **facts}), self.now)

    def data(self, connection: int, direction: int, chunk: bytes, sent_after_ns: int = 500) -> None:
        self._add("data", connection, direction, chunk, self.now, sent_after_ns)

    def head(self, connection: int, part: int, raw: bytes) -> None:
        self._add("head", connection, part, raw, self.now)

    def body(self, connection: int, chunk: bytes) -> None:
        self._add("body", connection, chunk, self.now)

    def attempt(self, connection: int) -> None:
        self.event(
            connection,
            "attempt",
            tap="edge",
            client="127.0.0.1:5",
            listener="127.0.0.1:8080",
            scheme="ws",
            host="example.test",
            port=8080,
            path="/chat",
            http_version="HTTP/1.1",
            tcp_ns=START_NS,
            tls_ns=None,
            client_tls=None,
        )

    def open(self, connection: int, *, deflate: bool = False) -> None:
        extra = DEFLATE if deflate else b""
        self.attempt(connection)
        request = b"GET /chat HTTP/1.1\r\nHost: example.test\r\n" + extra + b"\r\n"
        response = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + extra
            + b"\r\n"
        )
        self.head(connection, 0, request)
        self.head(connection, 1, request)
        self.event(
            connection,
            "server",
            address="10.0.0.1:80",
            peer="10.0.0.1:80",
            sockname="10.0.0.9:3",
            tcp_start_ns=1,
            tcp_done_ns=2,
            tls_done_ns=None,
            reused=False,
            tls=None,
            error=None,
        )
        self.head(connection, 2, response)
        self.head(connection, 3, response)
        self.event(connection, "open")

    def end(self, connection: int, side: str = "client", how: str = "fin") -> None:
        self.event(connection, "end", side=side, how=how)
        self.event(connection, "closed")

    def stop(self) -> list[Step]:
        self.event(0, "engine_stop")
        return self.steps


def text(payload: bytes, *, masked: bool = True, **options: Any) -> bytes:
    return serialize_frame(options.pop("opcode", 1), payload, key=KEY if masked else None, **options)


class Talk:
    """Random traffic of one direction as wire bytes: fragments, control frames, deflate, violations."""

    def __init__(self, rng: random.Random, direction: int, *, deflate: bool) -> None:
        self._rng = rng
        self._key = KEY if direction == 0 else None
        self._deflate = zlib.compressobj(wbits=-15) if deflate else None

    def frames(self) -> bytes:
        kind = self._rng.choice(["text", "text", "text", "fragments", "ping", "pong", "binary", "odd", "big"])
        if kind == "text":
            return self._message(self._words(), 1, 1)
        if kind == "binary":
            return self._message(self._rng.randbytes(self._rng.randrange(300)), 2, 1)
        if kind == "big":
            return self._message(self._rng.randbytes(self._rng.randrange(70_000)), 2, 1)
        if kind == "fragments":
            return self._message(self._words(), 1, self._rng.randrange(2, 5))
        if kind == "ping":
            return serialize_frame(9, self._rng.choice([b"", b"a", b"b"]), key=self._key)
        if kind == "pong":
            return serialize_frame(10, self._rng.choice([b"", b"a", b"b"]), key=self._key)
        return self._odd()

    def _odd(self) -> bytes:
        """Frames that break a rule, and messages that are left open or interrupted by the next one."""
        if self._rng.random() < 0.02:
            # Breaks the compression context for good, where there is one.
            return serialize_frame(1, b"not deflate", rsv=4, key=self._key)
        kinds: list[tuple[int, bytes, dict[str, Any]]] = [
            (3, b"reserved", {}),
            (11, b"reserved control", {}),
            (0, b"continues what?", {}),
            (0, b"and ends it", {"fin": False}),
            (1, b"begun", {"fin": False}),
            (2, b"begun as well", {"fin": False}),
            (1, b"\xff\xfe", {}),
            (1, b"reserved bit", {"rsv": 2}),
            (9, b"long", {"length_bytes": 8}),
            (9, b"fragment", {"fin": False}),
            (1, b"not minimal", {"length_bytes": 8}),
        ]
        opcode, payload, options = self._rng.choice(kinds)
        key = self._key if self._rng.random() < 0.9 else None
        return serialize_frame(opcode, payload, key=key, **options)

    def _words(self) -> bytes:
        return b" ".join(
            self._rng.choice([b"alpha", b"beta", b"gamma"]) for _ in range(self._rng.randrange(40))
        )

    def _message(self, payload: bytes, opcode: int, count: int) -> bytes:
        rsv = 0
        if self._deflate is not None and self._rng.random() < 0.8:
            payload = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            payload, rsv = payload[:-4], 4
        size = max(1, -(-len(payload) // count))
        parts = [payload[index : index + size] for index in range(0, max(1, len(payload)), size)]
        out = b""
        for index, part in enumerate(parts):
            is_first, is_last = index == 0, index == len(parts) - 1
            out += serialize_frame(
                opcode if is_first else 0, part, fin=is_last, rsv=rsv if is_first else 0, key=self._key
            )
            if not is_last and self._rng.random() < 0.5:
                out += serialize_frame(9, b"between", key=self._key)
        return out


def random_script(seed: int, *, connections: int = 4, chunks: int = 120, **meta: Any) -> list[Step]:
    """Several connections at once, chunks cut anywhere, some ending in odd ways."""
    rng = random.Random(seed)
    script = Script(meta=meta)
    pools: list[tuple[int, int, bytearray, Talk]] = []
    for connection in range(1, connections + 1):
        deflate = rng.random() < 0.5
        script.open(connection, deflate=deflate)
        pools += [(connection, side, bytearray(), Talk(rng, side, deflate=deflate)) for side in (0, 1)]
    for _ in range(chunks):
        connection, side, pool, talk = rng.choice(pools)
        while len(pool) < 200:
            pool += talk.frames()
        if rng.random() < 0.005:
            script.event(0, "unstored", bytes=9, records=1, reason="full", streams=[[connection, side]])
        size = rng.choice([1, 3, 50, 500, 5000, 70_000])
        script.data(connection, side, bytes(pool[:size]))
        del pool[:size]
    for connection in range(1, connections + 1):
        ending = rng.choice(["close", "fin", "rst", "lost", "open"])
        if ending in ("close", "lost"):
            # Bring both directions to a frame boundary first.
            for other, side, pool, _ in pools:
                if other == connection:
                    script.data(connection, side, bytes(pool))
        if ending == "close":
            script.data(connection, 0, text(b"\x03\xe8bye", opcode=8))
            script.data(connection, 1, text(b"\x03\xe8bye", opcode=8, masked=False))
        if ending == "lost":
            script.data(connection, 1, b"\x82\x7f" + b"\xff" * 8 + b"rest")
            script.data(connection, 1, b"more of it")
        if ending != "open":
            script.end(connection, rng.choice(["client", "server"]), "rst" if ending == "rst" else "fin")
    return script.stop()


def write_journal(capture: Path, steps: Iterable[Step], **options: Any) -> None:
    """A whole journal, written by a writer that came to an orderly end."""
    writer = JournalWriter(journal_directory(capture), **options)
    play(writer, steps)
    writer.close()


@functools.cache
def _empty() -> bytes:
    """An empty capture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        schema.create(path)
        return path.read_bytes()


def new_capture(path: Path) -> None:
    """Write an empty capture: a copy, for thousands of tests need one, and to make all its tables takes ten
    times as long."""
    with path.open("xb") as file:
        path.chmod(0o600)
        file.write(_empty())


def index(capture: Path, *, commit_every: int = 0, is_over: bool = True, is_restartable: bool = True) -> None:
    """What the recorder does, in this process and without waiting; or an import (not `is_restartable`)."""
    if not capture.exists():
        new_capture(capture)
    database = schema.open_for_writing(capture)
    indexer = Indexer(database)
    indexer.is_restartable = is_restartable
    reader = JournalReader(journal_directory(capture), indexer.position)
    count = 0
    while records := reader.read():
        indexer.seek(reader.start)
        for record in records:
            indexer.add(record)
            count += 1
            if commit_every and count % commit_every == 0:
                indexer.commit()
    indexer.is_restartable = True
    if indexer.has_uncommitted:
        indexer.commit()
    if is_over:
        close_books(indexer, reader)
        if indexer.has_uncommitted:
            indexer.commit()
        finish(database, reader, journal_directory(capture))
    reader.close()
    database.close()


def read_all(capture: Path) -> list[Record]:
    """Every record of a journal."""
    reader = JournalReader(journal_directory(capture))
    records: list[Record] = []
    while more := reader.read():
        records += more
    reader.close()
    return records


TABLES = ("meta", "connection", "handshake", "frame", "message", "ping", "opaque", "event")


def dump(capture: Path, tables: Sequence[str] = TABLES) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the public tables."""
    database = sqlite3.connect(capture)
    try:
        return {
            table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables
        }
    finally:
        database.close()


def is_sound(capture: Path) -> bool:
    """PRAGMA integrity_check."""
    database = sqlite3.connect(capture)
    try:
        return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        database.close()


def made_of(path: Path, script: Script) -> Capture:
    """The capture that comes of a script, complete and sound."""
    write_journal(path, script.stop())
    index(path)
    assert is_sound(path)
    return open_capture(path)


def only(capture: Capture) -> Connection:
    """The one connection of a capture."""
    (connection,) = capture.connections()
    return connection
