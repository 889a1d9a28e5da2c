"""Refused opening handshakes, by status: which of its usual causes the answer itself points to.

These come after the rules that know a more precise cause (`group` "attempt").
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl

from wsinspect.findings.evidence import (
    answer_hop,
    answer_marks,
    author_line,
    body_line,
    cache_lines,
    js_status,
    marks_lines,
    named,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import FaultOf, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.software import hop_author

rules = Rules()

JS_STATUS: Final = js_status(None).replace("None", "N")
_LARGE_HEADERS: Final = 7000
_HTML: Final = re.compile(r"text/html|application/xhtml", re.I)


def answer(
    facts: ConnectionFacts,
    *lines: str,
    fault_of: FaultOf | None = None,
    topic: str | None = None,
    causes: tuple[tuple[str, str], ...] = (),
) -> Found:
    """A refusal with what every one of them has as evidence."""
    marks = answer_marks(facts)
    return Found(
        evidence=(
            status_line(facts),
            *lines,
            *body_line(facts),
            *cache_lines(facts),
            *author_line(facts),
            *marks_lines(marks),
        ),
        hop=answer_hop(facts),
        js=js_status(facts.status),
        software=named(marks),
        fault_of=fault_of,
        topic=topic,
        causes=two_causes(*causes),
    )


@rules(
    "WS-HS-004",
    "error",
    "server",
    "A page came instead of the 101",
    meaning="The answer is a success with content, as for an ordinary GET: the request did not reach a"
    " WebSocket handler. A"
    " catch-all rule for single-page applications, or a hop that dropped the Upgrade, does this.",
    js=JS_STATUS,
    topic="route",
    rows="H15 H1 T10",
    group="attempt",
)
def page_instead(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status is not None and 200 <= facts.status < 300:
        kind = facts.response_line("Content-Type")
        yield answer(
            facts,
            kind,
            causes=(
                (
                    "the path is answered by a static page or another route"
                    if _HTML.search(kind)
                    else "the path is answered by an ordinary HTTP route",
                    "connect to the application directly",
                ),
                (
                    "a hop behind this tap removed Upgrade",
                    "a second tap behind it shows the request that arrives there",
                ),
            ),
        )


@rules(
    "WS-HS-040",
    "error",
    "client",
    "Refused, and the token in the request has expired",
    meaning="The request carries a JSON Web Token whose time is over by its own 'exp', and the server"
    " refused it. The client"
    " reconnects with a stale token.",
    js=JS_STATUS,
    topic="app-auth",
    rows="H18",
    group="attempt",
)
def stale_token(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status not in (400, 401, 403):
        return
    for place, token in _tokens(facts):
        expires = _expiry(token)
        if expires is not None and expires < facts.attempt_ns / 1e9:
            ago = facts.attempt_ns / 1e9 - expires
            yield answer(facts, f"token in {place}: expired {ago:.0f} s before this attempt (not shown)")
            return


def _tokens(facts: ConnectionFacts) -> Iterator[tuple[str, str]]:
    """Where JSON Web Tokens stand in a handshake."""
    query = (facts.path or "").partition("?")[2]
    for name, value in parse_qsl(query)[:50]:
        yield f"the query's {name[:40]}", value
    head = facts.request_in
    if head is not None:
        for one in head.elements("sec-websocket-protocol"):
            yield "Sec-WebSocket-Protocol", one.decode("latin-1")
        authorization = (head.get("authorization") or b"").decode("latin-1")
        yield "Authorization", authorization.rpartition(" ")[2]


def _expiry(token: str) -> float | None:
    """The `exp` of a JSON Web Token; None for whatever else."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[1] or len(token) > 16_384:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    return float(expires) if isinstance(expires, (int, float)) and not isinstance(expires, bool) else None


def cookie_line(facts: ConnectionFacts) -> str:
    """Whether there is a Cookie field."""
    head = facts.request_in
    return (
        "the request has a Cookie field"
        if head and head.get_all("cookie")
        else "the request has no Cookie field"
    )


