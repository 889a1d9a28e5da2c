"""Captures of a fleet: two edges and an application server, two days, a deploy, an idle timeout on one edge.

The questions of docs/fleet.md are asked of the data set that is made of them.
"""

from __future__ import annotations

import base64
import random
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.support.chats import SECRET_REQUEST, Chat, store
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.formats.parquet_writer import write_parquet
from wsinspect.handshake.negotiation import accept_key

SECOND: Final = 1_000_000_000
AGENTS: Final = ("ChatApp/1.2 (iOS)", "ChatApp/2.0 (Android)", "Mozilla/5.0 Firefox/150.0")
DAYS: Final = ("2026-11-28", "2026-11-29")
DEPLOY_HOUR: Final = 10
_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"


def make_fleet(folder: Path) -> list[Path]:
    """A capture for each machine and day, indexed and closed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for day in DAYS:
        scripts = {name: _Machine(name, day) for name in ("edge1", "edge2", "app1")}
        chance = random.Random(f"fleet {day}")
        for number in range(24):
            edge = scripts["edge1" if number % 2 else "edge2"]
            _connection(edge, scripts["app1"], day, number, chance)
        for name, script in scripts.items():
            paths.append(store(folder / f"{name}-{day}.db", script.in_order()))
    return paths


def export_fleet(captures: Iterable[Path], folder: Path) -> Path:
    """All of them in one data set."""
    for path in captures:
        with Capture.open(path) as capture:
            write_parquet(capture, folder, diagnose(capture.query))
    return folder


def large_capture(path: Path) -> int:
    """A capture of one machine with 100,000 frames in 20 connections; how many frames it has."""
    script = _Machine("edge0", "2026-11-10")
    for one in range(1, 21):
        start = 8 * 3600 + one * 60
        script.attempt_of(start, SECRET_REQUEST, f"203.0.113.{one}:5000")
        script.answer(one)
        script.event(one, "open")
        for turn in range(2500):
            script.at(start + 1 + turn * 0.02)
            script.client(one, b'{"type":"post","text":"hello %d"}' % turn)
            script.server(one, b'{"type":"ack"}')
        script.end(one, "server")
    store(path, script.in_order())
    return 100_000


def another_capture(large: Path, path: Path, number: int) -> None:
    """A large capture again, of another machine or another day: recording it would take ten times as long."""
    shutil.copyfile(large, path)
    later = number // 10 * 86_400 * SECOND
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'hostname'", (f'"edge{number % 10}"',))
        database.execute("UPDATE meta SET value = value + ? WHERE key LIKE '%\\_ns' ESCAPE '\\'", (later,))
        for table in ("frame", "event"):
            database.execute(f"UPDATE {table} SET time_ns = time_ns + ?", (later,))
        for name in ("attempt_ns", "open_ns", "closed_ns"):
            database.execute(f"UPDATE connection SET {name} = {name} + ?", (later,))
        database.commit()


class _Machine(Chat):
    """The script of a machine, whose connections are written one after the other and played together."""

    def __init__(self, name: str, day: str) -> None:
        self._times: list[int] = []
        super().__init__(meta={"hostname": name})
        self.name = name
        self.connections = 0
        self._start_ns = (
            int(datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=UTC).timestamp()) * SECOND
        )
        self._first, self.steps = self.steps, []
        self._times.clear()

    def at(self, seconds: float) -> None:
        """The clock of the day; what is written next happens then."""
        self.now = self._start_ns + round(seconds * SECOND)

    def in_order(self) -> _Machine:
        """All that happened, by time."""
        in_order = sorted(zip(self._times, self.steps, strict=True), key=lambda one: one[0])
        self.steps = [*self._first, *(step for _, step in in_order)]
        self.now = in_order[-1][0] + SECOND
        return self

    def _add(self, method: str, *arguments: Any) -> None:
        self._times.append(self.now)
        super()._add(method, *arguments)

    def attempt_of(self, seconds: float, request: bytes, client: str, **more: Any) -> int:
        """A client's request; its number here."""
        self.connections += 1
        self.at(seconds)
        is_edge = self.name != "app1"
        self.event(
            self.connections,
            "attempt",
            tap="edge" if is_edge else "app",
            client=client,
            listener="10.0.0.1:443" if is_edge else "10.0.1.1:3000",
            scheme="wss" if is_edge else "ws",
            host="chat.example",
            port=443 if is_edge else 3000,
            path="/chat?room=1&token=s3cr3t",
            http_version="HTTP/1.1",
            client_session=self.connections,
            **more,
        )
        self.head(self.connections, 0, request)
        self.head(self.connections, 1, request)
        server = "10.0.1.1:3000" if is_edge else "127.0.0.1:3001"
        self.event(self.connections, "server", address=server, peer=server, reused=False)
        return self.connections


