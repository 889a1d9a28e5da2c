"""Reconnect storms, retries in vain, duplicates, and what a reload of Caddy does: exact findings."""

import asyncio
import contextlib
import random
import subprocess

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, by_path, found_in, record, record_port
from tests.support.hops import Hop
from tests.support.sandwich_lab import afterwards, look, stored, told
from tests.support.small_servers import free_port, free_ports


async def application(socket):
    with contextlib.suppress(WebSocketException):
        if socket.request.path.startswith(("/storm", "/backoff")):
            await socket.close(1011, "the database is gone")
            return
        async for message in socket:
            await socket.send(message)


def refuse(connection, request):
    return connection.respond(401, "who are you?") if request.path.startswith("/vain") else None


async def again(url, gaps):
    """A client that connects anew after each failure, with these pauses."""
    for gap in gaps:
        with contextlib.suppress(WebSocketException, OSError):
            async with connect(url, ping_interval=None, proxy=None) as socket:
                await socket.send("hello")
                await socket.recv()
        await asyncio.sleep(gap)


async def held(url, seconds):
    async with connect(url, ping_interval=None, proxy=None) as socket:
        await socket.send("hello")
        await socket.recv()
        await asyncio.sleep(seconds)


async def everybody(base):
    rng = random.Random(5)
    await asyncio.gather(
        again(f"{base}/storm", [0.1] * 8),
        again(f"{base}/backoff", [0.1 * 2**n * (0.75 + rng.random() / 2) for n in range(6)]),
        again(f"{base}/vain", [0.3] * 5),
        again(f"{base}/short-but-fine", [0.05] * 8),
        held(f"{base}/twice?token=abcdefgh", 1.6),
        held(f"{base}/twice?token=abcdefgh", 1.6),
        *(held(f"{base}/tabs?token=user{n}", 1.6) for n in range(3)),
    )


@pytest.mark.slow
def test_storms_vain_retries_and_duplicates(tmp_path):
    capture = asyncio.run(record(tmp_path, application, everybody, process_request=refuse))
    found = by_path(capture)
    assert found.pop("/storm") == ["WS-CL-011"] * 8 + ["WS-RC-001"]
    assert found.pop("/backoff") == ["WS-CL-011"] * 6
    assert found.pop("/vain") == ["WS-HS-009"] * 5 + ["WS-RC-003"]
    assert found == {"/short-but-fine": [], "/twice": ["WS-RC-002"], "/tabs": []}
    (storm,) = [one for one in found_in(capture) if one.id == "WS-RC-001"]
    assert storm.evidence[0].startswith("from 127.0.0.1 to ")
    assert "Math.random" in storm.fixes[0].text


class Caddy:
    """Caddy with its admin endpoint on, so that `caddy reload` works as operators use it."""

    def __init__(self, folder, app):
        folder.mkdir(parents=True)
        self.folder, (self.port, self.admin) = folder, free_ports(2)
        self.config = folder / "Caddyfile"
        self.write(app, "one")
        command = ["caddy", "run", "--config", str(self.config), "--adapter", "caddyfile"]
        self.hop = Hop.start(command, self.port, folder)

    def write(self, app, mark):
        self.config.write_text(
            f"{{\n admin {LOOPBACK}:{self.admin}\n auto_https off\n}}\nhttp://{LOOPBACK}:{self.port} {{\n"
            f" header X-Mark {mark}\n reverse_proxy {LOOPBACK}:{app}\n}}\n"
        )

    def reload(self):
        arguments = ["--config", str(self.config), "--adapter", "caddyfile"]
        subprocess.run(
            ["caddy", "reload", *arguments, "--address", f"{LOOPBACK}:{self.admin}"],
            cwd=self.folder,
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
            timeout=30,
        )


async def wait_to_be_ended(url):
    with contextlib.suppress(WebSocketException):
        async with connect(url, ping_interval=None, proxy=None) as socket:
            await socket.send("hello")
            async for _ in socket:
                pass


async def reloaded(caddy, app, urls):
    """Sockets opened one after the other, and a reload that ends all of them."""
    waiting = []
    for url in urls:
        waiting.append(asyncio.create_task(wait_to_be_ended(url)))
        await asyncio.sleep(0.2)
    caddy.write(app, "two")
    await asyncio.to_thread(caddy.reload)
    await asyncio.wait_for(asyncio.gather(*waiting), 20)


@pytest.mark.lab
def test_a_reload_of_caddy_ends_all_of_its_sockets(tmp_path):
    async def play():
        async with serve(application, LOOPBACK, 0, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            caddy = await asyncio.to_thread(Caddy, tmp_path / "caddy", app)
            with caddy.hop:

                async def talk(base):
                    await reloaded(caddy, app, [f"{base}/room"] * 5)
                    await held(f"{base}/after", 0.1)

                return await record_port(tmp_path, caddy.port, talk)

    capture = asyncio.run(play())
    found = found_in(capture)
    assert [one.id for one in found] == ["WS-DROP-004"]
    assert found[0].severity == "warning"
    assert found[0].evidence[0].startswith("5 connections within")
    assert by_path(capture)["/after"] == []


@pytest.mark.lab
def test_two_taps_show_that_the_reload_was_the_hop_s_and_no_client_s(tmp_path):
    """Caddy's own CLOSE to the application is not masked: no client did that."""

    async def play():
        async with serve(application, LOOPBACK, 0, ping_interval=None) as server:
            app, origin = next(iter(server.sockets)).getsockname()[1], free_port()
            caddy = await asyncio.to_thread(Caddy, tmp_path / "caddy", origin)
            taps = (
                f"edge={LOOPBACK}:0=http://{LOOPBACK}:{caddy.port}",
                f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}",
            )
            with caddy.hop:
                engine = await asyncio.to_thread(
                    lambda: Engine.start("--tap", taps[0], "--tap", taps[1], folder=tmp_path / "engine")
                )
                try:
                    base = f"ws://{LOOPBACK}:{engine.port('edge')}"
                    await reloaded(caddy, origin, [f"{base}/room/{n}" for n in range(5)])
                finally:
                    await asyncio.to_thread(engine.stop)
                return engine

    engine = asyncio.run(play())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    found = [one for seen in look(engine.capture).values() for one in seen.sandwich]
    assert sorted(one.id for one in found) == ["WS-CL-101"] * 5 + ["WS-DROP-004"]
    assert {(one.severity, one.fault_of) for one in found} == {("warning", "hop")}
    for one in found:
        assert one.fixes[-1].text.startswith("Reload less often")
        assert one.id == "WS-DROP-004" or any(
            "own CLOSE to the server is not masked" in e for e in one.evidence
        )
