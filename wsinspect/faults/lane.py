"""One direction of a connection with faults on it: bytes in, a chain of stages, bytes out.

Stages on frames come first, in the order of the rules; then the encoder, which makes bytes of frames again
and re-compresses where the receiver's inflate needs it; then stages on bytes. With nothing held and nothing
changed what leaves is what came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from wsinspect.faults.deflater import Deflater
from wsinspect.faults.frames import End, Item, Piece, Raw, Surroundings, WireFrame, size
from wsinspect.faults.rule import Author, Rule
from wsinspect.faults.splitter import Splitter
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import SHORT, frame_length, header_length
from wsinspect.wire.opcodes import CONTROL_BIT, Direction, Opcode

#: With more than this held, the sender is not read, as behind a full TCP window.
FULL_BYTES: Final = 4 * 1024 * 1024
#: First bytes of frames that are a whole uncompressed message, or a control frame other than CLOSE.
_PLAIN: Final = tuple(0x80 | opcode for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG))


class Sink(Protocol):
    """What comes behind a stage."""

    def push(self, item: Item, now: int) -> None: ...


class LaneStage(Sink, Protocol):
    """What a lane asks of its stages (`stage.Stage`)."""

    rule: Rule
    next: Sink
    due: int | None

    @property
    def is_on_bytes(self) -> bool: ...

    @property
    def byte_order(self) -> int: ...

    @property
    def held(self) -> Iterable[Item]: ...

    @property
    def held_cost(self) -> int: ...

    @property
    def is_empty(self) -> bool: ...

    def wake(self, now: int) -> None: ...

    def release(self, now: int) -> None: ...

    def ignores(self, frame: WireFrame) -> bool: ...


class Owner(Protocol):
    """The connection that a lane belongs to."""

    def sent(self, direction: Direction, data: bytes, late: tuple[int, ...] = ()) -> None: ...

    def held(self, direction: Direction, ordinal: int) -> None: ...

    def ended(self, direction: Direction, how: str) -> None: ...

    def report(
        self, direction: Direction, rule: Rule, ordinal: int | None, detail: Mapping[str, Any], **more: Any
    ) -> None: ...

    def skipped(self, rule: Rule, reason: str) -> None: ...

    def abort(self, to: str, how: str, now: int) -> None: ...

    def close(self, to: str, code: int, reason: str, timeout_ns: int, by: Author, now: int) -> None: ...

    def is_stuck(self, direction: Direction) -> bool: ...

    def say(self, direction: Direction, opcode: str, payload: bytes, by: Author, now: int) -> None: ...

    def lost(self, direction: Direction, frame: WireFrame, by: Author) -> None: ...

    def saw_close(self, direction: Direction, frame: WireFrame, now: int) -> bool: ...


class Encoder:
    """Frames to bytes; the only place that knows what the receiver has inflated so far.

    Attributes:
        has_diverged: whether messages have to be compressed again from here on.
        closed_by: who sent a CLOSE frame of ours, or cut a frame off: nothing follows it.
    """

    def __init__(self, lane: Lane, deflate: DeflateParams | None, boundary: Boundary) -> None:
        self._lane = lane
        self._deflate = deflate
        self._takeover = deflate is not None and deflate.takeover(lane.direction)
        self._deflater: Deflater | None = None
        self._expected = 0
        self._is_mid_frame = not boundary.is_at_frame
        self._is_inside = boundary.is_inside
        self._waiting: list[tuple[Piece | WireFrame, bool]] = []
        self.next: Sink = lane.outlet
        self.has_diverged = False
        self.closed_by: Author | None = None

    def push(self, item: Item, now: int) -> None:
        if isinstance(item, End):
            self.next.push(item, now)
        elif isinstance(item, WireFrame):
            if self.closed_by is not None:
                self._lane.owner.lost(self._lane.direction, item, self.closed_by)
                return
            self._send(item, now)
            if not item.raw[0] & CONTROL_BIT:
                self._is_inside = not item.fin
            if self._waiting:
                self._flush(now)
        elif self.closed_by is None or self._is_mid_frame:
            self.next.push(Piece(item.data, item.ends_frame, None), now)
            self._is_mid_frame = not item.ends_frame
            if item.ends_frame and self._waiting:
                self._flush(now)

    def close(self, data: bytes, by: Author, now: int) -> None:
        """Send this last frame at the next frame boundary, and no other behind it."""
        if self.closed_by is None:
            self.insert(data, now)
            self.closed_by = by

    def insert(self, data: bytes, now: int, *, is_message: bool = False) -> None:
        """Send a frame of ours at the next frame boundary; a message not inside another one."""
        self._waiting.append((Piece(data, True, None), is_message))
        self._flush(now)

    def postpone(self, frames: list[WireFrame], now: int) -> None:
        """Send a message once no other one is under way."""
        self._waiting += ((frame, True) for frame in frames)
        self._flush(now)

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self.has_diverged or self.closed_by is not None)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is at a frame boundary outside of any message, with nothing to send there."""
        return not (self._is_mid_frame or self._is_inside or self._waiting or self.closed_by is not None)

    def _send(self, frame: WireFrame, now: int) -> None:
        data = self._encode(frame) if frame.sequence is not None or frame.altered else frame.raw
        self.next.push(Piece(data, True, frame), now)

    def _flush(self, now: int) -> None:
        if self._is_mid_frame:
            return
        waiting, self._waiting = self._waiting, []
        is_blocked = self._is_inside and self.closed_by is None
        for item, is_message in waiting:
            if is_message and is_blocked:
                self._waiting.append((item, True))
            elif isinstance(item, WireFrame):
                self._send(item, now)
            else:
                self.next.push(item, now)

    def _encode(self, frame: WireFrame) -> bytes:
        message = frame.message
        if self._deflate is None or message is None or not message.compressed:
            return frame.raw
        if not frame.altered:
            if frame.sequence == self._expected and not self.has_diverged:
                self._expected += 1
                return frame.raw
            if not self._takeover:
                return frame.raw
        if self._takeover:
            self.has_diverged = True
        if frame.plain is None:
            return frame.raw  # broken by its sender, or beyond what is inflated
        if self._deflater is None:
            self._deflater = Deflater(self._deflate, self._lane.direction)
        payload = self._deflater.piece(frame.plain, first=frame.opcode != 0, fin=frame.fin)
        return serialize_frame(
            frame.opcode, payload, fin=frame.fin, rsv=frame.raw[0] >> 4 & 7, key=frame.mask_key
        )


