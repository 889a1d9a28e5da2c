"""HTTP/2: downgrades and dead ends, as far as a tap that speaks HTTP/1.1 can see them (RFC 8441)."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import JS_FAILED, JS_NOTHING, answer_hop, answer_marks, named, status_line
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import has_failed

rules = Rules()


@rules(
    "WS-H2-001",
    "error",
    "hop",
    "A WebSocket over HTTP/2 was refused",
    meaning="The request came as extended CONNECT (RFC 8441) and did not get 200. The hop announces that it"
    " carries WebSockets over"
    " HTTP/2 and then does not.",
    js=JS_FAILED,
    topic="h2",
    rows="H6 H7 H8",
    group="attempt",
)
def extended_connect(facts: ConnectionFacts) -> Iterator[Found]:
    if has_failed(facts) and (facts.http_version or "").startswith("HTTP/2"):
        answer = status_line(facts) if facts.status else f"failed: {facts.error}"
        yield Found(
            evidence=("extended CONNECT with :protocol websocket", answer),
            hop=answer_hop(facts),
            software=named(answer_marks(facts)),
        )


@rules(
    "WS-H2-002",
    "warning",
    "hop",
    "The origin announces WebSockets over HTTP/2, and the way to it does not use them",
    meaning="The origin's SETTINGS allow extended CONNECT (RFC 8441), and the client was not offered it: its"
    " WebSockets take a"
    " separate HTTP/1.1 connection. That works where HTTP/1.1 does.",
    js="Nothing, unless HTTP/1.1 fails.",
    topic="h2",
    rows="H7",
    scope="capture",
)
def not_passed_on(facts: CaptureFacts) -> Iterator[Found]:
    for event in facts.events:
        if (
            event.kind == "h2_settings"
            and event.detail.get("server_enable_connect")
            and not event.detail.get("client_enable_connect")
        ):
            yield Found(evidence=(f"{event.detail.get('server')}: SETTINGS_ENABLE_CONNECT_PROTOCOL = 1",))
            return


@rules(
    "WS-H2-003",
    "error",
    "hop",
    "An extended CONNECT over HTTP/2 found no handler",
    meaning="A client sent CONNECT with :protocol over its HTTP/2 connection, and it was refused before it"
    " became an attempt. The"
    " client fails, or falls back only where it knows how.",
    js=JS_NOTHING,
    topic="h2",
    rows="H8",
    scope="capture",
)
def dead_end(facts: CaptureFacts) -> Iterator[Found]:
    for event in facts.events:
        if event.kind == "h2_connect_refused":
            yield Found(
                evidence=(
                    f"{event.detail.get('client')}: CONNECT :protocol {event.detail.get('protocol')}"
                    f" to {event.detail.get('authority')}",
                )
            )
            return
