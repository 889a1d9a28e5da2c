"""Client sessions: which attempts are the same client's.

A client that reconnects comes from another port. It is known again by tap, address, place, path, `User-Agent`
and `Origin`, and within these by its credentials. Clients that agree in all of that are told apart by time
alone: one that has just lost its connection comes back, one whose connection is fine is somebody else. That
is a guess, and says so. A token that changes with each connection is no reason to take a client for another
one, unless two of its values were ever open at once.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import Final

from wsinspect.clients.facts import SECOND_NS, Attempt, Transport

#: A second socket this soon after a reconnect is the same client: two handlers tried again.
_SECOND_SOCKET_NS: Final = 30 * SECOND_NS
#: After waiting this long for an answer, a client may have given up on an attempt.
_PATIENCE_NS: Final = SECOND_NS // 2
#: Among this many clients, the newest, one with other credentials is looked for.
_MOST_SCANNED: Final = 256


class Confidence(IntEnum):
    """How sure it is that the attempts are one client's."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def word(self) -> str:
        """`low`, `medium` or `high`."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True)
class Session:
    """The attempts of one client.

    Attributes:
        number: that of its first attempt.
        attempts: in order.
        known_by: what they have in common.
        doubts: why it may be wrong; empty where nothing speaks against it.
        may_be_back: somebody with other credentials has come since its last connection ended, and may be it.
    """

    number: int
    attempts: tuple[Attempt, ...]
    confidence: Confidence
    known_by: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    may_be_back: bool = False

    @property
    def first(self) -> Attempt:
        """The attempt that it begins with."""
        return self.attempts[0]

    @property
    def connections(self) -> list[Attempt]:
        """Its attempts that were open."""
        return [one for one in self.attempts if one.is_open]


@dataclass(eq=False)
class _Lane:
    """A session as it grows."""

    attempts: list[Attempt]
    confidence: Confidence
    doubts: dict[str, None] = field(default_factory=dict)
    reconnected_ns: int | None = None

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    def take(self, one: Attempt, confidence: Confidence, doubt: str = "") -> None:
        if self.last.end_ns is not None and one.is_open:
            self.reconnected_ns = one.attempt_ns
        if one.run != self.last.run:
            confidence = min(confidence, Confidence.MEDIUM)
            self.doubts["the proxy was restarted in between"] = None
        self.attempts.append(one)
        self.confidence = min(self.confidence, confidence)
        if doubt:
            self.doubts[doubt] = None

    def is_up(self, at_ns: int) -> bool:
        return any(one.is_usable(at_ns) for one in self.attempts[-4:])

    def is_waiting(self, at_ns: int) -> bool:
        """Whether its last attempt has not been answered."""
        return self.last.open_ns is None and (self.last.end_ns is None or self.last.end_ns > at_ns)

    def has_left(self) -> bool:
        """Whether its client closed the last connection itself, and properly."""
        return self.last.ended_by == "client" and self.last.client_code in (1000, 1001)


class _Bucket:
    """Sessions that agree in all that stays."""

    def __init__(self) -> None:
        self.lanes: list[_Lane] = []
        self._down: OrderedDict[int, _Lane] = OrderedDict()
        self._left: OrderedDict[int, _Lane] = OrderedDict()
        self._ends: list[tuple[int, int, _Lane]] = []
        self._count = 0

    def put(self, lane: _Lane, one: Attempt) -> None:
        """A lane has one more attempt."""
        self._down.pop(id(lane), None)
        self._left.pop(id(lane), None)
        times = [stall.from_ns for stall in one.stalls]
        times += [] if one.end_ns is None else [one.end_ns]
        if one.open_ns is None:
            times.append(one.attempt_ns + _PATIENCE_NS)
        for time_ns in times:
            self._count += 1
            heapq.heappush(self._ends, (time_ns, self._count, lane))

    def add(self, lane: _Lane) -> None:
        self.lanes.append(lane)
        self.put(lane, lane.last)

    def first_down(self, at_ns: int) -> _Lane | None:
        """The lane that has been without a working connection for longest; else one that left."""
        while self._ends and self._ends[0][0] <= at_ns:
            _, _, lane = heapq.heappop(self._ends)
            if not lane.is_up(at_ns):
                (self._left if lane.has_left() else self._down).setdefault(id(lane), lane)
        for waiting in (self._down, self._left):
            while waiting:
                key, lane = next(iter(waiting.items()))
                if not lane.is_up(at_ns):
                    return lane
                del waiting[key]
        return None


class _Group:
    """Attempts from one address to one place with one `User-Agent` and `Origin`.

    Args:
        volatile: names of parts that say nothing, for they change with every attempt.
    """

    def __init__(self, volatile: frozenset[str]) -> None:
        self.volatile = volatile
        self.buckets: dict[tuple[tuple[str, bytes], ...], _Bucket] = {}
        #: Names of parts that had two values in use at once.
        self._telling: set[str] = set()

    def take(self, one: Attempt) -> None:
        if one.chosen is not None:
            self._take_chosen(one)
            return
        key = tuple(sorted((name, value) for name, value in one.parts.items() if name not in self.volatile))
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self._changed(one, key)
        if not self._join(bucket, one, Confidence.HIGH if key else Confidence.MEDIUM):
            self._watch(one)
            bucket.add(_Lane([one], Confidence.HIGH if key else Confidence.MEDIUM))

    def _take_chosen(self, one: Attempt) -> None:
        """The user has said what tells clients apart: all of these are one client's, sockets at once too."""
        bucket = self.buckets.setdefault((), _Bucket())
        if bucket.lanes:
            bucket.lanes[0].take(one, Confidence.HIGH)
        else:
            bucket.lanes.append(_Lane([one], Confidence.HIGH))

    def _changed(self, one: Attempt, key: tuple[tuple[str, bytes], ...]) -> _Bucket:
        """The bucket of credentials that are new: another client's, or a known client with a new token."""
        new = _Bucket()
        if {name for name, _ in key} <= self._telling:
            self.buckets[key] = new
            return new
        fitting = []
        for known, bucket in islice(reversed(self.buckets.items()), _MOST_SCANNED):
            changed = {name for name, _ in set(known) ^ set(key)}
            if changed & self._telling:
                continue
            lane = bucket.first_down(one.attempt_ns)
            if lane is not None:
                fitting.append((known, bucket, lane, changed))
            if len(fitting) > 1:
                break
        self.buckets[key] = new
        if len(fitting) != 1:
            return new
        known, bucket, lane, changed = fitting[0]
        if any(other.is_up(one.attempt_ns) for other in bucket.lanes):
            return new
        bucket.lanes.remove(lane)
        if not bucket.lanes:
            del self.buckets[known]
        lane.doubts[f"its {' and '.join(sorted(changed))[:80]} changed"] = None
        lane.confidence = Confidence.LOW
        new.add(lane)
        return new

    def _watch(self, one: Attempt) -> None:
        """Note which parts tell clients apart: a new client comes while another one is connected."""
        if len(self._telling) >= len(one.parts):
            return
        for bucket in islice(reversed(self.buckets.values()), 8):
            for lane in bucket.lanes[-2:]:
                if lane.last.is_alive(one.attempt_ns):
                    parts = lane.last.parts
                    self._telling |= {
                        name for name in one.parts if parts.get(name, one.parts[name]) != one.parts[name]
                    }

    def _join(self, bucket: _Bucket, one: Attempt, sure: Confidence) -> bool:
        """Give the attempt to a session that has it; False where it begins one."""
        now = one.attempt_ns
        lane = bucket.first_down(now)
        others = len(bucket.lanes) > 1
        doubt = "several clients are alike in all that tells clients apart" if others else ""
        if lane is None:
            lane = next((lane for lane in bucket.lanes[-8:] if _is_trying_again(lane, now)), None)
        if lane is None:
            lane = next((lane for lane in bucket.lanes[-8:] if _has_just_reconnected(lane, now)), None)
            if lane is not None:
                doubt = "a second socket may be another client's"
        if lane is None:
            return False
        lane.take(one, Confidence.LOW if others else sure, doubt)
        bucket.put(lane, one)
        return True


