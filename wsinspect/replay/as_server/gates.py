"""What a played server waits for: the recorded client's messages, in order or not, exactly or nearly.

Sans-I/O. Where a live message is of the recorded one's kind but not equal (`similar`), the gate opens and the
difference is reported: today's front-end still works with last week's recording.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from wsinspect.errors import UsageError
from wsinspect.filters.regex import Pattern, PatternError
from wsinspect.replay.common.matching import Divergence, Message, Tally, Verdict
from wsinspect.replay.common.values import Document, Place, canonical, is_similar, is_subset
from wsinspect.units import whole_number

#: What decides whether a live message is the recorded one.
MATCHES: Final = ("similar", "exact", "subset", "regex")
#: Messages that may come before the recording waits for them.
MAX_EARLY: Final = 1000

Test = Callable[[Message], Verdict | None]


def parse_gate(text: str) -> tuple[int, Test]:
    r"""`12=regex:^sub`, `12=subset:{"op":"sub"}`, `12=exact:hello`, `12=any:`: the frame and its test.

    Raises:
        UsageError: it is not a frame's number and one of these tests.
    """
    index, equals, rest = text.partition("=")
    number = whole_number(index)
    kind, colon, wanted = rest.partition(":")
    if not equals or not colon or number is None:
        raise UsageError(f"invalid gate {text!r}", hint="write FRAME=KIND:TEXT, such as 12=regex:^sub")
    if kind == "any":
        return number, lambda _found: Verdict.EQUAL
    if kind == "exact":
        return number, lambda found: Verdict.EQUAL if found.data == wanted.encode() else None
    if kind == "regex":
        return number, _regex_test(wanted)
    if kind in ("subset", "json"):
        try:
            document = json.loads(wanted)
        except ValueError:
            raise UsageError(f"{text!r}: {wanted!r} is not JSON") from None
        return number, lambda found: _subset(document, found.data)
    raise UsageError(f"{text!r}: {kind!r} is not one of exact, subset, regex, any")


def _regex_test(source: str) -> Test:
    pattern = Pattern(source)
    try:
        pattern.check()
    except PatternError as error:
        raise UsageError(f"invalid regular expression {source!r}: {error}") from None
    search = pattern.searcher()
    return lambda found: Verdict.EQUAL if search(found.data.decode("utf-8", "replace")) else None


def _subset(wanted: object, data: bytes) -> Verdict | None:
    document = Document(data)
    return Verdict.EQUAL if document.is_json and is_subset(wanted, document.value) else None


class Gates:
    """The recorded messages that must have come.

    Args:
        places: what to ignore.
        match: one of `MATCHES`.
        tests: by the frame of the recorded message, instead of `match`.
        any_order: take them in any order.

    Attributes:
        tally: verdicts so far.
    """

    def __init__(
        self, places: tuple[Place, ...], match: str, tests: Mapping[int, Test], *, any_order: bool = False
    ) -> None:
        self.tally = Tally()
        self._places = places
        self._match = match
        self._tests = tests
        self._any_order = any_order
        self._waiting: list[Message] = []
        self._early: deque[Message] = deque()

    @property
    def is_open(self) -> bool:
        """Whether every awaited message has come."""
        return not self._waiting

    def expect(self, message: Message) -> list[Divergence]:
        """Wait for this message; one that came early may be it."""
        self._waiting.append(message)
        return self._pump()

    def take(self, message: Message) -> list[Divergence]:
        """A message from the client."""
        self._early.append(message)
        return self._pump()

    def finish(self) -> list[Divergence]:
        """Awaited messages that never came are missing; those that came and never fitted are extra."""
        found = [Divergence(Verdict.MISSING, one, None) for one in self._waiting]
        found += [Divergence(Verdict.EXTRA, None, one) for one in self._early]
        self._waiting.clear()
        self._early.clear()
        return self._count(found)

    def _pump(self) -> list[Divergence]:
        found: list[Divergence] = []
        if self._any_order:
            for message in list(self._early):
                if self._waiting and (settled := self._settle(message)) is not None:
                    found += settled
                    self._early.remove(message)
            while len(self._early) > MAX_EARLY:
                found += self._count([Divergence(Verdict.EXTRA, None, self._early.popleft())])
            return found
        while self._early and (self._waiting or len(self._early) > MAX_EARLY):
            message = self._early.popleft()
            settled = self._settle(message)
            extra = [Divergence(Verdict.EXTRA, None, message)]
            found += self._count(extra) if settled is None else settled
        return found

    def _settle(self, message: Message) -> list[Divergence] | None:
        """What a message settles: recorded ones before its own are missing. None if it fits none."""
        best: tuple[int, Verdict] | None = None
        for index, recorded in enumerate(self._waiting):
            verdict = self._judge(recorded, message)
            if verdict in (Verdict.EQUAL, Verdict.IGNORED):
                best = index, verdict
                break
            if verdict is not None and best is None:
                best = index, verdict
        if best is None:
            return None
        index, verdict = best
        recorded = self._waiting.pop(index)
        missing: list[Message] = []
        if not self._any_order:
            missing, self._waiting = self._waiting[:index], self._waiting[index:]
        found = [Divergence(Verdict.MISSING, one, None) for one in missing]
        if verdict is Verdict.DIFFERENT:
            return self._count([*found, Divergence(verdict, recorded, message)])
        self.tally.add(verdict)
        return self._count(found)

    def _judge(self, recorded: Message, found: Message) -> Verdict | None:
        test = self._tests.get(recorded.frame or 0)
        if test is not None:
            return test(found)
        if recorded.opcode != found.opcode:
            return None
        if self._match == "regex":
            try:
                return _regex_test(recorded.data.decode("utf-8", "replace"))(found)
            except UsageError:
                return Verdict.EQUAL if recorded.data == found.data else None
        if recorded.data == found.data or (recorded.is_cut and found.data.startswith(recorded.data)):
            return Verdict.EQUAL
        if recorded.opcode == 1 and canonical(recorded.data, self._places) == canonical(
            found.data, self._places
        ):
            return Verdict.IGNORED if self._places else Verdict.EQUAL
        if self._match == "subset":
            return self._judge_subset(recorded, found)
        if self._match == "similar" and is_similar(recorded.data, found.data):
            return Verdict.DIFFERENT
        return None

    def _judge_subset(self, recorded: Message, found: Message) -> Verdict | None:
        wanted, document = Document(canonical(recorded.data, self._places)), Document(found.data)
        is_fit = wanted.is_json and document.is_json and wanted.prefix == document.prefix
        return Verdict.IGNORED if is_fit and is_subset(wanted.value, document.value) else None

    def _count(self, found: list[Divergence]) -> list[Divergence]:
        for one in found:
            self.tally.add(one.verdict)
        return found
