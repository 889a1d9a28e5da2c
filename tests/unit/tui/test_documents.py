"""Payloads as text, JSON, hex and by decoders; and their bytes in every form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tui_captures import CaptureBuilder, masked
from tests.support.tui_parts import Bytes, read_all
from wsinspect import decoders
from wsinspect.decoders.limits import MAX_BYTES
from wsinspect.present.cells import text_of, width_of
from wsinspect.tui.blobs import MESSAGE, UNMASKED, WIRE, JoinedBlob, blob_of
from wsinspect.tui.documents import (
    HEX,
    JSON,
    TEXT,
    TEXT_WINDOW_BYTES,
    HexDocument,
    best_view,
    count_in_text,
    make_document,
    next_text_window,
    payload_of,
    text_windows,
    views_for,
)
from wsinspect.tui.source import Source


def shown(name: str, data: bytes, width: int = 80, window: int = 0, **facts: Any) -> list[str]:
    blob = Bytes(data)
    document = make_document(name, blob, window, payload_of(blob, 1, **facts))
    return [text_of(document.line(number, width)) for number in range(document.line_count(width))]


def test_hex_has_offsets_and_ascii():
    assert shown(HEX, b"{" + bytes(range(16))) == [
        "00000000  7b 00 01 02 03 04 05 06  07 08 09 0a 0b 0c 0d 0e  {...............",
        "00000010  0f                                                .",
    ]
    assert shown(HEX, b"0123456789", 50)[1].startswith("00000008  38 39")


def test_a_wide_pane_has_32_bytes_a_line_in_groups_of_eight():
    assert shown(HEX, bytes(range(40)), 143) == [
        "00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  10 11 12 13 14 15 16 17  "
        "18 19 1a 1b 1c 1d 1e 1f  ................................",
        f"00000020  {bytes(range(32, 40)).hex(' ')}{' ' * 75}   !\"#$%&'",
    ]
    assert shown(HEX, bytes(40), 142)[1].startswith("00000010  ")


@pytest.mark.parametrize("width", [150, 80, 50])
@pytest.mark.parametrize("size", [1, 8, 9, 16, 17, 31, 32])
def test_a_marked_byte_moves_nothing(width, size):
    document = make_document(HEX, Bytes(bytes(range(size))))
    before = [text_of(document.line(number, width)) for number in range(document.line_count(width))]
    assert isinstance(document, HexDocument)
    document.at = size - 1
    assert [text_of(document.line(number, width)) for number in range(document.line_count(width))] == before


def test_hex_reads_only_what_is_shown():
    blob = Bytes(b"x" * 100_000_000)
    document = make_document(HEX, blob)
    assert document.line_count(80) == 6_250_000
    document.line(6_249_999, 80)
    assert blob.read_bytes == 16


def test_json_is_laid_out_with_its_tokens_as_they_were():
    assert shown(JSON, b'{"b":1.00,"a":[1,{"x":"\\u00e9\\n"}],"e":{},"b":1e999}') == [
        "{",
        '  "b": 1.00,',
        '  "a": [',
        "    1,",
        "    {",
        '      "x": "\\u00e9\\n"',
        "    }",
        "  ],",
        '  "e": {},',
        '  "b": 1e999',
        "}",
    ]
    assert shown(JSON, b"[[],[1]]") == ["[", "  [],", "  [", "    1", "  ]", "]"]
    assert shown(JSON, b" 12 ") == ["12"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=20,
    )
)
def test_laid_out_json_is_the_same_json(value):
    document = make_document(JSON, Bytes(json.dumps(value).encode()))
    text = "\n".join(text_of(document.line(number, 10**6)) for number in range(document.line_count(10**6)))
    assert json.loads(text) == value


def test_an_error_in_json_has_a_place():
    lines = shown(JSON, b'{"a": 1, "b": }')
    assert lines[0] == "not JSON: Expecting value at character 14"
    assert lines[1][lines[2].index("^")] == "}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff{}", "byte 0 is not UTF-8 (0xff)"),
        (b"[NaN]", "NaN is not in RFC 8259"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_text_that_is_not_json_says_why(data, words):
    assert words in shown(JSON, data)[0]


def test_json_beyond_the_limit_is_not_laid_out(monkeypatch):
    monkeypatch.setattr("wsinspect.tui.documents.JSON_LIMIT_BYTES", 10)
    assert shown(JSON, b"[1,2,3,4,5,6]")[0] == "13 bytes: more than the 10 that can be formatted"


def test_text_is_escaped_and_wrapped():
    lines = shown(TEXT, b"\x1b]0;owned\x07" + b"a" * 90 + b"\n[b]\xe2\x80\xae\xff", 40)
    assert "\x1b" not in "".join(lines)
    assert lines[0].startswith("␛]0;owned␇")
    assert lines[-1] == "[b]\\u202e\\xff"
    assert all(len(line) <= 40 for line in lines)


def test_long_text_is_shown_by_windows():
    data = b"a" * TEXT_WINDOW_BYTES + b"second"
    assert text_windows(Bytes(data)) == 2
    lines = shown(TEXT, data, 10**6, 1)
    assert lines[0] == f"bytes {TEXT_WINDOW_BYTES} to {len(data)} of {len(data)}; < and > show the 2 windows"
    assert lines[1] == "second"


def test_the_next_match_of_a_long_text_is_found_wherever_it_is():
    size = TEXT_WINDOW_BYTES
    cut = Bytes(b"a" * (size - 3) + b"Needle" + b"b" * 5_000)
    assert count_in_text(cut, "needle") == 1
    assert next_text_window(cut, "needle", 0, 1) == next_text_window(cut, "needle", 1, -1) == (0, True)
    assert next_text_window(cut, "needle", 0, 1, is_at_end=True) is None
    assert next_text_window(cut, "needle", 0, -1) is next_text_window(cut, "needle", 1, 1) is None
    for before in (size - 6, size):  # each in one window, whole
        whole = Bytes(b"a" * before + b"needle" + b"b" * 5_000)
        assert next_text_window(whole, "needle", 0, 1) == ((1, False) if before == size else None)
        assert next_text_window(whole, "needle", 1, -1) == ((0, False) if before < size else None)
    far = Bytes(b"a" * (3 * size - 1) + "äx".encode() + b"b" * size)  # cut within a character
    assert next_text_window(far, "äx", 0, 1) == next_text_window(far, "ÄX", 3, -1) == (2, True)


def test_a_letter_that_is_longer_in_lower_case_leads_to_the_right_window():
    text = "İ" * 30_000 + "x" * 50_000 + "needle" + "y" * 200_000
    found = text.encode().index(b"needle") // TEXT_WINDOW_BYTES
    assert next_text_window(Bytes(text.encode()), "needle", 0, 1) == (found, False)
    assert next_text_window(Bytes(text.encode()), "NEEDLE", 4, -1) == (found, False)


def test_no_bytes_are_legal():
    for name in (TEXT, JSON, HEX):
        assert shown(name, b"") == ["0 bytes"]


@pytest.mark.parametrize(
    ("data", "opcode", "best"),
    [
        (b'{"a":1}', 1, JSON),
        (b"[oops", 1, TEXT),
        (b"hi", 1, TEXT),
        (b"\x00", 2, HEX),
        (b"[1]", 2, JSON),
        (b"p", 9, TEXT),
    ],
)
def test_the_first_view_is_the_one_that_fits(data, opcode, best):
    assert best_view(payload_of(Bytes(data), opcode), opcode) == best


def test_decoders_are_offered_where_they_fit():
    event = Bytes(b'42["say","\x1b"]')
    payload = payload_of(event, 1, path="/socket.io/?EIO=4&transport=websocket")
    assert views_for(payload) == [TEXT, JSON, HEX, "socket.io"]
    assert best_view(payload, 1) == "socket.io"
    # What the decoder can read nothing of is shown as what it is; the decoder's own view says why.
    for odd, view in ((b'{"type":"hello"}', JSON), (b"hello", TEXT)):
        other = payload_of(Bytes(odd), 1, path="/socket.io/?EIO=4&transport=websocket")
        assert "socket.io" in views_for(other)
        assert best_view(other, 1) == view
    assert views_for(payload_of(Bytes(b"x"), 1)) == [TEXT, JSON, HEX]
    assert views_for(payload_of(Bytes(b"\x91\x01"), 2)) == [TEXT, JSON, HEX, "msgpack"]
    assert best_view(payload_of(Bytes(b"\x91\x01"), 2), 2) == HEX


def test_what_a_decoder_says_is_escaped_and_so_are_its_problems():
    lines = shown("socket.io", b'40/\x1b[2J,{"a":"\xc2\x9b"}')
    assert lines[2] == "namespace   /␛[2J"
    assert lines[-2].strip() == '"a": "\\x9b"'
    assert shown("stomp", b"\x1b\n\n")[-2].startswith("stomp: '\\x1b' is not a STOMP command. ")
    too_long = shown("socket.io", b"4" * (MAX_BYTES + 1))
    assert "longer than" in too_long[0]


def test_a_registered_decoder_is_a_view_like_the_others():
    mine = decoders.Decoder("mine", lambda one: True, lambda one: iter([one.text]), lambda one: None)
    decoders.register(mine)
    try:
        assert views_for(payload_of(Bytes(b"x"), 1))[-1] == "mine"
        assert shown("mine", b"a\x1bb") == ["a␛b"]
    finally:
        decoders.unregister("mine")


@given(st.binary(max_size=600), st.integers(20, 120), st.sampled_from([TEXT, JSON, HEX]))
def test_nothing_raises_and_nothing_is_wider_than_the_pane(data, width, name):
    document = make_document(name, Bytes(data))
    for number in range(document.line_count(width)):
        line = document.line(number, width)
        assert name in (HEX, JSON) or width_of(line) <= width


def test_every_form_of_a_fragmented_compressed_and_masked_message(tmp_path):
    path = tmp_path / "forms.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 0, 1, b"Hel", fin=False, message_id=1)
        builder.frame(1, 1, 9, b"between")
        builder.frame(1, 2, 0, b"lo", message_id=1)
        builder.message(1, 1, 1, 3, length=5)
        builder.frame(1, 3, 1, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4, message_id=4)
        builder.message(4, 1, 4, 4, compressed=1, length=5, data=b"Hello")
        builder.frame(1, 4, 1, b"\x01", rsv=4, message_id=5)
        builder.message(5, 1, 5, 5, compressed=1, problem="over-cap")
    index, source = read_all(path), Source(path)

    def form(number: int, name: str) -> tuple[bytes, str]:
        blob, about = blob_of(source.records([number])[number], index, number - 1, source, name)
        return blob.read(0, blob.length), about

    assert form(3, MESSAGE) == (b"Hello", "message 1, 2 fragments joined, not compressed")
    assert form(3, UNMASKED) == (b"lo", "payload of frame 3, not compressed")
    assert form(4, MESSAGE) == (b"Hello", "message 4, inflated")
    assert form(4, UNMASKED)[0] == b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    assert form(5, MESSAGE) == (b"\x01", "payload of frame 5, still compressed (over-cap)")
    assert form(1, WIRE) == (b"\x01\x83\x37\xfa\x21\x3d" + masked(b"Hel"), "frame 1 as on the wire, masked")
    wire, _ = blob_of(source.records([2])[2], index, 1, source, WIRE)
    whole = wire.read(0, 99)
    for offset in range(len(whole)):
        assert wire.read(offset, 3) == whole[offset : offset + 3]
    source.close()


def test_joined_parts_are_read_across_their_borders():
    joined = JoinedBlob([Bytes(b"ab"), Bytes(b""), Bytes(b"cdef")])
    assert joined.length == 6
    for offset in range(7):
        for size in range(7):
            assert joined.read(offset, size) == b"abcdef"[offset : offset + size]