def _is_trying_again(lane: _Lane, now: int) -> bool:
    """Whether its attempt is not answered yet, and it is not the very first one, moments old."""
    return lane.is_waiting(now) and (len(lane.attempts) > 1 or now - lane.last.attempt_ns > _PATIENCE_NS)


def _has_just_reconnected(lane: _Lane, now: int) -> bool:
    return lane.reconnected_ns is not None and 0 <= now - lane.reconnected_ns < _SECOND_SOCKET_NS


def join(attempts: Sequence[Attempt]) -> list[Session]:
    """The sessions, by their first attempts.

    Args:
        attempts: all of a capture, in any order.
    """
    alike: dict[tuple[object, ...], list[Attempt]] = {}
    upgraded = {one.sid for one in attempts if one.transport == Transport.WEBSOCKET and one.sid}
    for one in sorted(attempts, key=lambda one: (one.attempt_ns, one.id)):
        if one.transport == Transport.POLLING and one.sid in upgraded:
            continue  # the WebSocket that it became stands for both
        key: tuple[object, ...] = (one.tap, one.address, one.place, one.path, one.user_agent, one.origin)
        if one.chosen is not None:
            key = (one.tap, one.place, one.path, one.chosen)
        alike.setdefault(key, []).append(one)
    sessions: list[Session] = []
    for ones in alike.values():
        group = _Group(_volatile(ones))
        for one in ones:
            group.take(one)
        lanes = [lane for bucket in group.buckets.values() for lane in bucket.lanes]
        newest = _Newest(ones, lanes)
        sessions += [_session(lane, group.volatile, newest.of(lane)) for lane in lanes]
    return sorted(sessions, key=lambda one: (one.first.attempt_ns, one.number))


