"""What this proxy itself did to what it watched."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import JS_LATER, JS_NOTHING, status_line
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.rules.http2 import events_of

rules = Rules()


@rules(
    "WS-TOOL-001",
    "note",
    "tool",
    "The client offered HTTP/2 and this proxy answered HTTP/1.1",
    meaning="Without the proxy the client might have sent its WebSocket over HTTP/2 (RFC 8441). What fails"
    " only there is not seen here.",
    js=JS_NOTHING,
    topic="tool-alpn",
    rows="H7 H8",
    scope="capture",
)
def answered_h1(facts: CaptureFacts) -> Iterator[Found]:
    answers = list(events_of(facts, "alpn"))
    # Where the next hop had chosen HTTP/1.1 before, this proxy only passed that on.
    by_hop = {one.get("tap") for one in answers if one.get("side") == "server"}
    for one in answers:
        if one.get("side") == "client" and one.get("tap") not in by_hop:
            offered = ", ".join(str(protocol) for protocol in one.get("offered") or ())
            yield Found(
                evidence=(f"ALPN offered {offered}, answered {one.get('answered') or 'nothing'}",),
                hop="wsinspect",
            )
            return


@rules(
    "WS-TOOL-004",
    "warning",
    "tool",
    "The origin announces WebSockets over HTTP/2, and this proxy makes clients take HTTP/1.1",
    meaning="The next hop's SETTINGS allow extended CONNECT (RFC 8441), and this proxy does not announce it."
    " So a browser opens a separate HTTP/1.1 connection here, and what fails only over HTTP/2 is not seen.",
    js=JS_NOTHING,
    topic="tool-alpn",
    rows="H7",
    scope="capture",
)
def hides_connect(facts: CaptureFacts) -> Iterator[Found]:
    for one in events_of(facts, "h2_settings"):
        if one.get("server_enable_connect") and not one.get("client_enable_connect"):
            yield Found(
                evidence=(
                    f"{one.get('server')}: SETTINGS_ENABLE_CONNECT_PROTOCOL = 1",
                    f"to the client, which speaks {one.get('client_alpn') or 'HTTP/1.1'}: no such setting",
                ),
                hop="wsinspect",
            )
            return


@rules(
    "WS-TOOL-002",
    "note",
    "tool",
    "This proxy rewrote Host, and the server refused",
    meaning="The server saw its own name in Host and not the one that the client used. A check of Origin"
    " against Host fails because of"
    " that.",
    js=JS_LATER,
    topic="tool-host",
    rows="H17",
)
def rewrote_host(facts: ConnectionFacts) -> Iterator[Found]:
    before, after = facts.request_in, facts.request_out
    if not is_refused(facts) or facts.status not in (400, 403, 404, 421) or before is None or after is None:
        return
    if before.get_all("host") != after.get_all("host"):
        was, now = ((head.get("host") or b"").decode("latin-1") for head in (before, after))
        yield Found(
            evidence=(f"Host: {was} became Host: {now}", status_line(facts), facts.request_line("Origin"))
        )


@rules(
    "WS-TOOL-003",
    "warning",
    "tool",
    "Part of the traffic could not be stored",
    meaning="The disk was full or the recorder was killed, and traffic went on. What is missing is "
    "opaque in the capture.",
    js=JS_NOTHING,
    topic="tool-gap",
    rows="",
    scope="capture",
)
def unstored(facts: CaptureFacts) -> Iterator[Found]:
    lost = [event for event in facts.events if event.kind == "unstored"]
    if lost:
        total = sum(size for event in lost if isinstance(size := event.detail.get("bytes"), int))
        yield Found(evidence=(f"{total} bytes: {lost[0].detail.get('reason')}",))
