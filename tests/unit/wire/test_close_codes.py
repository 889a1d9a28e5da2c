"""Close codes and bodies of CLOSE frames (RFC 6455 sections 5.5.1 and 7.4)."""

from __future__ import annotations

import pytest

from wsinspect.wire.close_codes import (
    CloseCode,
    close_name,
    is_legal_on_wire,
    is_reserved_locally,
    parse_close,
)


def test_codes_are_legal_as_rfc_6455_and_iana_say():
    legal = {code for code in range(65536) if is_legal_on_wire(code)}
    assert legal == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_every_registered_code_has_a_name_and_the_ranges_too():
    assert all(close_name(code) not in ("unassigned", "out of range") for code in CloseCode)
    assert [close_name(code) for code in (0, 999, 1006, 1014, 2999, 3000, 3001, 3999, 4000, 4999, 5000)] == [
        "out of range",
        "out of range",
        "abnormal closure",
        "bad gateway",
        "unassigned",
        "unauthorized",
        "registered by a library",
        "registered by a library",
        "private to the application",
        "private to the application",
        "out of range",
    ]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", (None, "")),
        (b"\x03", (None, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x0f\xa0caf\xc3\xa9", (4000, "café")),
        (b"\x03\xee\xff", (1006, "\ufffd")),
    ],
)
def test_a_close_body_is_read_whatever_it_holds(payload, expected):
    assert parse_close(payload) == expected


@pytest.mark.parametrize(
    ("code", "is_local"),
    [(1005, True), (1006, True), (1015, True), (1004, False), (1000, False), (None, False)],
)
def test_codes_that_stand_for_what_was_not_on_the_wire(code, is_local):
    assert is_reserved_locally(code) is is_local
