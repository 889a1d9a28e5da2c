"""Why a server may refuse a client with 403: several causes have the same bytes, and are ranked here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from wsinspect.findings import asgi
from wsinspect.findings.changes import is_mute
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.known_answers import of_engineio
from wsinspect.findings.messages_read import is_socketio

NONE_SENT: Final = (
    "the server wants credentials, and none were sent",
    "repeat with a cookie, a ticket in the query or a subprotocol",
)
_WANTS_ORIGIN: Final = (
    "the server refuses clients without an Origin (Django's AllowedHostsOriginValidator), and none was sent",
    "repeat with the Origin of the server's own page: is it 101?",
)


#: It writes the status line and nothing else (x/net/websocket/server.go: newServerConn).
_XNET: Final = (
    "the server is Go's golang.org/x/net/websocket, whose Handler demands an Origin, and none was sent",
    "repeat with an Origin of any site: is it 101? A websocket.Server of its own checks none",
)


def credential_causes() -> tuple[tuple[str, str], ...]:
    """Where credentials were sent: the server rejects them, or they did not arrive."""
    return (
        (
            "the server rejects the credentials: expired, for another site or user, or not where it looks for"
            " them",
            "repeat with fresh credentials; the server's log says what it checked",
        ),
        (
            "a hop behind this tap drops them",
            "a second tap behind it shows whether they arrive",
        ),
    )


class Ranked(NamedTuple):
    """Causes, the likeliest first, and the topic of its fixes; None for that of an Origin."""

    causes: tuple[tuple[str, str], ...]
    topic: str | None


def ranked_403(facts: ConnectionFacts, sent: Sequence[str]) -> Ranked:
    """Why a server may refuse with 403, most likely first, and the topic of the first one's fixes."""
    about_origin = re.search(rb"origin|cors|host", facts.said)
    about_token = re.search(
        rb"token|credential|authent|authori[sz]|login|session|csrf|permission|api.?key",
        facts.said,
    )
    origin = (
        "the Origin is not on the server's list, or Host is not the page's",
        "repeat the request without Origin, or with the server's own: is it 101?",
    )
    rejected, dropped = credential_causes()
    tokens = (rejected, dropped) if sent else (NONE_SENT,)
    path = (
        "the path is not a WebSocket route (Starlette and uvicorn answer 403 for that too)",
        "try a path that certainly exists on the server",
    )
    is_about_token = about_token is not None and about_origin is None
    ordered = (*tokens, origin, path) if is_about_token else (origin, *tokens, path)
    is_asgi = asgi.is_asgi_403(facts)
    if not about_origin and (asgi.has_no_origin(facts) or (is_asgi and not asgi.is_foreign(facts))):
        # A list of origins is what refuses a foreign one; ASGI applications answer so to each path they lack.
        last = _WANTS_ORIGIN if asgi.has_no_origin(facts) else origin
        ordered = (path, *tokens, last) if is_asgi and not sent else (*tokens, path, last)
        if is_asgi and not asgi.hides_exception(facts):
            # Where the URL has parameters the route is rather there.
            at = 1 if sent or "?" not in facts.path else 0
            ordered = (*ordered[:at], asgi.UNACCEPTED, *ordered[at:])
    elif is_asgi and not about_origin and not sent:
        ordered = (origin, path, *tokens)  # FastAPI checks no Origin by itself, and lacks paths
    if asgi.hides_exception(facts) and not about_origin:
        ordered = (ordered[0], asgi.RAISED, *ordered[1:])
    if is_socketio(facts) and is_mute(facts):
        return Ranked(of_engineio(facts, origin), None)
    if asgi.is_of_daphne(facts):
        return Ranked(*asgi.of_403(facts))
    head = facts.response_in
    is_bare = head is not None and head.reason == b"Forbidden" and not head.fields and not facts.content
    if is_bare and asgi.has_no_origin(facts):
        return Ranked((_XNET, *(one for one in ordered if one != _WANTS_ORIGIN)), None)
    return Ranked(
        ordered, {tokens[0]: "app-auth", path: "asgi-route", asgi.UNACCEPTED: "asgi-route"}.get(ordered[0])
    )
