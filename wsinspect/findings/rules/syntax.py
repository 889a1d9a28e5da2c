"""A 101 whose header block only tolerant clients read: this proxy does, and the client did not."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import JS_FAILED, answer_marks, end_line, named, status_line
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.handshake.heads import loose_syntax
from wsinspect.vocabulary import Lack

rules = Rules()


@rules(
    "WS-HS-067",
    "error",
    "server",
    "The 101 breaks the syntax of HTTP, and the client did not take it",
    meaning="A tolerant client reads such a header block, and a strict one ends the connection: Node's and"
    " Python's do. The client left at once and had sent nothing.",
    js=JS_FAILED,
    topic="response-syntax",
    rows="H25",
    group="attempt",
)
def unread_101(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.status != 101 or facts.ended_by != "client" or Lack.ANSWER in facts.unrecorded:
        return
    problem = loose_syntax(facts.raw_response_in or b"")
    if problem is None or facts.frames[0] or facts.has_close or (facts.age_ns or 0) > SECOND_NS:
        return
    yield Found(
        evidence=(status_line(facts), problem, "the client sent no frame", end_line(facts)),
        software=named(answer_marks(facts)),
    )
