"""What an opening handshake agreed on, and which rules it broke."""

from __future__ import annotations

import pytest

from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import (
    Extension,
    accept_key,
    deflate_params,
    is_valid_key,
    negotiate,
    parse_extensions,
    read_heads,
)
from wsinspect.wire.deflate import DeflateParams

KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3


def request(
    *extra: bytes, upgrade: bytes = b"Upgrade: websocket", key: bytes = KEY, method: bytes = b"GET"
) -> RawHead:
    lines = [method + b" / HTTP/1.1", b"Host: x", upgrade, b"Connection: keep-alive, Upgrade"]
    lines += [b"Sec-WebSocket-Key: " + key, b"Sec-WebSocket-Version: 13", *extra, b"", b""]
    return RawHead.parse(b"\r\n".join(lines))


def response(*extra: bytes, status: bytes = b"101", accept: bytes = ACCEPT) -> RawHead:
    lines = [b"HTTP/1.1 " + status, b"Upgrade: websocket", b"Connection: Upgrade"]
    return RawHead.parse(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept, *extra, b"", b""]))


def test_accept_key_answers_the_key_of_the_rfc() -> None:
    assert accept_key(KEY) == ACCEPT


@pytest.mark.parametrize(("key", "valid"), [(KEY, True), (b"abc", False), (b"YWJj", False), (b"", False)])
def test_key_is_sixteen_bytes_in_base64(key: bytes, valid: bool) -> None:
    assert is_valid_key(key) is valid


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"permessage-deflate", [Extension("permessage-deflate")]),
        (b"Foo; A=1;b", [Extension("foo", (("a", "1"), ("b", None)))]),
        (b'foo; a="x;y, \\"z"', [Extension("foo", (("a", 'x;y, "z'),))]),
        (b"a, , b", [Extension("a"), Extension("b")]),
        (b"; x", [Extension("x")]),
        (b'foo; a="', [Extension("foo", (("a", '"'),))]),
        (b"", []),
    ],
)
def test_extensions_are_read(value: bytes, expected: list[Extension]) -> None:
    assert parse_extensions(value) == expected


@pytest.mark.parametrize(
    ("extension", "written"),
    [
        (Extension("x"), "x"),
        (Extension("x", (("a", None), ("b", "1"))), "x; a; b=1"),
        (Extension("x", (("a", 'say "\\"'),)), 'x; a="say \\"\\\\\\""'),
        (Extension("x", (("a", ""),)), 'x; a=""'),
    ],
)
def test_extensions_are_written(extension: Extension, written: str) -> None:
    assert str(extension) == written
    assert parse_extensions(written.encode()) == [extension]


def test_extensions_of_several_fields_are_one_list() -> None:
    assert [one.name for one in parse_extensions([b"a", b"b, c"])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"permessage-deflate", DeflateParams()),
        (b"permessage-deflate; server_max_window_bits=8", DeflateParams(server_max_window_bits=8)),
        (b'permessage-deflate; client_max_window_bits="12"', DeflateParams(client_max_window_bits=12)),
        (b"permessage-deflate; client_max_window_bits", DeflateParams()),
        (b"permessage-deflate; server_max_window_bits=16", DeflateParams()),
        (b"permessage-deflate; server_max_window_bits=08", DeflateParams()),
        (
            b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            DeflateParams(server_no_context_takeover=True, client_no_context_takeover=True),
        ),
    ],
)
def test_deflate_parameters_are_read(value: bytes, expected: DeflateParams) -> None:
    assert deflate_params(parse_extensions(value)[0]) == expected


