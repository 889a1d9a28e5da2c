"""The steps of a recorded connection, in order: frames to send again, messages to expect.

Read page by page while it is played, so that a recording of any size can be. What is said of "ours" holds for
the side that is played, "theirs" for the other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from wsinspect.capture import queries
from wsinspect.capture.pages import WireFrame, frames_of
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.formats.transcript import Said, messages
from wsinspect.wire.close_codes import CloseCode, is_legal_on_wire, parse_close
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.masking import unmask
from wsinspect.wire.messages import INFLATE_FAILED, NOT_INFLATED, OVER_CAP
from wsinspect.wire.opcodes import Direction, Opcode

_LEAST_HEADER: Final = 2
_NO_KEY: Final = b"\0\0\0\0"
_NOT_INFLATED: Final = frozenset({INFLATE_FAILED, NOT_INFLATED, OVER_CAP})


class Send(NamedTuple):
    """Bytes to send.

    Attributes:
        wire: them.
        time_ns: when they were sent.
        frame: in the capture; None for bytes that are not a frame.
        opcode: of the frame, or of the whole message; -1 without one.
        ends_message: whether a message is complete with it.
        data: the payload in it.
    """

    wire: bytes
    time_ns: int
    frame: int | None
    opcode: int
    ends_message: bool
    data: bytes


class Expect(NamedTuple):
    """A message, or a CLOSE frame, that the other side sent.

    Attributes:
        opcode: TEXT, BINARY or CLOSE.
        data: what it said.
        time_ns: when.
        frame: its last frame; None where it came by long-polling.
        is_cut: whether the recording has only the beginning.
    """

    opcode: int
    data: bytes
    time_ns: int
    frame: int | None
    is_cut: bool


class Style(NamedTuple):
    """How to send what was recorded.

    Attributes:
        normalise: whole messages, a correct close, no control frames of the recording.
        may_compress: frames with compressed data may be sent as they are.
        masked: with the recorded masking keys; a server sends without.
        whole: whole messages, all else as recorded.
    """

    normalise: bool = False
    may_compress: bool = False
    masked: bool = True
    whole: bool = False


class Cut(NamedTuple):
    """Frames of which the recording has only the beginning."""

    ours: int
    theirs: int


def cut_frames(capture: Capture, connection: int, ours: Direction) -> Cut:
    """How many frames were cut by `--snaplen`, or evicted."""
    counts = [queries.count_cut_frames(capture, connection, side) for side in (ours, ours.other)]
    return Cut(*counts)


def has_compressed(capture: Capture, connection: int, side: Direction) -> bool:
    """Whether a direction has compressed messages."""
    return queries.has_compressed(capture, connection, side)


def recorded_end(capture: Capture, connection: int) -> tuple[str | None, str | None]:
    """Which peer's transport ended first, and how; None where the proxy ended it, or nobody saw the end."""
    for event in capture.events(connection):
        if event.kind == "end":
            side = event.detail.get("side")
            return (side, event.detail.get("how")) if side in ("client", "server") else (None, None)
    return None, None


def has_faults(capture: Capture, connection: int) -> bool:
    """Whether something was done on purpose to a connection when it was recorded."""
    return queries.has_faults(capture, connection)


def steps(
    capture: Capture, connection: Connection, ours: Direction, style: Style, before: Sequence[Said] = ()
) -> Iterator[Send | Expect]:
    """What happened, in order; `before` is what the session said by long-polling, ahead of its WebSocket."""
    return _Script(capture, connection, ours, style, before).steps()