def _volatile(attempts: Sequence[Attempt]) -> frozenset[str]:
    """The parts that change with every attempt, such as a load balancer's cookie or a one-time token.

    No two attempts have the same value, and either two of them agree in all else that tells clients apart, or
    there are far more attempts than clients at once.
    """
    names = {name for one in attempts for name in one.parts}
    values = {name: [one.parts[name] for one in attempts if name in one.parts] for name in names}
    fresh = {name for name, found in values.items() if len(found) > 2 and len(set(found)) == len(found)}
    if not fresh:
        return frozenset()
    telling = {name for name in names - fresh if len(set(values[name])) > 1}
    others = Counter(
        tuple(sorted((name, value) for name, value in one.parts.items() if name not in fresh))
        for one in attempts
        if telling & one.parts.keys()
    )
    if any(count > 1 for count in others.values()) or len(attempts) > 2 * _most_at_once(attempts):
        return frozenset(fresh)
    return frozenset()


def _most_at_once(attempts: Sequence[Attempt]) -> int:
    """How many were under way or open at the same time, at most."""
    steps = [(one.attempt_ns, 1) for one in attempts]
    steps += [(one.end_ns, -1) for one in attempts if one.end_ns is not None]
    most = count = 0
    for _, step in sorted(steps):
        count += step
        most = max(most, count)
    return most


class _Newest:
    """Who came last, of those that may be the same client: they agree in the parts that are known to stay."""

    def __init__(self, attempts: Sequence[Attempt], lanes: Sequence[_Lane]) -> None:
        seen: set[tuple[str, bytes]] = set()
        #: Parts that some client had again.
        self._stay: set[str] = set()
        for one in attempts:
            self._stay |= {name for name, _ in seen & one.parts.items()}
            seen |= one.parts.items()
        self._all_stay = {name for name, _ in seen} <= self._stay
        self._newest: dict[frozenset[tuple[str, bytes]], int] = {}
        for lane in lanes:
            key = self._key(lane)
            self._newest[key] = max(self._newest.get(key, 0), lane.attempts[0].attempt_ns)

    def of(self, lane: _Lane) -> int:
        """When the last of them came first; 0 where nobody is like it."""
        return 0 if self._all_stay else self._newest[self._key(lane)]

    def _key(self, lane: _Lane) -> frozenset[tuple[str, bytes]]:
        return frozenset(part for part in lane.attempts[0].parts.items() if part[0] in self._stay)


def _session(lane: _Lane, volatile: frozenset[str], newest_ns: int) -> Session:
    """A lane at its end.

    Args:
        newest_ns: when the newest client that may be the same one first came.
    """
    first = lane.attempts[0]
    known = ["address", "path"]
    if first.chosen is not None:
        known = ["the chosen part of its requests", "path"]
    else:
        known += ["User-Agent"] if first.user_agent else []
        known += ["Origin"] if first.origin else []
        same = set(first.parts.items()).intersection(*(one.parts.items() for one in lane.attempts))
        known += sorted(name for name, _ in same)
    confidence = lane.confidence if len(lane.attempts) > 1 else Confidence.HIGH
    if changing := sorted(volatile & {name for one in lane.attempts for name in one.parts}):
        lane.doubts[f"its {' and '.join(changing)[:80]} changed with every attempt"] = None
    last = lane.last
    gone = [*([] if last.end_ns is None else [last.end_ns]), *(stall.from_ns for stall in last.stalls)]
    return Session(
        number=first.id,
        attempts=tuple(lane.attempts),
        confidence=confidence,
        known_by=tuple(known),
        doubts=tuple(lane.doubts) if len(lane.attempts) > 1 else (),
        may_be_back=first.chosen is None and bool(gone) and newest_ns > min(gone),
    )
