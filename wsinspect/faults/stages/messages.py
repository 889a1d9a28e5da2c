"""Stages that take messages out, change them, or add frames."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from wsinspect.faults.frames import End, Item, Piece, WireFrame, cost
from wsinspect.faults.kinds import frames as kinds
from wsinspect.faults.lane import Lane, is_data
from wsinspect.faults.seeded import Chance
from wsinspect.faults.stage import Armed, K, Stage
from wsinspect.faults.stages.gathering import MessageStage
from wsinspect.wire.close_codes import CloseCode
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import header_length
from wsinspect.wire.opcodes import CONTROL_BIT, Opcode

#: Most bytes of copies of one message, whatever the rule says.
_MOST_COPIED = 64 * 1024 * 1024
#: How much of an injected payload is kept in the ledger.
_KEPT = 4096
OPCODES = {
    "text": Opcode.TEXT,
    "binary": Opcode.BINARY,
    "ping": Opcode.PING,
    "pong": Opcode.PONG,
    "close": Opcode.CLOSE,
}


class DropStage(MessageStage[kinds.Drop]):
    acts_early = True

    def push(self, item: Item, now: int) -> None:
        if self.fault.unit == "frame" and isinstance(item, WireFrame):
            self._judge([item], item, now)
        else:
            super().push(item, now)

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        for at, frame in enumerate(frames):
            detail = {"match": number, "bytes": len(frame.raw)}
            self.report(frame, detail, dropped=True, is_same_hit=at > 0)

    def act_on_fragment(self, frame: WireFrame, now: int) -> None:
        detail = {"bytes": len(frame.raw), "fragment": frame.fragment}
        self.report(frame, detail, dropped=True, is_same_hit=True)
        if frame.fin:
            self._dropped_message = None


class DuplicateStage(MessageStage[kinds.Duplicate]):
    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        size = sum(len(frame.raw) for frame in frames)
        copies = min(self.fault.copies, max(1, _MOST_COPIED // size))
        self.report(frames[-1], {"match": number, "copies": copies})
        self.pass_message(frames, now)
        for turn in range(copies):
            self.pass_message([self._copy(one, number, f"{turn} {at}") for at, one in enumerate(frames)], now)

    def _copy(self, frame: WireFrame, number: int, which: str) -> WireFrame:
        key = self.chance.octets(4, number, f"masking key {which}") if frame.masked else b""
        return self.lane.copy(frame, key)


class ContentStage(MessageStage[K]):
    """Changes what a message says."""

    @abstractmethod
    def change(self, content: bytes, number: int) -> tuple[bytes, dict[str, Any]] | None:
        """The new content and what to note; None to leave it alone."""

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        parts = [frame.content for frame in frames]
        before = b"".join(part for part in parts if part is not None)
        changed = None if None in parts else self.change(before, number)
        if changed is None:
            self.pass_message(frames, now)
            return
        after, detail = changed
        if frames[0].is_control:
            after = after[: kinds.MAX_CONTROL]
        made = self.lane.join(frames, after, self.chance.octets(4, number, "masking key"))
        self.report(frames[-1], {"match": number, **detail, "payload": after[:_KEPT].hex()})
        self.next.push(made, now)


class ReplaceStage(ContentStage[kinds.Replace]):
    def change(self, content: bytes, number: int) -> tuple[bytes, dict[str, Any]] | None:
        find, new = self.fault.find, self.fault.with_
        if find is None:
            return new, {}
        count = content.count(find) if find else 0
        return (content.replace(find, new), {"replaced": count}) if count else None


class CorruptStage(ContentStage[kinds.Corrupt]):
    """Some bytes are others."""

    def change(self, content: bytes, number: int) -> tuple[bytes, dict[str, Any]] | None:
        changed, places = self._flip(content, number, 0)
        return None if not places else (changed, {"at": places})

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        if self.fault.where == "payload":
            super().act(frames, number, now)
            return
        for index, frame in enumerate(frames):
            changed, places = self._flip(frame.raw[frame.header_size :], number, index)
            if places:
                self.report(frame, {"match": number, "where": "wire", "at": places})
                self.next.push(Verbatim(frame, frame.raw[: frame.header_size] + changed), now)
            else:
                self.next.push(frame, now)

    def _flip(self, content: bytes, number: int, index: int) -> tuple[bytes, list[int]]:
        if not content:
            return content, []
        out = bytearray(content)
        places: list[int] = []
        for turn in range(min(self.fault.count, len(content))):
            place = self.chance.below(len(content), number, f"place {index} {turn}")
            out[place] ^= 1 + self.chance.below(255, number, f"bits {index} {turn}")
            places.append(place)
        return bytes(out), sorted(places)


class TruncateStage(ContentStage[kinds.Truncate]):
    def change(self, content: bytes, number: int) -> tuple[bytes, dict[str, Any]] | None:
        if len(content) <= self.fault.to:
            return None
        return content[: self.fault.to], {"cut": len(content) - self.fault.to}

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        if self.fault.where == "payload":
            super().act(frames, number, now)
            return
        last = frames[-1]
        for frame in frames[:-1]:
            self.next.push(frame, now)
        cut = last.raw[: last.header_size + self.fault.to]
        detail = {
            "match": number,
            "where": "wire",
            "sent": len(cut),
            "of": len(last.raw),
            "how": self.fault.how,
        }
        self.lane.let_go(now)  # so that it is known of a copy that the frame itself has left
        self.report(last, detail, ends=True)
        self.lane.cut_off(cut, self.fault.how, self.rule.author, now)


class Verbatim(WireFrame):
    """A frame that leaves as it is, whatever its receiver makes of it."""

    __slots__ = ()

    def __init__(self, like: WireFrame, raw: bytes) -> None:
        super().__init__(raw, like.header_size, like.direction, like.ordinal, like.time_ns)
        self.lane = like.lane


class Overtaken(NamedTuple):
    """A message that waits until `passed` reaches `go_at`, or until its deadline."""

    frames: list[WireFrame]
    go_at: int
    deadline: int
    cost: int


class ReorderStage(MessageStage[kinds.Reorder]):
    """Messages that are overtaken by those behind them.

    All wait for as many messages and as long, so they leave in the order in which they came: nothing is done
    for those behind the first.
    """

    def __init__(self, armed: Armed, fault: kinds.Reorder, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._waiting: deque[Overtaken] = deque()
        self._cost = 0
        self._passed = 0
        self._is_inside = False
        #: Matches that nothing has overtaken yet: the last frame, and the match's number, by ordinal.
        self._numbers: dict[int, tuple[WireFrame, int]] = {}

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        if not is_data(frames[0]):
            self.pass_message(frames, now)
            return
        self._overtake(now)
        size = sum(map(cost, frames))
        self._cost += size
        self._waiting.append(Overtaken(frames, self._passed + self.fault.by, now + self.fault.wait, size))
        self._numbers[frames[-1].ordinal] = frames[-1], number
        self._reckon()

    def pass_message(self, frames: list[WireFrame], now: int) -> None:
        super().pass_message(frames, now)
        if is_data(frames[0]) and frames[-1].fin:
            numbers, self._numbers = self._numbers, {}
            for last, number in numbers.values():  # this is the first one that overtakes them
                self.report(last, {"match": number, "by": self.fault.by})
            self._overtake(now)

    def pass_other(self, item: Item, now: int) -> None:
        if isinstance(item, End):
            self._is_inside = False
            self._leave(now, lambda one: True)
        super().pass_other(item, now)

    def give_up(self, now: int) -> None:
        if self._gathered and isinstance(self._gathered[-1], End):
            self._leave(now, lambda one: True)  # nobody is going to overtake them
        super().give_up(now)

    def _overtake(self, now: int) -> None:
        if self._waiting:
            self._passed += 1
            self._leave(now, lambda one: one.go_at <= self._passed)

    def _leave(self, now: int, is_due: Callable[[Overtaken], bool]) -> None:
        """Let those go whose turn it is, but none inside another message that passes in fragments."""
        if self._is_inside:
            return
        while self._waiting and is_due(self._waiting[0]):
            one = self._waiting.popleft()
            self._cost -= one.cost
            self._numbers.pop(one.frames[-1].ordinal, None)
            super().pass_message(one.frames, now)
        self._reckon()

    def _reckon(self) -> None:
        if not self._gathered:
            self.due = self._waiting[0].deadline if self._waiting else None

    def push(self, item: Item, now: int) -> None:
        super().push(item, now)
        if isinstance(item, WireFrame) and is_data(item):
            # A message that passes unjudged, fragment by fragment; gathered ones pass whole.
            self._is_inside = not item.fin and not self._gathered
            if self._waiting and not self._is_inside:
                self._leave(now, lambda one: one.go_at <= self._passed or one.deadline <= now)

    def wake(self, now: int) -> None:
        if self._is_inside:
            self.due = None
        self._leave(now, lambda one: one.deadline <= now)
        if self._gathered:  # they pass now, and the rest of their message will follow
            self._is_inside = True
            super().wake(now)

    def release(self, now: int) -> None:
        if self._is_inside:
            for one in self._waiting:
                self.lane.encoder.postpone(one.frames, now)
            self._waiting.clear()
            self._cost = 0
        self._leave(now, lambda one: True)
        super().release(now)

    @property
    def is_empty(self) -> bool:
        return super().is_empty and not self._waiting

    @property
    def held_cost(self) -> int:
        return self._cost

    @property
    def held(self) -> Iterable[Item]:
        return [*super().held, *(frame for one in self._waiting for frame in one.frames)]


class FragmentStage(Stage[kinds.Fragment]):
    """One frame as several; the payload stays as it is on the wire."""

    is_on_bytes = True

    def push(self, item: Item, now: int) -> None:
        frame = item.frame if isinstance(item, Piece) else None
        if frame is None or not isinstance(item, Piece) or not is_data(frame) or not item.data:
            self.next.push(item, now)
            return
        made = WireFrame(
            item.data, header_length(item.data[1]), frame.direction, frame.ordinal, frame.time_ns
        )
        number = self.admits_piece(item, now)
        if not number or made.length <= self.fault.size:
            self.next.push(item, now)
            return
        pieces = self._split(made, number)
        self.report(frame, {"match": number, "fragments": len(pieces)})
        for place, piece in enumerate(pieces):
            self.next.push(Piece(piece, True, frame, not place), now)

    def _split(self, frame: WireFrame, number: int) -> list[bytes]:
        payload, rsv = frame.payload, frame.raw[0] >> 4 & 7
        key = frame.mask_key
        size = max(self.fault.size, -(-len(payload) // kinds.Fragment.MAX_PIECES))
        found: list[bytes] = []
        for start in range(0, len(payload), size):
            is_last = start + size >= len(payload)
            opcode = Opcode.CONTINUATION if start else frame.opcode
            part = payload[start : start + size]
            if start and key is not None:
                key = self.chance.octets(4, number, f"masking key {start}")
            found.append(
                serialize_frame(opcode, part, fin=frame.fin and is_last, rsv=0 if start else rsv, key=key)
            )
        return found


class InjectStage(Stage[kinds.Inject]):
    """Frames of ours, at a frame boundary, and never a message inside another one."""

    def __init__(self, armed: Armed, fault: kinds.Inject, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._is_inside = lane.splitter.is_inside
        self._is_mid_frame = not lane.splitter.is_at_frame
        self._postponed: list[tuple[WireFrame | None, int]] = []
        self._turn = 0
        if self.rule.is_timed:  # each direction gets its own
            every = self.rule.when.every
            start = self.rule.when.start_ns
            self._every_ns = every[1] if every is not None else None
            self.due = armed.since_ns + (start or self._every_ns or 0)

    def push(self, item: Item, now: int) -> None:
        if isinstance(item, End):
            self.next.push(item, now)
            return
        if not isinstance(item, WireFrame):
            self.next.push(item, now)
            self._is_mid_frame = not item.ends_frame
            self._catch_up(now)
            return
        number = 0 if self.rule.is_timed else self.admits(item, now)
        if number and self.fault.position == "before":
            self._send(item, number, now)
        self.next.push(item, now)
        self._is_mid_frame = False
        if is_data(item):
            self._is_inside = not item.fin
        if self._postponed:
            self._catch_up(now)
        if number and self.fault.position == "after":
            self._send(item, number, now)

    def wake(self, now: int) -> None:
        self._turn += 1
        self.due = None if self._every_ns is None else now + self._every_ns
        elapsed = now - self.armed.since_ns
        end = self.rule.when.end_ns
        if end is not None and elapsed >= end:
            self.due = None
        elif not self.lane.is_stuck and self.rule.when.admits_time(elapsed) and self.is_chosen(self._turn):
            self._send(None, self._turn, now)

    def _send(self, frame: WireFrame | None, number: int, now: int) -> None:
        opcode = OPCODES[self.fault.opcode]
        is_message = self.fault.raw is None and not opcode & CONTROL_BIT
        if self.lane.has_ended:
            return
        if self._is_mid_frame or (is_message and self._is_inside):
            self._postponed.append((frame, number))
            return
        key = self.chance.octets(4, number, "masking key")
        data = (
            self.fault.raw if self.fault.raw is not None else self.lane.make(opcode, self.fault.payload, key)
        )
        self.report(frame, {"match": number, "sent": data[:_KEPT].hex(), "bytes": len(data)}, injected=True)
        self.next.push(Piece(data, True, None), now)

    def _catch_up(self, now: int) -> None:
        postponed, self._postponed = self._postponed, []
        for frame, number in postponed:
            self._send(frame, number, now)


def close_payload(code: int, reason: str) -> bytes:
    """The body of a CLOSE frame (RFC 6455 section 5.5.1); 0 and 1005 stand for an empty one."""
    if code in (0, CloseCode.NO_STATUS_RECEIVED):
        return b""
    return code.to_bytes(2, "big") + reason.encode()
