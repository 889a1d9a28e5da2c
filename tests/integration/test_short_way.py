"""The short way of an ordinary opening handshake (`proxy.direct`), and which openings take it.

What is recorded, and what both sides see, is what mitmproxy's layers would have made of it.

Each case is played before an engine that may take the short way and one that may not (`--no-splice`). With
`--verbose` mitmproxy logs each client that its layers have, so the log says who had which.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.certs import make_certificates
from tests.support.engine import Engine, start_engine
from tests.support.origin import Origin
from tests.support.rawpeers import Peer
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.proxy.direct import IS_POSSIBLE

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade:   WebSocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Odd:\t one  two \r\n\r\n"
)
TEXT = b"\x81\x02hi"
MASKED = b"\x81\x82\0\0\0\0hi"
CLOSE, MASKED_CLOSE = b"\x88\x02\x03\xe8", b"\x88\x82\0\0\0\0\x03\xe8"


def request(name: str, more: bytes = b"") -> bytes:
    line = f"GET /case/{name}?token=abc%20d HTTP/1.1\r\nhOsT: app.example\r\n".encode()
    return line + b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" + KEY + more + b"\r\n"


@dataclass
class Scene:
    """A client, and the server's side as soon as it is there."""

    name: str
    port: int
    origin: Origin
    client: Peer = field(init=False)
    servers: list[Peer] = field(default_factory=list)

    async def ask(self, head: bytes) -> Peer:
        """Send a request, and have its server."""
        expected = self.origin.expect(self.name)
        self.client = await Peer.connect(self.port)
        await self.client.send(head)
        server = await asyncio.wait_for(expected, 20)
        self.servers.append(server)
        return server

    async def talk(self, server: Peer) -> None:
        """A frame each way, and a proper end."""
        before = len(self.client.received)
        await server.send(TEXT)
        await self.client.has(before + len(TEXT))
        before = len(server.received)
        await self.client.send(MASKED + MASKED_CLOSE)
        await server.has(before + len(MASKED + MASKED_CLOSE))
        await server.send(CLOSE)
        server.fin()
        await self.client.has_ended()
        self.client.fin()
        await server.has_ended()


async def ordinary(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED)
    await scene.talk(server)


async def frames_behind_the_101(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED + TEXT * 3)
    await scene.talk(server)


