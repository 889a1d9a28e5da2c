"""Opening handshakes that were altered before they came here, got no answer, or got a 101 that is not one.

RFC 6455 sections 4.1 and 4.2. An odd request that was answered with 101 is no finding: a finding is about
what failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import (
    JS_FAILED,
    answer_hop,
    answer_marks,
    author_line,
    body_line,
    cache_lines,
    marks_lines,
    named,
    request_marks,
    seconds,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.limits import matching, words
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.software import PROXIES
from wsinspect.handshake.negotiation import negotiate

rules = Rules()

#: What servers say when a request reached them without the upgrade fields.
_SAYS_NO_UPGRADE: Final = re.compile(
    rb"can \"?upgrade\"? only to \"?websocket|not using the websocket protocol|no websocket upgrade hdr"
    rb"|missing (or invalid )?upgrade|invalid (connection|upgrade) header|connection header did not include"
    rb"|`?(connection|upgrade)`? header (did not|does not|not)|websocket client|not a websocket"
    rb" (request|handshake)"
    rb"|connection header \"[^\"]*\" does not contain|unsupported upgrade request|expected websocket"
    rb"|websocket upgrade (required|expected)|this (is a|service requires use of the) websocket",
    re.I,
)
_ENGINE_IO_BAD: Final = re.compile(rb'"code"\s*:\s*3\b')
_AT_ONCE_NS: Final = 3 * SECOND_NS
_LONG_WAIT_MS: Final = 4000.0


def has_failed(facts: ConnectionFacts) -> bool:
    """Whether the attempt ended without a 101."""
    return facts.state in ("refused", "failed") and not facts.was_open


def is_refused(facts: ConnectionFacts) -> bool:
    """Whether the server, or a hop before it, answered with another status than 101."""
    return facts.state == "refused" and facts.status is not None


def asked_correctly(facts: ConnectionFacts) -> bool:
    """Whether the request that left here was a correct opening handshake."""
    out = facts.request_out or facts.request_in
    return out is not None and not negotiate(out, None).problems


@rules(
    "WS-HS-001",
    "error",
    "hop",
    "The request arrived here without its Upgrade headers",
    meaning="A WebSocket key came, but 'Upgrade: websocket' or 'Connection: Upgrade' did not: both are"
    " hop-by-hop, and"
    " a proxy before this tap did not set them again. The server sees an ordinary GET and cannot answer 101.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H1 H2 H3 H4 H5 H11 H23",
    group="attempt",
)
def arrived_stripped(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if not has_failed(facts) or head is None or head.get("sec-websocket-key") is None:
        return
    if "websocket" in head.tokens("upgrade") and "upgrade" in head.tokens("connection"):
        return
    marks = request_marks(head)
    default = head.http_version == b"HTTP/1.0" and head.tokens("connection") == ["close"]
    signature = (
        ("HTTP/1.0 with 'Connection: close' is what nginx before 1.29.7 sends by default",) if default else ()
    )
    software = (*named(marks), *(("nginx",) if default else ()), *named(answer_marks(facts)))
    is_sure = bool(marks) or default
    yield Found(
        evidence=(
            f"request: {head.start_line.decode('latin-1')[:160]}",
            facts.request_line("Upgrade"),
            facts.request_line("Connection"),
            "Sec-WebSocket-Key is there",
            status_line(facts),
            *signature,
            *marks_lines(marks),
        ),
        hop="a proxy before this tap" if is_sure else None,
        software=tuple(dict.fromkeys(software)),
        confidence="high" if is_sure else "medium",
        causes=()
        if is_sure
        else two_causes(
            (
                "a proxy before this tap removes them",
                "connect the client to this tap directly: is it the same?",
            ),
            ("the client does not send them", "a browser always does; look at the client's own code"),
        ),
    )


@rules(
    "WS-HS-003",
    "error",
    "hop",
    "The request arrived here as HTTP/1.0",
    meaning="The upgrade fields are there, but HTTP/1.0 has no upgrade, and this server refused. A proxy"
    " before this tap"
    " speaks the older version.",
    js=JS_FAILED,
    topic="http10",
    rows="H2",
    group="attempt",
)
def http10(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if has_failed(facts) and head is not None and head.http_version == b"HTTP/1.0":
        marks = request_marks(head)
        yield Found(
            evidence=(
                f"request: {head.start_line.decode('latin-1')[:160]}",
                status_line(facts),
                *marks_lines(marks),
            ),
            software=(*named(marks), "nginx"),
            hop="a proxy before this tap",
        )


@rules(
    "WS-HS-002",
    "error",
    "hop",
    "The server did not see the upgrade that was sent to it",
    meaning="The request left here as a correct opening handshake, and the answer is what this server gives"
    " to an ordinary"
    " GET. Something between here and the application takes the Upgrade headers away.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H1 H2 H3 H4 H5 H11 H16 H20 H23",
    group="attempt",
)
def answered_as_get(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or not asked_correctly(facts):
        return
    said = _SAYS_NO_UPGRADE.search(facts.body[:4096])
    engine = facts.status == 400 and _ENGINE_IO_BAD.search(facts.body[:512])
    required = facts.status == 426 and b"13" not in (
        facts.response_in.get_all("sec-websocket-version") if facts.response_in else []
    )
    if not (said or engine or required):
        return
    marks = answer_marks(facts)
    hop = answer_hop(facts)
    uvicorn = bool(said and b"unsupported" in said[0].lower())
    lines = (
        "request sent on with 'Upgrade: websocket' and 'Connection: Upgrade'",
        status_line(facts),
        *body_line(facts),
        *cache_lines(facts),
        *marks_lines(marks),
    )
    software = (*named(marks), *(("socketio",) if engine else ()), *(("uvicorn",) if uvicorn else ()))
    yield Found(
        evidence=lines,
        hop=hop or "between this proxy and the application",
        # Hops lose an upgrade more often than applications do.
        software=tuple(sorted(software, key=lambda name: name not in PROXIES)),
        confidence="high" if hop and (said or engine) else "medium",
        causes=two_causes(
            (
                "a proxy behind this tap removes Upgrade and Connection, or speaks HTTP/1.0",
                "a second tap between it and the application (wsinspect run --tap) shows the request there",
            ),
            (
                "the application serves no WebSocket on this path",
                "connect to the application directly: does it answer 101?",
            ),
        ),
    )


@rules(
    "WS-HS-037",
    "error",
    "hop",
    "A forward proxy refused to make the tunnel",
    meaning="The proxy that this one goes through answered the CONNECT, or the request itself, with a"
    " refusal. The server"
    " never saw anything.",
    js=JS_FAILED,
    topic="forward-proxy",
    rows="H29",
    group="attempt",
)
def forward_proxy(facts: ConnectionFacts) -> Iterator[Found]:
    error = facts.error or ""
    if facts.state == "failed" and re.search(r"upstream proxy|proxy .*refused|\bCONNECT\b", error):
        yield Found(evidence=(error[:200],))
    elif is_refused(facts) and facts.status == 407:
        yield Found(
            evidence=(status_line(facts), facts.response_line("Proxy-Authenticate"), *author_line(facts))
        )


@rules(
    "WS-HS-032",
    "error",
    "network",
    "Nothing accepts connections at the server's address",
    meaning="The TCP connection to the server was refused, or could not be made. The proxy answered the"
    " client with 502.",
    js=JS_FAILED,
    topic="connect",
    rows="H24 H30",
    group="attempt",
)
def unreachable(facts: ConnectionFacts) -> Iterator[Found]:
    error = facts.error or ""
    if facts.state == "failed" and facts.failed_where == "connect" and not _is_dns(error):
        yield Found(
            evidence=(f"server {facts.server_address or facts.host}: {error[:200]}",),
            fault_of="network" if re.search("unreachable|timed? ?out", error, re.I) else "server",
        )


@rules(
    "WS-HS-033",
    "error",
    "network",
    "The server's name has no address",
    meaning="The name of the server could not be resolved on this machine. No connection was tried.",
    js=JS_FAILED,
    topic="dns",
    rows="H30",
    group="attempt",
)
def no_address(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.state == "failed" and facts.failed_where == "connect" and _is_dns(facts.error or ""):
        yield Found(evidence=(f"{facts.server_address or facts.host}: {(facts.error or '')[:200]}",))


def _is_dns(error: str) -> bool:
    return bool(
        re.search(
            r"name or service|nodename|getaddrinfo|no address associated|name resolution|ERR_NAME_",
            error,
            re.I,
        )
    )


@rules(
    "WS-HS-036",
    "error",
    "server",
    "The client gave up waiting for the answer",
    meaning="The client closed its connection before the server had answered the handshake. Browsers wait"
    " minutes, most"
    " libraries and proxies 10 to 60 s.",
    js=JS_FAILED + " Chrome's console: WebSocket is closed before the connection is established.",
    topic="gave-up",
    rows="H24 H28 T10",
    group="attempt",
)
def gave_up(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.state != "failed" or not client_left(facts) or facts.raw_response_in:
        return
    sent = facts.times.get("request_out_ns")
    if sent is None or facts.closed_ns is None:
        return
    waited = facts.closed_ns - sent
    is_short = waited < SECOND_NS
    yield Found(
        evidence=(
            f"request sent on, no byte of an answer for {seconds(waited)}",
            f"then the client ended it: {facts.error}",
            *(f"known limit: {line}" for line in _handshake_limits(waited)),
        ),
        severity="warning" if is_short else None,
        fault_of="client" if is_short else "server",
        causes=two_causes(
            (
                "the page closed the socket, or was left, while it was connecting",
                "it happens in less than a second",
            ),
            (
                "the server's upgrade handler waits or is never reached",
                "the server's log has no such request",
            ),
        )
        if is_short
        else (),
    )


def client_left(facts: ConnectionFacts) -> bool:
    """Whether the client ended its side first; a server that then closes only follows."""
    if facts.ends:
        # A client that ends after the attempt had failed only follows, too.
        is_first = facts.closed_ns is None or facts.ends[0].time_ns <= facts.closed_ns
        return is_first and facts.ends[0].side == "client"
    return facts.failed_where in ("client", "request")


def _handshake_limits(waited_ns: int) -> list[str]:
    return [words(limit) for limit in matching(waited_ns / 1e9, "handshake")]


@rules(
    "WS-HS-035",
    "error",
    "server",
    "The server closed the connection without an answer",
    meaning="The request was sent, and the server ended TCP before a whole answer had come. A crash, a kill,"
    " or something"
    " that is no HTTP server does this.",
    js=JS_FAILED + " Chrome's console: Connection closed before receiving a handshake response.",
    topic="empty-answer",
    rows="H24 H31",
    group="attempt",
)
def no_answer(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.state != "failed" or facts.failed_where in ("connect", "tls-server") or client_left(facts):
        return
    sent = facts.times.get("request_out_ns")
    after = f" after {seconds(facts.closed_ns - sent)}" if sent and facts.closed_ns else ""
    yield Found(evidence=(f"no valid answer{after}: {(facts.error or 'closed')[:200]}",))
