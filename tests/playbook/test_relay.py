"""The relay layer, event by event: the same bytes, the same order, the same end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.playbook.playbook import Playbook, Send, closed, data
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT

#: Bytes that stock mitmproxy answers, reorders or drops (each alone in one segment).
AWKWARD = {
    "first fragment": b"\x01\x03abc",
    "ping between fragments": b"\x01\x01a\x89\x01p\x80\x01b",
    "reserved opcode": b"\x83\x00",
    "RSV bits": b"\xf1\x00",
    "illegal close code": b"\x88\x02\x03\xee",
    "invalid UTF-8": b"\x81\x01\xff",
    "broken deflate": b"\xc1\x02\xff\xff",
    "non-minimal length": b"\x81\x7e\x00\x01a",
    "half a header": b"\x81",
    "line breaks": b"\r\n\r\n",
    "no frames at all": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


def started() -> Playbook:
    playbook = Playbook()
    playbook.__enter__()
    return playbook << "websocket_start" << "opened"


@pytest.mark.parametrize("chunk", AWKWARD.values(), ids=AWKWARD.keys())
def test_bytes_pass_in_both_directions_whatever_they_are(chunk: bytes) -> None:
    book = started()
    book >> data(book.client, chunk) << Send(book.server, chunk) << ("record", C2S, chunk)
    book >> data(book.server, chunk) << Send(book.client, chunk) << ("record", S2C, chunk)
    book.done()


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=200)), max_size=40))
def test_any_bytes_in_any_chunks_are_sent_on_at_once_as_the_same_object(
    turns: list[tuple[bool, bytes]],
) -> None:
    book = started()
    for is_client, chunk in turns:
        source, other = (book.client, book.server) if is_client else (book.server, book.client)
        book >> data(source, chunk) << Send(other, chunk) << ("record", C2S if is_client else S2C, chunk)
        book.done()


def test_the_other_direction_continues_after_a_fin() -> None:
    book = started()
    book.ends(book.client, "fin").ends(book.server, "fin")
    late = b"\x81\x04late"
    book >> closed(book.client) << ("pass_on", book.client.id, "fin")
    book >> data(book.server, late) << Send(book.client, late) << ("record", S2C, late)
    book >> closed(book.server) << ("pass_on", book.server.id, "fin") << "finished" << "websocket_end"
    book.done()


@pytest.mark.parametrize("how", ["rst", "timeout"])
def test_a_reset_ends_both_directions_after_what_was_received(how: str) -> None:
    book = started()
    book.ends(book.server, how)
    book.link.rests[book.server.id] = rest = b"\x81\x03end"
    book >> closed(book.server)
    book << Send(book.client, rest) << ("record", S2C, rest)
    book << ("pass_on", book.server.id, how) << "finished" << "websocket_end"
    book >> data(book.client, b"too late") >> closed(book.client)
    book.done()


def test_close_notify_is_an_end_of_its_own_before_the_fin() -> None:
    book = started()
    book.ends(book.client, "close_notify", "fin").ends(book.server, "close_notify", "fin")
    book >> closed(book.client) << ("pass_on", book.client.id, "close_notify")
    book >> closed(book.client) << ("pass_on", book.client.id, "fin")
    book >> closed(book.server) << ("pass_on", book.server.id, "close_notify")
    book >> closed(book.server) << ("pass_on", book.server.id, "fin") << "finished" << "websocket_end"
    book.done()


def test_the_flow_has_its_end_and_collects_no_messages() -> None:
    book = started()
    book.ends(book.client, "rst")
    book >> data(book.client, b"\x81\x00") >> closed(book.client)
    assert book.flow.websocket is not None
    assert book.flow.websocket.timestamp_end is not None
    assert book.flow.websocket.closed_by_client
    assert book.flow.websocket.messages == []
    assert not book.flow.live


def test_a_forgotten_expectation_fails_the_playbook() -> None:
    book = started() >> data(Playbook().client, b"x")
    with pytest.raises(AssertionError, match="not expected"):
        book.done()
