"""The hop between two taps as the rules over both name it: its marks, what it changed, what they cover."""

from __future__ import annotations

from typing import Final

from wsinspect.findings.changes import LIKELY, Kind, Suspect
from wsinspect.findings.evidence import answer_marks, named, request_marks, status_line
from wsinspect.findings.registry import ids_of_group
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.software import Mark
from wsinspect.findings.software import hop_of as first_hop

#: What one tap says where the two sides do not agree on an extension.
BROKEN_BY_EXTENSIONS: Final = ("WS-FR-003", "WS-MS-002", "WS-CL-002", "WS-CL-007")


def own_marks(pair: PairFacts) -> tuple[Mark, ...]:
    """The marks that this very hop left: those in the answer and the request that it added."""
    answered = answer_marks(pair.edge)
    if pair.origin is None:
        return answered
    behind = {mark.software for mark in answer_marks(pair.origin)}
    before = {mark.evidence for mark in request_marks(pair.edge.request_out)}
    return (
        *(mark for mark in answered if mark.software not in behind),
        *(mark for mark in request_marks(pair.origin.request_in) if mark.evidence not in before),
    )


def _is_default_nginx(pair: PairFacts) -> bool:
    """Whether the request came out as nginx before 1.29.7 sends it by default."""
    head, sent = pair.origin.request_in if pair.origin else None, pair.edge.request_out
    return (
        head is not None
        and head.http_version == b"HTTP/1.0"
        and head.tokens("connection") == ["close"]
        and (sent is None or sent.http_version != b"HTTP/1.0")
    )


def software_of(pair: PairFacts) -> tuple[str, ...]:
    """Software recognised by the hop's own marks; where it has none, by those of the answer."""
    found = [*named(own_marks(pair)), *(["nginx"] if _is_default_nginx(pair) else [])]
    return tuple(dict.fromkeys(found or named(answer_marks(pair.edge))))


def hop_of(pair: PairFacts) -> str:
    """The hop, as a finding names it."""
    name = first_hop(own_marks(pair)) or ("nginx" if _is_default_nginx(pair) else None)
    return f"{name}, {pair.name}" if name else pair.name


def covered_by(pair: PairFacts, group: str) -> tuple[tuple[int, str], ...]:
    """Findings of one tap alone about this connection, which this finding replaces: (connection, rule)."""
    ids = ids_of_group(group)
    both = [pair.edge.id, *([pair.origin.id] if pair.origin else [])]
    return tuple((number, rule) for number in both for rule in ids)


def answered_behind(pair: PairFacts) -> str:
    """What became of the attempt behind the hop."""
    origin = pair.origin
    if origin is None:
        return "nothing arrived behind the hop"
    if origin.response_in is not None:
        return f"the server behind it answered {status_line(origin)}"
    if not origin.is_over:
        return "the server behind it has not answered yet"
    return f"the server behind it did not answer: {origin.error or origin.how}"


def blamed(pair: PairFacts, kind: Kind) -> list[Suspect]:
    """The changes of a kind that explain the failure and not only could: one is the surest suspect."""
    found = pair.suspects
    if not found or found[0].kind != kind:
        return []
    return [one for one in found if one.kind == kind and one.weight >= LIKELY]


def lines_of(found: list[Suspect]) -> tuple[str, ...]:
    """Suspects as lines of evidence: what was changed, then why that explains it."""
    return (
        *(line for one in found for line in one.lines),
        *dict.fromkeys(one.why for one in found if one.why),
    )


def is_connect_lost(pair: PairFacts) -> bool:
    """Whether an extended CONNECT went into the hop, and another request of HTTP/2 came out."""
    sent, came = pair.edge.request_out, pair.origin.request_in if pair.origin else None
    if sent is None or came is None:
        return False
    return sent.is_extended_connect and came.is_http2 and not came.is_extended_connect
