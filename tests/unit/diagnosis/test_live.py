"""Findings of an indexer's capture: stored once, the same as afterwards, and cheap where nothing happened."""

import json
import sqlite3
from dataclasses import replace

import pytest

from tests.support.journals import Script, index, text, write_journal
from tests.support.sandwich_lab import told
from tests.unit.findings.facts_made import SECOND, stopped
from tests.unit.findings.triggers import CASES
from wsinspect.capture import schema
from wsinspect.diagnosis import live as live_module
from wsinspect.diagnosis.facts import diagnose
from wsinspect.diagnosis.live import LiveFindings
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection


@pytest.fixture
def capture(tmp_path):
    script = Script()
    for number in (1, 2, 3):
        script.open(number)
        script.data(number, 0, text(b"hello"))
    # 1 ends well, 2 without a CLOSE frame, 3 with a masked frame of the server and one CLOSE alone.
    script.data(1, 0, text(b"\x03\xe8", opcode=8))
    script.data(1, 1, text(b"\x03\xe8", opcode=8, masked=False))
    script.end(1)
    script.end(2, "server")
    script.data(3, 1, text(b"\xff"))
    script.data(3, 0, text(b"\x03\xea", opcode=8))
    script.end(3, "server")
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)
    return path


def look(database, live, numbers=(1, 2, 3)):
    return live.look(numbers, at_ns=5, is_changed=False, is_over=True)


def rows(database):
    return database.execute("SELECT rule, connection_id FROM finding ORDER BY id").fetchall()


def test_what_is_found_live_is_what_is_found_afterwards(capture):
    database = schema.open_for_writing(capture)
    notes = look(database, LiveFindings(database))
    after = diagnose(lambda sql, parameters: database.execute(sql, parameters).fetchall())
    assert sorted(rows(database)) == sorted((one.id, one.connection) for one in after)
    assert {2, 3} == {connection for _, connection in rows(database)}
    assert [note["id"] for note in notes] == [rule for rule, _ in rows(database)]
    stored = [json.loads(detail) for (detail,) in database.execute("SELECT detail FROM finding ORDER BY id")]
    assert [{"event": "finding", "time_ns": 5, **detail} for detail in stored] == notes
    database.close()


def test_a_finding_is_stored_once_whoever_looks_again(capture):
    database = schema.open_for_writing(capture)
    live = LiveFindings(database)
    look(database, live)
    before = rows(database)
    assert look(database, live) == []
    assert look(database, LiveFindings(database, is_restart=True), ()) == []
    assert rows(database) == before
    database.close()


def test_a_restarted_recorder_finds_what_the_killed_one_had_no_time_for(capture):
    database = schema.open_for_writing(capture)
    assert look(database, LiveFindings(database, is_restart=True), ()) != []
    database.close()


def test_a_healthy_connection_is_not_even_read(capture, monkeypatch):
    database = schema.open_for_writing(capture)
    database.execute("UPDATE handshake SET problems = '[]'")  # the script's requests have no key
    live = LiveFindings(database)
    read: list[int] = []

    def judge(number):
        read.append(number)
        return []

    monkeypatch.setattr(live, "_judge", judge)
    look(database, live)
    assert read == [2, 3]
    database.close()


def test_a_database_that_cannot_be_written_is_looked_at_again(capture):
    database = schema.open_for_writing(capture)
    live = LiveFindings(database)
    other = sqlite3.connect(capture, isolation_level=None)
    database.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    assert look(database, live) == []
    other.execute("ROLLBACK")
    assert look(database, live, ()) != []
    other.close()
    database.close()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), ValueError("a bug")])
def test_what_was_stored_is_said_though_the_last_judgement_fails(capture, monkeypatch, capsys, error):
    def fail(*_):
        raise error

    database = schema.open_for_writing(capture)
    monkeypatch.setattr(live_module, "diagnose", fail)
    notes = look(database, LiveFindings(database))
    assert notes
    assert [note["id"] for note in notes] == [rule for rule, _ in rows(database)]
    assert ("ValueError: a bug" in capsys.readouterr().err) == isinstance(error, ValueError)
    database.close()


def page(path):
    return Finding(
        id="WS-PAGE-001",
        severity="note",
        fault_of="client",
        hop=None,
        confidence="high",
        title="A page",
        meaning="It is there. It is seen.",
        evidence=(path,),
        js="Nothing at all here.",
        fixes=(),
    )


def test_what_stays_where_something_else_is_taken_back_is_said_again(capture):
    """Pages have no connection, so a line that takes one back takes them all."""
    database = schema.open_for_writing(capture)
    live = LiveFindings(database)
    place = (None, "WS-PAGE-001")
    printed = live._write({place: [page("/one"), page("/two")]}, 1)
    assert [note["evidence"] for note in printed] == [["/one"], ["/two"]]
    printed += live._write({place: [page("/two")]}, 2)
    assert told(printed) == {("WS-PAGE-001", None)}
    assert printed[-1]["evidence"] == ["/two"]
    assert live._write({place: [page("/two")]}, 3) == []
    printed += live._write({place: []}, 4)
    assert told(printed) == set() == set(rows(database))
    database.close()


