"""A 101 that is none: what makes clients fail the connection although the server agreed (RFC 6455, 4.1).

Where the client bore it, frames went both ways and it is a warning: a browser would not have borne it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import (
    JS_FAILED,
    answer_hop,
    answer_marks,
    end_line,
    js_told,
    named,
    status_line,
)
from wsinspect.findings.facts import S2C, ConnectionFacts
from wsinspect.findings.model import Found, Severity
from wsinspect.findings.registry import Rules
from wsinspect.handshake.negotiation import DEFLATE, accept_key

rules = Rules()


def _if_borne(facts: ConnectionFacts) -> Severity | None:
    """A warning where this client went on all the same: a browser would not have."""
    return "warning" if facts.frames[0] > 0 and facts.frames[1] > 0 else None


def _problems(facts: ConnectionFacts) -> tuple[str, ...]:
    return facts.negotiation.problems if facts.response_in and facts.response_in.status == 101 else ()


@rules(
    "WS-HS-024",
    "error",
    "server",
    "The 101 has a wrong or missing Sec-WebSocket-Accept",
    meaning="The value does not belong to the key of this request (RFC 6455, 4.1), so every client fails the"
    " connection. A"
    " box that makes a key of its own, a cache, or a made-up 101 does this.",
    js=JS_FAILED + " Chrome's console: Incorrect 'Sec-WebSocket-Accept' header value.",
    topic="accept",
    rows="H25",
)
def wrong_accept(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_out or facts.request_in
    key = head.get("sec-websocket-key") if head else None
    if "accept" in _problems(facts) and key is not None:
        yield Found(
            severity=_if_borne(facts),
            evidence=(
                f"Sec-WebSocket-Key: {key.decode('latin-1')[:60]}",
                f"expected Sec-WebSocket-Accept: {accept_key(key).decode()}",
                f"came: {facts.response_line('Sec-WebSocket-Accept')}",
            ),
            hop=answer_hop(facts),
        )


@rules(
    "WS-HS-025",
    "error",
    "server",
    "The 101 lacks 'Upgrade: websocket' or 'Connection: Upgrade'",
    meaning="Clients need both in the answer and fail the connection without them (RFC 6455, 4.1). A proxy"
    " that removes"
    " hop-by-hop fields from the response does this.",
    js=JS_FAILED + " Chrome's console: 'Upgrade' header is missing.",
    topic="upgrade",
    rows="H25",
)
def bare_101(facts: ConnectionFacts) -> Iterator[Found]:
    if {"upgrade", "connection"} & set(_problems(facts)):
        yield Found(
            severity=_if_borne(facts),
            evidence=(status_line(facts), facts.response_line("Upgrade"), facts.response_line("Connection")),
            hop=answer_hop(facts),
            software=named(answer_marks(facts)),
        )


@rules(
    "WS-HS-026",
    "error",
    "server",
    "The client asked for a subprotocol and the server chose none",
    meaning="Browsers fail the connection when they offered subprotocols and the answer names none of them."
    " Other clients"
    " may go on, so it works in one and not in the other.",
    js=JS_FAILED
    + " Chrome's console: Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received.",
    topic="subprotocol",
    rows="H26 H21",
)
def no_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    agreed = facts.negotiation
    if agreed.status != 101 or not agreed.subprotocols_offered or agreed.subprotocol is not None:
        return
    has_talked = facts.frames[0] > 0 and facts.frames[1] > 0
    lines = (
        f"offered: {', '.join(agreed.subprotocols_offered)[:160]}",
        "the 101 has no Sec-WebSocket-Protocol",
    )
    yield Found(
        evidence=(*lines, *(("this client went on all the same",) if has_talked else ())),
        severity="warning" if has_talked or not facts.is_over else None,
        software=named(answer_marks(facts)),
    )


@rules(
    "WS-HS-027",
    "error",
    "server",
    "The server chose a subprotocol that was not offered",
    meaning="The answer names a subprotocol that the client did not ask for, so the client must fail the"
    " connection"
    " (RFC 6455, 4.1). An empty field counts too.",
    js=JS_FAILED + " Chrome's console: 'Sec-WebSocket-Protocol' header value is not one of the offered.",
    topic="subprotocol",
    rows="H26",
)
def foreign_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    if "subprotocol-not-offered" in _problems(facts):
        offered = ", ".join(facts.negotiation.subprotocols_offered)
        yield Found(
            severity=_if_borne(facts),
            evidence=(f"offered: {offered or 'none'}", f"chosen: {facts.negotiation.subprotocol!r}"[:160]),
        )


@rules(
    "WS-HS-028",
    "error",
    "server",
    "The server accepted an extension that was not offered, or with wrong parameters",
    meaning="The answer's Sec-WebSocket-Extensions is not a subset of the offer (RFC 6455, 9.1; RFC 7692,"
    " 7.1), so clients"
    " fail the connection. A hop that strips the field in one direction does this.",
    js=JS_FAILED + " Chrome's console: Error during WebSocket handshake: Found an unsupported extension.",
    topic="extension",
    rows="H27 H12",
)
def foreign_extension(facts: ConnectionFacts) -> Iterator[Found]:
    if {"extension-not-offered", "deflate-params"} & set(_problems(facts)) or _unasked_window(facts):
        yield Found(
            severity=_if_borne(facts),
            evidence=(
                facts.request_line("Sec-WebSocket-Extensions"),
                facts.response_line("Sec-WebSocket-Extensions"),
            ),
            software=named(answer_marks(facts)),
        )


def _unasked_window(facts: ConnectionFacts) -> bool:
    """RFC 7692 section 7.1.2.2: client_max_window_bits is answered only where it was offered."""
    agreed = facts.negotiation
    answers = [dict(one.params) for one in agreed.extensions if one.name == DEFLATE]
    offers = [dict(one.params) for one in agreed.extensions_offered if one.name == DEFLATE]
    return bool(offers) and any(
        "client_max_window_bits" in answer and not any("client_max_window_bits" in offer for offer in offers)
        for answer in answers
    )


_HTTP_START: Final = re.compile(rb"^(HTTP/1\.|<!doctype|<html|GET |POST |\{\"|[A-Za-z-]{3,30}: )", re.I)


@rules(
    "WS-HS-029",
    "error",
    "server",
    "What follows the 101 is no WebSocket frame but HTTP or text",
    meaning="The first bytes after the 101 are readable text where a frame has to begin: a second handler"
    " answered the same"
    " request, or a proxy wrote a page into the tunnel. 'H' of 'HTTP/1.1' reads as a frame with opcode 8 and"
    " a reserved bit.",
    js="close with code 1006, wasClean false. Chrome's console: Invalid frame header.",
    topic="garbage",
    rows="H28",
    group="end",
)
def text_after_101(facts: ConnectionFacts) -> Iterator[Found]:
    first = _first_server_bytes(facts)
    if facts.was_open and first and _HTTP_START.match(first) and _server_broke(facts):
        yield Found(
            evidence=(f"first bytes after the 101: {first[:60].decode('latin-1')!r}", end_line(facts)),
            frame=next((frame.id for frame, _ in facts.violations if frame.direction == S2C), None),
            software=named(answer_marks(facts)),
            js=js_told(facts),
        )


def _server_broke(facts: ConnectionFacts) -> bool:
    return any(frame.direction == S2C for frame, _ in facts.violations) or any(
        one.direction == S2C for one in facts.opaque
    )


def _first_server_bytes(facts: ConnectionFacts) -> bytes:
    """The first bytes of the server's direction, as they were on the wire, where they are at hand."""
    broken = [frame for frame, _ in facts.violations if frame.direction == S2C]
    if broken:
        return min(broken, key=lambda frame: frame.id).header + _on_wire(
            min(broken, key=lambda frame: frame.id)
        )
    return next((one.data for one in facts.opaque if one.direction == S2C), b"")


def _on_wire(frame: object) -> bytes:
    """Payload as it was sent: masked again where the garbage happened to set the mask bit."""
    header: bytes = frame.header  # type: ignore[attr-defined]
    payload: bytes = frame.payload  # type: ignore[attr-defined]
    if len(header) > 1 and header[1] & 0x80:
        key = header[-4:]
        return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload[:64]))
    return payload[:64]


@rules(
    "WS-HS-038",
    "warning",
    "server",
    "103 Early Hints came before the 101",
    meaning="Chromium refuses a handshake that is preceded by 103; other clients skip it. Send no early"
    " hints on this path.",
    js=JS_FAILED + " (Chromium)",
    topic="early-hints",
    rows="traps",
)
def early_hints(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.was_open and b"HTTP/1.1 103" in facts.informational:
        yield Found(evidence=("HTTP/1.1 103 before the 101",), hop=answer_hop(facts))
