"""What there is to send of a capture that grows: each connection and each number once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.chats import Chat, chat_capture
from tests.support.journals import index, write_journal
from wsinspect.capture.queries.telemetry import Marks, marks_before_run
from wsinspect.capture.reader import Capture
from wsinspect.telemetry.following import SETTLE_NS, Follower

NOTHING = Marks(0, 0, 0, 0)


class Numbers:
    """Adds up what is counted."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[object, ...]] = Counter()

    def began(self, tap) -> None:
        self.counts["active", tap] += 1

    def ended(self, one) -> None:
        self.counts["active", one.tap] -= 1
        self.counts["ended", one.state] += 1

    def deleted(self, tap) -> None:
        self.counts["active", tap] -= 1

    def passed(self, tap, side, opcode, frames, size) -> None:
        self.counts["frames", side, opcode] += frames
        self.counts["bytes", side] += size

    def round_trip(self, tap, leg, rtt_ns) -> None:
        self.counts["rtt", leg, rtt_ns] += 1

    def found(self, rule, severity) -> None:
        self.counts["finding", rule] += 1

    def fault(self, rule, kind, count) -> None:
        self.counts["fault", rule, kind] += count


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


def look(path: Path, follower: Follower, now_ns: int, *, is_last: bool = False):
    with Capture.open(path) as capture:
        return [*follower.look(capture, now_ns, is_last=is_last)]


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(sql)
        database.commit()


def test_a_whole_capture_is_sent_in_one_look(tmp_path, numbers):
    path = chat_capture(tmp_path / "a.db")
    found = look(path, Follower("a", NOTHING, numbers, {}), 1, is_last=True)
    assert [one.attributes["wsinspect.connection"] for one in found] == [1, 2]
    assert numbers.counts["frames", 0, 1] == numbers.counts["frames", 1, 1] == 1
    assert (numbers.counts["bytes", 0], numbers.counts["bytes", 1]) == (47, 43)
    assert numbers.counts["rtt", "client", 1_000_000] == 1
    assert (numbers.counts["ended", "closed"], numbers.counts["ended", "refused"]) == (1, 1)
    assert numbers.counts["active", None] == 0


def grow(path: Path, script: Chat) -> None:
    """Index what a script has so far; the engine is still there."""
    write_journal(path, script.steps)
    index(path, is_over=False)


def test_each_thing_is_sent_once_while_a_capture_grows(tmp_path, numbers):
    path, follower = tmp_path / "a.db", Follower("a", NOTHING, numbers, {})
    script = Chat()
    script.accept(1)
    script.client(1, b"one")
    script.server(1, b"p", opcode=9)
    grow(path, script)
    assert look(path, follower, 1) == []
    assert look(path, follower, 2) == []
    assert numbers.counts["active", None] == 1
    assert numbers.counts["frames", 0, 1] == 1
    change(path, "UPDATE connection SET state = 'closed', closed_ns = open_ns + 5, js_code = 1000")
    change(
        path,
        "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
        "wire_length, payload) VALUES (3, 1, 0, 35457, 9, 0, 0, x'8a81', 7, x'')",
    )
    change(path, "UPDATE ping SET pong_frame = 3, rtt_ns = 5")
    assert look(path, follower, 10) == []
    assert look(path, follower, 10 + SETTLE_NS - 1) == []
    (span,) = look(path, follower, 10 + SETTLE_NS)
    assert span.attributes["websocket.close.code"] == 1000
    assert look(path, follower, 99 + SETTLE_NS, is_last=True) == []
    assert numbers.counts["frames", 0, 10] == 1
    assert numbers.counts["rtt", "client", 5] == 1
    assert (numbers.counts["active", None], numbers.counts["ended", "closed"]) == (0, 1)


def add_finding(path: Path, rule: str, connection: int | None) -> None:
    of = "NULL" if connection is None else connection
    change(
        path,
        "INSERT INTO finding (rule, severity, connection_id, detail) "
        f"VALUES ('{rule}', 'error', {of}, '{{}}')",
    )


def events(span) -> list[object]:
    return [one.attributes["wsinspect.finding.id"] for one in span.events if one.name == "finding"]


def test_a_finding_is_in_its_connections_span_or_a_span_of_its_own(tmp_path, numbers):
    path, follower = chat_capture(tmp_path / "a.db"), Follower("a", NOTHING, numbers, {})
    assert look(path, follower, 1) == []
    add_finding(path, "WS-A", 1)
    sent = look(path, follower, 1 + SETTLE_NS)
    assert [events(one) for one in sent] == [["WS-A"], []]
    add_finding(path, "WS-B", 1)
    add_finding(path, "WS-C", None)
    late = look(path, follower, 2 + SETTLE_NS, is_last=True)
    assert [(one.name, one.context.parent_id is None) for one in late] == [
        ("wsinspect finding WS-B", False),
        ("wsinspect finding WS-C", True),
    ]
    assert late[0].context.parent_id == sent[0].context.span_id
    assert [numbers.counts["finding", rule] for rule in ("WS-A", "WS-B", "WS-C")] == [1, 1, 1]


def test_a_connection_that_was_deleted_to_make_room_is_not_waited_for(tmp_path, numbers):
    path, follower = tmp_path / "a.db", Follower("a", NOTHING, numbers, {})
    script = Chat()
    script.accept(1)
    grow(path, script)
    assert look(path, follower, 1) == []
    change(path, "DELETE FROM connection")
    add_finding(path, "WS-A", 1)
    assert [one.name for one in look(path, follower, 1 + 2 * SETTLE_NS)] == []
    assert [one.name for one in look(path, follower, 1 + 9 * SETTLE_NS, is_last=True)] == []
    assert numbers.counts["active", None] == 0


def test_what_an_earlier_run_had_is_not_sent_again(tmp_path, numbers):
    path = chat_capture(tmp_path / "a.db")
    add_finding(path, "WS-OLD", 1)
    change(
        path,
        "INSERT INTO meta SELECT 2, key, "
        "CASE key WHEN 'started_ns' THEN value + 3600000000000 ELSE value END FROM meta",
    )
    change(
        path,
        "INSERT INTO connection (id, attempt_ns, state) "
        "SELECT 3, attempt_ns + 7200000000000, 'failed' FROM connection WHERE id = 1",
    )
    with Capture.open(path) as capture:
        marks = marks_before_run(capture)
    assert marks == Marks(2, 7, 1, 0)
    (span,) = look(path, Follower("a", marks, numbers, {}), 1, is_last=True)
    assert span.attributes["wsinspect.connection"] == 3
    assert numbers.counts["frames", 0, 1] == 0
    assert numbers.counts["finding", "WS-OLD"] == 0
