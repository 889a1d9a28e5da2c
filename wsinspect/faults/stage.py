"""One rule on one direction of one connection: items in, items out to the next stage.

A stage never reads a clock: `push` and `wake` are given the time, `due` says when it wants to be woken. What
a stage holds it lets go in order, the end of the direction included. `release` empties it for its removal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar

from wsinspect.faults.frames import Item, Piece, WireFrame, cost
from wsinspect.faults.kinds import FaultKind
from wsinspect.faults.lane import Lane, Sink
from wsinspect.faults.rule import Rule
from wsinspect.faults.seeded import Chance
from wsinspect.filters.facts import FrameFacts

K = TypeVar("K", bound=FaultKind)
#: Filter keys that a first fragment answers as well as the whole message does.
_EARLY_KEYS: Final = frozenset(
    ("op", "dir", "conn", "proto", "path", "header", "host", "tap", "masked", "rsv1", "t")
)
#: Filter keys that the first byte of a whole frame answers on a known connection.
_HEAD_KEYS: Final = frozenset(("op", "dir", "conn", "proto", "path", "header", "host", "tap", "fin", "rsv1"))


class Armed:
    """A rule on one connection, shared by its stages of both directions.

    Attributes:
        since_ns: from when its times count.
        fired: whether a trigger has acted.
        marks: what the stages of a kind tell each other.
    """

    def __init__(self, rule: Rule, since_ns: int, opened_ns: int) -> None:
        self.rule = rule
        self.since_ns = since_ns
        self.opened_ns = opened_ns
        self.fired = False
        self.marks: dict[str, Any] = {}
        self.predicate: Callable[[FrameFacts], bool] | None = None
        self.early_predicate: Callable[[FrameFacts], bool] | None = None
        self.head_predicate: Callable[[FrameFacts], bool] | None = None
        if rule.filter is not None and not rule.selects_connections:
            self.predicate = rule.filter.frame_predicate()
            if rule.filter.keys <= _EARLY_KEYS:
                self.early_predicate = self.predicate
            if rule.filter.keys <= _HEAD_KEYS:
                self.head_predicate = self.predicate


class Stage(ABC, Generic[K]):
    """Base: passes everything on.

    Attributes:
        due: when it wants to be woken; None for never.
        is_on_bytes: whether it works behind the encoder, on pieces of bytes.
        byte_order: of the stages there; those that need whole frames come first.
        is_indifferent: whether, while it is empty, a whole frame that its filter does not admit passes and
            leaves no trace but in the counts of `admits`.
    """

    is_on_bytes: ClassVar[bool] = False
    byte_order: ClassVar[int] = 0
    is_indifferent: ClassVar[bool] = False

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        self.armed = armed
        self.rule = armed.rule
        self.fault = fault
        self.lane = lane
        self.chance = chance
        self.next: Sink = lane.encoder
        self.due: int | None = None
        self._matched = 0
        self._frames = 0
        self._bytes = 0
        self._number = 0  # of the frame under way, where a stage works on pieces
        when = self.rule.when
        self._is_always = not when.settings() and self.rule.probability >= 1

    def push(self, item: Item, now: int) -> None:
        """Take an item from the stage before; what is to leave is pushed into `next`."""
        self.next.push(item, now)

    def wake(self, now: int) -> None:
        """Called once `due` has come; an override sets `due` for the next time."""

    def release(self, now: int) -> None:
        """Let go of everything held: the stage is about to be removed."""

    def ignores(self, frame: WireFrame) -> bool:
        """Whether, while it is empty, whole frames with this one's first byte pass as if it was not there."""
        after = self.rule.when.after
        predicate = self.armed.head_predicate
        return (
            self.is_indifferent
            and predicate is not None
            and (after is None or after[0] == "time")
            and not predicate(frame)
        )

    @property
    def held_cost(self) -> int:
        """Memory of what it keeps back without a bound of its own; with much of it the sender is not read."""
        return 0

    @property
    def held(self) -> Iterable[Item]:
        """What it keeps back."""
        return ()

    @property
    def is_empty(self) -> bool:
        """Whether it keeps nothing back."""
        return True

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it: of what a phase does once."""
        return True

    def admits(self, facts: FrameFacts, now: int) -> int:
        """Whether the rule acts on this frame or message: the number of the match, 0 for no."""
        passed = (self._frames, self._bytes)
        self._frames += 1
        self._bytes += facts.wire_length
        if self.fault.is_trigger:  # a single action happens after the frame that completes the number
            passed = (self._frames, self._bytes)
        predicate = self.armed.predicate
        if predicate is not None and not predicate(facts):
            return 0
        self._matched += 1
        if self._is_always:
            return self._matched
        when = self.rule.when
        acts = (
            when.admits_time(now - self.armed.since_ns)
            and when.admits_number(self._matched)
            and when.admits_amount(*passed)
            and self.is_chosen(self._matched)
        )
        return self._matched if acts else 0

    def admits_piece(self, item: Item, now: int) -> int:
        """The same for some of the bytes of a frame, which its first ones decide; 0 for bytes of no frame."""
        if not isinstance(item, Piece) or item.frame is None:
            return 0
        if item.starts:
            self._number = self.admits(item.frame, now)
        return self._number

    def is_chosen(self, number: int) -> bool:
        """The draw of the rule's probability."""
        probability = self.rule.probability
        return probability >= 1 or self.chance.uniform(number) < probability

    def report(self, frame: WireFrame | None, detail: Mapping[str, Any], **more: Any) -> None:
        """Record a decision that acted."""
        ordinal = None if frame is None else frame.ordinal
        self.lane.report(self.rule, ordinal, detail, **more)


