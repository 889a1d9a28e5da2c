"""Stages that hold bytes back: delays, rates, buffering hops and silence."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable

from wsinspect.faults.frames import End, Item, Piece, Raw, WireFrame, cost
from wsinspect.faults.kinds import connections, frames
from wsinspect.faults.lane import FULL_BYTES, Lane
from wsinspect.faults.lossy import LossyLine, Segment
from wsinspect.faults.seeded import Chance
from wsinspect.faults.stage import Armed, K, QueueStage, Stage
from wsinspect.units import MS, SECOND

#: The longest part of a rate-limited frame that leaves at once, in time on the line.
_SLICE_NS = 10 * MS
#: Parts sent in one turn of the event loop; the rest waits, so that other connections get their turn.
_PARTS_AT_ONCE = 200


class LatencyStage(QueueStage[frames.Latency]):
    """Each matching frame leaves later."""

    is_indifferent = True

    def push(self, item: Item, now: int) -> None:
        number = self.admits(item, now) if isinstance(item, WireFrame) else 0
        if number and isinstance(item, WireFrame):
            delay = self._delay(number)
            until = max(now + delay, self.last_due)
            if until > now:
                self.report(item, {"match": number}, planned_ns=until - now)
                self.hold(item, until)
                return
        if self.is_empty:
            self.next.push(item, now)
        else:
            self.hold(item, now)

    def _delay(self, number: int) -> int:
        fault = self.fault
        if not fault.jitter:
            return fault.latency
        if fault.distribution == "normal":
            extra = self.chance.normal(number, "jitter")
        elif fault.distribution == "exponential":
            extra = self.chance.exponential(number, "jitter")
        else:
            extra = 2 * self.chance.uniform(number, "jitter") - 1
        return max(0, fault.latency + int(extra * fault.jitter))


class HoldStage(QueueStage[frames.Hold]):
    """Keeps messages back until the rule's time, count or size is reached, then releases all at once."""

    is_indifferent = True

    def push(self, item: Item, now: int) -> None:
        number = self.admits(item, now) if isinstance(item, WireFrame) else 0
        if isinstance(item, End):
            self.release(now)
            self.next.push(item, now)
        elif number and isinstance(item, WireFrame):
            if self.is_empty:
                self._first_ns = now
                self._count = self._raw_bytes = 0
            self._count += 1
            self._raw_bytes += len(item.raw)
            self.report(item, {"match": number, "held": self._count})
            until = now + (1 << 62) if self.fault.time is None else self._first_ns + self.fault.time
            self.hold(item, until)
            self.due = None if self.fault.time is None else until
            if self._is_enough():
                self.release(now)
        elif self.is_empty:
            self.next.push(item, now)
        else:
            due = self.due
            self.hold(item, now)
            self.due = due

    def _is_enough(self) -> bool:
        count, size = self.fault.count, self.fault.bytes
        return (
            (count is not None and self._count >= count)
            or (size is not None and self._raw_bytes >= size)
            or self.held_cost >= FULL_BYTES  # nothing more would come
        )


