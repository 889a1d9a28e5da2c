"""Connections that end at one age: a lifetime limit, of a hop or of the server itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import SECOND_NS, CaptureFacts, Summary
from wsinspect.findings.lag import blur_ns
from wsinspect.findings.limits import matching, words
from wsinspect.findings.model import Cause, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.drops import JS, LEAST_TOGETHER, was_dropped

rules = Rules()

#: Ages that differ by no more are one.
_SAME: Final = 0.02


@rules(
    "WS-DROP-008",
    "error",
    "hop",
    "Several connections ended at the same age",
    meaning="They ended without a CLOSE frame at the same age, though they had carried data at different"
    " times. That is a lifetime limit, of a hop or of the server itself, and pings do not extend it.",
    js=JS,
    topic="lifetime",
    rows="T2",
    scope="capture",
)
def same_age(facts: CaptureFacts) -> Iterator[Found]:
    cut: dict[tuple[str | None, str | None], list[Summary]] = {}
    for one in facts.connections:
        is_bare = one.server_close_code is None and one.client_close_code is None
        if was_dropped(one) and is_bare and one.s2c_frames > 1:
            cut.setdefault((one.tap, one.host), []).append(one)
    for group in cut.values():
        if (ages := _one_age(facts, group)) is not None:
            yield Found(
                evidence=_of_one_age(group, ages),
                confidence="medium",
                causes=(_HOPS_LIMIT, _SERVERS_LIMIT),
                connection=group[0].id,
                covers=tuple(
                    (one.id, rule) for one in group for rule in ("WS-DROP-003", "WS-DROP-005", "WS-DROP-006")
                ),
            )


_HOPS_LIMIT: Final = Cause(
    "a hop's limit on how long a connection may live",
    "it works without that hop; a tap right before the server shows no such end",
)
_SERVERS_LIMIT: Final = Cause(
    "the server's own limit: a deadline of the request or its context, a worker's time limit, an option",
    "a tap right before the server shows the same end",
)


def _one_age(facts: CaptureFacts, group: Sequence[Summary]) -> list[int] | None:
    """The ages, in nanoseconds, of connections that ended at one age and not at one moment; or None."""
    ages = [((one.closed_ns or 0) - (one.open_ns or 0)) for one in group]
    starts = [one.open_ns or 0 for one in group]
    if len(group) < LEAST_TOGETHER or min(ages) < SECOND_NS or max(ages) - min(ages) > max(ages) * _SAME:
        return None
    blurs = [blur_ns(facts.lags, one.open_ns or 0, one.closed_ns or 0) for one in group]
    if max(blurs) > max(ages) * _SAME:
        return None  # this proxy read some of their ends late, so their ages are not known that well
    # Opened together: a cluster, or an idle timeout, looks the same.
    return None if max(starts) - min(starts) <= max(ages) * 2 * _SAME else ages


def _of_one_age(group: Sequence[Summary], ages: Sequence[int]) -> tuple[str, ...]:
    return (
        f"{len(group)} connections lived {seconds(min(ages))} to {seconds(max(ages))}",
        *(f"known limit: {words(limit)}" for limit in matching(max(ages) / SECOND_NS, "lifetime")),
    )
