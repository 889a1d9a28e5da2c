"""Inflating (RFC 7692 section 7), its cap, and its window."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest

from tests.support.every_case import every_case
from tests.support.streams import C2S, S2C, Deflater
from wsinspect.wire.deflate import WINDOW, DeflateParams, Inflater

HELLO = bytes.fromhex("f248cdc9c90700")


def inflate(inflater: Inflater, *pieces: bytes) -> bytes | None:
    inflater.begin()
    for piece in pieces:
        inflater.feed(piece)
    return inflater.finish()[1]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_params_know_each_direction():
    params = DeflateParams(
        client_no_context_takeover=True, client_max_window_bits=8, server_max_window_bits=12
    )
    assert (params.takeover(C2S), params.takeover(S2C)) == (False, True)
    assert (params.window_bits(C2S), params.window_bits(S2C)) == (9, 12)


@pytest.mark.parametrize(
    ("section", "payloads"),
    [
        ("7.2.3.1", ["f248cdc9c90700"]),
        ("7.2.3.2 with a shared window", ["f248cdc9c90700", "f200110000"]),
        ("7.2.3.3 without compression", ["000500faff48656c6c6f00"]),
        ("7.2.3.4 with BFINAL", ["f348cdc9c9070000"]),
        ("7.2.3.5 in two blocks", ["f248050000 00ffffcac9c90700"]),
        ("BFINAL, then a shared window", ["f348cdc9c9070000", "f200110000", "f248cdc9c90700"]),
        ("BFINAL with nothing behind it", ["f348cdc9c90700", "f200110000", "f348cdc9c90700"]),
    ],
)
def test_the_examples_of_rfc_7692_inflate(section, payloads):
    for step in (1, 100):
        inflater = Inflater(bits=15, takeover=True)
        for payload in map(bytes.fromhex, payloads):
            pieces = [payload[i : i + step] for i in range(0, len(payload), step)]
            assert inflate(inflater, *pieces) == b"Hello", section
            assert (inflater.length, inflater.failed, inflater.dead) == (5, False, "")


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("takeover", [True, False])
def test_what_was_deflated_is_inflated_again(bits, takeover):
    params = DeflateParams(client_max_window_bits=bits, client_no_context_takeover=not takeover)
    deflater, inflater = Deflater(C2S, params), Inflater(bits=bits, takeover=takeover)
    data = noise(300) * 40
    for message in (b"", data[:999], data[5:], b"x", data):
        assert inflate(inflater, deflater.message(message)) == message


def test_an_empty_message_of_rfc_7692_section_7_2_3_6():
    assert inflate(Inflater(bits=15, takeover=True), b"\x00") == b""


def test_output_beyond_the_cap_is_thrown_away_and_the_stream_continues():
    deflater, inflater = Deflater(C2S, DeflateParams()), Inflater(bits=15, takeover=True, cap=5000)
    large = noise(9000)
    assert inflate(inflater, deflater.message(large)) is None
    assert (inflater.is_over, inflater.length) == (True, 9000)
    assert inflate(inflater, deflater.message(large[-3000:])) == large[-3000:]
    assert inflate(inflater, deflater.message(bytes(5000))) == bytes(5000)
    assert not inflater.is_over


def test_a_bomb_is_counted_and_not_kept():
    deflater, inflater = Deflater(C2S, DeflateParams()), Inflater(bits=15, takeover=True, cap=1 << 16)
    payload = deflater.message(bytes(20 << 20))
    inflater.begin()
    biggest = max(map(len, inflater.feed(payload)))
    assert biggest <= 1 << 20
    assert inflater.finish()[1] is None
    assert inflater.length == 20 << 20


def test_less_is_kept_when_asked_for_less():
    deflater, inflater = Deflater(C2S, DeflateParams()), Inflater(bits=15, takeover=True, keep=10)
    assert inflate(inflater, deflater.message(b"a long message")) == b"a long mes"
    assert inflater.length == 14
    assert inflate(inflater, deflater.message(b"short")) == b"short"
    payload = deflater.message(noise(50))
    assert inflate(inflater, payload[:30], payload[30:]) == noise(50)[:10]


def test_recent_output_is_compacted_when_it_grows():
    deflater, inflater = Deflater(C2S, DeflateParams()), Inflater(bits=15, takeover=True)
    for seed in range(6):
        data = noise(WINDOW - 5, seed)
        assert inflate(inflater, deflater.message(data)) == data
    assert inflater.window()[5:] == data


def test_broken_data_end_the_stream_with_context_takeover_only():
    for takeover in (True, False):
        inflater = Inflater(bits=15, takeover=takeover)
        assert inflate(inflater, b"\xff\xff\xff", HELLO) is None
        assert inflater.failed
        assert bool(inflater.dead) is takeover
        assert inflate(inflater, HELLO) == (None if takeover else b"Hello")


def test_a_message_left_in_the_middle_ends_the_stream_with_context_takeover_only():
    for takeover in (True, False):
        inflater = Inflater(bits=15, takeover=takeover)
        inflater.begin()
        inflater.feed(HELLO[:3])
        inflater.abandon()
        inflater.revive()
        assert inflater.dead == ("interrupted" if takeover else "")
        assert inflate(inflater, HELLO) == (None if takeover else b"Hello")


def test_many_final_blocks_are_refused():
    inflater = Inflater(bits=15, takeover=True)
    assert inflate(inflater, b"\x03\x00" * 500) == b""
    assert inflate(inflater, b"\x03\x00" * 5000) is None
    assert inflater.failed


def test_a_window_taken_out_and_put_back_continues():
    for size in (10, WINDOW - 1, 3 * WINDOW, 9 * WINDOW):
        deflater, first = Deflater(C2S, DeflateParams()), Inflater(bits=15, takeover=True)
        data = noise(size, size)
        inflate(first, deflater.message(data[: size // 2]))
        inflate(first, deflater.message(data[size // 2 :]))
        assert first.window() == data[-WINDOW:]
        second = Inflater(bits=15, takeover=True, window=first.window())
        assert inflate(second, deflater.message(data[-WINDOW:])) == data[-WINDOW:]
        assert inflate(second, deflater.message(data)) == data


def test_a_small_window_is_put_back_too():
    params = DeflateParams(client_max_window_bits=9)
    deflater, first = Deflater(C2S, params), Inflater(bits=9, takeover=True)
    data = noise(400)
    inflate(first, deflater.message(noise(40_000, 3) + data))
    second = Inflater(bits=9, takeover=True, window=first.window())
    assert inflate(second, deflater.message(data[-200:])) == data[-200:]


def test_a_window_has_a_gap_while_it_holds_bytes_that_nobody_was_given():
    deflater, inflater = Deflater(C2S, DeflateParams()), Inflater(bits=15, takeover=True, cap=WINDOW)
    gaps, windows = [inflater.has_gap], [inflater.window()]
    for message in (noise(WINDOW + 1), noise(WINDOW - 1), b"x"):
        inflate(inflater, deflater.message(message))
        gaps.append(inflater.has_gap)
        windows.append(inflater.window())
    assert gaps == [False, True, True, False]
    assert inflater.before == (WINDOW - 1, windows[2])


def test_no_window_is_needed_without_context_takeover():
    deflater = Deflater(C2S, DeflateParams(client_no_context_takeover=True))
    inflater = Inflater(bits=15, takeover=False, cap=10)
    inflate(inflater, deflater.message(noise(100)))
    assert not inflater.has_gap


def test_a_match_that_ends_exactly_at_an_output_piece_is_not_lost():
    data = bytes(2 << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert inflate(Inflater(bits=15, takeover=True), payload) == data


#: Ends of messages: as RFC 7692 wants them, and with a last block in front of, inside and behind the tail.
ENDINGS = {
    "as it should be": bytes.fromhex("f248cdc9c90700"),
    "BFINAL, then an empty block": bytes.fromhex("f348cdc9c9070000"),
    "BFINAL with nothing behind it": bytes.fromhex("f348cdc9c90700"),
    "BFINAL, and a whole tail": bytes.fromhex("f348cdc9c90700000000ffff"),
    "the tail ends a last block": bytes.fromhex("0005 00faff48656c6c6f 01".replace(" ", "")),
    "two last blocks": bytes.fromhex("f348cdc9c90700f348cdc9c90700"),
    "nothing at all": b"",
    "only what the tail makes": b"\x00",
    "cut off": bytes.fromhex("f248cd"),
    "broken": b"\xff\xff\xff",
    "larger than a piece": zlib.compress(bytes(1_200_000), 9, -15)[:-2] + b"\x00",
    "more than is kept": zlib.compress(noise(600), 9, -15) + b"\x00",
}


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("keep", [None, 500])
def test_a_message_that_is_there_at_once_is_inflated_as_in_pieces(takeover: bool, keep: int | None) -> None:
    with every_case(144) as trying:
        for first, second in itertools.product(ENDINGS, repeat=2):
            with trying(first, "-", second):
                _at_once_is_as_in_pieces(takeover, keep, first, second)


def _at_once_is_as_in_pieces(takeover: bool, keep: int | None, first: str, second: str) -> None:
    at_once, in_pieces = (Inflater(bits=15, takeover=takeover, cap=1_100_000, keep=keep) for _ in range(2))
    for data in (ENDINGS[first], ENDINGS[second], ENDINGS["as it should be"]):
        if at_once.dead:
            break
        found = at_once.whole(data)
        in_pieces.begin()
        pieces = in_pieces.feed(data)
        last, kept = in_pieces.finish()
        assert found == (None if in_pieces.failed else (b"".join([*pieces, *last]), kept))
        for name in ("dead", "failed", "is_over", "stored_run", "has_gap"):
            assert getattr(at_once, name) == getattr(in_pieces, name), name
        if not at_once.dead:
            assert at_once.window() == in_pieces.window()