class _PieceQueue(Stage[K]):
    """Bytes that leave part by part."""

    is_on_bytes = True
    byte_order = 1

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._queue: deque[tuple[Item, int]] = deque()  # with the number of the match, 0 for none
        self._held = 0
        self._queued_bytes = 0
        self._free_at = 0
        self._offset = 0  # into the first item of the queue

    def push(self, item: Item, now: int) -> None:
        number = self.admits_piece(item, now)
        if not number and not self._queue:
            self.next.push(item, now)
            return
        if not self._queue:
            self._free_at = max(self._free_at, now - self.credit_ns)
        if number and isinstance(item, Piece):
            self.note(item, number, now)
        self._queue.append((item, number))
        self._held += cost(item)
        self._queued_bytes += _length(item)
        self._advance(now)

    @property
    def credit_ns(self) -> int:
        """For how long a pause before may be made up."""
        return 0

    @abstractmethod
    def note(self, piece: Piece, number: int, now: int) -> None:
        """Record it as an event."""

    @abstractmethod
    def part(self, left: int, now: int) -> tuple[int, int]:
        """How many of the bytes that are left leave next, and how long nothing leaves after them."""

    def wake(self, now: int) -> None:
        self._advance(now)

    def _advance(self, now: int) -> None:
        queue = self._queue
        for _ in range(_PARTS_AT_ONCE):
            if not queue or (self._free_at > now and queue[0][1]):
                break
            item, number = queue[0]
            if not number or not isinstance(item, Raw):
                queue.popleft()
                self._held -= cost(item)
                self._queued_bytes -= _length(item)
                self.next.push(item, now)
                continue
            start = self._offset
            size, pause = self.part(len(item.data) - start, now)
            self._offset += size
            self._queued_bytes -= size
            is_last = self._offset >= len(item.data)
            self.next.push(_part(item, start, start + size), now)
            self.lane.outlet.flush()
            self._free_at += pause
            if is_last:
                queue.popleft()
                self._held -= cost(item)
                self._offset = 0
        self.due = max(now, self._free_at) if queue else None

    def release(self, now: int) -> None:
        self._held = self._queued_bytes = 0
        self.due = None
        while self._queue:
            item, _ = self._queue.popleft()
            offset, self._offset = self._offset, 0
            self.next.push(_part(item, offset, len(item.data)) if isinstance(item, Raw) else item, now)

    @property
    def held_cost(self) -> int:
        return self._held

    @property
    def held(self) -> Iterable[Item]:
        return [
            _part(item, self._offset if not at else 0, len(item.data)) if isinstance(item, Raw) else item
            for at, (item, _) in enumerate(self._queue)
        ]

    @property
    def is_empty(self) -> bool:
        return not self._queue


def _length(item: Item) -> int:
    return len(item.data) if isinstance(item, Raw) else 0


def _part(item: Raw, start: int, stop: int) -> Raw:
    """Some of the bytes of an item; which frame they are of is still known."""
    is_last = stop >= len(item.data)
    if not start and is_last:
        return item
    frame, starts = (item.frame, item.starts) if isinstance(item, Piece) else (None, False)
    return Piece(item.data[start:stop], item.ends_frame and is_last, frame, starts and not start)