class QueueStage(Stage[K]):
    """Holds items back in order, each until its time; what is behind a held item waits."""

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._queue: deque[tuple[int, Item]] = deque()
        self._held = 0

    def hold(self, item: Item, until: int) -> None:
        """Queue an item; it leaves not before those ahead of it."""
        if self._queue:
            until = max(until, self._queue[-1][0])
        self._queue.append((until, item))
        self._held += cost(item)
        self.due = self._queue[0][0]

    @property
    def last_due(self) -> int:
        """When the newest held item leaves; 0 where none is held."""
        return self._queue[-1][0] if self._queue else 0

    def wake(self, now: int) -> None:
        queue = self._queue
        while queue and queue[0][0] <= now:
            item = queue.popleft()[1]
            self._held -= cost(item)
            self.next.push(item, now)
        self.due = queue[0][0] if queue else None

    def release(self, now: int) -> None:
        # What leaves may end the connection, which lets go again: each item leaves the queue before that.
        self._held = 0
        self.due = None
        while self._queue:
            self.next.push(self._queue.popleft()[1], now)

    @property
    def held_cost(self) -> int:
        return self._held

    @property
    def held(self) -> Iterable[Item]:
        return [item for _, item in self._queue]

    @property
    def is_empty(self) -> bool:
        return not self._queue


class TriggerStage(Stage[K]):
    """Something that happens once for a connection, at a frame or at a moment."""

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        # Only one of the two directions keeps the time.
        if self.rule.is_timed and lane.direction is self.rule.directions[0]:
            self.due = armed.since_ns + self.rule.when.start_ns

    @abstractmethod
    def fire(self, frame: WireFrame | None, number: int, now: int) -> None:
        """Act, once for the connection; `frame` is what it acts at, None at a moment of `when`."""

    def push(self, item: Item, now: int) -> None:
        if self.armed.fired or self.rule.is_timed or not isinstance(item, WireFrame):
            self.next.push(item, now)
            return
        number = self.admits(item, now)
        self.next.push(item, now)
        if number:
            self.armed.fired = True
            self.fire(item, number, now)

    def wake(self, now: int) -> None:
        self.due = None
        self.armed.fired = True
        if self.rule.when.admits_time(now - self.armed.since_ns) and self.is_chosen(1):
            self.fire(None, 1, now)


__all__ = ["Armed", "K", "QueueStage", "Stage", "TriggerStage"]
