"""The indexer: each record once in rows; frames, messages, pings and endings; restarts anywhere."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import (
    KEY,
    START_NS,
    Script,
    dump,
    index,
    is_sound,
    need,
    random_script,
    read_all,
    text,
    write_journal,
)
from wsinspect.capture import schema
from wsinspect.capture.missing import Gap, lacks, missing
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.journal.format import Position, journal_directory
from wsinspect.journal.reader import JournalReader
from wsinspect.recorder import connections, streams
from wsinspect.recorder import indexer as writer
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.opening import open_capture
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def made_of(path: Path, script: Script) -> Capture:
    write_journal(path, script.stop())
    index(path)
    assert is_sound(path)
    return open_capture(path)


def only(capture: Capture) -> Connection:
    (connection,) = capture.connections()
    return connection


# -- frames and messages


def test_frames_hold_what_was_on_the_wire(path):
    script = Script()
    script.open(1)
    wire = text(b"hello") + text(b"\0\1", opcode=2, fin=False) + text(b"", opcode=0)
    at = script.now
    script.data(1, 0, wire[:3])
    script.data(1, 0, wire[3:], sent_after_ns=700)
    script.data(1, 1, text(b"back", masked=False))
    with made_of(path, script) as capture:
        first, second, third, back = capture.frames(1)
        assert (first.id, second.id, third.id, back.id) == (1, 2, 3, 4)
        assert (first.direction, back.direction) == (C2S, S2C)
        assert (first.header, first.payload, first.wire_length) == (b"\x81\x85" + KEY, b"hello", 11)
        assert (first.first_ns, first.time_ns, first.sent_ns) == (at, at + 1000, at + 1700)
        assert (second.first_ns, second.time_ns) == (at + 1000, at + 1000)
        assert (first.fin, first.opcode, first.masked, first.mask_key, first.length) == (
            True,
            1,
            True,
            KEY,
            5,
        )
        assert (second.fin, second.opcode, third.fin, third.opcode) == (False, 2, True, 0)
        assert (back.masked, back.mask_key, back.rsv1, back.rsv2, back.rsv3) == (
            False,
            None,
            False,
            False,
            False,
        )
        assert [frame.message_id for frame in (first, second, third, back)] == [1, 2, 2, 4]
        columns = "direction, fin, rsv1, rsv2, rsv3, opcode, masked, mask_key, length, first_ns, sent_ns"
        (row,) = capture.query(f"SELECT {columns} FROM frame WHERE id = 2")
        assert row == ("c2s", 0, 0, 0, 0, 2, 1, KEY, 2, at + 1000, at + 1700)


def test_messages_are_grouped_across_control_frames(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"one ", fin=False) + text(b"p", opcode=9) + text(b"two", opcode=0) + text(b"x"))
    with made_of(path, script) as capture:
        grouped, single = capture.messages(1)
        assert (grouped.id, grouped.first_frame, grouped.last_frame, grouped.length) == (1, 1, 3, 7)
        assert (grouped.opcode, grouped.compressed, grouped.data, grouped.valid_text) == (
            1,
            False,
            None,
            True,
        )
        assert capture.message_payload(grouped) == b"one two"
        assert capture.message_payload(grouped, limit=2) == b"on"
        assert (single.id, single.first_frame, single.last_frame, single.length) == (4, 4, 4, 1)
        assert capture.message(4) == single
        assert capture.message(2) is None
        assert [message.id for message in capture.messages(after=1)] == [4]


def test_compressed_messages_are_inflated(path):
    deflate = zlib.compressobj(wbits=-15)
    script = Script()
    script.open(1, deflate=True)
    for words in (b"again and again and again", b"again and again"):
        body = deflate.compress(words) + deflate.flush(zlib.Z_SYNC_FLUSH)
        script.data(1, 1, text(body[:-4], masked=False, rsv=4))
    with made_of(path, script) as capture:
        first, second = capture.messages(1)
        assert (first.compressed, first.data, first.length) == (True, b"again and again and again", 25)
        assert capture.message_payload(second) == b"again and again"
        assert capture.frames(1)[0].rsv1
        assert only(capture).extensions == "permessage-deflate"


def test_inflated_data_beyond_the_cap_are_not_kept(path):
    deflate = zlib.compressobj(wbits=-15)
    script = Script(meta={"inflate_cap": 1000})
    script.open(1, deflate=True)
    body = deflate.compress(b"\0" * 5000) + deflate.flush(zlib.Z_SYNC_FLUSH)
    script.data(1, 1, text(body[:-4], masked=False, rsv=4))
    with made_of(path, script) as capture:
        (message,) = capture.messages(1)
        assert (message.data, message.length, message.problem) == (None, 5000, "over-cap")


def test_snaplen_cuts_payloads_and_data_but_not_facts(path):
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(b"abcdefgh" * 10) + deflate.flush(zlib.Z_SYNC_FLUSH)
    script = Script(meta={"snaplen": 4})
    script.open(1, deflate=True)
    script.data(1, 0, text(b"0123456789"))
    script.data(1, 1, text(body[:-4], masked=False, rsv=4))
    script.data(1, 1, b"\x82\x7f" + b"\xff" * 8 + b"rest")
    with made_of(path, script) as capture:
        plain, compressed = capture.frames(1)
        assert (plain.payload, plain.length, plain.wire_length) == (b"0123", 10, 16)
        assert len(compressed.payload) == 4
        one, two = capture.messages(1)
        assert (one.length, capture.message_payload(one)) == (10, b"0123")
        assert (two.data, two.length) == (b"abcd", 80)
        (opaque,) = capture.opaque(1)
        assert (len(opaque.data), opaque.length) == (4, 14)


def test_violations_are_facts_and_reading_goes_on(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"no mask", masked=False) + text(b"r", opcode=3) + text(b"\xff") + text(b"fine"))
    with made_of(path, script) as capture:
        frames = capture.frames(1)
        assert [frame.payload for frame in frames] == [b"no mask", b"r", b"\xff", b"fine"]
        assert [bool(frame.violation) for frame in frames] == [True, True, True, False]
        messages = capture.messages(1)
        assert [(message.id, message.valid_text) for message in messages] == [
            (1, True),
            (3, False),
            (4, True),
        ]


def test_bytes_after_lost_boundaries_are_opaque(path):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"ok", masked=False) + b"\x82\x7f" + b"\xff" * 8 + b"rest")
    script.data(1, 1, b"more")
    script.end(1, "server")
    with made_of(path, script) as capture:
        opaque = capture.opaque(1)
        assert b"".join(part.data for part in opaque) == b"\x82\x7f" + b"\xff" * 8 + b"restmore"
        assert {part.reason for part in opaque} == {"length-top-bit"}
        assert {(part.after_frame, part.direction) for part in opaque} == {(1, S2C)}
        assert only(capture).s2c_bytes == 4 + 10 + 8
        assert only(capture).s2c_frames == 1


def test_an_unfinished_frame_is_opaque_when_the_connection_ends(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"begun", fin=False))
    script.data(1, 0, text(b"cut off", opcode=0)[:9])
    script.end(1)
    with made_of(path, script) as capture:
        (part,) = capture.opaque(1)
        assert (part.data, part.reason, part.after_frame) == (
            text(b"cut off", opcode=0)[:9],
            "unfinished-frame",
            1,
        )
        (message,) = capture.messages(1)
        assert (message.problem, message.last_frame) == ("unfinished", 1)


def test_a_message_that_goes_on_can_be_read(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"begun", fin=False))
    write_journal(path, script.steps)
    index(path, is_over=False)
    with Capture.open(path) as capture:
        (message,) = capture.messages(1)
        assert (message.id, message.last_frame, message.length) == (1, None, None)
        assert capture.message_payload(message) == b"begun"


# -- pings


def test_pongs_find_their_pings_on_both_legs(path):
    script = Script()
    script.open(1)
    at = script.now
    script.data(1, 0, text(b"a", opcode=9), sent_after_ns=100)
    script.data(1, 1, text(b"a", opcode=10, masked=False))
    script.data(1, 1, text(b"b", opcode=9, masked=False), sent_after_ns=0)
    script.data(1, 0, text(b"b", opcode=10) + text(b"unasked", opcode=10))
    script.data(1, 0, text(b"never answered", opcode=9))
    with made_of(path, script) as capture:
        server, client, unanswered = capture.pings(1)
        assert (server.leg, server.ping_frame, server.pong_frame, server.rtt_ns) == ("server", 1, 2, 900)
        assert (client.leg, client.ping_frame, client.pong_frame, client.rtt_ns) == ("client", 3, 4, 1000)
        assert (unanswered.ping_frame, unanswered.pong_frame, unanswered.rtt_ns) == (6, None, None)
        assert need(capture.frame(1)).time_ns == at
        assert [ping.ping_frame for ping in capture.pings(after=3)] == [6]


def test_a_lost_pong_does_not_shift_later_ones(path):
    script = Script()
    script.open(1)
    for is_answered in (True, False, True, True):
        script.data(1, 0, text(b"", opcode=9), sent_after_ns=0)
        if is_answered:
            script.data(1, 1, text(b"", opcode=10, masked=False))
        script.now += 1_000_000
    with made_of(path, script) as capture:
        assert [ping.rtt_ns for ping in capture.pings(1)] == [1000, None, 1000, 1000]


def test_open_pings_are_bounded(path):
    script = Script()
    script.open(1)
    script.data(1, 0, b"".join(text(b"%d" % number, opcode=9) for number in range(1000)))
    script.data(1, 1, text(b"0", opcode=10, masked=False) + text(b"999", opcode=10, masked=False))
    with made_of(path, script) as capture:
        answered = [ping.ping_frame for ping in capture.pings(1, limit=2000) if ping.pong_frame]
        assert answered == [1000]


# -- handshake and endings


def test_the_handshake_is_kept_byte_for_byte(path):
    script = Script()
    script.open(1)
    script.head(1, 4, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    with made_of(path, script) as capture:
        handshake = need(capture.handshake(1))
        assert handshake.request_in == b"GET /chat HTTP/1.1\r\nHost: example.test\r\n\r\n"
        assert need(handshake.response_out).startswith(b"HTTP/1.1 101 ")
        assert handshake.informational == b"HTTP/1.1 103 Early Hints\r\n\r\n"
        assert handshake.server_address == "10.0.0.1:80"
        assert (handshake.server_reused, handshake.client_tls) == (False, None)
        assert need(handshake.request_in_ns) < need(handshake.response_out_ns)
        assert "accept" not in handshake.problems
        connection = only(capture)
        assert connection.url == "ws://example.test:8080/chat"
        assert (connection.tap, connection.state, connection.status) == ("edge", "closed", 101)
        assert capture.handshake(2) is None
        assert capture.connection(2) is None


def test_a_refused_attempt_keeps_status_and_body(path):
    script = Script()
    script.attempt(1)
    script.head(1, 2, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n")
    script.body(1, b"no" * 20_000)
    script.body(1, b"no" * 20_000)
    script.event(1, "refused", status=403)
    script.end(1, "server")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.state, connection.status, connection.ended_by, connection.how) == (
            "refused",
            403,
            "server",
            "refused",
        )
        assert (connection.js_code, connection.js_was_clean) == (1006, False)
        assert len(need(need(capture.handshake(1)).body)) == 65536


def test_an_attempt_that_dies_on_the_way_says_where(path):
    script = Script()
    script.attempt(1)
    tls = {"version": "TLSv1.3", "alpn": "http/1.1", "certificate": {"subject": "x"}}
    script.event(
        1,
        "server",
        address="h:1",
        peer=None,
        sockname=None,
        tcp_start_ns=1,
        tcp_done_ns=None,
        tls_done_ns=None,
        reused=False,
        tls=tls,
        error="refused",
    )
    script.event(1, "failed", where="connect", error="connection refused", status=None)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.state, connection.error, connection.server) == (
            "failed",
            "connection refused",
            "h:1",
        )
        assert connection.server_alpn == "http/1.1"
        assert need(capture.handshake(1)).server_tls == tls
        assert [event.kind for event in capture.events(1)] == ["attempt", "server", "failed", "closed"]
        assert capture.events(1)[2].detail["where"] == "connect"


@pytest.mark.parametrize(
    ("where", "verify_error", "ended_by"),
    [
        ("tls-server", "self-signed certificate", "proxy"),
        ("tls-server", None, "server"),
        ("connect", None, "server"),
        ("client", None, "client"),
    ],
)
def test_who_made_an_attempt_fail(path, where, verify_error, ended_by):
    script = Script()
    script.attempt(1)
    script.event(1, "server", address="h:1", tls={"verify_error": verify_error}, error=None)
    script.event(1, "failed", where=where, error="why", status=None)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.ended_by, connection.how) == (ended_by, "refused")


def test_an_attempt_that_only_closes_has_failed(path):
    script = Script()
    script.attempt(1)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        assert only(capture).state == "failed"


def close(code: int, reason: bytes = b"", *, masked: bool) -> bytes:
    return text(code.to_bytes(2, "big") + reason, opcode=8, masked=masked)


def test_a_closing_handshake_has_codes_and_reasons_of_each_side(path):
    script = Script()
    script.open(1)
    script.data(1, 0, close(1001, b"going", masked=True) + close(1002, masked=True))
    script.data(1, 1, close(1000, "fär".encode(), masked=False))
    script.end(1, "server")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.client_close_code, connection.client_close_reason) == (1001, "going")
        assert (connection.server_close_code, connection.server_close_reason) == (1000, "fär")
        assert (connection.ended_by, connection.how, connection.state) == ("client", "close-frame", "closed")
        assert (connection.js_code, connection.js_was_clean) == (1000, True)


@pytest.mark.parametrize(("side", "how"), [("client", "rst"), ("server", "fin"), ("proxy", "timeout")])
def test_a_transport_end_without_close_frame(path, side, how):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", masked=False))
    script.end(1, side, how)
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.ended_by, connection.how, connection.js_code) == (side, how, 1006)


@pytest.mark.parametrize(
    ("answer", "held_ns", "expected"), [(1000, 0, "client"), (1000, 10**9, "both"), (1001, 0, "client")]
)
def test_closes_have_crossed_where_the_second_came_before_the_first_left(path, answer, held_ns, expected):
    script = Script()
    script.open(1)
    script.data(1, 0, close(1000, masked=True), sent_after_ns=held_ns)
    script.data(1, 1, close(answer, masked=False))
    script.end(1, "server")
    with made_of(path, script) as capture:
        assert only(capture).ended_by == expected


def test_text_in_the_stream_that_reads_as_a_close_frame_is_none(path):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", masked=False) + b"HTTP/1.1 500 Internal Server Error\r\n" + b"x" * 80)
    script.end(1, "server", "fin")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.ended_by, connection.how, connection.server_close_code) == ("server", "fin", None)
        assert (connection.js_code, connection.js_was_clean) == (1006, False)


def test_a_client_that_leaves_before_any_answer_ended_its_attempt(path):
    script = Script()
    script.attempt(1)
    script.event(1, "end", side="client", how="fin")
    script.event(1, "failed", where="response", error="no answer", status=None)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        assert (only(capture).ended_by, only(capture).how) == ("client", "refused")


def test_a_server_that_broke_the_protocol_gets_1006(path):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", opcode=3, masked=False) + close(1000, masked=False))
    script.end(1, "client")
    script.open(2)
    script.data(2, 1, b"\x82\x7f" + b"\xff" * 8)
    script.end(2, "client")
    with made_of(path, script) as capture:
        assert [(c.js_code, c.js_was_clean) for c in capture.connections()] == [(1006, False)] * 2


def test_a_dead_engine_leaves_lost_connections_and_no_clean_end(path):
    script = Script(meta={"argv": ["run"]})
    script.open(1)
    script.data(1, 0, text(b"x"))
    write_journal(path, script.steps)
    index(path)
    with open_capture(path) as capture:
        connection = only(capture)
        assert (connection.state, connection.ended_by, connection.closed_ns) == ("lost", "unknown", None)
        assert capture.meta["closed_cleanly"] is False
        assert capture.meta["argv"] == ["run"]


def test_meta_holds_the_run_and_its_clean_end(path):
    script = Script(meta={"taps": [{"tap": "edge"}], "changes": ["Host rewritten"]})
    with made_of(path, script) as capture:
        assert capture.meta["closed_cleanly"] is True
        assert capture.meta["taps"] == [{"tap": "edge"}]
        assert capture.meta["changes"] == ["Host rewritten"]
        assert capture.start_ns == START_NS


def test_unstored_bytes_make_the_rest_of_a_stream_opaque(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"before") + text(b"begun", fin=False) + text(b"half")[:4])
    script.event(0, "unstored", bytes=10, records=1, reason="full", streams=[[1, 0], [9, 1], "junk", [1]])
    script.data(1, 0, text(b"after"))
    script.data(1, 1, text(b"the other way", masked=False))
    script.end(1)
    with made_of(path, script) as capture:
        assert [frame.payload for frame in capture.frames(1)] == [b"before", b"begun", b"the other way"]
        parts = capture.opaque(1)
        assert [(part.data, part.reason) for part in parts] == [
            (text(b"half")[:4], "gap"),
            (text(b"after"), "gap"),
        ]
        (event,) = [event for event in capture.events() if event.kind == "unstored"]
        assert (event.connection_id, event.detail["bytes"], event.detail["reason"]) == (None, 10, "full")


def test_what_could_not_be_stored_is_a_fact_of_each_connection_and_direction(path):
    script = Script()
    for connection in (1, 2, 3):
        script.open(connection)
        script.data(connection, 1, text(b"hello", masked=False))
    loss = {"streams": [[1, 1]], "stream_bytes": [4096], "connections": [2]}
    script.event(0, "unstored", bytes=4096, records=2, reason="No space left on device", **loss)
    for connection in (1, 3):
        script.now += 5 * 10**9
        script.end(connection, "server")
    with made_of(path, script) as capture:
        one, two, three = capture.connections()
        first, second = need(lacks(one)), need(lacks(two))
        assert first.gaps == (Gap(Direction.SERVER_TO_CLIENT, 4096),)
        assert first.words == "4.0 KiB from the server could not be stored"
        assert (second.gaps, second.records) == ((), True)
        assert lacks(three) is None
        whole = need(missing(capture))
        assert whole.words == "4.0 KiB could not be stored (No space left on device)"
        # Whether the server closed properly nobody knows.
        assert (one.state, one.ended_by, one.how, one.js_code) == ("closed", "unknown", None, None)
        assert (three.ended_by, three.how, three.js_code) == ("server", "fin", 1006)
        # Its end may be among what is missing.
        assert (two.state, two.ended_by) == ("lost", "unknown")
        facts = [need(FactReader(capture.query).connection(number)) for number in (1, 2, 3)]
        assert [fact.has_gap for fact in facts] == [True, True, False]
        assert facts[0].silence_ns() is None
        assert facts[0].silence_ns(Direction.SERVER_TO_CLIENT) is None
        assert facts[0].silence_ns(Direction.CLIENT_TO_SERVER) is not None
        assert need(facts[2].silence_ns()) > 4 * 10**9
        found = {(one.connection, one.id) for one in diagnose(capture.query)}
        assert {number for number, name in found if name.startswith("WS-DROP")} == {3}
        card = dict(need(FactReader(capture.query).card(1)).lines())
        assert card["last s>c"] == "TEXT of 5 B, frame 1; what came later could not be stored"


@pytest.mark.parametrize("has_more", [True, False])
def test_gaps_of_older_captures_are_known(path, has_more):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"before"))
    script.event(0, "unstored", bytes=10, records=1, reason="full", streams=[[1, 0]])
    if has_more:
        script.data(1, 0, text(b"after"))
    script.end(1)
    made_of(path, script).close()
    database = sqlite3.connect(path)
    database.execute("DELETE FROM event WHERE kind = 'gap'")
    database.commit()
    database.close()
    with open_capture(path) as capture:
        assert need(FactReader(capture.query).connection(1)).gaps == {Direction.CLIENT_TO_SERVER}


@pytest.mark.parametrize("ended", ["client", "server", None])
def test_what_is_open_when_the_engine_stops_is_ended_and_not_lost(path, ended):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"hello"))
    if ended:
        script.event(1, "end", side=ended, how="fin")
    script.attempt(2)
    script.now += 10**9
    with made_of(path, script) as capture:
        one, two = capture.connections()
        assert (one.state, one.ended_by, one.how) == ("closed", ended or "proxy", "fin")
        assert need(one.closed_ns) > START_NS + 10**9
        assert (two.state, two.ended_by, two.how) == ("failed", "proxy", "refused")
        assert two.error == "wsinspect stopped before the server answered"
        assert capture.meta["closed_cleanly"] is True
        ends = [(end.side, end.how) for end in need(FactReader(capture.query).connection(1)).ends]
        assert ends == ([(ended, "fin")] if ended else []) + [("proxy", "fin")]


def test_records_of_a_connection_that_was_never_announced_make_a_row(path):
    script = Script()
    script.data(5, 0, text(b"x"))
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.id, connection.state, connection.c2s_frames) == (5, "lost", 1)
        assert connection.url == "ws:///"


def test_stragglers_after_the_end_are_opaque(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"x"))
    script.end(1)
    script.data(1, 0, text(b"late"))
    write_journal(path, script.stop())
    index(path, commit_every=1)
    with open_capture(path) as capture:
        assert [frame.payload for frame in capture.frames()] == [b"x"]
        assert [(part.data, part.reason) for part in capture.opaque()] == [(text(b"late"), "after-end")]
        assert only(capture).state == "closed"


@pytest.mark.parametrize("raw", [b"\xff", b"[1]", b"{}"])
def test_events_that_cannot_be_read_are_kept_out_of_the_way(path, raw, monkeypatch):
    script = Script()
    script.attempt(1)
    write_journal(path, script.steps)
    monkeypatch.setattr(writer, "_parse_event", lambda original, parse=writer._parse_event: parse(raw))
    index(path)
    with open_capture(path) as capture:
        assert {event.kind for event in capture.events()} <= {"unreadable", "None"}


def test_odd_values_of_a_foreign_journal_do_not_stop_the_indexer(path):
    script = Script(meta={"snaplen": "no", "inflate_cap": -1})
    script.event(1, "attempt", tap=["list"], port=1 << 70, host=1.5, path="\ud800", client_tls="x")
    script.event(1, "end", side=3, how=None)
    script.head(1, 9, b"what")
    script.event(1, "closed")
    with made_of(path, script) as capture:
        assert only(capture).port is None
        assert only(capture).path == "\\ud800"


def test_a_mistake_of_ours_in_decoding_costs_one_stream_not_the_capture(path, monkeypatch, capsys):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"bad"))
    script.data(1, 0, text(b"later"))
    script.data(1, 1, text(b"fine", masked=False))
    write_journal(path, script.stop())
    real = streams.StreamRows.feed

    def feed(self, chunk, *rest):
        if b"bad" in chunk or chunk == text(b"bad"):
            raise ZeroDivisionError
        return real(self, chunk, *rest)

    monkeypatch.setattr(streams.StreamRows, "feed", feed)
    index(path)
    with open_capture(path) as capture:
        assert [frame.payload for frame in capture.frames()] == [b"fine"]
        assert "recorder_error" in [event.kind for event in capture.events(1)]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_mistake_of_ours_in_an_event_costs_that_event(path, monkeypatch, capsys):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"x"))
    write_journal(path, script.stop())

    def refuse(*facts):
        raise ZeroDivisionError

    monkeypatch.setattr(connections.ConnectionRows, "add_head", refuse)
    index(path)
    with open_capture(path) as capture:
        assert len(capture.frames()) == 1
        errors = [event for event in capture.events(1) if event.kind == "recorder_error"]
        assert [error.detail["kind"] for error in errors] == [2, 2, 2, 2]
    assert "ZeroDivisionError" in capsys.readouterr().err


# -- transactions


def test_a_commit_that_fails_can_be_repeated(path):
    script = Script()
    script.open(1, deflate=True)
    script.data(1, 0, text(b"one", fin=False))
    write_journal(path, script.steps)
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    reader = JournalReader(journal_directory(path))
    records = reader.read()
    indexer.seek(reader.start)
    for record in records:
        indexer.add(record)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    database.execute("PRAGMA busy_timeout = 1")
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            indexer.commit()
    assert indexer.has_uncommitted
    blocker.close()
    indexer.commit()
    assert indexer.weight == 0
    assert indexer.position == reader.position
    reader.close()
    database.close()
    assert len(dump(path)["frame"]) == 1
    index(path)
    assert len(dump(path)["frame"]) == 1


def restart_every(path: Path, count: int) -> None:
    """Index with a new indexer after each `count` records: what follows a kill -9."""
    schema.create(path)
    while True:
        database = schema.open_for_writing(path)
        indexer = Indexer(database)
        reader = JournalReader(journal_directory(path), indexer.position)
        records = reader.read()
        indexer.seek(reader.start)
        for record in records[:count]:
            indexer.add(record)
        if records:
            indexer.commit()
        reader.close()
        database.close()
        if not records:
            return


@pytest.mark.slow
@given(
    seed=st.integers(0, 1 << 30),
    restart=st.integers(2, 40),
    commit=st.integers(0, 20),
    snaplen=st.sampled_from([None, 0, 3, 100]),
)
def test_restarts_and_commits_anywhere_change_nothing(tmp_path_factory, seed, restart, commit, snaplen):
    directory = tmp_path_factory.mktemp("restarts")
    steps = random_script(seed, connections=3, chunks=40, snaplen=snaplen)
    results = []
    for name in ("plain", "restarted"):
        path = directory / name
        write_journal(path, steps, segment_bytes=30_000)
        assert len(read_all(path)) == len(steps)
        if name == "restarted":
            restart_every(path, restart)
        index(path, commit_every=commit if name == "restarted" else 0)
        assert is_sound(path)
        results.append(dump(path))
    assert results[0] == results[1]


def test_positions_are_taken_up_from_the_capture(path):
    script = Script()
    script.open(1)
    write_journal(path, script.steps, segment_bytes=100)
    index(path, is_over=False)
    database = schema.open_for_writing(path)
    position = Indexer(database).position
    database.close()
    assert position > Position(1, 0)


def test_a_frame_with_every_length_form_round_trips(path):
    script = Script()
    script.open(1)
    wire = b"".join(
        serialize_frame(2, b"z" * size, key=KEY, length_bytes=form)
        for size, form in ((5, 0), (5, 2), (5, 8), (300, 2))
    )
    script.data(1, 0, wire)
    with made_of(path, script) as capture:
        again = b"".join(
            frame.header + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(frame.payload))
            for frame in capture.frames(1)
        )
        assert again == wire
