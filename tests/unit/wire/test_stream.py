"""The reader, case by case: each fed whole, byte by byte, and with trailing data."""

from __future__ import annotations

import itertools
import random
from typing import Any, NamedTuple

import pytest

from tests.support.every_case import every_case
from tests.support.streams import C2S, KEY, S2C, Deflater, Seen, Storage, Stream, read
from wsinspect.wire import stream as stream_module
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import Frame, serialize_frame
from wsinspect.wire.messages import Message
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import StreamDecoder

DEFLATE = DeflateParams()


class Case(NamedTuple):
    """Bytes, and for each frame (first byte of the header, payload, violation, message)."""

    direction: Direction
    wire: bytes
    frames: list[tuple[int, bytes, str | None, int | None]]
    options: dict[str, Any] | None = None


def s2c(*frames: bytes) -> bytes:
    return b"".join(frames)


RFC_6455_5_7 = {
    "text, unmasked": Case(S2C, bytes.fromhex("810548656c6c6f"), [(0x81, b"Hello", None, 0)]),
    "text, masked": Case(C2S, bytes.fromhex("818537fa213d7f9f4d5158"), [(0x81, b"Hello", None, 0)]),
    "text in fragments": Case(
        S2C,
        bytes.fromhex("010348656c 80026c6f"),
        [(0x01, b"Hel", None, 0), (0x80, b"lo", None, 0)],
    ),
    "ping": Case(S2C, bytes.fromhex("890548656c6c6f"), [(0x89, b"Hello", None, None)]),
    "pong, masked": Case(C2S, bytes.fromhex("8a8537fa213d7f9f4d5158"), [(0x8A, b"Hello", None, None)]),
    "256 bytes": Case(S2C, bytes.fromhex("827e0100") + bytes(256), [(0x82, bytes(256), None, 0)]),
    "64 KiB": Case(
        S2C, bytes.fromhex("827f0000000000010000") + bytes(65536), [(0x82, bytes(65536), None, 0)]
    ),
}

LENGTHS = {
    f"{size} bytes, {direction.short}": Case(
        direction,
        serialize_frame(2, b"\x5a" * size, key=KEY if direction is C2S else None),
        [(0x82, b"\x5a" * size, None, 0)],
    )
    for size in (0, 1, 124, 125, 126, 127, 3071, 3072, 4085, 4097, 65535, 65536)
    for direction in Direction
}

