"""What did not come out of a hop: a request or an answer that it keeps, a request that it sent elsewhere."""

from __future__ import annotations

from typing import Final, Literal

from wsinspect.findings.evidence import answer_marks
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.rules.handshake import client_left, has_failed, left_before_answer
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.software import PROXIES

#: Where an attempt that never reached the other side failed.
NO_WAY: Final = ("connect", "tls-server")
#: The same, and where this proxy's own stop came before any answer could.
UNANSWERED: Final = (*NO_WAY, "stop")
#: A hop passes on within milliseconds what it passes on at all.
_PASSING_NS: Final = SECOND_NS


def has_left(facts: ConnectionFacts) -> bool:
    """Whether the client ended an attempt before there was an answer."""
    return facts.raw_response_in is None and facts.failed_where not in NO_WAY and client_left(facts)


def _times(pair: PairFacts) -> tuple[Literal["request", "answer"], int, int] | None:
    """What the hop had got and not passed on when the client left, since when, and when that was."""
    edge, origin, asked = pair.edge, pair.origin, pair.edge.times.get("request_out_ns")
    left = next((end.time_ns for end in edge.ends if end.side == "client"), edge.closed_ns)
    is_gone = (has_failed(edge) and has_left(edge)) or left_before_answer(edge)
    if not is_gone or left is None or asked is None:
        return None
    if origin is None:
        return "request", asked, left
    came, answered = (origin.times.get(name) for name in ("request_in_ns", "response_in_ns"))
    difference = pair.clocks.difference_ns
    if came is not None and came - difference > left:
        return "request", asked, left
    is_answered = answered is not None and origin.response_in is not None
    return ("answer", answered - difference, left) if is_answered and answered is not None else None


def kept_ns(pair: PairFacts) -> int:
    """For how long the hop had had it when the client left; 0 where the hop had passed on all it had."""
    times = _times(pair)
    return 0 if times is None else max(0, pair.certain_ns(times[1], times[2]))


def kept(pair: PairFacts) -> Literal["request", "answer"] | None:
    """What the hop kept to itself for longer than a hop needs to pass it on, until the client left."""
    times = _times(pair)
    is_long = kept_ns(pair) >= _PASSING_NS + pair.clocks.error_ns
    return times[0] if times is not None and is_long else None


def elsewhere(edge: ConnectionFacts) -> str | None:
    """What shows that an answer is of another server behind the hop, where nothing arrived at this one."""
    marks = [mark for mark in answer_marks(edge) if mark.software not in PROXIES]
    is_served = any(one.path.partition("?")[0] == edge.path.partition("?")[0] for one in edge.others)
    return marks[0].evidence if marks and is_served else None
