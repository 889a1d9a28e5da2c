"""Connections on one time axis: which share a line, and what their bars look like.

Contract: pure. Connections of one client session, or else of one client address to one target, share a line
where they do not overlap, so that a reconnect storm is a row of short bars and a 60-second pattern is seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from wsinspect.capture.records import Connection
from wsinspect.present.clock import RELATIVE_CLOCK, Clock
from wsinspect.present.rows import duration
from wsinspect.text import escape
from wsinspect.units import format_duration


@dataclass
class TimeLine:
    """One line: attempts of one client to one target, in order, none overlapping."""

    client: str
    target: str
    ones: list[Connection] = field(default_factory=list)

    @property
    def end_ns(self) -> int | None:
        """When the last one ended; None while it lives."""
        return end_of(self.ones[-1])


def begin_of(one: Connection) -> int:
    """When its first attempt was seen, else when it opened or closed, in ns; 0 where nothing is known."""
    return one.attempt_ns or one.open_ns or one.closed_ns or 0


def end_of(one: Connection) -> int | None:
    """When it ended; None while it lives. A refused attempt ends where it began when no time is known."""
    if one.closed_ns is not None:
        return one.closed_ns
    return begin_of(one) if one.state in ("refused", "failed") else None


def time_lines(
    connections: Iterable[Connection], client_of: Callable[[int], object | None] = lambda _: None
) -> list[TimeLine]:
    """All connections in lines, in order of their first attempt.

    Args:
        client_of: what stands for the client that made a connection, where that is known.
    """
    lines: list[TimeLine] = []
    groups: dict[tuple[object, ...], list[TimeLine]] = {}
    for one in connections:
        client = (one.client or "?").rsplit(":", 1)[0]
        target = one.path or one.url
        known = client_of(one.id)
        key: tuple[object, ...] = (client, one.host, one.port, target)
        if known is not None:
            key = (known,)
        elif one.client_session is not None:
            key = (one.client_session,)
        group = groups.setdefault(key, [])
        for line in group:
            end_ns = line.end_ns
            if end_ns is not None and end_ns <= begin_of(one):
                line.ones.append(one)
                break
        else:
            line = TimeLine(client, target, [one])
            group.append(line)
            lines.append(line)
    return lines


def pattern_words(ones: Sequence[Connection]) -> str:
    """How many attempts, and whether they come or end at an even pace."""
    count = len(ones)
    if count < 2:
        one = ones[0]
        end_ns = end_of(one)
        return "" if end_ns is None else f"lasted {format_duration(end_ns - begin_of(one))}"
    words = f"{count} attempts"
    if reason := _reason(ones):
        return f"{words}, each {reason}"
    begins = [begin_of(one) for one in ones]
    intervals = sorted(later - earlier for earlier, later in itertools.pairwise(begins))
    middle = intervals[len(intervals) // 2]
    if count >= 3 and intervals[-1] - intervals[0] <= middle // 5:
        return f"{words}, one every {format_duration(middle)}"
    lasted = sorted(end - begin_of(one) for one in ones if (end := end_of(one)) is not None and one.open_ns)
    if len(lasted) >= 3 and lasted[-1] - lasted[0] <= lasted[len(lasted) // 2] // 5:
        return f"{words}, each open for {format_duration(lasted[len(lasted) // 2])}"
    return f"{words}, {format_duration(intervals[0])} to {format_duration(intervals[-1])} apart"


def _reason(ones: Sequence[Connection]) -> str:
    """Why all of them failed, where that is the same for each."""
    if any(one.open_ns is not None or one.state not in ("refused", "failed") for one in ones):
        return ""
    reasons = {(one.status, one.error) for one in ones}
    status, error = reasons.pop()
    return "" if reasons else escape(str(status or error or ""))


def numbers(ones: Sequence[Connection]) -> str:
    """The numbers of some connections: `#3`, or `#1-9` where there are several."""
    return f"#{ones[0].id}" if len(ones) == 1 else f"#{ones[0].id}-{ones[-1].id}"


_DAY_NS: Final = 86_400 * 10**9
#: Distances of an axis's labels, in ns: 1, 2, 5 of each power of ten below a minute, then those of a clock.
_STEPS: Final = (
    *(digit * 10**power for power in range(3, 10) for digit in (1, 2, 5)),
    *(seconds * 10**9 for seconds in (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200)),
    *(days * 86_400 * 10**9 for days in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


def axis(from_ns: int, to_ns: int, zero_ns: int, cells: int, clock: Clock = RELATIVE_CLOCK) -> str:
    """Times below which bars stand: round ones since `zero_ns`, or of the day, each label distinct and whole.

    Returns:
        At most `cells` characters; the same place in a bar of as many cells is at that time.
    """
    span = max(to_ns - from_ns, 1)
    if clock.is_wall:
        zero_ns = from_ns - from_ns % _DAY_NS
    for step in _STEPS:
        first = -(-(from_ns - zero_ns) // step)
        last = (to_ns - zero_ns) // step
        if last - first > cells:
            continue
        labels = [
            (number * step, f"|{_axis_words(number * step, step, zero_ns, clock)}")
            for number in range(first, last + 1)
        ]
        widest = max((len(words) for _, words in labels), default=0)
        if step * cells // span >= widest + 2:
            break
    else:
        labels = []
    text = ""
    for at_ns, words in labels:
        at = (at_ns + zero_ns - from_ns) * cells // span
        if at + len(words) <= cells:
            text = f"{text:<{at}}{words}"
    if not text and clock.is_wall:
        text = f"|{clock.of_day(from_ns)}"
    return (text or f"|{duration(from_ns - zero_ns)}")[:cells]


def _axis_words(time_ns: int, step: int, zero_ns: int, clock: Clock) -> str:
    """With as many decimals as tell two labels apart."""
    if clock.is_wall:
        return clock.of_day(zero_ns + time_ns, digits=max(0, 10 - len(str(step))))
    if abs(time_ns) >= 60 * 10**9 and step >= 10**9:
        return ("-" if time_ns < 0 else "") + _clock_words(abs(time_ns) // 10**9)
    decimals = max(0, 10 - len(str(step))) if step < 10**9 else 0
    return f"{time_ns / 1e9:.{decimals}f} s"


def _clock_words(seconds: int) -> str:
    """Every unit that is not zero, so that no two times are written alike: `1 h 20 s`."""
    found = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        found += [f"{count} {unit}"] if count else []
    return " ".join(found)


#: What a cell of a bar can show, in rising order of importance.
NOTHING, WAITING, OPEN, ATTEMPT, CLOSED, UNCLEAN, REFUSED = range(7)


def bar(line: TimeLine, from_ns: int, to_ns: int, cells: int) -> list[int]:
    """For each cell the most important of NOTHING to REFUSED that happened in its part of the time."""
    shown = [NOTHING] * cells
    span = max(to_ns - from_ns, 1)

    def cell(time_ns: int) -> int:
        return max(0, min((time_ns - from_ns) * cells // span, cells - 1))

    def put(at: int, what: int) -> None:
        shown[at] = max(shown[at], what)

    for one in line.ones:
        begin, end_ns = begin_of(one), end_of(one)
        if begin > to_ns or (end_ns is not None and end_ns < from_ns):
            continue
        last = cells - 1 if end_ns is None else cell(end_ns)
        is_open_at = one.open_ns if one.open_ns is not None else to_ns + 1
        for at in range(cell(begin), last + 1):
            put(at, OPEN if from_ns + at * span // cells + span // cells >= is_open_at else WAITING)
        put(cell(begin), ATTEMPT if one.open_ns is not None or end_ns is None else REFUSED)
        if end_ns is not None and one.open_ns is not None:
            put(last, CLOSED if one.js_was_clean else UNCLEAN)
    return shown
