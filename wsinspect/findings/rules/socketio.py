"""Socket.IO and Engine.IO: error codes, versions, refused namespaces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.findings.evidence import (
    JS_STATUS,
    answer_marks,
    body_line,
    end_line,
    js_sees,
    named,
    seconds,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import S2C, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, is_socketio, messages, query, shown
from wsinspect.findings.model import Found
from wsinspect.findings.quotes import without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.rules.requests import says_no_upgrade
from wsinspect.findings.rules.switching import text_after_101
from wsinspect.units import MS

rules = Rules()


#: Engine.IO refuses a WebSocket with text only; python-engineio's text differs here and there.
_ENGINE_WORDS: Final = (
    (0, re.compile(rb'^"?(transport unknown|invalid transport)', re.I)),
    (1, re.compile(rb'^"?(session id unknown|invalid session|unknown session)', re.I)),
    (2, re.compile(rb"^bad handshake method", re.I)),
    (3, re.compile(rb"^bad request", re.I)),
    (4, re.compile(rb'^"?(forbidden|not an accepted origin)', re.I)),
    (5, re.compile(rb'^"?(unsupported protocol version|the client is using an unsupported version)', re.I)),
)
#: Socket.IO's default; a URL without `EIO=` and `transport=` gets code 0 there.
_USUAL_PATH: Final = "/socket.io/"
#: An application's own text for allowRequest's refusal: neither a page nor JSON, and short.
_OWN_WORDS: Final = re.compile(rb"^[^<{\[\s][^<{]{0,200}$")


#: Engine.IO's own messages, by code: they identify its errors even where the path is not the usual one.
_ENGINE_MESSAGES: Final = {
    0: "transport unknown",
    1: "session id unknown",
    2: "bad handshake method",
    3: "bad request",
    4: "forbidden",
    5: "unsupported protocol version",
}


def _engine_code(facts: ConnectionFacts) -> int | None:
    """The code of Engine.IO's error, read from JSON or text, with any HTTP status; else None."""
    if not is_refused(facts):
        return None
    try:
        value = json.loads(facts.content[:2000])
    except (ValueError, RecursionError):
        value = None
    code = value.get("code") if isinstance(value, dict) else None
    if isinstance(code, int) and not isinstance(code, bool):
        message = str(value.get("message")).lower() if isinstance(value, dict) else ""
        is_known = message == _ENGINE_MESSAGES.get(code)
        return code if is_socketio(facts) or is_known else None
    if not is_socketio(facts) and not facts.path.startswith(_USUAL_PATH):
        return None
    return next((number for number, words in _ENGINE_WORDS if words.match(facts.content[:200])), None)


def _is_own_refusal(facts: ConnectionFacts) -> bool:
    """Whether it looks like allowRequest's refusal with a message of the application's."""
    return (
        is_refused(facts)
        and is_socketio(facts)
        and facts.status == 400
        and _engine_code(facts) is None
        and "sid" not in query(facts)
        and _OWN_WORDS.match(facts.content[:300]) is not None
        and not says_no_upgrade(facts)  # python-engineio: "Invalid websocket upgrade"
        and not answer_marks(facts)
    )


def _engine(facts: ConnectionFacts, code: int) -> Iterator[Found]:
    if _engine_code(facts) == code:
        asked = query(facts)
        sid = "with a session id" if "sid" in asked else "without a session id"
        yield Found(
            evidence=(
                status_line(facts),
                *body_line(facts),
                f"EIO={asked.get('EIO')}, transport={asked.get('transport')}, {sid}",
                facts.request_line("Origin"),
            ),
            software=("socketio", *named(answer_marks(facts))),
        )


@rules(
    "WS-APP-002",
    "error",
    "hop",
    "Socket.IO: the session is unknown to the server that was reached (no sticky sessions)",
    meaning="The session was created by polling at one server process, and the WebSocket reached another"
    " one. With several processes behind a load balancer, all requests of a session must go to the"
    " same one.",
    js=JS_STATUS,
    topic="sticky",
    rows="H20",
    group="attempt",
)
def session_unknown(facts: ConnectionFacts) -> Iterator[Found]:
    yield from _engine(facts, 1)


@rules(
    "WS-APP-004",
    "error",
    "server",
    "Socket.IO: allowRequest or the CORS check refused the client",
    meaning="Engine.IO answered code 4: the application's own check refused. Mostly it is about Origin or"
    " credentials.",
    js=JS_STATUS,
    topic="origin",
    rows="H20",
    group="attempt",
)
def engine_forbidden(facts: ConnectionFacts) -> Iterator[Found]:
    yield from _engine(facts, 4)
    if _is_own_refusal(facts):
        yield Found(
            evidence=(status_line(facts), *body_line(facts), facts.request_line("Origin")),
            software=("socketio",),
            confidence="medium",
            causes=two_causes(
                ("allowRequest refused with this text", "look for it in the server's code"),
                (
                    "something else answers on this path",
                    "request it with transport=polling: what comes back?",
                ),
            ),
        )


