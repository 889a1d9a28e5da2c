"""Redirected opening handshakes, by target: browsers follow none (WHATWG WebSockets)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from wsinspect.findings.answering import answer
from wsinspect.findings.evidence import JS_STATUS
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.logins import cookie_line
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()

_LOGIN: Final = re.compile(r"log-?in|sign-?in|oauth|authorize|sso|saml|/auth\b|accounts\.", re.I)


def _location(facts: ConnectionFacts) -> str | None:
    value = facts.response_in.get("location") if facts.response_in else None
    return None if value is None else value.decode("latin-1")[:400]


def _redirect(facts: ConnectionFacts) -> tuple[str, str] | None:
    """(kind, Location) of a redirect."""
    if not is_refused(facts) or facts.status not in (300, 301, 302, 303, 307, 308):
        return None
    location = _location(facts)
    if location is None:
        return "other", "no Location"
    try:
        target = urlsplit(location)
        here_path = (facts.path or "/").partition("?")[0]
        host = target.hostname
    except ValueError:
        return "other", location
    if _LOGIN.search(location) and target.path.rstrip("/") != here_path.rstrip("/"):
        return "login", location
    if host and facts.host and host != facts.host.lower() and not _is_same_site(host, facts.host.lower()):
        return "host", location
    if (
        target.scheme in ("https", "wss")
        and facts.scheme == "ws"
        and target.path.rstrip("/") == here_path.rstrip("/")
    ):
        return "scheme", location
    if target.path != here_path and target.path.rstrip("/") == here_path.rstrip("/"):
        return "slash", location
    return "other", location


def _is_same_site(one: str, other: str) -> bool:
    return one.removeprefix("www.") == other.removeprefix("www.") or "127.0.0.1" in (one, other)


@rules(
    "WS-HS-005",
    "error",
    "client",
    "The handshake is redirected to https",
    meaning="The server answers plain requests with a redirect to TLS. Browsers do not follow redirects of a"
    " WebSocket, so the URL must be wss.",
    js=JS_STATUS,
    topic="redirect-scheme",
    rows="H14",
    group="attempt",
)
def to_https(facts: ConnectionFacts) -> Iterator[Found]:
    found = _redirect(facts)
    if found and found[0] == "scheme":
        yield answer(facts, f"Location: {found[1]}")


@rules(
    "WS-HS-006",
    "error",
    "client",
    "The handshake is redirected to the same path with or without its trailing slash",
    meaning="The server wants the path with (or without) a trailing slash and redirects to it. Browsers do"
    " not follow redirects of a WebSocket: use that path in the client.",
    js=JS_STATUS,
    topic="redirect-slash",
    rows="H14 H16",
    group="attempt",
)
def to_slash(facts: ConnectionFacts) -> Iterator[Found]:
    found = _redirect(facts)
    if found and found[0] == "slash":
        yield answer(facts, f"asked for {(facts.path or '')[:160]}", f"Location: {found[1]}")


@rules(
    "WS-HS-007",
    "error",
    "client",
    "The handshake is redirected to a login",
    meaning="The server does not recognise the user and sends the browser to a login page. Browsers do not"
    " follow redirects of a WebSocket, so the page sees only a failure.",
    js=JS_STATUS,
    topic="redirect-login",
    rows="H14 H18",
    group="attempt",
)
def to_login(facts: ConnectionFacts) -> Iterator[Found]:
    found = _redirect(facts)
    if found and found[0] == "login":
        yield answer(facts, f"Location: {found[1]}", cookie_line(facts))


@rules(
    "WS-HS-008",
    "error",
    "server",
    "The handshake is redirected",
    meaning="The server answers with another URL. Browsers do not follow redirects of a WebSocket: use that"
    " URL in the client.",
    js=JS_STATUS,
    topic="redirect",
    rows="H14",
    group="attempt",
)
def to_elsewhere(facts: ConnectionFacts) -> Iterator[Found]:
    found = _redirect(facts)
    if found:
        yield answer(facts, f"Location: {found[1]}")
