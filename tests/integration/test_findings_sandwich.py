"""What a hop between two taps does to frames, shown by hops that really do it; and all of it live.

`relay_hop` ends WebSockets and makes new ones with a key of its own, so joining by content is shown with it.
"""

import asyncio
import contextlib
import re

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK
from tests.support.relay_hop import relay_hop
from tests.support.sandwich_lab import afterwards, standing, stored, told
from tests.support.small_servers import free_port
from tests.support.ticking import COUNT, all_closed, client, ticker
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.hops import Hop


class Run:
    """A finished run with two taps."""

    def __init__(self, engine):
        self.events = engine.events
        self.capture = engine.capture
        assert told(self.events) == stored(self.capture) == afterwards(self.capture)

    @property
    def ids(self):
        return sorted(rule for rule, _ in standing(self.events))

    def finding(self, rule):
        (one,) = (one for (found, _), one in standing(self.events).items() if found == rule)
        return one

    def pairs(self):
        with Capture.open(self.capture) as capture:
            return list(Hop(capture.query).pairs())


async def _run(folder, make_hop, drive, taps=("edge", "origin"), *, waits=True):
    origin = free_port()
    async with serve(ticker, LOOPBACK, 0, compression=None, ping_interval=None) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        hop = await asyncio.to_thread(make_hop, origin, folder / "hop")
        with hop:
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    *("--tap", f"{taps[0]}=127.0.0.1:0=http://{LOOPBACK}:{hop.port}"),
                    *("--tap", f"{taps[1]}=127.0.0.1:{origin}=http://{LOOPBACK}:{app}"),
                    folder=folder / "engine",
                )
            )
            try:
                await drive(f"ws://{LOOPBACK}:{engine.port(taps[0])}")
                if waits:
                    await asyncio.to_thread(all_closed, engine)
            finally:
                await asyncio.to_thread(engine.stop)
    return Run(engine)


def run(folder, *options, drive=None, taps=("edge", "origin")):
    """One client, or what `drive` does, through a relay hop with these options."""

    async def one(base):
        await client(f"{base}/ws")

    make_hop = lambda origin, place: relay_hop(place, origin, *options)  # noqa: E731
    return asyncio.run(_run(folder, make_hop, drive or one, taps))


@pytest.mark.slow
def test_a_hop_that_ends_websockets_properly_has_no_finding(tmp_path):
    seen = run(tmp_path)
    assert seen.ids == []
    (pair,) = seen.pairs()
    assert pair.joined_by == "path and time"
    assert (pair.c2s.sent, pair.c2s.arrived, pair.c2s.lost_count, pair.c2s.added_count) == (
        COUNT,
        COUNT,
        0,
        0,
    )
    assert (pair.c2s.reframed, pair.c2s.recompressed, pair.s2c.held) == (0, 0, 0)
    assert pair.closed_by == "client"


def test_buffered_messages_are_reported_with_times(tmp_path):
    seen = run(tmp_path, "--buffer", "5")
    assert seen.ids == ["WS-MS-101"]
    (pair,) = seen.pairs()
    assert pair.s2c.held >= 8
    assert pair.s2c.held_ns >= 200_000_000
    longest = pair.s2c.longest[0]
    assert longest.for_ns >= 200_000_000
    text = " ".join(seen.finding("WS-MS-101")["evidence"])
    assert "s>c" in text
    assert re.search(r"frame \d+ went in at [\d.]+ m?s after the 101 and came out [\d.]+ m?s later", text)


@pytest.mark.slow
def test_lost_messages_are_counted(tmp_path):
    async def drive(base):
        # Each fifth message of either side: ten of twelve arrive, and eight of the ten answers.
        await client(f"{base}/ws", answers=8)

    seen = run(tmp_path, "--lose", "5", drive=drive)
    assert "WS-MS-102" in seen.ids
    (pair,) = seen.pairs()
    assert pair.c2s.lost_count == COUNT // 5
    assert pair.c2s.added_count == 0
    assert pair.c2s.sent == COUNT