@rules(
    "WS-HS-009",
    "error",
    "client",
    "401: the handshake carries no valid credentials",
    meaning="The server wants to know who this is. Browser code cannot set Authorization on a WebSocket: the"
    " credentials have"
    " to be a cookie of the right site, part of the URL, or a subprotocol.",
    js=JS_STATUS,
    topic="auth",
    rows="H18",
    group="attempt",
)
def unauthorised(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 401:
        yield answer(
            facts,
            cookie_line(facts),
            facts.response_line("WWW-Authenticate"),
            "an Authorization field came"
            if facts.request_in and facts.request_in.get("authorization")
            else "no Authorization field (browsers cannot send one)",
        )


@rules(
    "WS-HS-010",
    "error",
    "server",
    "403: the server refuses this client, origin or path",
    meaning="A check said no: the Origin, a token, an address list, a firewall, or the path. Several"
    " frameworks answer 403 for"
    " all of these alike.",
    js=JS_STATUS,
    topic="origin",
    confidence="medium",
    rows="H17 H18 H9",
    group="attempt",
)
def forbidden(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status != 403:
        return
    marks = answer_marks(facts)
    author = hop_author(marks)
    if author is not None or "envoy" in named(marks):
        who = author.software if author else "envoy"
        yield answer(
            facts,
            fault_of="hop",
            topic="upgrade" if who == "envoy" else "auth",
            causes=(
                (
                    f"{who} itself refuses: access list, firewall rule, or WebSockets not allowed on the"
                    f" route",
                    "its access log or error log at this moment",
                ),
            ),
        )
        return
    yield answer(
        facts,
        facts.request_line("Origin"),
        facts.request_line("Host"),
        cookie_line(facts),
        causes=(
            (
                "the Origin is not on the server's list, or Host is another than the page's",
                "repeat the request without Origin, or with the server's own: is it 101?",
            ),
            ("the token or the session's cookie is refused", "repeat with fresh credentials"),
            (
                "the path is no WebSocket route (Starlette and uvicorn answer 403 for that too)",
                "try another path",
            ),
        ),
    )


@rules(
    "WS-HS-011",
    "error",
    "server",
    "404: no WebSocket at this path",
    meaning="The server, or a hop, has nothing at this path: a prefix or slash differs, the route is"
    " missing, or its WebSocket"
    " support is not installed. Some frameworks answer 404 for a refused Origin.",
    js=JS_STATUS,
    topic="route",
    confidence="medium",
    rows="H16 H5",
    group="attempt",
)
def not_found(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status not in (404, 410):
        return
    is_cable = (facts.path or "").partition("?")[0].rstrip("/").endswith("/cable")
    cable = (
        ("Action Cable answers 404 for an Origin that is not allowed", "repeat with the server's own Origin"),
    )
    yield answer(
        facts,
        f"path {(facts.path or '')[:160]}",
        *((facts.request_line("Origin"),) if is_cable else ()),
        topic="origin" if is_cable else None,
        fault_of="hop" if hop_author(answer_marks(facts)) else None,
        causes=(
            *(cable if is_cable else ()),
            ("the path differs from the server's route", "try it with and without slash and prefix"),
            ("a hop sends the path elsewhere, or takes Upgrade away", "a second tap behind it"),
            (
                "the server's WebSocket library is missing (uvicorn)",
                "its log says: Unsupported upgrade request",
            ),
        ),
    )


@rules(
    "WS-HS-015",
    "error",
    "client",
    "The request's head is too large for a hop",
    meaning="The fields of this handshake add up to more than the refusing server or proxy takes. "
    "Large cookies, or a token as subprotocol, are the usual reason.",
    js=JS_STATUS,
    topic="header-size",
    rows="H22",
    group="attempt",
)
def too_large(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts):
        return
    size = len(facts.raw_request_in or b"")
    said = re.search(rb"header (fields )?too large|cookie too large|request header", facts.body[:2048], re.I)
    if facts.status in (431, 494) or (facts.status in (400, 413, 502) and (said or size > _LARGE_HEADERS)):
        head = facts.request_in
        cookies = sum(map(len, head.get_all("cookie"))) if head else 0
        yield answer(facts, f"the request head has {size} bytes, {cookies} of them cookies")


@rules(
    "WS-HS-012",
    "error",
    "server",
    "400: the server does not accept the request as a handshake",
    meaning="Something in the request is not as this server wants it. The body mostly says what.",
    js=JS_STATUS,
    topic="upgrade",
    confidence="medium",
    rows="H19 H5 H12",
    group="attempt",
)
def bad_request(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status != 400:
        return
    head = facts.request_in
    doubled = []
    for name in ("host", "connection", "upgrade", "origin", "sec-websocket-version", "sec-websocket-key"):
        if head is not None and len(head.get_all(name)) > 1:
            doubled.append(f"{name} comes {len(head.get_all(name))} times")
    yield answer(
        facts,
        facts.request_line("Connection"),
        facts.request_line("Host"),
        *doubled,
        causes=(
            ("a hop behind this tap takes Upgrade away", "a second tap behind it"),
            ("the path is wrong (Node ws answers 400 for that)", "try another path"),
            (
                "'Connection' is compared as a whole ('keep-alive, Upgrade' from Firefox)",
                "compare Chrome with Firefox",
            ),
            ("the virtual host is another one", "compare the Host field with the server's configuration"),
        ),
    )


@rules(
    "WS-HS-017",
    "error",
    "client",
    "429: too many attempts",
    meaning="A rate limit refuses the handshake. Reconnecting at once makes it worse.",
    js=JS_STATUS,
    topic="rate",
    rows="H22",
    group="attempt",
)
def too_many(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 429:
        yield answer(facts, facts.response_line("Retry-After"))


@rules(
    "WS-HS-016",
    "error",
    "hop",
    "421: the request came over a connection for another host",
    meaning="The server serves this name on another connection only. Browsers reuse an HTTP/2 "
    "connection for names that share a certificate.",
    js=JS_STATUS,
    topic="h2",
    rows="H22",
    group="attempt",
)
def misdirected(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 421:
        yield answer(facts, facts.request_line("Host"))


@rules(
    "WS-HS-013",
    "error",
    "server",
    "The server takes no such request at this path (405, 411, 413)",
    meaning="The path knows other methods, or wants a body. An ordinary HTTP route answers, not a "
    "WebSocket handler.",
    js=JS_STATUS,
    topic="route",
    rows="H22",
    group="attempt",
)
def wrong_method(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status in (405, 411, 413, 414, 415):
        yield answer(facts, facts.response_line("Allow"))
