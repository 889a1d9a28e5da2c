"""An engine that got no CPU: what ended one after the other meanwhile, it reads at once."""

import asyncio
import contextlib
import os
import signal

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK
from tests.support.journals import need
from tests.support.sandwich_lab import afterwards, standing, stored, told
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader

APART = 0.7


async def _stay(url, opened):
    with contextlib.suppress(WebSocketException, OSError):
        async with connect(url, ping_interval=None, proxy=None) as socket:
            await socket.recv()
            opened.set()
            async for _ in socket:
                pass


async def _cut_one_after_the_other(folder, *, is_stopped):
    """Three connections of different ages, cut by the server 0.7 s apart, while the engine runs or not."""
    connections = []

    async def hold(connection):
        connections.append(connection)
        with contextlib.suppress(WebSocketException):
            await connection.send("hello")
            await connection.wait_closed()

    async with serve(hold, LOOPBACK, 0, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        engine = await asyncio.to_thread(
            lambda: Engine.start(
                "--tap", f"main={LOOPBACK}:0=http://{LOOPBACK}:{port}", folder=folder / "engine"
            )
        )
        try:
            clients = []
            for _ in range(3):
                opened = asyncio.Event()
                url = f"ws://{LOOPBACK}:{engine.port('main')}/"
                clients.append(asyncio.create_task(_stay(url, opened)))
                await asyncio.wait_for(opened.wait(), 20)
                await asyncio.sleep(0.5)
            if is_stopped:
                os.kill(engine.pid, signal.SIGSTOP)
            try:
                for connection in connections:
                    connection.transport.close()
                    await asyncio.sleep(APART)
            finally:
                if is_stopped:
                    os.kill(engine.pid, signal.SIGCONT)
            await asyncio.gather(*clients)
        finally:
            await asyncio.to_thread(engine.stop)
    return engine


def test_ends_that_a_stopped_engine_read_at_once_are_no_cluster(tmp_path):
    engine = asyncio.run(_cut_one_after_the_other(tmp_path, is_stopped=True))
    with Capture.open(engine.capture) as capture:
        reader = FactReader(capture.query)
        facts = [need(reader.connection(number)) for number in (1, 2, 3)]
        (longest,) = [one for one in reader.lags() if one.until_ns - one.from_ns > 1_000_000_000]
    ends = [need(one.end_ns) for one in facts]
    # They were stamped together, and each of them says since when it may have come.
    assert max(ends) - min(ends) < 500_000_000
    assert longest.until_ns - longest.from_ns >= 3 * APART * 1e9
    assert all(longest in one.lags and not one.is_age_certain() for one in facts)
    found = afterwards(engine.capture)
    assert found == stored(engine.capture) == told(engine.events)
    assert {rule for rule, _ in found} == {"WS-DROP-006"}
    findings = standing(engine.events).values()
    for one in findings:
        assert [line for line in one["evidence"] if line.startswith("this proxy got no CPU for up to 2")]


@pytest.mark.slow  # ends some seconds apart
def test_ends_that_were_read_as_they_came_have_their_times(tmp_path):
    engine = asyncio.run(_cut_one_after_the_other(tmp_path, is_stopped=False))
    with Capture.open(engine.capture) as capture:
        reader = FactReader(capture.query)
        ends = [need(need(reader.connection(number)).end_ns) for number in (1, 2, 3)]
    assert max(ends) - min(ends) > APART * 1e9
    assert "WS-DROP-004" not in {rule for rule, _ in afterwards(engine.capture)}
