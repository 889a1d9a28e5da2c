"""Properties of inflating: what was deflated comes back, and nothing comes out beyond the cap."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import C2S, Deflater, chunkings
from wsinspect.wire import deflate as deflate_module
from wsinspect.wire.deflate import DeflateParams, Inflater

data_blocks = st.builds(lambda unit, times: unit * times, st.binary(max_size=30), st.integers(1, 2000))
params = st.builds(
    DeflateParams,
    client_no_context_takeover=st.booleans(),
    client_max_window_bits=st.integers(8, 15),
)


def inflater_for(accepted: DeflateParams, *, cap: int, keep: int | None = None) -> Inflater:
    return Inflater(bits=accepted.window_bits(C2S), takeover=accepted.takeover(C2S), cap=cap, keep=keep)


@given(params, st.lists(data_blocks, max_size=5), st.integers(0, 70_000), st.data())
def test_messages_come_back_and_none_is_kept_beyond_the_cap(accepted, blocks, cap, data: st.DataObject):
    deflater, inflater = Deflater(C2S, accepted), inflater_for(accepted, cap=cap)
    for block in blocks:
        inflater.begin()
        out = [
            piece for chunk in data.draw(chunkings(deflater.message(block))) for piece in inflater.feed(chunk)
        ]
        last, kept = inflater.finish()
        assert b"".join([*out, *last]) == block
        assert inflater.length == len(block)
        assert kept == (block if len(block) <= cap else None)


@given(st.lists(st.binary(max_size=200), max_size=6), st.integers(0, 100), st.integers(0, 100))
def test_nothing_raises_and_the_cap_holds_when_data_are_arbitrary(payloads, cap, keep):
    inflater = inflater_for(DeflateParams(), cap=cap, keep=keep)
    for payload in payloads:
        inflater.begin()
        inflater.feed(payload)
        _, kept = inflater.finish()
        assert kept is None or len(kept) <= min(cap, keep)
        assert len(inflater.window()) <= 32768


@st.composite
def compressed(draw: st.DrawFn, takeover: bool) -> list[bytes]:
    """Messages: right ones, also empty, stored, or with final blocks; and broken ones."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    out: list[bytes] = []
    for _ in range(draw(st.integers(0, 6))):
        if not takeover:
            deflater = zlib.compressobj(draw(st.sampled_from([0, 6])), zlib.DEFLATED, -15)
        text = draw(data_blocks)[:70_000]
        kind = draw(st.sampled_from(["right", "right", "right", "empty", "final", "inside", "cut", "noise"]))
        whole = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
        if kind in ("final", "inside"):
            whole = _final(text)
            if kind == "inside":
                whole += _final(text[:5]) + b"\0"
        elif kind == "empty":
            whole = b""
        elif kind == "cut":
            whole = whole[: draw(st.integers(0, len(whole)))]
        elif kind == "noise":
            whole = draw(st.binary(max_size=60))
        out.append(whole.removesuffix(b"\0\0\xff\xff"))
    return out


def _final(text: bytes) -> bytes:
    one = zlib.compressobj(6, zlib.DEFLATED, -15)
    return one.compress(text) + one.flush()


@given(
    st.booleans(),
    st.sampled_from([10, 70_000, 1 << 20]),
    st.sampled_from([None, 0, 7, 5000]),
    st.sampled_from([64, 1 << 20]),
    st.data(),
)
def test_a_message_at_once_is_that_in_pieces(
    takeover: bool, cap: int, keep: int | None, piece: int, data: st.DataObject
) -> None:
    """What comes out, what is kept of it, and all that later messages or a restart depend on."""
    whole = Inflater(bits=15, takeover=takeover, cap=cap, keep=keep)
    pieces = Inflater(bits=15, takeover=takeover, cap=cap, keep=keep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflate_module, "_OUTPUT_PIECE", piece)
        for message in data.draw(compressed(takeover)):
            if whole.dead:
                break
            found = whole.whole(message)
            pieces.begin()
            out = pieces.feed(message)
            last, kept = pieces.finish()
            assert found == (None if pieces.failed else (b"".join([*out, *last]), kept))
            assert _state(whole) == _state(pieces)


def _state(inflater: Inflater) -> tuple[object, ...]:
    facts = (inflater.dead, inflater.failed, inflater.before, inflater.stored_run, inflater.has_gap)
    return facts if inflater.failed else (*facts, inflater.length, inflater.is_over, inflater.window())
