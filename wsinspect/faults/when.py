"""`when` of a rule: at which of the frames that match, or at which moments, it acts.

Times, frames and bytes count from the moment the connection opened or, where that is later, the rule was
armed; for rules on handshakes from the first attempt of the client session. All conditions must hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.faults.errors import FaultError
from wsinspect.faults.values import (
    SECONDS,
    JsonSchema,
    ValueType,
    shown,
)
from wsinspect.units import DURATION, SIZE, QuantityError, whole_number

_RANGE: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})?)?")
_FRAMES: Final = re.compile(r"([0-9]{1,9})\s*frames?", re.IGNORECASE)
_MAX_PARTS: Final = 1000
#: Anything more frequent would leave no time for traffic.
MIN_PERIOD_NS: Final = 1_000_000

Range = tuple[int, int | None]


class Ordinals(ValueType):
    """`3`, `[1, 3]`, `2-4`, `5-`: which ones, counted from 1."""

    name = "ordinals"
    expected = "a number from 1, a list of numbers, or a range such as 2-4 or 5-"

    def parse(self, raw: Any) -> tuple[Range, ...]:
        if isinstance(raw, str) and "," in raw:
            raw = [part.strip() for part in raw.split(",")]
        parts = raw if isinstance(raw, list | tuple) else [raw]
        if not parts or len(parts) > _MAX_PARTS:
            raise self.wrong(raw)
        return tuple(self._range(part, raw) for part in parts)

    def _range(self, part: Any, raw: Any) -> Range:
        is_number = isinstance(part, int) and not isinstance(part, bool)
        match = _RANGE.fullmatch(str(part)) if is_number or isinstance(part, str) else None
        if match is None:
            raise self.wrong(raw)
        low = int(match[1])
        high = int(match[2]) if match[2] else None if "-" in match[0] else low
        if low < 1 or (high is not None and high < low):
            raise self.wrong(raw)
        return low, high

    def render(self, value: Any) -> Any:
        parts = [low if low == high else f"{low}-{'' if high is None else high}" for low, high in value]
        return parts[0] if len(parts) == 1 else parts

    def schema(self) -> JsonSchema:
        one: JsonSchema = {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 999_999_999},
                {"type": "string", "pattern": "^[1-9][0-9]{0,8}(-)?$"},
            ]
        }
        return {
            "anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1, "maxItems": _MAX_PARTS}]
        }


class Span(ValueType):
    """`[5s, 10s]`: from and to."""

    name = "time span"
    expected = "two durations such as [5s, 10s], the second one longer"

    def parse(self, raw: Any) -> tuple[int, int]:
        if isinstance(raw, str):
            raw = re.split(r"\s*(?:,|\.\.)\s*", raw.strip(" []"))
        if not isinstance(raw, Sequence) or len(raw) != 2:
            raise self.wrong(raw)
        start, end = SECONDS.parse(raw[0]), SECONDS.parse(raw[1])
        if start >= end:
            raise self.wrong(list(raw))
        return start, end

    def render(self, value: Any) -> Any:
        return [DURATION.exact(part) for part in value]

    def schema(self) -> JsonSchema:
        return {"type": "array", "items": SECONDS.schema(), "minItems": 2, "maxItems": 2}


class After(ValueType):
    """`5s`, `100frames` or `64KiB`."""

    name = "moment"
    expected = "a duration, a number of frames or a size, with its unit: 5 s, 100 frames or 64 KiB"

    def parse(self, raw: Any) -> tuple[str, int]:
        text = raw.strip() if isinstance(raw, str) else ""
        if frames := _FRAMES.fullmatch(text):
            return "frames", int(frames[1])
        problem: ValueError | None = None
        for unit, dimension in (("time", DURATION), ("bytes", SIZE)):
            try:
                return unit, dimension.parse(raw)
            except QuantityError as error:
                problem = problem or error
        if isinstance(raw, str) and not text.startswith("-"):
            raise QuantityError(raw, getattr(problem, "offset", 0), self.expected)
        raise self.wrong(raw)

    def render(self, value: Any) -> Any:
        unit, amount = value
        if unit == "frames":
            return f"{amount}frames"
        return DURATION.exact(amount) if unit == "time" else SIZE.exact(amount)

    def schema(self) -> JsonSchema:
        frames: JsonSchema = {"type": "string", "pattern": r"^\s*[0-9]{1,9}\s*[Ff][Rr][Aa][Mm][Ee][Ss]?\s*$"}
        return {"anyOf": [frames, *DURATION.schema()["anyOf"], *SIZE.schema()["anyOf"][:1]]}


class Every(ValueType):
    """`5` (matching frames) or `10s`."""

    name = "rhythm"
    expected = "a number of matching frames from 1, or a duration from 1ms such as 10s"

    def parse(self, raw: Any) -> tuple[str, int]:
        text = str(raw).strip()
        count = None if isinstance(raw, bool) else whole_number(text, 10)
        if count is not None and 1 <= count <= 1_000_000_000:
            return "frames", count
        if isinstance(raw, str) and (ns := DURATION.parse(raw)) >= MIN_PERIOD_NS:
            return "time", ns
        raise self.wrong(raw)

    def render(self, value: Any) -> Any:
        unit, amount = value
        return amount if unit == "frames" else DURATION.exact(amount)

    def schema(self) -> JsonSchema:
        number = {"type": "integer", "minimum": 1, "maximum": 1_000_000_000}
        return {"anyOf": [number, DURATION.schema()["anyOf"][0]]}


ORDINALS: Final = Ordinals()
#: The keys of `when`: how each is written, and what it means.
WHEN_FIELDS: Final[Mapping[str, tuple[ValueType, str]]] = {
    "nth": (ORDINALS, "the matching frames, messages or attempts with these numbers"),
    "every": (Every(), "every Nth matching frame; for inject also a time between two"),
    "after": (After(), "only after a time, a number of frames, or a number of bytes"),
    "between": (Span(), "only in this span of time"),
    "attempt": (ORDINALS, "only in these attempts of a client session, refused ones counted"),
    "connection": (ORDINALS, "only in these connections of a client session, those that opened"),
}


@dataclass(frozen=True, kw_only=True)
class When:
    """Conditions; None without one. See `WHEN_FIELDS`."""

    nth: tuple[Range, ...] | None = None
    every: tuple[str, int] | None = None
    after: tuple[str, int] | None = None
    between: tuple[int, int] | None = None
    attempt: tuple[Range, ...] | None = None
    connection: tuple[Range, ...] | None = None

    @classmethod
    def parse(cls, raw: Any) -> When:
        """Read the mapping of a rule.

        Raises:
            FaultError: naming the key.
        """
        if not isinstance(raw, Mapping):
            raise FaultError("", f"expected a mapping with {', '.join(WHEN_FIELDS)}, found {shown(raw)}")
        values: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in WHEN_FIELDS:
                raise FaultError(str(key), f"unknown; expected one of {', '.join(WHEN_FIELDS)}")
            try:
                values[str(key)] = WHEN_FIELDS[key][0].parse(value)
            except ValueError as error:
                raise FaultError.of(str(key), error) from None
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """JSON that `parse` takes."""
        given = {key: getattr(self, key) for key in WHEN_FIELDS}
        return {key: WHEN_FIELDS[key][0].render(value) for key, value in given.items() if value is not None}

    @property
    def counts_frames(self) -> bool:
        """Whether a frame decides the moment."""
        units = {part[0] for part in (self.every, self.after) if part is not None}
        return self.nth is not None or bool(units & {"frames", "bytes"})

    @property
    def start_ns(self) -> int:
        """The earliest time at which it acts, in ns since the rule was armed; 0 without a bound."""
        times = [self.after[1]] if self.after is not None and self.after[0] == "time" else []
        return max([*times, *([self.between[0]] if self.between is not None else [])], default=0)

    @property
    def end_ns(self) -> int | None:
        """Nothing happens from here on."""
        return None if self.between is None else self.between[1]

    def admits_session(self, attempt: int, connection: int) -> bool:
        """Whether it may act in this attempt and connection of a client session."""
        return _has(self.attempt, attempt) and _has(self.connection, connection)

    def admits_time(self, elapsed_ns: int) -> bool:
        """Whether it may act at this time."""
        return elapsed_ns >= self.start_ns and (self.end_ns is None or elapsed_ns < self.end_ns)

    def admits_number(self, number: int) -> bool:
        """Whether it may act on the match of this number, from 1."""
        if not _has(self.nth, number):
            return False
        return self.every is None or self.every[0] != "frames" or number % self.every[1] == 0

    def admits_amount(self, frames: int, passed: int) -> bool:
        """Whether it may act after this many frames and bytes."""
        if self.after is None or self.after[0] == "time":
            return True
        return (frames if self.after[0] == "frames" else passed) >= self.after[1]

    def scaled(self, factor: float) -> When:
        """The same with all times multiplied."""
        after, every, between = self.after, self.every, self.between
        if after is not None and after[0] == "time":
            after = ("time", int(after[1] * factor))
        if every is not None and every[0] == "time":
            every = ("time", max(MIN_PERIOD_NS, int(every[1] * factor)))
        if between is not None:
            between = (int(between[0] * factor), int(between[1] * factor))
        return When(
            nth=self.nth,
            every=every,
            after=after,
            between=between,
            attempt=self.attempt,
            connection=self.connection,
        )


def _has(ranges: tuple[Range, ...] | None, number: int) -> bool:
    return ranges is None or any(low <= number and (high is None or number <= high) for low, high in ranges)
