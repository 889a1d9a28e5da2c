"""`doctor --idle` on servers that people run, and on some that mislead: each with what has to be said."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support.apps import NodeApp
from tests.support.doctor_lab import LOOPBACK, examined
from tests.support.hops import NGINX_GOOD, nginx
from wsinspect.doctor.examination import Examination
from wsinspect.doctor.hold import Trial
from wsinspect.doctor.holder import Watched
from wsinspect.doctor.lateness import Lateness

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SECONDS = 6.0
#: Ends that are this far apart are not taken for one limit (`findings/held.py` allows 0.35 s).
LATE_NS = 250_000_000


async def listen(socket: ServerConnection) -> None:
    with contextlib.suppress(WebSocketException):
        async for _ in socket:
            pass


async def echo(socket: ServerConnection) -> None:
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)


async def wants_login(socket: ServerConnection) -> None:
    """Who has said nothing after two seconds is sent away."""
    with contextlib.suppress(WebSocketException):
        try:
            async with asyncio.timeout(2):
                await socket.recv()
        except TimeoutError:
            await socket.close(1008, "log in first")
            return
        await listen(socket)


async def quota(socket: ServerConnection) -> None:
    with contextlib.suppress(WebSocketException):
        for _ in range(3):
            await socket.recv()
        await socket.close(1008, "rate limit")


async def pushes(socket: ServerConnection) -> None:
    """Speaks every second, whoever listens."""
    with contextlib.suppress(WebSocketException):
        while True:
            await socket.send("tick")
            await asyncio.sleep(1)


async def farewell(socket: ServerConnection) -> None:
    """A session of three seconds, with a proper end."""
    with contextlib.suppress(WebSocketException):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await listen(socket)
        await socket.close(1000, "session over")


turns = count()


async def odd(socket: ServerConnection) -> None:
    """Ends after a time of its own each time."""
    length = 0.8 + 0.7 * (next(turns) * 5 % 7)
    with contextlib.suppress(WebSocketException):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(length):
                await listen(socket)
        socket.transport.abort()


@contextlib.asynccontextmanager
async def application(handler, **options: Any) -> AsyncIterator[int]:
    settings = {"ping_interval": None, **options}
    async with serve(handler, LOOPBACK, 0, **settings) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def of_application(handler, message: bytes = b"", **options: Any) -> Examination:
    async with application(handler, **options) as port:
        return await asked(f"ws://{LOOPBACK}:{port}/", message)


async def asked(url: str, message: bytes = b"") -> Examination:
    trial = Trial(duration_ns=round(SECONDS * 1e9), message=message)
    return await examined(url, idle=Watched(trial=trial))


async def of_socketio() -> Examination:
    app = await NodeApp.start("socketio_server.mjs")
    try:
        port = (await app.first_line())["port"]
        return await asked(f"ws://{LOOPBACK}:{port}/socket.io/?EIO=4&transport=websocket")
    finally:
        app.process.terminate()
        await app.process.wait()


async def of_nginx(folder, limit: str, handler, **options: Any) -> Examination:
    async with application(handler, **options) as port:
        location = (
            f"location / {{ {NGINX_GOOD} proxy_read_timeout {limit}; proxy_pass http://{LOOPBACK}:{port}; }}"
        )
        hop = await asyncio.to_thread(nginx, folder, location)
        try:
            return await asked(f"ws://{LOOPBACK}:{hop.port}/", b"hello")
        finally:
            await asyncio.to_thread(hop.stop)


BEAT: dict[str, Any] = {"ping_interval": 1, "ping_timeout": 1}


Trials = dict[str, tuple[Callable[[], Awaitable[Examination]], list[str], str]]


def trials_of(folder: Path) -> Trials:
    """By name: a trial, the rules of its findings, and words of the first one's title."""
    return {
        "echo": (partial(of_application, echo, b"hello"), [], ""),
        "only listens": (partial(of_application, listen), [], ""),
        "pushes": (partial(of_application, pushes), [], ""),
        "heartbeat of Python websockets": (
            partial(of_application, listen, b"", **BEAT),
            ["WS-KA-009"],
            "pings are ended",
        ),
        "wants a login, none given": (
            partial(of_application, wants_login),
            ["WS-DROP-010"],
            "waits for a message",
        ),
        "wants a login": (
            partial(of_application, wants_login, b"login"),
            ["WS-DROP-010"],
            "after the client's last message",
        ),
        "a quota of messages": (
            partial(of_application, quota, b"hello"),
            ["WS-DROP-013"],
            "send this message",
        ),
        "a session of 3 s": (partial(of_application, farewell, b"hello"), ["WS-DROP-010"], "at the age of"),
        "ends at odd times": (
            partial(of_application, odd, b"hello"),
            ["WS-DROP-013"],
            "no one limit explains",
        ),
        # pingInterval 200 ms and pingTimeout 5 s: the one that does not answer is ended, the others are not.
        "Socket.IO": (of_socketio, ["WS-KA-009"], "pings are ended after 5.2 s"),
        "nginx 2 s": (partial(of_nginx, folder / "a", "2s", echo), ["WS-DROP-009"], "2 s of silence"),
        "nginx 2 s, pushed every second": (partial(of_nginx, folder / "b", "2s", pushes), [], ""),
        "nginx 3 s, heartbeat": (
            partial(of_nginx, folder / "c", "3s", listen, **BEAT),
            ["WS-KA-009"],
            "pings are ended",
        ),
    }


def wrong(found: Examination, wanted: list[str], words: str) -> str:
    """What is not as it has to be; empty where all is."""
    limits = [one for one in found.judgement.findings if one.id.startswith(("WS-DROP", "WS-KA-009"))]
    is_right = [one.id for one in limits] == wanted and (not wanted or words in limits[0].title)
    return "" if is_right else repr([(one.id, one.title, one.evidence) for one in limits])


async def wrong_ones(folder: Path) -> dict[str, str]:
    """All trials at once; those that are wrong again where this process, which has most of the servers in it,
    was late.

    A server that ends a session of three seconds half a second late has no one limit, and that is then said.
    """
    failed = dict.fromkeys(trials_of(folder), "not tried")
    for number in range(6):
        trials = trials_of(folder / f"try-{number}")
        lateness = Lateness(time.monotonic_ns)
        with lateness.watched():
            found = await asyncio.gather(*(trials[name][0]() for name in failed))
        said = {name: wrong(one, *trials[name][1:]) for name, one in zip(failed, found, strict=True)}
        failed = {name: words for name, words in said.items() if words}
        if not failed or all(lag.until_ns - lag.from_ns < LATE_NS for lag in lateness.lags):
            break
    return failed


def test_the_right_thing_is_said(tmp_path):
    assert asyncio.run(wrong_ones(tmp_path)) == {}
