"""Streams to feed a reader with: hypothesis strategies, chunkings, and what is compared."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from wsinspect.wire.deflate import WINDOW, DeflateParams
from wsinspect.wire.frame import Frame, serialize_frame
from wsinspect.wire.messages import Message
from wsinspect.wire.opcodes import Direction, Opcode
from wsinspect.wire.stream import StreamDecoder

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
KEY = b"\x37\xfa\x21\x3d"

directions = st.sampled_from(list(Direction))
keys = st.one_of(st.just(KEY), st.just(b"\0\0\0\0"), st.binary(min_size=4, max_size=4))
payloads = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda seed, size: (seed * size)[:size], st.binary(min_size=1, max_size=7), st.integers(0, 400)
    ),
)
texts = st.text(max_size=40)
deflates = st.one_of(
    st.none(),
    st.builds(
        DeflateParams,
        client_no_context_takeover=st.booleans(),
        server_no_context_takeover=st.booleans(),
        client_max_window_bits=st.sampled_from([9, 12, 15]),
        server_max_window_bits=st.sampled_from([9, 12, 15]),
    ),
)


@dataclass
class Stream:
    """Wire bytes of one direction, and how to read them."""

    direction: Direction
    wire: bytes
    deflate: DeflateParams | None = None
    extensions_known: bool = True
    snaplen: int | None = None
    inflate_cap: int = 1 << 20
    #: Offsets of the frames' first bytes, where they are known.
    offsets: list[int] = field(default_factory=list)

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "deflate": self.deflate,
            "extensions_known": self.extensions_known,
            "snaplen": self.snaplen,
            "inflate_cap": self.inflate_cap,
        }

    def decoder(self) -> StreamDecoder:
        return StreamDecoder(self.direction, **self.arguments)


class Deflater:
    """Compresses messages as a correct endpoint does."""

    def __init__(self, direction: Direction, params: DeflateParams) -> None:
        self._bits = params.window_bits(direction)
        self._takeover = params.takeover(direction)
        self._zlib = zlib.compressobj(6, zlib.DEFLATED, -self._bits)

    def message(self, data: bytes) -> bytes:
        if not self._takeover:
            self._zlib = zlib.compressobj(6, zlib.DEFLATED, -self._bits)
        out = self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        return out.removesuffix(b"\x00\x00\xff\xff")


@st.composite
def valid_streams(draw: st.DrawFn, *, controls_inside: bool = True) -> Stream:
    """What a correct endpoint sends, as RFC 6455 and RFC 7692 want it."""
    direction, deflate = draw(directions), draw(deflates)
    deflater = None if deflate is None else Deflater(direction, deflate)
    out: list[bytes] = []

    def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> None:
        key = draw(keys) if direction is C2S else None
        out.append(serialize_frame(opcode, payload, fin=fin, rsv=rsv, key=key))

    def control() -> None:
        frame(draw(st.sampled_from([Opcode.PING, Opcode.PONG])), draw(st.binary(max_size=125)))

    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 4)) == 0:
            control()
            continue
        is_text = draw(st.booleans())
        data = draw(texts).encode() * draw(st.sampled_from([1, 1, 9])) if is_text else draw(payloads)
        rsv = 0
        if deflater is not None and draw(st.booleans()):
            data, rsv = deflater.message(data), 4
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
        edges = [0, *cuts, len(data)]
        for index, (start, stop) in enumerate(pairwise(edges)):
            if index and controls_inside and draw(st.integers(0, 3)) == 0:
                control()
            opcode = Opcode.CONTINUATION if index else Opcode.TEXT if is_text else Opcode.BINARY
            frame(opcode, data[start:stop], fin=index == len(edges) - 2, rsv=0 if index else rsv)
    if draw(st.integers(0, 2)) == 0:
        code = draw(st.sampled_from([1000, 1001, 1011, 3000, 4999]))
        frame(Opcode.CLOSE, draw(st.sampled_from([b"", code.to_bytes(2, "big") + "bye ✓".encode()])))
    return _stream(direction, out, deflate)


@st.composite
def faulty_streams(draw: st.DrawFn) -> Stream:
    """Frames with anything wrong, and the lengths right; now and then bytes that are no frames at the end."""
    direction, deflate = draw(directions), draw(deflates)
    deflater = Deflater(direction, deflate or DeflateParams())
    out: list[bytes] = []
    for _ in range(draw(st.integers(0, 8))):
        opcode = draw(st.one_of(st.sampled_from([0, 1, 2, 1, 2, 8, 9, 10]), st.integers(0, 15)))
        payload = draw(st.one_of(payloads, texts.map(str.encode)))
        rsv = draw(st.sampled_from([0, 0, 0, 4, 4, 2, 1, 7]))
        if rsv & 4 and draw(st.integers(0, 3)):
            payload = deflater.message(payload)
        expected = direction is C2S
        key = draw(keys) if draw(st.sampled_from([expected, expected, expected, not expected])) else None
        least = 0 if len(payload) < 126 else 2
        length_bytes = draw(st.sampled_from([None, None, None, *{least, 2, 8}]))
        fin = draw(st.sampled_from([True, True, False]))
        out.append(serialize_frame(opcode, payload, fin=fin, rsv=rsv, key=key, length_bytes=length_bytes))
    stream = _stream(direction, out, deflate)
    if draw(st.integers(0, 3)) == 0:
        stream.wire += draw(st.binary(max_size=30))
    stream.extensions_known = draw(st.sampled_from([True, True, False]))
    stream.snaplen = draw(st.sampled_from([None, None, 0, 5, 60]))
    stream.inflate_cap = draw(st.sampled_from([1 << 20, 100]))
    return stream


def _stream(direction: Direction, frames: Sequence[bytes], deflate: DeflateParams | None) -> Stream:
    offsets = [0]
    for frame in frames:
        offsets.append(offsets[-1] + len(frame))
    return Stream(direction, b"".join(frames), deflate, offsets=offsets)


@st.composite
def chunkings(draw: st.DrawFn, wire: bytes) -> list[bytes]:
    """The same bytes in pieces; some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    edges = [0, *cuts, len(wire)]
    return [wire[start:stop] for start, stop in pairwise(edges)]


