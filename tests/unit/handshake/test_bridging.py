"""Opening handshakes put into the other HTTP version."""

import pytest

from wsinspect.handshake.bridging import (
    broken_switch,
    connect_fields,
    success_fields,
    switch_fields,
    upgrade_fields,
)

#: RFC 6455 section 1.3.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCH = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Accept", ACCEPT),
]


def test_an_extended_connect_becomes_an_upgrade():
    fields = [
        (b"sec-websocket-version", b"13"),
        (b"cookie", b"a=1"),
        (b"origin", b"https://a"),
        (b"cookie", b"b=2"),
        (b"sec-websocket-protocol", b"chat, superchat"),
    ]
    assert upgrade_fields(b"a:8443", fields, KEY) == [
        (b"Host", b"a:8443"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Key", KEY),
        (b"sec-websocket-version", b"13"),
        (b"cookie", b"a=1; b=2"),
        (b"origin", b"https://a"),
        (b"sec-websocket-protocol", b"chat, superchat"),
    ]


def test_a_host_field_next_to_the_authority_is_kept_and_a_key_is_not():
    fields = upgrade_fields(b"a", [(b"host", b"b"), (b"sec-websocket-key", b"x"), (b"upgrade", b"y")], KEY)
    assert [value for name, value in fields if name == b"Host"] == [b"b"]
    assert [value for name, value in fields if name.lower() == b"sec-websocket-key"] == [KEY]
    assert [value for name, value in fields if name.lower() == b"upgrade"] == [b"websocket"]


def test_an_upgrade_becomes_an_extended_connect():
    fields = [
        (b"Host", b"a:1"),
        (b"Connection", b"keep-alive, Upgrade, X-Mine"),
        (b"Upgrade", b"websocket"),
        (b"X-Mine", b"gone"),
        (b"Sec-WebSocket-Key", KEY),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Cookie", b"a=1; b=2"),
    ]
    assert connect_fields(b"https", b"a:1", b"/chat?x", fields) == [
        (b":method", b"CONNECT"),
        (b":authority", b"a:1"),
        (b":scheme", b"https"),
        (b":path", b"/chat?x"),
        (b":protocol", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"cookie", b"a=1; b=2"),
    ]


def test_the_answers():
    assert success_fields([*SWITCH, (b"Sec-WebSocket-Protocol", b"chat"), (b"Server", b"s")]) == [
        (b":status", b"200"),
        (b"sec-websocket-protocol", b"chat"),
        (b"server", b"s"),
    ]
    assert switch_fields([(b"sec-websocket-protocol", b"chat"), (b"content-length", b"0")], KEY) == [
        *SWITCH,
        (b"sec-websocket-protocol", b"chat"),
    ]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (SWITCH, None),
        ([(b"upgrade", b"WebSocket"), (b"connection", b"a, upgrade"), SWITCH[2]], None),
        (SWITCH[1:], "no Upgrade: websocket"),
        ([SWITCH[0], SWITCH[2]], "no Connection: Upgrade"),
        (SWITCH[:2], "no Sec-WebSocket-Accept"),
        ([*SWITCH[:2], (b"Sec-WebSocket-Accept", KEY)], "wrong Sec-WebSocket-Accept"),
        ([*SWITCH, SWITCH[2]], "wrong Sec-WebSocket-Accept"),
    ],
)
def test_what_is_wrong_with_a_101(fields, why):
    found = broken_switch(fields, KEY)
    assert (found is None) if why is None else (found is not None and why in found)
