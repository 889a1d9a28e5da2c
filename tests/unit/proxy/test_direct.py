"""Which requests are ordinary ones: anything that mitmproxy would not pass on as it came is none."""

import pytest

from wsinspect.proxy.direct import ordinary_fields

LINE = b"GET /chat?room=1 HTTP/1.1\r\n"
HOST = b"Host: 127.0.0.1:8080\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
WHOLE = LINE + HOST + UPGRADE + KEY + b"\r\n"


def test_an_ordinary_request_gives_its_target_and_fields_as_mitmproxy_reads_them():
    assert ordinary_fields(WHOLE) == (
        b"/chat?room=1",
        (
            (b"Host", b"127.0.0.1:8080"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            (b"Sec-WebSocket-Version", b"13"),
        ),
    )


@pytest.mark.parametrize(
    "more",
    [
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        b"Cookie: a=\xc3\xa4; b=2\r\n",
        b"x-empty:\r\n",
        b"X-Wide: \t  one  two \t\r\n",
        b"Origin: null\r\nOrigin: http://other\r\n",
    ],
)
def test_further_fields_are_ordinary(more):
    assert ordinary_fields(LINE + HOST + UPGRADE + KEY + more + b"\r\n") is not None


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param(b"GET /chat HTTP/1.0\r\n", HOST + UPGRADE + KEY, id="HTTP/1.0"),
        pytest.param(b"GET  /chat HTTP/1.1\r\n", HOST + UPGRADE + KEY, id="two spaces"),
        pytest.param(b"GET http://a/ HTTP/1.1\r\n", HOST + UPGRADE + KEY, id="absolute form"),
        pytest.param(b"POST /chat HTTP/1.1\r\n", HOST + UPGRADE + KEY, id="method"),
        pytest.param(b"get /chat HTTP/1.1\r\n", HOST + UPGRADE + KEY, id="lower case"),
        pytest.param(b"GET /ch\xc3\xa4t HTTP/1.1\r\n", HOST + UPGRADE + KEY, id="bytes in the target"),
        pytest.param(b"\r\n" + LINE, HOST + UPGRADE + KEY, id="empty line first"),
        pytest.param(LINE, UPGRADE + KEY, id="no host"),
        pytest.param(LINE, HOST + HOST + UPGRADE + KEY, id="two hosts"),
        pytest.param(LINE, HOST + KEY, id="no upgrade"),
        pytest.param(LINE, HOST + UPGRADE, id="no key"),
        pytest.param(LINE, HOST + UPGRADE + KEY + KEY, id="two keys"),
        pytest.param(LINE, HOST + b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + KEY, id="other protocol"),
        pytest.param(
            LINE, HOST + b"Upgrade: websocket\r\nConnection: close\r\n" + KEY, id="no upgrade token"
        ),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"Content-Length: 0\r\n", id="length"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"Transfer-Encoding: chunked\r\n", id="chunked"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"Expect: 100-continue\r\n", id="expect"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"X-Folded: a\r\n b\r\n", id="folded"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"X-Bare: a\n", id="bare line feed"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"no colon\r\n", id="no colon"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"X Space: a\r\n", id="space in a name"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"X-Space : a\r\n", id="space after a name"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b": a\r\n", id="no name"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"X-Nul: a\0b\r\n", id="nul"),
        pytest.param(LINE, HOST + UPGRADE + KEY + b"X-Return: a\rb\r\n", id="bare return"),
    ],
)
def test_anything_odd_is_not_ordinary(line, fields):
    assert ordinary_fields(line + fields + b"\r\n") is None


def test_nothing_is_ordinary_before_its_end_or_with_anything_behind_it():
    for length in range(len(WHOLE)):
        assert ordinary_fields(WHOLE[:length]) is None
    assert ordinary_fields(WHOLE + b"\x81\x80\0\0\0\0") is None
    assert ordinary_fields(WHOLE + WHOLE) is None


def test_what_does_not_match_costs_no_more_than_its_length():
    """A pattern that went back and forth would take minutes for this."""
    assert ordinary_fields(LINE + b"X-Long: " + b"a:" * 30_000 + b"\r\n" + b"b" * 30_000) is None
