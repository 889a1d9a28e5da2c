"""Application protocols: Socket.IO, GraphQL over WebSocket, SignalR, Action Cable, Phoenix, STOMP, MQTT.

Recognised by path, subprotocol or the first messages; a finding needs a failure that one of them explains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs

from wsinspect.findings.evidence import (
    answer_marks,
    body_line,
    end_line,
    js_status,
    js_told,
    named,
    seconds,
    status_line,
)
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.findings.limits import matching, words
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()

_JS: Final = js_status(None).replace("None", "N")
_RECORD: Final = "\x1e"
_AUTH_WORDS: Final = re.compile(
    r"unauthor|unauthen|forbidden|auth|token|jwt|login|credential|not allowed", re.I
)
_SHOWN: Final = 160
JS_TOLD: Final = "What the last line of the evidence says: the code of the server's CLOSE frame, else 1006."


def query(facts: ConnectionFacts) -> dict[str, str]:
    """The parameters of the URL, the first of each name."""
    pairs = parse_qs(facts.path.partition("?")[2], keep_blank_values=True, max_num_fields=None)
    return {name: values[0] for name, values in pairs.items()}


def is_socketio(facts: ConnectionFacts) -> bool:
    """Whether the URL is Engine.IO's: `EIO=` and `transport=`."""
    return "EIO=" in facts.path and "transport=" in facts.path


def read_json(message: MessageFact) -> Any:
    """A message's JSON; None where it is none, or cut."""
    if message.opcode != 1 or message.data[:1] not in b"{[":
        return None
    try:
        return json.loads(message.data)
    except (ValueError, RecursionError):
        return None


def messages(facts: ConnectionFacts) -> tuple[MessageFact, ...]:
    """First and last messages, each once."""
    known = {message.id for message in facts.first}
    return (*facts.first, *(message for message in facts.last if message.id not in known))


def _shown(message: MessageFact) -> str:
    return f"{message.direction.arrow} {message.text[:_SHOWN]}"


# -- Socket.IO


