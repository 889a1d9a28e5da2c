"""Close provenance: one card that says how a connection ended, from what was seen on each leg.

The silence of a direction counts from its last byte to the first sign of the end (a CLOSE frame, or the end
of a transport). Limits are named only where a silence or the age fits one, and name nobody: they are a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, EndFact, FrameFact
from wsinspect.findings.limits import Limit, matching, words
from wsinspect.findings.stalls import stall_lines
from wsinspect.vocabulary import NO_SILENCES, Lack
from wsinspect.vocabulary.rules import rule_words
from wsinspect.wire.close_codes import close_name
from wsinspect.wire.opcodes import Direction, opcode_name


class LastBytes(NamedTuple):
    """The last thing of one direction: a frame, or bytes of which no frame could be made."""

    direction: Direction
    time_ns: int | None
    silence_ns: int | None
    frame: FrameFact | None
    opaque_length: int | None

    def as_json(self) -> dict[str, Any]:
        """Times in ns, the frame by its id; without the payload."""
        return {
            "time_ns": self.time_ns,
            "silence_ns": self.silence_ns,
            "frame": None if self.frame is None else self.frame.id,
            "op": None if self.frame is None else opcode_name(self.frame.opcode),
            "length": self.opaque_length if self.frame is None else self.frame.length,
        }


class Card(NamedTuple):
    """How one connection ended."""

    facts: ConnectionFacts
    last: tuple[LastBytes, LastBytes]
    legs: tuple[EndFact, ...]
    limits: tuple[Limit, ...]
    together: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """The object of `show --json`."""
        facts = self.facts
        js = None if facts.js_code is None else {"code": facts.js_code, "wasClean": bool(facts.js_was_clean)}
        return {
            "ended_by": facts.ended_by,
            "how": facts.how,
            "rule": facts.rule,
            "rules": list(dict.fromkeys(fault.rule for fault in facts.faults)),
            "end_ns": facts.end_ns,
            "age_ns": facts.age_ns,
            "last": {one.direction.short: one.as_json() for one in self.last},
            "legs": [{"side": end.side, "how": end.how, "time_ns": end.time_ns} for end in self.legs],
            "stalls": [one._asdict() for one in facts.stalls],
            "client_close": _close(facts.client_close_code, facts.client_close_reason),
            "server_close": _close(facts.server_close_code, facts.server_close_reason),
            "js": js,
            "limits": [words(limit) for limit in self.limits],
            "ended_together": list(self.together),
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        """Label and words, a fact each; peers chose some of the text."""
        for one in self.last:
            has_gap = one.direction in self.facts.gaps
            words_of_it = _last_words(one, has_gap=has_gap, is_all=not self.facts.unrecorded)
            yield f"last {one.direction.arrow}", words_of_it
        for end in self.legs:
            yield f"{end.side}'s leg", f"{end.how} {_after(self.facts, end.time_ns)}"
        if not self.legs:
            is_recorded = not self.facts.unrecorded & {Lack.END, Lack.TRANSPORT}
            yield "legs", _NO_LEG if is_recorded else "the file's format has no ends of transports"
        for side, words_of_stall in stall_lines(self.facts):
            yield f"to the {side}", f"its buffer was {words_of_stall}"
        for limit in self.limits[:6]:
            yield "fits", words(limit)
        for rule in dict.fromkeys(fault.rule for fault in self.facts.faults):
            kinds = dict.fromkeys(fault.kind for fault in self.facts.faults if fault.rule == rule)
            yield "on purpose", f"{rule_words(rule)} acted ({', '.join(kinds)})"
        if self.together:
            ids = ", ".join(f"#{number}" for number in self.together[:12])
            noun = "connection" if len(self.together) == 1 else "connections"
            yield "with it", f"{len(self.together)} other {noun} ended within 0.5 s: {ids}"


_NO_LEG: Final = "neither side was seen to end"


def close_card(facts: ConnectionFacts, together: Sequence[int] = ()) -> Card | None:
    """The card of a connection that has ended after its 101; None for others.

    Args:
        together: connections that ended at the same moment.
    """
    if not facts.was_open or not facts.is_over:
        return None
    silence, age = facts.silence_ns(), facts.age_ns
    quiet = {ns for ns in (silence, facts.silence_ns(S2C), facts.silence_ns(C2S)) if ns is not None}
    limits: list[Limit] = []
    if not facts.has_close or facts.server_close_code in (1001, 1006, 1011):
        for ns in sorted(quiet):
            limits += [one for one in matching(ns / 1e9, "idle", "keepalive") if one not in limits]
        if age is not None and not facts.unrecorded & {Lack.END, Lack.TRANSPORT}:
            limits += [one for one in matching(age / 1e9, "lifetime") if one not in limits]
    last = _last_of(facts, C2S), _last_of(facts, S2C)
    return Card(facts, last, facts.ends, tuple(limits), tuple(together))


def _last_of(facts: ConnectionFacts, direction: Direction) -> LastBytes:
    frame = next((one for one in reversed(facts.last_frames) if one.direction == direction), None)
    opaque = [one for one in facts.opaque if one.direction == direction]
    time_ns = facts.last_ns[direction]
    if opaque and opaque[-1].time_ns >= (time_ns or 0) and opaque[-1].reason != "unfinished-frame":
        time_ns, frame = opaque[-1].time_ns, None
    is_known = (
        time_ns is not None
        and facts.end_ns is not None
        and direction not in facts.gaps
        and not facts.unrecorded & NO_SILENCES  # an end may be that of the export, and a PING break a silence
    )
    silence = max(0, (facts.end_ns or 0) - (time_ns or 0)) if is_known else None
    return LastBytes(direction, time_ns, silence, frame, opaque[-1].length if opaque else None)


def _last_words(one: LastBytes, *, has_gap: bool, is_all: bool) -> str:
    """What came last.

    Args:
        is_all: the capture is not imported from a format that lacks control frames.
    """
    if one.time_ns is None and has_gap:
        return "what came was not recorded"
    if one.time_ns is None:
        return "nothing ever came" if is_all else "no message on record"
    what = f"{one.opaque_length} bytes outside frames"
    if one.frame is not None:
        what = f"{opcode_name(one.frame.opcode)} of {one.frame.length} B, frame {one.frame.id}"
    if has_gap:
        return f"{what}; what came later was not recorded"
    if one.silence_ns is None:
        return what
    return f"{what}, then {seconds(one.silence_ns or 0)} of silence until the end"


def _after(facts: ConnectionFacts, time_ns: int) -> str:
    return f"at {seconds(time_ns - facts.attempt_ns)}"


def _close(code: int | None, reason: str | None) -> dict[str, Any] | None:
    if code is None and reason is None:
        return None
    return {"code": code, "name": None if code is None else close_name(code), "reason": reason}
