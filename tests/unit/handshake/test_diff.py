"""What changed between the head that was received and the head that was sent."""

from __future__ import annotations

from wsinspect.handshake.diff import ChangeKind, changed_fields, diff_heads
from wsinspect.handshake.heads import RawHead


def head(*lines: bytes) -> RawHead:
    return RawHead.parse(b"\r\n".join([*lines, b"", b""]))


def test_equal_heads_have_no_changes() -> None:
    one = head(b"GET / HTTP/1.1", b"A: 1", b"junk", b"A: 2")
    assert changed_fields(one, one) == []
    assert len(diff_heads(one, one)) == 4


def test_changed_added_and_removed_lines_stand_where_they_are() -> None:
    before = head(b"GET http://h/ HTTP/1.1", b"Host: h", b"Proxy-Connection: x", b"B: 1")
    after = head(b"GET / HTTP/1.1", b"Host: other", b"Via: x", b"B: 1")
    assert diff_heads(before, after) == [
        (ChangeKind.CHANGED, b"", b"GET http://h/ HTTP/1.1", b"GET / HTTP/1.1"),
        (ChangeKind.CHANGED, b"Host", b"Host: h", b"Host: other"),
        (ChangeKind.ADDED, b"Via", None, b"Via: x"),
        (ChangeKind.REMOVED, b"Proxy-Connection", b"Proxy-Connection: x", None),
        (ChangeKind.SAME, b"B", b"B: 1", b"B: 1"),
    ]


def test_a_line_that_is_only_written_differently_is_changed() -> None:
    changes = changed_fields(head(b"GET / HTTP/1.1", b"host:x"), head(b"GET / HTTP/1.1", b"Host: x"))
    assert [change.kind for change in changes] == [ChangeKind.CHANGED]


def test_another_order_is_said() -> None:
    changes = changed_fields(head(b"G", b"A: 1", b"B: 2"), head(b"G", b"B: 2", b"A: 1"))
    assert changes == [(ChangeKind.MOVED, b"B", b"B: 2", b"B: 2")]
