"""What libraries say when they refuse or close, at one tap and in front of and behind a real nginx.

Engine.IO puts a code into a body, with any status; GraphQL, Hocuspocus, Centrifugo and others have close
codes of their own. The same number without the library's marks is the application's, and is only quoted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.support.app_capture import node
from tests.support.engine import Engine
from tests.support.hop_taps import Attempt, attempts, record_around, with_nginx
from tests.support.hops import LOOPBACK, Hop, nginx
from tests.support.sandwich_lab import afterwards, stored, times_said, told
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab


async def ask(
    url: str,
    number: int,
    *,
    protocols: list[Subprotocol] | None = None,
    leaves_with: int | None = None,
    cookie: str = "",
) -> None:
    """An attempt of a client of its own; who gets in stays until it is sent away, or closes with a code."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(
            url,
            ping_interval=None,
            proxy=None,
            subprotocols=protocols,
            user_agent_header=f"client/{number}",
            additional_headers={"Cookie": cookie} if cookie else None,
        ) as socket:
            if leaves_with is not None:
                await asyncio.wait_for(socket.recv(), 20)
                await socket.close(leaves_with)
            await asyncio.wait_for(socket.wait_closed(), 20)


Said = list[tuple[str, str]]


def said_of(attempt: Attempt) -> tuple[Said, Said]:
    """Rules, and whom they blame, by the tap at the edge alone and by all taps.

    That one machine tries again and again is another matter (`WS-RC-`).
    """
    one, every = (
        [(found.id, str(found.fault_of)) for found in findings if not found.id.startswith("WS-RC-")]
        for findings in (attempt.one, attempt.all)
    )
    return one, every


def seen_in(engine: Engine) -> list[Attempt]:
    """The attempts; what was printed, what is stored and what `diagnose` finds are the same, as often."""
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    printed, kept, found = times_said(engine.events, engine.capture)
    assert printed == kept == found
    return attempts(engine.capture)


#: What Engine.IO says, by its code; the rule and whom it blames.
ENGINE = {
    0: ("Transport unknown", "WS-APP-001", "server"),
    1: ("Session ID unknown", "WS-APP-002", "hop"),
    2: ("Bad handshake method", "WS-APP-001", "server"),
    4: ("Forbidden", "WS-APP-004", "server"),
    5: ("Unsupported protocol version", "WS-APP-005", "client"),
}
#: What the same statuses are where the body is nobody's that is known.
STATUSES = {400: "WS-HS-012", 403: "WS-HS-010", 404: "WS-HS-011", 500: "WS-HS-019", 503: "WS-HS-021"}


def body(connection: ServerConnection, request: Request) -> Response:
    """The answer that the query asks for."""
    asked_for = parse_qs(urlsplit(request.path).query)
    status, code = int(asked_for["status"][0]), int(asked_for["code"][0])
    words = ENGINE[code][0] if "EIO" in asked_for else "no such tenant"
    response = connection.respond(status, json.dumps({"code": code, "message": words}))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


@with_nginx
def test_a_code_of_engine_io_in_a_body_of_any_status(tmp_path, hop):
    wanted = [(code, status) for code in ENGINE for status in STATUSES]

    async def talk(port: int) -> None:
        for number, (code, status) in enumerate(wanted):
            query = f"code={code}&status={status}"
            await ask(f"ws://{LOOPBACK}:{port}/live/?EIO=4&transport=websocket&{query}", number)
            await ask(f"ws://{LOOPBACK}:{port}/tenants?{query}", 1000 + number)

    async def never(_: ServerConnection) -> None:
        raise AssertionError("every attempt is refused")

    async def play() -> Engine:
        async with serve(never, LOOPBACK, 0, process_request=body) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            return await record_around(tmp_path, hop, app, talk)

    seen = seen_in(asyncio.run(play()))
    for (code, status), of_engine, of_others in zip(wanted, seen[::2], seen[1::2], strict=True):
        words, rule, blamed = ENGINE[code]
        assert of_engine.status == of_others.status == status
        assert said_of(of_engine) == ([(rule, blamed)], [(rule, blamed)]), (code, status)
        assert any(words in line for line in of_engine.all[0].evidence)
        plain = [(STATUSES[status], "server")]
        assert said_of(of_others) == (plain, plain), (code, status)
        assert any("no such tenant" in line for line in of_others.all[0].evidence)


