"""The faults of one open connection: what its lanes decide, done on its sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from wsinspect.faults.connection import Abort, ConnectionFaults, PassEnd, Report, Send
from wsinspect.faults.rule import Rule
from wsinspect.vocabulary.events import Event
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.opcodes import Direction


class FaultedLink(Protocol):
    """The link of an open connection (`link.SocketLink`)."""

    boundaries: tuple[Boundary, Boundary]
    faults: LinkFaults | None

    @property
    def now_ns(self) -> Callable[[], int]: ...

    def write(self, direction: Direction, data: bytes) -> bool: ...

    def end_direction(self, direction: Direction, how: str) -> None: ...

    def abort(self, to: str, how: str) -> None: ...

    def record_data(self, direction: Direction, data: bytes, time_ns: int) -> None: ...

    def record_event(self, event: Event) -> None: ...

    def unsent_bytes(self, direction: Direction) -> int: ...

    def set_reading_paused(self, direction: Direction, is_paused: bool) -> None: ...

    def route(self) -> None: ...


class LinkFaults:
    """The faults of one link; made when the first rule is armed on it, gone when nothing is left to do."""

    def __init__(self, link: FaultedLink, faults: ConnectionFaults, *, keeps: bool) -> None:
        self._link = link
        self.faults = faults
        self.keeps = keeps
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._reading_paused = [False, False]
        self._is_any_paused = False
        self._ends = 0
        self._unrecorded: tuple[Direction, bytes, int] | None = None

    @property
    def holds_end(self) -> bool:
        """Whether an end waits behind what is held."""
        return self._ends > 0

    def take(self, direction: Direction, data: bytes, time_ns: int) -> None:
        """Handle bytes that arrived: at once if no rule wants them, else through the lanes."""
        if self.faults.passes(direction, data, time_ns):
            self._link.write(direction, data)
            self._link.record_data(direction, data, time_ns)
            return
        self.faults.feed(direction, data, time_ns)
        self._unrecorded = (direction, data, time_ns)
        self._finish(self._do())

    def end(self, direction: Direction, how: str) -> None:
        """Queue the end of a side behind what is held in its direction."""
        self._ends += 1
        self.faults.end(direction, how, self._link.now_ns())
        self._finish(self._do())

    def arm(self, rule: Rule, order: Sequence[str]) -> None:
        self.faults.arm(rule, order, self._link.now_ns())
        self._finish(self._do())

    def disarm(self, name: str) -> None:
        self.faults.disarm(name, self._link.now_ns())
        self._finish(self._do())

    def act_once(self, rule: Rule, order: Sequence[str]) -> None:
        self.faults.act_once(rule, order, self._link.now_ns())
        self._finish(self._do())

    def by_hand(self, act: Callable[[ConnectionFaults, int], None]) -> None:
        """Do something on behalf of the control API."""
        act(self.faults, self._link.now_ns())
        self._finish(self._do())

    def stop(self) -> None:
        """Nothing more happens here for now."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """The link is over: what is held never leaves."""
        self.stop()
        self.faults.lose_held()
        self._flush([action.event for action in self.faults.take() if isinstance(action, Report)])

    def _do(self) -> list[Event]:
        """Do what is to be done on the sockets; returns the events to record after it."""
        reports: list[Event] = []
        for action in self.faults.take():
            if isinstance(action, Send):
                is_written = self._link.write(action.direction, action.data)
                if action.late:
                    reports += (self.faults.written if is_written else self.faults.unwritten)(action)
            elif isinstance(action, Report):
                reports.append(action.event)
            elif isinstance(action, PassEnd):
                self._ends -= 1
                self._flush(reports)
                self._link.end_direction(action.direction, action.how)
            elif isinstance(action, Abort):
                self._flush(reports)
                self._link.abort(action.to, action.how)
        return reports

    def _flush(self, reports: list[Event]) -> None:
        """Record what arrived, and then what was done to it."""
        if self._unrecorded is not None:
            self._link.record_data(*self._unrecorded)
            self._unrecorded = None
        for event in reports:
            self._link.record_event(event)
        reports.clear()

    def _finish(self, reports: list[Event]) -> None:
        self._flush(reports)
        if self._timer is None and not self._is_any_paused and self.faults.is_at_rest:
            return
        for lane in self.faults.lanes:
            is_full = lane.is_full
            if is_full != self._reading_paused[lane.direction]:
                self._reading_paused[lane.direction] = is_full
                self._is_any_paused = any(self._reading_paused)
                self._link.set_reading_paused(lane.direction, is_full)
        self._schedule()
        if self.faults.is_idle and not self.keeps and not self._ends and self._link.faults is self:
            self._leave()

    def _leave(self) -> None:
        """Nothing is left to do: bytes take the short way again."""
        sends, self._link.boundaries = self.faults.give_up()
        for send in sends:
            self._link.write(send.direction, send.data)
        self.stop()
        self._link.faults = None
        self._link.route()

    def _schedule(self) -> None:
        due = self.faults.due
        if due is None:
            self.stop()
            return
        if self._timer is not None:
            if self._timer_ns <= due:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_ns = due
        delay = max(0, due - self._link.now_ns()) / 1e9
        self._timer = loop.call_at(loop.time() + delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # The loop's clock has microseconds: anything due within one is due now.
        self.faults.wake(self._link.now_ns() + 1000)
        self._finish(self._do())
