"""nginx, configured as it should be, with wsinspect before it, behind it, and on both sides at once.

The recordings of a connection are compared with what its client and its server say, and with each other; and
for every way a connection can end both see what they see with nginx alone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.app_capture import Recording, engine_before, recording
from tests.support.app_lab import ServerLab
from tests.support.apps import PythonServer
from tests.support.certs import client_context, make_certificates
from tests.support.client_endings import client_endings
from tests.support.engine import Engine
from tests.support.hops import NGINX_GOOD, nginx
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab

#: What an operator adds to it: who the client is, and patience with a silent connection.
HEADERS = """
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_read_timeout 1h;
"""


@dataclass
class Lab:
    """A server; in front of it nginx alone, and nginx with a tap behind it; taps before both of these.

    Attributes:
        ports: of each way to the server, by name: `alone`, `before`, `behind`, `both`, `tls`.
        taps: the engines and taps that record on each way, from the client on.
    """

    loop: ThreadedLoop
    server: PythonServer
    ports: dict[str, int]
    taps: dict[str, list[tuple[Engine, str]]]
    serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def recordings(self, way: str, path: str) -> list[Recording]:
        return [recording(engine, path, tap=tap) for engine, tap in self.taps[way]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("nginx")
    certificates = make_certificates(folder / "certs")
    secure = f"ssl_certificate {certificates.chain}; ssl_certificate_key {certificates.key};"
    with (
        ThreadedLoop() as loop,
        serving(loop) as server,
        engine_before(folder / "inner", origin=server.port) as inner,
        nginx(folder / "alone", location(server.port)) as alone,
        nginx(folder / "watched", location(inner.port("origin"))) as watched,
        nginx(folder / "tls", location(inner.port("origin")), listen=" ssl", server=secure) as tls,
        engine_before(
            folder / "outer",
            f"--tap=secure=127.0.0.1:0=https://127.0.0.1:{tls.port}",
            before=alone.port,
            edge=watched.port,
        ) as outer,
    ):
        ports = {"alone": alone.port, "before": outer.port("before"), "behind": watched.port}
        ports |= {"both": outer.port("edge"), "tls": outer.port("secure")}
        behind = (inner, "origin")
        taps = {"before": [(outer, "before")], "behind": [behind]}
        taps |= {"both": [(outer, "edge"), behind], "tls": [(outer, "secure"), behind]}
        yield Lab(loop, server, ports, taps)
        assert inner.stderr == outer.stderr == ""


def location(port: int) -> str:
    return f"location / {{ proxy_pass http://127.0.0.1:{port}; {NGINX_GOOD} {HEADERS} }}"


@contextmanager
def serving(loop: ThreadedLoop) -> Iterator[PythonServer]:
    server = PythonServer()
    loop.run(server.__aenter__())
    try:
        yield server
    finally:
        loop.run(server.__aexit__())


async def talk(url: str) -> dict[str, Any]:
    """Messages both ways, fragments, a ping each way, and a close by the client."""
    context = client_context() if url.startswith("wss") else None
    seen: dict[str, Any] = {"sent": [], "received": []}
    async with connect(url, ssl=context, proxy=None, ping_interval=None) as socket:
        for number in range(3):
            for message in (f"number {number} €", bytes(range(number, 256))):
                seen["sent"].append(message if isinstance(message, str) else "hex:" + message.hex())
                await socket.send(message)
            order = f'cmd:{{"do": "send", "text": "answer {number} €"}}'
            seen["sent"].append(order)
            await socket.send(order)
            seen["received"].append(await socket.recv())
        seen["sent"].append("in four parts")
        await socket.send(["in ", "four ", "", "parts"])
        await asyncio.wait_for(await socket.ping(b"client"), 20)
        for order in ('cmd:{"do": "ping"}', 'cmd:{"do": "send", "text": "after the ping"}'):
            seen["sent"].append(order)
            await socket.send(order)
        seen["received"].append(await socket.recv())
        await socket.close(4242, "enough €")
    return {**seen, "extensions": [one.name for one in socket.protocol.extensions]}


@pytest.mark.parametrize("way", ["before", "behind", "both", "tls"])
def test_a_conversation(lab, way):
    path = f"/talk/{way}/{next(lab.serial)}."
    scheme = "wss" if way == "tls" else "ws"
    client = lab.loop.run(talk(f"{scheme}://127.0.0.1:{lab.ports[way]}{path}"))
    server = lab.loop.run(lab.server.outcome(path))
    kept = lab.recordings(way, path)
    for one in kept:
        assert one.faults == []
        assert one.c2s.messages == client["sent"] == server["messages"]
        assert one.s2c.messages == client["received"]
        assert one.c2s.close == one.s2c.close == [4242, "enough €"] == [server["code"], server["reason"]]
        assert (one.c2s.pings, one.s2c.pongs) == ([b"client"], [b"client"])
        assert (one.s2c.pings, one.c2s.pongs) == ([b"lab"], [b"lab"])
        assert one.connection.ended_by == "client"
        assert one.connection.js_code == 4242
        assert (one.connection.extensions or "").split(";")[0] == client["extensions"][0]
    # nginx relays the bytes of both directions; only the heads are its own.
    assert all((one.c2s, one.s2c) == (kept[0].c2s, kept[0].s2c) for one in kept)
    headers = [one.request_headers() for one in kept]
    if way != "behind":
        assert "x-forwarded-for" not in headers[0]
    if way != "before":
        assert headers[-1]["x-forwarded-for"] == "127.0.0.1"
        assert headers[-1]["x-forwarded-proto"] == ("https" if way == "tls" else "http")
    assert [one.connection.scheme for one in kept] == ([scheme, "ws"] if len(kept) == 2 else ["ws"])
    assert len({header["sec-websocket-key"] for header in headers}) == 1


@pytest.mark.parametrize("way", ["before", "behind", "both"])
def test_every_ending_is_what_nginx_alone_makes_of_it(lab, way):
    # nginx ends both sides as soon as one has; whether the answer to a CLOSE frame is quicker than the FIN
    # right behind that frame is chance, with nginx alone as well.
    endings = [one for one in client_endings() if not one.name.endswith("-with-close-frame")]
    played = ServerLab(lab.server.outcome).failures(endings, lab.ports["alone"], lab.ports[way])
    assert lab.loop.run(played) == {}
