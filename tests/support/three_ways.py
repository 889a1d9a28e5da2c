"""The same peers seen in three ways: at one tap, by two taps of one engine around a hop, and in two captures.

`ways` starts for each way its engines and its hop, lets every row visit, and stops them. What is judged is
what `wsinspect diagnose --json` prints: of the one capture, or of `edge.db --origin origin.db`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.bytes_of_frames import CLOSE
from tests.support.certs import make_certificates
from tests.support.engine import Engine, wsinspect_json
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, haproxy, nginx
from tests.support.matrix_lab import AT_ONCE
from tests.support.matrix_odd import PATIENT, SERVERS, Client, Odd, Serve, Socket, server, switching, visit
from tests.support.recorder_rig import wait_for
from tests.support.relay_hop import relay_hop
from tests.support.small_servers import free_ports
from wsinspect.capture.reader import Capture

#: Where a request to `/hop/<route>/` goes in place of the application: a tap before a closed port, and one
#: before a TLS server whose certificate nobody signed that this engine knows.
ROUTES: Final = ("dead", "untrusted")


@dataclass(frozen=True)
class Way:
    """How the peers are seen.

    Attributes:
        hop: starts what is between the taps; None for one tap before the application.
        apart: whether the tap behind the hop is of another engine, with a capture of its own.
        is_odd: whether the hop does something wrong to everything: it has only the rows that name it.
    """

    name: str
    hop: Callable[[Path, Mapping[str, int]], Hop] | None = None
    apart: bool = False
    is_odd: bool = False


def _nginx(folder: Path, ports: Mapping[str, int]) -> Hop:
    def location(path: str, name: str, more: str = "") -> str:
        return f"location {path} {{ proxy_pass http://{LOOPBACK}:{ports[name]}; {NGINX_GOOD} {more} }}"

    lines = [location(f"/hop/{name}", name) for name in ROUTES]
    lines.append(location("/hop/idle", "origin", "proxy_read_timeout 1s;"))
    lines.append(location("/hop/host", "origin").replace("Host $http_host", "Host app.internal"))
    lines.append(location("/hop/cookie", "origin", 'proxy_set_header Cookie "";'))
    lines.append(location("/hop/query", "origin", "rewrite ^ $uri? break;"))
    lines.append("location /hop/403 { deny all; }")
    lines.append(location("/", "origin"))
    return nginx(folder, "\n".join(lines))


def _haproxy(folder: Path, ports: Mapping[str, int]) -> Hop:
    return haproxy(folder, f"server app {LOOPBACK}:{ports['origin']}", timeouts="timeout tunnel 60s")


def _relay(folder: Path, ports: Mapping[str, int]) -> Hop:
    return relay_hop(folder, ports["origin"], "--swallow", "1")


WAYS: Final = (
    Way("one tap"),
    Way("nginx", _nginx),
    Way("nginx files", _nginx, apart=True),
    Way("haproxy", _haproxy),
    Way("haproxy files", _haproxy, apart=True),
    Way("relay", _relay, is_odd=True),
    Way("relay files", _relay, apart=True, is_odd=True),
)


async def echo(socket: Socket, head: bytes) -> None:
    """A server that says again what it hears, and waits long for a CLOSE."""
    await socket.say(switching(head))
    body = await socket.until_close(PATIENT)
    if body is not None:
        await socket.send(CLOSE, body)


@dataclass
class Seen:
    """What one way shows.

    Attributes:
        found: the findings of each path at the first tap, as `diagnose` prints them; "" for those of no
            connection.
        edge: the same by the first capture alone, where there are two.
        said: all that `diagnose` printed.
        code: its exit code.
        lags: whether an engine got no CPU for a while.
    """

    engines: list[Engine]
    code: int = 0
    said: dict[str, Any] = field(default_factory=dict)
    found: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    edge: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lags: bool = False


async def play(
    way: Way,
    folder: Path,
    rows: Sequence[Sequence[Odd]],
    servers: Mapping[str, Serve],
    clients: Mapping[str, Client],
    options: Sequence[str] = (),
    behind: Sequence[str] | None = None,
    then: Callable[[int], Awaitable[None]] | None = None,
    meanwhile: Callable[[Sequence[Engine]], Awaitable[None]] | None = None,
) -> Seen:
    """Let the rows visit; each row's visits come one after the other.

    Args:
        options: of the engines.
        behind: of the engine behind the hop, where that is another one; None for the same.
        then: is awaited before the end with the port of the first tap.
        meanwhile: is awaited when all clients have left, before the taps' ends are waited for.
    """
    certificates = make_certificates(folder / "certificates")
    async with contextlib.AsyncExitStack() as running:
        app = await running.enter_async_context(server({**SERVERS, **servers}))
        tls = await asyncio.start_server(_hang_up, LOOPBACK, 0, ssl=certificates.server_context())
        await running.enter_async_context(tls)
        origin, dead, untrusted, gone = free_ports(4)
        ports = {"origin": origin, "dead": dead, "untrusted": untrusted}
        inner = [
            f"dead={LOOPBACK}:{dead}=http://{LOOPBACK}:{gone}",
            f"untrusted={LOOPBACK}:{untrusted}=https://{LOOPBACK}:{tls.sockets[0].getsockname()[1]}",
        ]
        target = app
        if way.hop is not None:
            inner.append(f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}")
            hop = await asyncio.to_thread(way.hop, folder / "hop", ports)
            running.callback(hop.stop)
            target = hop.port
        edge = f"edge={LOOPBACK}:0=http://{LOOPBACK}:{target}"
        engines: list[Engine] = []

        async def start(name: str, taps: Sequence[str], more: Sequence[str]) -> None:
            words = [part for tap in taps for part in ("--tap", tap)]
            engine = await asyncio.to_thread(lambda: Engine.start(*words, *more, folder=folder / name))
            engines.append(engine)

        try:
            if way.apart:
                await start("edge", [edge], options)
                await start("origin", inner, options if behind is None else behind)
            else:
                await start("engine", [edge, *inner], options)
            port = engines[0].port("edge")
            direct = {} if way.hop is not None else {name: ports[name] for name in ROUTES}
            turn = asyncio.Semaphore(AT_ONCE)

            async def row(odds: Sequence[Odd]) -> None:
                for odd in odds:
                    await visit(direct.get(odd.route, port), odd, turn, clients)

            await asyncio.gather(*map(row, rows))
            if meanwhile is not None:
                await meanwhile(engines)
            visits = sum(map(len, rows))
            for number, engine in enumerate(engines):
                # An odd hop may keep its side open when the client has long gone.
                await asyncio.to_thread(all_ended, engine, int(way.is_odd) if number else visits)
            if then is not None:
                await then(port)
        finally:
            for engine in engines:
                await asyncio.to_thread(engine.stop)
    return await asyncio.to_thread(look, engines, folder)


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def all_ended(engine: Engine, least: int = 0) -> None:
    """Until so many connections at least are on record, and every one that is has ended."""
    with Capture.open(engine.capture) as capture:
        wait_for(
            lambda: (
                capture.query("SELECT count(*) FROM connection")[0][0] >= least
                and not capture.query("SELECT id FROM connection WHERE closed_ns IS NULL")
            ),
            "the ends at every tap",
        )


def look(engines: Sequence[Engine], folder: Path) -> Seen:
    """What `diagnose` says of the captures of stopped engines."""
    seen = Seen(list(engines))
    names = [str(one.capture) for one in engines]
    words = [names[0]] if len(names) == 1 else [names[0], "--origin", names[1]]
    seen.code, seen.said = wsinspect_json(folder, "diagnose", *words)
    paths = _paths(engines[0].capture)
    behind = {one["origin"]: one["edge"] for one in seen.said["sandwich"] if one["origin"]}
    own = paths if len(engines) == 1 else _paths(engines[1].capture)
    for one in seen.said["findings"]:
        number = one["connection"]
        if len(engines) == 1:
            number = behind.get(number, number)
        seen.found.setdefault(paths.get(number, ""), []).append(one)
    for one in seen.said.get("origin_findings", ()):
        number = behind.get(one["connection"])
        path = paths[number] if number in paths else own.get(one["connection"], "")
        seen.found.setdefault(path, []).append(one)
    if len(engines) == 2:
        _, alone = wsinspect_json(folder, "diagnose", names[0])
        for one in alone["findings"]:
            seen.edge.setdefault(paths.get(one["connection"], ""), []).append(one)
    worst = ("error", "warning", "note")
    for found in seen.found.values():
        found.sort(key=lambda one: worst.index(one["severity"]))  # those of both captures, as of one
    for engine in engines:
        with Capture.open(engine.capture) as capture:
            seen.lags |= bool(capture.query("SELECT id FROM event WHERE kind = 'lag' LIMIT 1"))
    return seen


def _paths(place: Path) -> dict[int, str]:
    with Capture.open(place) as capture:
        return {one.id: one.path or "" for one in capture.connections()}
