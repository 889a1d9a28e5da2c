"""The sandwich while traffic passes: which connections the rules should look at together, and when.

Where a run has two taps around a hop, what happens at one of them is held until the same has happened at the
other, at most `HOLD_SECONDS`: a failure is reported once, by the finding that names the hop. Nothing is held
where no second tap is. Bounded: attempts that are over are forgotten, but for the newest `KEPT`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from typing import Final, NamedTuple

from wsinspect.capture.queries import hops as rows
from wsinspect.capture.queries.hops import OVER, PENDING, REFUSED, BriefFrame
from wsinspect.capture.records import Query
from wsinspect.diagnosis.hops import MAX_TRACES, Hop, order_of, tap_names, with_named
from wsinspect.diagnosis.joining import Attempt, Joined, join, make_attempt, of_key

#: How long one tap waits for the other.
HOLD_SECONDS: Final = 1.0
#: Attempts that are over and may still be joined.
KEPT: Final = 2000
#: Attempts without a key compared with each other at a time.
_RIVALS: Final = 64
#: How many attempts with the same key are remembered, and how many of all are searched for rivals.
_OF_ONE_KEY: Final = 16
_LOOKED_THROUGH: Final = 512


#: The names by which taps are the sides of a hop, whatever keys say.
_SIDES: Final = ("edge", "origin")


class Due(NamedTuple):
    """What to judge now.

    Attributes:
        alone: connections by themselves.
        chains: connections at the taps around a hop, or around each hop of a chain, from the client on.
        finished: those of the pairs of which all that passed can be compared.
        held: to be asked for again.
    """

    alone: set[int]
    chains: list[list[Joined]]
    finished: list[Joined]
    held: set[int]


class LivePairs:
    """Joins the attempts of the taps of one run as they come.

    Args:
        query: runs a statement on the open capture.
        clock: seconds that only grow.

    Attributes:
        partner: the connection behind the hop by the one before it, of those that are remembered.
    """

    def __init__(self, query: Query, clock: Callable[[], float] = time.monotonic) -> None:
        self._query = query
        self._clock = clock
        self._hop = Hop(query)
        self._run = 0
        self._names: set[str] = set()
        self._has_noted_taps = False
        self._keyed: set[tuple[str | None, str | None]] = set()
        self._order: list[tuple[str | None, str | None]] = []
        self._attempts: dict[int, Attempt] = {}
        self._by_key: dict[bytes, list[Attempt]] = {}
        self._joined: dict[int, Joined] = {}
        self._edge_of: dict[int, int] = {}
        #: For each held attempt: since when it has made no progress, and how far it was.
        self._since: dict[int, tuple[float, int]] = {}
        self._newest = 0
        self._headless: set[int] = set()
        self._stages: dict[int, int] = {}
        self._now = 0.0

    @property
    def partner(self) -> dict[int, int]:
        """The connection behind the hop by the one before it."""
        return {number: one.origin.id for number, one in self._joined.items() if one.origin is not None}

    def due(self, numbers: Iterable[int], *, is_over: bool) -> Due:
        """Which of these connections can be judged.

        Args:
            numbers: those that something happened to.
            is_over: nothing more will come: all of them.
        """
        self._learn()
        waiting = set(numbers)
        if not self._order:
            return Due(waiting, [], [], set())
        self._now = float("inf") if is_over else self._clock()
        self._stages = rows.stages(self._query, waiting)
        due = Due(set(), [], [], set())
        while waiting:
            number = waiting.pop()
            links = self._links_of(number)
            if not links:
                self._place_alone(number, due)
                continue
            waiting -= {one.id for link in links for one in link if one is not None}
            self._place(links, due)
        self._since = {number: at for number, at in self._since.items() if number in due.held}
        return due

    def forget(self) -> None:
        """Forget the oldest attempts that are over."""
        if len(self._attempts) <= 2 * KEPT:
            return
        stages = rows.stages(self._query, self._attempts)
        over = [number for number in self._attempts if stages.get(number, OVER) >= OVER]
        for number in over[: max(0, len(over) - KEPT)]:
            if number in self._since:
                continue
            one = self._attempts.pop(number)
            if one.key and (left := [other for other in self._by_key.get(one.key, []) if other.id != number]):
                self._by_key[one.key] = left
            elif one.key:
                self._by_key.pop(one.key, None)
            joined = self._joined.pop(number, None)
            if joined is not None and joined.origin is not None:
                self._edge_of.pop(joined.origin.id, None)

    # -- what is known

    def _learn(self) -> None:
        """Read what is new: the taps of this run, and its attempts."""
        run = rows.newest_run(self._query)
        if run != self._run:
            self._run = run
            self._names = tap_names(self._query, run)
            self._has_noted_taps = bool(self._names)
            self._order = with_named(self._keyed, self._names)
            self._newest = max(self._newest, rows.newest_connection(self._query) - 2 * KEPT)
        if self._has_noted_taps and len(self._names) < 2:
            return
        # An attempt committed in two parts gets its key later.
        again, self._headless = self._headless, set()
        for row in rows.new_attempts(self._query, self._newest, again):
            self._newest = max(row.id, self._newest)
            if row.request_in is None:
                self._headless.add(row.id)
            self._add(make_attempt(row))
            if not self._has_noted_taps and row.tap in _SIDES and row.tap not in self._names:
                # Nobody knows the taps of a trace before something came to them.
                self._names.add(row.tap)
                self._order = with_named(self._keyed, self._names)

    def _add(self, one: Attempt) -> None:
        self._attempts[one.id] = one
        if one.key is None:
            return
        others = self._by_key.setdefault(one.key, [])
        others.append(one)
        # Each attempt should have a new key (RFC 6455 section 4.1); of a client that reuses one, the newest
        # count, and the first ones have shown the order of the taps.
        if 1 < len(others) <= _OF_ONE_KEY:
            self._keyed.update(order_of(others, set()))
            self._order = with_named(self._keyed, self._names)
        del others[:-_OF_ONE_KEY]

    def _behind(self, number: int) -> int | None:
        """What this attempt at the edge became behind the hop, as far as that is known."""
        joined = self._joined.get(number)
        if joined is not None:
            return joined.origin.id if joined.origin else None
        one = self._attempts.get(number)
        if one is None or one.key is None or not self._is_before_a_hop(one):
            return None
        others = self._by_key.get(one.key, ())
        free = [other for other in others if self._is_free(one, other)]
        rivals = [
            other
            for other in others
            if other.tap == one.tap and other is not one and other.id not in self._joined
        ]
        match = self._of_key(one, rivals, free) if free and rivals else next(iter(free), None)
        if match is None:
            return None
        self._join(Joined(one, match, "key"))
        return match.id

    def _of_key(self, one: Attempt, rivals: list[Attempt], free: list[Attempt]) -> Attempt | None:
        """The attempt behind the hop where the client has used the key for others, too."""
        closed = rows.closed_times(self._query, [other.id for other in (one, *rivals)])
        mine, *others = (other._replace(closed_ns=closed.get(other.id)) for other in (one, *rivals))
        return of_key(mine, others, free, 0)

    def _before(self, number: int) -> int | None:
        """The attempt at the edge that this one behind the hop came from."""
        known = self._edge_of.get(number)
        one = self._attempts.get(number)
        if known is not None or one is None or one.key is None:
            return known
        for other in self._by_key.get(one.key, ()):
            if other.id != number and self._behind(other.id) == number:
                return other.id
        return None

    def _join(self, joined: Joined) -> None:
        self._joined[joined.edge.id] = joined
        if joined.origin is not None:
            self._edge_of[joined.origin.id] = joined.edge.id

    def _is_free(self, edge: Attempt, origin: Attempt) -> bool:
        return (
            (edge.tap, origin.tap) in self._order and origin.id > edge.id and origin.id not in self._edge_of
        )

    def _is_key_alone(self, one: Attempt) -> bool:
        return one.key is None or len(self._by_key.get(one.key, ())) <= 1

    def _is_before_a_hop(self, one: Attempt) -> bool:
        return any(before == one.tap for before, _ in self._order)

    def _is_behind_a_hop(self, one: Attempt) -> bool:
        return any(behind == one.tap for _, behind in self._order)

    # -- when to judge

    def chain_of(self, joined: Joined) -> list[Joined]:
        """All hops that this connection passed, as far as they are known, from the client on."""
        links = self._links_of(joined.edge.id)
        return self._as_joined(links) or [joined]

    def _links_of(self, number: int) -> list[tuple[Attempt, Attempt | None]]:
        """The attempt at each tap and what it became behind the hop; empty where it met no known hop."""
        one = self._attempts.get(number)
        seen = {number}
        while one is not None and (before := self._before(one.id)) is not None and before not in seen:
            seen.add(before)
            one = self._attempts.get(before)
        links: list[tuple[Attempt, Attempt | None]] = []
        while one is not None and self._is_before_a_hop(one):
            behind = self._behind(one.id)
            if behind is None and self._stage(one.id) >= OVER:
                behind = self._find(one)
            other = None if behind is None else self._attempts.get(behind)
            links.append((one, other))
            if other is not None and any(other is edge for edge, _ in links):
                break
            one = other
        return links

    def _as_joined(self, links: Sequence[tuple[Attempt, Attempt | None]]) -> list[Joined]:
        """What can be judged; a hop that has answered will not ask any more."""
        return [
            self._joined[edge.id] if origin is not None else Joined(edge, None, None)
            for edge, origin in links
            if origin is not None or self._stage(edge.id) >= OVER
        ]

    def _place_alone(self, number: int, due: Due) -> None:
        one = self._attempts.get(number)
        is_held = one is not None and self._is_behind_a_hop(one) and self._is_patient(number)
        (due.held if is_held else due.alone).add(number)

    def _place(self, links: Sequence[tuple[Attempt, Attempt | None]], due: Due) -> None:
        found = self._as_joined(links)
        if not found:
            due.alone.add(links[0][0].id)
            return
        numbers = {one.id for link in links for one in link if one is not None}
        stages = [min(self._stage(number), OVER) for number in numbers]
        is_level = len(set(stages)) == 1 and stages[0] != PENDING
        if is_level or found[0].origin is None or not self._is_patient(*numbers):
            due.chains.append(found)
            due.finished.extend([one for one in found if self._is_finished(one)])
        else:
            due.held.update(numbers)

    def _is_finished(self, one: Joined) -> bool:
        """Whether all that passed the hop can be compared."""
        return (
            one.origin is not None
            and self._stage(one.edge.id) == OVER
            and self._stage(one.origin.id) != REFUSED
        )

    def _is_patient(self, *numbers: int) -> bool:
        """Whether none of these has been held for `HOLD_SECONDS` since one of them came further."""
        waited = [
            (self._now, stage) if known is None or known[1] != stage else known
            for known, stage in ((self._since.get(number), self._stage(number)) for number in numbers)
        ]
        self._since.update(zip(numbers, waited, strict=True))
        return self._now - max(since for since, _ in waited) < HOLD_SECONDS

    def _stage(self, number: int) -> int:
        if number not in self._stages:
            self._stages.update(rows.stages(self._query, (number,)))
        return self._stages.get(number, OVER)

    def _find(self, edge: Attempt) -> int | None:
        """The attempt behind the hop whose key the hop has replaced."""
        newest = list(islice(reversed(self._attempts.values()), _LOOKED_THROUGH))
        free = [one for one in newest if self._is_free(edge, one) and self._is_key_alone(one)][:_RIVALS]
        if not free:
            return None
        free.reverse()
        rivals = [one for one in newest if one.tap == edge.tap and one.id not in self._joined][:_RIVALS][::-1]
        closed = rows.closed_times(self._query, [one.id for one in (edge, *rivals)])
        timed = [one._replace(closed_ns=closed.get(one.id)) for one in rivals if one.id != edge.id]
        mine = edge._replace(closed_ns=closed.get(edge.id))
        for joined in join([mine, *timed], free, 0, cache(self._hop.content)):
            if joined.edge.id == edge.id and joined.origin is not None:
                self._join(joined)
                return joined.origin.id
        return None


def worth_comparing(query: Query, pairs: Sequence[Joined]) -> Iterator[Joined]:
    """The pairs of which more than a count is to be looked at.

    Left out are those that ended alike, with as many frames and bytes at both taps each way, and each frame
    the same: so nothing was lost, cut, made up, changed or compressed again. And with as many pauses between
    frames behind the hop as before it: so nothing was held back. That is nearly all of the cost of a hop that
    works.
    """
    numbers = [(one.edge.id, one.origin.id) for one in pairs if one.origin is not None]
    alike = rows.ended_alike(query, numbers)
    wanted = {edge for edge, _ in numbers if edge not in alike}
    unread: list[tuple[int, int]] = []
    for edge, origin in numbers:
        if edge in wanted:
            continue
        long = _long_if_same(*(rows.brief_frames(query, number, MAX_TRACES) for number in (edge, origin)))
        if long is None:
            wanted.add(edge)
            continue
        unread += long
        if len(unread) >= _AT_ONCE:
            wanted |= rows.passed_otherwise(query, unread)
            unread.clear()
    if unread:
        wanted |= rows.passed_otherwise(query, unread)
    yield from (one for one in pairs if one.origin is not None and one.edge.id in wanted)


#: The frames of a connection at one tap, by direction.
_Sides = tuple[list[BriefFrame], list[BriefFrame]]


def _long_if_same(edge: _Sides, origin: _Sides) -> list[tuple[int, int]] | None:
    """The long frames, whose payloads are to be compared still; None where something is not the same."""
    # A pause that went missing on the way to the server, or to the client, was lost in the hop.
    lost = (
        _pauses(edge[0]) - _pauses(origin[0]),
        _pauses(origin[1]) - _pauses(edge[1]),
    )
    if max(lost) >= _LOST_PAUSES:
        return None
    long = []
    for went_in, came_out in zip(edge, origin, strict=True):
        for one, other in zip(went_in, came_out, strict=False):
            if one.first_byte != other.first_byte:
                return None
            if one.is_long or other.is_long:
                long.append((one.id, other.id))
            elif one.payload != other.payload:
                return None
    return long


def _pauses(frames: Sequence[BriefFrame]) -> int:
    """How many pauses there are between frames of one direction."""
    return sum(after.time_ns - before.time_ns >= _PAUSE_NS for before, after in pairwise(frames))


#: Long frames that are compared by one statement, or as many more as one connection has.
_AT_ONCE: Final = 1000
#: Fewer lost pauses than this are jitter between the two clocks.
_LOST_PAUSES: Final = 2
#: sandwich.compare: messages sent this far apart that arrive together were held.
_PAUSE_NS: Final = 50_000_000
