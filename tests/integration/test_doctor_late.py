"""The doctor on a busy machine: what it reads late is not blamed on a server that answered in time."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.doctor_lab import LOOPBACK, examined, http, ids, is_upgrade, serving, switching
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.doctor.asker import CLOSE_SECONDS
from wsinspect.doctor.hold import Trial
from wsinspect.doctor.holder import Watched
from wsinspect.handshake.heads import RawHead

#: For so long the doctor's process gets no CPU: longer than it waits for the answer to its CLOSE.
_STARVED_SECONDS = CLOSE_SECONDS + 0.3
_CLOSE, _PING, _PONG = 8, 9, 10

Serve = Callable[[RawHead, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _closing(after: float) -> Serve:
    """A server that answers PING at once, and CLOSE after so many seconds."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_upgrade(head):
            writer.write(http("426 Upgrade Required"))
            return
        writer.write(switching(head))
        while True:
            first, second = await reader.readexactly(2)
            key = await reader.readexactly(4)
            data = await reader.readexactly(second & 127)
            opcode = first & 15
            if opcode == _CLOSE:
                await asyncio.sleep(after)
            plain = bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
            writer.write(bytes((0x80 | (_PONG if opcode == _PING else _CLOSE), len(plain))) + plain)
            if opcode == _CLOSE:
                return

    return play


def _examined(play: Serve, starved: float) -> list[str]:
    """What the doctor says that gets no CPU for so long, right when it has sent its CLOSE."""
    frames = 0

    def new_key(size: int) -> bytes:
        nonlocal frames
        frames += 1
        if frames == 2 and starved:  # its PING was the first
            asyncio.get_running_loop().call_soon(time.sleep, starved)
        return os.urandom(size)

    with ThreadedLoop() as apart:
        stack = AsyncExitStack()
        port = apart.run(stack.enter_async_context(serving(play)))
        try:
            options: dict[str, Any] = {"new_key": new_key}
            return ids(asyncio.run(examined(f"ws://{LOOPBACK}:{port}/chat", **options)))
        finally:
            apart.run(stack.aclose())


@pytest.mark.parametrize("after", [0.05, _STARVED_SECONDS + 0.5])
def test_a_server_next_to_a_starved_doctor_is_not_blamed_for_what_comes_late(after: float) -> None:
    assert "WS-CL-031" not in _examined(_closing(after), _STARVED_SECONDS)


async def _until_the_client_leaves(
    head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A server that says nothing after its 101 while the doctor is there."""
    if not is_upgrade(head):
        writer.write(http("426 Upgrade Required"))
        return
    writer.write(switching(head))
    while await reader.read(4096):
        pass


def test_a_server_that_is_late_by_itself_is_blamed(monkeypatch) -> None:
    """The doctor does not notice that it is late itself: on a busy machine it may be, and then is silent."""
    monkeypatch.setattr("wsinspect.doctor.lateness._LEAST_NS", 10**12)
    assert "WS-CL-031" in _examined(_until_the_client_leaves, 0.0)


#: A server's limit on silence, and for how long from shortly before it on the doctor gets no CPU.
_LIMIT_SECONDS, _BEFORE_SECONDS, _LATE_SECONDS = 1.5, 0.5, 3.0


def test_a_limit_on_silence_that_a_starved_doctor_reads_late_is_as_long_as_it_was() -> None:
    """The FIN comes while the doctor sleeps; when it came is what the kernel says."""
    loops: list[asyncio.AbstractEventLoop] = []
    silences: list[float] = []

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_upgrade(head):
            writer.write(http("426 Upgrade Required"))
            return
        writer.write(switching(head))
        last = time.monotonic()
        try:
            async with asyncio.timeout(_LIMIT_SECONDS - _BEFORE_SECONDS):
                while first := await reader.read(4096):
                    if first[0] & 15 == _CLOSE:
                        writer.write(b"\x88\x02\x03\xe8")
                        return
        except TimeoutError:
            loops[0].call_soon_threadsafe(time.sleep, _LATE_SECONDS)
            await asyncio.sleep(last + _LIMIT_SECONDS - time.monotonic())
            silences.append(time.monotonic() - last)

    async def held(port: int) -> list[str]:
        loops.append(asyncio.get_running_loop())
        watched = Watched(trial=Trial(duration_ns=6 * 10**9, message=b""))
        found = await examined(f"ws://{LOOPBACK}:{port}/chat", idle=watched)
        return [line for one in found.judgement.findings for line in one.evidence]

    with ThreadedLoop() as apart:
        stack = AsyncExitStack()
        port = apart.run(stack.enter_async_context(serving(play)))
        try:
            lines = asyncio.run(held(port))
        finally:
            apart.run(stack.aclose())
    ages = [float(age) for age in re.findall(r"FIN without CLOSE at the age of ([\d.]+) s", "\n".join(lines))]
    assert ages
    # It woke two seconds after that.
    assert max(ages) < max(silences) + _LATE_SECONDS - _BEFORE_SECONDS - 1
