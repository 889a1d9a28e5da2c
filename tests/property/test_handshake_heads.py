"""RawHead and its neighbours for arbitrary bytes: identity, and nothing raises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.handshake.diff import ChangeKind, diff_heads
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import Extension, negotiate, parse_extensions

PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"a",
    b"Host",
    b"GET / HTTP/1.1",
    b"HTTP/1.1 101 x",
    b",",
    b'"',
    b"\\",
]
PIECES += [b"Sec-WebSocket-Extensions: ", b"permessage-deflate", b";", b"=", b"\x00", b"\xff", b"A: 1\r\n"]
heads = st.binary() | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
words = st.text("abcxyz-_0123456789", min_size=1)
params = st.tuples(words, st.none() | st.text(st.characters(max_codepoint=255)))
extensions = st.builds(
    lambda name, params: Extension(name, tuple(params)), words, st.lists(params, max_size=4)
)


@given(heads)
def test_parse_and_emit_is_the_identity(raw: bytes) -> None:
    head = RawHead.parse(raw)
    assert head.raw == raw
    again = RawHead.parse(head.head)
    assert (again.head, again.fields, again.rest) == (head.head, head.fields, b"")


@given(heads)
def test_rebuild_with_the_same_fields_is_the_identity(raw: bytes) -> None:
    head = RawHead.parse(raw)
    fields = [(field.name, field.value) for field in head.fields if field.name]
    rebuilt = head.rebuild(head.start_line, fields)
    assert rebuilt.head == head.head + (b"" if head.end else b"\r\n")


@given(heads, heads)
def test_every_line_is_in_the_difference_once(first: bytes, second: bytes) -> None:
    before, after = RawHead.parse(first), RawHead.parse(second)
    changes = diff_heads(before, after)
    assert sum(change.before is not None for change in changes) == len(before.fields) + 1
    assert sum(change.after is not None for change in changes) == len(after.fields) + 1
    if before.head == after.head:
        assert {change.kind for change in changes} == {ChangeKind.SAME}


@given(heads, heads)
def test_negotiation_never_raises(first: bytes, second: bytes) -> None:
    negotiate(RawHead.parse(first), RawHead.parse(b"HTTP/1.1 101 x\r\n" + second))


@given(st.lists(extensions, max_size=4))
def test_extensions_survive_writing_and_reading(offered: list[Extension]) -> None:
    assert parse_extensions(", ".join(map(str, offered)).encode("latin-1")) == offered
