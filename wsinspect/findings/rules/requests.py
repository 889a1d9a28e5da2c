"""Requests that no server takes for an opening handshake: method, version, key (RFC 6455, 4.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import JS_FAILED, JS_NOTHING, body_line, status_line
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import has_failed, is_refused
from wsinspect.handshake.negotiation import is_valid_key

rules = Rules()


@rules(
    "WS-HS-031",
    "error",
    "client",
    "The request is no GET, so it is no opening handshake",
    meaning="A WebSocket opens with GET alone, and this request has another method, so a healthy server"
    " refuses it. 'curl -I' sends HEAD: a recipe with it proves nothing.",
    js=JS_NOTHING,
    topic="method",
    rows="traps H22",
    group="attempt",
)
def other_method(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if is_refused(facts) and head is not None and head.method not in (b"GET", b"CONNECT"):
        yield Found(
            evidence=(
                f"request: {head.start_line.decode('latin-1')[:160]}",
                status_line(facts),
                *body_line(facts),
                facts.request_line("User-Agent")[:160],
            )
        )


@rules(
    "WS-HS-018",
    "error",
    "client",
    "The WebSocket version is not 13",
    meaning="RFC 6455 is version 13; the server speaks no other. Only very old or home-made clients send"
    " another one.",
    js=JS_FAILED,
    topic="version",
    rows="H23",
    group="attempt",
)
def wrong_version(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if has_failed(facts) and head is not None and head.get_all("sec-websocket-version") != [b"13"]:
        if head.get("sec-websocket-key") is None:
            return
        yield Found(
            evidence=(
                facts.request_line("Sec-WebSocket-Version"),
                status_line(facts),
                facts.response_line("Sec-WebSocket-Version"),
            )
        )


@rules(
    "WS-HS-030",
    "error",
    "client",
    "The Sec-WebSocket-Key is missing, doubled or not 16 bytes of base64",
    meaning="The server needs exactly one key of 16 bytes in base64 (RFC 6455, 4.2.1). Recipes for curl"
    " often carry one of"
    " the wrong length, and some tools add a second field.",
    js=JS_FAILED,
    topic="sec-headers",
    rows="H19 H10",
    group="attempt",
)
def bad_key(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if (
        not has_failed(facts)
        or head is None
        or facts.status in (None, 401, 403, 404, 407, 429, 502, 503, 504)
    ):
        return
    keys = head.get_all("sec-websocket-key")
    if [is_valid_key(key) for key in keys] == [True]:
        return
    fields = [key.decode("latin-1")[:60] for key in keys]
    yield Found(
        evidence=(
            f"Sec-WebSocket-Key: {', '.join(fields) or 'none'} ({len(keys)} fields)",
            status_line(facts),
            *body_line(facts),
        )
    )
