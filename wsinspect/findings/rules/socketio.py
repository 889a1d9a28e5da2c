"""Socket.IO and Engine.IO: error codes, versions, refused namespaces."""

from __future__ import annotations

import json
from collections.abc import Iterator

from wsinspect.findings.evidence import (
    answer_marks,
    body_line,
    end_line,
    js_told,
    named,
    seconds,
    status_line,
)
from wsinspect.findings.facts import S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.messages_read import JS_REFUSED, JS_TOLD, is_socketio, messages, query, shown
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()


def _engine_code(facts: ConnectionFacts) -> int | None:
    """The code of Engine.IO's JSON error."""
    if not is_refused(facts) or not is_socketio(facts):
        return None
    try:
        value = json.loads(facts.body[:2000])
    except (ValueError, RecursionError):
        return None
    code = value.get("code") if isinstance(value, dict) else None
    return code if isinstance(code, int) else None


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
    meaning="The session was made by polling at one server process, and the WebSocket reached another one."
    " With several processes"
    " behind a balancer, all requests of a session have to go to the same.",
    js=JS_REFUSED,
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
    meaning="Engine.IO answered code 4: the application's own check said no. Mostly it is about "
    "Origin or credentials.",
    js=JS_REFUSED,
    topic="origin",
    rows="H20",
    group="attempt",
)
def engine_forbidden(facts: ConnectionFacts) -> Iterator[Found]:
    yield from _engine(facts, 4)


@rules(
    "WS-APP-005",
    "error",
    "client",
    "Socket.IO: client and server have different protocol versions",
    meaning="Engine.IO answered code 5: the client's EIO is not the server's. Versions 1 and 2 speak EIO=3,"
    " versions 3 and 4 speak"
    " EIO=4.",
    js=JS_REFUSED,
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
    meaning="Engine.IO answered code 0 or 2. WebSocket is not among the server's transports, or the "
    "request is of a wrong kind.",
    js=JS_REFUSED,
    topic="polling",
    rows="H20",
    group="attempt",
)
def engine_transport(facts: ConnectionFacts) -> Iterator[Found]:
    yield from _engine(facts, 0)
    yield from _engine(facts, 2)


@rules(
    "WS-APP-006",
    "error",
    "client",
    "Socket.IO: heartbeats of different versions, so it drops every 20 to 60 s",
    meaning="With EIO=3 the client sends pings and the server answers, with EIO=4 it is the other way round."
    " Here one side waits"
    " for what the other never sends, and gives up.",
    js=JS_TOLD,
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
            js_told(facts),
        ),
        js=js_told(facts),
        software=("socketio",),
    )


@rules(
    "WS-APP-007",
    "error",
    "server",
    "Socket.IO: the server refused the namespace",
    meaning="The connection stands, but a CONNECT_ERROR packet (44) came. A middleware refused the "
    "client, or the namespace does not exist.",
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
