"""Each expectation: met, not met, and not tested; and what is wrong before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.clients.made import (
    C2S,
    S2C,
    facts_of,
    lost,
    ns,
    refused,
    said,
    stalled,
    tried,
    with_delays,
)
from wsinspect.clients.expectations import (
    KEYS,
    Evidence,
    Match,
    Result,
    expectation_schema,
    read_expectations,
)
from wsinspect.clients.facts import Attempt, Transport
from wsinspect.clients.grading import judge
from wsinspect.clients.joining import join
from wsinspect.clients.verdicts import evaluate
from wsinspect.faults.errors import FaultError
from wsinspect.faults.scenario import load_object, load_text
from wsinspect.findings.model import Finding

SCENARIO = {
    "version": 1,
    "rules": [{"kind": "refuse", "name": "outage", "armed": False}],
    "phases": [
        {"for": "5s"},
        {"do": [{"kind": "abort"}, {"kind": "blackhole"}]},
        {"for": "5s", "rules": ["outage"]},
    ],
}


def judged(
    expectation: dict[str, Any],
    attempts: Sequence[Attempt],
    *,
    matches: Sequence[Match] = (),
    findings: Sequence[Finding] = (),
    **options: Any,
) -> Result:
    """The only result."""
    [one] = read_expectations(load_object({**SCENARIO, "expect": [expectation]}))
    facts = facts_of(attempts, **options)
    clients = [judge(session, facts) for session in join(facts.attempts)]
    evidence = Evidence(clients=clients, facts=facts, findings=findings, matches=lambda _: matches)
    [result] = evaluate([one], evidence)
    return result


def held(expectation: dict[str, Any], attempts: Sequence[Attempt], **options: Any) -> bool | None:
    return judged(expectation, attempts, **options).held


CUT = [lost(0, 5, id=701), tried(8, id=702)]
QUIET = [tried(0, id=703)]
#: Half-open for four seconds, and it survived that.
SAT_OUT = [stalled(0, 5, noticed=None, until=9)]
POLLED = [lost(0, 5), tried(8, id=-7, transport=Transport.POLLING)]
WAIT = {"retry_after_ns": 3_000_000_000}
CASES: list[tuple[dict[str, Any], list[Attempt], bool | None]] = [
    ({"reconnects_within": "4s"}, CUT, True),
    ({"reconnects_within": "2s"}, CUT, False),
    ({"reconnects_within": 4}, QUIET, None),
    ({"reconnects_within": "10s"}, [lost(0, 5), refused(6)], False),
    ({"reconnects_within": "200s"}, [lost(0, 5), refused(6)], None),
    ({"attempts_at_most": 3}, with_delays([1, 2, 3]), True),
    ({"attempts_at_most": 2}, with_delays([1, 2, 3]), False),
    ({"attempts_at_most": 2}, QUIET, None),
    ({"attempts_at_most": 2}, SAT_OUT, True),
    ({"gap_at_least": "1.9s"}, with_delays([0.01, 2, 3]), True),
    ({"gap_at_least": "2.5s"}, with_delays([0.01, 2, 3]), False),
    ({"gap_at_least": "1s"}, CUT, None),
    ({"transport": "websocket"}, CUT, True),
    ({"transport": "websocket"}, POLLED, False),
    ({"transport": "polling"}, POLLED, True),
    ({"transport": "websocket"}, [lost(0, 5), refused(6)], False),
    ({"notices_half_open_within": "10s"}, [stalled(0, 5, noticed=12), tried(13)], True),
    ({"notices_half_open_within": "3s"}, [stalled(0, 5, noticed=12), tried(13)], False),
    ({"notices_half_open_within": "30s"}, [stalled(0, 5, noticed=None)], False),
    ({"notices_half_open_within": "3s"}, [stalled(0, 5, noticed=None, until=9)], False),
    ({"notices_half_open_within": "30s"}, [stalled(0, 5, noticed=None, until=9)], None),
    ({"notices_half_open_within": "30s"}, CUT, None),
    ({"gives_up_never": True}, CUT, True),
    ({"gives_up_never": True}, [lost(0, 5), refused(6)], False),
    ({"gives_up_never": True}, [stalled(0, 5, noticed=None)], False),
    ({"gives_up_never": True}, QUIET, None),
    ({"gives_up_never": True}, SAT_OUT, True),
    ({"gives_up_within": "10s"}, [lost(0, 5), refused(6)], True),
    ({"gives_up_within": "10s"}, [lost(0, 5), refused(6), refused(20)], False),
    ({"gives_up_within": "10s"}, CUT, None),
    ({"gives_up_within": "200s"}, [lost(0, 5), refused(6)], None),
    ({"max_attempts_per_minute": 20}, with_delays([1.0] * 20), True),
    ({"max_attempts_per_minute": 19}, with_delays([1.0] * 20), False),
    ({"max_attempts_per_minute": 5}, QUIET, None),
    ({"max_attempts_per_minute": 5}, SAT_OUT, True),
    ({"backoff": "exponential"}, with_delays([1, 2, 4, 8, 16]), True),
    ({"backoff": "growing"}, with_delays([1, 2, 4, 8, 16]), True),
    ({"backoff": "exponential"}, with_delays([2.0] * 6), False),
    ({"backoff": "fixed"}, with_delays([2.0] * 6), True),
    ({"backoff": "immediate"}, with_delays([0.01] * 6), True),
    ({"backoff": "exponential"}, CUT, None),
    ({"jitter": True}, with_delays([2.0] * 6), False),
    ({"jitter": False}, with_delays([2.0] * 6), True),
    ({"jitter": True}, with_delays([0.01] * 6), False),
    ({"jitter": True}, CUT, None),
    ({"obeys_retry_after": True}, [lost(0, 5), refused(6, **WAIT), tried(9.5)], True),  # type: ignore[arg-type]
    ({"obeys_retry_after": True}, [lost(0, 5), refused(6, **WAIT), tried(7)], False),  # type: ignore[arg-type]
    ({"obeys_retry_after": True}, CUT, None),
    ({"no_retry_on": [401, 4401]}, [lost(0, 5), refused(6, 401)], True),
    ({"no_retry_on": [401, 4401]}, [lost(0, 5), refused(6, 401), refused(7, 401)], False),
    ({"no_retry_on": 4401}, [lost(0, 5, "server", server_code=4401), tried(8)], False),
    ({"no_retry_on": [401]}, CUT, None),
    ({"no_second_socket": True}, CUT, True),
    ({"no_second_socket": True}, [lost(0, 5), tried(6), tried(6.1)], False),
    ({"no_second_socket": True}, QUIET, None),
    ({"no_second_socket": True}, SAT_OUT, True),
    ({"no_second_socket": True}, [lost(0, 5, "client", client_code=1000), tried(8)], True),
    ({"grade_at_least": "A"}, with_delays([1, 2.3, 4.9, 8, 17]), True),
    ({"grade_at_least": "B"}, [lost(0, 5), refused(6), refused(7.5)], False),
    ({"grade_at_least": "C"}, QUIET, None),
    # Filters see no messages of long-polling: nothing is claimed of them.
    ({"resumes_with": "op:text"}, POLLED, None),
    ({"sends": "op:text"}, POLLED, None),
    ({"never_sends": "op:text"}, POLLED, None),
    ({"resumes_with": "op:text"}, CUT, False),
    ({"never_sends": "op:text"}, CUT, True),
]


@pytest.mark.parametrize(("expectation", "attempts", "expected"), CASES, ids=lambda value: str(value)[:60])
def test_of_clients(expectation, attempts, expected):
    result = judged(expectation, attempts)
    assert result.held is expected, result.seen
    assert result.seen
    assert result.word in ("held", "failed", "not tested")


def matched(
    connection: int, at: float, data: str = '{"id":1}', *, direction=C2S, is_delivered: bool = True
) -> Match:
    return Match(said(at, data).id, connection, direction, ns(at), data.encode(), is_delivered)


FILTERS: list[tuple[dict[str, Any], list[Match], bool | None]] = [
    ({"resumes_with": "join"}, [matched(702, 8.1)], True),
    ({"resumes_with": "join"}, [matched(701, 0.1)], False),
    ({"resumes_with": "join"}, [matched(702, 8.1, direction=S2C)], False),
    ({"no_message_lost": "id"}, [matched(701, 4, is_delivered=False), matched(702, 9)], True),
    ({"no_message_lost": "id"}, [matched(701, 4, is_delivered=False)], False),
    ({"no_message_lost": "id"}, [], None),
    # Another message with the same id is not the one that was lost; the same with one more field is.
    (
        {"no_message_lost": "id"},
        [
            matched(701, 4, '{"type":"order","id":1}', is_delivered=False),
            matched(702, 9, '{"type":"done","id":1}'),
        ],
        False,
    ),
    (
        {"no_message_lost": "id"},
        [
            matched(701, 4, '{"type":"order","id":1}', is_delivered=False),
            matched(702, 9, '{"type":"order","id":1,"try":2}'),
        ],
        True,
    ),
    ({"no_duplicates": "id"}, [matched(701, 4), matched(702, 9, '{"id":2}')], True),
    ({"no_duplicates": "id"}, [matched(701, 4), matched(702, 9)], False),
    ({"no_duplicates": "id"}, [matched(701, 4, is_delivered=False), matched(702, 9)], True),
    ({"no_duplicates": "id"}, [], None),
    ({"never_sends": "x"}, [matched(701, 4, direction=S2C)], True),
    ({"never_sends": "x"}, [matched(701, 4)], False),
    ({"never_sends": "x"}, [matched(999, 4)], True),
    ({"sends": "x"}, [matched(701, 4)], True),
    ({"sends": "x"}, [], False),
    ({"sends": "x", "times": 2}, [matched(701, 4)], False),
    ({"sends": "x", "times": 2}, [matched(701, 4), matched(702, 9)], True),
    ({"sends": "x", "at_least": 1, "at_most": 1}, [matched(701, 4), matched(702, 9)], False),
    ({"sends": "x", "at_least": 2}, [matched(701, 4), matched(702, 9)], True),
]


@pytest.mark.parametrize(("expectation", "matches", "expected"), FILTERS, ids=lambda value: str(value)[:60])
def test_of_messages(expectation, matches, expected):
    assert held(expectation, CUT, matches=matches) is expected


def test_resuming_is_not_tested_without_a_reconnect():
    assert held({"resumes_with": "join"}, QUIET, matches=[matched(703, 1)]) is None


@pytest.mark.parametrize(("severity", "expected"), [("error", True), ("warning", False), ("note", False)])
def test_findings(severity, expected):
    facts: dict[str, Any] = {"title": "t", "meaning": "", "confidence": "high", "hop": None, "connection": 1}
    facts |= {"js": "", "evidence": (), "fixes": ()}
    found = [
        Finding(id="WS-CL-001", severity="warning", fault_of="server", **facts),
        Finding(id="WS-TOOL-010", severity="error", fault_of="tool", **facts),
    ]
    result = judged({"no_findings": severity}, QUIET, findings=found)
    assert result.held is expected
    assert result.session is None


def test_phases_count_from_one():
    [one] = read_expectations(load_object({**SCENARIO, "expect": [{"attempts_at_most": 1, "phase": 3}]}))
    attempts = [lost(0, 5), refused(6), refused(7), tried(20)]
    facts = facts_of(attempts)
    phases = [(ns(0), 0), (ns(5), 1), (ns(5), 2)]
    for end, expected in ((ns(6.5), True), (ns(10), False), (None, False)):
        timed = type(facts)(**{**vars(facts), "phases": phases, "phases_end_ns": end})
        clients = [judge(session, timed) for session in join(attempts)]
        [result] = evaluate([one], Evidence(clients=clients, facts=timed))
        assert result.held is expected
    [result] = evaluate([one], Evidence(clients=clients, facts=facts))
    assert result.held is None
    assert "not reached" in result.seen


def test_the_attempt_that_begins_the_phases_is_in_the_first():
    [one] = read_expectations(load_object({**SCENARIO, "expect": [{"attempts_at_most": 1, "phase": 1}]}))
    for attempts, expected in (([tried(0)], True), ([lost(0, 2), tried(3)], False)):
        facts = facts_of(attempts)
        timed = type(facts)(**{**vars(facts), "phases": [(ns(0.02), 0)], "phases_end_ns": ns(10)})
        clients = [judge(session, timed) for session in join(attempts)]
        [result] = evaluate([one], Evidence(clients=clients, facts=timed))
        assert (result.held, result.seen[:1]) == (expected, str(len(attempts)))


def test_every_key_is_tried_here():
    tried_here = {key for case in (*CASES, *FILTERS) for key in case[0]} | {"no_findings"}
    assert set(KEYS) <= tried_here


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        ({"reconnects_fast": 1}, "unknown: 'reconnects_fast'; expected one of reconnects_within"),
        ({"reconnects_within": "soon"}, "expect[0].reconnects_within"),
        ({"reconnects_within": "1s", "jitter": True}, "expected one of"),
        ({"transport": "carrier pigeon"}, "expected websocket or polling"),
        ({"grade_at_least": "G"}, "expected A, B, C, D, E or F"),
        ({"jitter": "yes"}, "expected true or false"),
        ({"gives_up_never": False}, "expected true"),
        ({"no_retry_on": [1]}, "expected statuses and close codes"),
        ({"no_retry_on": []}, "expected statuses and close codes"),
        ({"sends": "len>>"}, "expect[0].sends"),
        ({"sends": ""}, "expected a filter"),
        ({"sends": "x", "times": -1}, "expected a number"),
        ({"jitter": True, "times": 1}, "expected none with jitter"),
        ({"jitter": True, "phase": 1}, "expected none with jitter"),
        ({"attempts_at_most": True}, "expected a whole number"),
        ({"attempts_at_most": 1, "phase": 0}, "expected a number from 1"),
        ({"attempts_at_most": 1, "phase": 9}, "can never be judged: there is no phase 9"),
    ],
)
def test_mistakes(expectation, words):
    with pytest.raises(FaultError) as caught:
        read_expectations(load_object({**SCENARIO, "expect": [expectation]}))
    assert words in str(caught.value)


def test_a_mistake_has_its_line():
    text = "version: 1\nrules: []\nexpect:\n  - {transport: websocket}\n  - {jitter: maybe}\n"
    with pytest.raises(FaultError) as caught:
        read_expectations(load_text(text))
    assert caught.value.line == 5


@pytest.mark.parametrize(
    "key", ["reconnects_within", "backoff", "grade_at_least", "notices_half_open_within"]
)
def test_what_nothing_can_test_is_said_before_the_run(key):
    value = {"backoff": "fixed", "grade_at_least": "A"}.get(key, "1s")
    with pytest.raises(FaultError, match="can never be judged"):
        read_expectations(load_object({"version": 1, "expect": [{key: value}]}))


def test_half_open_needs_something_that_silences():
    only_cut = {
        **SCENARIO,
        "phases": [{"do": {"kind": "abort"}}],
        "expect": [{"notices_half_open_within": "1s"}],
    }
    with pytest.raises(FaultError, match="add a blackhole"):
        read_expectations(load_object({**only_cut, "rules": []}))


def test_json():
    found = judged({"reconnects_within": "2s"}, CUT).as_json()
    assert found["result"] == "failed"
    assert found["connections"] == [701, 702]
    assert found["expectation"] == "reconnects_within: 2s"


def test_the_schema_has_each_key_and_takes_what_is_read():
    schema = expectation_schema()
    assert set(KEYS) < set(schema["properties"])
    for expectation, *_ in (*CASES, *FILTERS):
        for key, value in expectation.items():
            allowed = schema["properties"][key]
            if "enum" in allowed:
                assert value in allowed["enum"]
            if allowed.get("type") == "integer":
                assert isinstance(value, int)