class Unsent:
    """Frames that arrived and whose last byte has not been written, by their number.

    What leaves in the turn in which it came costs two lists; the rest is for what is held.
    """

    def __init__(self) -> None:
        self.turn: list[int] = []  # what left since the newest bytes arrived
        self._late: dict[int, WireFrame] = {}
        self._joined: dict[int, list[int]] = {}
        self._gone: set[int] = set()

    def begin(self) -> None:
        """Start a turn: new bytes arrive, and what left in the turn before is forgotten."""
        self.turn.clear()
        self._gone.clear()

    def held(self, arrived: list[WireFrame]) -> list[int]:
        """The numbers of those that are kept back, now that all arrived ones were pushed."""
        if self.turn == [frame.ordinal for frame in arrived]:
            return []
        gone = self._gone.union(self.turn)
        found = {frame.ordinal: frame for frame in arrived if frame.ordinal not in gone}
        self._late.update(found)
        return list(found)

    def left(self, ordinal: int) -> list[int]:
        """Its last byte is written: the numbers of late frames that this was the last byte of."""
        others = self._joined.pop(ordinal, ()) if self._joined else ()
        self.turn.append(ordinal)
        self.turn += others
        if not self._late:
            return []
        return [one for one in (ordinal, *others) if self._late.pop(one, None) is not None]

    def joined(self, last: int, others: list[int]) -> None:
        """One frame with the number `last` stands for these too."""
        if others:
            self._joined[last] = others

    def forget(self, ordinal: int) -> None:
        """It does not leave as a frame, and an event says so."""
        self._gone.add(ordinal)
        self._late.pop(ordinal, None)

    def take(self) -> list[WireFrame]:
        """All that will never leave, in order."""
        late, self._late = self._late, {}
        self._joined.clear()
        return [late[ordinal] for ordinal in sorted(late)]