@dataclass
class Seen:
    """Everything that a decoder gave."""

    frames: list[Frame] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    opaque: bytes = b""
    lost: str | None = None

    @property
    def timeless(self) -> list[Frame]:
        return [frame._replace(first_ns=0, time_ns=0) for frame in self.frames]

    @property
    def violations(self) -> list[str]:
        codes = [code for frame in self.frames for code in (frame.violation or "").split(",") if code]
        return codes + ([self.lost] if self.lost else [])


def read(decoder: StreamDecoder, chunks: Iterable[bytes], seen: Seen | None = None) -> Seen:
    """Feed all; chunk n arrives at time n."""
    seen = Seen() if seen is None else seen
    for time_ns, chunk in enumerate(chunks):
        take(seen, decoder, chunk, time_ns)
    finish(seen, decoder)
    return seen


def take(seen: Seen, decoder: StreamDecoder, chunk: bytes, time_ns: int) -> None:
    """Feed one chunk."""
    batch = decoder.feed(chunk, time_ns)
    assert batch.first_frame == len(seen.frames)
    seen.frames += batch.frames
    seen.messages += batch.messages
    seen.opaque += batch.opaque


def finish(seen: Seen, decoder: StreamDecoder) -> None:
    """End the stream."""
    seen.lost = decoder.lost
    batch = decoder.end()
    assert not batch.frames
    seen.messages += batch.messages
    seen.opaque += batch.opaque


@dataclass
class Storage:
    """What a capture keeps of checkpoints."""

    state: dict[str, Any] = field(default_factory=dict)
    pending: bytes = b""
    window: bytes | None = None

    def save(self, decoder: StreamDecoder) -> None:
        checkpoint = decoder.checkpoint()
        self.state, self.window = checkpoint.state, checkpoint.window
        self.pending = checkpoint.pending if checkpoint.replace else self.pending + checkpoint.pending

    def restore(self, stream: Stream, messages: Sequence[Message]) -> StreamDecoder:
        window = self.window
        if window is None:
            window = b"".join(message.data or b"" for message in messages if message.compressed)[-WINDOW:]
        return StreamDecoder.restore(stream.direction, self.state, self.pending, window, **stream.arguments)
