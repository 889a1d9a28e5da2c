"""What counts as a secret, and that masking leaves the rest alone."""

from __future__ import annotations

import pytest

from wsinspect.formats.secrets import (
    has_secret,
    mask_head,
    mask_json,
    mask_line,
    mask_url,
    mask_value,
    secret_values,
)
from wsinspect.handshake.heads import RawHead


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        (b"Cookie", b"sid=abc; theme=dark", b"sid=***; theme=***"),
        (b"Set-Cookie", b"sid=abc; Path=/; HttpOnly", b"sid=***; Path=/; HttpOnly"),
        (b"authorization", b"Bearer abc", b"Bearer ***"),
        (b"Proxy-Authorization", b"Basic YTpi", b"Basic ***"),
        (b"X-Api-Key", b"abc", b"***"),
        (b"X-CSRF-Token", b"abc", b"***"),
        (b"X-Auth", b"abc", b"***"),
        (b"Sec-WebSocket-Protocol", b"chat, bearer.abcdefghij", b"chat, bearer.***"),
        (b"Sec-WebSocket-Protocol", b"eyJhbGciOiJub25lIn0.eyJhIjoxfQ.x", b"***"),
        (b"Referer", b"https://a/?token=x&b=1", b"https://a/?token=***&b=1"),
    ],
)
def test_secrets_are_masked(name, value, masked):
    assert mask_value(name, value) == masked


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"Sec-WebSocket-Protocol", b"graphql-transport-ws, chat.v2"),
        (b"Host", b"token.example"),
        (b"WWW-Authenticate", b"Basic realm=x"),
    ],
)
def test_the_rest_stays(name, value):
    assert mask_value(name, value) == value
    assert not has_secret(name, value)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("/a?token=x&id=1#f", "/a?token=***&id=1#f"),
        ("/a?access_token=x", "/a?access_token=***"),
        ("/socket.io/?EIO=4&transport=websocket&sid=x", "/socket.io/?EIO=4&transport=websocket&sid=***"),
        ("wss://user:pass@a/", "wss://***@a/"),
        ("/a?x=eyJhbGciOiJub25lIn0.e30.", "/a?x=***"),
        ("/a?token=", "/a?token="),
        ("/token", "/token"),
        ("/a?keyboard=1&decode=2", "/a?keyboard=1&decode=2"),
    ],
)
def test_urls(url, masked):
    assert mask_url(url) == masked


def test_a_header_block_without_secrets_is_the_same_bytes():
    raw = b"GET /a HTTP/1.1\r\nhOST:  a\r\nX: 1\n  folded\r\nno colon\r\n\r\n"
    assert mask_head(raw) == raw


def test_the_rest_of_a_header_block_with_secrets_stays():
    raw = b"GET /a?token=x HTTP/1.1\r\nhOST:  a\r\nCookie: a=b\r\nX-Y:z\r\n\r\n"
    assert mask_head(raw) == b"GET /a?token=*** HTTP/1.1\r\nhOST:  a\r\nCookie: a=***\r\nX-Y:z\r\n\r\n"


def test_values_in_json():
    assert mask_json({"path": "/a?token=x", "argv": ["--to", "ws://u:p@a/?key=1"], "n": 1}) == {
        "path": "/a?token=***",
        "argv": ["--to", "ws://***@a/?key=***"],
        "n": 1,
    }


def test_the_secrets_of_a_request_are_found_where_they_are_quoted():
    head = RawHead.parse(
        b"GET /chat?room=general&token=hunter2 HTTP/1.1\r\nHost: example.org\r\nCookie: sid=abcdefg; a=b\r\n"
        b"Authorization: Bearer opensesame\r\nX-Api-Key: some key\r\n"
        b"Sec-WebSocket-Protocol: chat, bearer.abcdefghij\r\n\r\n"
    )
    values = secret_values(head)
    assert values == {"hunter2", "abcdefg", "opensesame", "some key", "abcdefghij"}
    for text, masked in (
        ("body: no such token hunter2!", "body: no such token ***!"),
        ("hunter25 is another word", "hunter25 is another word"),
        ("X-Api-Key: k", "X-Api-Key: ***"),
        ("Origin: https://example.org", "Origin: https://example.org"),
        (
            "where the redirect leads: ws://a/?token=x: HTTP/1.1 404",
            "where the redirect leads: ws://a/?token=***",
        ),
        ("some key, opensesame and abcdefg", "***, *** and ***"),
    ):
        assert mask_line(text, values).startswith(masked)
    assert mask_line("X-Four: 1", values) == "X-Four: 1"
