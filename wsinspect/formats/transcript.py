"""The messages of a connection with their data, page by page: what formats without frames can say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsinspect.capture.pages import frames_of
from wsinspect.capture.queries import stored_messages
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Message
from wsinspect.errors import CaptureError
from wsinspect.wire.opcodes import Direction

_STORED_ROWS: Final = 1000
#: More than any row id of SQLite.
_ALL_READ: Final = 1 << 63
#: RFC 6455 section 5.4: fragments of two messages are never mixed. Each message that claims them costs a look
#: at all frames between its first and last one, so a file that was made to do so would take forever.
MOST_OVERLAPS: Final = 1000
#: FIN with TEXT or BINARY.
_WHOLE: Final = frozenset({0x81, 0x82})
_DIRECTIONS: Final = (Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT)


class Said(NamedTuple):
    """A message as it was said.

    Attributes:
        id: of the message: that of its first frame.
        direction: who said it.
        opcode: TEXT or BINARY.
        time_ns: when its last byte came.
        data: inflated; cut where the recording was.
        is_cut: whether `data` is not all of it.
        length: bytes of all of it; None where nobody knows.
        problem: of `Message`.
        last_frame: its last frame.
    """

    id: int
    direction: Direction
    opcode: int
    time_ns: int
    data: bytes
    is_cut: bool
    length: int | None
    problem: str | None
    last_frame: int


def messages(capture: Capture, connection_id: int) -> Iterator[Said]:
    """The messages of a connection, in the order in which they were complete."""
    stored = _Stored(capture, connection_id)
    new = tuple.__new__
    for frame_id, side, bits, time_ns, header, payload, message_id, violation, wire_length in frames_of(
        capture, connection_id
    ):
        if message_id is None:
            continue
        if message_id > stored.read_to:
            stored.advance(message_id)
        message = stored.open.get(message_id)
        if message is not None:
            if message.last_frame == frame_id:
                yield stored.said(stored.open.pop(message_id), time_ns)
        elif message_id == frame_id and (kind := bits >> 8) in _WHOLE:
            data = payload if isinstance(payload, bytes) else b""
            length = wire_length - len(header)
            is_cut = length != len(data)
            direction = _DIRECTIONS[bool(side)]
            # What nearly all are; `Said(...)` takes twice as long.
            yield new(
                Said,
                (frame_id, direction, kind & 15, time_ns, data, is_cut, length, violation, frame_id),
            )
    yield from stored.rest()


class _Stored:
    """The messages that have rows of their own, read as the frames go by.

    Attributes:
        open: those read whose last frame has not come.
        read_to: all up to this id are read.
    """

    def __init__(self, capture: Capture, connection_id: int) -> None:
        self._capture = capture
        self._connection = connection_id
        self.open: dict[int, Message] = {}
        self.read_to = 0
        self._ends = [0, 0]
        self._overlaps = 0

    def said(self, message: Message, time_ns: int) -> Said:
        whole = self._capture.message(message.id) if message.compressed else message
        data = self._capture.message_payload(whole or message)
        has_data = whole is not None and whole.data is not None
        # Without data and without a problem it was evicted; with a problem its compressed bytes stand for it.
        is_inflated = not message.compressed or has_data or message.problem is None
        is_cut = is_inflated and message.length is not None and len(data) != message.length
        last = message.last_frame if message.last_frame is not None else message.first_frame
        return Said(
            message.id,
            message.direction,
            message.opcode,
            time_ns,
            data,
            is_cut,
            message.length,
            message.problem,
            last,
        )

    def rest(self) -> Iterator[Said]:
        """Messages whose last frame never came."""
        for message in sorted(self.open.values()):
            frame = self._capture.frame(message.first_frame)
            yield self.said(message, frame.time_ns if frame else 0)._replace(problem="unfinished")

    def advance(self, message_id: int) -> None:
        """Read those up to this id."""
        while self.read_to < message_id:
            rows = stored_messages(self._capture, self._connection, self.read_to, _STORED_ROWS)
            for row in rows:
                direction = Direction(row[2] == "s2c")
                self.open[row[0]] = Message(*row)._replace(direction=direction, compressed=bool(row[6]))
                self.read_to = row[0]
                self._check_overlap(direction, row[4], row[5])
            if len(rows) < _STORED_ROWS:
                self.read_to = _ALL_READ

    def _check_overlap(self, direction: Direction, first: Any, last: Any) -> None:
        if isinstance(first, int) and isinstance(last, int):
            self._overlaps += first <= self._ends[direction]
            self._ends[direction] = max(self._ends[direction], last)
            if self._overlaps > MOST_OVERLAPS:
                raise CaptureError(f"{self._capture.path} is damaged: its messages overlap")
