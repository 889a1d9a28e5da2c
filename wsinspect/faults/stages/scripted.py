"""Messages that a script sees (`run -s`): passed as they came, changed, dropped, answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from wsinspect.faults.frames import WireFrame
from wsinspect.faults.kinds import FaultKind
from wsinspect.faults.kinds.base import FieldSpec
from wsinspect.faults.lane import is_data
from wsinspect.faults.scripting import Message, Script
from wsinspect.faults.stages.gathering import MessageStage

#: How much of a changed payload is kept in the ledger.
_KEPT = 4096
_NAMES = {1: "text", 2: "binary"}


@dataclass(frozen=True, kw_only=True)
class Scripted(FaultKind):
    """The rule that stands for a script; it is made of a file, not of settings, and so is none of `KINDS`."""

    name = "script"
    summary = "Let a Python script see, change, drop and answer messages (run -s)."
    alters = True
    runner: Script

    @classmethod
    def fields(cls) -> Iterator[FieldSpec]:
        """Nothing that a file or the control API could set."""
        return iter(())


class ScriptStage(MessageStage[Scripted]):
    is_indifferent: ClassVar[bool] = False

    def act(self, frames: list[WireFrame], number: int, now: int) -> None:
        first, last = frames[0], frames[-1]
        parts = [frame.content for frame in frames]
        if not is_data(first) or None in parts:
            self.pass_message(frames, now)
            return
        runner = self.fault.runner
        before = b"".join(part for part in parts if part is not None)
        seen = Message(
            runner.connection(first.connection),
            self.lane.direction.short,
            _NAMES.get(first.opcode, "binary"),
            before,
        )
        done = runner.message(seen)
        if done is None:
            self.pass_message(frames, now)
            return
        detail: dict[str, Any] = {"match": number}
        if done.is_dropped:
            for at, frame in enumerate(frames):
                facts = {**detail, "did": "drop", "bytes": len(frame.raw)}
                self.report(frame, facts, dropped=True, is_same_hit=at > 0)
        elif done.data != before:
            made = self.lane.join(frames, done.data, self.chance.octets(4, number, "masking key"))
            self.report(last, {**detail, "did": "change", "payload": done.data[:_KEPT].hex()})
            self.next.push(made, now)
        else:
            self.pass_message(frames, now)
        owner, direction = self.lane.owner, self.lane.direction
        for opcode, data in done.additions:
            owner.say(direction, opcode, data, self.rule.author, now)
        for opcode, data in done.replies:
            owner.say(direction.other, opcode, data, self.rule.author, now)
