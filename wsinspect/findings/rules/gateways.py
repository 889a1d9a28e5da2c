"""Opening handshakes refused with 5xx, or with a status that has no usual cause.

These come last of the group "attempt".
"""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import answer_hop, answer_marks
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.limits import LIMITS
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.answers import JS_STATUS, answer
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.software import hop_author

rules = Rules()


@rules(
    "WS-HS-020",
    "error",
    "hop",
    "502: a proxy got no valid answer from the application",
    meaning="The proxy behind this tap could not reach the application, or did not understand its answer."
    " Nothing listens there,"
    " it speaks TLS or HTTP/2 where plain HTTP/1.1 is meant, or its answer has too large fields.",
    js=JS_STATUS,
    topic="bad-gateway",
    rows="H24 H6 H22",
    group="attempt",
)
def bad_gateway(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 502:
        yield answer(
            facts,
            causes=(
                (
                    "nothing listens at the application's address",
                    "connect to it directly from the proxy's machine",
                ),
                (
                    "the proxy speaks HTTP/2 or TLS to a backend that has none, or has no RFC 8441",
                    "force http/1.1 there",
                ),
                (
                    "the answer's fields are too large for the proxy's buffer",
                    "its error log: upstream sent too big header",
                ),
            ),
        )


@rules(
    "WS-HS-021",
    "error",
    "server",
    "503: nobody is there to take the connection",
    meaning="A proxy has no healthy backend, or the server is overloaded or in maintenance. The log "
    "of whoever made the answer says which.",
    js=JS_STATUS,
    topic="bad-gateway",
    rows="H24 T10",
    group="attempt",
)
def unavailable(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 503:
        yield answer(facts, facts.response_line("Retry-After"), fault_of="hop" if answer_hop(facts) else None)


@rules(
    "WS-HS-022",
    "error",
    "server",
    "504: the application did not answer the handshake in time",
    meaning="A proxy waited for the application's answer and gave up. The time until the status is the"
    " proxy's timeout.",
    js=JS_STATUS,
    topic="timeout",
    rows="H24",
    group="attempt",
)
def gateway_timeout(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status in (504, 408, 524, 522):
        took = (facts.answer_ms or 0) / 1000
        near = [
            limit for limit in LIMITS if abs(limit.seconds - took) <= 1 and limit.seconds in (30, 60, 100)
        ]
        lines = [f"known limit: {limit.who}, {limit.seconds:g} s" for limit in near[:4]]
        yield answer(facts, *lines)


@rules(
    "WS-HS-014",
    "error",
    "hop",
    "505: the HTTP version is not the one that was sent from here",
    meaning="The request left here as HTTP/1.1, and the server says that its version is not "
    "supported. A hop in between speaks HTTP/1.0 to the application.",
    js=JS_STATUS,
    topic="http10",
    rows="H2",
    group="attempt",
)
def version_refused(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_out or facts.request_in
    if is_refused(facts) and facts.status == 505 and head is not None and head.http_version == b"HTTP/1.1":
        yield answer(facts, f"sent on as {head.start_line.decode('latin-1')[:160]}")


@rules(
    "WS-HS-019",
    "error",
    "server",
    "The server failed while it handled the handshake (5xx)",
    meaning="The application, or what stands before it, raised an error when the client connected. "
    "The page cannot see the status or the body, the evidence has both.",
    js=JS_STATUS,
    topic="server-error",
    rows="H24",
    group="attempt",
)
def server_error(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status is not None and facts.status >= 500:
        yield answer(facts, fault_of="hop" if hop_author(answer_marks(facts)) else None)


@rules(
    "WS-HS-023",
    "error",
    "server",
    "The handshake was refused",
    meaning="The answer is another status than 101, of a kind that has no usual cause. The body may say"
    " more.",
    js=JS_STATUS,
    topic="app",
    confidence="low",
    rows="H22",
    group="attempt",
)
def other_status(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts):
        yield answer(facts)
