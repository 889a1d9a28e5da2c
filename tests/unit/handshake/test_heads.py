"""RawHead: heads kept byte for byte, and rebuilt with as little change as possible."""

from __future__ import annotations

import pytest

from wsinspect.handshake.heads import RawHead, split_list

REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"HOST:  example.org \r\n"
    b"Upgrade: WebSocket\n"
    b"Connection: keep-alive,\r\n\tUpgrade\r\n"
    b"junk without colon\r\n"
    b"Cookie: a=1\r\n"
    b"Cookie: b=2\r\n"
    b"\r\n"
)


def pairs(head: RawHead) -> list[tuple[bytes, bytes]]:
    return [(field.name, field.value) for field in head.fields if field.name]


def test_request_parts_and_fields_are_read() -> None:
    head = RawHead.parse(REQUEST + b"\x81\x00")
    assert (head.method, head.target, head.http_version) == (b"GET", b"/chat?room=1", b"HTTP/1.1")
    assert (head.is_response, head.status, head.reason) == (False, None, b"")
    assert head.is_complete
    assert head.rest == b"\x81\x00"
    assert head.raw == REQUEST + b"\x81\x00"
    assert head.head == REQUEST
    assert head.get("host") == b"example.org"
    assert head.get_all(b"cookie") == [b"a=1", b"b=2"]
    assert head.get("x-none") is None
    assert head.tokens("CONNECTION") == ["keep-alive", "upgrade"]
    assert head.elements("upgrade") == [b"WebSocket"]
    assert head.fields[3].name == b""
    assert head.fields[3].value == b"junk without colon"


@pytest.mark.parametrize(
    ("line", "version", "status", "reason"),
    [
        (b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1", 101, b"Switching Protocols"),
        (b"HTTP/1.1 101", b"HTTP/1.1", 101, b""),
        (b"HTTP/1.1 1O1 x", b"HTTP/1.1", None, b"x"),
        (b"http/1.0 0503 x", b"http/1.0", None, b"x"),
        (b"HTTP/1.1", b"HTTP/1.1", None, b""),
    ],
)
def test_status_line_is_read(line: bytes, version: bytes, status: int | None, reason: bytes) -> None:
    head = RawHead.parse(line + b"\r\n\r\n")
    assert (head.http_version, head.status, head.reason) == (version, status, reason)
    assert (head.method, head.target) == (b"", b"")


@pytest.mark.parametrize(
    "raw", [b"", b"\r\n", b"\n\n", b"GET", b"GET / HTTP/1.1\r\nHost: x", b" x\r\n y\r\n", b":\r\n"]
)
def test_incomplete_heads_are_kept(raw: bytes) -> None:
    head = RawHead.parse(raw)
    assert head.raw == raw
    assert not head.is_complete


def test_empty_lines_before_the_start_line_are_kept() -> None:
    head = RawHead.parse(b"\r\n\nGET / HTTP/1.1\r\n\r\n")
    assert head.preamble == b"\r\n\n"
    assert head.start_line == b"GET / HTTP/1.1"
    assert head.head == b"\r\n\nGET / HTTP/1.1\r\n\r\n"


def test_rebuild_is_identical_when_nothing_changed() -> None:
    head = RawHead.parse(REQUEST)
    assert head.rebuild().head == REQUEST
    assert head.rebuild(b"GET /chat?room=1 HTTP/1.1", pairs(head)).head == REQUEST


def test_rebuild_ignores_how_a_fold_is_written() -> None:
    head = RawHead.parse(REQUEST)
    fields = [(name, value.replace(b", Upgrade", b",\r\n Upgrade")) for name, value in pairs(head)]
    assert head.rebuild(fields=fields).head == REQUEST


def test_rebuild_changes_only_what_changed() -> None:
    head = RawHead.parse(REQUEST + b"rest")
    fields = [
        (name, b"other" if name == b"HOST" else value) for name, value in pairs(head) if value != b"a=1"
    ]
    rebuilt = head.rebuild(b"GET / HTTP/1.1", [*fields, (b"Via", b"1.1 x")])
    assert rebuilt.head == (
        b"GET / HTTP/1.1\r\n"
        b"HOST: other\r\n"
        b"Upgrade: WebSocket\n"
        b"Connection: keep-alive,\r\n\tUpgrade\r\n"
        b"junk without colon\r\n"
        b"Cookie: b=2\r\n"
        b"Via: 1.1 x\r\n"
        b"\r\n"
    )
    assert rebuilt.rest == b""


def test_rebuild_keeps_nameless_lines_when_the_line_before_goes() -> None:
    head = RawHead.parse(b"GET / HTTP/1.1\r\njunk 0\r\nA: 1\r\njunk 1\r\nB: 2\r\njunk 2\r\n\r\n")
    assert (
        head.rebuild(fields=[(b"B", b"2")]).head
        == b"GET / HTTP/1.1\r\njunk 0\r\njunk 1\r\nB: 2\r\njunk 2\r\n\r\n"
    )
    assert head.rebuild(fields=[]).head == b"GET / HTTP/1.1\r\njunk 0\r\njunk 1\r\njunk 2\r\n\r\n"


def test_rebuild_adds_the_empty_line_when_it_was_missing() -> None:
    assert RawHead.parse(b"GET / HTTP/1.1\r\n").rebuild(fields=[]).head == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a, b ,,c", [b"a", b"b", b"c"]),
        (b'a="x,y", b', [b'a="x,y"', b"b"]),
        (b'a="x\\",y", b', [b'a="x\\",y"', b"b"]),
        (b'a="open, b', [b'a="open, b']),
        (b"", []),
    ],
)
def test_lists_are_split_outside_quotes(value: bytes, expected: list[bytes]) -> None:
    assert split_list(value) == expected
