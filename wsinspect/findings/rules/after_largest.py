"""Ends without a CLOSE frame right after the largest message, just above a known limit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.closed import side_of
from wsinspect.findings.evidence import (
    answer_marks,
    end_line,
    js_sees,
    left_marks,
    named,
    seconds,
    two_causes,
)
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.limits import possible_sizes, size_lines, size_words
from wsinspect.findings.model import Found
from wsinspect.findings.rules.drops import is_cut

#: A receiver that ends because of what it has just read does it at once.
_AT_ONCE_NS: Final = SECOND_NS
#: Smaller messages are sent by everybody, and receivers with smaller limits say 1009.
_LEAST_LARGE: Final = 32 * 1024
#: Apple's own client: it resets without a CLOSE frame when a message is above its limit.
_URLSESSION: Final = re.compile(r"\bCFNetwork/[\d.]+ Darwin/")


def right_after_largest(facts: ConnectionFacts) -> Iterator[Found]:
    """An end without a CLOSE frame, right after the largest message, just above somebody's default limit."""
    ender = C2S if facts.ended_by == "client" else S2C
    last = facts.last[-1] if facts.last else None
    if not is_cut(facts) or last is None or last.direction == ender or facts.end_ns is None:
        return
    size, answered = last.length or 0, facts.last_ns[0 if ender == C2S else 1]
    limits = possible_sizes(size, left_marks(facts)) if size > _LEAST_LARGE else []
    if not limits or not 0 <= facts.end_ns - last.time_ns < _AT_ONCE_NS or (answered or 0) > last.time_ns:
        return
    is_apples = ender == C2S and _URLSESSION.search(facts.request_line("User-Agent")) is not None
    if is_apples:
        limits = sorted(limits, key=lambda one: "URLSession" not in one.who)
    before = [
        one.length or 0 for one in (*facts.first, *facts.last) if one.direction != ender and one != last
    ]
    before += [
        one.length
        for one in facts.last_frames
        if one.direction != ender and one.opcode < 8 and one.message_id != last.id
    ]
    if any(size_before > limits[0].bytes for size_before in before):
        return  # it took such a one
    side, other = side_of(ender), side_of(ender.other)
    yield Found(
        evidence=(
            f"the {other}'s last message has {size:,} bytes (message {last.id}), and is its largest",
            *size_lines(limits, left_marks(facts)),
            f"the end came {seconds(facts.end_ns - last.time_ns)} after it",
            end_line(facts),
            js_sees(facts),
        ),
        title=f"The {side}'s side ended the connection right after a message of {size:,} bytes",
        meaning="TCP ended without a CLOSE frame right after the largest message of this connection, whose"
        " size is just above a limit that software has by default. One such end proves nothing; another one"
        " at the same size does.",
        fault_of=side,
        severity="warning" if ender == C2S else None,
        confidence="medium" if is_apples and "URLSession" in limits[0].who else "low",
        causes=two_causes(
            (
                f"a limit on the size of messages, such as {size_words(limits[0])}",
                "a smaller message is taken, and one of this size ends the next connection, too",
            ),
            (
                f"the {side} failed on what this message says, or ended at this moment for another reason",
                f"the {side}'s log for this moment; a small message of the same kind",
            ),
        ),
        js=js_sees(facts),
        software=named(answer_marks(facts)),
    )