VIOLATIONS = {
    "client without mask": Case(C2S, b"\x81\x01a", [(0x81, b"a", "unmasked-client-frame", 0)]),
    "server with mask": Case(
        S2C, serialize_frame(1, b"ab", key=KEY), [(0x81, b"ab", "masked-server-frame", 0)]
    ),
    "reserved bits": Case(
        S2C,
        s2c(
            serialize_frame(1, b"\xff", rsv=2),
            serialize_frame(9, b"", rsv=1),
            serialize_frame(2, b"b", rsv=4),
        ),
        [
            (0xA1, b"\xff", "reserved-bit", 0),
            (0x99, b"", "reserved-bit", None),
            (0xC2, b"b", "reserved-bit", 1),
        ],
    ),
    "reserved bits of an unknown extension": Case(
        S2C,
        s2c(serialize_frame(1, b"\xff", rsv=7), serialize_frame(3, b"x", rsv=1)),
        [(0xF1, b"\xff", None, 0), (0x93, b"x", None, None)],
        {"extensions_known": False},
    ),
    "RSV1 where permessage-deflate does not put it": Case(
        S2C,
        s2c(
            serialize_frame(2, b"a", fin=False),
            serialize_frame(0, b"b", rsv=4),
            serialize_frame(9, b"", rsv=4),
        ),
        [
            (0x02, b"a", None, 0),
            (0xC0, b"b", "reserved-bit", 0),
            (0xC9, b"", "reserved-bit", None),
        ],
        {"deflate": DEFLATE},
    ),
    "reserved opcodes": Case(
        S2C,
        s2c(serialize_frame(3, b"a"), serialize_frame(15, b"b"), serialize_frame(1, b"c")),
        [(0x83, b"a", "reserved-opcode", None), (0x8F, b"b", "reserved-opcode", None), (0x81, b"c", None, 0)],
    ),
    "fragmented ping": Case(S2C, b"\x09\x00", [(0x09, b"", "fragmented-control", None)]),
    "long ping": Case(S2C, serialize_frame(9, bytes(126)), [(0x89, bytes(126), "oversized-control", None)]),
    "lengths with too many bytes": Case(
        S2C,
        s2c(
            serialize_frame(2, b"a", length_bytes=2),
            serialize_frame(2, bytes(300), length_bytes=8),
            serialize_frame(1, b"", length_bytes=8),
        ),
        [
            (0x82, b"a", "length-not-minimal", 0),
            (0x82, bytes(300), "length-not-minimal", 1),
            (0x81, b"", "length-not-minimal", 2),
        ],
    ),
    "continuation of nothing": Case(
        S2C,
        s2c(serialize_frame(0, b"a", fin=False), serialize_frame(0, b"b"), serialize_frame(2, b"c")),
        [
            (0x00, b"a", "unexpected-continuation", None),
            (0x80, b"b", "unexpected-continuation", None),
            (0x82, b"c", None, 0),
        ],
    ),
    "message inside a message": Case(
        S2C,
        s2c(serialize_frame(1, b"a", fin=False), serialize_frame(2, b"b"), serialize_frame(0, b"c")),
        [
            (0x01, b"a", None, 0),
            (0x82, b"b", "data-inside-message", 1),
            (0x80, b"c", "unexpected-continuation", None),
        ],
    ),
    "bad UTF-8": Case(S2C, serialize_frame(1, b"a\xff"), [(0x81, b"a\xff", "invalid-utf8", 0)]),
    "bad UTF-8 in a fragment": Case(
        S2C,
        s2c(
            serialize_frame(1, b"\xe2", fin=False),
            serialize_frame(0, b"\xff", fin=False),
            serialize_frame(0, b""),
        ),
        [(0x01, b"\xe2", None, 0), (0x00, b"\xff", "invalid-utf8", 0), (0x80, b"", None, 0)],
    ),
    "character that does not end": Case(
        S2C,
        s2c(serialize_frame(1, b"\xe2\x82", fin=False), serialize_frame(9), serialize_frame(0, b"")),
        [(0x01, b"\xe2\x82", None, 0), (0x89, b"", None, None), (0x80, b"", "invalid-utf8", 0)],
    ),
    "closes": Case(
        S2C,
        s2c(
            serialize_frame(8, b"\x03"),
            serialize_frame(8, b"\x03\xed"),
            serialize_frame(8, b"\x03\xe8\xff"),
            serialize_frame(8, b""),
        ),
        [
            (0x88, b"\x03", "close-one-byte", None),
            (0x88, b"\x03\xed", "close-code", None),
            (0x88, b"\x03\xe8\xff", "close-invalid-utf8", None),
            (0x88, b"", None, None),
        ],
    ),
    "after close": Case(
        S2C,
        s2c(serialize_frame(8), serialize_frame(1, b"a"), serialize_frame(9), serialize_frame(3)),
        [
            (0x88, b"", None, None),
            (0x81, b"a", "data-after-close", 0),
            (0x89, b"", None, None),
            (0x83, b"", "reserved-opcode,data-after-close", None),
        ],
    ),
    "several at once": Case(
        C2S,
        serialize_frame(8, bytes(200), fin=False, rsv=1, length_bytes=8),
        [
            (
                0x18,
                bytes(200),
                "unmasked-client-frame,reserved-bit,fragmented-control,length-not-minimal,oversized-control,close-code",
                None,
            )
        ],
    ),
}