@rules(
    "WS-APP-005",
    "error",
    "client",
    "Socket.IO: client and server have different protocol versions",
    meaning="Engine.IO answered code 5: the server does not speak the client's EIO version. Socket.IO 1 and"
    " 2 speak EIO=3, Socket.IO 3 and 4 speak EIO=4.",
    js=JS_STATUS,
    topic="eio-version",
    rows="H20 T8",
    group="attempt",
)
def engine_version(facts: ConnectionFacts) -> Iterator[Found]:
    yield from _engine(facts, 5)


@rules(
    "WS-APP-001",
    "error",
    "server",
    "Socket.IO: the server does not allow this transport or method",
    meaning="Engine.IO answered code 0 or 2. WebSocket is not among the server's transports, or the request"
    " has the wrong method.",
    js=JS_STATUS,
    topic="polling",
    rows="H20",
    group="attempt",
)
def engine_transport(facts: ConnectionFacts) -> Iterator[Found]:
    yield from _engine(facts, 0)
    yield from _engine(facts, 2)


@rules(
    "WS-APP-008",
    "error",
    "client",
    "Socket.IO: the server refuses the client's version, after the 101",
    meaning="Engine.IO accepts the WebSocket first and checks EIO after that: it writes its refusal into the"
    " open connection, as HTTP. Socket.IO 1 and 2 speak EIO=3, Socket.IO 3 and 4 speak EIO=4.",
    js="close with code 1006, wasClean false. Chrome's console: Invalid frame header.",
    topic="eio-version",
    rows="H20 T8",
    group="end",
)
def engine_version_late(facts: ConnectionFacts) -> Iterator[Found]:
    for found in text_after_101(facts) if is_socketio(facts) else ():
        if any("HTTP/1.1 400" in line for line in found.evidence):
            asked = query(facts).get("EIO")
            yield Found(
                evidence=(f"EIO={asked}", *found.evidence),
                frame=found.frame,
                js=js_sees(facts),
                software=("socketio",),
                confidence="high" if asked == "3" else "medium",
            )
            return


#: The server's CONNECT to a namespace: bare until version 2, with a session id in JSON since version 3.
_BARE_CONNECT: Final = re.compile(r"40(/[^,{]*,?)?")


