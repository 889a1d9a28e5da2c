"""Plays endings between an application and a raw peer, directly and through an engine, and compares what was
told.

`AppLab` is for client applications before a raw server, `ServerLab` for server applications behind a raw
client.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.apps import Outcome, without
from tests.support.endings import Ending, Talk
from tests.support.origin import Origin
from tests.support.rawpeers import Peer, PeerTimeoutError

#: An application as a coroutine: (url, the regular proxy's port or None) -> what it was told.
App = Callable[[str, int | None], Awaitable[Outcome]]
#: What depends on who answers the handshake: a proxy answers 502 for a server that gives no whole answer.
ANSWERED_BY_PROXY = ("error", "status", "body")


@dataclass(frozen=True)
class Way:
    """How an application reaches the origin: a port to connect to, perhaps TLS, perhaps a regular proxy."""

    name: str
    port: int
    tls: bool = False
    proxy: int | None = None

    def url(self, tag: str) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/case/{tag}"


class AppLab:
    """Endings against one origin, several at once."""

    def __init__(self, origin: Origin, *, at_once: int = 8) -> None:
        self.origin = origin
        #: What was told on each way, by the case's name in the path: {way: {tag: outcome}}.
        self.told: dict[str, dict[str, Outcome]] = {}
        self._slots = asyncio.Semaphore(at_once)
        self._serial = itertools.count(1)

    async def play(self, ending: Ending, app: App, way: Way) -> dict[str, Any]:
        """What the application was told, and which frames the raw server got from it."""
        tag = f"{ending.name}.{next(self._serial)}"
        async with self._slots:
            accepted = self.origin.expect(tag)
            server = asyncio.create_task(_serve(ending, accepted))
            try:
                told = await app(way.url(tag), way.proxy)
            finally:
                self.origin.forget(tag)
                if not accepted.done():
                    accepted.cancel()
            self.told.setdefault(way.name, {})[tag] = told
            return {"told": told, "server": await server}

    async def compare(self, ending: Ending, app: App, direct: Way, through: Way) -> list[str]:
        """Sentences about what is not the same; empty when the application cannot tell the difference."""
        one, other = await asyncio.gather(self.play(ending, app, direct), self.play(ending, app, through))
        if not ending.answers:
            one["told"], other["told"] = (without(x["told"], ANSWERED_BY_PROXY) for x in (one, other))
        return [
            f"{side}: {other[side]} instead of {one[side]}"
            for side in ("told", "server")
            if one[side] != other[side]
        ]

    async def failures(
        self, endings: Sequence[Ending], app: App, direct: Way, through: Way
    ) -> dict[str, list[str]]:
        found = await asyncio.gather(*(self.compare(ending, app, direct, through) for ending in endings))
        return {ending.name: what for ending, what in zip(endings, found, strict=True) if what}


#: A server application's account of one connection: (path) -> what it was told.
Account = Callable[[str], Awaitable[Outcome]]


class ServerLab:
    """Endings of a raw client with a server application."""

    def __init__(self, account: Account, *, at_once: int = 8) -> None:
        self.account = account
        self._slots = asyncio.Semaphore(at_once)
        self._serial = itertools.count(1)

    async def play(self, ending: Ending, port: int) -> dict[str, Any]:
        """What the server application was told, and which frames the raw client got from it."""
        path = f"/case/{ending.name}.{next(self._serial)}"
        async with self._slots:
            talk = Talk(await Peer.connect(port), is_client=True)
            seen = []
            try:
                await talk.open(path)
                await ending.script(talk)
            except PeerTimeoutError:
                seen.append("a step of the client's script did not happen")
            seen += [await talk.finish(), *talk.frames()]
            talk.peer.close()
            return {"told": await self.account(path), "client": seen}

    async def compare(self, ending: Ending, direct: int, through: int) -> list[str]:
        one, other = await asyncio.gather(self.play(ending, direct), self.play(ending, through))
        return [f"{side}: {other[side]} instead of {one[side]}" for side in one if one[side] != other[side]]

    async def failures(self, endings: Sequence[Ending], direct: int, through: int) -> dict[str, list[str]]:
        found = await asyncio.gather(*(self.compare(ending, direct, through) for ending in endings))
        return {ending.name: what for ending, what in zip(endings, found, strict=True) if what}


async def _serve(ending: Ending, accepted: asyncio.Future[Any]) -> list[str]:
    """Play the server's side; returns the frames it got, and what of its script did not happen."""
    try:
        peer = await accepted
    except asyncio.CancelledError:
        return ["no connection came"]
    talk = Talk(peer)
    seen = []
    try:
        await talk.read_head()
        await ending.script(talk)
    except PeerTimeoutError:
        seen.append("a step of the server's script did not happen")
    seen.append(await talk.finish())
    seen += talk.frames()
    peer.close()
    return seen