DEFLATED = {
    "broken data": Case(
        S2C,
        s2c(
            serialize_frame(2, b"\xff\xff", rsv=4),
            serialize_frame(2, b"\xff", rsv=4),
            serialize_frame(2, b"ok"),
        ),
        [(0xC2, b"\xff\xff", "inflate-failed", 0), (0xC2, b"\xff", None, 1), (0x82, b"ok", None, 2)],
        {"deflate": DEFLATE},
    ),
    "broken data seen at the end": Case(
        S2C,
        serialize_frame(1, b"\x00\x01", rsv=4),
        [(0xC1, b"\x00\x01", "inflate-failed", 0)],
        {"deflate": DEFLATE},
    ),
    "broken data after bad text": Case(
        S2C,
        s2c(
            serialize_frame(1, bytes.fromhex("000100feffff"), rsv=4, fin=False),
            serialize_frame(0, b"\xff\xff"),
        ),
        [
            (0x41, bytes.fromhex("000100feffff"), "invalid-utf8", 0),
            (0x80, b"\xff\xff", "inflate-failed", 0),
        ],
        {"deflate": DEFLATE},
    ),
    "broken data in the first of two fragments": Case(
        S2C,
        s2c(serialize_frame(1, b"\xff\xff", rsv=4, fin=False), serialize_frame(0, b"\xff")),
        [(0x41, b"\xff\xff", "inflate-failed", 0), (0x80, b"\xff", None, 0)],
        {"deflate": DEFLATE},
    ),
    "bad UTF-8": Case(
        S2C,
        serialize_frame(1, bytes.fromhex("000100feffff00"), rsv=4),
        [(0xC1, bytes.fromhex("000100feffff00"), "invalid-utf8", 0)],
        {"deflate": DEFLATE},
    ),
}

CASES = {
    **{f"RFC 6455 5.7: {name}": case for name, case in RFC_6455_5_7.items()},
    **{f"length: {name}": case for name, case in LENGTHS.items()},
    **{f"violation: {name}": case for name, case in VIOLATIONS.items()},
    **{f"deflate: {name}": case for name, case in DEFLATED.items()},
}


@pytest.mark.parametrize(
    "way", ["whole", "byte by byte", "with trailing data", "in pieces from the first byte"]
)
def test_frames_are_read(way, monkeypatch):
    if way == "in pieces from the first byte":
        monkeypatch.setattr(stream_module, "REREAD_LIMIT", 0)
    with every_case(50) as trying:
        for name, case in CASES.items():
            with trying(name):
                _frames_are_read(case, way)


def _frames_are_read(case: Case, way: str) -> None:
    wire = case.wire
    step = 1 if way == "byte by byte" else 7 if way.startswith("in pieces") else len(wire)
    if step == 1 and len(wire) > 10_000:
        step = 1000
    chunks = [wire[start : start + step] for start in range(0, len(wire), step)]
    trailing = b"\x81" if way == "with trailing data" else b""
    seen = read(StreamDecoder(case.direction, **(case.options or {})), [*chunks[:-1], chunks[-1] + trailing])
    found = [(frame.header[0], frame.payload, frame.violation, frame.message) for frame in seen.frames]
    assert found == case.frames
    assert seen.opaque == trailing
    assert sum(frame.wire_length for frame in seen.frames) == len(wire)


def feed(wire: bytes, direction: Direction = S2C, **options: Any) -> Seen:
    return read(StreamDecoder(direction, **options), [wire])


