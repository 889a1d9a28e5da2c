"""What the indexer makes of a stream: frames, messages, pings and pongs, and bytes that are none."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.support.journals import (
    KEY,
    Script,
    index,
    made_of,
    need,
    only,
    text,
    write_journal,
)
from wsinspect.capture.reader import Capture
from wsinspect.capture.rows import Rows
from wsinspect.recorder.opening import open_capture
from wsinspect.recorder.streams import StreamRows
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import StreamDecoder

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


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


def test_violations_are_facts_and_reading_continues(path):
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


def test_a_message_that_is_unfinished_can_be_read(path):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"begun", fin=False))
    write_journal(path, script.steps)
    index(path, is_over=False)
    with Capture.open(path) as capture:
        (message,) = capture.messages(1)
        assert (message.id, message.last_frame, message.length) == (1, None, None)
        assert capture.message_payload(message) == b"begun"


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


class Counter:
    """Row ids of frames."""

    next_frame = 7


NO_DEFLATE = b"\xc1\x02\xff\xff"  # ends the inflating
SQUEEZED = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"  # RFC 7692 section 7.2.3.1
CHUNKS = {
    "whole": text(b"a", masked=False) + SQUEEZED + text(b"b", masked=False),
    "a ping between": SQUEEZED + serialize_frame(9, b"p") + text(b"b", masked=False),
    "not to inflate": SQUEEZED + NO_DEFLATE + text(b"b", masked=False),
    "a half": text(b"a", masked=False) + SQUEEZED + SQUEEZED[:4],
    "not whole": SQUEEZED[:4],
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("after", [b"", SQUEEZED, text(b"c", masked=False)])
def test_frames_at_the_beginning_of_a_chunk_have_the_rows_of_all_others(name: str, after: bytes) -> None:
    """And a fault of any of them finds its row: all are of the newest chunk."""
    whole, plain = (
        StreamRows(1, S2C, StreamDecoder(S2C, deflate=DeflateParams()), has_deflate=True) for _ in range(2)
    )
    ids, others = Counter(), Counter()
    rows, expected = Rows(), Rows()
    for time_ns, chunk in enumerate((after, CHUNKS[name], after), 1):
        first = whole.decoder.frame_count
        pos, has_fed = 0, False
        while pos < len(chunk) and not has_fed:
            pos, _, odd = whole.feed_whole(chunk, pos, time_ns, 5, ids, rows)
            has_fed = odd is None and pos < len(chunk)
        if has_fed:
            whole.feed(chunk[pos:], time_ns, 5, ids, rows, is_rest=pos > 0)
        plain.feed(chunk, time_ns, 5, others, expected)
        assert (whole.frames, whole.bytes, whole.last_frame) == (plain.frames, plain.bytes, plain.last_frame)
        assert whole.decoder.frame_count == plain.decoder.frame_count
        for ordinal in range(first, whole.decoder.frame_count):
            assert whole.frame_id(ordinal) == plain.frame_id(ordinal) == 7 + ordinal
    assert (rows.frames, rows.messages) == (expected.frames, expected.messages)


@pytest.mark.parametrize("count", [79, 80, 161])
def test_compressed_messages_are_inserted_many_at_once_and_one_by_one(path: Path, count: int) -> None:
    script = Script()
    script.open(1, deflate=True)
    for _ in range(count):
        script.data(1, 1, SQUEEZED)
    with made_of(path, script) as capture:
        found = [(one.id, one.length, one.data) for one in capture.messages(1, limit=1000)]
        assert found == [(number, 5, b"Hello") for number in range(1, count + 1)]
