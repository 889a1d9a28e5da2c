"""Attempts that follow each other too fast, too often, or without a chance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import SECOND_NS, CaptureFacts, Summary
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

_COUNT: Final = 6
_WINDOW_NS: Final = 15 * SECOND_NS
_SHORT_NS: Final = 2 * SECOND_NS
_FATAL_CODES: Final = frozenset(
    {1002, 1003, 1007, 1008, 1010, 3000, 3003, 4001, 4003, 4400, 4401, 4403, 4404, 4406}
)
_FATAL_STATUS: Final = frozenset({400, 401, 403, 404, 426})


def whose(one: Summary) -> str:
    """The first line of evidence: whose attempts, and where; the same each time a series is looked at."""
    return f"from {one.client_host} to {one.place}"


def _is_failure(one: Summary) -> bool:
    """Refused, failed, or ended soon and not by the client's wish.

    Also where a fault of ours refused it: how soon the client tries again is its own choice. Where one only
    changed the handshake, the failure is its consequence.
    """
    if one.is_faulted and one.ended_by != "fault":
        return False
    if one.open_ns is None:
        return one.has_failed
    if one.is_faulted:
        return False
    lived = (one.closed_ns or 0) - one.open_ns if one.closed_ns is not None else None
    return (
        lived is not None and lived < _SHORT_NS and one.ended_by == "server" and one.server_close_code != 1000
    )


def _one_after_another(run: list[Summary]) -> bool:
    """Whether each began after the one before had ended: several clients of one machine overlap."""
    return all(
        before.closed_ns is not None and after.attempt_ns >= before.closed_ns
        for before, after in pairwise(run)
    )


@rules(
    "WS-RC-001",
    "warning",
    "client",
    "A reconnect storm: attempts in quick succession without backoff",
    meaning="The client retries at once each time it fails. Many clients doing this keep a recovering server"
    " down: add a backoff with jitter.",
    js="A series of close events, each followed by a new socket.",
    topic="backoff",
    rows="T9 H35",
    scope="capture",
)
def storm(facts: CaptureFacts) -> Iterator[Found]:
    for series in facts.series:
        for start in range(len(series) - _COUNT + 1):
            run = series[start : start + _COUNT]
            gaps = [b.attempt_ns - a.attempt_ns for a, b in pairwise(run)]
            if run[-1].attempt_ns - run[0].attempt_ns > _WINDOW_NS or not all(map(_is_failure, run)):
                continue
            if gaps[-1] > 1.7 * max(gaps[0], 1) or not _one_after_another(run):
                continue
            shown = ", ".join(map(seconds, gaps))
            # The first in a row: so two taps, and two looks at a growing storm, name the same attempt.
            while start and _is_failure(series[start - 1]):
                start -= 1
            yield Found(
                evidence=(
                    whose(run[0]),
                    f"{len(series)} attempts, with gaps of {shown}",
                    f"first of them #{run[0].id}, answered {run[0].status or run[0].error or run[0].how}",
                    *(("a fault rule refused them",) if run[0].is_faulted else ()),
                ),
                connection=series[start].id,
            )
            break


@rules(
    "WS-RC-003",
    "warning",
    "client",
    "The client retries what a retry cannot fix",
    meaning="Attempt after attempt is refused for the same lasting reason (credentials, path, protocol), and"
    " the client keeps trying. It should stop and report it until something has changed.",
    js="A series of close events, each followed by a new socket.",
    topic="backoff",
    rows="T9",
    scope="capture",
)
def in_vain(facts: CaptureFacts) -> Iterator[Found]:
    for series in facts.series:
        run: list[Summary] = []
        for one in series:
            reason = _lasting(one)
            run = [*run, one] if reason is not None and (not run or reason == _lasting(run[-1])) else []
        if len(run) >= 4 and _one_after_another(run[-4:]):
            yield Found(
                evidence=(
                    whose(run[0]),
                    f"{len(run)} attempts, each ended with {_lasting(run[0])}",
                ),
                connection=run[0].id,
            )


def _lasting(one: Summary) -> int | None:
    """The status or code of an end that a retry cannot cure; None for others, and for what a fault did."""
    if one.is_faulted:
        return None
    if one.open_ns is None:
        return one.status if one.status in _FATAL_STATUS else None
    return one.server_close_code if one.server_close_code in _FATAL_CODES else None


@rules(
    "WS-RC-002",
    "note",
    "client",
    "The same client holds several sockets with the same token",
    meaning="Sockets with the very same URL, token included, are open at once from one address. The page"
    " opened a second one without closing the first.",
    js="Each message arrives twice.",
    topic="duplicates",
    rows="T9",
    confidence="low",
    scope="capture",
)
def duplicates(facts: CaptureFacts) -> Iterator[Found]:
    for series in facts.series:
        by_path: dict[str, list[Summary]] = {}
        for one in series:
            if one.open_ns is not None and "token=" in one.path:
                by_path.setdefault(one.path, []).append(one)
        for group in by_path.values():
            for before, after in pairwise(group):
                is_overlap = before.closed_ns is None or before.closed_ns > (after.open_ns or 0) + SECOND_NS
                if is_overlap and after.attempt_ns - before.attempt_ns < 30 * SECOND_NS:
                    yield Found(
                        evidence=(f"#{before.id} and #{after.id} to {after.place}, open at the same time",),
                        connection=after.id,
                    )
                    return
