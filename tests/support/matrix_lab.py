"""The matrix's lab: an application whose paths say how it behaves, and causes played through one hop or two.

`play` starts one engine, the hops, and one client for each cause; all of them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response
from websockets.typing import Origin, Subprotocol

from tests.support.beside import Said
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, Hop
from tests.support.matrix_hops import KINDS, Behind
from tests.support.recorder_rig import wait_for
from tests.support.sandwich_lab import times_said
from tests.support.small_servers import free_ports
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import Hop as TwoTaps
from wsinspect.diagnosis.hops import diagnose_hop
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection
from wsinspect.handshake.negotiation import accept_key

_REASONS = {
    403: "Forbidden\n",
    404: "Not Found\n",
    429: "Too Many Requests\n",
    500: "it broke\n",
    503: "down for maintenance\n",
}
#: When clients that are dropped begin: those that end together, whatever they carried, are another cause.
_DROPS = {"/app/cut": 0.0, "/app/reset": 1.3, "/app/life": 4.5, "/app/close-1001": 7.5}
#: What a client waits for that ends the hop, too.
_ENDS_HOP: Final = ("kill", "retire")
#: Longer than any limit of a hop in the matrix.
_LONG = 6.0
#: No client of the matrix gives up: however busy the machine is, what a hop or the server owes comes sooner.
_PATIENT = 60.0


@dataclass(frozen=True)
class Cause:
    """One failure, or none.

    Attributes:
        name: of the cell.
        path: what the client asks for: `/hop/<route>/<behaviour>` or `/app/<behaviour>`.
        two: (id, or ids of which one fits; fault_of) of the first finding of the sandwich; None where there
            is nothing to find.
        one: ids that one tap before the hop may say first; None where it says no error.
        does: what the client does once it is open.
        is_mended: whether a hop behind this one makes it good.
        beside: other errors and warnings that all taps may have, by id and party.
        is_covered: whether the hop puts a page in the place of what the server answers: that is said, too.
    """

    name: str
    path: str
    two: tuple[str | Sequence[str], str] | None
    one: Sequence[str] = ()
    does: str = "echo"
    origin: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: Sequence[str] = ()
    is_mended: bool = False
    is_covered: bool = False
    beside: Sequence[Said] = ()

    @property
    def route(self) -> str | None:
        """The hop's route that it takes."""
        parts = self.path.split("/")
        return parts[2] if parts[1] == "hop" else None

    @property
    def blames(self) -> bool:
        return self.two is not None and self.two[1] == "hop"


@dataclass
class Seen:
    """What was found of one cause: by the tap at the edge alone, by all taps, and by the last one alone.

    `last` is None where nothing came there, and where there is no tap behind a hop.
    """

    status: int | None
    one: list[Finding]
    all: list[Finding]
    last: list[Finding] | None = None


def _refuse(connection: ServerConnection, status: int, words: str = "", **fields: str) -> Response:
    response = connection.respond(HTTPStatus(status), words)
    for name, value in fields.items():
        response.headers[name.replace("_", "-")] = value
    return response


async def answer_by_path(connection: ServerConnection, request: Request) -> Response | None:
    """What the application says to a handshake."""
    url = urlsplit(request.path)
    wanted = url.path.rstrip("/").rpartition("/")[2]
    headers = request.headers
    is_known = url.path.startswith(("/app/", "/hop/", "/ws/"))
    if not is_known:
        return _refuse(connection, 404, "no such route\n")
    if wanted.isdigit():
        more = {"302": {"Location": "/login"}, "426": {"Upgrade": "websocket", "Sec_WebSocket_Version": "13"}}
        return _refuse(connection, int(wanted), _REASONS.get(int(wanted), ""), **more.get(wanted, {}))
    if wanted.startswith("same-origin"):
        if urlsplit(headers.get("Origin", "")).netloc != headers["Host"]:
            is_mute = wanted.endswith(("mute", "404"))
            status = 404 if wanted.endswith("404") else 403
            return _refuse(connection, status, "" if is_mute else "origin not allowed\n")
    elif wanted == "allowed-origin":
        if headers.get("Origin") != "https://app.example":
            return _refuse(connection, 403, "invalid Origin header\n")
    elif wanted.startswith("needs-"):
        name = wanted.removeprefix("needs-")
        has = "token=" in url.query if name == "token" else name in headers
        if not has:
            return _refuse(connection, 401)
    elif wanted == "untrusted":
        if "X-Forwarded-For" in headers:
            return _refuse(connection, 400, "X-Forwarded-For header from an untrusted proxy\n")
    elif wanted.startswith("mute-"):
        return _refuse(connection, int(wanted.removeprefix("mute-")))
    elif wanted == "silent":
        await asyncio.sleep(_LONG)
    elif wanted == "late":
        await asyncio.sleep(2)
    elif wanted == "closing":
        connection.transport.close()
        await asyncio.sleep(0.1)
        return _refuse(connection, 500)
    return None