def test_messages_of_a_mixed_stream():
    deflater = Deflater(S2C, DEFLATE)
    hello = deflater.message(b"hello")
    seen = feed(
        s2c(
            serialize_frame(2, b"one"),
            serialize_frame(1, "é".encode()[:1], fin=False),
            serialize_frame(9, b"?"),
            serialize_frame(0, "é".encode()[1:]),
            serialize_frame(1, hello[:2], fin=False, rsv=4),
            serialize_frame(10, b"!"),
            serialize_frame(0, hello[2:]),
            serialize_frame(2, deflater.message(b"hello"), rsv=4),
        ),
        deflate=DEFLATE,
    )
    assert seen.messages == [
        Message(0, 2, 0, 0, False, 3, None, None, None),
        Message(1, 1, 1, 3, False, 2, None, True, None),
        Message(2, 1, 4, 6, True, 5, b"hello", True, None),
        Message(3, 2, 7, 7, True, 5, b"hello", None, None),
    ]
    assert [frame.message for frame in seen.frames] == [0, 1, None, 1, 2, None, 2, 3]
    assert seen.violations == []


@pytest.mark.parametrize(
    "payloads",
    [
        ["f248cdc9c90700"],
        ["f248cdc9c90700", "f200110000"],
        ["000500faff48656c6c6f00"],
        ["f348cdc9c9070000"],
        ["f248050000 00ffffcac9c90700"],
    ],
)
def test_the_examples_of_rfc_7692_section_7_2_3(payloads):
    wire = b"".join(serialize_frame(1, bytes.fromhex(payload), rsv=4) for payload in payloads)
    seen = feed(wire, deflate=DEFLATE)
    assert [message.data for message in seen.messages] == [b"Hello"] * len(payloads)
    fragments = feed(
        serialize_frame(1, b"\xf2\x48\xcd", rsv=4, fin=False) + serialize_frame(0, b"\xc9\xc9\x07\x00"),
        deflate=DEFLATE,
    )
    assert [message.data for message in fragments.messages] == [b"Hello"]


def test_problems_of_messages():
    bad = serialize_frame(1, b"\xff\xff\xff", rsv=4)
    good = serialize_frame(1, Deflater(S2C, DEFLATE).message(b"hello"), rsv=4)
    lost = feed(bad + good, deflate=DEFLATE).messages
    assert [(message.problem, message.length, message.data) for message in lost] == [
        ("inflate-failed", 3, None),
        ("not-inflated", len(good) - 2, None),
    ]
    assert [message.valid_text for message in lost] == [None, None]
    fresh = feed(bad + good, deflate=DeflateParams(server_no_context_takeover=True)).messages
    assert [message.problem for message in fresh] == ["inflate-failed", None]


def test_a_message_over_the_cap_is_counted_and_judged():
    deflater = Deflater(S2C, DEFLATE)
    wire = serialize_frame(1, deflater.message(b"x" * 100 + b"\xff"), rsv=4)
    wire += serialize_frame(1, deflater.message(b"x" * 100), rsv=4)
    over, fine = feed(wire, deflate=DEFLATE, inflate_cap=100).messages
    assert over == Message(0, 1, 0, 0, True, 101, None, False, "over-cap")
    assert fine == Message(1, 1, 1, 1, True, 100, b"x" * 100, True, None)


@pytest.mark.parametrize("takeover", [True, False])
def test_a_compressed_message_that_is_interrupted(takeover):
    params = DeflateParams(server_no_context_takeover=not takeover)
    hello = Deflater(S2C, params).message(b"hello")
    seen = feed(
        serialize_frame(2, hello[:3], rsv=4, fin=False) + serialize_frame(2, hello, rsv=4), deflate=params
    )
    assert [message.problem for message in seen.messages] == [
        "interrupted",
        "not-inflated" if takeover else None,
    ]
    assert seen.violations == ["data-inside-message"]


def test_what_is_unfinished_at_the_end_is_said():
    decoder = StreamDecoder(S2C)
    batch = decoder.feed(serialize_frame(1, b"a", fin=False) + b"\x80\x05ab", 1)
    assert len(batch.frames) == 1
    found = decoder.open_message
    assert found == 0
    assert decoder.end() == ([], 1, [Message(0, 1, 0, 0, False, 1, None, None, "unfinished")], b"\x80\x05ab")
    assert (decoder.dropped, decoder.frame_count, decoder.message_count) == (0, 1, 1)
    assert decoder.open_message is None