def test_negotiation_of_a_plain_handshake() -> None:
    found = negotiate(
        request(b"Sec-WebSocket-Protocol: b, a", b"Sec-WebSocket-Extensions: permessage-deflate, x-foo"),
        response(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Extensions: permessage-deflate"),
    )
    assert found.status == 101
    assert found.subprotocols_offered == ("b", "a")
    assert found.subprotocol == "a"
    assert [one.name for one in found.extensions_offered] == ["permessage-deflate", "x-foo"]
    assert found.extensions == (Extension("permessage-deflate"),)
    assert found.deflate == DeflateParams()
    assert found.are_extensions_known
    assert found.problems == ()


def test_unknown_extension_is_said() -> None:
    found = negotiate(
        request(b"Sec-WebSocket-Extensions: x-foo"), response(b"Sec-WebSocket-Extensions: x-foo")
    )
    assert not found.are_extensions_known
    assert found.deflate is None
    assert found.problems == ()


@pytest.mark.parametrize(
    ("client", "server", "problems"),
    [
        (request(method=b"POST"), response(), ("method",)),
        (request(upgrade=b"Upgrade: h2c"), response(), ("request-upgrade",)),
        (request(key=b"abc"), response(accept=accept_key(b"abc")), ("key",)),
        (request(), response(accept=b"x"), ("accept",)),
        (request(b"Sec-WebSocket-Version: 8"), response(), ("version",)),
        (request(), RawHead.parse(b"HTTP/1.1 101\r\n\r\n"), ("upgrade", "connection", "accept")),
        (request(), response(b"Sec-WebSocket-Protocol: a"), ("subprotocol-not-offered",)),
        (request(), response(b"Sec-WebSocket-Accept: " + ACCEPT), ("repeated",)),
        (request(), response(b"Upgrade: websocket"), ("upgrade", "repeated")),
        (request(), response(b"Connection: Upgrade", b"Connection: close"), ()),
        (
            request(b"Sec-WebSocket-Protocol: a"),
            response(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: a"),
            ("repeated",),
        ),
        (
            request(b"Sec-WebSocket-Extensions: permessage-deflate"),
            response(b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"),
            ("extension-repeated",),
        ),
        (request(), response(b"Sec-WebSocket-Extensions: x-foo"), ("extension-not-offered",)),
        (
            request(b"Sec-WebSocket-Extensions: permessage-deflate"),
            response(b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits"),
            ("deflate-params",),
        ),
        (request(), response(status=b"403"), ()),
        (request(), None, ()),
        (None, response(), ()),
        (None, None, ()),
    ],
)
def test_broken_rules_are_named(
    client: RawHead | None, server: RawHead | None, problems: tuple[str, ...]
) -> None:
    assert negotiate(client, server).problems == problems


OTHER = b"AAECAwQFBgcICQoLDA0ODw=="


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (request(key=OTHER), response(accept=accept_key(OTHER))),
        (request(key=OTHER), response(b"Sec-WebSocket-Protocol: chat", accept=accept_key(OTHER))),
        (request(key=OTHER), response(accept=ACCEPT)),  # a server that always sends the RFC's example
        (request(key=OTHER), response(accept=accept_key(KEY + b"x"))),
        (request(key=OTHER), response(b"Sec-WebSocket-Accept: " + ACCEPT, accept=accept_key(OTHER))),
        (request(key=OTHER), RawHead.parse(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n")),
        (request(key=OTHER), RawHead.parse(b"HTTP/1.0 404 Not Found\r\n\r\n")),
        (request(key=OTHER), None),
        (request(b"Sec-WebSocket-Key: " + KEY, key=OTHER), response(accept=accept_key(OTHER))),
        (request(b"Sec-WebSocket-Key : " + KEY, key=OTHER), response(accept=accept_key(OTHER))),
        (request(b" more", key=OTHER), response(accept=accept_key(OTHER))),
        (request(key=OTHER + b"\r\n more"), response(accept=accept_key(OTHER + b" more"))),
        (request(key=OTHER + b"\r\n more"), response(accept=accept_key(OTHER))),
        (request(key=OTHER), response(accept=accept_key(OTHER) + b"\r\n more")),
        (request(key=b"short"), response(accept=accept_key(b"short"))),
        (request(key=b"%s" % OTHER[:-2]), response(accept=accept_key(OTHER[:-2]))),
        (request(b"X-Lists: sec-websocket-key", key=OTHER), response(accept=accept_key(OTHER))),
        (None, response()),
        (None, None),
    ],
)
def test_heads_that_differ_in_the_key_alone_are_read_once_and_say_the_same(
    asked: RawHead | None, answered: RawHead | None
) -> None:
    raw = [head.raw if head else None for head in (asked, answered)]
    read_heads(request().raw, response().raw)  # is remembered
    for _ in range(2):
        found = read_heads(*raw)
        assert found.negotiation == negotiate(asked, answered)
        assert found.http_version == (answered.http_version if answered else b"")


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("other", [b"/", b"/ws?token=1"])
def test_the_next_of_the_same_clients_is_not_read_again(line_end: bytes, other: bytes) -> None:
    def heads(key: bytes, path: bytes, cookie: bytes) -> list[bytes]:
        asked = request(b"Cookie: " + cookie, key=key).raw.replace(b" / ", b" %b " % path)
        answered = response(b"Set-Cookie: " + cookie, accept=accept_key(key)).raw
        return [raw.replace(b"\r\n", line_end) for raw in (asked, answered)]

    found = read_heads(*heads(OTHER, b"/", b"a=1"))
    again = read_heads(*heads(OTHER[::-1].lstrip(b"=") + b"==", other, b"a=2"))
    assert again.negotiation is found.negotiation


@pytest.mark.parametrize(
    "line",
    [
        b"Sec-WebSocket-Protocol: " + OTHER,
        b"Sec-WebSocket-Extensions: x-" + OTHER.rstrip(b"="),
        b"Connection: close",
        b"Upgrade: h2c",
    ],
)
def test_what_a_negotiation_depends_on_is_not_taken_from_an_earlier_one(line: bytes) -> None:
    earlier = read_heads(request(key=KEY).raw, response().raw)
    asked = request(line, key=OTHER)
    for answered in (response(accept=accept_key(OTHER)), response(line, accept=accept_key(OTHER))):
        found = read_heads(asked.raw, answered.raw).negotiation
        assert found == negotiate(asked, answered)
    assert read_heads(request(key=KEY).raw, response().raw) == earlier
