"""How long each side waits before it gives up, while a breakpoint holds something of a connection.

What the peers said themselves (Engine.IO's open packet, an MQTT keep alive, a STOMP heart-beat) is certain.
Of software that is known by its headers or its messages only the default limits are known, and it may be
configured otherwise. A PING without an answer, or its like in another protocol, is named in any case.

Sources: Engine.IO protocol 3 and 4, and the timers of engine.io and engine.io-client 6; OASIS MQTT 3.1.1,
3.1.2.10, and 5.0, 3.2.2.3.14; STOMP 1.2, "Heart-beating"; ASP.NET Core, "SignalR configuration".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Final, NamedTuple

from wsinspect.decoders.model import Malformed
from wsinspect.decoders.mqtt import keep_alive, server_keep_alive
from wsinspect.decoders.stomp import parse_frame
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.limits import LIMITS
from wsinspect.findings.software import recognise
from wsinspect.handshake.heads import RawHead
from wsinspect.wire.opcodes import Direction, Opcode

#: Servers that send PINGs of their own by default: the library websockets, and uvicorn with it.
_PINGING: Final = "uvicorn"
_PING_SECONDS: Final = 20.0
_PING_INTERVAL_SECONDS: Final = 20.0
_ACTION_CABLE: Final = "actioncable-"
#: Its client takes a connection for stale without a ping for so long (ConnectionMonitor.staleThreshold of
#: @rails/actioncable); the server pings every 3 s.
_ACTION_CABLE_SECONDS: Final = 6.0
#: `ClientTimeoutInterval` and `HandshakeTimeout` of the server, `serverTimeout` of the clients.
_SIGNALR_SECONDS: Final = 30.0
_SIGNALR_HANDSHAKE_SECONDS: Final = 15.0
#: `connectionInitWaitTimeout` of graphql-ws; the server then closes with 4408.
_GRAPHQL_SECONDS: Final = 3.0
#: `timeout` of a Phoenix socket's WebSocket.
_PHOENIX_SECONDS: Final = 60.0
_MQTT_FACTOR: Final = 1.5
_MOST_BYTES: Final = 16 * 1024
_MILLISECOND: Final = 1000
_MOST_MILLISECONDS: Final = 10**9
_RECORD_END: Final = b"\x1e"
_PINGREQ, _PINGRESP = b"\xc0\x00", b"\xd0\x00"
_STOMP_BEATS: Final = re.compile(r"(\d{1,9}),(\d{1,9})")
#: Clients that give up on an opening handshake, by their User-Agent: whose default it is, and the seconds.
_CLIENTS: Final = (
    (re.compile(rb"\bFirefox/"), "Firefox: network.websocket.timeout.open", 20.0),
    (re.compile(rb"\bChrome/"), "Chromium", 240.0),
    (re.compile(rb"\bwebsockets/"), "Python websockets: open_timeout", 10.0),
)


class Spoken(NamedTuple):
    """A message or a control frame of a connection.

    Attributes:
        data: how it begins, inflated.
        time_ns: when it came.
        sent_ns: when it had left for the other side; None while it is held, or where it never left.
    """

    direction: Direction
    opcode: int
    data: bytes
    time_ns: int
    sent_ns: int | None


class Talk(NamedTuple):
    """What is known of a connection of which something is held.

    Attributes:
        request, response: the header blocks of the opening handshake, as far as it went.
        is_open: whether the opening handshake is over.
        attempt_ns, open_ns: when it was asked for, and when it was open.
        first: the first messages of both sides, in order.
        last: the last messages and control frames of both sides, in order.
    """

    request: RawHead | None = None
    response: RawHead | None = None
    path: str = ""
    subprotocol: str = ""
    is_open: bool = True
    attempt_ns: int | None = None
    open_ns: int | None = None
    first: Sequence[Spoken] = ()
    last: Sequence[Spoken] = ()

    def begins(self, direction: Direction) -> bytes:
        """How the bytes of a side begin, of a protocol whose packets are not aligned with messages."""
        mine = (one for one in self.first if one.direction == direction)
        return b"".join(one.data for one in takewhile(lambda one: one.opcode == Opcode.BINARY, mine))

    def first_of(self, direction: Direction) -> bytes:
        """How the first message of a side begins; empty where there is none yet."""
        return next((one.data for one in self.first if one.direction == direction), b"")


class Patience(NamedTuple):
    """How long a side waits.

    Attributes:
        side: `client` or `server`; hops count for the server.
        what: what it waits for.
        seconds: how long; None where that is not known.
        who: whose limit, in words; empty where it is not known.
        is_default: it is what the software does where nobody configured it.
        since_ns: when it began to wait; None for when it last heard something.
    """

    side: str
    what: str
    seconds: float | None
    who: str = ""
    is_default: bool = True
    since_ns: int | None = None

    def as_json(self, now_ns: int, heard_ns: int | None) -> dict[str, Any]:
        """For the control API.

        Args:
            now_ns: the clock that the times of the connection are of.
            heard_ns: when this side last heard something.
        """
        since_ns = heard_ns if self.since_ns is None else self.since_ns
        waited_ms = None if since_ns is None else max(0, now_ns - since_ns) // 10**6
        left_ms = None
        if self.seconds is not None and waited_ms is not None:
            left_ms = max(0, round(self.seconds * _MILLISECOND) - waited_ms)
        return {
            "side": self.side,
            "for": self.what,
            "waited_ms": waited_ms,
            "limit_ms": None if self.seconds is None else round(self.seconds * _MILLISECOND),
            "left_ms": left_ms,
            "who": self.who,
            "default": self.is_default,
        }


def patience_of(talk: Talk) -> tuple[Patience, ...]:
    """What both sides of a connection are known to wait for, in no order; empty where nothing is known."""
    if not talk.is_open:
        return tuple(_opening(talk))
    protocols = (_engine_io, _signalr, _mqtt, _stomp, _others, _pings, _hops)
    return tuple(one for protocol in protocols for one in protocol(talk))


def _opening(talk: Talk) -> Iterator[Patience]:
    """A client that waits for its 101."""
    agent = talk.request.get("user-agent") if talk.request is not None else None
    for pattern, who, seconds in _CLIENTS:
        if agent is not None and pattern.search(agent):
            yield Patience("client", "the answer to its handshake", seconds, who, since_ns=talk.attempt_ns)
            return
    yield Patience("client", "the answer to its handshake", None, since_ns=talk.attempt_ns)


# -- Engine.IO


def _engine_io(talk: Talk) -> Iterator[Patience]:
    """The server pings each `pingInterval`, and waits for `pingTimeout`; before version 4 the client does."""
    opened = _opened(talk.first_of(S2C))
    interval, timeout = _milliseconds(opened.get("pingInterval")), _milliseconds(opened.get("pingTimeout"))
    if not interval or not timeout:
        return
    is_old = "EIO=3" in talk.path
    pings, pongs = (C2S, S2C) if is_old else (S2C, C2S)
    asker, other = ("client", "server") if is_old else ("server", "client")
    who = "Engine.IO, as its open packet says"
    whole = (interval + timeout) / _MILLISECOND
    asked = _last(talk, pings, b"2")
    answered = _last(talk, pongs, b"3")
    is_answered = asked is None or (
        answered is not None and answered.sent_ns is not None and answered.time_ns >= asked.time_ns
    )
    opened_ns = talk.first[0].time_ns if talk.first else talk.open_ns
    if asked is not None and not is_answered:
        yield Patience(asker, "the pong to its ping", timeout / _MILLISECOND, who, False, asked.time_ns)
    elif not is_old:
        since_ns = answered.sent_ns if answered is not None and answered.sent_ns else opened_ns
        yield Patience(asker, "the pong to its next ping", whole, who, False, since_ns)
    if is_old:
        yield Patience(other, "a ping", whole, who, False)
    else:
        heard_ns = next(
            (one.sent_ns for one in _said(talk, pings, b"2") if one.sent_ns is not None), opened_ns
        )
        yield Patience(other, "a ping", whole, who, False, heard_ns)


def _said(talk: Talk, direction: Direction, packet: bytes) -> Iterator[Spoken]:
    """Messages of a side that are this packet, the last one first; a probe (`2probe`) is none."""
    return (
        one
        for one in reversed(talk.last)
        if one.direction == direction and one.opcode == Opcode.TEXT and one.data == packet
    )


def _last(talk: Talk, direction: Direction, packet: bytes) -> Spoken | None:
    return next(_said(talk, direction, packet), None)


def _milliseconds(value: Any) -> float:
    """A time that can be meant; 0 for anything else."""
    return float(value) if type(value) in (int, float) and 1 <= value < _MOST_MILLISECONDS else 0.0


def _opened(first: bytes) -> dict[str, Any]:
    return _object(first[1:]) if first.startswith(b"0{") else {}


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    if len(data) > _MOST_BYTES:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# -- SignalR, MQTT, STOMP, and others


def _signalr(talk: Talk) -> Iterator[Patience]:
    asked = talk.first_of(C2S)
    begun = _object(asked.partition(_RECORD_END)[0]) if _RECORD_END in asked else {}
    if "protocol" not in begun or "version" not in begun:
        return
    if not talk.first_of(S2C):
        who = "SignalR: HandshakeTimeout"
        yield Patience(
            "server", "the handshake of SignalR", _SIGNALR_HANDSHAKE_SECONDS, who, True, talk.open_ns
        )
    else:
        yield Patience("server", "a message or a ping", _SIGNALR_SECONDS, "SignalR: ClientTimeoutInterval")
    yield Patience("client", "a message or a ping", _SIGNALR_SECONDS, "SignalR's clients: serverTimeout")


def _mqtt(talk: Talk) -> Iterator[Patience]:
    """A broker waits one and a half times the keep alive; when a client gives up on PINGRESP is not known."""
    seconds = keep_alive(talk.begins(C2S))
    if seconds is None:
        return
    who = f"MQTT: one and a half times its keep alive of {seconds} s"
    given = server_keep_alive(talk.begins(S2C))
    if given is not None:
        seconds, who = given, f"MQTT: one and a half times the broker's keep alive of {given} s"
    if seconds:
        yield Patience("server", "a packet", _MQTT_FACTOR * seconds, who, is_default=False)
    asked = _packet(talk, C2S, _PINGREQ)
    answered = _packet(talk, S2C, _PINGRESP)
    if asked is not None and not _is_answer(answered, asked):
        yield Patience("client", "PINGRESP", None, since_ns=asked.time_ns)


def _packet(talk: Talk, direction: Direction, packet: bytes) -> Spoken | None:
    """The last message of a side that ends with a packet; several may be in one."""
    return next(
        (
            one
            for one in reversed(talk.last)
            if one.direction == direction and one.opcode == Opcode.BINARY and one.data.endswith(packet)
        ),
        None,
    )


def _is_answer(answer: Spoken | None, asked: Spoken) -> bool:
    """Whether an answer to a question has left for who asked."""
    return answer is not None and answer.sent_ns is not None and answer.time_ns >= asked.time_ns


def _stomp(talk: Talk) -> Iterator[Patience]:
    """Both sides say how often they can send, and how often they want to hear something (cx,cy and sx,sy)."""
    ours, theirs = _beats(talk.first_of(C2S), "CONNECT"), _beats(talk.first_of(S2C), "CONNECTED")
    if ours is None or theirs is None:
        return
    (client_sends, client_wants), (server_sends, server_wants) = ours, theirs
    for side, sends, wants in (
        ("server", client_sends, server_wants),
        ("client", server_sends, client_wants),
    ):
        if sends and wants:
            seconds = max(sends, wants) / _MILLISECOND
            yield Patience(side, "a heart-beat", seconds, "STOMP's heart-beat, at least", is_default=False)


def _beats(data: bytes, command: str) -> tuple[int, int] | None:
    """The heart-beat header of a CONNECT, STOMP or CONNECTED frame."""
    try:
        frame, _ = parse_frame(data, 0)
    except Malformed:
        return None
    match = _STOMP_BEATS.fullmatch((frame.header("heart-beat") or "").replace(" ", ""))
    is_it = frame.command in (command, "STOMP")
    return (int(match[1]), int(match[2])) if match and is_it else None


def _others(talk: Talk) -> Iterator[Patience]:
    if talk.subprotocol.startswith(_ACTION_CABLE):
        yield Patience("client", "a ping", _ACTION_CABLE_SECONDS, "Action Cable's client")
    if talk.subprotocol == "graphql-transport-ws" and not talk.first_of(S2C):
        who = "graphql-ws: connectionInitWaitTimeout"
        yield Patience("server", "connection_init", _GRAPHQL_SECONDS, who, since_ns=talk.open_ns)
    if b'"phx_join"' in talk.first_of(C2S):
        yield Patience("server", "a message or a heartbeat", _PHOENIX_SECONDS, "Phoenix: timeout")


# -- RFC 6455's PINGs, and hops


def _pings(talk: Talk) -> Iterator[Patience]:
    """A side whose PING has no PONG yet; that of the library websockets has a default limit."""
    agent = talk.request.get("user-agent") if talk.request is not None else None
    is_library = {
        "client": agent is not None and re.search(rb"\bwebsockets/", agent) is not None,
        "server": bool({"websockets", _PINGING} & _marks(talk.response)),
    }
    for side, pings, pongs in (("client", C2S, S2C), ("server", S2C, C2S)):
        asked = _control(talk, pings, Opcode.PING)
        answered = _control(talk, pongs, Opcode.PONG)
        who = "Python websockets: ping_timeout" if is_library[side] else ""
        if asked is not None and not _is_answer(answered, asked):
            limit = _PING_SECONDS if is_library[side] else None
            yield Patience(side, "the PONG to its PING", limit, who, since_ns=asked.time_ns)
        elif is_library[side]:
            # The next PING comes an interval after the last one was answered.
            since_ns = talk.open_ns if answered is None or answered.sent_ns is None else answered.sent_ns
            whole = _PING_INTERVAL_SECONDS + _PING_SECONDS
            yield Patience(side, "the PONG to its next PING", whole, who, since_ns=since_ns)


def _control(talk: Talk, direction: Direction, opcode: Opcode) -> Spoken | None:
    return next(
        (one for one in reversed(talk.last) if one.direction == direction and one.opcode == opcode), None
    )


def _marks(response: RawHead | None) -> set[str]:
    return {mark.software for mark in recognise(response)} - {"general"}


def _hops(talk: Talk) -> Iterator[Patience]:
    """Idle timeouts of software that the 101 names; they count bytes."""
    marks = _marks(talk.response)
    for limit in LIMITS:
        if limit.software in marks and limit.kind == "idle":
            yield Patience("server", "any bytes", float(limit.seconds), f"{limit.who}: {limit.setting}")


__all__ = ["Patience", "Spoken", "Talk", "patience_of"]