def test_a_truncated_frame_is_kept_up_to_the_snap_length():
    decoder = StreamDecoder(C2S, snaplen=10)
    wire = serialize_frame(2, bytes(range(100)), key=KEY)
    decoder.feed(wire[:50], 1)
    assert decoder.end().opaque == wire[:16]
    assert decoder.dropped == 34


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize(
    ("length", "code"),
    [((1 << 63) + 5, "length-top-bit"), (1 << 41, "length-too-large"), ((1 << 64) - 1, "length-top-bit")],
)
def test_boundaries_are_lost_when_a_length_is_absurd(step, length, code):
    start, absurd = serialize_frame(1, b"ok"), b"\x82\x7f" + length.to_bytes(8, "big")
    wire = start + absurd + b"whatever"
    decoder = StreamDecoder(S2C)
    seen = read(decoder, [wire[i : i + step] for i in range(0, len(wire), step)])
    assert [frame.payload for frame in seen.frames] == [b"ok"]
    assert seen.opaque == absurd + b"whatever"
    assert seen.lost == code


def test_lost_boundaries_survive_a_restart():
    decoder, storage, stream = StreamDecoder(S2C), Storage(), Stream(S2C, b"")
    decoder.feed(b"\x82\x7f" + b"\xff" * 8, 1)
    storage.save(decoder)
    assert storage.pending == b""
    again = storage.restore(stream, [])
    assert again.lost == "length-top-bit"
    assert again.feed(b"more", 2).opaque == b"more"


def test_a_snap_length_cuts_data_but_not_control_frames():
    wire = s2c(serialize_frame(2, bytes(50)), serialize_frame(9, bytes(125)), serialize_frame(1, b"ab\xff"))
    seen = feed(wire, snaplen=2)
    assert [len(frame.payload) for frame in seen.frames] == [2, 125, 2]
    assert [frame.is_cut for frame in seen.frames] == [True, False, True]
    assert seen.frames[2].violation == "invalid-utf8"
    assert [message.length for message in seen.messages] == [50, 3]


def test_one_feed_gives_first_and_last_times():
    decoder = StreamDecoder(S2C)
    wire = serialize_frame(2, b"abc") * 2
    assert decoder.feed(wire[:3], 10).frames == []
    frames = decoder.feed(wire[3:], 20).frames
    assert [(frame.first_ns, frame.time_ns) for frame in frames] == [(10, 20), (20, 20)]


def restarted(stream: Stream, at: int) -> tuple[Seen, Storage]:
    """Fed in two chunks with a restart between them."""
    first, storage = stream.decoder(), Storage()
    seen = Seen(*first.feed(stream.wire[:at], 1)[0::2])
    storage.save(first)
    second = storage.restore(stream, seen.messages)
    batch = second.feed(stream.wire[at:], 2)
    return Seen(seen.frames + batch.frames, seen.messages + batch.messages), storage


def test_pending_bytes_are_appended_and_never_repeated():
    wire = serialize_frame(2, bytes(100_000))
    decoder, storage = StreamDecoder(S2C), Storage()
    handed = 0
    for start in range(0, 90_000, 1000):
        decoder.feed(wire[start : start + 1000], 1)
        checkpoint = decoder.checkpoint()
        assert not checkpoint.replace
        handed += len(checkpoint.pending)
        assert len(checkpoint.state) < 20
    assert handed == 90_000
    storage.save(decoder)
    assert storage.pending == b""
    decoder.feed(wire[90_000:], 1)
    last = decoder.checkpoint()
    assert (last.replace, last.pending) == (True, b"")


