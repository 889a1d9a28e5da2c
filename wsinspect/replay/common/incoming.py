"""What a live peer says: bytes in, messages and control frames out, fragments joined.

Sans-I/O, on the tolerant reader: what breaks the protocol is a fact of a frame.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import Frame
from wsinspect.wire.opcodes import Direction, Opcode
from wsinspect.wire.stream import StreamDecoder

#: Bytes kept of a message; a peer can send any number.
MAX_MESSAGE: Final = 64 * 1024 * 1024


class Received(NamedTuple):
    """A message or a control frame.

    Attributes:
        opcode: TEXT, BINARY, CLOSE, PING or PONG, or a reserved one.
        data: what it says, inflated.
        violation: what is wrong with it.
    """

    opcode: int
    data: bytes
    violation: str | None


class MessageReceiver:
    """Reads one direction of a live peer."""

    def __init__(self, direction: Direction, deflate: DeflateParams | None = None) -> None:
        self._decoder = StreamDecoder(
            direction, deflate=deflate, extensions_known=True, snaplen=MAX_MESSAGE, inflate_cap=MAX_MESSAGE
        )
        self._parts: list[bytes] = []
        self._size = 0
        self._open: int | None = None

    @property
    def lost(self) -> str | None:
        """Why nothing more can be read; None while it can."""
        return self._decoder.lost

    def feed(self, data: bytes, time_ns: int = 0) -> list[Received]:
        """What these bytes complete: whole messages, and control frames in their place."""
        batch = self._decoder.feed(data, time_ns)
        done = {message.last_frame: message for message in batch.messages}
        heard: list[Received] = []
        for number, frame in enumerate(batch.frames, batch.first_frame):
            if frame.message is None:
                if frame.opcode >= Opcode.CLOSE:
                    heard.append(Received(frame.opcode, frame.payload, frame.violation))
                continue
            message = done.get(number)
            if message is not None and message.first_frame == number and message.data is None:
                heard.append(Received(message.opcode, frame.payload, frame.violation))
                continue
            self._collect(frame)
            if message is not None:
                content = b"".join(self._parts) if message.data is None else message.data
                heard.append(Received(message.opcode, content, frame.violation or message.problem))
                self._parts, self._size = [], 0
        return heard

    def _collect(self, frame: Frame) -> None:
        if frame.message != self._open:
            self._open = frame.message
            self._parts, self._size = [], 0
        if self._size < MAX_MESSAGE:
            self._parts.append(frame.payload)
            self._size += len(frame.payload)
