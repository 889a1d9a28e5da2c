"""Data from the client before it had the 101 (RFC 6455, 4.1: it has to wait for it)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named, request_marks, two_causes
from wsinspect.findings.facts import C2S, SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.text import counted
from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.events import EarlyData
from wsinspect.wire.opcodes import opcode_name

rules = Rules()

#: A server that takes no data before its 101 ends the connection at once, or never says a word.
_AT_ONCE_NS: Final = 2 * SECOND_NS


@rules(
    "WS-HS-072",
    "warning",
    "client",
    "The client sent data before it had the 101",
    meaning="A client has to wait for the 101 before it sends frames (RFC 6455, 4.1). Some servers and hops"
    " keep what comes early, others drop it, or take it for a second request and close.",
    js="Nothing: browsers wait. Of another client the first messages are missing, or the connection ends.",
    topic="early-data",
)
def early(facts: ConnectionFacts) -> Iterator[Found]:
    size = sum(
        EarlyData.read(detail).bytes or 0 for kind, detail in facts.events if kind == EventKind.EARLY_DATA
    )
    if not facts.was_open or size <= 0:
        return
    first = next((one for one in facts.first if one.direction == C2S), None)
    age = facts.age_ns
    is_ended = facts.ended_by == "server" and facts.js_was_clean is False and age is not None
    is_failure = is_ended and (age or 0) < _AT_ONCE_NS
    marks = request_marks(facts.request_in)
    yield Found(
        evidence=(
            f"{counted(size, 'byte')} came from the client behind its request, before the 101 was passed on",
            f"the first message is frame {first.id}, {opcode_name(first.opcode)} of {first.length} bytes"
            if first is not None and first.length is not None
            else "",
            *(mark.evidence for mark in marks[:2]),
            end_line(facts) if facts.is_over else "",
        ),
        severity="error" if is_failure else None,
        confidence="medium" if is_failure or marks else None,
        causes=two_causes(
            ("the client does not wait for the 101", "does it send in its 'open' event, or before it?"),
            ("a hop before this tap answered 101 itself", "a tap before that hop shows when its 101 came"),
        )
        if marks
        else (),
        frame=first.id if first is not None else None,
        js=js_sees(facts) if is_failure else None,
        software=named(answer_marks(facts)),
    )
