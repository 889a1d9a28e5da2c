"""Rows as text: the lane grammar, what is dropped where it is narrow, and that nothing gets too wide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tui_captures import chat_capture
from tests.support.tui_parts import read_all, row
from wsinspect.capture.records import FindingRow
from wsinspect.present.cells import between, fit, flow, text_of, width_of, wrap
from wsinspect.present.details import summary
from wsinspect.present.glyphs import ASCII, UNICODE
from wsinspect.present.notes import make_row, preview, whole_characters, worst_of, worst_style
from wsinspect.present.rows import (
    ALTERED,
    INJECTED,
    STOPPED,
    Caps,
    duration,
    format_gap,
    format_header,
    format_row,
    lane,
    marks,
    short_count,
)
from wsinspect.text import cell_width, escape
from wsinspect.tui.source import Source
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


@pytest.mark.parametrize(
    ("one", "drawn"),
    [
        (row(1, C2S), "├─────────────▶┤"),
        (row(1, S2C), "├◀─────────────┤"),
        (row(9, C2S), "├╌╌╌╌╌╌╌╌╌╌╌╌╌▶┤"),
        (row(10, S2C), "├◀╌╌╌╌╌╌╌╌╌╌╌╌╌┤"),
        (row(8, S2C), "├◀═════════════┤"),
        (row(1, C2S, fate=ALTERED, fate_note="+250 ms"), "├──↯ +250 ms──▶┤"),
        (row(2, C2S, fate=STOPPED), "├──✕           ┤"),
        (row(2, S2C, fate=STOPPED), "├           ✕──┤"),
        (row(1, S2C, fate=INJECTED), "├◀──+──────────┤"),
    ],
)
def test_the_lane_says_kind_direction_and_fate(one, drawn):
    assert lane(one, 16, UNICODE) == drawn
    assert len(lane(one, 9, UNICODE)) == 9
    assert lane(one, 16, ASCII).isascii()


def test_a_lane_of_one_cell_keeps_kind_and_direction():
    signs = [lane(row(opcode, direction), 1, UNICODE) for opcode in (1, 9, 8) for direction in (C2S, S2C)]
    assert signs == ["→", "←", "⇢", "⇠", "⇒", "⇐"]
    assert len({lane(row(opcode, way), 1, ASCII) for opcode in (1, 9, 8) for way in (C2S, S2C)}) == 6


def test_a_wide_row_has_everything():
    line = text_of(format_row(row(notes=(("╭ fragment 1 of 3", "note"),), preview='{"items":['), Caps(120)))
    assert line == (
        ' 98190     12.001       1.2   ├─────────────▶┤ TEXT   F···     142  ╭ fragment 1 of 3  {"items":['
    )


@pytest.mark.parametrize(
    ("width", "has_delta", "has_flags", "has_time"),
    [(120, True, True, True), (92, False, True, True), (80, False, False, True), (60, False, False, False)],
)
def test_columns_go_in_a_fixed_order(width, has_delta, has_flags, has_time):
    line = text_of(format_row(row(), Caps(width)))
    assert ("1.2" in line) == has_delta
    assert ("F···" in line) == has_flags
    assert ("12.001" in line) == has_time
    assert "98190" in line
    assert "TEXT" in line
    assert "142" in line


@given(
    st.integers(20, 220),
    st.text(max_size=300),
    st.lists(st.text(max_size=40), max_size=4),
    st.booleans(),
    st.integers(0, 15),
    st.integers(0, 1 << 62),
)
def test_no_row_is_wider_than_it_may_be(width, peer_text, notes, with_connection, opcode, length):
    one = row(
        opcode,
        preview=escape(peer_text) if peer_text else "",
        notes=tuple((escape(note), "note") for note in notes if note),
        length=length,
    )
    line = format_row(one, Caps(width, with_connection=with_connection))
    assert width_of(line) <= width


@given(st.text(max_size=80), st.integers(1, 30))
def test_wrapped_pieces_are_the_text_and_fit(text, width):
    safe = escape(text) if text else ""
    pieces = wrap(safe, width)
    assert "".join(pieces) == safe
    assert all(cell_width(piece) <= max(width, 2) for piece in pieces)


def test_header_and_gap_stand_over_their_columns():
    caps = Caps(120)
    header, gap, one = (
        text_of(line)
        for line in (format_header(caps), format_gap(2_310_000_000, caps), format_row(row(), caps))
    )
    assert header.index("client") == one.index("├")
    assert header.index("op ") == one.index("TEXT")
    assert gap.strip() == "┊ gap 2.310 s  ┊"
    assert gap.index("┊") == one.index("├")


def test_small_things_in_words():
    assert [duration(ns) for ns in (250_000, 2_300_000, 2_310_000_000, 60 * 10**9, 7500 * 10**9)] == [
        *("250 us", "2.3 ms", "2.310 s", "1 min 00 s", "2 h 05 min"),
    ]
    assert [short_count(count) for count in (0, 9_999_999, 10**7, 10**10, 10**15)] == [
        "0",
        "9999999",
        "10M",
        "10G",
        "1000T",
    ]
    assert text_of(between([("a", "")], [("b", "")], 5, "-")) == "a---b"
    assert text_of(between([("abcdef", "")], [("b", "")], 5, "-")) == "abcd…"
    assert text_of(fit([("ab", ""), ("cdef", "")], 4)) == "abc…"
    assert flow("one two three", 7) == ["one two", "three"]


@pytest.fixture
def chat_rows(tmp_path):
    path = chat_capture(tmp_path / "chat.db")
    index, source = read_all(path), Source(path)
    records = source.records(list(index.columns.ids))
    start_ns = source.capture.start_ns
    assert start_ns is not None
    lines = {
        number: text_of(
            format_row(
                make_row(
                    record,
                    index.fragment(number - 1, record.message),
                    zero_ns=start_ns,
                    delta_ns=0,
                    glyphs=UNICODE,
                ),
                Caps(160),
            )
        )
        for number, record in records.items()
    }
    source.close()
    return lines


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "00 01 02 ff fe"),
        (2, '{"op":"sub","ch":"x"}'),
        (3, '╭ fragment 1 of 3  {"items":[1,'),
        (4, "↺ 6, rtt 5.1 ms, client leg  p1"),
        (5, "│ fragment 2 of 3  2,"),
        (6, "↺ 4, rtt 5.1 ms, client leg  p1"),
        (7, "╰ fragment 3 of 3; message 90, 17 B  3]}"),
        (8, "no pong  lost"),
        (9, "├──↯ +250 ms──▶┤ TEXT   F···       9  latency_c2s latency=250ms  held back"),
        (10, "├──✕           ┤ BINARY F···      32  drop_c2s; not sent on  de ad be ef"),
        (11, "! ├◀─────────────┤ 0x3    F···      11  ✖ reserved-opcode"),
        (12, '├◀═════════════┤ CLOSE  F···       8  1001 going away "deploy"'),
        (13, "├═════════════▶┤ CLOSE  F···       2  1001 going away"),
    ],
)
def test_rows_of_a_capture_say_what_is_known(chat_rows, number, words):
    assert words in chat_rows[number]


def test_a_character_cut_by_the_preview_is_left_out():
    for tail in ("é", "€", "😀"):
        whole = b"x" * (512 - len(tail.encode())) + tail.encode()
        assert whole_characters(whole) == whole
        for cut in range(1, len(tail.encode())):
            begin = b"x" * (512 - cut) + tail.encode()[:cut]
            assert whole_characters(begin) == b"x" * (512 - cut)
    assert whole_characters(b"short\xff") == b"short\xff"
    assert whole_characters(b"\x80" * 512) == b"\x80" * 512


def test_compressed_frames_show_the_inflated_message(tmp_path):
    from tests.support.tui_captures import CaptureBuilder

    with CaptureBuilder(tmp_path / "c.db") as builder:
        builder.connection(1)
        whole = builder.frame(1, 0, 1, b"\xf2\x48\xcd\xc9", rsv=4, message_id=1)
        builder.message(1, 1, whole, whole, compressed=1, length=5, data=b"Hello")
        builder.frame(1, 1, 1, b"\xf2\x48", rsv=4, fin=False, message_id=2)
        builder.message(2, 1, 2, None, compressed=1)
    source = Source(tmp_path / "c.db")
    records = source.records([1, 2])
    assert preview(records[1]) == "Hello"
    assert preview(records[2]) == "(compressed)"
    source.close()


def test_a_payload_that_was_deleted_to_make_room_says_so(tmp_path):
    from tests.support.tui_captures import CaptureBuilder

    with CaptureBuilder(tmp_path / "e.db") as builder:
        builder.connection(1)
        builder.frame(1, 0, 1, b"gone")
        builder.database.execute("UPDATE frame SET payload = NULL")
    index, source = read_all(tmp_path / "e.db"), Source(tmp_path / "e.db")
    record = source.records([1])[1]
    line = format_row(
        make_row(record, index.fragment(0, record.message), zero_ns=0, delta_ns=0, glyphs=UNICODE), Caps(140)
    )
    assert "payload deleted to make room (size limit)" in text_of(line)
    source.close()


@pytest.mark.parametrize(
    ("severities", "style"),
    [
        (("error",), "error"),
        (("warning",), "warn"),
        (("note",), "note"),
        (("note", "warning"), "warn"),
        (("note", "error"), "error"),
    ],
)
def test_what_a_finding_marks_has_the_colour_of_its_severity(tmp_path, severities, style):
    source = Source(chat_capture(tmp_path / "chat.db"))
    record = source.records([3])[3]
    source.close()
    found = [FindingRow(number, f"WS-{one}", one, 1, 3, "{}") for number, one in enumerate(severities)]
    made = make_row(record, None, zero_ns=0, delta_ns=0, glyphs=UNICODE, findings=found)
    own = [(text, colour) for text, colour in made.notes if "WS-" in text]
    assert [colour for _, colour in own] == [worst_style([one]) for one in severities]
    assert marks(made, UNICODE) == [("! ", style)]
    assert worst_style(severities) == style
    assert worst_style([worst_of(severities)]) == style
    assert (worst_of(severities[::-1]), worst_of(())) == (worst_of(severities), "note")


def test_what_a_rule_dropped_is_not_still_to_be_sent(tmp_path):
    """Live, a frame that is not sent on may be yet to come; one that a rule dropped is not."""
    path = chat_capture(tmp_path / "chat.db")
    index, source = read_all(path), Source(path)
    records = source.records(list(index.columns.ids))
    (dropped,) = [one for one in records.values() if any(fault.kind == "drop" for fault in one.faults)]
    waiting = next(one for one in records.values() if not one.faults)
    waiting = waiting._replace(frame=waiting.frame._replace(sent_ns=None))
    said = {
        one: [
            text
            for text, _ in make_row(record, None, zero_ns=0, delta_ns=0, glyphs=UNICODE, is_live=True).notes
        ]
        for one, record in (("dropped", dropped), ("waiting", waiting))
    }
    source.close()
    assert "not sent on" in said["dropped"]
    assert "not sent on yet" in said["waiting"]
    assert summary(waiting, 0, is_live=True).endswith(", not sent on yet")
    assert summary(waiting, 0).endswith(", not sent on")
    assert summary(dropped, 0, is_live=True).endswith(", not sent on")
