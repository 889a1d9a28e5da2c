"""Ways from the lab's client to its server: straight, or through a proxy in one of its modes, over TCP or
TLS.

A route opens connections; `Checker` plays cases over a route and says in which of them the observation
differs from what the same script gives on a direct connection.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.certs import client_context
from tests.support.origin import Origin
from tests.support.rawpeers import Peer, PeerTimeoutError
from tests.support.script import Case, Observation, run_case

CLIENT_TLS = client_context()


@dataclass(frozen=True)
class Route:
    """How a client reaches the origin.

    Attributes:
        port: where the client connects to.
        client_tls, server_tls: which leg is encrypted; on a direct route both are the same leg.
        mode: "plain" (direct or reverse: the request goes out as it is), "absolute" (a regular proxy's GET
            with an absolute URL) or "connect".
        target: the origin's port, where the mode has to name it.
    """

    name: str
    port: int
    client_tls: bool = False
    server_tls: bool = False
    mode: str = "plain"
    target: int = 0

    async def open(self, request: bytes) -> Peer:
        """Connect and send the request (with what belongs in the same segment)."""
        if self.mode == "connect":
            peer = await Peer.connect(self.port)
            try:
                await self._tunnel(peer)
            except (PeerTimeoutError, ConnectionError):
                peer.close()
                raise ConnectionError(f"CONNECT was answered {bytes(peer.received)[:200]!r}") from None
        else:
            peer = await Peer.connect(self.port, CLIENT_TLS if self.client_tls else None)
        if self.mode != "plain":
            request = request.replace(b"Host: lab.example", self._authority(b"Host: "), 1)
        if self.mode == "absolute":
            request = request.replace(b"GET ", self._authority(b"GET http://"), 1)
        await peer.send(request)
        return peer

    def _authority(self, before: bytes) -> bytes:
        return before + b"127.0.0.1:%d" % self.target

    async def _tunnel(self, peer: Peer) -> None:
        await peer.send(
            self._authority(b"CONNECT ") + b" HTTP/1.1\r\n" + self._authority(b"Host: ") + b"\r\n\r\n"
        )
        await peer.until(lambda: b"\r\n\r\n" in peer.received or peer.ended is not None, 30)
        if not peer.received.startswith(b"HTTP/1.1 200"):
            raise ConnectionError
        peer.received.clear()
        if self.client_tls:
            await peer.start_tls(CLIENT_TLS, server=False)

    def comparable(self, seen: Observation) -> Observation:
        """The observation without what the route itself changes by its nature (never by a fault of the
        relay)."""
        head = re.sub(
            rb"(?m)^Host: (lab\.example|127\.0\.0\.1:\d+)", b"Host: lab.example", seen.server_head, count=1
        )
        facts = seen.facts
        if self.client_tls != self.server_tls:
            # One leg has no close_notify to pass on: only FIN and RST can be compared.
            facts = [fact.replace("close_notify+", "").replace("close_notify", "fin") for fact in facts]
        return Observation(seen.tag, seen.client, head, seen.server, facts, seen.trouble)


class Checker:
    """Plays cases, many at once, against one origin."""

    def __init__(self, origin: Origin, *, at_once: int = 24, timeout: float = 30.0) -> None:
        self.origin = origin
        self.timeout = timeout
        self._slots = asyncio.Semaphore(at_once)
        self._serial = itertools.count(1)
        self._direct: dict[tuple[str, bool], Observation] = {}

    def direct(self, *, tls: bool) -> Route:
        port = self.origin.tls_port if tls else self.origin.port
        return Route("direct-tls" if tls else "direct", port, tls, tls)

    async def play(self, case: Case, route: Route) -> Observation:
        tag = f"{case.name}.{next(self._serial)}"
        async with self._slots:
            server = self.origin.expect(tag)
            try:
                seen = await run_case(case, tag, route.open, server, self.timeout)
            finally:
                self.origin.forget(tag)
        seen.server_head = seen.server_head.replace(tag.encode(), case.name.encode())
        return seen

    async def expected(self, case: Case, *, tls: bool) -> Observation:
        """The observation on a direct connection, played once for all routes."""
        key = case.name, tls
        if key not in self._direct:
            self._direct[key] = await self.play(case, self.direct(tls=tls))
        return self._direct[key]

    async def compare(self, case: Case, route: Route) -> list[str]:
        """What is different through `route`; an empty list where nothing is."""
        direct = await self.expected(case, tls=route.client_tls and route.server_tls)
        if direct.trouble:
            return [f"the direct connection itself failed: {trouble}" for trouble in direct.trouble]
        through = await self.play(case, route)
        return differences(route.comparable(direct), route.comparable(through))

    async def failures(self, cases: Sequence[Case], route: Route) -> dict[str, list[str]]:
        """The cases that differ, with what differs."""
        fitting = [case for case in cases if not case.tls_only or (route.client_tls and route.server_tls)]
        found = await asyncio.gather(*(self.compare(case, route) for case in fitting))
        return {case.name: what for case, what in zip(fitting, found, strict=True) if what}


def differences(direct: Observation, through: Observation) -> list[str]:
    """Sentences about what is not the same."""
    found = list(through.trouble)
    for what, one, other in [
        ("client received", direct.client, through.client),
        ("server received the head", direct.server_head, through.server_head),
        ("server received", direct.server, through.server),
    ]:
        if one != other:
            at = next(
                (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)),
            )
            found.append(
                f"{what} {len(other)} bytes instead of {len(one)}, first difference at {at}: "
                f"{other[at : at + 24]!r} instead of {one[at : at + 24]!r}"
            )
    if direct.facts != through.facts:
        found.append(f"ends: {through.facts} instead of {direct.facts}")
    return found
