"""The demo's two clients: Ada chats with compression and leaves politely; Bob is refused, then dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

from wsinspect.demo.listener import LOOPBACK
from wsinspect.demo.server import DROP
from wsinspect.demo.websocket import Closed, Refusal, WebSocket, connect

PATH = "/chat?name="
ADA = (
    "hello Bob",
    "did you try the public address?",
    "Upgrade is a hop-by-hop field",
    "so the hop has to pass it on",
)
BOB = ("hi Ada", "yes: 426, and no WebSocket", "direct works", "who drops it?")
LAST_WORDS = 0.4  # seconds before the end at which the conversation is brought to one
Say = Callable[[str], None]


@dataclass(frozen=True)
class Ports:
    """Where the proxy listens for the clients: in front of the chat server, and in front of the hop."""

    chat: int
    hop: int


async def converse(ports: Ports, seconds: float, say: Say, *, beat: float = 0.25) -> None:
    """Two clients; each says all its lines, then Bob is dropped, and Ada talks on until the time is over.

    The abnormal end comes as soon as there is something to end: who looks on has seen all within some beats.

    Args:
        ports: the proxy's listeners.
        seconds: how long Ada talks; the lines take a few beats even when this is 0.
        say: hears what happens, one line each.
        beat: seconds between two lines of one client.
    """
    deadline = asyncio.get_running_loop().time() + max(0.0, seconds - LAST_WORDS)
    await asyncio.gather(_ada(ports, deadline, beat, say), _bob(ports, beat, say))


async def _ada(ports: Ports, deadline: float, beat: float, say: Say) -> None:
    ada = await connect(LOOPBACK, ports.chat, PATH + "ada", name="ada", compress=True)
    say("ada: connected, with permessage-deflate")
    listening = asyncio.create_task(_listen(ada))
    ada.say("I speak ", "in three ", "fragments")
    await _talk(ada, ADA, deadline + beat, beat)
    ada.close(1000, "bye")
    closed = await listening
    say(f"ada: closed with 1000, the server answered {closed.code}")


async def _bob(ports: Ports, beat: float, say: Say) -> None:
    try:
        refused = await connect(LOOPBACK, ports.hop, PATH + "bob", name="bob")
        refused.drop()
        say("bob: the hop let a WebSocket through, which it should not")
    except Refusal as refusal:
        say(f"bob: refused behind the hop, {refusal.status} {refusal.reason}")
    bob = await connect(LOOPBACK, ports.chat, PATH + "bob", name="bob")
    say("bob: connected without the hop")
    listening = asyncio.create_task(_listen(bob))
    await _talk(bob, BOB, 0, beat)
    bob.say(DROP)
    closed = await listening
    if closed.is_abnormal:
        say("bob: the connection ended without a CLOSE frame, 1006")
    else:
        say(f"bob: closed with {closed.code}")


async def _talk(client: WebSocket, lines: tuple[str, ...], deadline: float, beat: float) -> None:
    """All lines, then over again until the deadline; a ping to the server now and then."""
    now = asyncio.get_running_loop().time
    for number, line in enumerate(cycle(lines)):
        if client.closed is not None or (number >= len(lines) and now() >= deadline):
            return
        client.say(line)
        if number % 3 == 0:
            client.ping(b"are you there? %d" % number)
        await asyncio.sleep(beat)


async def _listen(client: WebSocket) -> Closed:
    async for _ in client.messages():
        pass
    return client.closed or Closed(1006, "")
