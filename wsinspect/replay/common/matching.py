"""Two sequences of messages compared while one of them comes in: equal, different, missing, extra.

Sans-I/O. A message that fits none of the next recorded ones is held back until one fits; then it is known
whether those before it are different, missing or extra. So one message more or less costs one divergence, and
not all that follow.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from wsinspect.replay.common.values import Place, canonical, diff

#: How many recorded messages after the next one are tried.
WINDOW: Final = 32
#: Divergences kept with their diff; more are only counted.
MAX_KEPT: Final = 200


class Verdict(StrEnum):
    """How a message compares with the recording."""

    EQUAL = "equal"
    IGNORED = "ignored"
    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"


class Message(NamedTuple):
    """A message to compare.

    Attributes:
        opcode: TEXT or BINARY; CLOSE with its payload.
        data: its data.
        frame: its last frame in the capture; None where it came just now.
        is_cut: whether the recording holds only the beginning of it.
    """

    opcode: int
    data: bytes
    frame: int | None = None
    is_cut: bool = False


class Divergence(NamedTuple):
    """Where now and then differ.

    Attributes:
        verdict: `different`, `missing` or `extra`.
        recorded: what was recorded.
        found: what came.
    """

    verdict: Verdict
    recorded: Message | None
    found: Message | None

    def lines(self) -> list[str]:
        """A diff, or what is missing or extra."""
        if self.recorded is not None and self.found is not None:
            return diff(self.recorded.data, self.found.data)
        if self.found is not None:
            return diff(b"", self.found.data)
        return diff(self.recorded.data, b"") if self.recorded is not None else []

    def as_json(self) -> dict[str, Any]:
        """`verdict`, `frame` (the recorded one's id, or None) and the lines of `diff`."""
        return {
            "verdict": str(self.verdict),
            "frame": self.recorded.frame if self.recorded else None,
            "diff": self.lines(),
        }


@dataclass(slots=True)
class Tally:
    """How many messages of each verdict."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))

    def add(self, verdict: Verdict, count: int = 1) -> None:
        self.counts[verdict] += count

    @property
    def diverged(self) -> int:
        """Messages that are neither equal nor equal but for what is ignored."""
        return sum(self.counts[verdict] for verdict in (Verdict.DIFFERENT, Verdict.MISSING, Verdict.EXTRA))

    def as_json(self) -> dict[str, int]:
        """How many messages had each verdict, by its name."""
        return {str(verdict): count for verdict, count in self.counts.items()}


class Matcher:
    """Compares what comes with what was recorded.

    Args:
        places: what to ignore.

    Attributes:
        tally: verdicts so far.
        done: recorded messages that have their verdict.
    """

    def __init__(self, places: tuple[Place, ...] = ()) -> None:
        self.tally = Tally()
        self.done = 0
        self._places = places
        self._expected: deque[Message] = deque()
        self._held: deque[Message] = deque()

    @property
    def waiting(self) -> int:
        """Recorded messages that have not come."""
        return len(self._expected)

    def expect(self, message: Message) -> None:
        """The recording continues with this message."""
        self._expected.append(message)

    def take(self, message: Message) -> list[Divergence]:
        """A message came: what is certain now."""
        expected = self._expected
        if not self._held and expected:
            first = expected[0]
            # The hot path: as recorded.
            if first.data == message.data and first.opcode == message.opcode:
                expected.popleft()
                self.done += 1
                self.tally.counts[Verdict.EQUAL] += 1
                return []
        for ahead in range(min(len(expected), WINDOW)):
            verdict = self._compare(expected[ahead], message)
            if verdict is not None:
                found = self._settle(ahead)
                expected.popleft()
                self.done += 1
                self.tally.add(verdict)
                return found
        self._held.append(message)
        if len(self._held) > WINDOW:
            return self._settle_first()
        return []

    def release(self) -> list[Divergence]:
        """Stop holding back: what came takes the place of what was recorded."""
        return self._settle(min(len(self._held), len(self._expected)))

    def finish(self) -> list[Divergence]:
        """Settle the rest: what was recorded and has not come is missing."""
        return self._settle(len(self._expected))

    def _compare(self, recorded: Message, found: Message) -> Verdict | None:
        if recorded.opcode != found.opcode:
            return None
        if recorded.is_cut:
            is_fit = found.data.startswith(recorded.data)
            return Verdict.IGNORED if is_fit else None
        if recorded.data == found.data:
            return Verdict.EQUAL
        if recorded.opcode == 1 and canonical(recorded.data, self._places) == canonical(
            found.data, self._places
        ):
            is_same = bool(self._places) and canonical(recorded.data) != canonical(found.data)
            return Verdict.IGNORED if is_same else Verdict.EQUAL
        return None

    def _settle(self, recorded: int) -> list[Divergence]:
        """What is held against the next `recorded` messages: in pairs, then the rest."""
        found: list[Divergence] = []
        while self._held and recorded:
            found.append(Divergence(Verdict.DIFFERENT, self._expected.popleft(), self._held.popleft()))
            recorded -= 1
        while recorded:
            found.append(Divergence(Verdict.MISSING, self._expected.popleft(), None))
            recorded -= 1
        while self._held:
            found.append(Divergence(Verdict.EXTRA, None, self._held.popleft()))
        return self._count(found)

    def _settle_first(self) -> list[Divergence]:
        held = self._held.popleft()
        if self._expected:
            return self._count([Divergence(Verdict.DIFFERENT, self._expected.popleft(), held)])
        return self._count([Divergence(Verdict.EXTRA, None, held)])

    def _count(self, found: list[Divergence]) -> list[Divergence]:
        for one in found:
            self.tally.add(one.verdict)
            self.done += one.recorded is not None
        return found
