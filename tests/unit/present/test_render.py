"""Rows of any capture, a stranger's too, become lines that no terminal acts on."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.capture.records import (
    Connection,
    Event,
    FaultRow,
    FindingRow,
    FrameRow,
    Message,
    Opaque,
    Ping,
)
from wsinspect.present import objects
from wsinspect.present.cells import text_of
from wsinspect.present.connection_table import ConnectionTable
from wsinspect.present.frame_table import FrameTable, Page, hex_dump, opaque_lines, payload_lines
from wsinspect.present.handshakes import tls_words
from wsinspect.present.records import Fragment
from wsinspect.present.terminal import Palette, date_time, json_line, milliseconds, table
from wsinspect.present.words import end_lines
from wsinspect.text import cell_width
from wsinspect.wire.opcodes import Direction

TIMES = st.integers(0, 2**62)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["\x1b[2J", "\u202e", "\x9b"])
IDS = st.integers(1, 20)
headers = st.binary(min_size=2, max_size=14)
frames = st.builds(
    FrameRow,
    IDS,
    st.just(1),
    st.sampled_from(Direction),
    TIMES,
    TIMES,
    TIMES,
    headers,
    st.integers(2, 2**62),
    st.binary(max_size=600) | TEXTS.map(lambda text: text.encode()),
    st.none() | IDS,
    st.none() | TEXTS,
    st.none() | IDS,
)
messages = st.builds(
    Message,
    *(IDS, st.just(1), st.sampled_from(Direction), st.integers(0, 15), IDS, st.none() | IDS, st.booleans()),
    *(st.none() | TIMES, st.none() | st.binary(max_size=40), st.none() | st.booleans(), st.none() | TEXTS),
)
pings = st.builds(Ping, IDS, st.just(1), TEXTS, st.none() | IDS, st.none() | TIMES)
faults = st.builds(FaultRow, IDS, TIMES, st.just(1), IDS, TEXTS, TEXTS, st.none() | TEXTS)
findings = st.builds(FindingRow, IDS, TEXTS, TEXTS, st.just(1), IDS, TEXTS)
pages = st.builds(
    Page,
    st.lists(frames, max_size=8),
    st.dictionaries(IDS, messages, max_size=6),
    st.dictionaries(IDS, pings, max_size=6),
    st.dictionaries(IDS, st.lists(faults, max_size=2), max_size=3),
    st.dictionaries(IDS, st.lists(findings, max_size=2), max_size=3),
    st.dictionaries(IDS, st.builds(Fragment, IDS, IDS, TIMES), max_size=6),
    st.none() | st.just(lambda frame: frame.payload),
)
connections = st.builds(
    Connection,
    IDS,
    *[st.none() | TEXTS] * 5,
    st.none() | st.integers(0, 65535),
    *[st.none() | TEXTS] * 6,
    st.none() | st.integers(0, 999),
    *[st.none() | TEXTS] * 2,
    st.none() | IDS,
    *[st.none() | TIMES] * 3,
    st.sampled_from(["connecting", "open", "refused", "failed", "closed", "lost"]) | TEXTS,
    st.none() | TEXTS,
    *[st.none() | st.integers(0, 65535), st.none() | TEXTS] * 2,
    *[st.none() | TEXTS] * 2,
    st.none() | st.integers(0, 65535),
    st.none() | st.booleans(),
    *[TIMES] * 4,
)


def is_harmless(line: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in line)


@given(st.lists(pages, max_size=3), st.none() | connections, st.integers(20, 200), st.booleans())
def test_frames_are_harmless_lines(some, connection, columns, is_live):
    shown = FrameTable(connection, columns, Palette(False), is_live)
    lines = [shown.header(), *(line for page in some for line in shown.lines(page)), *shown.legend()]
    assert all(map(is_harmless, lines))


@given(st.lists(connections, max_size=4))
def test_connections_are_harmless_lines(some):
    table_of_some = ConnectionTable(some, with_tap=True)
    lines = [*table_of_some.lines(), *(text_of(line) for one in some for line in end_lines(one))]
    assert all(map(is_harmless, lines))
    assert all(table_of_some.line(one) in lines for one in some)


@given(
    st.lists(
        st.builds(
            Opaque, IDS, st.just(1), st.sampled_from(Direction), TIMES, st.none() | IDS, TIMES, st.binary()
        )
    )
)
def test_opaque_bytes_are_harmless_lines(pieces):
    for with_payload in (False, True):
        assert all(map(is_harmless, opaque_lines(pieces, with_payload)))


@given(connections, frames, messages, pings, st.dictionaries(TEXTS, TEXTS))
def test_json_is_printable_ascii(connection, frame, message, ping, detail):
    for content in (
        objects.connection_object(connection),
        objects.frame_object(frame, ping, True),
        objects.message_object(message, frame.payload, times=(frame.first_ns, None)),
        objects.event_object(Event(1, 1, 1, "kind", detail)),
    ):
        line = json_line(content)
        assert line.isascii()
        assert line.isprintable()


def test_a_row_fits_the_columns():
    payload = "日本".encode() * 100
    frame = FrameRow(
        7, 1, Direction.SERVER_TO_CLIENT, 0, 0, 0, b"\x81\x7e\x02\x58", 604, payload[:512], 1, None, None
    )
    (line,) = FrameTable(None, 100, Palette(False), False).lines(Page([frame]))
    assert cell_width(line) in (99, 100)
    assert line.endswith("…")


def test_empty_and_binary_payloads_say_so():
    assert list(payload_lines(b"", is_text=True)) == ["    (0 bytes)"]
    assert list(hex_dump(b"ab\x00")) == ["00000000  61 62 00                                          ab."]


def test_intervals_in_columns_and_impossible_dates():
    assert [milliseconds(n) for n in (0, 1_234_567, 12_345_678_901)] == ["0.000", "1.235", "12345.7"]
    assert date_time(2**100) == f"{2**100} ns"


def test_a_table_aligns_numbers_to_the_right():
    assert table(["N", "NAME"], [["1", "a"], ["10", "日本"]], right=frozenset({"N"})) == [
        " N  NAME",
        " 1  a",
        "10  日本",
    ]


def test_colour_follows_the_terminal_and_no_color(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Palette.choose("auto").enabled
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Palette.choose("auto").enabled
    assert Palette.choose("always").enabled
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Palette.choose("auto").enabled
    assert not Palette.choose("never").enabled


@given(
    st.lists(connections, min_size=1, max_size=4),
    st.integers(20, 200),
    st.booleans(),
    st.lists(connections, max_size=2),
)
def test_no_connection_exceeds_the_terminal(some, columns, with_tap, later):
    table_of_some = ConnectionTable(some, with_tap, columns)
    lines = [*table_of_some.lines(), *map(table_of_some.line, later)]
    assert all(cell_width(line) <= columns for line in lines)


CLOSED = Connection(
    *(4, "chat", "127.0.0.1:50558", "127.0.0.1:8080", "ws", "127.0.0.1", 48457, "/chat?name=bob"),
    *("1.1", "127.0.0.1:3000", "1.1", None, None, 101, "chat.v1", None, None),  # type: ignore[arg-type]
    *(10**18, 10**18, 10**18 + 10**9, "closed", None, None, None, None, None),  # type: ignore[arg-type]
    *("server", "fin", 1006, False, 9, 13, 160, 290),
)


def test_columns_make_room_by_rank():
    names = [ConnectionTable([CLOSED], True, columns).lines()[0].split() for columns in (200, 120, 80, 50)]
    assert {"CLIENT", "STARTED"} <= set(names[0])
    assert {"#", "URL", "STATUS", "C>S", "S>C", "END"} <= set(names[2])
    assert set(names[3]) < set(names[2]) < set(names[0])
    assert (names[3][0], names[3][-1]) == ("#", "END")


@given(st.lists(pages, max_size=2), st.integers(80, 200), st.booleans())
def test_no_frame_exceeds_the_terminal(some, columns, is_live):
    shown = FrameTable(None, columns, Palette(False), is_live)
    assert cell_width(shown.header()) <= columns
    for page in some:
        page.whole = None
        page.frames = [
            frame._replace(time_ns=frame.time_ns % 10**11, wire_length=min(frame.wire_length, 10**6))
            for frame in page.frames
        ]
        for frame in page.frames:
            (line,) = shown.frame_lines(frame, page)
            assert cell_width(line) <= columns


def test_sentences_are_broken_between_words():
    line = [("  fix        ", ""), ("one two three four five six seven eight nine ten", "")]
    pieces = list(Palette(False).folded([line], 40))
    assert pieces == ["  fix        one two three four five six", "             seven eight nine ten"]
    assert list(Palette(False).folded([line], None)) == [
        "  fix        one two three four five six seven eight nine ten"
    ]


@pytest.mark.parametrize(
    ("interval_ns", "expected"),
    [
        (999_999_499, "999.999"),
        (-(10**9), "-1000.0"),
        (10**11 - 10**5, "99999.9"),
        (10**11, "100000"),
        (-(10**11), "-100000"),
        (86_400 * 10**9, "86400000"),
    ],
)
def test_an_interval_of_up_to_a_day_takes_eight_cells(interval_ns, expected):
    assert milliseconds(interval_ns) == expected
    assert len(expected) <= 8


def test_of_a_tls_handshake_that_failed_nothing_is_agreed():
    assert tls_words({"sni": "chat.example"}) == "not completed, ALPN - (offered nothing), SNI chat.example"
    done = {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "alpn": "h2", "alpn_offered": ["h2"]}
    assert tls_words(done) == "TLSv1.3 TLS_AES_128_GCM_SHA256, ALPN h2 (offered h2)"
