"""Messages in fragments: gathered until they can be judged, and let go where they cannot."""

from __future__ import annotations

import pytest

from tests.support.faulted import S2C, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.faults.frames import WireFrame
from wsinspect.faults.stages import gathering
from wsinspect.faults.stages.gathering import Whole
from wsinspect.vocabulary.events import FaultSkipped
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame

NEW = {"kind": "replace", "direction": "s2c", "with": "new"}


def fragments(*parts: str, opcode: int = 1) -> list[bytes]:
    last = len(parts) - 1
    return [
        text(part, opcode=0 if number else opcode, fin=number == last) for number, part in enumerate(parts)
    ]


def test_a_first_fragment_that_cannot_match_is_not_gathered() -> None:
    book = Faulted({**NEW, "match": "op:binary"})
    assert book.s2c(*fragments("a", "b")[:1]).sends
    book.s2c(*fragments("a", "b")[1:], *fragments("c", "d", opcode=2))
    assert book.payloads() == [b"a", b"b", b"new"]


def test_control_frames_between_fragments_are_judged_on_their_own() -> None:
    book = Faulted({**NEW, "match": "!ab"})
    first, last = fragments("a", "b")
    book.s2c(first, text("ping", opcode=9), last)
    assert [(frame.opcode, frame.payload) for frame in book.frames()] == [(1, b"a"), (9, b"new"), (0, b"b")]
    book.s2c(first, text("ab", opcode=9), text("c", opcode=0))
    assert [(frame.opcode, frame.payload) for frame in book.frames()][3:] == [(9, b"ab"), (1, b"new")]


def test_an_end_lets_unfinished_fragments_go() -> None:
    book = Faulted({**NEW, "match": "ab"})
    book.s2c(text("a", fin=False)).end(S2C)
    assert bytes(book.got[S2C]) == text("a", fin=False)
    assert [how for _, _, how in book.ends] == ["fin"]
    assert not book.ledger


def test_fragments_that_are_too_many_bytes_pass_unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_BYTES", 2000)
    book = Faulted({**NEW, "match": "x"})
    parts = [text("x" * 500, opcode=0 if number else 1, fin=False) for number in range(3)]
    book.s2c(*parts)
    assert bytes(book.got[S2C]) == b"".join(parts)
    book.s2c(text("end", opcode=0), text("x"))
    assert book.payloads() == [b"x" * 500] * 3 + [b"end", b"new"]


def test_what_is_gathered_when_the_rule_goes_passes() -> None:
    book = Faulted({**NEW, "name": "new", "match": "ab"})
    book.s2c(text("a", fin=False))
    assert book.faults.holds
    assert book.faults.held_bytes == len(text("a", fin=False))
    book.disarm("new").s2c(text("b", opcode=0))
    assert book.payloads() == [b"a", b"b"]
    assert not book.faults.holds


def test_a_compressed_message_that_cannot_be_read_is_skipped_and_that_is_said_once() -> None:
    params = DeflateParams()
    deflater = Deflater(params, S2C)
    broken = serialize_frame(1, b"\xff\xff\xff", rsv=4)
    book = Faulted({**NEW}, deflate=params)
    skipped: list[str | None] = []
    book.ledger = []
    book.faults.feed(S2C, broken, 0)
    book.faults.feed(S2C, broken, 0)
    for action in book.faults.take():
        event = getattr(action, "event", None)
        if isinstance(event, FaultSkipped):
            skipped.append(event.reason)
    assert skipped == ["what was compressed before is not known, or its sender broke it"]
    assert len(deflater.piece(b"x", first=True, fin=True)) > 0


def test_broken_fragments_of_one_message_are_skipped_together() -> None:
    book = Faulted({**NEW}, deflate=DeflateParams())
    first = serialize_frame(1, b"\xff\xff", fin=False, rsv=4)
    last = serialize_frame(0, b"\xff")
    book.s2c(first, last)
    assert bytes(book.got[S2C]) == first + last
    assert [event["event"] for event in book.ledger] == ["fault_skipped"]


def test_a_whole_message_has_its_first_frames_bits_and_the_sum_of_all() -> None:
    frames = [WireFrame(raw, 2, 1, number, 5) for number, raw in enumerate(fragments("ab", "cde"))]
    whole = Whole(frames)
    assert (whole.opcode, whole.fin, whole.fragment) == (1, True, 2)
    assert (whole.length, whole.wire_length, whole.payload) == (5, 9, b"abcde")
    assert (whole.direction, whole.masked, whole.time_ns) == (1, False, 5)
    assert whole.body == frames[-1].body


def test_a_filter_sees_the_whole_length_of_a_message() -> None:
    book = Faulted({**NEW, "match": "len>4 frag>1"})
    book.s2c(*fragments("abc", "de"), *fragments("ab", "cd"), text("abcde"))
    assert book.payloads() == [b"new", b"ab", b"cd", b"abcde"]