def spoil_by_path(connection: ServerConnection, request: Request, response: Response) -> None:
    """What the application does to a 101 that no client may take."""
    if request.path.endswith("/bad-accept"):
        del response.headers["Sec-WebSocket-Accept"]
        response.headers["Sec-WebSocket-Accept"] = accept_key(b"another key").decode()
    elif request.path.endswith("/no-upgrade"):
        del response.headers["Upgrade"]


async def serve_by_path(connection: ServerConnection) -> None:
    """What the application does with an open connection."""
    assert connection.request is not None
    wanted = urlsplit(connection.request.path).path.rstrip("/").rpartition("/")[2]
    with contextlib.suppress(WebSocketException):
        if wanted == "checks-late":
            headers = connection.request.headers
            if urlsplit(headers.get("Origin", "")).netloc != headers["Host"]:
                await connection.close(1008, "Invalid origin!")
        if wanted == "speaks-v1" and connection.subprotocol is None:
            await connection.close(1002, "no recognized subprotocol")
        if wanted.startswith("close-"):
            await connection.recv()
            await connection.close(int(wanted.removeprefix("close-")), "the application says so")
        elif wanted in ("ticks", "life"):
            for _ in range(12 if wanted == "life" else 40):
                await connection.send("tick")
                await asyncio.sleep(0.13)
            if wanted == "life":
                connection.transport.close()
        elif wanted == "cut":
            await connection.recv()
            connection.transport.close()
        elif wanted == "reset":
            await connection.recv()
            reset(connection)
        async for message in connection:
            await connection.send(message)


def reset(connection: ServerConnection | ClientConnection) -> None:
    """End its TCP connection with a RST."""
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


@contextlib.asynccontextmanager
async def application(secure: ssl.SSLContext) -> AsyncIterator[tuple[int, int]]:
    """The application, plain and by TLS; its ports."""
    async with (
        serve(
            *(serve_by_path, LOOPBACK, 0),
            process_request=answer_by_path,
            process_response=spoil_by_path,
            select_subprotocol=choose_v1,
            ping_interval=None,
            close_timeout=1,
        ) as plain,
        serve(serve_by_path, LOOPBACK, 0, ssl=secure, ping_interval=None) as tls,
    ):
        yield tuple(next(iter(one.sockets)).getsockname()[1] for one in (plain, tls))


