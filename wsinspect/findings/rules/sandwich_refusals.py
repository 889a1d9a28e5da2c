"""Refusals after the 101: the server accepted a request, and closed for what a hop had changed in it."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.changes import LIKELY, Suspect, closing_suspects
from wsinspect.findings.evidence import js_sees
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.around import covered_by, hop_of, software_of
from wsinspect.findings.sandwich import PairFacts

rules = Rules()


@rules(
    "WS-CL-102",
    "error",
    "hop",
    "The hop changes Host, Origin or credentials, and the server closed because of it",
    meaning="The server accepts the handshake and checks Origin or credentials after it; it closed because of"
    " what the hop changed. Such a check is the same as one that answers 403, only later.",
    js="close with the server's code and reason; the code of an application stands for a refusal here.",
    topic="host",
    rows="H17 H18 F7",
    group="end",
    scope="pair",
)
def closes_for_changes(pair: PairFacts) -> Iterator[Found]:
    edge, origin = pair.edge, pair.origin
    if origin is None or not edge.was_open or origin.ended_by != "server":
        return
    found = closing_suspects(edge, origin)
    if not found:
        return
    is_reason = found[0].weight >= LIKELY
    kept = [one for one in found if one.weight >= LIKELY] if is_reason else found
    code, reason = origin.server_close_code, origin.server_close_reason or ""
    is_credential = _is_credential(kept[0])
    yield Found(
        title=None if is_reason else "The hop changed the request, which may explain why the server closed",
        evidence=(
            f"the server closed with {code} {reason!r}" if reason else f"the server closed with {code}",
            *(line for one in kept for line in one.lines),
            *dict.fromkeys(one.why for one in kept if one.why),
            js_sees(edge),
        ),
        severity=None if is_reason else "note",
        confidence=None if is_reason else "low",
        topic="credentials" if is_credential else None,
        hop=hop_of(pair),
        software=software_of(pair),
        js=js_sees(edge),
        covers=covered_by(pair, "end") if is_reason else (),
    )


def _is_credential(one: Suspect) -> bool:
    return one.kind == "query" or one.lines[0].split()[1].rstrip(":").lower() in ("cookie", "authorization")
