"""The clock of the screens: how a frame's time is written.

Contract: one zero point: the selected connection's attempt, else the capture's start. Wall-clock times are
the proxy's own.
"""

from __future__ import annotations

import datetime
import re
from typing import Final, NamedTuple

RELATIVE, DELTA, LOCAL, UTC = "relative", "delta", "local", "utc"
#: In the order in which a key goes through them.
KINDS: Final = (RELATIVE, DELTA, LOCAL, UTC)
_WORDS: Final = {
    RELATIVE: "seconds since the start",
    DELTA: "since the previous frame",
    LOCAL: "local time",
    UTC: "UTC",
}
_CELLS: Final = 12
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(z|utc)?", re.IGNORECASE)
_SECOND_NS: Final = 10**9
_DAY_NS: Final = 86_400 * _SECOND_NS


class Clock(NamedTuple):
    """One way to write times.

    Attributes:
        kind: one of `KINDS`.
    """

    kind: str = RELATIVE

    @property
    def is_wall(self) -> bool:
        """Whether it is a time of day."""
        return self.kind in (LOCAL, UTC)

    @property
    def is_utc(self) -> bool:
        """Whether dates are written in UTC: unless local time is asked for."""
        return self.kind != LOCAL

    @property
    def next(self) -> Clock:
        """The next one in the order of `KINDS`."""
        return Clock(KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)])

    @property
    def words(self) -> str:
        return _WORDS[self.kind]

    @property
    def cells(self) -> int:
        """What a column of it needs at least."""
        return _CELLS if self.is_wall else 0

    def heading(self, *, is_ascii: bool = False) -> str:
        """The name of a column of times."""
        delta = "d t (s)" if is_ascii else "Δ t (s)"
        return {RELATIVE: "t (s)", DELTA: delta, LOCAL: "local", UTC: "UTC"}[self.kind]

    def cell(self, time_ns: int, zero_ns: int, delta_ns: int) -> str:
        """A time in a column."""
        if self.is_wall:
            return self.of_day(time_ns)
        return f"{(delta_ns if self.kind == DELTA else time_ns - zero_ns) / 1e9:.3f}"

    def of_day(self, time_ns: int, digits: int = 3) -> str:
        """The time of day, to the millisecond unless more digits are asked for: `14:03:22.123`."""
        moment = datetime.datetime.fromtimestamp(time_ns // _SECOND_NS, datetime.UTC)
        if self.kind != UTC:
            moment = moment.astimezone()
        fraction = f".{time_ns % _SECOND_NS:09}"[: digits + 1] if digits else ""
        return f"{moment:%H:%M:%S}{fraction}"

    def at(self, time_ns: int, zero_ns: int) -> str:
        """A time in a sentence: `12.001 s`, `14:03:22.123`, `14:03:22.123 UTC`."""
        if self.is_wall:
            return f"{self.of_day(time_ns)}{' UTC' if self.kind == UTC else ''}"
        return f"{(time_ns - zero_ns) / 1e9:.3f} s"


#: What times are written with where nobody chose another clock.
RELATIVE_CLOCK: Final = Clock()


def parse_time_of_day(text: str, zero_ns: int, end_ns: int, *, is_utc: bool) -> int | None:
    """`14:03`, `14:03:22`, `14:03:22.5`, `14:03:22Z` as nanoseconds; None where it is none of these.

    Args:
        zero_ns, end_ns: the capture's span: of the days that have such a time, the one in it or next to it.
        is_utc: whether a time without `Z` is in UTC.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction_ns = int((match[4] or "0")[:9].ljust(9, "0"))
    is_utc = is_utc or match[5] is not None
    start = datetime.datetime.fromtimestamp(zero_ns // _SECOND_NS, datetime.UTC)
    start = start if is_utc else start.astimezone()
    days = max((end_ns - zero_ns) // _DAY_NS, 0) + 1
    candidates = []
    for day in (-1, *range(min(days, 400) + 1)):
        date = (start + datetime.timedelta(days=day)).date()
        moment = datetime.datetime(date.year, date.month, date.day, hour, minute, second)
        moment = moment.replace(tzinfo=datetime.UTC) if is_utc else moment.astimezone()
        candidates.append(int(moment.timestamp()) * _SECOND_NS + fraction_ns)
    return min(candidates, key=lambda time_ns: _outside(time_ns, zero_ns, end_ns))


def _outside(time_ns: int, first_ns: int, last_ns: int) -> int:
    """How far a time is from a span; 0 within it."""
    return max(first_ns - time_ns, time_ns - last_ns, 0)
