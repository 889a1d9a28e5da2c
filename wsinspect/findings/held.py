"""What became of connections that were held open on purpose, and which limit explains all of it. Pure.

A limit is a hypothesis: it counts something (silence of both sides, of one of them, or the age) up to a
length. It holds if every connection that ended had reached that length, and none ever went beyond it. What
several hypotheses explain alike is not told apart, and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Final, Literal, NamedTuple

from wsinspect.findings.facts import SECOND_NS

#: What a limit can count: silence of both sides, of the server, of the client; the client's last message; the
#: age of the connection.
Measure = Literal["any", "server", "client", "messages", "age"]
#: Silence of both is the usual kind; of two that explain the same the first is the likelier.
SILENCES: Final[tuple[Measure, ...]] = ("any", "server", "client")
_OF_WHOLE: Final[tuple[Measure, ...]] = ("age", "messages")
#: Timers fire late, and nginx moves one only when it is 0.3 s off.
_LATE_NS: Final = 350_000_000
_LATE: Final = 0.04
#: A PING that is sent this long before an end may not be answered any more: Envoy closes TCP a second after
#: it has ended a stream (delayed_close_timeout), and reads nothing more in between.
_MEETS_NS: Final = SECOND_NS
#: A server that goes away takes at least this many connections with it.
_TOGETHER: Final = 3
#: Ways to hold a connection in which we say nothing that is not asked for.
QUIET: Final = ("silent", "mute", "waits")


class Gaps(NamedTuple):
    """Lengths of silence in nanoseconds, by what is counted."""

    any: int = 0
    server: int = 0
    client: int = 0
    messages: int = 0


_NONE: Final = Gaps()


@dataclass(frozen=True, kw_only=True)
class Held:
    """One connection and what became of it.

    Attributes:
        number: its id among the probes.
        way: `silent` (pongs alone), `mute` (not even pongs), `waits` (a PING after a while), `pings`, `pongs`
            (unsolicited: bytes of the client alone), `messages`.
        place: 0 is the server of the URL, the others are behind it; `where` names it.
        end_ns: when it ended, or when we let go.
        how: `close-frame`, `fin`, `rst`; `vanished` where a PING into the silence got no answer; None where
            it was open to the end.
        last: the silences at the end; `longest`: those before.
        server_pings: PINGs of the server (and of Engine.IO), `server_ping_ns` when the last came.
        server_frames: all that came by itself, PINGs and answers to us not counted.
        error: why it was never open.
    """

    number: int
    way: str
    place: int = 0
    where: str = ""
    open_ns: int = 0
    end_ns: int = 0
    how: str | None = None
    code: int | None = None
    reason: str = ""
    last: Gaps = _NONE
    longest: Gaps = _NONE
    server_pings: int = 0
    server_ping_ns: int | None = None
    server_frames: int = 0
    is_ping_answered: bool = True
    error: str | None = None

    @property
    def age_ns(self) -> int:
        """From the 101 to the end."""
        return self.end_ns - self.open_ns

    @property
    def has_ended(self) -> bool:
        """Whether somebody ended it in a way that could be seen."""
        return self.how in ("close-frame", "fin", "rst")

    def final(self, measure: Measure) -> int:
        """What a limit had counted when it ended."""
        return self.age_ns if measure == "age" else getattr(self.last, measure)

    def most(self, measure: Measure) -> int:
        """The most that a limit had counted and let pass."""
        earlier = 0 if measure == "age" else getattr(self.longest, measure)
        return earlier if self.has_ended else max(earlier, self.final(measure))


class Limit(NamedTuple):
    """A limit that explains what ended.

    Attributes:
        lifetime_ns: a second limit, on the age; None where one explains all.
        ended: those that the limit ended; `expired` those of the second.
        outlived: those that lived longer and were not ended.
    """

    measure: Measure
    length_ns: int
    ended: tuple[Held, ...]
    outlived: tuple[Held, ...]
    lifetime_ns: int | None = None
    expired: tuple[Held, ...] = ()


def tolerance_ns(length_ns: int) -> int:
    """How much later or earlier than its length a limit may strike."""
    return max(_LATE_NS, int(length_ns * _LATE))


def opened(held: Sequence[Held], place: int = 0) -> list[Held]:
    """Those that were open, of one server."""
    return [one for one in held if one.place == place and one.error is None]


def without_heartbeat(held: Sequence[Held]) -> tuple[list[Held], Held | None]:
    """Those that say something of a limit, and the one that the server ended for missing pongs.

    The server's heartbeat ended it where it alone left PINGs unanswered, and a silent one outlived it.
    """
    mute = next((one for one in held if one.way == "mute" and one.server_pings and one.has_ended), None)
    if mute is None:
        return list(held), None
    limit = mute.age_ns + tolerance_ns(mute.age_ns)
    if not any(one.way == "silent" and one.age_ns > limit for one in held):
        return list(held), None
    return [one for one in held if one is not mute], mute


def limits(held: Sequence[Held]) -> list[Limit]:
    """Every limit that explains all ends, the likeliest first; none where nothing ended or nothing fits."""
    ended = [one for one in held if one.has_ended]
    if not ended:
        return []
    single = [found for measure in (*SILENCES, *_OF_WHOLE) if (found := _single(held, ended, measure))]
    if single:
        return single
    return [found for measure in (*SILENCES, "messages") if (found := _with_lifetime(held, ended, measure))]


def _single(held: Sequence[Held], ended: Sequence[Held], measure: Measure) -> Limit | None:
    lengths = [one.final(measure) for one in ended]
    length = min(lengths)
    most = length + tolerance_ns(length)
    if not length or max(lengths) > most or any(one.most(measure) > most for one in held):
        return None
    # Some timers are moved late and strike early: the middle one is the nearest.
    middle = median_low(lengths)
    return Limit(measure, middle, tuple(ended), _outlived(held, middle))


def _with_lifetime(held: Sequence[Held], ended: Sequence[Held], measure: Measure) -> Limit | None:
    """An idle limit that ended the silent ones, and a lifetime limit that ended those that spoke."""
    length = min((one.final(measure) for one in ended if one.way in QUIET), default=0)
    most = length + tolerance_ns(length)
    if not length or any(one.most(measure) > most for one in held):
        return None
    idle = [one for one in ended if length <= one.final(measure) <= most]
    expired = [one for one in ended if one not in idle]
    lifetime = min((one.age_ns for one in expired), default=0)
    latest = lifetime + tolerance_ns(lifetime)
    if any(one.final(measure) > most for one in expired) or any(one.age_ns > latest for one in held):
        return None
    middle = median_low([one.final(measure) for one in idle])
    outlived = _outlived(held, middle)
    return Limit(measure, middle, tuple(idle), outlived, lifetime or None, tuple(expired))


def _outlived(held: Sequence[Held], length: int) -> tuple[Held, ...]:
    most = length + tolerance_ns(length)
    return tuple(one for one in held if one.age_ns > most)


def ended_together(held: Sequence[Held]) -> list[Held]:
    """All of them, where they ended at one moment and not at one age: their server went away."""
    ended = [one for one in held if one.has_ended]
    if len(ended) < _TOGETHER or len(ended) < len(held):
        return []
    ages = [one.age_ns for one in ended]
    ends = [one.end_ns for one in ended]
    return ended if max(ends) - min(ends) < (max(ages) - min(ages)) / 2 else []


def replaced(held: Sequence[Held]) -> list[Held]:
    """Those that each ended when the next one was opened: the server keeps one for each client."""
    order = sorted(held, key=lambda one: one.open_ns)
    ended = [
        one
        for one, later in pairwise(order)
        if one.has_ended and 0 <= one.end_ns - later.open_ns + _LATE_NS // 2 <= _LATE_NS
    ]
    is_all = len(ended) == len(order) - 1 and not order[-1].has_ended
    return ended if is_all and len(ended) >= _TOGETHER else []


class Vanishing(NamedTuple):
    """Connections that were gone without any end: the limit is between two lengths of silence."""

    least_ns: int
    most_ns: int
    vanished: tuple[Held, ...]


def vanishing(held: Sequence[Held]) -> Vanishing | None:
    """The silence after which a connection is gone and nobody says so; None where none was.

    Where others were ended at the same silence, somebody does say so: a PING that meets that end on its way
    is answered with a reset, or not at all.
    """
    ended = [one.last.any for one in held if one.has_ended]
    vanished = [
        one for one in held if one.how == "vanished" and not any(_meets(one.last.any, end) for end in ended)
    ]
    if not vanished or any(one.way not in QUIET for one in vanished):
        return None
    most = min(one.last.any for one in vanished)
    alive = [one.longest.any if one.how else max(one.longest.any, one.last.any) for one in held]
    return Vanishing(max((gap for gap in alive if gap < most), default=0), most, tuple(vanished))


def _meets(asked_ns: int, end_ns: int) -> bool:
    """Whether a PING into a silence of one length may have met the end that came at another."""
    before_ns = end_ns - asked_ns
    return 0 <= before_ns <= _MEETS_NS or abs(before_ns) <= tolerance_ns(max(asked_ns, end_ns))


def own_interval_ns(held: Sequence[Held]) -> int | None:
    """How long the server is silent at most when nobody speaks to it; None where it never says anything."""
    quiet = [
        one for one in held if one.way == "silent" and (one.server_pings or one.server_frames) and one.longest
    ]
    return min((one.longest.server for one in quiet if one.longest.server > SECOND_NS // 100), default=None)