@pytest.mark.slow  # waits as long as a hop may keep a message
def test_a_message_and_a_close_that_the_hop_swallows_are_lost_while_the_server_waits(tmp_path):
    async def drive(base):
        with contextlib.suppress(WebSocketException, TimeoutError):
            async with connect(f"{base}/ws", compression=None, ping_interval=None, proxy=None) as socket:
                for number in range(4):
                    await socket.send(f"message {number}")
        # The hop answers the CLOSE itself; the server's side stays open.
        await asyncio.sleep(6.5)

    async def play():
        return await _run(
            tmp_path, lambda origin, place: relay_hop(place, origin, "--swallow", "3"), drive, waits=False
        )

    seen = asyncio.run(play())
    swallowed = seen.finding("WS-CL-101")
    assert swallowed["title"] == "The hop swallowed a CLOSE frame"
    assert swallowed["fault_of"] == "hop"
    assert any("lost: 1" in line for line in seen.finding("WS-MS-102")["evidence"])


@pytest.mark.slow
def test_other_fragments_are_reported_and_are_not_a_failure(tmp_path):
    seen = run(tmp_path, "--fragment", "100")
    assert seen.ids == []
    (pair,) = seen.pairs()
    assert (pair.c2s.reframed, pair.c2s.lost_count, pair.c2s.added_count) == (COUNT, 0, 0)
    assert pair.s2c.reframed >= COUNT


@pytest.mark.slow
def test_compression_that_the_hop_adds_is_reported(tmp_path):
    async def drive(base):
        await client(f"{base}/ws")

    seen = asyncio.run(_run_compressing(tmp_path, drive))
    (pair,) = seen.pairs()
    assert (pair.c2s.recompressed, pair.c2s.lost_count) == (COUNT, 0)
    assert pair.s2c.recompressed >= COUNT
    assert seen.ids == []


async def _run_compressing(folder, drive):
    origin = free_port()
    async with serve(ticker, LOOPBACK, 0, compression="deflate", ping_interval=None) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        with await asyncio.to_thread(lambda: relay_hop(folder / "hop", origin, "--deflate")) as hop:
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    *("--tap", f"edge=127.0.0.1:0=http://{LOOPBACK}:{hop.port}"),
                    *("--tap", f"origin=127.0.0.1:{origin}=http://{LOOPBACK}:{app}"),
                    folder=folder / "engine",
                )
            )
            try:
                await drive(f"ws://{LOOPBACK}:{engine.port('edge')}")
                await asyncio.to_thread(all_closed, engine)
            finally:
                await asyncio.to_thread(engine.stop)
    return Run(engine)


@pytest.mark.slow
def test_an_end_by_the_hop_is_reported_with_the_silence(tmp_path):
    async def drive(base):
        await client(f"{base}/ws", stays=True)

    seen = run(tmp_path, "--idle", "1.5", drive=drive)
    assert "WS-DROP-101" in seen.ids
    one = seen.finding("WS-DROP-101")
    assert one["severity"] == "error"
    assert any("silence" in line for line in one["evidence"])
    assert re.search(r"after (1\.[5-9]\d*|2\.\d+) s without data from the (client|server)", one["title"])
    (pair,) = seen.pairs()
    assert pair.closed_by == "hop"


@pytest.mark.slow
def test_a_close_code_that_the_hop_replaced(tmp_path):
    async def drive(base):
        with contextlib.suppress(WebSocketException):
            async with connect(f"{base}/ws", ping_interval=None, proxy=None) as socket:
                while await socket.recv() != "end":
                    pass
                await socket.close(1000)

    seen = run(tmp_path, "--code", "4000", drive=drive)
    (pair,) = seen.pairs()
    assert (pair.edge.client_close_code, pair.origin.client_close_code) == (1000, 4000)
    assert "WS-CL-101" in seen.ids


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--path", "/elsewhere")])
def test_attempts_that_look_alike_are_joined_by_content(tmp_path, options):
    """Five at once over a hop that makes its own keys: header fields, then messages tell them apart."""

    async def drive(base):
        await asyncio.gather(*(client(f"{base}/ws", f"client-{n}") for n in range(5)))

    seen = run(tmp_path, *options, drive=drive)
    pairs = seen.pairs()
    assert [pair.joined_by for pair in pairs] == ["content"] * 5
    for pair in pairs:
        assert pair.edge.request_in.get("x-who") == pair.origin.request_in.get("x-who")
        assert pair.c2s.lost_count == pair.c2s.added_count == 0
    assert seen.ids == []
