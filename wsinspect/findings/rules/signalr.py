"""SignalR: negotiation at another server, and its own handshake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
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
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, messages, query, read_json, shown, shown_masked
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()

_RECORD: Final = "\x1e"
#: `serverTimeoutInMilliseconds` of its clients.
_CLIENT_TIMEOUT_NS: Final = 30 * SECOND_NS


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
    meaning="One server issued the id in 'negotiate', and the WebSocket reached another one, or came too"
    " late. With several servers behind a load balancer, both requests must go to the same one.",
    js=JS_STATUS,
    topic="signalr",
    rows="H21",
    group="attempt",
)
def signalr_unknown(facts: ConnectionFacts) -> Iterator[Found]:
    said = re.search(
        rb"no connection with that id|connection id|connection could not be found", facts.content[:500], re.I
    )
    if (
        is_refused(facts)
        and facts.status in (404, 400)
        and "id" in query(facts)
        and (said or (facts.status == 404 and "hub" in facts.path.lower()))
    ):
        is_azure = (facts.host or "").lower().endswith(".service.signalr.net")
        yield Found(
            topic="signalr-azure" if is_azure else None,
            evidence=(status_line(facts), *body_line(facts), "the URL has SignalR's id parameter"),
            software=("aspnet", *named(answer_marks(facts))),
        )


@rules(
    "WS-APP-021",
    "error",
    "client",
    "SignalR: the protocol handshake failed",
    meaning='The first message must be {"protocol":...} with the record separator 0x1E at its end, within 15'
    " s. The server answered with an error, or did not get such a message and closed.",
    js=JS_SEE_EVIDENCE,
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
            evidence=(shown(answer) if answer else "",),
            frame=answer.id if answer else None,
            js=js_sees(facts),
            software=("aspnet",),
        )
        return
    is_wrong = mine is None or (mine.text.startswith('{"protocol"') and not mine.text.endswith(_RECORD))
    if is_wrong and answer is None and facts.age_ns is not None and facts.ended_by == "server":
        what = "no message from the client" if mine is None else "its first message lacks 0x1E at the end"
        yield Found(
            evidence=(what, f"closed after {seconds(facts.age_ns)}", end_line(facts)),
            js=js_sees(facts),
            software=("aspnet",),
        )


@rules(
    "WS-APP-023",
    "error",
    "server",
    "SignalR: the server closed the connection with an error",
    meaning="The server sent a close message (type 7) with an error. A hub method or OnConnectedAsync threw,"
    " or the client's pings did not come in time.",
    js=JS_SEE_EVIDENCE,
    topic="server-error",
    rows="5",
    group="end",
)
def signalr_closed(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or not is_signalr(facts):
        return
    for message in reversed(facts.last):
        for record in message.text.split(_RECORD):
            value = read_json(message._replace(data=record.encode())) if message.direction == S2C else None
            if isinstance(value, dict) and value.get("type") == 7 and value.get("error"):
                yield Found(
                    evidence=(shown(message), end_line(facts), js_sees(facts)),
                    frame=message.id,
                    js=js_sees(facts),
                    software=("aspnet",),
                )
                return


@rules(
    "WS-APP-022",
    "warning",
    "server",
    "SignalR: the server's pings stopped",
    meaning="The server sends something at least every 15 s, and the client closes after 30 s without. A hop"
    " that holds frames back, or a busy server, does this.",
    js="onclose of the hub connection: Server timeout elapsed without receiving a message from the server.",
    topic="keepalive",
    rows="5",
    group="end",
)
def signalr_silent(facts: ConnectionFacts) -> Iterator[Found]:
    silence = facts.silence_ns(S2C) if facts.was_open and facts.is_over else None
    if silence is None or facts.ended_by != "client" or not is_signalr(facts):
        return
    beat = _ping_interval_ns(facts)
    # A ping follows each interval without a message, so in twice that time one is missing at least.
    is_stopped = beat is not None and silence >= _MISSED * beat and facts.is_silence_certain(beat / 10)
    if is_stopped or _CLIENT_TIMEOUT_NS <= silence < 1.2 * _CLIENT_TIMEOUT_NS:
        yield Found(
            evidence=(
                f"nothing from the server for {seconds(silence)}",
                f"its pings had come {seconds(beat)} after its last message each time" if beat else "",
                end_line(facts),
            ),
            js=js_sees(facts),
            software=("aspnet",),
            causes=two_causes(
                ("the server is blocked or overloaded, or its process is gone", "its log for this moment"),
                (
                    "a hop holds frames back, or its connection to the server is gone",
                    "a tap right before the server shows whether pings come there",
                ),
            ),
        )


#: Pings of a server are missing after this many of their intervals.
_MISSED: Final = 1.9


def _ping_interval_ns(facts: ConnectionFacts) -> int | None:
    """How long after its last message the server sends a ping (type 6); None where that is not known."""
    theirs = [one for one in facts.last if one.direction == S2C]
    waits = [
        later.time_ns - earlier.time_ns
        for earlier, later in pairwise(theirs)
        if _PING.fullmatch(later.data) is not None
    ]
    if len(waits) < _LEAST_PINGS:
        return None
    middle = int(median(waits))
    is_regular = all(abs(one - middle) <= 0.2 * middle for one in waits)
    return middle if is_regular and middle >= SECOND_NS // 2 else None


#: In JSON, and in MessagePack.
_PING: Final = re.compile(rb'(?:\{\s{0,2}"type"\s{0,2}:\s{0,2}6\s{0,2}\}\x1e)+|(?:\x02\x91\x06)+')
_LEAST_PINGS: Final = 2


@rules(
    "WS-APP-024",
    "warning",
    "server",
    "SignalR: a hub method failed",
    meaning="The server completed an invocation (type 3) with an error: the method threw, does not exist, or"
    " was called with other arguments. The connection stays open.",
    js="The promise of invoke() is rejected; the connection stays open.",
    topic="server-error",
    rows="5",
)
def invocation_failed(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts) if is_signalr(facts) else ():
        # What follows the last separator is no record: another protocol's JSON, or one that is cut.
        for record in message.data.split(_RECORD.encode())[:-1] if message.direction == S2C else ():
            one = message._replace(data=record)
            value = read_json(one)
            if not isinstance(value, dict) or value.get("type") != 3 or "invocationId" not in value:
                continue
            if isinstance(value.get("error"), str):
                yield Found(evidence=(shown_masked(one),), frame=message.id, software=("aspnet",))
                return