def test_of_one_rule_several_are_kept_however_often_they_are_written(capture):
    """One rule about both directions, or at both hops of a chain."""
    database = schema.open_for_writing(capture)
    live = LiveFindings(database)
    lost = replace(page("c>s: 1 lost"), id="WS-MS-102", connection=1)
    other = replace(lost, evidence=("s>c: 2 lost",))
    place = 1, "WS-MS-102"
    printed = live._write({place: [lost, other, lost]}, 1)
    assert [note["evidence"] for note in printed] == [["c>s: 1 lost"], ["s>c: 2 lost"]]
    assert live._write({place: [lost, other]}, 2) == []
    # More evidence is stored and no news; nor which of them comes first.
    grown = replace(other, evidence=("s>c: 3 lost",))
    assert live._write({place: [lost, grown]}, 3) == []
    assert live._write({place: [grown, lost]}, 4) == []
    details = database.execute("SELECT detail FROM finding WHERE rule = 'WS-MS-102'").fetchall()
    assert sorted(json.loads(one)["evidence"][0] for (one,) in details) == ["c>s: 1 lost", "s>c: 3 lost"]
    # A new title is news, and its line takes back the other one, too: that is said again.
    renamed = replace(grown, title="Another name")
    again = live._write({place: [lost, renamed]}, 5)
    assert [note["title"] for note in again] == ["A page", "Another name"]
    assert [note.get("replaces") for note in again] == [[{"connection": 1, "id": "WS-MS-102"}], None]
    # So is the one that stays where the other is taken back.
    left = live._write({place: [renamed]}, 6)
    assert [(note["title"], bool(note.get("replaces"))) for note in left] == [("Another name", True)]
    assert rows(database) == [("WS-MS-102", 1)]
    database.close()


def test_connections_that_are_skipped_are_those_without_findings(capture):
    """The statement that leaves connections out against every rule's traffic (see `_is_uneventful`)."""
    triggers = [(rule, facts) for rule, (cases, _) in CASES.items() for facts in cases]
    connections = [(rule, facts) for rule, facts in triggers if isinstance(facts, ConnectionFacts)]
    assert len(connections) > 100
    assert {rule for rule, facts in connections if _is_uneventful(facts)} == set()


@pytest.mark.parametrize("after_s", [0, 3, 61, 3600])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_what_the_proxy_ended_and_is_skipped_are_connections_without_findings(how, after_s):
    """The same of each rule's traffic, as if the proxy had been stopped before anybody closed."""
    said, skipped = set(), 0
    for triggers, silent_ones in CASES.values():
        for facts in (*triggers, *silent_ones):
            if isinstance(facts, ConnectionFacts) and facts.was_open:
                cut = stopped(facts, how, after_s * SECOND)
                if _is_stopped_quietly(cut):
                    skipped += 1
                    said |= {one.id for one in diagnose_connection(cut)}
    assert said == set()
    assert skipped > 50


def _is_stopped_quietly(facts):
    """`queries.facts.eventful` in other words, of what the proxy ended."""
    texts = [one.data for one in (*facts.first, *facts.last) if one.direction == 1]
    began = facts.first[0].direction == 0 if facts.first else False
    is_quiet = (
        (facts.ended_by, facts.how, facts.state) in {("proxy", how, "closed") for how in ("fin", "rst")}
        and not facts.has_close
        and not any(b"error" in text or b"disconnect" in text for text in texts)
        and (facts.frames[0] > 1 or not facts.frames[1] or began)
        and not facts.unrecorded  # an import is known by an event, or by what its file says that it lacks
        and {kind for kind, _ in facts.events} <= {"attempt", "server", "open", "end", "closed", "http"}
    )
    polite = {"how": "close-frame", "ended_by": "client", "js_was_clean": True}
    return is_quiet and _is_uneventful(
        replace(facts, **polite, client_close_reason="", server_close_reason="")
    )


