"""Empty lines before a request line: a client must not send any (RFC 9112, 2.2), and servers treat them
differently. Measured: `websockets` closes TCP without an answer, Caddy answers 400, httpd refuses bare line
feeds alone; nginx, HAProxy, Envoy, Node and aiohttp skip them."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.findings.facts import ConnectionFacts
from wsinspect.handshake.heads import RawHead
from wsinspect.text import counted

EMPTY_LINES: Final = (
    "The request came behind empty lines, which a client must not send (RFC 9112, 2.2). Some servers skip"
    " them, others take the first one for a broken request and answer 400, or end TCP without an answer."
)
SENT_EMPTY: Final = (
    "the client sends empty lines before its request, and this server does not skip them",
    "the same request without them: is it 101?",
)


class EmptyLines(NamedTuple):
    """What stood before a request line that was refused.

    Attributes:
        line: as evidence.
        is_proven: the same place accepted a request without them.
    """

    line: str
    is_proven: bool


def empty_lines(facts: ConnectionFacts) -> EmptyLines | None:
    """Empty lines before this request line, where they may be why it failed: None where the same place
    accepted a request behind some."""
    head = facts.request_out or facts.request_in
    if head is None or not head.preamble:
        return None
    accepted = [
        RawHead.parse(one.request) for one in facts.others if one.request and _is_there(facts, one.path)
    ]
    if any(one.preamble for one in accepted):
        return None
    count = head.preamble.count(b"\n")
    return EmptyLines(
        f"{counted(count, 'empty line')} before the request line (RFC 9112, 2.2): {head.preamble[:16]!r}"
        + ("; the same path accepted a request without any" if accepted else ""),
        bool(accepted),
    )


def _is_there(facts: ConnectionFacts, path: str) -> bool:
    return path.partition("?")[0] == (facts.path or "").partition("?")[0]
