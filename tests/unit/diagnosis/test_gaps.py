"""A silence proves nothing where bytes are missing that could have broken it; nor do those of others."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from tests.support.every_case import every_case
from tests.support.journals import Script, index, text, write_journal
from tests.unit.findings.triggers import CASES
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.registry import diagnose_connection
from wsinspect.wire.opcodes import Direction

SECOND = 10**9
MINUTE = 60 * SECOND


def cut_twice(tmp_path, gap):
    """Two connections that the server's side cut after a minute of silence; the first one may lack bytes."""
    script = Script()
    for number in (1, 2):
        script.open(number)
        script.data(number, 0, text(b"hello"))
        script.data(number, 1, text(b"hello", masked=False))
        if number == 1 and gap:
            script.event(1, "gap", direction=gap, bytes=100, reason="disk full")
        script.now += MINUTE
        script.end(number, "server")
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)
    with Capture.open(path) as capture:
        return FactReader(capture.query).connection(2)


@pytest.mark.parametrize(
    ("gap", "silences"),
    [(None, (True, True)), ("c2s", (False, True)), ("s2c", (True, False))],
)
def test_the_silence_of_another_connection(tmp_path, gap, silences):
    facts = cut_twice(tmp_path, gap)
    (other,) = facts.others
    assert tuple(ns is not None for ns in other.silences) == silences
    assert (other.silence_ns() is None) is (gap is not None)
    (found, *_) = diagnose_connection(facts)
    assert found.id == "WS-DROP-002"
    assert (found.confidence == "high") is any("#1 ended after the same silence" in e for e in found.evidence)
    if gap == "s2c":
        assert not any("#1 ended" in line for line in found.evidence)


def hello(script, number=1):
    script.open(number)
    said(script, number, 0, b"hello")
    said(script, number, 1, b"hello")


def said(script, number, side, payload, **options):
    script.now += 1_000_000
    script.data(number, side, text(payload, masked=not side, **options))


def close(script, side, code):
    said(script, 1, side, code.to_bytes(2), opcode=8)


def idle(script):
    hello(script)
    script.now += MINUTE
    script.end(1, "server")


def equal_silences(script):
    for number in (1, 2):
        hello(script, number)
        script.now += 33 * SECOND
        script.end(number, "server")


def lifetime(script):
    hello(script)
    for _ in range(6):
        script.now += 10 * SECOND
        said(script, 1, 1, b"p", opcode=9)
        said(script, 1, 0, b"p", opcode=10)
    script.now += SECOND // 2
    script.end(1, "server")


def cut_at_once(script):
    script.open(1)
    said(script, 1, 0, b"hello")
    script.end(1, "server")


def reset(script):
    hello(script)
    script.now += 7 * SECOND
    script.end(1, "server", "rst")


def ended(script):
    hello(script)
    script.now += 400_000_000
    script.end(1, "server")


def left(script):
    hello(script)
    script.now += 400_000_000
    script.end(1, "client")


def no_pong(script):
    hello(script)
    said(script, 1, 1, b"p", opcode=9)
    script.now += 20 * SECOND
    close(script, 1, 1011)
    close(script, 0, 1011)
    script.end(1, "server")


def pings_unanswered(script):
    hello(script)
    for _ in range(3):
        script.now += 3 * SECOND
        said(script, 1, 1, b"p", opcode=9)
        said(script, 1, 0, b"hi")
    close(script, 0, 1000)
    close(script, 1, 1000)
    script.end(1, "server")


def wrong_pongs(script):
    hello(script)
    for _ in range(3):
        script.now += 3 * SECOND
        said(script, 1, 1, b"p", opcode=9)
        said(script, 1, 0, b"another", opcode=10)
    close(script, 0, 1000)
    close(script, 1, 1000)
    script.end(1, "server")


def unanswered_close(script):
    hello(script)
    close(script, 0, 1000)
    script.now += 5 * SECOND
    script.end(1, "client")


def client_s_1011(script):
    hello(script)
    close(script, 0, 1011)
    script.end(1, "client")


def unended_message(script):
    hello(script)
    said(script, 1, 1, b"part", fin=False)
    script.now += 5 * SECOND
    close(script, 0, 1000)
    close(script, 1, 1000)
    script.end(1, "server")


