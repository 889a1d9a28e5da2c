"""Values that are bytes or header fields."""

from __future__ import annotations

from typing import Any

import pytest

from wsinspect.faults.texts import HEADERS, NAMES, PAYLOAD, Payload


@pytest.mark.parametrize(
    ("raw", "value", "written"),
    [
        ("text", b"text", "text"),
        ("caf\u00e9", b"caf\xc3\xa9", "caf\u00e9"),
        ("hex:00ff", b"\x00\xff", {"hex": "00ff"}),
        ({"hex": "00 ff"}, b"\x00\xff", {"hex": "00ff"}),
        ({"base64": "AP8="}, b"\x00\xff", {"hex": "00ff"}),
        (b"raw", b"raw", "raw"),  # YAML's !!binary
        ({"hex": "6865783a"}, b"hex:", {"hex": "6865783a"}),  # as text it would be read as hex
        ("", b"", ""),
    ],
)
def test_a_payload_is_read_and_written_so_that_it_is_read_again(raw: Any, value: bytes, written: Any) -> None:
    assert PAYLOAD.parse(raw) == value
    assert PAYLOAD.render(value) == written
    assert PAYLOAD.parse(written) == value


@pytest.mark.parametrize(
    "raw",
    [
        *("hex:0", "hex:xy", {"hex": "0"}, {"hex": 5}, {"base64": "A"}, {"base64": "\u00e9"}, {}),
        *({"hex": "00", "base64": "AA=="}, {"octal": "7"}, 5, None, True, ["a"]),
    ],
)
def test_an_invalid_payload_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a text, \{hex: \.\.\.\} or"):
        PAYLOAD.parse(raw)


@pytest.mark.parametrize("raw", ["", "hex:", {"hex": ""}, {"base64": ""}])
def test_a_payload_that_must_not_be_empty_is_not(raw: Any) -> None:
    assert PAYLOAD.parse(raw) == b""
    with pytest.raises(ValueError, match="one byte at least"):
        Payload(least=1).parse(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("Upgrade, Sec-WebSocket-Key", ("Upgrade", "Sec-WebSocket-Key")),
        (["Upgrade"], ("Upgrade",)),
        ("Upgrade", ("Upgrade",)),
    ],
)
def test_names_are_a_list_or_a_text_with_commas(raw: Any, value: tuple[str, ...]) -> None:
    assert NAMES.parse(raw) == value
    assert NAMES.parse(NAMES.render(value)) == value


@pytest.mark.parametrize("raw", [[], "", ",", "a b", ["a:"], [1], [""], 5, None, {"a": "b"}])
def test_an_invalid_header_name_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="expected a list of header field names"):
        NAMES.parse(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ({"X-A": "1", "X-B": 2}, (("X-A", "1"), ("X-B", "2"))),
        ("X-A: http://b", (("X-A", "http://b"),)),
        ("X-A:", (("X-A", ""),)),
        ({}, ()),
    ],
)
def test_header_fields_are_a_mapping_or_a_line(raw: Any, value: tuple[tuple[str, str], ...]) -> None:
    assert HEADERS.parse(raw) == value
    assert HEADERS.parse(HEADERS.render(value)) == value


@pytest.mark.parametrize(
    "raw",
    ["X-A", {"X A": "1"}, {"X-A": "1\r\nX-B: 2"}, {"X-A": None}, {"X-A": True}, {5: "a"}, 5, ["X: 1"], ": 1"],
)
def test_an_invalid_header_field_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="expected header fields as"):
        HEADERS.parse(raw)
