"""What a browser says of an attempt that failed, where the file has these words and not the answer.

Chrome's and Playwright's files have no response of a handshake that the browser did not take, only what its
console prints (net/websockets/websocket_basic_handshake_stream.cc, net/base/net_error_list.h). Most of it is
not about a server that gave no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from wsinspect.findings.evidence import JS_FAILED, two_causes
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Confidence, FaultOf, Found, Severity
from wsinspect.findings.registry import Rules
from wsinspect.vocabulary import Lack

rules = Rules()


class _Words(NamedTuple):
    """What words of a browser mean."""

    pattern: re.Pattern[str]
    title: str
    topic: str
    fault_of: FaultOf
    severity: Severity = "error"
    confidence: Confidence = "high"


def _words(
    pattern: str,
    title: str,
    topic: str,
    fault_of: FaultOf,
    *,
    severity: Severity = "error",
    confidence: Confidence = "high",
) -> _Words:
    return _Words(re.compile(pattern), title, topic, fault_of, severity, confidence)


_NOT_TAKEN: Final = "The browser did not take the server's answer"


def _not_taken(pattern: str, topic: str) -> _Words:
    # A hop may have changed the answer on its way to the browser.
    return _words(pattern, _NOT_TAKEN, topic, "server", confidence="medium")


#: The first match wins.
_KNOWN: Final = (
    _not_taken("'Sec-WebSocket-Protocol' header but no response was received", "no-subprotocol"),
    _not_taken("'Sec-WebSocket-Protocol' header", "subprotocol"),
    _not_taken("'Sec-WebSocket-Accept' header", "accept"),
    _not_taken("'(?:Upgrade|Connection)' header", "upgrade-response"),
    _not_taken("Sec-WebSocket-Extensions|permessage-deflate", "extension"),
    _not_taken("Invalid status line|ERR_INVALID_HTTP_RESPONSE", "not-http"),
    _not_taken("ERR_RESPONSE_HEADERS_", "response-head"),
    _not_taken("ERR_HTTP2_", "h2-error"),
    _words(
        "HTTP Authentication failed",
        "The server asks for a login by HTTP (401), and the browser had none that it took",
        "auth",
        "client",
        confidence="medium",
    ),
    _words(
        "handshake timed out|ERR_TIMED_OUT",
        "The server did not answer the handshake in time",
        "gave-up",
        "server",
        confidence="medium",
    ),
    _words(
        "(?:LOCAL|PRIVATE)_NETWORK_ACCESS",  # Private Network Access is its older name
        "The browser's Local Network Access check blocked the WebSocket",
        "local-network",
        "client",
    ),
    _words("ERR_BLOCKED_BY_CSP", "The page's Content-Security-Policy forbids the WebSocket", "csp", "server"),
    _words(
        "Insufficient resources|ERR_INSUFFICIENT_RESOURCES",
        "The page begins more WebSockets at a time than the browser allows",
        "too-many",
        "client",
    ),
    _words("ERR_UNSAFE_PORT", "The browser never connects to this port", "browser-refuses", "client"),
    _words(
        "ERR_BLOCKED_BY_(?:CLIENT|ADMINISTRATOR)",
        "An extension or a policy of the browser blocked the WebSocket",
        "browser-refuses",
        "client",
    ),
    _words("ERR_BLOCKED_BY_", "The browser blocked the WebSocket", "reported", "client", confidence="low"),
    _words(
        "ERR_(?:TUNNEL_CONNECTION|PROXY_|SOCKS_|NO_SUPPORTED_PROXIES|MANDATORY_PROXY)",
        "The browser's own proxy did not connect it",
        "forward-proxy",
        "hop",
    ),
    _words(
        "ERR_(?:INTERNET_DISCONNECTED|NETWORK_)",
        "The network of the browser was down, or changed",
        "connect",
        "network",
        severity="warning",
    ),
    _words(
        "closed before the connection is established|Back-Forward Cache|suspension|ERR_ABORTED",
        "The page or the browser closed the WebSocket before it had opened",
        "gave-up",
        "client",
        severity="warning",
        confidence="medium",
    ),
)
#: Chromium's word where it gives up by itself, also where it has no certificate to show (measured: 156).
_CANCELLED: Final = re.compile("handshake was cancell?ed")
#: What leaves no doubt that an answer was waited for and the connection ended (WS-HS-035), in any program.
_ENDED: Final = re.compile(r"clos|reset|hang|hung|disconnect|\beof\b|empty|broken pipe|ECONN|abort", re.I)


def reported(facts: ConnectionFacts) -> str | None:
    """A browser's own words on an attempt that failed, where they are all there is and say why."""
    is_browsers = (
        facts.state == "failed" and Lack.END in facts.unrecorded and facts.failed_where == "response"
    )
    words = facts.error or ""
    if not is_browsers or words in ("", "no response") or facts.response_in is not None:
        return None
    is_known = any(one.pattern.search(words) for one in _KNOWN) or _CANCELLED.search(words)
    return words if is_known or not _ENDED.search(words) else None


@rules(
    "WS-HS-066",
    "error",
    "network",
    "The browser reports that the handshake failed",
    meaning="The file has the browser's own words and not the answer they are about. A capture made by a"
    " proxy between them has the answer itself.",
    js=f"{JS_FAILED} The words are those of the browser's console.",
    topic="reported",
    rows="H24 H25 H26 H27",
    group="attempt",
    confidence="low",
)
def says_why(facts: ConnectionFacts) -> Iterator[Found]:
    words = reported(facts)
    if words is None:
        return
    evidence = (f"the file's error: {words[:200]!r}",)
    one = next((one for one in _KNOWN if one.pattern.search(words)), None)
    if _CANCELLED.search(words):
        yield Found(
            evidence=evidence,
            severity="warning",
            title="The browser cancelled the handshake",
            fault_of="client",
            topic="gave-up",
            causes=two_causes(
                ("the page went away or closed the socket", "it comes with a reload or a click"),
                (
                    "the server wants a client certificate, and the browser had none",
                    "wsinspect doctor says WS-TLS-015",
                ),
            )
            if facts.scheme == "wss"
            else (),
        )
        return
    if one is None:
        yield Found(evidence=evidence, severity="warning", title_more=f": {words[:80]}")
        return
    yield Found(
        evidence=evidence,
        title=f"{one.title}: {words.removeprefix('Error during WebSocket handshake: ')[:110]}"
        if one.title == _NOT_TAKEN
        else one.title,
        topic=one.topic,
        fault_of=one.fault_of,
        severity=one.severity,
        confidence=one.confidence,
    )
