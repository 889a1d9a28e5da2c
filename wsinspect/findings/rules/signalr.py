"""SignalR: negotiation at another server, and its own handshake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import (
    answer_marks,
    body_line,
    end_line,
    js_told,
    named,
    seconds,
    status_line,
)
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.messages_read import JS_REFUSED, JS_TOLD, query, read_json, shown
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()

_RECORD: Final = "\x1e"


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
    js=JS_REFUSED,
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
            evidence=(shown(answer) if answer else "",),
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