def test_pending_bytes_are_no_more_than_the_snap_length():
    wire = serialize_frame(1, b"x" * 100_000, key=KEY)
    stream = Stream(C2S, wire, snaplen=100)
    seen, storage = restarted(stream, 50_000)
    assert len(storage.pending) == 14 + 100
    assert seen.frames == [Frame(wire[:14], 1, 2, b"x" * 100, len(wire), None, 0)]
    assert seen.messages == [Message(0, 1, 0, 0, False, 100_000, None, True, None)]


def test_a_window_that_cannot_be_made_from_messages_is_handed_out():
    deflater = Deflater(S2C, DEFLATE)
    data = bytes(range(256)) * 40
    wire = serialize_frame(2, deflater.message(data), rsv=4)
    at = len(wire)
    wire += serialize_frame(2, deflater.message(data[100:]), rsv=4)
    cut = Stream(S2C, wire, DEFLATE, snaplen=10)
    seen, storage = restarted(cut, at)
    assert storage.window == data
    assert [message.data for message in seen.messages] == [data[:10], data[100:110]]
    inside, storage = restarted(cut, len(wire) - 1)
    assert storage.window == data
    assert inside.messages == seen.messages
    whole, storage = restarted(Stream(S2C, wire, DEFLATE), at)
    assert storage.window is None
    assert [message.data for message in whole.messages] == [data, data[100:]]


def test_a_restart_inside_a_compressed_message_reads_it_again():
    deflater = Deflater(S2C, DEFLATE)
    first, second = deflater.message(b"hello"), deflater.message(b"hello, hello")
    start = serialize_frame(1, first, rsv=4)
    begun = start + serialize_frame(1, second[:2], rsv=4, fin=False) + serialize_frame(9, b"?")
    stream = Stream(S2C, begun + serialize_frame(0, second[2:]), DEFLATE)
    seen, storage = restarted(stream, len(begun))
    assert storage.pending == begun[len(start) :]
    assert [message.data for message in seen.messages] == [b"hello", b"hello, hello"]
    assert seen.messages[1].first_frame == 1
    assert [frame.message for frame in seen.frames] == [0, 1, None, 1]


def test_a_lost_compression_context_is_remembered_over_a_restart():
    broken = serialize_frame(1, b"\xff\xff", rsv=4)
    stream = Stream(S2C, broken + serialize_frame(1, bytes.fromhex("f248cdc9c90700"), rsv=4), DEFLATE)
    seen, storage = restarted(stream, len(broken))
    assert storage.window is None
    assert [message.problem for message in seen.messages] == ["inflate-failed", "not-inflated"]


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("fragments", [1, 2])
def test_too_much_pending_is_given_up_and_said(takeover, fragments, monkeypatch):
    monkeypatch.setattr(stream_module, "PENDING_LIMIT", 1000)
    monkeypatch.setattr(stream_module, "REREAD_LIMIT", 10)
    params = DeflateParams(server_no_context_takeover=not takeover)
    deflater = Deflater(S2C, params)
    body = deflater.message(random.Random(5).randbytes(5000))
    half = len(body) // 2
    if fragments == 1:
        wire = serialize_frame(2, body, rsv=4)
    else:
        wire = serialize_frame(2, body[:half], rsv=4, fin=False) + serialize_frame(0, body[half:])
    at = len(wire) - 3 if fragments == 1 else half + 4
    wire += serialize_frame(2, deflater.message(b"after"), rsv=4)
    seen, storage = restarted(Stream(S2C, wire, params), at)
    assert len(storage.pending) <= 14
    assert [message.problem for message in seen.messages] == [
        "not-inflated",
        "not-inflated" if takeover else None,
    ]
    assert sum(frame.wire_length for frame in seen.frames) == len(wire)