class Outlet:
    """The end of the chain.

    Attributes:
        is_dead: the receiver has reset the connection: nothing reaches it any more.
    """

    def __init__(self, owner: Owner, direction: Direction, unsent: Unsent) -> None:
        self._owner = owner
        self._direction = direction
        self._unsent = unsent
        self._parts: list[bytes] = []
        self._late: list[int] = []
        self.is_dead = False

    def push(self, item: Item, now: int) -> None:
        if isinstance(item, Raw):
            self._parts.append(item.data)
            if type(item) is Piece and item.ends_frame and item.frame is not None:
                self._late += self._unsent.left(item.frame.ordinal)
        elif isinstance(item, End):
            self.flush()
            self._owner.ended(self._direction, item.how)

    def flush(self) -> None:
        """Hand over what has come, joined."""
        parts, self._parts = self._parts, []
        late, self._late = self._late, []
        if parts and not self.is_dead:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._owner.sent(self._direction, data, tuple(late))


class Lane:
    """See the module docstring.

    Args:
        boundary: where the direction's stream is when faults begin.
        window: what the receiver has inflated before; None where that is not known.
    """

    def __init__(
        self,
        owner: Owner,
        direction: Direction,
        boundary: Boundary,
        *,
        deflate: DeflateParams | None,
        window: bytes | None,
        surroundings: Surroundings,
    ) -> None:
        self.owner = owner
        self.direction = direction
        self.surroundings = surroundings
        self.deflate = deflate
        self.splitter = Splitter(
            direction, boundary, deflate=deflate, window=window, surroundings=surroundings
        )
        self.unsent = Unsent()
        self.outlet = Outlet(owner, direction, self.unsent)
        self.encoder = Encoder(self, deflate, boundary)
        self.stages: list[LaneStage] = []
        self.has_ended = False
        self._first: Sink = self.encoder
        self._ignored = frozenset[int]()

    # Bytes

    def passes(self, data: bytes, now: int) -> bool:
        """Whether these bytes are one frame that no rule is about, with nothing before it.

        Then it is counted, and leaves as it came: the usual chunk where a rule is armed for something rare.
        """
        if (
            data[0] not in self._ignored
            or len(data) < 2
            or (SHORT[data[1]] or frame_length(data)) != len(data)
            or not self.encoder.is_at_rest
        ):
            return False
        for stage in self.stages:
            if not stage.is_empty:
                return False
        return self.splitter.passes(data[0], now)

    def feed(self, data: bytes, now: int) -> None:
        """Take bytes of the sender."""
        owner = self.owner
        push = self._first.push
        unsent = self.unsent
        unsent.begin()
        arrived: list[WireFrame] = []
        for item in self.splitter.feed(data, now):
            if type(item) is WireFrame:
                if item.raw[0] & 0x0F == Opcode.CLOSE and owner.saw_close(self.direction, item, now):
                    continue
                arrived.append(item)
            push(item, now)
        self.outlet.flush()
        for ordinal in unsent.held(arrived):
            owner.held(self.direction, ordinal)

    def end(self, how: str, now: int) -> None:
        """The sender ended its direction."""
        if how != "close_notify":
            self.has_ended = True
        held, _ = self.splitter.give_up()
        if held:
            self._first.push(Raw(held, False), now)
        self._first.push(End(how), now)
        self.outlet.flush()

    def wake(self, now: int) -> None:
        """Let go of what is due."""
        for stage in list(self.stages):
            if stage.due is not None and stage.due <= now:
                stage.wake(now)
        self.outlet.flush()

    @property
    def is_full(self) -> bool:
        """Whether the sender should not be read for now."""
        held = 0
        for stage in self.stages:
            held += stage.held_cost
        return held > FULL_BYTES

    @property
    def is_stuck(self) -> bool:
        """Whether the receiver does not take what was sent: then nothing is to be added."""
        return self.owner.is_stuck(self.direction)

    @property
    def held_bytes(self) -> int:
        """How much is kept back."""
        return sum(size(item) for stage in self.stages for item in stage.held)

    @property
    def holds(self) -> bool:
        """Whether anything is kept back."""
        return any(not stage.is_empty for stage in self.stages)

    @property
    def is_idle(self) -> bool:
        """Whether the lane could be taken away without any difference."""
        return not self.stages and self.encoder.is_idle

    # Stages

    def insert(self, stage: LaneStage, index: int) -> None:
        """Put a stage at its place among those of the rules."""
        self.stages.insert(index, stage)
        self._link()

    def remove(self, stage: LaneStage, now: int) -> None:
        """Take a stage away; what it holds continues at once."""
        stage.release(now)
        self.stages.remove(stage)
        self._link()
        self.outlet.flush()

    def _link(self) -> None:
        frames = [stage for stage in self.stages if not stage.is_on_bytes]
        behind = [stage for stage in self.stages if stage.is_on_bytes]
        behind.sort(key=lambda stage: stage.byte_order)
        self._first = _chain(frames, self.encoder)
        self.encoder.next = _chain(behind, self.outlet)
        self._ignored = frozenset(first for first in _PLAIN if self._is_ignored(first))

    def _is_ignored(self, first: int) -> bool:
        frame = WireFrame(bytes((first, 0)), 2, self.direction, 0, 0)
        frame.lane = self.surroundings
        return all(stage.ignores(frame) for stage in self.stages)

    # What stages ask for

    def report(self, rule: Rule, ordinal: int | None, detail: Mapping[str, Any], **more: Any) -> None:
        """Record a decision about a frame."""
        self.owner.report(self.direction, rule, ordinal, detail, **more)

    def skip(self, rule: Rule, reason: str) -> None:
        """Say that a rule cannot act here."""
        self.owner.skipped(rule, reason)

    def cut_off(self, data: bytes, how: str, by: Author, now: int) -> None:
        """Send the beginning of a frame, behind all that was held before it, and end both sides."""
        self.let_go(now)
        self.encoder.next.push(Piece(data, False, None), now)
        self.let_go(now)
        self.encoder.closed_by = by
        self.owner.abort("both", how, now)

    @property
    def holder(self) -> Author | None:
        """The first rule that keeps something back."""
        return next((stage.rule.author for stage in self.stages if not stage.is_empty), None)

    def let_go(self, now: int) -> None:
        """Send all that is held, as when the rules were disarmed; they stay."""
        for stage in [*self.stages]:
            stage.release(now)
        self.outlet.flush()

    def abort(self, to: str, how: str, now: int) -> None:
        """End without a close frame."""
        self.outlet.flush()
        self.owner.abort(to, how, now)

    def close(self, to: str, code: int, reason: str, timeout_ns: int, by: Author, now: int) -> None:
        """Begin a closing handshake."""
        self.owner.close(to, code, reason, timeout_ns, by, now)

    def join(self, frames: list[WireFrame], content: bytes, key: bytes) -> WireFrame:
        """One frame in the place of a message's frames (or of a control frame).

        Args:
            content: what the receiver reads, neither masked nor compressed.
            key: masks it, where its sender masks (RFC 6455 section 5.3: a fresh one for each frame).
        """
        first, last = frames[0], frames[-1]
        self.unsent.joined(last.ordinal, [frame.ordinal for frame in frames[:-1]])
        masking = key if first.masked else None
        raw = serialize_frame(first.opcode, content, fin=last.fin, rsv=first.raw[0] >> 4 & 7, key=masking)
        made = WireFrame(raw, header_length(raw[1]), self.direction, last.ordinal, last.time_ns)
        made.lane = self.surroundings
        made.altered = True
        made.message = first.message
        made.sequence = first.sequence
        made.plain = content if first.message is not None and first.message.compressed else None
        return made

    def copy(self, frame: WireFrame, key: bytes) -> WireFrame:
        """The same frame once more, masked again where it is masked."""
        raw = frame.raw
        if frame.masked:
            raw = serialize_frame(frame.opcode, frame.payload, fin=frame.fin, rsv=raw[0] >> 4 & 7, key=key)
        made = WireFrame(raw, header_length(raw[1]), self.direction, frame.ordinal, frame.time_ns)
        made.lane = self.surroundings
        made.altered = frame.altered
        made.message = frame.message
        made.fragment = frame.fragment
        made.sequence = frame.sequence
        made.plain = frame.plain
        return made

    def can_alter(self, frame: WireFrame) -> bool:
        """Whether a message can be taken out or changed without breaking what the receiver inflates next."""
        message = frame.message
        if message is None:
            return frame.is_control
        return not message.compressed or frame.plain is not None

    def make(self, opcode: int, payload: bytes, key: bytes) -> bytes:
        """The bytes of a frame of ours: masked as the direction demands (RFC 6455 section 5.1)."""
        is_client = self.direction is Direction.CLIENT_TO_SERVER
        return serialize_frame(opcode, payload, key=key if is_client else None)


def _chain(stages: list[LaneStage], last: Sink) -> Sink:
    for stage in reversed(stages):
        stage.next = last
        last = stage
    return last


def is_data(frame: WireFrame) -> bool:
    """Whether it belongs to a message."""
    return not frame.raw[0] & CONTROL_BIT
