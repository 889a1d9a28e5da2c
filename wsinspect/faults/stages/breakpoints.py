"""Messages that wait until somebody decides about each: passed, edited, dropped, or answered.

What comes behind a held message in its direction waits, too, so that the order stays; a message that matches
is held while others wait before it, and can be decided before them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from wsinspect.faults.frames import Item, WireFrame, cost
from wsinspect.faults.held import Decision, Held
from wsinspect.faults.kinds import frames as kinds
from wsinspect.faults.lane import Lane, Sink
from wsinspect.faults.seeded import Chance
from wsinspect.faults.stage import Armed
from wsinspect.faults.stages.gathering import MessageStage

#: How much of an edited payload is kept in the ledger.
_KEPT = 4096


@dataclass
class _Waiting:
    """A held message: its frames, the number of its match, and what was decided."""

    frames: list[WireFrame]
    number: int
    since_ns: int
    until_ns: int | None
    decision: Decision | None = None

    @property
    def ordinal(self) -> int:
        return self.frames[-1].ordinal

    def is_over(self, now: int) -> bool:
        """Whether it has waited as long as it may."""
        return self.until_ns is not None and self.until_ns <= now


class BreakStage(MessageStage[kinds.Break]):
    """See the module docstring."""

    def __init__(self, armed: Armed, fault: kinds.Break, lane: Lane, chance: Chance) -> None:
        self._queue: deque[_Waiting | Item] = deque()
        self._held_bytes = 0
        self._out: Sink = lane.encoder
        super().__init__(armed, fault, lane, chance)

    # Everything that `MessageStage` passes on goes through the queue, so that nothing overtakes.

    @property
    def next(self) -> Sink:
        return _Gate(self)

    @next.setter
    def next(self, sink: Sink) -> None:
        self._out = sink

    def push(self, item: Item, now: int) -> None:
        super().push(item, now)
        if self._queue:
            self._reckon()  # a message that was gathered has ended its own deadline

    def take(self, item: Item, now: int) -> None:
        """An item that this stage does not hold itself: it waits behind what is held."""
        if self._queue:
            self._queue.append(item)
            self._held_bytes += cost(item)
        else:
            self._out.push(item, now)

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        until = None if self.fault.timeout is None else now + self.fault.timeout
        self._queue.append(_Waiting(frames, number, now, until))
        self._held_bytes += sum(map(cost, frames))
        self._reckon()

    def held_messages(self) -> Iterable[Held]:
        """Those that nobody has decided about, in order."""
        items = list(self._queue)
        for index, one in enumerate(items):
            if isinstance(one, _Waiting) and one.decision is None:
                first = one.frames[0]
                yield Held(
                    name=self._name(one),
                    rule=self.rule.name,
                    connection=first.connection.id,
                    what="message",
                    direction=self.lane.direction.short,
                    since_ns=one.since_ns,
                    until_ns=one.until_ns,
                    opcode=first.opcode,
                    data=_content(one.frames),
                    behind=len(items) - index - 1,
                )

    def decide(self, name: str, decision: Decision, now: int) -> bool:
        """Do with a held message what was decided; False where it is not held here."""
        for one in self._queue:
            if isinstance(one, _Waiting) and one.decision is None and self._name(one) == name:
                one.decision = decision
                self._leave(now)
                return True
        return False

    def decide_all(self, decision: Decision, now: int) -> int:
        """The same for all that are held; how many there were."""
        waiting = [one for one in self._queue if isinstance(one, _Waiting) and one.decision is None]
        for one in waiting:
            one.decision = decision
        self._leave(now)
        return len(waiting)

    def _name(self, one: _Waiting) -> str:
        return f"m{one.frames[0].connection.id}-{self.lane.direction.short}-{one.ordinal}"

    def _leave(self, now: int) -> None:
        while self._queue:
            head = self._queue[0]
            if isinstance(head, _Waiting) and head.decision is None:
                break
            # What leaves may end the connection, which lets go again: it leaves the queue before that.
            self._queue.popleft()
            if isinstance(head, _Waiting):
                self._held_bytes -= sum(map(cost, head.frames))
                self._carry_out(head, now)
            else:
                self._held_bytes -= cost(head)
                self._out.push(head, now)
        self._reckon()

    def _carry_out(self, one: _Waiting, now: int) -> None:
        decision = one.decision or Decision()
        last = one.frames[-1]
        detail = {"match": one.number, "did": decision.action, "held_ms": (now - one.since_ns) / 1e6}
        if decision.action == "edit" and decision.payload is not None:
            payload = decision.payload[: kinds.MAX_CONTROL] if last.is_control else decision.payload
            made = self.lane.join(one.frames, payload, self.chance.octets(4, one.number, "masking key"))
            self.report(last, {**detail, "payload": payload[:_KEPT].hex()})
            self._out.push(made, now)
        elif decision.action in ("drop", "answer"):
            if decision.action == "answer":
                detail["answer"] = (decision.payload or b"")[:_KEPT].hex()
            for at, frame in enumerate(one.frames):
                self.report(frame, {**detail, "bytes": len(frame.raw)}, dropped=True, is_same_hit=at > 0)
        else:
            self.report(last, detail)
            for frame in one.frames:
                self._out.push(frame, now)

    def _reckon(self) -> None:
        """When the first held message passes by itself; gathering fragments have a time of their own."""
        if self._gathered:
            return
        due = [one.until_ns for one in self._queue if isinstance(one, _Waiting) and one.decision is None]
        self.due = min((at for at in due if at is not None), default=None)

    def wake(self, now: int) -> None:
        if self._gathered:
            super().wake(now)
        for one in self._queue:
            if isinstance(one, _Waiting) and one.decision is None and one.is_over(now):
                one.decision = Decision()
        self._leave(now)

    def release(self, now: int) -> None:
        super().release(now)
        self.decide_all(Decision(), now)

    @property
    def held(self) -> Iterable[Item]:
        found: list[Item] = []
        for one in self._queue:
            found += one.frames if isinstance(one, _Waiting) else [one]
        return [*found, *super().held]

    @property
    def held_cost(self) -> int:
        return self._held_bytes

    @property
    def is_empty(self) -> bool:
        return super().is_empty and not self._queue


class _Gate:
    """What `MessageStage` takes for the next stage."""

    def __init__(self, stage: BreakStage) -> None:
        self._stage = stage

    def push(self, item: Item, now: int) -> None:
        self._stage.take(item, now)


def _content(frames: list[WireFrame]) -> bytes:
    return b"".join(part for frame in frames if (part := frame.content) is not None)