@pytest.fixture(scope="module")
def engine_io() -> Iterator[dict[str, int]]:
    """Real servers of the package socket.io, by what they allow."""
    with ThreadedLoop() as loop, node(loop, "socketio_ways.mjs") as (_, ports):
        yield ports


@with_nginx
@pytest.mark.parametrize(
    ("way", "query", "expected"),
    [
        ("polls", "EIO=4", ("WS-APP-001", "server")),
        ("plain", "EIO=4&sid=of-another-process", ("WS-APP-002", "hop")),
        ("forbids", "EIO=4", ("WS-APP-004", "server")),
        ("plain", "EIO=3", ("WS-APP-008", "client")),
        ("plain", "EIO=4", None),
    ],
    ids=["transport", "session", "forbidden", "version", "healthy"],
)
def test_what_the_real_engine_io_answers(tmp_path, engine_io, hop, way, query, expected):
    async def talk(port: int) -> None:
        url = f"ws://{LOOPBACK}:{port}/socket.io/?{query}&transport=websocket"
        if expected is not None:
            await ask(url, 1)
            return
        async with connect(url, ping_interval=None, proxy=None) as socket:
            assert str(await socket.recv()).startswith("0{")
            await socket.send("40")
            assert str(await socket.recv()).startswith("40{")

    engine = asyncio.run(record_around(tmp_path, hop, engine_io[way], talk))
    (one,) = seen_in(engine)
    wanted = [] if expected is None else [expected]
    alone, every = said_of(one)
    assert every == wanted
    # Its text is the application's own: at one tap before nginx the hop could have said it.
    is_open = way == "forbids" and hop is not None
    assert alone == ([("WS-HS-012", "server")] if is_open else wanted)


def without_upgrade(folder: Path, origin: int) -> Hop:
    return nginx(folder, f"location / {{ proxy_http_version 1.1; proxy_pass http://{LOOPBACK}:{origin}; }}")


def test_code_3_of_the_real_engine_io_is_the_hop_s_that_took_the_upgrade_away(tmp_path, engine_io):
    async def talk(port: int) -> None:
        await ask(f"ws://{LOOPBACK}:{port}/socket.io/?EIO=4&transport=websocket", 1)

    engine = asyncio.run(record_around(tmp_path, without_upgrade, engine_io["plain"], talk))
    (one,) = seen_in(engine)
    assert [(found.id, found.fault_of) for found in one.one] == [("WS-HS-002", "hop")]
    assert any('"code":3' in line for line in one.one[0].evidence)
    assert {found.fault_of for found in one.all} == {"hop"}


#: A place where a library is known by its path or subprotocol, the codes of its own, who sends them and whose
#: mistake they say that it was.
GRAPHQL, OBS = Subprotocol("graphql-transport-ws"), Subprotocol("obswebsocket.json")
CODES: list[tuple[str, str, Subprotocol | None, str, int, str, str]] = [
    *(
        ("GraphQL", "/graphql", GRAPHQL, "server", code, "", "client")
        for code in (4400, 4401, 4403, 4406, 4408, 4409, 4429)
    ),
    ("GraphQL", "/graphql", GRAPHQL, "server", 4500, "", "server"),
    ("GraphQL", "/graphql", GRAPHQL, "client", 4004, "", "server"),
    ("GraphQL", "/graphql", GRAPHQL, "client", 4005, "", "client"),
    ("GraphQL", "/graphql", GRAPHQL, "client", 4504, "", "server"),
    ("Hocuspocus (Yjs)", "/pad", None, "server", 4205, "Reset Connection", "server"),
    ("Pusher", "/app/key?protocol=7", None, "server", 4001, "", "client"),
    ("Pusher", "/app/key?protocol=7", None, "server", 4003, "", "server"),
    ("SocketCluster", "/socketcluster/", None, "server", 4001, "", "client"),
    ("Centrifugo", "/connection/websocket", None, "server", 3500, "", "client"),
    ("obs-websocket", "/", OBS, "server", 4009, "", "client"),
]


