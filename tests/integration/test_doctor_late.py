"""The doctor on a busy machine: what it reads late is not blamed on a server that answered in time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.doctor_lab import LOOPBACK, examined, http, ids, is_upgrade, serving, switching
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.doctor.asker import CLOSE_SECONDS
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


def test_a_server_that_is_as_late_by_itself_is_blamed() -> None:
    assert "WS-CL-031" in _examined(_closing(_STARVED_SECONDS + 0.5), 0.0)
