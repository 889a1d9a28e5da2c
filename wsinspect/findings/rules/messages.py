"""Messages that cannot be read: text that is no UTF-8, compression that does not inflate."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import answer_marks, end_line, js_told, named
from wsinspect.findings.facts import C2S, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.frames import JS, broken, was_borne
from wsinspect.wire.violations import INFLATE_FAILED, INVALID_UTF8

rules = Rules()


@rules(
    "WS-MS-001",
    "error",
    "server",
    "A text message is not valid UTF-8",
    meaning="Text has to be UTF-8, and the receiver closes with 1007 for what is not (RFC 6455, 8.1). Binary"
    " data was sent as text,"
    " or UTF-8 was cut between the bytes of a character.",
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
    meaning="The bytes are no valid DEFLATE, or refer to a context that the receiver does not have: context"
    " takeover or the window"
    " is another than negotiated. All later compressed messages of this direction are lost too.",
    js=JS,
    topic="compression",
    rows="F5",
)
def bad_deflate(facts: ConnectionFacts) -> Iterator[Found]:
    found = list(broken(facts, INFLATE_FAILED))
    yield from found
    if found:
        return
    for problem in facts.problems:
        if problem.kind == "inflate-failed":
            extensions = ", ".join(map(str, facts.negotiation.extensions))
            yield Found(
                evidence=(
                    f"message {problem.frame} {problem.direction.arrow} does not inflate; {problem.times} in"
                    f" all",
                    f"accepted: {extensions}",
                    end_line(facts) if facts.is_over else "",
                ),
                frame=problem.frame,
                fault_of="client" if problem.direction == C2S else "server",
                severity="warning" if facts.is_over and was_borne(facts) else None,
                js=js_told(facts),
                software=named(answer_marks(facts)),
            )
            return