_ENGINE_CODES: Final = {
    0: ("WS-APP-001", "Engine.IO does not know the transport"),
    1: ("WS-APP-002", "Session ID unknown"),
    2: ("WS-APP-003", "Bad handshake method"),
    4: ("WS-APP-004", "Forbidden by allowRequest"),
    5: ("WS-APP-005", "Unsupported protocol version"),
}


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
    js=_JS,
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
    meaning="Engine.IO answered code 4: the application's own check said no, mostly because of Origin or"
    " credentials.",
    js=_JS,
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
    js=_JS,
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
    meaning="Engine.IO answered code 0 or 2: WebSocket is not among the server's transports, or the request"
    " is of a wrong kind.",
    js=_JS,
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
    meaning="The connection stands, but a CONNECT_ERROR packet (44) came: a middleware refused, or the"
    " namespace does not exist.",
    js="The socket's connect_error event with the message in the evidence; no close.",
    topic="app-auth",
    rows="",
)
def connect_error(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_socketio(facts):
        return
    for message in messages(facts):
        if message.direction == S2C and message.text.startswith("44"):
            yield Found(evidence=(_shown(message),), frame=message.id, software=("socketio",))
            return


# -- GraphQL


_GRAPHQL: Final = ("graphql-transport-ws", "graphql-ws")
_GRAPHQL_CODES: Final = {
    4400: "the message is not what the protocol expects",
    4401: "a subscription came before the connection was acknowledged",
    4403: "the server refused connection_init",
    4406: "the server does not speak the subprotocol",
    4408: "connection_init did not come in time",
    4409: "a subscription's id is already in use",
    4429: "connection_init came twice",
    4500: "the server failed",
    4504: "connection_ack did not come in time",
}


def is_graphql(facts: ConnectionFacts) -> bool:
    """Whether a GraphQL subprotocol was offered or chosen."""
    agreed = facts.negotiation
    return bool({agreed.subprotocol, *agreed.subprotocols_offered} & set(_GRAPHQL))


@rules(
    "WS-APP-010",
    "error",
    "client",
    "GraphQL: client and server speak different subprotocols",
    meaning="There are two: 'graphql-transport-ws' and the older 'graphql-ws', with other message types. One"
    " side speaks the one,"
    " the other expects the other.",
    js=JS_TOLD,
    topic="graphql",
    rows="5",
    group="end",
)
def graphql_mismatch(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_graphql(facts) or not facts.is_over:
        return
    types = {
        value.get("type"): message
        for message in messages(facts)
        if isinstance(value := read_json(message), dict)
    }
    chosen = facts.negotiation.subprotocol
    old, new = {"start", "stop", "connection_terminate"}, {"subscribe"}
    foreign = (old if chosen == "graphql-transport-ws" else new if chosen == "graphql-ws" else set()) & set(
        types
    )
    is_told = facts.server_close_code in (4406, 1002)
    if is_told or (foreign and facts.server_close_code not in (None, 1000, 1001)):
        used = [f"message type {name!r} belongs to the other one" for name in sorted(map(str, foreign))]
        yield Found(
            evidence=(
                f"offered {', '.join(facts.negotiation.subprotocols_offered)}; chosen {chosen}",
                *used,
                f"server closed with {facts.server_close_code} {facts.server_close_reason or ''}",
                js_told(facts),
            ),
            js=js_told(facts),
        )


@rules(
    "WS-APP-011",
    "error",
    "client",
    "GraphQL: the server ended the connection for a reason of the protocol",
    meaning="The code is one that the GraphQL over WebSocket protocol defines; the evidence says what it"
    " means. 4408 is a missing"
    " connection_init, 4401 and 4403 are missing or refused credentials.",
    js=JS_TOLD,
    topic="graphql",
    rows="5",
    group="end",
)
def graphql_code(facts: ConnectionFacts) -> Iterator[Found]:
    code = facts.server_close_code
    if is_graphql(facts) and code in _GRAPHQL_CODES:
        yield Found(
            evidence=(
                f"server closed with {code}: {_GRAPHQL_CODES[code]}",
                f"reason: {facts.server_close_reason or 'none'}",
                js_told(facts),
            ),
            js=js_told(facts),
            topic="app-auth" if code in (4401, 4403) else None,
        )


# -- SignalR


def is_signalr(facts: ConnectionFacts) -> bool:
    """Whether the first message is SignalR's handshake, or the URL has its connection id."""
    return ("id" in query(facts) and "hub" in facts.path.lower()) or any(
        message.text.startswith('{"protocol":') for message in facts.first[:2]
    )


@rules(
    "WS-APP-020",
    "error",
    "hop",
    "SignalR: the connection id is unknown to the server that was reached",
    meaning="'negotiate' made the id at one server, and the WebSocket reached another one, or came too late.",
    js=_JS,
    topic="signalr",
    rows="H21",
    group="attempt",
)
def signalr_unknown(facts: ConnectionFacts) -> Iterator[Found]:
    said = re.search(
        rb"no connection with that id|connection id|connection could not be found", facts.body[:500], re.I
    )
    if (
        is_refused(facts)
        and facts.status in (404, 400)
        and "id" in query(facts)
        and (said or "hub" in facts.path.lower())
    ):
        yield Found(
            evidence=(status_line(facts), *body_line(facts), "the URL has SignalR's id parameter"),
            software=("aspnet", *named(answer_marks(facts))),
        )


@rules(
    "WS-APP-021",
    "error",
    "client",
    "SignalR: its handshake failed",
    meaning='The first message has to be {"protocol":...} with the record separator 0x1E at its end, within'
    " 15 s. The server"
    " answered with an error, or waited in vain and closed.",
    js=JS_TOLD,
    topic="signalr",
    rows="5",
    group="end",
)
def signalr_handshake(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or not facts.was_open or not is_signalr(facts):
        return
    mine = next((message for message in facts.first if message.direction == C2S), None)
    answer = next((message for message in facts.first if message.direction == S2C), None)
    error = read_json(answer._replace(data=answer.data.rstrip(b"\x1e"))) if answer else None
    if isinstance(error, dict) and error.get("error"):
        yield Found(
            evidence=(_shown(answer) if answer else "",),
            frame=answer.id if answer else None,
            js=js_told(facts),
            software=("aspnet",),
        )
        return
    is_wrong = mine is None or (mine.text.startswith('{"protocol"') and not mine.text.endswith(_RECORD))
    if is_wrong and answer is None and facts.age_ns is not None and facts.ended_by == "server":
        what = "no message of the client" if mine is None else "its first message lacks 0x1E at the end"
        yield Found(
            evidence=(what, f"closed after {seconds(facts.age_ns)}", end_line(facts)),
            js=js_told(facts),
            software=("aspnet",),
        )


# -- Action Cable


@rules(
    "WS-APP-030",
    "error",
    "client",
    "Action Cable: the server disconnected the client",
    meaning="A message of type 'disconnect' says why: 'unauthorized' means that ApplicationCable::Connection"
    " rejected the client.",
    js=JS_TOLD,
    topic="app-auth",
    rows="5",
    group="end",
)
def cable_disconnect(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if (
            isinstance(value, dict)
            and value.get("type") == "disconnect"
            and value.get("reason") != "server_restart"
        ):
            yield Found(
                evidence=(_shown(message), js_told(facts)),
                frame=message.id,
                js=js_told(facts),
                software=("rails",),
            )
            return


@rules(
    "WS-APP-031",
    "warning",
    "server",
    "Action Cable: the server's pings stopped",
    meaning='Action Cable sends {"type":"ping"} every 3 s, and its client reopens the socket after 6 s'
    " without one. A hop that"
    " holds frames back, or a busy server, does this.",
    js="A close by the client itself, then a new socket.",
    topic="buffering",
    rows="5",
)
def cable_stale(facts: ConnectionFacts) -> Iterator[Found]:
    subprotocol = facts.negotiation.subprotocol or ""
    silence = facts.silence_ns(S2C)
    if (
        subprotocol.startswith("actioncable")
        and facts.ended_by == "client"
        and silence
        and silence > 6 * SECOND_NS
    ):
        yield Found(
            evidence=(
                f"{subprotocol}: nothing from the server for {seconds(silence)} before the client closed",
            ),
            js=js_told(facts),
            software=("rails",),
        )


# -- Phoenix


def _phoenix_reply(message: MessageFact) -> dict[str, Any] | None:
    """The payload of a phx_reply, in both serialisations."""
    value = read_json(message)
    if isinstance(value, list) and len(value) == 5 and value[3] == "phx_reply":
        return value[4] if isinstance(value[4], dict) else None
    if isinstance(value, dict) and value.get("event") == "phx_reply":
        payload = value.get("payload")
        return payload if isinstance(payload, dict) else None
    return None


@rules(
    "WS-APP-040",
    "error",
    "client",
    "Phoenix: joining a channel failed",
    meaning="The reply to phx_join has status 'error': the channel's join/3 refused, or no channel matches"
    " the topic.",
    js="The channel's receive('error') callback; the socket stays open.",
    topic="app-auth",
    rows="5",
)
def phoenix_join(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts):
        reply = _phoenix_reply(message) if message.direction == S2C else None
        if reply is not None and reply.get("status") == "error":
            yield Found(evidence=(_shown(message),), frame=message.id, software=("phoenix",))
            return


@rules(
    "WS-APP-041",
    "error",
    "client",
    "Phoenix: no heartbeat came in time",
    meaning="Phoenix' client sends a heartbeat every 30 s and the server closes after 60 s without a frame."
    " A background tab sends"
    " it once a minute, which is too late.",
    js=JS_TOLD,
    topic="keepalive",
    rows="5 T7",
    group="end",
)
def phoenix_heartbeat(facts: ConnectionFacts) -> Iterator[Found]:
    if (
        not facts.is_over
        or facts.ended_by != "server"
        or not any('"phx_join"' in message.text for message in facts.first)
    ):
        return
    silence = facts.silence_ns(C2S)
    if silence is not None and any(limit.software == "phoenix" for limit in matching(silence / 1e9, "idle")):
        yield Found(
            evidence=(f"nothing from the client for {seconds(silence)}", end_line(facts)),
            js=js_told(facts),
            software=("phoenix",),
        )


# -- STOMP and MQTT


@rules(
    "WS-APP-050",
    "warning",
    "client",
    "STOMP: heart-beats are off, and the connection was cut after a silence",
    meaning="CONNECT or CONNECTED says 'heart-beat:0,0', so nothing keeps the connection alive. A hop with"
    " an idle timeout ends it.",
    js=JS_TOLD,
    topic="keepalive",
    rows="5",
)
def stomp_silent(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.has_close or not facts.is_over or (facts.silence_ns() or 0) < 10 * SECOND_NS:
        return
    for message in facts.first:
        if message.text.startswith(("CONNECT", "STOMP")) and re.search(
            r"^heart-beat: ?0,0", message.text, re.M
        ):
            yield Found(
                evidence=(f"{message.direction.arrow} heart-beat:0,0", end_line(facts)), frame=message.id
            )
            return


@rules(
    "WS-APP-060",
    "error",
    "client",
    "MQTT: the subprotocol 'mqtt' is missing",
    meaning="Brokers want 'Sec-WebSocket-Protocol: mqtt' (MQTT 5.0, 6.0). Without it they refuse or close at"
    " once.",
    js=JS_TOLD,
    topic="subprotocol",
    rows="H21",
    group="end",
)
def mqtt_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    offered = facts.negotiation.subprotocols_offered
    if any(one.startswith("mqtt") for one in offered):
        return
    first = next((message for message in facts.first if message.direction == C2S), None)
    is_connect = (
        first is not None
        and first.opcode == 2
        and first.data[:1] == b"\x10"
        and b"\x00\x04MQTT" in first.data[:12]
    )
    is_path = facts.path.partition("?")[0].rstrip("/").endswith("/mqtt")
    if (is_refused(facts) and is_path) or (is_connect and facts.is_over and facts.ended_by == "server"):
        yield Found(evidence=(facts.request_line("Sec-WebSocket-Protocol"), f"path {facts.path[:80]}"))


# -- credentials


@rules(
    "WS-APP-070",
    "error",
    "client",
    "The token came too late or was refused, after the connection was open",
    meaning="The client sends its credentials as a message, and the server closed for lack of them: it"
    " wanted them in the handshake,"
    " sooner, or does not accept them.",
    js=JS_TOLD,
    topic="app-auth",
    rows="H18 F7",
    group="end",
)
def late_token(facts: ConnectionFacts) -> Iterator[Found]:
    code = facts.server_close_code
    if not facts.is_over or code is None or not (code == 1008 or 4000 <= code < 5000):
        return
    mine = [message for message in facts.first if message.direction == C2S]
    token = next(
        (
            message
            for message in mine
            if re.search(r"token|authori[sz]ation|jwt|password", message.text, re.I)
        ),
        None,
    )
    is_auth = bool(_AUTH_WORDS.search(facts.server_close_reason or "")) or code in (4001, 4003, 4401, 4403)
    if token is None or not is_auth:
        return
    after = seconds(token.time_ns - facts.open_ns) if facts.open_ns is not None else "?"
    yield Found(
        evidence=(
            f"message {token.id} with a token (not shown) came {after} after the 101",
            "no Authorization field, and "
            + ("a" if facts.request_in and facts.request_in.get("cookie") else "no")
            + " Cookie",
            f"server closed with {code} {facts.server_close_reason or ''}",
            js_told(facts),
        ),
        frame=token.id,
        js=js_told(facts),
    )


@rules(
    "WS-APP-080",
    "note",
    "client",
    "The server's first messages came together with the 101",
    meaning="They arrived within a millisecond of the answer and the client said nothing later: code that"
    " attaches its handlers"
    " after opening misses them.",
    js="onmessage is not called for what came before it was set.",
    topic="early-data",
    confidence="low",
    rows="F15",
)
def early_data(facts: ConnectionFacts) -> Iterator[Found]:
    first = facts.first[0] if facts.first else None
    if (
        first is None
        or facts.open_ns is None
        or first.direction != S2C
        or not facts.is_over
        or facts.frames[0] > 1
    ):
        return
    silence = facts.silence_ns()
    if (
        first.time_ns - facts.open_ns < 1_000_000
        and silence is not None
        and silence > 5 * SECOND_NS
        and not facts.has_close
    ):
        yield Found(evidence=(_shown(first), f"then silence for {seconds(silence)}"), frame=first.id)


def limits_lines(interval_ns: int) -> tuple[str, ...]:
    """Known keepalive limits that fit an interval."""
    return tuple(f"known limit: {words(limit)}" for limit in matching(interval_ns / 1e9, "keepalive"))
