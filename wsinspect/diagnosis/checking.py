"""Expectations judged on a capture: its clients, its findings, and the messages that filters let pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsinspect.capture.filtering import FrameScan
from wsinspect.capture.queries import clients as rows
from wsinspect.capture.reader import Capture
from wsinspect.clients.expectations import Evidence, Expectation, Match, Result
from wsinspect.clients.grading import Client, judge
from wsinspect.clients.joining import join
from wsinspect.clients.verdicts import evaluate
from wsinspect.diagnosis.clients import read_facts
from wsinspect.diagnosis.facts import diagnose
from wsinspect.faults.sessions import SessionBy
from wsinspect.filters.language import parse
from wsinspect.vocabulary import Direction

#: Matches looked at for one filter, and bytes of each.
_MOST_MATCHES, _CUT = 50_000, 4096
_PAGE: Final = 500


def check_capture(
    capture: Capture,
    expectations: Sequence[Expectation],
    by: SessionBy | None = None,
    *,
    until_ns: int | None = None,
    noise_ns: int = 0,
) -> tuple[list[Client], list[Result]]:
    """The clients of a capture, and how they met the expectations.

    Args:
        by: what tells clients apart.
        until_ns: the present, for a capture that is still being written.
        noise_ns: how late timers were on this machine, where somebody has measured it.
    """
    facts = read_facts(capture, by, until_ns=until_ns, noise_ns=noise_ns)
    clients = [judge(session, facts) for session in join(facts.attempts)]
    known: dict[str, list[Match]] = {}

    def matches(expression: str) -> list[Match]:
        if expression not in known:
            known[expression] = _matches(capture, expression)
        return known[expression]

    wants_findings = any(one.key == "no_findings" for one in expectations)
    evidence = Evidence(
        clients=clients,
        facts=facts,
        findings=diagnose(capture.query) if wants_findings else (),
        matches=matches,
    )
    return clients, evaluate(expectations, evidence)


def _matches(capture: Capture, expression: str) -> list[Match]:
    ids: list[int] = []
    for batch in FrameScan(capture, parse(expression)).batches():
        ids += batch.ids
        if len(ids) > _MOST_MATCHES:
            break
    found: list[Match] = []
    for at in range(0, len(ids), _PAGE):
        found += map(_match, rows.frames_with_content(capture.query, ids[at : at + _PAGE], _CUT))
    return found


def _match(row: tuple[Any, ...]) -> Match:
    frame_id, connection, side, time_ns, sent_after, data = row
    return Match(
        frame_id,
        connection,
        Direction(bool(side)),
        time_ns,
        data if isinstance(data, bytes) else str(data or "").encode("utf-8", "replace"),
        isinstance(sent_after, int) and sent_after >= 0,
    )
