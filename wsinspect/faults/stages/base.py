"""One rule on one direction of one connection: items in, items out to the next stage.

A stage never reads a clock: `push` and `wake` are told the time, `due` says when it wants to be woken. What a
stage holds it lets go in order, the end of the direction included. `release` empties it for its removal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

from wsinspect.faults.frames import End, Item, MessageState, Raw, WireFrame
from wsinspect.faults.kinds import FaultKind
from wsinspect.faults.rule import Rule
from wsinspect.faults.seeded import Chance

if TYPE_CHECKING:
    from wsinspect.faults.lane import Lane
    from wsinspect.filters.facts import FrameFacts

K = TypeVar("K", bound=FaultKind)
#: How long fragments wait for the rest of their message, and how many bytes of them.
GATHER_NS: Final = 1_000_000_000
GATHER_BYTES: Final = 16 * 1024 * 1024
#: Keys that a first fragment answers as well as the whole message.
_EARLY_KEYS: Final = frozenset(
    ("op", "dir", "conn", "proto", "path", "header", "host", "tap", "masked", "rsv1", "t")
)


class Sink(Protocol):
    """What comes behind a stage."""

    def push(self, item: Item, now: int) -> None: ...


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
        if rule.filter is not None:
            self.predicate = rule.filter.frame_predicate()
            if rule.filter.keys <= _EARLY_KEYS:
                self.early_predicate = self.predicate


class Stage(Generic[K]):
    """Base: passes everything on.

    Attributes:
        due: when it wants to be woken; None for never.
        is_on_bytes: whether it works behind the encoder, on pieces of bytes.
        byte_order: of the stages there; those that need whole frames come first.
    """

    is_on_bytes: ClassVar[bool] = False
    byte_order: ClassVar[int] = 0

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
        when = self.rule.when
        self._is_always = not when.settings() and self.rule.probability >= 1

    def push(self, item: Item, now: int) -> None:
        """Take an item."""
        self.next.push(item, now)

    def wake(self, now: int) -> None:
        """`due` has come."""

    def release(self, now: int) -> None:
        """Let go of everything held: the stage is about to be removed."""

    @property
    def held_bytes(self) -> int:
        """What it keeps back."""
        return 0

    @property
    def is_empty(self) -> bool:
        """Whether it keeps nothing back."""
        return True

    def admits(self, facts: FrameFacts, now: int) -> int:
        """Whether the rule acts on this frame or message: the number of the match, 0 for no."""
        self._frames += 1
        self._bytes += facts.wire_length
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
            and when.admits_amount(self._frames, self._bytes)
            and self.is_lucky(self._matched)
        )
        return self._matched if acts else 0

    def is_lucky(self, number: int) -> bool:
        """The draw of the rule's probability."""
        probability = self.rule.probability
        return probability >= 1 or self.chance.uniform(number) < probability

    def report(self, frame: WireFrame | None, detail: Mapping[str, Any], **more: Any) -> None:
        """Put a decision that acted on record."""
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
        self._held += _size(item)
        self.due = self._queue[0][0]

    @property
    def last_due(self) -> int:
        """When the newest held item leaves; 0 where none is held."""
        return self._queue[-1][0] if self._queue else 0

    def wake(self, now: int) -> None:
        queue = self._queue
        while queue and queue[0][0] <= now:
            item = queue.popleft()[1]
            self._held -= _size(item)
            self.next.push(item, now)
        self.due = queue[0][0] if queue else None

    def release(self, now: int) -> None:
        queue, self._queue = self._queue, deque()
        self._held = 0
        self.due = None
        for _, item in queue:
            self.next.push(item, now)

    @property
    def held_bytes(self) -> int:
        return self._held

    @property
    def is_empty(self) -> bool:
        return not self._queue


def _size(item: Item) -> int:
    if isinstance(item, WireFrame):
        return len(item.raw)
    return len(item.data) if isinstance(item, Raw) else 0


