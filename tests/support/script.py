"""Scripts for two raw peers: what each sends and waits for, step by step, and what was observed.

A `Case` is a list of steps of the client (`C`) and the server (`S`), done strictly one after the other. A
step that waits (`sync`, `end`, ...) waits for a fact, never for time, so the same script gives the same
observation on every run, and a relay that holds, alters, drops or invents anything gives another one than the
direct connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.support.rawpeers import Peer, PeerTimeoutError

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()


@dataclass(frozen=True)
class Step:
    """One action of one side: `who` is "c" or "s"."""

    who: str
    what: str
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.who}.{self.what}" + (f"({len(self.data)} B)" if self.data else "")


@dataclass(frozen=True)
class Actor:
    """Names the steps of one side; `C.send(b"x")` is readable in a table of cases."""

    who: str

    def send(self, data: bytes) -> Step:
        return Step(self.who, "send", data)

    def sync(self) -> Step:
        """Wait until everything that the other side sent so far is here."""
        return Step(self.who, "sync")

    def fin(self) -> Step:
        """Half-close with FIN (under TLS: a truncation, no close_notify)."""
        return Step(self.who, "fin")

    def bye(self) -> Step:
        """End one's direction as a well-behaved peer: FIN, under TLS close_notify before it."""
        return Step(self.who, "bye")

    def notify(self) -> Step:
        """Under TLS: close_notify alone; over plain TCP: FIN."""
        return Step(self.who, "notify")

    def rst(self) -> Step:
        return Step(self.who, "rst")

    def close(self) -> Step:
        return Step(self.who, "close")

    def end(self) -> Step:
        """Wait for the end of the other side's direction and note how it came."""
        return Step(self.who, "end")

    def notified(self) -> Step:
        """Wait for close_notify (over plain TCP: for FIN)."""
        return Step(self.who, "notified")

    def pound(self, data: bytes) -> Step:
        """Write `data` again and again until the kernel says that nobody takes it any more.

        A reset that comes after the same side's FIN reaches a reader in no other way, and a relay learns of
        it one write later than a direct peer, so the number of writes is no part of the observation.
        """
        return Step(self.who, "pound", data)


C, S = Actor("c"), Actor("s")