def test_what_was_given_up_stays_given_up_at_the_next_restart(monkeypatch):
    monkeypatch.setattr(stream_module, "PENDING_LIMIT", 100)
    monkeypatch.setattr(stream_module, "REREAD_LIMIT", 10)
    params = DeflateParams(server_no_context_takeover=True)
    deflater = Deflater(S2C, params)
    wire = serialize_frame(2, deflater.message(random.Random(6).randbytes(1000)), rsv=4)
    stream = Stream(S2C, wire, params)
    decoder, storage = stream.decoder(), Storage()
    for start in range(0, 900, 300):
        assert decoder.feed(wire[start : start + 300], 1).frames == []
        storage.save(decoder)
        decoder = storage.restore(stream, [])
    batch = decoder.feed(wire[900:] + serialize_frame(2, deflater.message(b"after"), rsv=4), 2)
    assert [frame.violation for frame in batch.frames] == [None, None]
    assert [(message.problem, message.data) for message in batch.messages] == [
        ("not-inflated", None),
        (None, b"after"),
    ]


ODD_CHUNKS = {
    "text": b"\x81\x02hi",
    "empty": b"\x82\x00",
    "16 bits of length": b"\x82\x7e\x00\x7e" + bytes(126),
    "16 bits where 7 would do": b"\x82\x7e\x00\x05" + bytes(5),
    # Read from anywhere in it, it is a few long frames and not thousands of empty ones.
    "64 bits of length": b"\x82\x7f" + (65536).to_bytes(8, "big") + b"\x7e" * 65536,
    "longer than what is kept": b"\x82\x7e\x08\x00" + bytes(2048),
    "not UTF-8": b"\x81\x02\xff\xff",
    "two": b"\x81\x02hi\x82\x02ho",
    "one and a half": b"\x81\x02hi\x82\x02",
    "the end of a half": b"\x82\x02hi"[2:],
    "half": b"\x82\x02h",
    "a header alone": b"\x82\x7e",
    "begins a message": b"\x01\x02hi",
    "ends a message": b"\x80\x02hi",
    "ping": b"\x89\x02hi",
    "close": b"\x88\x02\x03\xe8",
    "reserved bit": b"\xc1\x02hi",
    "masked": b"\x81\x82\x01\x02\x03\x04hi",
    "a length that nobody has": b"\x82\x7f" + b"\xff" * 8,
    "nothing": b"",
}


@pytest.mark.parametrize("direction", [C2S, S2C])
def test_what_is_taken_whole_is_what_would_be_read(direction: Direction) -> None:
    with every_case(400) as trying:
        for first, second in itertools.product(ODD_CHUNKS, repeat=2):
            with trying(first, "-", second):
                _whole_is_as_read(direction, first, second)


def _whole_is_as_read(direction: Direction, first: str, second: str) -> None:
    chosen, plain = (StreamDecoder(direction, snaplen=1024) for _ in range(2))
    for time_ns, name in enumerate((first, second, "text", second, "text")):
        chunk = ODD_CHUNKS[name]
        if direction is C2S and len(chunk) > 1 and name != "masked" and chunk[0] > 1 and chunk[1] < 126:
            chunk = chunk[:1] + bytes((chunk[1] | 0x80,)) + KEY + chunk[2:]
        both_take(chosen, plain, chunk, time_ns)


