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


#: Work and tests that take as long each time are over sooner, mostly.
_LEAST_MEANT_NS: Final = 10 * SECOND_NS
#: Some servers look at the ages of their connections every two seconds (daphne).
_COARSE_NS: Final = 2 * SECOND_NS + SECOND_NS // 4
#: By how much a connection outlives the others to show that there is no such limit.
_LONGER: Final = 1.2


@rules(
    "WS-DROP-017",
    "note",
    "server",
    "The server closed several connections at the same age, and gave no reason",
    meaning="Its CLOSE frames say that all is well, and came at one age of the connections, whatever had been"
    " sent. That is work that takes as long each time, or a limit on their age, which pings do not extend.",
    js="close with code 1000 or 1005, wasClean true and no reason: nothing that looks like an error.",
    confidence="low",
    topic="lifetime",
    rows="T2",
    scope="capture",
)
def closed_at_one_age(facts: CaptureFacts) -> Iterator[Found]:
    groups: dict[tuple[str | None, str], list[Summary]] = {}
    for one in facts.connections:
        if one.open_ns is not None:
            groups.setdefault((one.tap, one.place), []).append(one)
    for group in groups.values():
        closed = [one for one in group if _is_closed_mutely(one)]
        ages = sorted((one.closed_ns or 0) - (one.open_ns or 0) for one in closed)
        if len(closed) < LEAST_TOGETHER or ages[0] < _LEAST_MEANT_NS:
            continue
        spread = max(int(ages[-1] * _SAME), min(_COARSE_NS, ages[-1] // 10))
        starts = [one.open_ns or 0 for one in closed]
        if ages[-1] - ages[0] > spread or max(starts) - min(starts) <= 2 * spread:
            continue  # opened together: what ended them may have been one moment
        if any(_lived_ns(one) > _LONGER * ages[-1] for one in group):
            continue
        ids = ", ".join(f"#{one.id}" for one in closed[:8])
        frames = sorted(one.c2s_frames + one.s2c_frames for one in closed)
        yield Found(
            evidence=(
                f"{len(closed)} connections lived {seconds(ages[0])} to {seconds(ages[-1])}: {ids}",
                f"they had carried {frames[0]} to {frames[-1]} frames",
                *(f"known limit: {words(one)}" for one in matching(ages[0] / SECOND_NS, "lifetime")[:4]),
            ),
            causes=(
                Cause(
                    "the server's own limit on a connection's age: an option (daphne --websocket_timeout), a"
                    " deadline, a worker's time limit",
                    "another client, or another path, is closed at the same age",
                ),
                Cause(
                    "the application is done after that time, as intended",
                    "its code; the last messages before the end",
                ),
            ),
            connection=closed[0].id,
        )


def _is_closed_mutely(one: Summary) -> bool:
    """Whether the server closed it with a code that means well and without a reason, and had talked."""
    is_servers = one.ended_by == "server" and one.how == "close-frame" and one.s2c_frames > 1
    return is_servers and one.server_close_code in (None, 1000) and not one.server_close_reason


def _lived_ns(one: Summary) -> int:
    return 0 if one.closed_ns is None or one.open_ns is None else one.closed_ns - one.open_ns


def _of_one_age(group: Sequence[Summary], ages: Sequence[int]) -> tuple[str, ...]:
    return (
        f"{len(group)} connections lived {seconds(min(ages))} to {seconds(max(ages))}",
        *(f"known limit: {words(limit)}" for limit in matching(max(ages) / SECOND_NS, "lifetime")),
    )
