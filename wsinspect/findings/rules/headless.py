"""What a server sends in place of an HTTP response: content whose header block is missing.

The server is the right one then, and something in it or before it lost or never wrote the header block.
"""

from __future__ import annotations

import re
from typing import Final, TypedDict

from wsinspect.findings.model import Cause, FaultOf

#: How `handshake` names a frame that comes without a 101.
A_FRAME: Final = "a WebSocket frame, without a handshake before it"
#: A short sentence in words, as code writes it to a socket: no banner with a number or version in it.
_WORDS: Final = re.compile(rb"[A-Z][a-z]+(?: [A-Za-z']+){0,11}[.!]?\s*\Z")
#: What a refusal says; a greeting or a prompt is another protocol's.
_REFUSES: Final = re.compile(
    rb"\b(unauthori[sz]ed|forbidden|denied|not (found|allowed|authori[sz]ed|permitted)|bad request)\b", re.I
)


class Headless(TypedDict, total=False):
    """What a finding says of such bytes."""

    fault_of: FaultOf
    title: str
    meaning: str
    topic: str
    causes: tuple[Cause, ...]


_FRAME: Final = Headless(
    fault_of="server",
    meaning="The WebSocket's handler is reached and speaks, and the client never got its 101: something in"
    " the server, or in a hop before it, wraps the response and loses what was written to the connection.",
    topic="headless-frame",
    causes=(
        Cause(
            "a firewall or logger wraps the response (Coraza in a proxy) and cannot carry an upgrade",
            "it works with the wrapper switched off for requests with Upgrade",
        ),
        Cause(
            "the server's own code writes frames without answering the handshake",
            "its code for the upgrade: is the 101 written before the first message?",
        ),
    ),
)


def headless(first: bytes, name: str | None, *, is_closed: bool) -> Headless:
    """What to say where a server's first bytes are the content of an answer without its header block.

    Args:
        first: what the server sent.
        name: the protocol that it was recognised as; None for unknown bytes.
        is_closed: whether the server ended the connection after them.

    Returns:
        Nothing where the bytes may be another protocol's.
    """
    if name == A_FRAME:
        return _FRAME
    if name is not None or not is_closed or _WORDS.match(first) is None or _REFUSES.search(first) is None:
        return Headless()
    words = first.decode("latin-1").strip()[:60]
    return Headless(
        fault_of="server",
        title=f"The server wrote {words!r} to the connection, without an HTTP response around it",
        meaning="A server that refuses an upgrade has to answer with a status line. This one wrote a text to"
        " the socket and closed it; a proxy before it reports a broken response (502, 'Expected HTTP/').",
        topic="headless-text",
    )
