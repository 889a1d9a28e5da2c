"""A server that is busy with one connection, and answers no other one meanwhile."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.findings.facts import SECOND_NS, ConnectionFacts

#: How soon a worker that was busy with one connection answers the next one.
_NEXT_NS: Final = SECOND_NS


class Busy(NamedTuple):
    """The connection that a server may have been busy with; whether the answer came as that one ended."""

    id: int
    line: str
    is_proven: bool


def busy_with(facts: ConnectionFacts, waited: int) -> Busy | None:
    """A connection that was open all the while a request waited for its answer; None without one.

    Args:
        waited: for how long, in nanoseconds, until the client left.
    """
    asked = facts.times.get("request_out_ns") or facts.attempt_ns
    open_then = [
        one
        for one in facts.others
        if one.open_ns < asked + _NEXT_NS
        and (one.end_ns is None or one.end_ns >= asked + waited)
        and not one.is_taken_back
    ]
    if not open_then:
        return None
    answered = facts.times.get("response_in_ns")
    for one in open_then:
        if answered and one.end_ns is not None and abs(answered - one.end_ns) <= _NEXT_NS:
            return Busy(one.id, f"#{one.id} was open all the while, and the answer came as it ended", True)
    first = open_then[0]
    return Busy(first.id, f"#{first.id} was open all the while", False)


def one_at_a_time(number: int) -> tuple[str, str]:
    """The cause and what tells it apart, with the connection that holds the worker."""
    return (
        f"the server has one worker or thread, and #{number} holds it (gunicorn's and uWSGI's defaults)",
        "with more workers or threads the second connection is answered at once",
    )
