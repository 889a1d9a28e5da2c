"""Hops that keep something to themselves: a request, the server's 101, PINGs. Real ones, between two taps.

HAProxy queues for a server that has no free connection, and holds or replaces responses by its own rules; a
gateway made of Node's `ws` ends WebSockets, and so decides what becomes of PINGs.
"""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.protocol import State

from tests.support.apps import NODE
from tests.support.engine import Engine
from tests.support.finding_lab import in_time
from tests.support.hops import LOOPBACK, Hop, haproxy
from tests.support.sandwich_lab import afterwards, echo_server, look, stored, told
from tests.support.small_servers import free_port

pytestmark = pytest.mark.lab

#: A hop is blamed for what it kept for more than a second: far from that, for machines that are busy.
LEAVES_SOON, LEAVES_LATE = 0.15, 2.0


async def _run(folder, make_hop, drive):
    async with echo_server() as (_, app):
        origin = free_port()
        with await asyncio.to_thread(make_hop, origin, folder / "hop") as hop:
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    *("--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{hop.port}"),
                    *("--tap", f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}"),
                    folder=folder / "engine",
                )
            )
            try:
                await drive(f"ws://{LOOPBACK}:{engine.port('edge')}")
            finally:
                await asyncio.to_thread(engine.stop)
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return engine.capture


def run(folder, make_hop, drive):
    """What was found by path, live, stored and afterwards the same."""
    return look(in_time(folder, lambda one: asyncio.run(_run(one, make_hop, drive))))


async def asks(url, seconds):
    """A client that waits so long for the answer to its handshake; whether it was open."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(url, proxy=None, ping_interval=None, open_timeout=seconds):
            return True
    return False


def said(seen):
    return [(one.id, one.severity, one.fault_of) for one in seen.sandwich if one.severity != "note"]


# -- a request


def queueing(origin, folder):
    """One connection to the server at a time; whoever comes next waits for it."""
    return haproxy(folder, f"timeout queue 30s\n    server app {LOOPBACK}:{origin} maxconn 1")


def test_a_hop_that_keeps_a_request_in_its_queue_is_blamed_when_the_client_leaves(tmp_path):
    async def drive(base):
        async with connect(f"{base}/first", proxy=None, ping_interval=None):
            assert not await asks(f"{base}/waits", LEAVES_LATE)

    seen = run(tmp_path, queueing, drive)
    assert said(seen["/first"]) == []
    assert said(seen["/waits"]) == [("WS-HS-036", "error", "hop")]
    (found,) = [one for one in seen["/waits"].sandwich if one.id == "WS-HS-036"]
    assert "HAProxy" in found.hop or "between edge and origin" in found.hop
    assert any("a free connection (a limit)" in cause.cause for cause in found.causes)
    # One tap knows of no hop.
    assert [one.fault_of for one in seen["/waits"].edge] != ["hop"]


def test_a_client_that_leaves_the_queue_at_once_is_no_fault_of_the_hop(tmp_path):
    async def drive(base):
        async with connect(f"{base}/first", proxy=None, ping_interval=None):
            assert not await asks(f"{base}/leaves", LEAVES_SOON)

    seen = run(tmp_path, queueing, drive)
    assert "hop" not in [party for _, _, party in said(seen["/leaves"])]


def test_a_request_that_waits_for_its_turn_and_is_passed_on_is_healthy(tmp_path):
    async def drive(base):
        async with connect(f"{base}/first", proxy=None, ping_interval=None):
            second = asyncio.create_task(asks(f"{base}/second", 20))
            await asyncio.sleep(0.3)
        assert await second

    seen = run(tmp_path, queueing, drive)
    assert {path: said(one) for path, one in seen.items()} == {"/first": [], "/second": []}


# -- the server's 101

#: Rules about responses know no path but one that was kept.
ASKED = "http-request set-var(txn.path) path"
HOLD = 'core.register_action("hold", { "http-res" }, function(txn) core.msleep(9000) end)\n'


def holding(origin, folder):
    """Every response is held for a while, as by a filter that waits for a service."""
    folder.mkdir(parents=True)
    script = folder / "hold.lua"
    script.write_text(HOLD)
    rules = f"{ASKED}\n    http-response lua.hold if {{ var(txn.path) -m str /held }}"
    return haproxy(folder, f"{rules}\n    server app {LOOPBACK}:{origin}", main=f"lua-load {script}")


def test_a_hop_that_keeps_the_server_s_101_is_blamed_when_the_client_leaves(tmp_path):
    async def drive(base):
        held, good = await asyncio.gather(asks(f"{base}/held", LEAVES_LATE), asks(f"{base}/good", 20))
        assert good
        assert not held

    seen = run(tmp_path, holding, drive)
    assert said(seen["/good"]) == []
    assert said(seen["/held"]) == [("WS-HS-107", "error", "hop")]
    (found,) = [one for one in seen["/held"].sandwich if one.id == "WS-HS-107"]
    assert any("more, and left" in line for line in found.evidence)


def test_a_client_that_leaves_while_the_101_may_be_on_its_way_blames_nobody_for_it(tmp_path):
    async def drive(base):
        assert not await asks(f"{base}/held", LEAVES_SOON)

    seen = run(tmp_path, holding, drive)
    assert "WS-HS-107" not in [rule for rule, _, _ in said(seen["/held"])]


def test_a_hop_that_answers_otherwise_where_the_server_said_101_is_blamed(tmp_path):
    where = "{ status 101 } { var(txn.path) -m str /denied }"
    rules = f"{ASKED}\n    http-response deny deny_status 502 if {where}"

    async def drive(base):
        assert await asks(f"{base}/good", 20)
        assert not await asks(f"{base}/denied", 20)

    seen = run(tmp_path, lambda origin, f: haproxy(f, f"{rules}\n    server app {LOOPBACK}:{origin}"), drive)
    assert said(seen["/good"]) == []
    assert said(seen["/denied"]) == [("WS-HS-107", "error", "hop")]


# -- PINGs


def gateway(way):
    def make(origin, folder):
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        return Hop.start(["node", str(NODE / "ws_relay.mjs"), str(port), str(origin), way], port, folder)

    return make


async def pings(url, seconds, *, patience):
    """A client with a heartbeat, for so long, unless its PINGs stay unanswered; whether it was open then."""
    with contextlib.suppress(WebSocketException, OSError):
        async with connect(url, proxy=None, ping_interval=0.3, ping_timeout=patience) as socket:
            await socket.send("hello")
            await socket.recv()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(socket.wait_closed(), seconds)
            return socket.state is State.OPEN
    return False


def test_a_gateway_that_swallows_pings_is_blamed_for_the_missing_pongs(tmp_path):
    async def drive(base):
        assert not await pings(f"{base}/ws", 60, patience=1.1)

    seen = run(tmp_path, gateway("swallowed"), drive)
    assert said(seen["/ws"]) == [("WS-KA-101", "error", "hop")]
    (found,) = [one for one in seen["/ws"].sandwich if one.id == "WS-KA-101"]
    assert any("that came out of it: 0" in line for line in found.evidence)
    # One tap blames whoever did not answer.
    assert [one.id for one in seen["/ws"].edge] == ["WS-KA-001"]


@pytest.mark.parametrize("way", ["answered", "passed"])
def test_a_gateway_that_answers_pings_or_passes_them_on_is_healthy(tmp_path, way):
    async def drive(base):
        assert await pings(f"{base}/ws", 1.0, patience=20)

    seen = run(tmp_path, gateway(way), drive)
    assert said(seen["/ws"]) == []