def first(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """A server that speaks whatever the client does."""
    return next(iter(offered), None)


#: What the application itself says to its own code.
OWN = "because"


async def closes(socket: ServerConnection) -> None:
    """Says something, and closes as the cookie asks for, or waits to be left."""
    assert socket.request is not None
    code, _, reason = socket.request.headers["Cookie"].partition("=")[2].partition("/")
    with contextlib.suppress(WebSocketException):
        await socket.send("hello")
        if code != "wait":
            await socket.close(int(code), reason)
        await socket.wait_closed()


@with_nginx
def test_a_library_s_close_code_and_the_same_code_of_nobody_s(tmp_path, hop):
    """Each code where the library is known, and once more at a place without its marks."""

    async def talk(port: int) -> None:
        for number, (_, path, protocol, side, code, reason, _) in enumerate(CODES):
            for place, offered, words in ((path, protocol, reason), (f"/chat/{number}", None, OWN)):
                leaves = code if side == "client" else None
                await ask(
                    f"ws://{LOOPBACK}:{port}{place}",
                    number,
                    protocols=[offered] if offered else None,
                    leaves_with=leaves,
                    cookie=f"end={'wait' if leaves else code}/{words}",
                )

    async def play() -> Engine:
        async with serve(closes, LOOPBACK, 0, select_subprotocol=first, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            return await record_around(tmp_path, hop, app, talk)

    seen = seen_in(asyncio.run(play()))
    for (library, _, _, side, code, _, blamed), known, other in zip(
        CODES, seen[::2], seen[1::2], strict=True
    ):
        rule = "WS-APP-011" if library == "GraphQL" else "WS-CL-030"
        if code == 4406:
            rule = "WS-APP-010"  # it says that the subprotocols differ
        assert said_of(known) == ([(rule, blamed)], [(rule, blamed)]), (library, code)
        lines = "\n".join((known.all[0].title, *known.all[0].evidence))
        assert f"{side} closed with {code}" in lines
        assert library == "GraphQL" or f"{code} in {library}: " in lines
        alone, every = said_of(other)
        assert [rule for rule, _ in alone] == ["WS-CL-030"], (library, code)
        assert alone == every
        assert side == "server" or every[0][1] == side
        title, evidence = other.all[0].title, "\n".join(other.all[0].evidence)
        assert title.startswith(f"The {side} closed with ")
        assert str(code) in title
        assert side == "client" or repr(OWN) in title
        assert library not in title + evidence


@pytest.fixture(scope="module")
def graphql() -> Iterator[int]:
    """A real server of the package graphql-ws."""
    with ThreadedLoop() as loop, node(loop, "graphql_ws.mjs", "server") as (_, said):
        yield said["port"]


INIT = json.dumps({"type": "connection_init"})
SUBSCRIBE = json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "{ hello }"}})
ENDLESS = json.dumps(
    {"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 1000000) }"}}
)


@with_nginx
def test_the_codes_of_the_real_graphql_ws(tmp_path, graphql, hop):
    cases = {
        4408: [],
        4400: ["not JSON"],
        4429: [INIT, INIT],
        4401: [SUBSCRIBE],
        4409: [INIT, ENDLESS, ENDLESS],
        1000: [INIT, SUBSCRIBE],
    }

    async def talk(port: int) -> None:
        for code, messages in cases.items():
            with contextlib.suppress(WebSocketException):
                async with connect(
                    f"ws://{LOOPBACK}:{port}/graphql?case={code}." + "&impatient" * (code == 4408),
                    ping_interval=None,
                    proxy=None,
                    subprotocols=[GRAPHQL],
                    user_agent_header=f"client/{code}",
                ) as socket:
                    for number, message in enumerate(messages):
                        await socket.send(message)
                        if number == 0 and message == INIT:
                            assert "connection_ack" in str(await asyncio.wait_for(socket.recv(), 20))
                    if code == 1000:
                        while "complete" not in str(await asyncio.wait_for(socket.recv(), 20)):
                            pass
                    else:
                        await asyncio.wait_for(socket.wait_closed(), 20)

    seen = seen_in(asyncio.run(record_around(tmp_path, hop, graphql, talk)))
    for code, attempt in zip(cases, seen, strict=True):
        wanted = [] if code == 1000 else [("WS-APP-011", "client")]
        assert said_of(attempt) == (wanted, wanted), code
        if wanted:
            assert f"the server closed with {code}" in attempt.all[0].title