def _connection(edge: _Machine, app: _Machine, day: str, number: int, chance: random.Random) -> None:
    """One client at an edge and, where it gets through, at the application."""
    agent = AGENTS[number % 3]
    start = 8 * 3600 + number * 600 + chance.random()
    if number >= 20:  # those that come back at once
        start = DEPLOY_HOUR * 3600 + 10 + number * 0.5
    key = base64.b64encode(random.Random(f"{day} {number}").randbytes(16)).decode()
    trace = f"traceparent: 00-{_TRACE}-00f067aa0ba902b7-01\r\n" if number == 3 else ""
    request = (
        f"GET /chat?room=1&token=s3cr3t HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nUser-Agent: {agent}\r\nOrigin: https://chat.example\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{trace}Cookie: sid=s3cr3t\r\n\r\n"
    ).encode()
    here = edge.attempt_of(start, request, f"203.0.113.{number + 1}:5{number:03}")
    is_deploy = day == DAYS[1] and number >= 20
    if is_deploy or (agent == AGENTS[0] and number % 4 == 0):
        status = "502 Bad Gateway" if is_deploy else "403 Forbidden"
        edge.at(start + 0.004)
        edge.answer(here, f"HTTP/1.1 {status}\r\nServer: nginx\r\n\r\n".encode())
        edge.event(here, "refused", status=int(status[:3]))
        edge.event(here, "closed")
        return
    response = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key.encode()).decode()}\r\n\r\n"
    ).encode()
    there = app.attempt_of(start + 0.002, request, "10.0.0.9:4" + f"{number:03}")
    for machine, one, later in ((app, there, 0.003), (edge, here, 0.006)):
        machine.at(start + later)
        machine.answer(one, response)
        machine.event(one, "open")
    both = ((edge, here, 0.0), (app, there, 0.001))
    for turn in range(4):
        at = start + 1 + turn * 5
        said = b'{"type":"post","text":"%s"}' % (b"x" * (20 + number))
        for machine, one, later in both:
            machine.at(at + later)
            machine.client(one, said if turn else b'{"type":"join","room":1}')
            machine.at(at + 0.020 + number * 0.001 - later)
            machine.server(
                one, b'{"type":"ack"}' if turn % 2 else b'{"type":"history","posts":[]}' + b" " * 500
            )
    for machine, one, later in reversed(both):  # the application's ping, answered by the browser
        machine.at(start + 22 - later)
        machine.server(one, b"p", opcode=9)
        if not (machine.name == "edge2" and number % 10 == 2):
            machine.at(start + 22.010 + number * 0.004 + later)
            machine.client(one, b"p", opcode=10)
    end = start + 30 + number
    if edge.name == "edge2" and number % 4 == 2:
        _drop(both, start + 22 + 60)
    elif day == DAYS[1] and start < DEPLOY_HOUR * 3600 < start + 3600:
        _close(both, DEPLOY_HOUR * 3600 + number * 0.01, 1012, app.name)
    else:
        _close(both, end, 1000, edge.name)


def _drop(both: Sequence[tuple[_Machine, int, float]], at: float) -> None:
    """The proxy between edge and application ends both sides."""
    for machine, one, later in both:
        machine.at(at + later)
        machine.end(one, "client" if machine.name == "app1" else "server")


def _close(both: Sequence[tuple[_Machine, int, float]], at: float, code: int, by: str) -> None:
    """A closing handshake, begun by the client unless the application does."""
    data = code.to_bytes(2, "big")
    is_server = by == "app1"
    for machine, one, later in both:
        machine.at(at + later)
        (machine.server if is_server else machine.client)(one, data, opcode=8)
        machine.at(at + 0.010)
        (machine.client if is_server else machine.server)(one, data, opcode=8)
        machine.at(at + 0.012)
        machine.end(one, "server")


def as_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An answer as docs/fleet.md prints it; numbers and times alike, whichever engine they come from."""
    lines = [list(columns), *(list(map(_cell, row)) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return "-" if value is None else str(value)
