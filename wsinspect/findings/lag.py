"""When a tap was blind, and what its times are worth then.

A tap stamps what it reads when it reads it. While its process got no CPU it read nothing: what it found
afterwards may have come at any moment of that stretch, in any order on two sockets, and what it had to pass
on waited. So a rule that reasons from elapsed time asks for the time that is certain, and one that reasons
from the order of two sockets whether that is known.

All times are nanoseconds of one clock; stretches are in order and do not overlap (`merged`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

#: What came while a tap was blind has been read this long after it runs again.
SETTLE_NS: Final = 50_000_000
#: However starved a machine is, what it owes has come by then.
STARVED_NS: Final = 5_000_000_000
#: Times that are off by no more than this are as good as any: limits are whole seconds, timers coarse.
COARSE_NS: Final = 250_000_000


class Lag(NamedTuple):
    """A stretch in which a tap may have read nothing."""

    from_ns: int
    until_ns: int


def merged(lags: Iterable[Lag]) -> tuple[Lag, ...]:
    """In order, those that touch as one."""
    found: list[Lag] = []
    for one in sorted(lags):
        if found and one.from_ns <= found[-1].until_ns + SETTLE_NS:
            found[-1] = Lag(found[-1].from_ns, max(found[-1].until_ns, one.until_ns))
        else:
            found.append(one)
    return tuple(found)


def within(lags: Sequence[Lag], first_ns: int, last_ns: int) -> tuple[Lag, ...]:
    """Those that touch a time from first to last."""
    return tuple(one for one in lags if one.until_ns + SETTLE_NS >= first_ns and one.from_ns <= last_ns)


def earliest_ns(lags: Iterable[Lag], time_ns: int) -> int:
    """When what was read at a time came, at the earliest."""
    for one in lags:
        if one.from_ns <= time_ns <= one.until_ns + SETTLE_NS:
            return one.from_ns
    return time_ns


def blind_ns(lags: Iterable[Lag], first_ns: int, last_ns: int) -> int:
    """For how long of a time the tap may have been blind."""
    return sum(max(0, min(one.until_ns, last_ns) - max(one.from_ns, first_ns)) for one in lags)


def certain_ns(lags: Sequence[Lag], first_ns: int, last_ns: int) -> int:
    """How long the tap watched between two things that it read: what is certain of the time between them.

    While it was blind it passed nothing on either, so that time is not the other side's.
    """
    end_ns = earliest_ns(lags, last_ns)
    return max(0, end_ns - first_ns - blind_ns(lags, first_ns, end_ns))


def has_waited(lags: Sequence[Lag], first_ns: int, last_ns: int, least_ns: int) -> bool:
    """Whether somebody had this much time to answer: where the tap was blind meanwhile, a good deal more.

    A machine that starves the tap starves its neighbours too, and what they owe comes late.
    """
    if blind_ns(lags, first_ns, last_ns):
        least_ns = max(least_ns, STARVED_NS)
    return certain_ns(lags, first_ns, last_ns) >= least_ns


def blur_ns(lags: Sequence[Lag], first_ns: int, last_ns: int) -> int:
    """By how much the time between two things that were read may be wrong."""
    return sum(one - earliest_ns(lags, one) for one in (first_ns, last_ns))


def is_order_known(lags: Sequence[Lag], one_ns: int, other_ns: int) -> bool:
    """Whether what was read first came first, of two sockets."""
    early, late = sorted((one_ns, other_ns))
    return earliest_ns(lags, late) >= early