@rules(
    "WS-APP-009",
    "error",
    "client",
    "Socket.IO: the server speaks the protocol of version 2, and the client that of version 3 or later",
    meaning="Version 2 ignores that the client asks for EIO=4, and answers CONNECT without a session id. A"
    " client of version 3 or 4 does not take that for a connection.",
    js="The socket's connect_error event: 'It seems you are trying to reach a Socket.IO server in v2.x with a"
    " v3.x client'; the WebSocket stays open.",
    topic="eio-version",
    rows="H20 T8",
)
def old_server(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_socketio(facts) or query(facts).get("EIO") != "4":
        return
    said = [one for one in messages(facts) if one.direction == S2C]
    if not said or not said[0].text.startswith("0{"):
        return
    for message in said[1:]:
        if _BARE_CONNECT.fullmatch(message.text):
            yield Found(
                evidence=("EIO=4", f'{shown(message)}: version 3 and later send 40{{"sid":...}}'),
                frame=message.id,
                software=("socketio",),
            )
            return


_FELL_SILENT: Final = (
    "The client had answered '2' with '3' before. Then nothing more came from it, and the server closed at"
    " its pingTimeout."
)
_SILENCED: Final = two_causes(
    (
        "the page or its computer was suspended, or busy for longer than pingTimeout",
        "the page's own log: does it stop at that moment?",
    ),
    (
        "the way from the client broke, without an end of its TCP connection",
        "whether the client changed its network, or slept; a tap nearer to it",
    ),
)
#: A client answers at once; the server's timer and the way to it may be late by this.
_LATE_NS: Final = 2 * SECOND_NS


@rules(
    "WS-APP-015",
    "error",
    "client",
    "Socket.IO: the client did not answer the server's heartbeat",
    meaning="With EIO=4 the server sends '2' every pingInterval, and closes where no '3' comes within"
    " pingTimeout. A plain WebSocket client, a client with EIO=3 or a page that hangs sends none.",
    js=JS_SEE_EVIDENCE,
    topic="eio-heartbeat",
    rows="T8",
    group="end",
)
def heartbeat_unanswered(facts: ConnectionFacts) -> Iterator[Found]:
    end_ns = facts.end_ns
    if not is_socketio(facts) or facts.ended_by != "server" or end_ns is None or facts.has_gap:
        return
    known = messages(facts)
    patience = _ping_timeout_ns(known)
    pings = [one for one in known if one.direction == S2C and one.text == "2"]
    if (
        patience is None
        or not pings
        or any(one.direction != S2C and one.time_ns > pings[-1].time_ns for one in known)
    ):
        return
    waited = end_ns - pings[-1].time_ns
    if not patience * 9 // 10 <= waited <= patience + _LATE_NS:
        return
    has_answered = any(one.direction != S2C and one.text == "3" for one in known)
    yield Found(
        title="Socket.IO: the client no longer answered the server's heartbeat" if has_answered else None,
        meaning=_FELL_SILENT if has_answered else None,
        topic="suspended" if has_answered else None,
        confidence="medium" if has_answered else None,
        causes=_SILENCED if has_answered else (),
        evidence=(
            f"{shown(pings[-1])}, and nothing from the client until the end {seconds(waited)} later",
            f"the server's pingTimeout is {seconds(patience)}",
            end_line(facts),
            js_sees(facts),
        ),
        frame=pings[-1].id,
        js=js_sees(facts),
        software=("socketio",),
    )


def _ping_timeout_ns(known: Sequence[MessageFact]) -> int | None:
    """What the server's first packet says of its patience."""
    first = next((one for one in known if one.direction == S2C), None)
    if first is None or not first.text.startswith("0{"):
        return None
    try:
        value = json.loads(first.text[1:])
    except (ValueError, RecursionError):
        return None
    timeout = value.get("pingTimeout") if isinstance(value, dict) else None
    if not isinstance(timeout, int) or isinstance(timeout, bool):
        return None
    return timeout * MS if 0 < timeout < 10**9 else None


#: What a packet of Engine.IO begins with: its type, or `b` for binary data.
_PACKET: Final = re.compile(r"[0-6b]")
_AT_ONCE_NS: Final = SECOND_NS


@rules(
    "WS-APP-016",
    "error",
    "client",
    "Socket.IO: the client sent what is no packet of Engine.IO, and the server closed",
    meaning="The URL belongs to a Socket.IO server, and a client that does not speak its protocol connected:"
    " a plain WebSocket. Each text message has to begin with a packet type (0 to 6).",
    js=JS_SEE_EVIDENCE,
    topic="plain-client",
    rows="",
    group="end",
)
def no_packet(facts: ConnectionFacts) -> Iterator[Found]:
    end_ns = facts.end_ns
    if not is_socketio(facts) or facts.ended_by != "server" or end_ns is None:
        return
    said = [one for one in messages(facts) if one.direction != S2C and one.opcode == 1]
    strange = next((one for one in said if not _PACKET.match(one.text)), None)
    if strange is None or not 0 <= end_ns - strange.time_ns <= _AT_ONCE_NS:
        return
    yield Found(
        evidence=(
            f"{strange.direction.arrow} {without_secrets(strange.text[:60])}",
            f"closed {seconds(end_ns - strange.time_ns)} later",
            end_line(facts),
            js_sees(facts),
        ),
        frame=strange.id,
        js=js_sees(facts),
        software=("socketio",),
    )


@rules(
    "WS-APP-006",
    "error",
    "client",
    "Socket.IO: client and server expect different heartbeats, so it drops every 20 to 60 s",
    meaning="With EIO=3 the client sends pings and the server answers; with EIO=4 it is the other way round."
    " Here one side waits for pings that the other never sends, and gives up.",
    js=JS_SEE_EVIDENCE,
    topic="eio-version",
    rows="T8",
    group="end",
)
def engine_heartbeat(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or not is_socketio(facts) or facts.age_ns is None or facts.age_ns < 15 * SECOND_NS:
        return
    texts = [(message.direction, message.text) for message in messages(facts)]
    pings = {direction for direction, text in texts if text in ("2", "2probe") and text == "2"}
    pongs = {direction for direction, text in texts if text == "3"}
    if not pings or pongs:
        return
    asked = query(facts).get("EIO")
    yield Found(
        evidence=(
            f"EIO={asked}; Engine.IO pings {', '.join(sorted(d.arrow for d in pings))}, no pong in either"
            f" direction",
            f"lived {seconds(facts.age_ns)}",
            end_line(facts),
            js_sees(facts),
        ),
        js=js_sees(facts),
        software=("socketio",),
    )


@rules(
    "WS-APP-007",
    "error",
    "server",
    "Socket.IO: the server refused the namespace",
    meaning="The connection is open, but the server sent a CONNECT_ERROR packet (44). A middleware refused"
    " the client, or the namespace does not exist.",
    js="The socket's connect_error event with the message in the evidence; no close.",
    topic="app-auth",
    rows="",
)
def connect_error(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_socketio(facts):
        return
    for message in messages(facts):
        if message.direction == S2C and message.text.startswith("44"):
            yield Found(evidence=(shown(message),), frame=message.id, software=("socketio",))
            return