class BandwidthStage(_PieceQueue[frames.Bandwidth]):
    """A slow line: what was sent occupies it for a while."""

    byte_order = 2

    @property
    def credit_ns(self) -> int:
        return self.fault.burst * SECOND // self.fault.rate

    def part(self, left: int, now: int) -> tuple[int, int]:
        rate = self.fault.rate
        size = min(left, max(1, rate * _SLICE_NS // SECOND))
        return size, size * SECOND // rate

    def note(self, piece: Piece, number: int, now: int) -> None:
        ahead = self._queued_bytes * SECOND // self.fault.rate + max(0, self._free_at - now)
        if ahead or len(piece.data) * SECOND // self.fault.rate > _SLICE_NS:
            own = len(piece.data) * SECOND // self.fault.rate
            self.report(piece.frame, {"match": number}, planned_ns=ahead + own)


class SlicerStage(_PieceQueue[frames.Slicer]):
    byte_order = 4

    def __init__(self, armed: Armed, fault: frames.Slicer, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._segments = 0

    def part(self, left: int, now: int) -> tuple[int, int]:
        self._segments += 1
        size, variation = self.fault.size, self.fault.variation
        if variation:
            size += self.chance.below(2 * variation + 1, self._segments, "size") - variation
        self._free_at = max(self._free_at, now)
        return min(left, size), self.fault.delay

    def note(self, piece: Piece, number: int, now: int) -> None:
        segments = -(-len(piece.data) // self.fault.size)
        self.report(piece.frame, {"match": number, "segments": segments})


class LossStage(Stage[frames.Loss]):
    """A line that loses segments: what TCP sends again comes later, and all that is behind it with it."""

    is_on_bytes = True
    byte_order = 3  # behind a slow line, where segments are what leaves it

    def __init__(self, armed: Armed, fault: frames.Loss, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._line = LossyLine(
            fault.loss,
            fault.correlation,
            fault.rtt,
            fault.rto,
            lambda number: chance.uniform(number, "loss"),
        )
        self._queue: deque[tuple[Item, Segment | None]] = deque()
        self._held = 0

    def push(self, item: Item, now: int) -> None:
        number = self.admits_piece(item, now)
        if not number or not isinstance(item, Piece):
            if self._queue:
                self._hold(item, None)
            else:
                self.next.push(item, now)
            return
        size = self.fault.segment
        segments = [self._line.send(now) for _ in range(0, len(item.data), size)]
        lost = sum(not one.is_here for one in segments)
        if lost:
            self.due = self._line.due
            planned = max(0, (self.due or now) - now)
            detail = {"match": number, "lost": lost, "segments": len(segments)}
            self.report(item.frame, detail, planned_ns=planned)
        if not lost and not self._queue:
            self.next.push(item, now)
            return
        for at, segment in enumerate(segments):
            part = _part(item, at * size, min((at + 1) * size, len(item.data)))
            if segment.is_here and not self._queue:
                self.next.push(part, now)
            else:
                self._hold(part, segment)
        self.due = self._line.due

    def _hold(self, item: Item, segment: Segment | None) -> None:
        self._queue.append((item, segment))
        self._held += cost(item)

    def wake(self, now: int) -> None:
        self._line.wake(now)
        queue = self._queue
        while queue and ((segment := queue[0][1]) is None or segment.is_here):
            item, _ = queue.popleft()
            self._held -= cost(item)
            self.next.push(item, now)
        self.due = self._line.due

    def release(self, now: int) -> None:
        self._held = 0
        self.due = None
        while self._queue:
            self.next.push(self._queue.popleft()[0], now)

    @property
    def held_cost(self) -> int:
        return self._held

    @property
    def held(self) -> Iterable[Item]:
        return [item for item, _ in self._queue]

    @property
    def is_empty(self) -> bool:
        return not self._queue


class BlackholeStage(QueueStage[connections.Blackhole]):
    """Silence: nothing leaves, not even the end."""

    def __init__(self, armed: Armed, fault: connections.Blackhole, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._is_silent = False
        if self.rule.is_timed:
            self.due = armed.since_ns + self.rule.when.start_ns

    def push(self, item: Item, now: int) -> None:
        marks = self.armed.marks
        if "until" in marks and not self._is_silent and not marks.get("over"):
            self._is_silent = True  # begun by a frame of the other direction
            self.due = marks["until"]
        if not self._is_silent:
            self.next.push(item, now)
            if isinstance(item, WireFrame) and not self.armed.fired and not self.rule.is_timed:
                number = self.admits(item, now)
                if number:
                    self._begin(item, number, now)
            return
        if self.fault.data == "drop" and isinstance(item, WireFrame) and self.lane.can_alter(item):
            self.report(item, {"bytes": len(item.raw)}, dropped=True)
            return
        due = self.due
        self.hold(item, now)
        self.due = due

    def _begin(self, frame: WireFrame | None, number: int, now: int) -> None:
        self.armed.fired = True
        until = None if self.fault.for_ is None else now + self.fault.for_
        self.armed.marks["until"] = until
        self._is_silent = True
        self.due = until
        self.report(frame, {"match": number, "for_ms": None if until is None else (until - now) // 10**6})

    def wake(self, now: int) -> None:
        if self._is_silent:
            self._finish(now)
            return
        self.due = None
        if "until" in self.armed.marks:
            self._is_silent, self.due = True, self.armed.marks["until"]
        elif (
            not self.armed.fired
            and self.rule.when.admits_time(now - self.armed.since_ns)
            and self.is_chosen(1)
        ):
            self._begin(None, 1, now)

    def _finish(self, now: int) -> None:
        self.due = None
        self._is_silent = False
        self.armed.marks["over"] = True
        if self.fault.then == "resume":
            self.release(now)
        else:
            self.report(None, {"then": self.fault.then, "how": self.fault.then}, ends=True)
            self.lane.abort("both", self.fault.then, now)

    def release(self, now: int) -> None:
        self._is_silent = False
        super().release(now)

    @property
    def is_over(self) -> bool:
        return not self._is_silent and ("until" not in self.armed.marks or bool(self.armed.marks.get("over")))
