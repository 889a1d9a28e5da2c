"""Stages that end a connection."""

from __future__ import annotations

from typing import Any

from wsinspect.faults.frames import End, Item, MessageState, Piece, Raw, WireFrame
from wsinspect.faults.kinds import connections as kinds
from wsinspect.faults.lane import Lane
from wsinspect.faults.seeded import Chance
from wsinspect.faults.stage import Armed, K, Stage, TriggerStage
from wsinspect.units import MS, SECOND

#: How long the answers to a hop's own CLOSE frames are waited for.
HOP_TIMEOUT_NS = 2 * SECOND


class CloseStage(TriggerStage[kinds.Close]):
    def fire(self, frame: WireFrame | None, number: int, now: int) -> None:
        fault = self.fault
        detail = {"match": number, "code": fault.code, "reason": fault.reason, "to": fault.to}
        self.report(frame, detail, ends=True)
        self.lane.close(fault.to, fault.code, fault.reason, fault.timeout, self.rule.author, now)


class AbortStage(TriggerStage[kinds.Abort]):
    def fire(self, frame: WireFrame | None, number: int, now: int) -> None:
        self.report(frame, {"match": number, "how": self.fault.how, "to": self.fault.to}, ends=True)
        self.lane.abort(self.fault.to, self.fault.how, now)


class _HopEndStage(Stage[K]):
    """Ends as a hop does."""

    def end(self, frame: WireFrame | None, detail: dict[str, Any], now: int) -> None:
        """End it, if the draw says so; either way the rule is done."""
        self.due = None
        self.armed.fired = True
        if not self.is_chosen(1):
            return
        how: Any = self.fault
        close = {"code": how.code, "reason": how.reason} if how.how == "close" else {}
        self.report(frame, {**detail, "how": how.how, **close}, ends=True)
        if how.how == "close":
            self.lane.close("both", how.code, how.reason, HOP_TIMEOUT_NS, self.rule.author, now)
        else:
            self.lane.abort("both", how.how, now)


class IdleTimeoutStage(_HopEndStage[kinds.IdleTimeout]):
    """Silence for too long."""

    def __init__(self, armed: Armed, fault: kinds.IdleTimeout, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        armed.marks.setdefault("last", armed.since_ns)
        if lane.direction is self.rule.directions[0]:
            self.due = armed.marks["last"] + fault.after

    def push(self, item: Item, now: int) -> None:
        if self._is_forgotten(item, now):
            return
        if isinstance(item, WireFrame):
            predicate = self.armed.predicate
            if predicate is None or predicate(item):
                self.armed.marks["last"] = now
        elif isinstance(item, Raw):
            self.armed.marks["last"] = now
        self.next.push(item, now)

    def _is_forgotten(self, item: Item, now: int) -> bool:
        """After a silent timeout the next packet meets a hop that knows nothing of its connection."""
        if not self.armed.marks.get("forgotten") or isinstance(item, End):
            return False
        if not self.armed.fired:
            self.armed.fired = True
            self.report(
                item if isinstance(item, WireFrame) else None, {"forgotten": True, "how": "rst"}, ends=True
            )
            self.lane.abort("both", "rst", now)
        return True

    def wake(self, now: int) -> None:
        quiet_until = self.armed.marks["last"] + self.fault.after
        if now < quiet_until:
            self.due = quiet_until
            return
        when = self.rule.when
        elapsed = now - self.armed.since_ns
        if when.admits_time(elapsed) and self.fault.how == "silent":
            self.due = None
            self.armed.marks["forgotten"] = self.is_chosen(1)
        elif when.admits_time(elapsed):
            self.end(None, {"idle_ms": self.fault.after // MS}, now)
        elif elapsed < when.start_ns:
            self.due = self.armed.since_ns + when.start_ns
        else:
            self.due = None


class LifetimeStage(_HopEndStage[kinds.Lifetime]):
    def __init__(self, armed: Armed, fault: kinds.Lifetime, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        if lane.direction is self.rule.directions[0]:
            self.due = armed.opened_ns + fault.after

    def wake(self, now: int) -> None:
        self.due = None
        if self.rule.when.admits_time(now - self.armed.since_ns):
            self.end(None, {"age_ms": (now - self.armed.opened_ns) // MS}, now)


class MaxMessageSizeStage(_HopEndStage[kinds.MaxMessageSize]):
    def __init__(self, armed: Armed, fault: kinds.MaxMessageSize, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._refused: MessageState | None = None

    def push(self, item: Item, now: int) -> None:
        if isinstance(item, Raw) and item.payload_length > self.fault.size and not self.armed.fired:
            # Too large to be looked at: no filter is asked, and none of it passes.
            size = {"size": item.payload_length, "limit": self.fault.size}
            if self.armed.predicate is None:
                self.end(None, size, now)
        message = item.message if isinstance(item, WireFrame) else None
        if not isinstance(item, WireFrame) or message is None or self.armed.fired:
            self.next.push(item, now)
            return
        if message.length > self.fault.size and message is not self._refused:
            self._refused = message
            if self.admits(item, now):
                self.end(item, {"size": message.length, "limit": self.fault.size}, now)
        self.next.push(item, now)


class LimitDataStage(Stage[kinds.LimitData]):
    is_on_bytes = True
    byte_order = 5

    def __init__(self, armed: Armed, fault: kinds.LimitData, lane: Lane, chance: Chance) -> None:
        super().__init__(armed, fault, lane, chance)
        self._left = fault.bytes

    def push(self, item: Item, now: int) -> None:
        if isinstance(item, End) or self.armed.fired:
            self.next.push(item, now)
            return
        frame = item.frame if isinstance(item, Piece) else None
        if frame is not None and not self.admits_piece(item, now):
            self.next.push(item, now)
            return
        data = item.data if isinstance(item, Raw) else b""
        if len(data) <= self._left:
            self._left -= len(data)
            self.next.push(item, now)
            return
        self.armed.fired = True
        self.report(frame, {"bytes": self.fault.bytes, "how": self.fault.how}, ends=True)
        rest, self._left = data[: self._left], 0
        self.next.push(Piece(rest, False, None), now)
        self.lane.encoder.closed_by = self.rule.author
        self.lane.abort("both", self.fault.how, now)
