"""What Go's gorilla/websocket answers to a handshake that it refuses, known by its own shape.

Each of its refusals goes through `Upgrader.returnError`: the status's own name as text, with
`Sec-Websocket-Version: 13` whatever the reason was (gorilla/websocket 1.4 to 1.5, server.go). The reason is
an error value that only the application gets.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from wsinspect.findings.facts import ConnectionFacts

MARK: Final = (
    "'Sec-Websocket-Version: 13' under the bare name of the status: Go's gorilla/websocket refuses so,"
    " whatever the reason"
)
ORIGIN: Final = (
    "Go's gorilla/websocket wrote this answer, and it says 403 only where CheckOrigin returned false. Without"
    " a CheckOrigin of the application's own it compares Origin with the Host that arrives."
)
_HIJACKER: Final = (
    "a middleware wraps the http.ResponseWriter (logging, compression, http.TimeoutHandler), so"
    " gorilla/websocket cannot take the connection over: 'response does not implement http.Hijacker'",
    "the error that Upgrade returns; the same route without its middleware is 101",
)
_OWN_HEADERS: Final = (
    "the application gives Upgrade a Sec-WebSocket-Extensions header of its own, which it does not allow",
    "the error that Upgrade returns",
)


def is_of_gorilla(facts: ConnectionFacts) -> bool:
    """Whether an answer has the shape of `Upgrader.returnError`; hops pass it on with other letter cases."""
    head = facts.response_in
    if head is None or head.get_all("sec-websocket-version") != [b"13"]:
        return False
    try:
        name = HTTPStatus(facts.status or 0).phrase
    except ValueError:
        return False
    kind = (head.get("content-type") or b"").lower()
    is_plain = kind.startswith(b"text/plain") and head.get("x-content-type-options") == b"nosniff"
    return is_plain and facts.content.strip() == name.encode()


def mark(facts: ConnectionFacts) -> str:
    """An evidence line about who wrote this answer, or nothing."""
    return MARK if is_of_gorilla(facts) else ""


#: coder/websocket answers 501 with these words.
_SAYS_HIJACKER: Final = re.compile(rb"\bhttp\.hijacker\b|\bnot a hijacker\b")
_SAID: Final = (
    "a middleware wraps the http.ResponseWriter (logging, compression, http.TimeoutHandler), so the server"
    " cannot take the connection over; its answer says so",
    "the same route without its middleware is 101; a wrapper with Unwrap or Hijack is, too",
)


def of_500(facts: ConnectionFacts) -> tuple[tuple[str, str], ...]:
    """Why a Go server cannot take a connection over, most likely first; nothing for other answers."""
    if _SAYS_HIJACKER.search(facts.wording):
        return (_SAID,)
    return (_HIJACKER, _OWN_HEADERS) if facts.status == 500 and is_of_gorilla(facts) else ()