def stomp_without_heartbeats(script):
    script.open(1)
    said(script, 1, 0, b"CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")
    said(script, 1, 1, b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0")
    script.now += 47 * SECOND
    script.end(1, "server")


#: What each is without a gap: rules that reason from times, from an order, or from what did not come.
TRAFFIC = {
    idle: "WS-DROP-002",
    equal_silences: "WS-DROP-002",
    lifetime: "WS-DROP-003",
    cut_at_once: "WS-DROP-001",
    reset: "WS-DROP-005",
    ended: "WS-DROP-006",
    left: "WS-DROP-007",
    no_pong: "WS-KA-001",
    pings_unanswered: "WS-KA-006",
    wrong_pongs: "WS-KA-007",
    unanswered_close: "WS-CL-031",
    client_s_1011: "WS-CL-011",
    unended_message: "WS-MS-003",
    stomp_without_heartbeats: "WS-APP-050",
}
#: Where bytes are lost, as a part of what the connection carried.
PLACES = {"before": 0.0, "in": 0.5, "after": 1.0}


def with_gap(steps, side, place):
    """The same with what an engine says after its disk was full, where the connection had carried so much."""
    data = [at for at, step in enumerate(steps) if step.method == "data" and step.arguments[0] == 1]
    at = data[round(place * (len(data) - 1))] + (place == 1.0)
    lost = Script()
    lost.now = steps[at].arguments[-1] if steps[at].method == "event" else steps[at].arguments[3]
    lack: Any = {"bytes": 100, "records": 1, "reason": "No space left on device", "connections": []}
    lost.event(0, "unstored", **lack, streams=[[1, side]], stream_bytes=[100])
    return [*steps[:at], lost.steps[-1], *steps[at:]]


def judged(path, steps):
    write_journal(path, steps)
    index(path)
    with Capture.open(path) as capture:
        facts = FactReader(capture.query).connection(1)
        return facts, [one for one in diagnose(capture.query) if one.connection == 1]


@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda one: one.__name__)
def test_each_reason_from_time_or_absence_is_said_of_whole_streams_alone(tmp_path, traffic):
    script = Script()
    traffic(script)
    steps = script.stop()
    _, whole = judged(tmp_path / "whole.db", steps)
    assert TRAFFIC[traffic] in [one.id for one in whole]
    for name, place in PLACES.items():
        for side in (0, 1):
            facts, found = judged(tmp_path / f"{name}-{side}.db", with_gap(steps, side, place))
            assert facts.gaps == {Direction(side)}
            reasons = (facts.client_close_reason, facts.server_close_reason)
            for one in found:
                family = one.id.split("-")[1]
                # A CLOSE frame is evidence where none can be missing before it.
                is_proven = family in ("HS", "FR", "TOOL") or (family == "CL" and reasons[side] is not None)
                assert is_proven, (name, side, one.id, one.title)


def test_no_rule_reasons_from_what_was_not_stored():
    """What triggers each rule, with bytes missing somewhere: only what is there counts."""
    with every_case(200) as trying:
        for rule in CASES:
            with trying(rule):
                _reasons_from_what_is_there(rule)


def _reasons_from_what_is_there(rule):
    lacks: list[dict[str, Any]] = [
        *({"gaps": frozenset(sides)} for sides in ({C2S}, {S2C}, {C2S, S2C})),
        {"has_lost_records": True},
    ]
    for facts in CASES[rule][0]:
        if not isinstance(facts, ConnectionFacts):
            continue
        for lack in lacks:
            for one in diagnose_connection(replace(facts, **lack)):
                family = one.id.split("-")[1]
                assert family not in ("DROP", "KA", "MS", "APP", "RC", "PAGE"), (rule, lack)
                assert family != "CL" or "gaps" in lack, (rule, lack)
                assert one.id not in ("WS-FR-010", "WS-HS-042"), (rule, lack)


def test_a_close_behind_a_hop_is_not_lost_where_it_may_not_have_been_stored(tmp_path):
    """The origin's attempt is not in the capture; that of a connection nothing is known says why."""
    script = Script()
    script.attempt(1)
    head = b"GET /chat HTTP/1.1\r\nHost: example.test\r\nUpgrade: websocket\r\n\r\n"
    script.head(1, 0, head)
    script.head(1, 1, head)
    lost = {"bytes": 100, "records": 3, "reason": "No space left on device"}
    script.event(0, "unstored", **lost, streams=[], stream_bytes=[], connections=[2])
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)
    with Capture.open(path) as capture:
        reader = FactReader(capture.query)
        assert reader.may_lack_attempts()
        assert reader.may_lack_attempts()
        # An engine writes that it lost something before the records that it had kept.
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE connection SET tap = 'origin' WHERE id = 2")
        assert not reader.may_lack_attempts()
    whole = Script()
    whole.attempt(1)
    write_journal(tmp_path / "b.db", whole.stop())
    index(tmp_path / "b.db")
    with Capture.open(tmp_path / "b.db") as capture:
        assert not FactReader(capture.query).may_lack_attempts()
