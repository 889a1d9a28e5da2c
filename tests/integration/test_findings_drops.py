"""Ends without a CLOSE frame, and pings without pongs: exact findings, and none for healthy neighbours.

Timers run in seconds; where a known limit of minutes matters the capture's clock is stretched.
"""

import asyncio
import contextlib
import itertools
import socket as sockets
import sqlite3
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.finding_lab import by_path, factor_for, found_in, in_time, record, record_port, stretched
from tests.support.hops import LOOPBACK, haproxy
from tests.support.journals import need
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader
from wsinspect.findings.facts import S2C
from wsinspect.findings.limits import is_round, matching
from wsinspect.findings.rules.silences import equal_silences


def abort(connection):
    """End TCP with a RST."""
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


async def stay(url, *, waits=True, **options):
    """A client that listens until it is ended, or leaves properly after the first message."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(url, ping_interval=None, proxy=None, **options) as socket:
            if not waits:
                await asyncio.wait_for(socket.recv(), 20)
                return
            async for _ in socket:
                pass


# -- silences and ages


async def ending(socket):
    """Ends as its path says."""
    path = socket.request.path
    with contextlib.suppress(WebSocketException):
        if path == "/at-once":
            socket.transport.close()
            return
        await socket.send("hello")
        if path in ("/lifetime", "/long", "/lives-on"):
            clock = asyncio.get_running_loop()
            end = clock.time() + (6.66 if path == "/long" else 1.66)  # however long each step takes
            for number in itertools.count():
                if clock.time() > end - 0.24:
                    break
                await asyncio.sleep((0.07, 0.17)[number % 2])  # no heartbeat
                await socket.send(str(number))
            if path != "/lives-on":
                await asyncio.sleep(end - clock.time())
                socket.transport.close()
                return
        if path == "/idle":
            await asyncio.sleep(1.5)
            socket.transport.close()
        elif path == "/odd":
            await asyncio.sleep(0.91)
            socket.transport.close()
        elif path == "/reset":
            await asyncio.sleep(0.18)
            abort(socket)
        elif path == "/proper":
            await asyncio.sleep(1.5)
            await socket.close(1000)
        else:
            await socket.wait_closed()


async def everything(base):
    paths = ("/idle", "/odd", "/lifetime", "/at-once", "/reset", "/proper")
    await asyncio.gather(*(stay(base + path) for path in paths), stay(base + "/left", waits=False))


def guesses(facts):
    """What else an end may be taken for by its silence or age alone: on a busy machine these are any."""
    quiet = [ns / 1e9 for side in (None, S2C) if (ns := facts.silence_ns(side)) is not None]
    is_usual = any(one >= 0.9 and (is_round(one) or matching(one, "idle")) for one in quiet)
    if is_usual or equal_silences(facts) is not None:
        yield "WS-DROP-002"
    if matching(need(facts.age_ns) / 1e9, "lifetime"):
        yield "WS-DROP-003"


def test_ends_without_a_close_frame(tmp_path):
    """A second is about 40 here: 1.5 s of silence are a minute, as is the age of the talkative one.

    So is a delay of 25 ms a second: what a busy machine made of the other silences is asked first.
    """
    capture = asyncio.run(record(tmp_path, ending, everything))
    assert by_path(capture)["/at-once"] == ["WS-DROP-001"]
    slow = stretched(capture, factor_for(capture, "/idle", 60.7))
    # The machine decides whether the first message comes together with the 101.
    found = {path: [one for one in ids if one != "WS-APP-080"] for path, ids in by_path(slow).items()}
    with Capture.open(slow) as opened:
        reader = FactReader(opened.query)
        facts = {one.path: need(reader.connection(one.id)) for one in opened.connections()}
    assert found["/idle"] == ["WS-DROP-002"]
    assert found["/proper"] == found["/left"] == []
    for path, rule in (("/odd", "WS-DROP-006"), ("/lifetime", "WS-DROP-006"), ("/reset", "WS-DROP-005")):
        assert found[path] in ([one] for one in (rule, *guesses(facts[path]))), path
    if need(facts["/at-once"].age_ns) < 0.9e9:
        assert found["/at-once"] == ["WS-DROP-001"]
    idle = next(one for one in found_in(slow) if one.connection == facts["/idle"].id)
    # Six products share 60 s: none of them is named.
    assert idle.hop is None
    assert [fix.for_ for fix in idle.fixes] == ["general"]
    assert [cause.cause for cause in idle.causes] != []


@pytest.mark.slow
def test_limits_of_a_lifetime(tmp_path):
    """The same recording at 20: 30 s, a limit of a load balancer, and data until the end."""

    async def three(base):
        for _ in range(2):
            await stay(base + "/lifetime")
        await stay(base + "/lives-on", waits=False)

    capture = asyncio.run(record(tmp_path, ending, three))
    with contextlib.closing(sqlite3.connect(capture)) as database:
        (age,) = database.execute("SELECT max(closed_ns - open_ns) FROM connection WHERE path = '/lifetime'")
    found = by_path(stretched(capture, 31.6e9 / age[0]))
    assert found == {"/lifetime": ["WS-DROP-003", "WS-DROP-003"], "/lives-on": []}


@pytest.mark.slow
def test_the_same_age_again_and_again(tmp_path):
    """Ages are the same within a fiftieth: of a long one a busy machine changes less."""

    async def several(base):
        tasks = []
        for _ in range(4):
            tasks.append(asyncio.create_task(stay(base + "/long")))
            await asyncio.sleep(0.4)
        await asyncio.gather(*tasks)

    capture = in_time(tmp_path, lambda folder: asyncio.run(record(folder, ending, several)))
    found = [one for one in found_in(capture) if one.severity == "error"]
    assert [one.id for one in found] == ["WS-DROP-008"]
    assert found[0].evidence[0].startswith("4 connections lived")


# -- keepalive


@pytest.mark.slow
def test_a_missing_pong_is_1011_by_the_library_s_own_keepalive(tmp_path):
    """The server is `websockets` with its keepalive; one client answers, the other is blocked."""

    async def wait(socket):
        with contextlib.suppress(WebSocketException):
            async for message in socket:
                await socket.send(message)

    async def deaf(url):
        reader, writer = await asyncio.open_connection(LOOPBACK, int(url.split(":")[2].partition("/")[0]))
        head = (
            "GET /deaf HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.write(head.encode())
        seen = b""
        while b"\x88" not in seen.partition(b"\r\n\r\n")[2]:  # reads, and says nothing
            data = await asyncio.wait_for(reader.read(4096), 20)
            if not data:
                break
            seen += data
        writer.close()

    async def lively(url):
        async with connect(url, ping_interval=None, proxy=None) as socket:
            await asyncio.sleep(2.2)
            await socket.send("still here")
            await socket.recv()

    async def both(base):
        await asyncio.gather(deaf(base + "/deaf"), lively(base + "/lively"))

    capture = asyncio.run(record(tmp_path, wait, both, ping_interval=0.5, ping_timeout=1.0))
    assert by_path(capture) == {"/deaf": ["WS-KA-001"], "/lively": []}
    (found,) = found_in(capture)
    assert (found.fault_of, found.severity, found.confidence) == ("client", "error", "high")
    assert any("keepalive ping timeout" in line for line in found.evidence)
    assert found.fixes[0].for_ == "websockets"


async def raw_server(reader, writer):
    """Shakes hands, and from then on is as silent as a machine that sleeps; then its host resets."""
    import base64
    import hashlib

    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    guid = key.partition(b":")[2].strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(guid).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    pings = 0
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while pings < 3:
            await reader.readexactly(10)
            pings += 1
        if b"/reset" in head:
            await asyncio.sleep(0.3)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        await reader.read()
    writer.close()


async def pinging(url):
    with contextlib.suppress(WebSocketException, OSError):
        async with connect(url, ping_interval=None, proxy=None, close_timeout=0.3) as socket:
            for _ in range(3):
                await socket.ping()
                await asyncio.sleep(0.3)
            if url.endswith("/reset"):
                await asyncio.wait_for(socket.wait_closed(), 20)
            socket.transport.abort()


@pytest.mark.slow
def test_a_peer_that_has_vanished(tmp_path):
    """At ten times: pings every 3 s, no pong; then a late RST, or the client gives up."""

    async def play():
        async with await asyncio.start_server(raw_server, LOOPBACK, 0) as server:
            port = server.sockets[0].getsockname()[1]

            async def talk(base):
                await asyncio.gather(pinging(base + "/reset"), pinging(base + "/gives-up"))

            return await record_port(tmp_path, port, talk)

    found = by_path(stretched(asyncio.run(play()), 10))
    assert found == {"/reset": ["WS-KA-005"], "/gives-up": ["WS-KA-001"]}


@pytest.mark.slow
def test_a_heartbeat_that_a_background_tab_slows_down(tmp_path):
    """At 50: every 25 s, then once a minute, and a server that waits 45 s; a steady one beside it."""

    async def serve(socket):
        limit = 0.9 if socket.request.path == "/tab" else 3
        with contextlib.suppress(WebSocketException, TimeoutError):
            while True:
                await asyncio.wait_for(socket.recv(), limit)
                await socket.send("pong")
        await socket.close(1000, "heartbeat missing")

    async def beat(url, gaps):
        with contextlib.suppress(WebSocketException, OSError):
            async with connect(url, ping_interval=None, proxy=None) as socket:
                for gap in gaps:
                    await socket.send("ping")
                    await socket.recv()
                    await asyncio.sleep(gap)
                await socket.send("ping")

    async def both(base):
        await asyncio.gather(
            beat(base + "/tab", [0.5, 0.5, 0.5, 1.2]), beat(base + "/steady", [0.5, 0.5, 0.5, 0.5])
        )

    capture = asyncio.run(record(tmp_path, serve, both))
    found = by_path(stretched(capture, 52))
    assert found == {"/tab": ["WS-KA-004"], "/steady": []}


@pytest.mark.lab
def test_a_heartbeat_as_slow_as_the_limit_of_a_hop(tmp_path):
    """HAProxy's tunnel timeout of 2 s; heartbeats every 1.8 s, of which one is late; and every 0.7 s."""

    async def serve(socket):
        is_close = socket.request.path == "/race"
        with contextlib.suppress(WebSocketException):
            for gap in [1.8, 1.8, 1.8, 5] if is_close else [0.7] * 5:
                await socket.send('{"type":"heartbeat"}')
                await asyncio.sleep(gap)
            if not is_close:
                await socket.close(1000)

    async def play():
        from websockets.asyncio.server import serve as serving

        async with serving(serve, LOOPBACK, 0, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            hop = await asyncio.to_thread(
                haproxy, tmp_path / "hop", f"server app {LOOPBACK}:{port}", timeouts="timeout tunnel 2s"
            )
            with hop:

                async def talk(base):
                    await asyncio.gather(stay(base + "/race"), stay(base + "/fast"))

                return await record_port(tmp_path, hop.port, talk)

    capture = asyncio.run(play())
    assert by_path(capture) == {"/race": ["WS-KA-002"], "/fast": []}
    (found,) = found_in(capture)
    assert "heartbeats every 1.8" in found.evidence[0]


def test_a_client_that_is_killed_is_a_note(tmp_path):
    async def talk(base):
        reader, writer = await asyncio.open_connection(LOOPBACK, int(base.rpartition(":")[2]))
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(
            f"GET /killed HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        await reader.readuntil(b"hello")
        writer.close()
        await writer.wait_closed()

    capture = asyncio.run(record(tmp_path, ending, talk))
    assert [(one.id, one.severity) for one in found_in(capture)] == [("WS-DROP-007", "note")]
