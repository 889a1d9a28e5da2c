"""Properties of inflating: what was deflated comes back, and nothing comes out beyond the cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import C2S, Deflater, chunkings
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