def choose_v1(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """v1 or none."""
    return Subprotocol("v1") if "v1" in offered else None


#: How many handshakes are under way at once: more would be a load of their own, and late for it.
AT_ONCE: Final = 6


async def _talk(
    port: int,
    cause: Cause,
    turn: asyncio.Semaphore | None = None,
    wait: float = 0,
    is_open: asyncio.Event | None = None,
) -> None:
    """Ask and do what the cause says; the handshake waits for its turn, if there are turns."""
    await asyncio.sleep(wait)
    origin = Origin(cause.origin.replace("PORT", str(port))) if cause.origin else None
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with turn or contextlib.nullcontext():
            connection = await connect(
                f"ws://{LOOPBACK}:{port}{cause.path}",
                ping_interval=None,
                proxy=None,
                open_timeout=_PATIENT,
                close_timeout=1,
                origin=origin,
                additional_headers=dict(cause.headers),
                subprotocols=[Subprotocol(one) for one in cause.subprotocols] or None,
            )
        async with connection:
            await connection.send("hello")
            await asyncio.wait_for(connection.recv(), _PATIENT)
            if is_open is not None:
                is_open.set()
            await _does(connection, cause.does)


async def _does(connection: ClientConnection, what: str) -> None:
    if what == "wait":
        async with asyncio.timeout(_LONG):
            async for _ in connection:
                pass
    elif what.startswith("close-"):
        await connection.close(int(what.removeprefix("close-")), "bye")
    elif what == "cut":
        connection.transport.close()
    elif what == "reset":
        reset(connection)


@dataclass
class Running:
    """An engine with a tap before each hop and one behind the last; `hops` from the client on."""

    engine: Engine
    hops: list[Hop]


@contextlib.asynccontextmanager
async def chain(
    hops: Sequence[str],
    guilty: int,
    folder: Path,
    app: int,
    tls: int,
    authority: Path,
    routes: Collection[str] | None = None,
) -> AsyncIterator[Running]:
    """One hop or two before an application, with taps named edge, middle and origin; all stopped at the end.

    Args:
        hops: names in `matrix_hops.KINDS`.
        guilty: which of them has the routes.
        app: the port of the application.
        tls: the one that speaks TLS.
        authority: a CA that did not sign its certificate.
        routes: those that the guilty one needs; None for all.
    """
    names = ["edge", *(["middle"] if len(hops) == 2 else []), "origin"]
    dead, gone, *ports = free_ports(2 + len(names[1:]))
    async with contextlib.AsyncExitStack() as running:
        started = []
        for index, name in enumerate(hops):
            behind = Behind(ports[index], dead, gone, tls, authority)
            wanted = routes if index == guilty else ()
            hop = await asyncio.to_thread(KINDS[name].start, folder / f"hop-{index}", behind, wanted)
            running.callback(hop.stop)
            started.append(hop)
        targets = [*(hop.port for hop in started), app]
        taps = [
            f"{name}={LOOPBACK}:{port}=http://{LOOPBACK}:{target}"
            for name, port, target in zip(names, [0, *ports], targets, strict=True)
        ]
        taps.append(f"dead={LOOPBACK}:{dead}=http://{LOOPBACK}:{gone}")
        options = [part for tap in taps for part in ("--tap", tap)]
        engine = await asyncio.to_thread(lambda: Engine.start(*options, folder=folder / "engine"))
        try:
            yield Running(engine, started)
        finally:
            await asyncio.to_thread(engine.stop, _PATIENT)


async def _play(hops: Sequence[str], guilty: int, causes: Iterable[Cause], folder: Path) -> Engine:
    certificates = make_certificates(folder / "certificates")
    authority = make_certificates(folder / "other").ca
    async with (
        application(certificates.server_context()) as (app, tls),
        chain(hops, guilty, folder, app, tls, authority) as running,
    ):
        port = running.engine.port("edge")
        causes = list(causes)
        turn = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(
            *(
                _talk(port, one, wait=_DROPS[one.path]) if one.path in _DROPS else _talk(port, one, turn)
                for one in causes
                if one.does not in _ENDS_HOP
            )
        )
        last = []
        for one in [one for one in causes if one.does in _ENDS_HOP]:
            is_open = asyncio.Event()
            cause = Cause(one.name, one.path, None, does="wait")
            last.append(asyncio.create_task(_talk(port, cause, is_open=is_open)))
            await asyncio.wait_for(is_open.wait(), _PATIENT)
        if last:
            hop, retire = running.hops[guilty], KINDS[hops[guilty]].retire
            if retire is not None and all(one.does != "kill" for one in causes):
                hop.process.send_signal(retire)
            else:
                hop.kill()
            await asyncio.gather(*last)
            # The client has seen its end; the hop ends the other side of it a moment later, now and then.
            await asyncio.to_thread(hop.process.wait, 10)
            paths = [one.path for one in causes if one.does in _ENDS_HOP]
            await asyncio.to_thread(_wait_for_ends, running.engine.capture, paths)
    return running.engine


def _wait_for_ends(path: Path, paths: Sequence[str]) -> None:
    """Until all that was asked for at these paths has ended at every tap."""
    marks = ", ".join("?" * len(paths))
    with Capture.open(path) as capture:
        wait_for(
            lambda: (
                not capture.query(
                    f"SELECT id FROM connection WHERE closed_ns IS NULL AND path IN ({marks})", tuple(paths)
                )
            ),
            "the ends at every tap",
        )


def play(
    hops: Sequence[str], guilty: int, causes: Sequence[Cause], folder: Path
) -> tuple[Engine, dict[str, Seen]]:
    """Play causes through one hop or a chain of two.

    Args:
        hops: names in `matrix_hops.KINDS`.
        guilty: which of them has the routes.

    Returns:
        The engine, stopped, and what was found by the name of the cause.
    """
    engine = asyncio.run(_play(hops, guilty, causes, folder))
    by_path = look_by_path(engine.capture)
    return engine, {one.name: by_path[one.path] for one in causes if one.path in by_path}


def disagreements(engine: Engine) -> list[str]:
    """A line for each finding that is not at once printed, stored and said by `diagnose`, as many times."""
    said = times_said(engine.events, engine.capture)
    return [
        f"{place[0]} of connection {place[1]}: printed {printed} times, stored {stored}, found {found}"
        for place in sorted(set().union(*said), key=str)
        for printed, stored, found in [[times[place] for times in said]]
        if not printed == stored == found
    ]


def look_by_path(path: Path) -> dict[str, Seen]:
    """What is found, by the path that the client asked for."""
    with Capture.open(path) as capture:
        reader = FactReader(capture.query)
        sandwich = diagnose_hop(TwoTaps(capture.query), diagnose(capture.query))
        edge_of: dict[int, int] = {}
        for pair in sorted(sandwich.pairs, key=lambda pair: pair.edge.id):
            if pair.origin is not None:
                edge_of[pair.origin.id] = edge_of.get(pair.edge.id, pair.edge.id)
        seen: dict[str, Seen] = {}
        for one in capture.connections():
            facts = reader.connection(one.id)
            if one.tap == "edge" and facts is not None:
                mine = {one.id, *(number for number, edge in edge_of.items() if edge == one.id)}
                found = [finding for finding in sandwich.findings if finding.connection in mine]
                behind = [number for number, edge in edge_of.items() if edge == one.id]
                last = reader.connection(max(behind)) if behind else None
                own = diagnose_connection(last) if last is not None and last.tap == "origin" else None
                seen[one.path or ""] = Seen(one.status, diagnose_connection(facts), found, own)
    return seen
