"""The ready scenarios: each is valid, says where its numbers come from, and is on the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.clients.made import facts_of, lost, ns, refused, said, stalled, tried
from wsinspect.clients.expectations import Evidence, Match, read_expectations
from wsinspect.clients.facts import Attempt, Block, Said
from wsinspect.clients.grading import judge
from wsinspect.clients.joining import join
from wsinspect.clients.verdicts import evaluate
from wsinspect.faults.scenarios import load_scenario, scenario_names, scenario_path

PAGE = Path(__file__).parents[3] / "docs" / "check.md"


@pytest.mark.parametrize("name", scenario_names())
def test_a_ready_scenario_is_whole(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name
    assert scenario.source
    assert scenario.warnings == ()
    assert read_expectations(scenario)
    assert scenario.phases, "it would not end by itself"
    assert f"| `{name}` | {scenario.name} |" in PAGE.read_text("utf-8")
    assert scenario_path(name).is_file()


def test_the_questions_that_people_have_are_there() -> None:
    assert {"server-deploy", "laptop-sleep", "half-open", "token-expired", "rolling-restart"} <= set(
        scenario_names()
    )


#: What a client that copes does in each, and one that does not: attempts, and messages on the first one.
Told = tuple[Sequence[Attempt], Sequence[Said]]
ORDERS = [said(at, f'{{"type":"order","id":{at}}}', delivered=at != 3) for at in (1, 2, 3, 4)]
DONE = [said(at, f'{{"type":"done","id":{at}}}') for at in (1, 2, 3)]
CUT = {"by": "fault", "rule": "phase-close", "fault": "close", "how": "close-frame"}
WAIT: dict[str, Any] = {"retry_after_ns": 2_000_000_000}


def rejected(at: float, code: int) -> Attempt:
    return lost(0, at, server_code=code, **CUT)


GOOD: dict[str, Told] = {
    "duplicate-delivery": ([tried(0)], DONE),
    "half-open": ([stalled(0, 3, noticed=20), tried(21)], ()),
    "idle-limit": ([tried(0)], ()),
    "laptop-sleep": ([stalled(0, 3, noticed=8), refused(9, None, after=9.1), tried(19)], ()),
    "lost-message": ([tried(0)], [*ORDERS, said(6, '{"type":"order","id":3,"try":2}')]),
    "rolling-restart": (
        [rejected(3, 1012), *(refused(at) for at in (4.3, 5.7, 11.2, 17.1)), tried(36)],
        (),
    ),
    "server-deploy": ([rejected(3, 1012), *(refused(at, **WAIT) for at in (4, 6.5, 9)), tried(13)], ()),
    "slow-consumer": ([tried(0)], ()),
    "token-expired": ([rejected(3, 4401), refused(4, 401)], ()),
    "train-tunnel": ([stalled(0, 6, noticed=None, until=18)], ()),
    "wifi-to-mobile": ([stalled(0, 3, noticed=30), tried(31)], ()),
}
BAD: dict[str, tuple[Told, set[str]]] = {
    "duplicate-delivery": (([tried(0)], [*DONE, said(5, DONE[2].data)]), {"no_duplicates"}),
    "half-open": (([stalled(0, 3, noticed=None)], ()), {"notices_half_open_within"}),
    "idle-limit": (([lost(0, 60), lost(61, 121), tried(122)], ()), {"attempts_at_most"}),
    "laptop-sleep": (([lost(0, 18)], ()), {"reconnects_within", "gives_up_never"}),
    "lost-message": (([tried(0)], [*ORDERS, said(6, '{"type":"done","id":3}')]), {"no_message_lost"}),
    "rolling-restart": (
        ([rejected(3, 1012), *(refused(3 + at) for at in range(1, 20)), tried(24)], ()),
        {"backoff", "jitter"},
    ),
    "server-deploy": (
        ([rejected(3, 1012), *(refused(3 + at, **WAIT) for at in range(1, 8)), tried(11.1)], ()),
        {"obeys_retry_after"},
    ),
    "slow-consumer": (([lost(0, 4, "client", client_code=1011), tried(5)], ()), {"attempts_at_most"}),
    "token-expired": (
        ([rejected(3, 4401), *(refused(3 + at, 401) for at in range(1, 20))], ()),
        {"attempts_at_most"},
    ),
    "train-tunnel": (
        ([stalled(0, 6, noticed=None, until=18), tried(9, open_ns=ns(18.1))], ()),
        {"no_second_socket"},
    ),
    "wifi-to-mobile": (([stalled(0, 3, noticed=None)], ()), {"notices_half_open_within"}),
}


def failing(name: str, played: Told) -> set[str]:
    """What does not hold for a client."""
    attempts, messages = played
    scenario = load_scenario(name)
    begins, at = [], 0.0
    for number, phase in enumerate(scenario.phases):
        begins.append((ns(at + 0.02), number))
        at += phase.for_ns / 1e9
    refusing = {rule.name for rule in scenario.rules if rule.kind in ("refuse", "hang")}
    blocks = [
        Block(begin, begin + phase.for_ns, rule)
        for (begin, _), phase in zip(begins, scenario.phases, strict=True)
        for rule in phase.rules
        if rule in refusing
    ]
    facts = facts_of(attempts, until=250, talk={attempts[0].id: messages}, blocks=blocks)
    timed = type(facts)(**{**vars(facts), "phases": begins, "phases_end_ns": ns(at)})
    [session] = join(timed.attempts)
    matches = [
        Match(one.id, attempts[0].id, one.direction, one.time_ns, one.data, one.is_delivered)
        for one in messages
    ]
    evidence = Evidence(clients=[judge(session, timed)], facts=timed, matches=lambda _: matches)
    return {one.expectation.key for one in evaluate(read_expectations(scenario), evidence) if not one.held}


@pytest.mark.parametrize("name", scenario_names())
def test_each_tells_who_copes_from_who_does_not(name: str) -> None:
    """`python -m tests.ready_scenarios` plays them with real clients."""
    assert failing(name, GOOD[name]) == set()
    played, expected = BAD[name]
    assert failing(name, played) >= expected
