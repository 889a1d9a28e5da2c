"""Stages that judge whole messages: fragments are gathered until the last one has come."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from wsinspect.faults.frames import Item, MessageState, WireFrame, cost
from wsinspect.faults.lane import Lane
from wsinspect.faults.seeded import Chance
from wsinspect.faults.stage import Armed, K, Stage

#: How long fragments wait for the rest of their message, and how many bytes may wait.
GATHER_NS: Final = 1_000_000_000
GATHER_BYTES: Final = 16 * 1024 * 1024


class MessageStage(Stage[K]):
    """Judges whole messages: fragments are gathered until the last one, with what comes between them.

    A message that is too long in coming passes unjudged. Subclasses have `act`.

    Attributes:
        acts_early: whether a first fragment may be judged alone where the filter allows it; the fragments
            that follow then go to `act_on_fragment`.
    """

    acts_early: ClassVar[bool] = False
    is_indifferent = True

    def __init__(self, armed: Armed, fault: K, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._gathered: list[Item] = []
        self._message: MessageState | None = None
        self._dropped_message: MessageState | None = None
        self._size = 0

    @abstractmethod
    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        """Do it to a whole message or control frame; what is to leave is pushed to `next`."""

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
        elif item.message is not None and item.message is self._dropped_message:
            self.act_on_fragment(item, now)
        elif item.opcode != 0:
            self._begin(item, now)
        else:
            self.next.push(item, now)  # of a message that began before, or passes unjudged

    def pass_other(self, item: Item, now: int) -> None:
        """Bytes that are not a frame, or the end."""
        self.next.push(item, now)

    def _begin(self, first: WireFrame, now: int) -> None:
        early = self.armed.predicate is None or self.armed.early_predicate is not None
        if self.acts_early and early:
            self._dropped_message = None
            number = self.admits(first, now)
            if number and self.can_act([first]):
                self._dropped_message = first.message
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
        self._size = cost(first)
        self.due = now + GATHER_NS

    def _gather(self, item: Item, now: int) -> None:
        self._gathered.append(item)
        self._size += cost(item)
        is_ours = isinstance(item, WireFrame) and item.message is self._message
        if isinstance(item, WireFrame) and is_ours and item.fin:
            self._finish(item, now)
        elif self._size > GATHER_BYTES or not isinstance(item, WireFrame):
            self.give_up(now)

    def _finish(self, last: WireFrame, now: int) -> None:
        # Anything else has ended the gathering.
        frames = [item for item in self._gathered if isinstance(item, WireFrame)]
        message = self._message
        self._gathered, self._message, self.due = [], None, None
        ours = [frame for frame in frames if frame.message is message]
        number = self.admits(Whole(ours), now)
        if number and not self.can_act(ours):
            number = 0
        for frame in frames:
            if frame.message is not message:
                self._judge([frame], frame, now)
            elif not number:
                self.pass_message([frame], now)
            elif frame is last:
                self.act(ours, number, now)

    def _judge(self, frames: list[WireFrame], facts: WireFrame, now: int) -> None:
        number = self.admits(facts, now)
        if number and self.can_act(frames):
            self.act(frames, number, now)
        else:
            self.pass_message(frames, now)

    def can_act(self, frames: list[WireFrame]) -> bool:
        """Whether the message can be changed; if not, that is recorded once."""
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
            if isinstance(item, WireFrame):
                self.next.push(item, now)
            else:
                self.pass_other(item, now)

    def wake(self, now: int) -> None:
        self.give_up(now)

    def release(self, now: int) -> None:
        self.give_up(now)

    @property
    def held(self) -> Iterable[Item]:
        return self._gathered

    @property
    def is_empty(self) -> bool:
        return not self._gathered and self._dropped_message is None


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