def both_take(chosen: StreamDecoder, plain: StreamDecoder, chunk: bytes, time_ns: int) -> str:
    """Feed a chunk to both, by `whole` where that takes it; how it was taken."""
    batch = plain.feed(chunk, time_ns)
    found = chosen.whole(chunk, 0, time_ns)
    if found is None:
        assert chosen.feed(chunk, time_ns) == batch
        how = "fed"
    elif len(found) == 2:
        assert found == (batch, len(chunk))
        how = "odd"
    elif found[-1] < len(chunk):
        rest = chosen.feed(chunk[found[-1] :], time_ns)
        assert found[:2] == (batch.frames[0].header, batch.frames[0].payload)
        assert (rest.frames, rest.messages, rest.opaque) == (
            batch.frames[1:],
            batch.messages[1:],
            batch.opaque,
        )
        how = "begun"
    else:
        header, payload, text, _ = found
        ((frame_header, first_ns, at_ns, kept, length, violation, number),) = batch.frames
        assert (header, payload, len(chunk)) == (frame_header, kept, length)
        assert (first_ns, at_ns, violation) == (time_ns, time_ns, None)
        ((ordinal, opcode, *frames, compressed, size, data, valid, problem),) = batch.messages
        assert (ordinal, frames, problem) == (number, [batch.first_frame] * 2, None)
        assert (compressed, data) == (text is not None, text)
        assert valid is (True if opcode == 1 else None)
        assert size == len(payload if text is None else text)
        how = "whole"
    assert (chosen.frame_count, chosen.message_count) == (plain.frame_count, plain.message_count)
    assert (chosen.lost, chosen.open_message) == (plain.lost, plain.open_message)
    left, right = chosen.checkpoint(), plain.checkpoint()
    # Of what is pending nothing was stored before: to replace it and to append to it is one thing.
    assert left._replace(replace=right.replace or how == "begun") == right._replace(
        replace=right.replace or how == "begun"
    )
    return how


def compressed(data: bytes, *, first: int = 0xC1, masked: bool = False) -> bytes:
    """A whole compressed message that refers to none before it."""
    squeezed = Deflater(S2C, DEFLATE).message(data)
    wire = serialize_frame(first & 15, squeezed, key=KEY if masked else None)
    return bytes((first,)) + wire[1:]


COMPRESSED_CHUNKS = {
    "text": (b"hello " * 20, 0xC1, "whole"),
    "binary": (b"\xff\xfe" * 20, 0xC2, "whole"),
    "empty": (b"", 0xC1, "whole"),
    "more than a frame of 125 bytes": (random.Random(1).randbytes(600), 0xC2, "whole"),
    "more than is taken at once": (random.Random(1).randbytes(5000), 0xC2, "fed"),
    "text that is not UTF-8": (b"\xff\xff", 0xC1, "odd"),
    "more than is kept": (b"a" * 20_000, 0xC1, "odd"),
    "more than the cap": (b"a" * 70_000, 0xC1, "odd"),
    "begins a message": (b"hello", 0x41, "fed"),
    "a control frame": (b"hello", 0xC9, "fed"),
}


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("direction", [C2S, S2C])
@pytest.mark.parametrize("name", COMPRESSED_CHUNKS)
def test_a_compressed_message_that_is_taken_whole_is_what_would_be_read(
    direction: Direction, name: str, takeover: bool
) -> None:
    agreed = DeflateParams(client_no_context_takeover=not takeover, server_no_context_takeover=not takeover)
    chosen, plain = (
        StreamDecoder(direction, snaplen=16_000, inflate_cap=60_000, deflate=agreed) for _ in range(2)
    )
    data, first, how = COMPRESSED_CHUNKS[name]
    chunk, usual = (
        compressed(one, first=bits, masked=direction is C2S) for one, bits in ((data, first), (b"hi", 0xC1))
    )
    assert both_take(chosen, plain, usual, 1) == "whole"
    assert both_take(chosen, plain, chunk, 2) == (how if len(chunk) >= 4 else "fed")
    both_take(chosen, plain, usual, 3)


@pytest.mark.parametrize("takeover", [True, False])
def test_what_does_not_inflate_is_taken_once_and_ends_a_takeover(takeover: bool) -> None:
    chosen, plain = (
        StreamDecoder(S2C, deflate=DeflateParams(server_no_context_takeover=not takeover)) for _ in range(2)
    )
    assert both_take(chosen, plain, b"\xc1\x02\xff\xff", 1) == "odd"
    assert both_take(chosen, plain, compressed(b"after"), 2) == ("fed" if takeover else "whole")


def test_nearly_every_chunk_is_taken_whole() -> None:
    for direction, wire in ((S2C, b"\x81\x02hi"), (C2S, b"\x82\x82" + KEY + b"hi")):
        assert StreamDecoder(direction).whole(wire, 0, 0) is not None
