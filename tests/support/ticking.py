"""A server that ticks behind a hop, its client before it, and the moment when all of it is over."""

import asyncio
import contextlib

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

COUNT = 12


async def ticker(socket):
    """Sends `COUNT` messages 0.1 s apart, then says everything again."""
    who = socket.request.headers.get("X-Who", "")
    with contextlib.suppress(WebSocketException):
        for number in range(COUNT):
            await socket.send(f"tick {number} for {who} " + "-" * 200)
            await asyncio.sleep(0.1)
        await socket.send("end")
        async for message in socket:
            await socket.send(message)


async def client(url, who="a", *, stays=False, answers=COUNT):
    """Sends some messages, waits for the ticker's end and so many answers, and closes well."""
    with contextlib.suppress(WebSocketException, TimeoutError):
        async with connect(
            url, compression=None, ping_interval=None, proxy=None, additional_headers={"X-Who": who}
        ) as socket:
            for number in range(COUNT):
                await socket.send(f"{who} says {number} " + "x" * 300)
            while await asyncio.wait_for(socket.recv(), 20) != "end":
                pass
            if stays:
                await asyncio.wait_for(socket.recv(), 20)
            for _ in range(answers):
                await asyncio.wait_for(socket.recv(), 20)


def all_closed(engine):
    """Wait until both taps have seen the end of every connection."""
    count = 0

    def is_last(event):
        nonlocal count
        count += {"open": 1, "close": -1}.get(event["event"], 0)
        return event["event"] == "close" and count == 0

    engine.wait_for(is_last)
