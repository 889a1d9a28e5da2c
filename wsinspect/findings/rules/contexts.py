"""A compression context that one side keeps and the other does not (RFC 7692, 7.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named, seconds
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Cause, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.takeover import before, inflates, said, whole_frame
from wsinspect.wire.opcodes import Direction

rules = Rules()

#: Codes with which a receiver refuses data that it cannot inflate; None: it ended TCP.
_CANNOT: Final = (1002, 1007)
_PERHAPS: Final = (None, 1003, 1006, 1011)
#: A receiver that cannot inflate a message ends the connection as it reads it.
_SOON_NS: Final = 2 * SECOND_NS
_NAMES: Final = ("client", "server")


def with_context(facts: ConnectionFacts, found: Found, number: int) -> Found:
    """A message that does not inflate, with what that proves of the sender's context."""
    deflate, frame = facts.negotiation.deflate, whole_frame(facts, number)
    if deflate is None or frame is None:
        return found
    sender = _NAMES[frame.direction]
    parameter = f"{sender}_no_context_takeover"
    earlier = before(facts, frame)
    window = b"" if not deflate.takeover(frame.direction) else None if earlier is None else said(earlier)
    if deflate.window_bits(frame.direction) < 15 and window is not None and inflates(frame.payload, window):
        return _larger_window(found, sender, frame.id, getattr(deflate, f"{sender}_max_window_bits"))
    if deflate.takeover(frame.direction) or not earlier:
        return replace(found, causes=_lost_context(sender, parameter)) if earlier else found
    if not inflates(frame.payload, said(earlier)):
        return found
    return replace(
        found,
        title=f"The {sender} keeps its compression context, though {parameter} was agreed",
        evidence=(
            f"frame {frame.id} inflates after what the {len(earlier)} compressed message"
            f"{'s' if len(earlier) > 1 else ''} before it said, and not without",
            f"agreed: {parameter}, so each message has to stand alone (RFC 7692, 7.1.1)",
            *found.evidence,
        ),
        causes=(
            Cause(
                f"the {sender} agreed to {parameter} and does not reset its compressor for each message",
                f"have {parameter} left out of the 101: the same messages inflate then",
            ),
            Cause(
                f"a hop put {parameter} into the request or the 101",
                "a second tap behind that hop shows both without it",
            ),
        ),
    )


def _larger_window(found: Found, sender: str, number: int, bits: int) -> Found:
    parameter = f"{sender}_max_window_bits={bits}"
    return replace(
        found,
        title=f"The {sender} compresses with a larger window than agreed ({parameter})",
        evidence=(
            f"frame {number} inflates with a window of 15 bits, and not with that of {parameter}",
            *found.evidence,
        ),
        causes=(
            Cause(
                f"the {sender} agreed to {parameter} and compresses with more",
                f"have {sender}_max_window_bits left out of the 101: the same messages inflate then",
            ),
            Cause(
                f"a hop put {parameter} into the request or the 101",
                "a second tap behind that hop shows both without it",
            ),
        ),
    )


def _lost_context(sender: str, parameter: str) -> tuple[Cause, ...]:
    return (
        Cause(
            f"the {sender}'s compressor went on over something that was not sent on this connection: one"
            " compressor for several connections, or a message that was dropped after it was compressed",
            f"have the 101 say {parameter}: each message stands alone, and inflates",
        ),
        Cause(
            "a hop before this tap lost or changed a compressed message",
            "a second tap in front of that hop: does the message inflate there?",
        ),
        Cause(
            "the data are broken, or were compressed with a larger window than was agreed",
            f"with {parameter} it still does not inflate",
        ),
    )


@rules(
    "WS-MS-004",
    "error",
    "server",
    "The connection ended at the first message that refers to an earlier one: its receiver keeps no context",
    meaning="With context takeover a compressed message may refer to earlier ones, and it inflates here. A"
    " receiver that begins each message with an empty window cannot read it, although it did not ask the"
    " sender for no_context_takeover (RFC 7692, 7.1.1).",
    js="The first messages arrive; then close with the server's code, or 1006.",
    topic="context",
    rows="F5",
    confidence="medium",
)
def keeps_no_context(facts: ConnectionFacts) -> Iterator[Found]:
    deflate = facts.negotiation.deflate
    if deflate is None or not facts.is_over or facts.ended_by not in _NAMES or facts.problems:
        return
    direction = Direction(facts.ended_by == "client")
    sender, receiver = _NAMES[direction], facts.ended_by
    code = facts.client_close_code if receiver == "client" else facts.server_close_code
    last = next((one for one in reversed(facts.last) if one.direction == direction), None)
    if (
        last is None
        or last.problem is not None
        or not deflate.takeover(direction)
        or code not in (*_CANNOT, *_PERHAPS)
    ):
        return
    frame = whole_frame(facts, last.id)
    earlier = before(facts, frame) if frame is not None else None
    if frame is None or not earlier or facts.end_ns is None or inflates(frame.payload):
        return
    if not inflates(frame.payload, said(earlier)) or not 0 <= facts.end_ns - frame.time_ns <= _SOON_NS:
        return
    frames = [whole_frame(facts, one.id) for one in earlier]
    if any(one is None or not inflates(one.payload) for one in frames):
        return  # it has read one before that refers back, or that is not known
    is_sure = code in _CANNOT
    parameter = f"{sender}_no_context_takeover"
    yield Found(
        evidence=(
            f"frame {frame.id} {direction.arrow} inflates after the {len(earlier)} compressed before it, and"
            " not without; those stand alone",
            f"the {receiver} ended the connection {seconds(facts.end_ns - frame.time_ns)} later",
            f"{parameter} was not agreed",
            end_line(facts),
        ),
        frame=frame.id,
        fault_of="client" if receiver == "client" else "server",
        severity=None if is_sure else "warning",
        confidence=None if is_sure else "low",
        causes=(
            Cause(
                f"the {receiver} inflates each message with an empty window",
                f"have the 101 say {parameter}, or turn permessage-deflate off: does the connection live on?",
            ),
            Cause(
                f"the {receiver} ended it for another reason, just then",
                "its log for this moment; is it the same with permessage-deflate off?",
            ),
        ),
        covers=tuple((facts.id, rule) for rule in ("WS-CL-002", "WS-CL-007")) if is_sure else (),
        software=named(answer_marks(facts)),
        js=js_sees(facts),
    )