class _Script:
    def __init__(
        self,
        capture: Capture,
        connection: Connection,
        ours: Direction,
        style: Style,
        before: Sequence[Said],
    ) -> None:
        self._capture = capture
        self._before = before
        self._connection = connection.id
        self._ours = ours
        self._style = style
        self._said = messages(capture, connection.id)
        self._next: Said | None = next(self._said, None)
        self._opaque = queries.opaque_pieces(self._capture, self._connection, self._ours)
        self._next_opaque = next(self._opaque, None)
        self._compressed = queries.compressed_messages(self._capture, self._connection, self._ours)
        self._next_compressed = next(self._compressed, None)
        self._answers = self._answering_pongs()
        self._next_answer = next(self._answers, None)
        self._is_closed = False

    def steps(self) -> Iterator[Send | Expect]:
        for said in self._before:
            if said.direction is self._ours:
                yield Send(self._whole(said), said.time_ns, None, said.opcode, True, said.data)
            else:
                yield Expect(said.opcode, said.data, said.time_ns, None, False)
        yield from self._loose(0)
        for frame in frames_of(self._capture, self._connection):
            yield from self._frame(frame)

    def _frame(self, frame: WireFrame) -> Iterator[Send | Expect]:
        frame_id, side, bits, time_ns, header, payload, message_id, _, wire_length = frame
        said = self._ended_by(frame_id)
        opcode = bits >> 8 & 15
        payload = payload or b""
        if len(header) < _LEAST_HEADER:  # a hostile file may claim it
            header = bytes((bits >> 8 & 255, bits & 127))
        is_cut = wire_length != len(header) + len(payload)
        if bool(side) != bool(self._ours):
            if said is not None:
                is_lost = said.problem in _NOT_INFLATED
                data = b"" if is_lost else said.data
                yield Expect(said.opcode, data, time_ns, frame_id, said.is_cut or is_lost)
            elif opcode == Opcode.CLOSE:
                yield Expect(opcode, payload, time_ns, frame_id, is_cut)
            return
        is_answer = opcode == Opcode.PONG and self._is_answer(frame_id)
        is_compressed = message_id is not None and self._is_compressed(message_id)
        wire = None
        if opcode >= Opcode.CLOSE:
            if not is_answer:
                wire = self._control(opcode, header, payload, is_cut)
        elif self._style.normalise or self._style.whole or (is_compressed and not self._style.may_compress):
            if said is not None and said.problem not in _NOT_INFLATED:
                wire, opcode = self._whole(said), said.opcode
        else:
            wire = self._as_recorded(opcode, header, payload, is_cut)
        if wire is not None:
            data = said.data if said is not None else payload
            yield Send(wire, time_ns, frame_id, opcode, said is not None, data)
        yield from self._loose(frame_id)

    def _control(self, opcode: int, header: bytes, payload: bytes, is_cut: bool) -> bytes | None:
        if not self._style.normalise:
            return self._as_recorded(opcode, header, payload, is_cut)
        if opcode != Opcode.CLOSE or self._is_closed:
            return None
        self._is_closed = True
        code, _ = parse_close(payload)
        body = payload
        if code is None or not is_legal_on_wire(code):
            body = int(CloseCode.NORMAL_CLOSURE).to_bytes(2, "big")
        return serialize_frame(opcode, body[:125], key=self._key)

    def _as_recorded(self, opcode: int, header: bytes, payload: bytes, is_cut: bool) -> bytes:
        """The bytes on the wire; of a frame that was cut, one with what is left of it."""
        is_masked = header[1] >= 0x80
        if is_cut or (is_masked and not self._style.masked):
            fin, rsv = header[0] >= 0x80, header[0] >> 4 & 7
            return serialize_frame(opcode, payload, fin=fin, rsv=rsv, key=self._key)
        return header + (unmask(payload, header[-4:]) if is_masked else payload)

    def _whole(self, said: Said) -> bytes:
        return serialize_frame(said.opcode, said.data, key=self._key)

    @property
    def _key(self) -> bytes | None:
        """RFC 6455 section 5.1: a client masks. Nobody is attacked by a replay, so a key of zeros does."""
        return _NO_KEY if self._ours is Direction.CLIENT_TO_SERVER else None

    def _ended_by(self, frame_id: int) -> Said | None:
        said = self._next
        if said is None or said.last_frame != frame_id:
            return None
        self._next = next(self._said, None)
        return said

    def _loose(self, after_frame: int) -> Iterator[Send]:
        """Bytes that are not frames, which came after this frame of ours."""
        while self._next_opaque is not None and self._next_opaque[0] <= after_frame:
            _, time_ns, data = self._next_opaque
            self._next_opaque = next(self._opaque, None)
            if not self._style.normalise:
                yield Send(data, time_ns, None, -1, False, data)

    def _is_compressed(self, message_id: int) -> bool:
        while self._next_compressed is not None and self._next_compressed < message_id:
            self._next_compressed = next(self._compressed, None)
        return self._next_compressed == message_id

    def _answering_pongs(self) -> Iterator[int]:
        """Frame ids of our pongs that answer a ping: now they answer the pings that come now."""
        leg = "client" if self._ours is Direction.CLIENT_TO_SERVER else "server"
        return queries.answering_pongs(self._capture, self._connection, leg)

    def _is_answer(self, frame_id: int) -> bool:
        while self._next_answer is not None and self._next_answer < frame_id:
            self._next_answer = next(self._answers, None)
        return self._next_answer == frame_id
