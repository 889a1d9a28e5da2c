"""Opening handshakes put into the other HTTP version."""

import pytest

from wsinspect.handshake.bridging import (
    broken_switch,
    comparable_requests,
    comparable_responses,
    connect_fields,
    request_fields,
    safe_target,
    success_fields,
    switch_fields,
    trailer_section,
    upgrade_fields,
)
from wsinspect.handshake.heads import RawHead

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


def head(*lines):
    return RawHead.parse("\r\n".join([*lines, "", ""]).encode())


CONNECT = head(
    ":method: CONNECT",
    ":protocol: websocket",
    ":scheme: https",
    ":path: /a",
    ":authority: b",
    "origin: https://b",
)


def test_requests_of_two_versions_differ_in_what_was_changed_alone():
    after = head(
        *("GET /a HTTP/1.1", "origin: https://b", "host: b", "upgrade: WebSocket", "connection: upgrade"),
        f"Sec-Websocket-Key: {KEY.decode()}",
    )
    for pair in (comparable_requests(CONNECT, after), comparable_requests(after, CONNECT)[::-1]):
        before, other = pair
        assert other is after
        assert before.start_line == b"GET /a HTTP/2.0"
        assert {(one.key, one.value) for one in before.fields} == {
            (one.key, one.value) for one in after.fields
        }


def test_an_upgrade_that_a_translation_lost_is_missing():
    before, after = comparable_requests(CONNECT, head("GET /a HTTP/1.1", "origin: https://b", "host: b"))
    assert before.tokens("upgrade") == ["websocket"]
    assert after.tokens("upgrade") == []


def test_heads_of_one_version_stay_as_they_are():
    one, other = head("GET /a HTTP/1.1"), head("GET /b HTTP/1.1")
    assert comparable_requests(one, other) == (one, other)
    assert comparable_requests(CONNECT, CONNECT) == (CONNECT, CONNECT)
    assert comparable_responses(one, other) == (one, other)


def test_responses_of_two_versions():
    sent = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "server: s")
    came = head(":status: 200", "server: s")
    before, after = comparable_responses(sent, came)
    assert before is sent
    assert after.start_line == b"HTTP/2.0 200"
    assert {one.key for one in after.fields} == {b"upgrade", b"connection", b"server"}
    _, refused = comparable_responses(sent, head(":status: 502", "server: hop"))
    assert [one.key for one in refused.fields] == [b"server"]


BREAK = (b"x-a", b"1\r\nx-evil: 1\0")


def test_nothing_in_a_field_begins_another_line():
    sound = (b"x-a", b"1  x-evil: 1 ")
    assert upgrade_fields(b"a", [BREAK], KEY)[-1] == sound
    assert switch_fields([BREAK], KEY)[-1] == sound
    assert request_fields([BREAK], has_body=False) == [sound]
    assert trailer_section([BREAK]) == b"0\r\nx-a: 1  x-evil: 1 \r\n\r\n"


def test_a_body_of_http2_is_framed():
    fields = [(b"transfer-encoding", b"gzip"), (b"connection", b"x"), (b"te", b"trailers")]
    assert request_fields(fields, has_body=True) == [(b"te", b"trailers"), (b"Transfer-Encoding", b"chunked")]
    length = [(b"content-length", b"3")]
    assert request_fields(length, has_body=True) == length
    assert trailer_section([]) == b"0\r\n\r\n"


def test_a_target_stays_one_word():
    assert safe_target(b"/a b\r\nX: 1") == b"/a%20b%0D%0AX:%201"
    assert safe_target(b"/a%20?b=\xe4") == b"/a%20?b=\xe4"