def _is_uneventful(facts):
    """`queries.facts.eventful` in other words, for facts that are in no capture."""
    is_polite = (
        facts.state == "closed"
        and facts.how == "close-frame"
        and facts.js_was_clean
        and facts.client_close_code in (None, 1000, 1001)
        and facts.server_close_code in (None, 1000)
        and facts.client_close_reason == facts.server_close_reason == ""
        and facts.ended_by == "client"
        and all(ping.pong_id is not None for ping in facts.pings)
        and not {kind for kind, _ in facts.events} & {"stalled", "early_data"}
        and not (facts.first and b'"protocol":"' in facts.first[0].data)
        and not (facts.first and b"xmpp-framing" in facts.first[0].data)
    )
    said = (facts.negotiation.subprotocol or "").lower()
    speaks = any(
        word in said for word in ("actioncable", "graphql", "mqtt", "stomp", "xmpp", "ocpp", "ircv3")
    )
    speaks |= bool(facts.first) and b'"BootNotification"' in facts.first[0].data
    speaks |= any(word in facts.path for word in ("EIO=", "vsn=", "id="))
    speaks |= facts.host.endswith(".amazonaws.com")
    speaks |= bool(facts.negotiation.subprotocols_offered) and not said
    is_well = facts.status == 101 and not facts.negotiation.problems and not facts.informational
    is_well &= not (facts.violations or facts.problems or facts.opaque)
    answer, asked = (str(facts.negotiation.extensions), facts.raw_request_in or b"")
    is_well &= "client_max_window_bits" not in answer or b"client_max_window_bits" in asked
    is_well &= not (facts.server_tls or {}).get("verify_error")
    is_well &= "EM OV TLS CA - G3C" not in str(facts.server_tls)
    is_forwarded = facts.listener is not None and not facts.listener.endswith(f":{facts.port}")
    is_well &= not (is_forwarded and b"origin:" in asked.lower())
    return is_polite and is_well and not speaks


def test_what_is_read_to_diagnose_grows_with_connections_and_not_with_their_frames(tmp_path):
    """Counted in steps of SQLite's machine; a million frames take seconds because of it."""
    short, long = (steps_of_diagnosis(tmp_path / f"{each}.db", 20, each) for each in (200, 2000))
    assert long < 1.5 * short
    few, many = (steps_of_diagnosis(tmp_path / f"{each} connections.db", each, 40) for each in (30, 300))
    assert many < 15 * few


def steps_of_diagnosis(path, connections, frames_each):
    """How many hundred steps SQLite takes for all that `diagnose` asks of healthy connections."""
    schema.create(path)
    database = schema.open_for_writing(path)
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO connection (id, state, attempt_ns, open_ns, closed_ns, c2s_frames, s2c_frames) "
        "VALUES (?, 'closed', 1, 2, 9, ?, ?)",
        ((number, frames_each // 2, frames_each // 2) for number in range(1, connections + 1)),
    )
    database.executemany(
        "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
        "wire_length, payload, message_id) VALUES (?, ?, ?, 33088, ?, 0, 0, x'8140', 66, zeroblob(64), ?)",
        (
            (number, number % connections + 1, number // connections & 1, number, number)
            for number in range(1, connections * frames_each + 1)
        ),
    )
    database.execute("COMMIT")
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    database.set_progress_handler(count, 100)
    assert diagnose(lambda sql, parameters: database.execute(sql, parameters).fetchall()) == []
    database.close()
    return steps


def test_a_storm_that_continues_is_one_finding_whichever_attempt_it_names(tmp_path):
    path = tmp_path / "storm.db"
    write_journal(path, Script().stop())
    index(path)
    database = schema.open_for_writing(path)

    def attempt(number, state="refused"):
        at = number * 10**8
        row = (number, "127.0.0.1:5000", "ws", "a.test", 80, "/ws", 502, state, at, at + 1000)
        names = "id, client, scheme, host, port, path, status, state, attempt_ns, closed_ns"
        database.execute(f"INSERT OR REPLACE INTO connection ({names}) VALUES ({', '.join('?' * 10)})", row)
        return number

    live = LiveFindings(database)
    attempt(1, "connecting")
    look(database, live, [attempt(number) for number in range(2, 9)])
    assert ("WS-RC-001", 2) in rows(database)
    # What is known of the first comes late, and a restarted recorder looks, too.
    look(database, live, [attempt(1)])
    look(database, LiveFindings(database, is_restart=True), [attempt(9)])
    assert [rule for rule, _ in rows(database)].count("WS-RC-001") == 1
    database.close()


@pytest.mark.parametrize(("took", "is_idle", "expected"), [(0.01, False, 5), (1.0, False, 1), (1.0, True, 5)])
def test_looks_at_the_whole_capture_take_a_small_share_of_a_recorder_that_is_behind(
    capture, monkeypatch, took, is_idle, expected
):
    """Where one takes long, the next waits longer; but not while nothing else is to be done."""
    database = schema.open_for_writing(capture)
    now, looked = 100.0, []

    def judge(facts):
        nonlocal now
        now += took
        looked.append(now)
        return []

    monkeypatch.setattr(live_module, "diagnose_capture", judge)
    live = LiveFindings(database, clock=lambda: now)
    for _ in range(5):
        live.look((1,), at_ns=5, is_changed=True, is_idle=is_idle)
        now += live_module.CAPTURE_SECONDS
    assert len(looked) == expected
    database.close()
