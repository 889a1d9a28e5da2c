"""Properties of the reader: no chunking and no restart changes what it sees, and nothing makes it raise."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import (
    Seen,
    Storage,
    Stream,
    chunkings,
    directions,
    faulty_streams,
    finish,
    read,
    take,
    valid_streams,
)
from wsinspect.wire import stream as stream_module
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.oracle import Oracle
from wsinspect.wire.violations import VIOLATIONS

any_stream = st.one_of(valid_streams(), faulty_streams())
#: From which size on a frame is not read again but taken in pieces; small, so that short examples get there.
limits = st.sampled_from([0, 8, 64, 4096])


@given(any_stream, limits, st.data())
def test_chunking_changes_nothing_when_bytes_are_the_same(stream: Stream, limit: int, data: st.DataObject):
    whole = read(stream.decoder(), [stream.wire])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "REREAD_LIMIT", limit)
        pieces = read(stream.decoder(), data.draw(chunkings(stream.wire)))
        single = read(stream.decoder(), [stream.wire[i : i + 1] for i in range(len(stream.wire))])
    for other in (pieces, single):
        assert other.timeless == whole.timeless
        assert other.messages == whole.messages
        assert other.opaque == whole.opaque
        assert other.lost == whole.lost


@given(any_stream, limits, st.data())
def test_times_are_those_of_first_and_last_byte(stream: Stream, limit: int, data: st.DataObject):
    chunks = data.draw(chunkings(stream.wire))
    arrival = [time_ns for time_ns, chunk in enumerate(chunks) for _ in chunk]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "REREAD_LIMIT", limit)
        seen = read(stream.decoder(), chunks)
    offset = 0
    for frame in seen.frames:
        assert frame.first_ns == arrival[offset]
        offset += frame.wire_length
        assert frame.time_ns == arrival[offset - 1]


@given(any_stream)
def test_frames_and_opaque_bytes_make_the_wire_bytes_again(stream: Stream):
    stream.snaplen = None
    seen = read(stream.decoder(), [stream.wire])
    assert b"".join(frame.wire_bytes for frame in seen.frames) + seen.opaque == stream.wire
    for frame in seen.frames:
        again = serialize_frame(
            frame.opcode,
            frame.payload,
            fin=frame.fin,
            rsv=frame.header[0] >> 4 & 7,
            key=frame.mask_key,
            length_bytes=len(frame.header) - 2 - (4 if frame.masked else 0),
        )
        assert again == frame.wire_bytes


@given(any_stream, st.integers(0, 400))
def test_a_snap_length_cuts_payloads_and_nothing_else(stream: Stream, snaplen: int):
    stream.snaplen = None
    whole = read(stream.decoder(), [stream.wire])
    stream.snaplen = snaplen
    cut = read(stream.decoder(), [stream.wire])
    for frame, short in zip(whole.timeless, cut.timeless, strict=True):
        keep = max(snaplen, 125) if frame.opcode & 8 else snaplen
        assert short == frame._replace(payload=frame.payload[:keep])
    for message, short_message in zip(whole.messages, cut.messages, strict=True):
        expected = None if message.data is None else message.data[:snaplen]
        assert short_message == message._replace(data=expected)


@given(any_stream, limits, st.data())
def test_a_restart_changes_nothing_wherever_it_comes(stream: Stream, limit: int, data: st.DataObject):
    chunks = data.draw(chunkings(stream.wire))
    steps = data.draw(
        st.lists(st.sampled_from(["", "save", "restart"]), min_size=len(chunks), max_size=len(chunks))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "REREAD_LIMIT", limit)
        plain = read(stream.decoder(), chunks)
        seen, storage, decoder = Seen(), Storage(), stream.decoder()
        for time_ns, (chunk, step) in enumerate(zip(chunks, steps, strict=True)):
            take(seen, decoder, chunk, time_ns)
            if step:
                storage.save(decoder)
                storage.state = json.loads(json.dumps(storage.state))
            if step == "restart":
                decoder = storage.restore(stream, seen.messages)
                assert decoder.frame_count == len(seen.frames)
        finish(seen, decoder)
    assert seen == plain


@given(any_stream, st.data())
def test_a_restart_keeps_frames_and_messages_in_step_when_too_much_was_pending(
    stream: Stream, data: st.DataObject
):
    chunks = data.draw(chunkings(stream.wire))
    restarts = data.draw(st.lists(st.booleans(), min_size=len(chunks), max_size=len(chunks)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "REREAD_LIMIT", 10)
        patch.setattr(stream_module, "PENDING_LIMIT", 30)
        plain = read(stream.decoder(), chunks)
        seen, storage, decoder = Seen(), Storage(), stream.decoder()
        for time_ns, (chunk, is_restarted) in enumerate(zip(chunks, restarts, strict=True)):
            take(seen, decoder, chunk, time_ns)
            if is_restarted:
                storage.save(decoder)
                decoder = storage.restore(stream, seen.messages)
        finish(seen, decoder)
    for frame, expected in zip(seen.frames, plain.frames, strict=True):
        assert frame == expected._replace(payload=frame.payload, violation=frame.violation)
        assert expected.payload.startswith(frame.payload)
    for message, wanted in zip(seen.messages, plain.messages, strict=True):
        assert message[:5] == wanted[:5]
        assert message == wanted or message.problem == "not-inflated"


@given(directions, st.binary(max_size=300), st.data())
def test_nothing_raises_and_no_byte_is_lost_when_bytes_are_arbitrary(
    direction, wire: bytes, data: st.DataObject
):
    stream = Stream(direction, wire)
    seen = read(stream.decoder(), data.draw(chunkings(wire)))
    assert b"".join(frame.wire_bytes for frame in seen.frames) + seen.opaque == wire
    assert set(seen.violations) <= set(VIOLATIONS)


@given(valid_streams(controls_inside=False))
def test_reader_and_oracle_agree_when_a_stream_is_valid(stream: Stream):
    seen = read(stream.decoder(), [stream.wire])
    oracle = Oracle(stream.direction, stream.deflate)
    oracle.feed(stream.wire)
    assert oracle.failure is None
    assert seen.violations == []
    assert heard(seen) == [(item.opcode, item.data) for item in oracle.heard]


@given(valid_streams())
def test_a_valid_stream_has_no_violation_and_no_problem(stream: Stream):
    seen = read(stream.decoder(), [stream.wire])
    assert seen.violations == []
    assert all(message.problem is None for message in seen.messages)
    assert all(message.valid_text is not False for message in seen.messages)
    assert seen.opaque == b""


def heard(seen: Seen) -> list[tuple[int, bytes]]:
    """Messages and control frames in the order in which they ended."""
    messages = {message.last_frame: message for message in seen.messages if message.problem is None}
    out = []
    for index, frame in enumerate(seen.frames):
        if frame.opcode & 8:
            out.append((frame.opcode, frame.payload))
        elif (message := messages.get(index)) is not None:
            parts = [part.payload for part in seen.frames if part.message == message.ordinal]
            out.append((message.opcode, message.data if message.data is not None else b"".join(parts)))
    return out


@given(faulty_streams())
def test_the_reader_names_a_violation_when_the_oracle_fails(stream: Stream):
    """Exceptions: wsproto's known errors (see the oracle's docstring), and frames that are not complete."""
    stream.extensions_known = True
    decoder = stream.decoder()
    batch = decoder.feed(stream.wire, 0)
    complete = sum(frame.wire_length for frame in batch.frames)
    oracle = Oracle(stream.direction, stream.deflate)
    oracle.feed(stream.wire[:complete])
    if oracle.failure is None or is_wsproto_error(batch.frames):
        return
    assert any(frame.violation for frame in batch.frames), oracle.failure


def is_wsproto_error(frames) -> bool:
    if any(has_final_block(frame.payload) for frame in frames if frame.rsv1):
        return True
    is_open = is_compressed = False
    for frame in frames:
        if frame.opcode == 8:
            return frame.payload[:2] == (1014).to_bytes(2, "big")
        if frame.opcode & 8:
            if is_open and is_compressed:
                return True
            continue
        if frame.opcode in (1, 2):
            is_compressed = frame.rsv1
        is_open = not frame.fin
    return False


def has_final_block(payload: bytes) -> bool:
    inflate = zlib.decompressobj(-15)
    try:
        inflate.decompress(payload)
    except zlib.error:
        return False
    return inflate.eof
