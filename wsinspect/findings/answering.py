"""What every finding about a refused handshake has: the answer's own words first."""

from __future__ import annotations

from typing import Final

from wsinspect.findings.comparison import compared
from wsinspect.findings.evidence import (
    answer_hop,
    answer_marks,
    author_line,
    body_line,
    cache_lines,
    left_marks,
    marks_lines,
    named,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.limits import possible_sizes, size_lines
from wsinspect.findings.model import FaultOf, Found
from wsinspect.findings.own_pages import covering

#: Statuses that a difference between two requests can explain.
_DECIDED: Final = frozenset((400, 401, 403, 404, 405, 406, 410, 412, 415, 417, 422, 426, 500, 501))


def answer(
    facts: ConnectionFacts,
    *lines: str,
    fault_of: FaultOf | None = None,
    topic: str | None = None,
    title: str | None = None,
    meaning: str | None = None,
    causes: tuple[tuple[str, str], ...] = (),
) -> Found:
    """A refusal with what every one of them has as evidence: its own words first."""
    marks = answer_marks(facts)
    other = compared(facts) if facts.status in _DECIDED else None
    return Found(
        evidence=(
            status_line(facts),
            *body_line(facts),
            *lines,
            *url_lines(facts),
            *(other.lines if other else ()),
            *cache_lines(facts),
            *author_line(facts),
            *marks_lines(marks),
        ),
        hop=answer_hop(facts),
        software=named(marks),
        fault_of=fault_of,
        topic=topic,
        title=title,
        title_more=other.suffix if other else "",
        meaning=meaning,
        causes=two_causes(*((other.cause,) if other else ()), *causes, *(covering(facts) if causes else ())),
    )


def url_lines(facts: ConnectionFacts) -> tuple[str, ...]:
    """Evidence lines: known limits on a URL's length, in bytes, that this one exceeds."""
    size = url_size(facts)
    lines = size_lines(possible_sizes(size, left_marks(facts), "URL"), left_marks(facts))
    return (f"the URL has {size:,} characters", *lines) if lines else ()


def url_size(facts: ConnectionFacts) -> int:
    """Characters of a URL."""
    port = "" if facts.port in (None, 80, 443) else f":{facts.port}"
    return len(f"{facts.scheme}://{facts.host}{port}{facts.path}")