class MessageStage(Stage[K]):
    """Judges whole messages: fragments are gathered until the last one, with what comes between them.

    A message that is too long in coming passes unjudged. Subclasses have `act`.

    Attributes:
        acts_early: whether a first fragment may be judged alone where the filter allows it; the fragments
            that follow then go to `act_on_fragment`.
    """

    acts_early: ClassVar[bool] = False

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._gathered: list[Item] = []
        self._message: MessageState | None = None
        self._condemned: MessageState | None = None
        self._size = 0

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        """Do it to a whole message or control frame; what is to leave is pushed to `next`."""
        raise NotImplementedError

    def pass_message(self, frames: list[WireFrame], now: int) -> None:
        """A message on which the rule does not act."""
        for frame in frames:
            self.next.push(frame, now)

    def act_on_fragment(self, frame: WireFrame, now: int) -> None:
        """A later fragment of a message that was judged by its first one."""

    def push(self, item: Item, now: int) -> None:
        if self._gathered:
            self._gather(item, now)
        elif not isinstance(item, WireFrame):
            self.pass_other(item, now)
        elif item.is_whole:
            self._judge([item], item, now)
        elif item.message is not None and item.message is self._condemned:
            self.act_on_fragment(item, now)
        elif item.opcode != 0:
            self._begin(item, now)
        else:
            self.next.push(item, now)  # of a message that began before, or passes unjudged

    def pass_other(self, item: Item, now: int) -> None:
        """Bytes that are no frame, or the end."""
        self.next.push(item, now)

    def _begin(self, first: WireFrame, now: int) -> None:
        early = self.armed.predicate is None or self.armed.early_predicate is not None
        if self.acts_early and early:
            self._condemned = None
            number = self.admits(first, now)
            if number and self.can_act([first]):
                self._condemned = first.message
                self.act([first], number, now)
            else:
                self.next.push(first, now)
            return
        predicate = self.armed.early_predicate
        if predicate is not None and not predicate(first):
            self.next.push(first, now)
            return
        self._gathered = [first]
        self._message = first.message
        self._size = len(first.raw)
        self.due = now + GATHER_NS

    def _gather(self, item: Item, now: int) -> None:
        self._gathered.append(item)
        self._size += _size(item)
        is_ours = isinstance(item, WireFrame) and item.message is self._message
        if isinstance(item, WireFrame) and is_ours and item.fin:
            self._finish(item, now)
        elif self._size > GATHER_BYTES or not isinstance(item, WireFrame):
            self.give_up(now)

    def _finish(self, last: WireFrame, now: int) -> None:
        items, self._gathered = self._gathered, []
        message, self._message = self._message, None
        self.due = None
        ours = [item for item in items if isinstance(item, WireFrame) and item.message is message]
        number = self.admits(Whole(ours), now)
        if number and not self.can_act(ours):
            number = 0
        for item in items:
            if isinstance(item, WireFrame) and item.message is message:
                if not number:
                    self.pass_message([item], now)
                elif item is last:
                    self.act(ours, number, now)
            elif isinstance(item, WireFrame):
                self._judge([item], item, now)
            else:
                self.pass_other(item, now)

    def _judge(self, frames: list[WireFrame], facts: WireFrame, now: int) -> None:
        number = self.admits(facts, now)
        if number and self.can_act(frames):
            self.act(frames, number, now)
        else:
            self.pass_message(frames, now)

    def can_act(self, frames: list[WireFrame]) -> bool:
        """Whether the message can be changed; where not, that is on record once."""
        if not self.fault.alters or all(self.lane.can_alter(frame) for frame in frames):
            return True
        if not self.armed.marks.setdefault("skipped", False):
            self.armed.marks["skipped"] = True
            self.lane.skip(self.rule, "what was compressed before is not known, or its sender broke it")
        return False

    def give_up(self, now: int) -> None:
        """Let the gathered fragments pass unjudged."""
        items, self._gathered = self._gathered, []
        self._message = None
        self.due = None
        for item in items:
            self.next.push(item, now)

    def wake(self, now: int) -> None:
        if self._gathered:
            self.give_up(now)

    def release(self, now: int) -> None:
        self.give_up(now)

    @property
    def held_bytes(self) -> int:
        return self._size if self._gathered else 0

    @property
    def is_empty(self) -> bool:
        return not self._gathered and self._condemned is None


class Whole:
    """A message of several frames, for filters: its first frame's bits, its whole length and body."""

    def __init__(self, frames: list[WireFrame]) -> None:
        self._frames = frames
        self._first = frames[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)

    @property
    def opcode(self) -> int:
        return self._first.opcode

    @property
    def fin(self) -> bool:
        return True

    @property
    def length(self) -> int:
        return sum(frame.length for frame in self._frames)

    @property
    def wire_length(self) -> int:
        return sum(frame.wire_length for frame in self._frames)

    @property
    def fragment(self) -> int | None:
        return len(self._frames)

    @property
    def payload(self) -> bytes:
        return b"".join(frame.payload for frame in self._frames)

    @property
    def body(self) -> bytes:
        return self._frames[-1].body


class TriggerStage(Stage[K]):
    """Something that happens once for a connection, at a frame or at a moment."""

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        # Of two directions one keeps the time.
        if self.rule.is_timed and lane.direction is self.rule.directions[0]:
            self.due = armed.since_ns + self.rule.when.start_ns

    def fire(self, frame: WireFrame | None, number: int, now: int) -> None:
        """Do it."""
        raise NotImplementedError

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
        if self.armed.fired:
            return
        self.armed.fired = True
        if self.rule.when.admits_time(now - self.armed.since_ns) and self.is_lucky(1):
            self.fire(None, 1, now)


__all__ = ["Armed", "End", "MessageStage", "QueueStage", "Sink", "Stage", "TriggerStage"]
