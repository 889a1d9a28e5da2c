"""Messages that cannot be read: text that is not UTF-8, compression that does not inflate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named, seconds
from wsinspect.findings.facts import C2S, SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.contexts import with_context
from wsinspect.findings.rules.frames import JS, broken, was_borne
from wsinspect.findings.rules.switching import text_sides
from wsinspect.wire.violations import INFLATE_FAILED, INVALID_UTF8

rules = Rules()

#: The problem of a message whose final fragment did not come.
UNFINISHED: Final = "unfinished"


@rules(
    "WS-MS-001",
    "error",
    "server",
    "A text message is not valid UTF-8",
    meaning="Text must be UTF-8, and the receiver closes with 1007 when it is not (RFC 6455, 8.1). Binary"
    " data was sent as text, or the text was cut in the middle of a character.",
    js=JS,
    topic="utf8",
    rows="F4",
)
def bad_utf8(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, INVALID_UTF8)


@rules(
    "WS-MS-002",
    "error",
    "server",
    "A compressed message does not inflate",
    meaning="The bytes are not valid DEFLATE, or refer to a context that the receiver does not have: context"
    " takeover or the window size differs from what was negotiated. All later compressed messages in"
    " this direction are lost too.",
    js=JS,
    topic="compression",
    rows="F5",
)
def bad_deflate(facts: ConnectionFacts) -> Iterator[Found]:
    found = [with_context(facts, one, one.frame or 0) for one in broken(facts, INFLATE_FAILED)]
    yield from found
    if found:
        return
    for problem in facts.problems:
        if problem.kind == "inflate-failed":
            extensions = ", ".join(map(str, facts.negotiation.extensions))
            one = Found(
                evidence=(
                    f"message {problem.frame} {problem.direction.arrow} does not inflate; {problem.times} in"
                    f" all",
                    f"accepted: {extensions}",
                    end_line(facts) if facts.is_over else "",
                ),
                frame=problem.frame,
                fault_of="client" if problem.direction == C2S else "server",
                severity="warning" if facts.is_over and was_borne(facts) else None,
                js=js_sees(facts),
                software=named(answer_marks(facts)),
            )
            yield with_context(facts, one, problem.frame)
            return


#: A sender that is silent this long inside a message has given it up.
_STALLED_NS: Final = SECOND_NS


@rules(
    "WS-MS-003",
    "warning",
    "server",
    "A fragmented message never ended",
    meaning="The first fragments of a message came; the last one, with FIN, did not. The receiver waits for"
    " it and delivers nothing, and every later message from that side waits too.",
    js="onmessage is never called for it.",
    topic="fragments",
    rows="F3 F12",
)
def never_ended(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or facts.state == "lost" or facts.has_gap:
        return
    for problem in facts.problems:
        if problem.kind != UNFINISHED:
            continue
        side = problem.direction
        if side in text_sides(facts):
            continue  # text that was read as frames (`WS-HS-029`)
        sender = "client" if side == C2S else "server"
        known = facts.silence_ns(side)
        silence = known or 0
        has_closed = (facts.client_close_reason if side == C2S else facts.server_close_reason) is not None
        is_sender = facts.ended_by == sender
        if not has_closed and not is_sender and silence < _STALLED_NS:
            continue  # it was cut while the fragments were coming
        if not has_closed and is_sender and facts.how == "rst" and silence < _STALLED_NS:
            continue
        parts = [
            one for one in facts.last_frames if one.direction == side and one.message_id == problem.frame
        ]
        yield Found(
            evidence=(
                f"message {problem.frame} {side.arrow} began and has no final fragment",
                f"{len(parts)} of its fragments are among the last frames" if parts else "",
                f"nothing {side.arrow} for {seconds(silence)} before the end" if known is not None else "",
                end_line(facts),
                js_sees(facts),
            ),
            frame=problem.frame,
            fault_of="client" if side == C2S else "server",
            severity="error" if facts.js_was_clean is False else None,
            title=f"The {sender} began a fragmented message and never ended it",
            js=js_sees(facts),
            software=named(answer_marks(facts)),
        )
        return