async def compressed(scene: Scene) -> None:
    server = await scene.ask(request(scene.name, b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    await server.send(ACCEPTED[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    await server.send(b"\xc1\x04\xca\xc8\x04\x00")
    await scene.talk(server)


async def end_behind_the_101(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED + CLOSE)
    server.fin()
    await scene.client.has_ended()
    scene.client.fin()
    await server.has_ended()


async def server_resets_it_open(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED)
    await scene.client.has(len(ACCEPTED))
    server.rst()
    await scene.client.has_ended()


async def client_resets_it_open(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED)
    await scene.client.has(len(ACCEPTED))
    scene.client.rst()
    await server.has_ended()


async def client_half_closes_it_open(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED)
    await scene.client.has(len(ACCEPTED))
    scene.client.fin()
    await server.has_ended()
    await server.send(TEXT * 2)
    server.fin()
    await scene.client.has_ended()


async def late_reset(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED)
    server.fin()
    await scene.client.has_ended()
    server.rst()
    await asyncio.sleep(0)
    await scene.client.send(MASKED)
    await scene.client.until(lambda: scene.client.ended is not None)
    scene.client.close()


# -- what the layers are for


async def head_in_two_pieces(scene: Scene) -> None:
    head = request(scene.name)
    expected = scene.origin.expect(scene.name)
    scene.client = await Peer.connect(scene.port)
    await scene.client.send(head[:40])
    await asyncio.sleep(0.05)
    await scene.client.send(head[40:])
    server = await asyncio.wait_for(expected, 20)
    scene.servers.append(server)
    await server.send(ACCEPTED)
    await scene.talk(server)


async def frame_behind_the_request(scene: Scene) -> None:
    server = await scene.ask(request(scene.name) + MASKED)
    await server.send(ACCEPTED)
    await scene.talk(server)


async def frame_while_it_waits(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await scene.client.send(MASKED)
    await asyncio.sleep(0.05)
    await server.send(ACCEPTED)
    await scene.talk(server)


async def refused(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(b"HTTP/1.1 401 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    server.fin()
    await scene.client.has_ended()
    scene.client.close()
    await server.has_ended()


async def refused_and_asked_again(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(b"HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nhello")
    await scene.client.until(lambda: scene.client.received.endswith(b"hello"))
    before = len(server.received)
    await scene.client.send(request(scene.name, b"Authorization: Basic YTpi\r\n"))
    await server.until(lambda: server.received.endswith(b"\r\n\r\n") and len(server.received) > before)
    await server.send(ACCEPTED)
    await scene.talk(server)


async def informational(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ACCEPTED)
    await scene.talk(server)


async def answer_in_two_pieces(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED[:30])
    await asyncio.sleep(0.05)
    await server.send(ACCEPTED[30:])
    await scene.talk(server)


async def folded_answer(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(ACCEPTED[:-2] + b"X-Fold: a\r\n b\r\n\r\n")
    await scene.talk(server)


async def no_http(scene: Scene) -> None:
    server = await scene.ask(request(scene.name))
    await server.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    await scene.client.has(1)
    scene.client.fin()
    await server.has_ended()
    server.close()
    await scene.client.has_ended()


async def no_answer(scene: Scene, how: str) -> None:
    server = await scene.ask(request(scene.name))
    server.fin() if how == "fin" else server.rst()
    await scene.client.has_ended()
    scene.client.close()


async def client_gives_up(scene: Scene, how: str) -> None:
    server = await scene.ask(request(scene.name))
    await server.until(lambda: server.received.endswith(b"\r\n\r\n"))
    scene.client.fin() if how == "fin" else scene.client.rst()
    await server.has_ended()
    server.close()
    if how == "fin":
        await scene.client.has_ended()


async def nobody_there(scene: Scene) -> None:
    scene.client = await Peer.connect(scene.port)
    await scene.client.send(request(scene.name))
    await scene.client.has_ended()
    scene.client.close()


Act = Callable[[Scene], Coroutine[Any, Any, None]]
SHORT: dict[str, Act] = {
    "ordinary": ordinary,
    "frames-behind-the-101": frames_behind_the_101,
    "compressed": compressed,
    "end-behind-the-101": end_behind_the_101,
    "server-resets-it-open": server_resets_it_open,
    "client-resets-it-open": client_resets_it_open,
    "client-half-closes-it-open": client_half_closes_it_open,
    "late-reset": late_reset,
}
LAYERS: dict[str, Act] = {
    "head-in-two-pieces": head_in_two_pieces,
    "frame-behind-the-request": frame_behind_the_request,
    "frame-while-it-waits": frame_while_it_waits,
    "refused": refused,
    "refused-and-asked-again": refused_and_asked_again,
    "informational": informational,
    "answer-in-two-pieces": answer_in_two_pieces,
    "folded-answer": folded_answer,
    "no-http": no_http,
    "no-answer-fin": lambda scene: no_answer(scene, "fin"),
    "no-answer-rst": lambda scene: no_answer(scene, "rst"),
    "client-gives-up-fin": lambda scene: client_gives_up(scene, "fin"),
    "client-gives-up-rst": lambda scene: client_gives_up(scene, "rst"),
    "nobody-there": nobody_there,
}
#: What differs from run to run, apart from times and the order of clients.
_PORTS = re.compile(r"127\.0\.0\.1:\d+")
_CONNECTION = (
    "state, status, subprotocol, extensions, error, ended_by, how, js_code, js_was_clean, client_close_code"
)
_FRAMES = "SELECT is_s2c, bits, payload FROM frame WHERE connection_id = ? ORDER BY is_s2c, id"
_HANDSHAKE = "request_in, request_out, informational, response_in, response_out, body, problems"


@dataclass
class Played:
    """What came of all cases before one engine, which has ended.

    Attributes:
        seen: of each case, what each peer received, and how it was ended.
        capture: the capture.
        clients: how many clients mitmproxy's layers had, in the cases for the short way and in the others.
    """

    seen: dict[str, list[Any]]
    capture: Path
    clients: tuple[int, int]
    stderr: str


async def play(name: str, act: Act, port: int, origin: Origin) -> list[Any]:
    """One case; what its peers saw."""
    scene = Scene(name, port, origin)
    await act(scene)
    peers = [scene.client, *scene.servers]
    seen = [(bytes(peer.received), peer.ended) for peer in peers]
    for peer in peers:
        peer.close()
    return seen


async def play_all(cases: dict[str, Act], engine: Engine, origin: Origin) -> dict[str, list[Any]]:
    """Cases at the same time."""
    ports = [engine.port("nowhere" if act is nobody_there else "plain") for act in cases.values()]
    seen = await asyncio.gather(
        *(play(name, act, port, origin) for (name, act), port in zip(cases.items(), ports, strict=True))
    )
    return dict(zip(cases, seen, strict=True))


def recorded(capture: Path, name: str) -> list[str]:
    """All that the capture has of a case but times and ports, in parts."""
    parts: list[Any] = []
    with closing(sqlite3.connect(f"file:{capture}?mode=ro", uri=True)) as database:
        for number, *columns in database.execute(
            f"SELECT id, {_CONNECTION} FROM connection WHERE path LIKE ? ORDER BY id",
            (f"/case/{name}?%",),
        ).fetchall():
            parts += columns
            parts += database.execute(
                f"SELECT {_HANDSHAKE} FROM handshake WHERE connection_id = ?",
                (number,),
            ).fetchall()
            parts += database.execute(_FRAMES, (number,)).fetchall()
            events = database.execute("SELECT kind, detail FROM event WHERE connection_id = ?", (number,))
            parts += sorted((kind, _without_times(detail)) for kind, detail in events)
    return [_PORTS.sub("HOST", repr(part)) for part in parts]


def _without_times(detail: str) -> str:
    found = json.loads(detail)
    return json.dumps({key: value for key, value in found.items() if not key.endswith(("_ns", "_session"))})


@dataclass
class Lab:
    """An origin, and what was played before it."""

    loop: ThreadedLoop
    origin: Origin
    ways: dict[str, Played]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("short")
    context = make_certificates(folder / "certs").server_context()
    nowhere = ("--tap", f"nowhere=127.0.0.1:0=http://127.0.0.1:{free_port()}", "--verbose")
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        lab = Lab(loop, origin, {})
        try:
            for way, options in (("short", ()), ("layers", ("--no-splice",))):
                with start_engine(origin, folder / way, *nowhere, *options) as engine:
                    seen = loop.run(play_all(SHORT, engine, origin), 60)
                    first = engine.stderr.count("client connect")
                    seen |= loop.run(play_all(LAYERS, engine, origin), 60)
                    both = engine.stderr.count("client connect")
                lab.ways[way] = Played(seen, engine.capture, (first, both - first), engine.stderr)
            yield lab
        finally:
            loop.run(origin.__aexit__())


async def _open(context: Any) -> Origin:
    return await Origin(context).__aenter__()


@pytest.mark.parametrize("name", [*SHORT, *LAYERS])
def test_both_ways_show_and_record_the_same(lab: Lab, name: str) -> None:
    short, layers = lab.ways["short"], lab.ways["layers"]
    assert short.seen[name] == layers.seen[name]
    assert recorded(short.capture, name) == recorded(layers.capture, name) != []


def test_the_layers_have_the_clients_that_the_short_way_is_not_for_and_no_other(lab: Lab) -> None:
    assert lab.ways["short"].clients == (0 if IS_POSSIBLE else len(SHORT), len(LAYERS))
    assert lab.ways["layers"].clients == (len(SHORT), len(LAYERS))
    assert "Traceback" not in lab.ways["short"].stderr


def test_an_armed_rule_has_openings_take_the_layers(lab: Lab, tmp_path: Path) -> None:
    with start_engine(lab.origin, tmp_path, "--verbose", "--fault", "delay,delay=1ms") as engine:
        seen = lab.loop.run(play("ruled", ordinary, engine.port("plain"), lab.origin))
        assert seen[0][0].startswith(ACCEPTED)
        assert engine.stderr.count("client connect") == 1


def test_a_client_that_says_nothing_is_reported_with_its_time_and_its_end(lab: Lab, tmp_path: Path) -> None:
    async def visit(port: int, how: str) -> None:
        client = await Peer.connect(port)
        await asyncio.sleep(0.3)  # the engine counts from when it took the connection
        client.fin() if how == "fin" else client.rst()
        await (client.has_ended() if how == "fin" else asyncio.sleep(0))
        client.close()

    with start_engine(lab.origin, tmp_path) as engine:
        for how in ("fin", "rst"):
            lab.loop.run(visit(engine.port("plain"), how))
            event = engine.wait_for_event("client_left", how=how)
            assert event["ms"] >= 40