def request(name: str, *, extra: Sequence[str] = (), host: str = "lab.example") -> bytes:
    """A correct opening handshake; `{name}` says which script the connection belongs to."""
    lines = [
        f"GET /case/{name} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def response(*, extra: Sequence[str] = ()) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {ACCEPT}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Case:
    """A script after the opening handshake, with the handshake's extra header lines.

    Attributes:
        accept: the server's whole answer; None for a correct 101 with `accept_extra`.
        early: bytes the client sends in one segment with its request.
        joined: bytes the server sends in one segment with its answer.
        before: steps between the arrival of the request and the server's answer.
        hasty: the server goes on with the script without waiting until its answer has arrived.
        tls_only: the script says something only where both sides speak TLS.
    """

    name: str
    family: str
    steps: tuple[Step, ...]
    request_extra: tuple[str, ...] = ()
    accept_extra: tuple[str, ...] = ()
    request_head: bytes | None = None
    accept: bytes | None = None
    early: bytes = b""
    joined: bytes = b""
    before: tuple[Step, ...] = ()
    hasty: bool = False
    tls_only: bool = False

    def request_bytes(self, tag: str) -> bytes:
        if self.request_head is not None:
            return self.request_head.replace(b"{name}", tag.encode())
        return request(tag, extra=self.request_extra)

    def response_bytes(self) -> bytes:
        return self.accept if self.accept is not None else response(extra=self.accept_extra)


@dataclass
class Observation:
    """What both sides saw: all bytes, how directions ended, and steps whose fact never came.

    `tag` is the name in the request's path under which it was played.
    """

    tag: str = ""
    client: bytes = b""
    server_head: bytes = b""
    server: bytes = b""
    facts: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


Opener = Callable[[bytes], Awaitable[Peer]]


@dataclass
class _Side:
    peer: Peer
    sent: int = 0
    base: int = 0  # received bytes before the payload that `sync` counts


class Player:
    """Plays one case over one pair of peers."""

    def __init__(
        self, case: Case, client: Peer, server: Peer, observation: Observation, timeout: float
    ) -> None:
        self.case = case
        self.sides = {"c": _Side(client), "s": _Side(server)}
        self.seen = observation
        self.timeout = timeout

    async def play(self) -> None:
        client, server = self.sides["c"], self.sides["s"]
        await server.peer.until(
            lambda: b"\r\n\r\n" in server.peer.received or server.peer.ended is not None, self.timeout
        )
        server.base = server.peer.received.find(b"\r\n\r\n") + 4
        client.sent = len(self.case.early)
        await self._play(self.case.before, "before the answer, ")
        await self._send("s", self.case.response_bytes() + self.case.joined)
        if not self.case.hasty:
            await self._sync("c")
        await self._play(self.case.steps)

    async def _play(self, steps: Sequence[Step], when: str = "") -> None:
        for index, step in enumerate(steps):
            try:
                await self._do(step)
            except PeerTimeoutError:
                self.seen.trouble.append(
                    f"{when}step {index} {step}: did not happen; {self._state(step.who)}"
                )
                break

    def collect(self) -> None:
        client, server = self.sides["c"], self.sides["s"]
        self.seen.client = bytes(client.peer.received)
        self.seen.server_head = bytes(server.peer.received[: server.base])
        self.seen.server = bytes(server.peer.received[server.base :])

    def _state(self, who: str) -> str:
        side, other = self.sides[who], self.sides["s" if who == "c" else "c"]
        got = len(side.peer.received) - side.base
        return f"{got} of {other.sent} bytes, ended: {side.peer.ended}, notified: {side.peer.notified}"

    async def _send(self, who: str, data: bytes) -> None:
        self.sides[who].sent += len(data)
        await asyncio.wait_for(self.sides[who].peer.send(data), self.timeout)

    async def _sync(self, who: str) -> None:
        other = self.sides["s" if who == "c" else "c"]
        side = self.sides[who]
        await side.peer.has(side.base + other.sent, self.timeout)

    async def _do(self, step: Step) -> None:
        peer = self.sides[step.who].peer
        match step.what:
            case "send":
                try:
                    await self._send(step.who, step.data)
                except TimeoutError:
                    raise PeerTimeoutError from None
            case "sync":
                await self._sync(step.who)
            case "fin":
                peer.fin()
            case "bye":
                if peer.secure:
                    await peer.close_notify()
                peer.fin()
            case "notify":
                if peer.secure:
                    await peer.close_notify()
                else:
                    peer.fin()
            case "rst":
                peer.rst()
            case "close":
                peer.close()
            case "end":
                await peer.has_ended(self.timeout)
                how = ("close_notify+" if peer.notified else "") + str(peer.ended)
                self.seen.facts.append(f"{step.who} saw {how}")
            case "notified":
                await peer.until(lambda: peer.notified or peer.ended is not None, self.timeout)
                self.seen.facts.append(f"{step.who} saw {'close_notify' if peer.notified else peer.ended}")
            case "pound":
                await peer.pound(step.data, self.timeout)
                self.seen.facts.append(f"{step.who} cannot write any more")


async def run_case(
    case: Case,
    tag: str,
    open_client: Opener,
    server: asyncio.Future[Peer],
    timeout: float = 30.0,
) -> Observation:
    """Play `case` and return what was observed.

    Args:
        tag: the name in the request's path by which the origin finds the script.
        open_client: sends the given bytes (request and early data) over a new connection and returns its
            peer.
        server: the origin's promise of the connection.
    """
    seen = Observation(tag)
    client: Peer | None = None
    accepted: Peer | None = None
    try:
        client = await open_client(case.request_bytes(tag) + case.early)
        try:
            accepted = await asyncio.wait_for(server, timeout)
        except TimeoutError:
            seen.trouble.append(
                f"no request reached the server; the client has {bytes(client.received)[:200]!r}"
            )
            return seen
        player = Player(case, client, accepted, seen, timeout)
        try:
            await player.play()
        except PeerTimeoutError:
            seen.trouble.append(f"the handshake's answer did not arrive; {player._state('c')}")
        player.collect()
    except ConnectionError as error:
        seen.trouble.append(f"could not connect: {error}")
    finally:
        for peer in (client, accepted):
            if peer is not None:
                peer.close()
    return seen
