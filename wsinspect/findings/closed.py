"""What findings about ends share: who closed, with which code, what its words say, and what came before."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from wsinspect.findings.close_reasons import Said, what_is_said
from wsinspect.findings.comparison import Comparison, compared_late
from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named, two_causes
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, FrameFact
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.quotes import without_secrets
from wsinspect.wire.close_codes import close_name
from wsinspect.wire.opcodes import Direction


def closed_with(facts: ConnectionFacts, *codes: int) -> tuple[Direction, int, str] | None:
    """Who closed first with one of these codes: (direction, code, reason)."""
    server = facts.server_close_code, facts.server_close_reason
    client = facts.client_close_code, facts.client_close_reason
    order = [(S2C, server), (C2S, client)]
    if facts.ended_by == "client":
        order.reverse()
    for direction, (code, reason) in order:
        if code in codes:
            return direction, code, reason or ""
    return None


def found_of(
    facts: ConnectionFacts,
    who: Direction,
    code: int,
    reason: str,
    *more: str,
    fault_of: FaultOf | None = None,
    title: str | None = None,
    meaning: str | None = None,
) -> Found:
    """A finding about a CLOSE frame, with its code and reason as evidence.

    Args:
        who: sent it.
        more: further evidence.
        fault_of, title, meaning: instead of the rule's.
    """
    frame = next((f.id for f in facts.last_frames if f.is_close and f.direction == who), None)
    other = compared_late(facts) if who == S2C else None
    said = f", reason {reason[:160]!r}" if reason else ", no reason"
    return Found(
        evidence=(
            f"the {side_of(who)} closed with {code} ({close_name(code)}){said}",
            *more,
            *(other.lines if other else ()),
            end_line(facts),
            js_sees(facts),
        ),
        frame=frame,
        fault_of=fault_of,
        title=title,
        title_more=other.suffix if other else "",
        meaning=meaning,
        js=js_sees(facts),
        software=named(answer_marks(facts)),
        causes=late_causes(facts, other),
    )


def late_causes(facts: ConnectionFacts, other: Comparison | None) -> tuple[Cause, ...]:
    """Why a server closes what it had accepted, where another attempt shows something."""
    if other is None:
        return ()
    is_spoken = has_spoken(facts, C2S)
    said = ("the client's first message", f"does #{other.other.id} begin with the same message?")
    return two_causes(
        *((said,) if is_spoken and not other.differences else ()),
        other.cause,
        *((said,) if is_spoken and other.differences else ()),
    )


#: A side that closes because of what it has just said does it at once.
_AT_ONCE_NS: Final = SECOND_NS
#: Most characters of a text before a CLOSE frame that can be its reason.
_LONGEST_WORDS: Final = 160


def _last_words(facts: ConnectionFacts, who: Direction) -> str:
    """The text that a side sent right before its CLOSE frame without a reason; "" where none did."""
    last = facts.last[-1] if facts.last else None
    close = next((f for f in facts.last_frames if f.is_close and f.direction == who), None)
    if last is None or close is None or last.direction != who:
        return ""
    is_short = last.opcode == 1 and 0 < len(last.text) <= _LONGEST_WORDS
    return last.text if is_short and close.time_ns - last.time_ns < _AT_ONCE_NS else ""


def said_of(facts: ConnectionFacts, who: Direction, code: int, reason: str, *more: str) -> Found | None:
    """A finding about a code whose meaning is in the words of its reason, or of the message before it.

    Returns:
        None where those words are not known, so that the code alone decides.
    """
    before = "" if reason else _last_words(facts, who)
    said = what_is_said(reason or before, code)
    if said is None or (said.name == "content" and not has_spoken(facts, who.other)):
        return (
            None  # where the other side has said nothing, what is not found or malformed is not in a message
        )
    quoted = without_secrets(reason or before)[:100]
    side, other = side_of(who), other_of(who)
    made = found_of(
        facts,
        who,
        code,
        reason,
        *((f"right before it: {who.arrow} {quoted!r}",) if before else ()),
        *more,
        fault_of=side if said.is_closers else other,
        title=f"The {side} closed with {code}: {quoted!r}",
        meaning=_meant(said, who),
    )
    one = Cause(said.cause.format(who=side, other=other), said.tell_apart.format(who=side, other=other))
    return replace(made, topic=said.topic, causes=(one, *made.causes))


def has_spoken(facts: ConnectionFacts, side: Direction) -> bool:
    """Whether a side sent anything but its CLOSE frame."""
    has_closed = (facts.server_close_reason if side is S2C else facts.client_close_reason) is not None
    return facts.frames[0 if side is C2S else 1] > has_closed


def _meant(said: Said, who: Direction) -> str:
    cause = said.cause.format(who=side_of(who), other=other_of(who))
    return f"The words are the {side_of(who)}'s own, and say more than the code: {cause}."


def first_fragment(facts: ConnectionFacts, sender: Direction) -> FrameFact | None:
    """The first fragment of a side's first message in several frames, where the end came right after it.

    None where it had sent such a message before, or the end came later: then it was borne.
    """
    mine = [one for one in facts.last_frames if one.direction == sender and one.opcode < 8]
    begun = next((one for one in mine if not one.fin), None)
    if begun is None or begun.opcode == 0 or facts.end_ns is None:
        return None
    is_new = all(one.opcode == 0 or one is begun for one in mine[mine.index(begun) :])
    return begun if is_new and 0 <= facts.end_ns - begun.time_ns < _AT_ONCE_NS else None


def other_of(who: Direction) -> FaultOf:
    """The side that received what `who` sent."""
    return "server" if who == C2S else "client"


def side_of(who: Direction) -> FaultOf:
    """The side that sent it."""
    return "client" if who == C2S else "server"


#: A message that is so many times the largest before it, and no short one, may be too large for somebody.
_TIMES_LARGER: Final = 4
_LEAST_LARGE: Final = 1000


def largest_before_end(facts: ConnectionFacts) -> int | None:
    """The size of the client's largest message, where the server ended at once after it; None otherwise.

    What the server still sent may be its answer to an earlier message: where it sent fewer than it got.
    """
    mine = [one for one in facts.last if one.direction == C2S]
    if facts.end_ns is None or not mine:
        return None
    last = mine[-1]
    if facts.last[-1] != last and facts.frames[1] >= facts.frames[0]:
        return None
    size, waited = last.length or 0, facts.end_ns - last.time_ns
    before = [one.length or 0 for one in (*facts.first, *facts.last) if one.direction == C2S and one != last]
    is_larger = size >= _LEAST_LARGE and size >= _TIMES_LARGER * max(before, default=size)
    return size if is_larger and 0 <= waited < SECOND_NS else None
