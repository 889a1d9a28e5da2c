"""Refusals by Python's ASGI servers: daphne and uvicorn give one status for many reasons, ranked here.

daphne writes a status line of its own and nothing else: 403 where the application closed before it accepted,
500 for whatever the application raised. uvicorn writes a plain `Internal Server Error`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from wsinspect.findings.evidence import answer_marks, named
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.vocabulary import Lack

_CONSUMER: Final = (
    "the consumer's connect() closed, or raised DenyConnection, before it accepted: no user, another room or"
    " token than it expects",
    "what connect() checks before accept()",
)
_NO_ORIGIN: Final = (
    "AllowedHostsOriginValidator (or OriginValidator) refuses a client that sends no Origin",
    "repeat with an Origin whose host is in ALLOWED_HOSTS: is it 101?",
)
_ORIGIN: Final = (
    "AllowedHostsOriginValidator (or OriginValidator) refuses this Origin: its host is not in ALLOWED_HOSTS",
    "repeat with an Origin whose host is in ALLOWED_HOSTS: is it 101?",
)
_NO_ROUTE: Final = (
    "no route of URLRouter fits the path, with the slash at its end",
    "the server's log says 'No route found for path'; try the path with and without the slash",
)
_RAISED: Final = (
    "the code that handles the connection raised an exception, or returned, before it accepted",
    "the server's log has the traceback, or 'returned without completing handshake'",
)
#: The same as one of several causes of a 403.
RAISED: Final = (
    "the application raised an exception before it accepted (granian answers 403 to that as well)",
    "the server's log has the traceback",
)
#: FastAPI closes before it accepts where a dependency or a parameter fails, and the server says 403 then.
UNACCEPTED: Final = (
    "a dependency refuses the client, or a parameter of the route is missing or of another type (query, path,"
    " header, cookie): FastAPI closes before it accepts",
    "the parameters that the route declares, against the URL; what its dependencies raise",
)
_NO_WEBSOCKET: Final = (
    "the application takes no WebSockets: ProtocolTypeRouter has no 'websocket', or Django's own"
    " get_asgi_application() is served",
    "the server's log says 'No application configured for scope type' or 'Django can only handle ASGI/HTTP"
    " connections'",
)
_BY_HAND: Final = (
    "it is another server, whose code writes a status line with the same words",
    "which server listens there? its code for upgrades",
)


def is_of_daphne(facts: ConnectionFacts) -> bool:
    """Whether the status line has daphne's words, without a body."""
    return "channels" in named(answer_marks(facts))


def is_foreign(facts: ConnectionFacts) -> bool:
    """Whether the request has an Origin, and of another host than it asks. Django compares no ports."""
    asked = facts.request_in
    if asked is None or asked.get("origin") is None:
        return False
    try:
        origin = urlsplit((asked.get("origin") or b"").decode("latin-1")).hostname
        return origin != urlsplit(f"//{(asked.get('host') or b'').decode('latin-1')}").hostname
    except ValueError:
        return True


def is_asgi_403(facts: ConnectionFacts) -> bool:
    """Whether a 403 looks like that of uvicorn for an application that closed before it accepted: a
    plain text of no length, with or without uvicorn's name; or that of granian or hypercorn, with theirs."""
    kind = facts.response_line("Content-Type").lower()
    is_bare = kind.endswith("text/plain; charset=utf-8") and Lack.BODY not in facts.unrecorded
    is_named = "uvicorn" in named(answer_marks(facts)) or _server(facts).startswith(("granian", "hypercorn"))
    return not facts.content and (is_bare or is_named)


def hides_exception(facts: ConnectionFacts) -> bool:
    """Whether a 403 is granian's, which answers so for an exception before the accept, too."""
    return is_asgi_403(facts) and _server(facts).startswith("granian")


def _server(facts: ConnectionFacts) -> str:
    return facts.response_line("Server").lower().removeprefix("server: ")


def has_no_origin(facts: ConnectionFacts) -> bool:
    """Whether the request is known to have none."""
    asked = facts.request_in
    return asked is not None and asked.get("origin") is None and Lack.REQUEST not in facts.unrecorded


def of_403(facts: ConnectionFacts) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Why daphne says 403, most likely first, and the topic of the fixes where it is no Origin's.

    A path without a route is a 500 there.
    """
    if has_no_origin(facts):
        return (_NO_ORIGIN, _CONSUMER, _BY_HAND), None
    if is_foreign(facts):
        return (_ORIGIN, _CONSUMER, _BY_HAND), None
    return (_CONSUMER, _ORIGIN, _BY_HAND), "app-auth"


def of_500(facts: ConnectionFacts) -> tuple[tuple[str, str], ...]:
    """Why an ASGI server says 500, most likely first; nothing where another one wrote it."""
    if is_of_daphne(facts):
        return (_NO_ROUTE, _RAISED, _NO_WEBSOCKET, _BY_HAND)
    kind = facts.response_line("Content-Type").lower()
    is_plain = kind.endswith("text/plain; charset=utf-8") and facts.content == b"Internal Server Error"
    if "uvicorn" not in named(answer_marks(facts)) and not is_plain:
        return ()
    route = ("no route of Django Channels' URLRouter fits the path, with the slash at its end", _NO_ROUTE[1])
    return (_RAISED, route, _NO_WEBSOCKET)
