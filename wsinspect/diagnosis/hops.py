"""The sandwich, read from a capture with two taps or from the captures of two machines.

Which attempts belong together says `joining`. Work is bounded: of each connection and direction at most
`MAX_TRACES` messages are compared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple
from zlib import crc32

from wsinspect.capture.queries import hops as rows
from wsinspect.capture.queries.facts import answered_101
from wsinspect.capture.queries.hops import PassedFrame
from wsinspect.capture.records import Query
from wsinspect.diagnosis.facts import FactReader, other_of
from wsinspect.diagnosis.joining import (
    MAX_CANDIDATES,
    Attempt,
    Content,
    Joined,
    content_of,
    is_path,
    join,
    make_attempt,
    rough_difference,
)
from wsinspect.findings.changes import Accepted, accepted_of
from wsinspect.findings.excuses import excused
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts, EngineEvent
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_capture, diagnose_pair, ranked
from wsinspect.findings.sandwich import (
    SAME_CLOCK,
    Clocks,
    PairFacts,
    Through,
    Trace,
    clock_difference,
    compare,
)
from wsinspect.findings.together import link_of, together
from wsinspect.handshake.heads import RawHead
from wsinspect.vocabulary import EventKind
from wsinspect.wire.opcodes import Direction, Opcode

MAX_TRACES: Final = 20_000
#: How many first messages of each direction attempts are joined by.
_JOIN_BY: Final = 16
_PAGE: Final = 2000
#: How many pairs the clocks are compared by.
_CLOCK_PAIRS: Final = 500
#: Findings about polls, which are no attempts: two captures are judged as one with both taps.
_OF_POLLS: Final = frozenset(("WS-APP-013", "WS-APP-014", "WS-APP-017"))
#: Findings about how often a client tries: in the capture behind a hop it is the hop that tries.
_OF_CLIENTS_TRIES: Final = frozenset(("WS-RC-001", "WS-RC-002", "WS-RC-003"))
#: How many accepted attempts a refused one is compared with.
_MOST_ACCEPTED: Final = 64


class Traces(NamedTuple):
    """What passed one tap in one direction.

    Attributes:
        frames: rows that were read.
        controls: PINGs and PONGs among them.
        is_part: there are more.
        before_close: how many of the messages began before a CLOSE frame of this direction; None without one.
    """

    messages: list[Trace]
    frames: int
    controls: int
    is_part: bool
    before_close: int | None


#: Of connections at both taps those of which every message is to be looked at.
Compare = Callable[[Sequence[Joined]], Iterable[Joined]]


class Hop:
    """Two taps around a hop.

    Args:
        edge: runs statements on the capture of the client's side.
        origin: on the capture of the server's side; None where one capture has both taps.
    """

    def __init__(self, edge: Query, origin: Query | None = None) -> None:
        self._queries = edge, origin or edge
        self.is_one_file = origin is None
        self._readers = FactReader(edge), FactReader(origin or edge)
        self._order: list[tuple[str | None, str | None]] | None = None

    def joined(self) -> list[Joined]:
        """The attempts of the edge with those of the origin; empty where there are no two taps."""
        edge = list(attempts(self._queries[0]))
        if self.is_one_file:
            return self._join_taps(edge)
        origin = list(attempts(self._queries[1]))
        content = cache(self.content)
        return join(edge, origin, rough_difference(edge, origin, content), content)

    def _join_taps(self, all_attempts: list[Attempt]) -> list[Joined]:
        content = cache(self.content)
        self._order = order_of(all_attempts, tap_names(self._queries[0]))
        # Where one tap is before two hops, an attempt took only one of them.
        best: dict[int, Joined] = {}
        for before, behind in self._order:
            edge = [one for one in all_attempts if one.tap == before]
            origin = [one for one in all_attempts if one.tap == behind]
            for one in join(edge, origin, 0, content):
                known = best.get(one.edge.id)
                if known is None or known.origin is None or _is_surer(one, known):
                    best[one.edge.id] = one
        return sorted(best.values(), key=lambda one: one.edge.id)

    def content(self, attempt: Attempt, is_origin: bool) -> Content:
        """What an attempt is recognised by where its key was replaced."""
        head = rows.request_of(self._queries[is_origin], attempt.id)
        messages = frozenset(
            (side, one.digest or one.length)
            for side in (0, 1)
            for one in self._traces(is_origin, attempt.id, side, _JOIN_BY).messages
        )
        return content_of(None if head is None else RawHead.parse(head), messages)

    def pairs(
        self, worth_comparing: Compare | None = None, known: Collection[int] | None = None
    ) -> Iterator[PairFacts]:
        """The facts of each connection at both taps, with the clocks' difference.

        Args:
            worth_comparing: chooses among connections that nothing happened to; without it all of them.
            known: of one capture, the connections that are worth a look, where they are known.
        """
        joined = self.joined()
        clocks = SAME_CLOCK
        if not self.is_one_file:
            clocks = clock_difference(
                sample
                for one in [one for one in joined if one.origin is not None][:_CLOCK_PAIRS]
                if one.origin is not None
                for sample in _samples(
                    *self._facts(one.edge.id, one.origin.id), is_same_handshake=one.by == "key"
                )
            )
        eventful = self._eventful(joined, known)
        if worth_comparing is not None:
            quiet = [one for one in joined if one.edge.id not in eventful]
            wanted = eventful.union(one.edge.id for one in worth_comparing(quiet))
            joined = [one for one in joined if one.edge.id in wanted]
        for one in joined:
            pair = self.pair(one, clocks, is_eventful=one.edge.id in eventful)
            if pair is not None:
                yield pair

    def _eventful(self, joined: Sequence[Joined], known: Collection[int] | None) -> set[int]:
        """The edge's numbers of pairs of which either end is worth a look."""
        edges = origins = known
        if edges is None or origins is None:
            edges = self._readers[0].eventful([one.edge.id for one in joined])
            origins = self._readers[1].eventful([one.origin.id for one in joined if one.origin is not None])
        return {
            one.edge.id
            for one in joined
            if one.origin is None or one.edge.id in edges or one.origin.id in origins
        }

    def pair(
        self,
        one: Joined,
        clocks: Clocks = SAME_CLOCK,
        max_traces: int = MAX_TRACES,
        *,
        is_eventful: bool = True,
    ) -> PairFacts | None:
        """One connection at both taps; None where the capture no longer has it.

        Args:
            max_traces: messages of each direction that are compared; 0 compares none.
            is_eventful: False leaves out what only rules about failures read.
        """
        edge, origin = self._facts(one.edge.id, one.origin.id if one.origin else None, is_eventful)
        if edge is None or (origin is None and self._readers[1].may_lack_attempts()):
            return None  # that nothing came out of the hop is not known
        if origin is not None and not is_eventful and _closes(edge) != _closes(origin):
            # A CLOSE that did not come through is looked at, however properly each side ended.
            edge, origin = self._facts(edge.id, origin.id)
            if edge is None:
                return None
        c2s = s2c = None
        if origin is not None and edge.was_open and origin.was_open and max_traces:
            c2s = self._through((0, edge), (1, origin), 0, clocks.difference_ns, max_traces)
            s2c = self._through((1, origin), (0, edge), 1, -clocks.difference_ns, max_traces)
        is_refused = origin is not None and not edge.was_open and not origin.was_open
        return PairFacts(
            edge=edge,
            origin=origin,
            joined_by=one.by,
            clocks=clocks,
            c2s=c2s,
            s2c=s2c,
            behind=self._tap_behind(edge.tap) if origin is None else None,
            accepted=self._accepted(origin) if origin is not None and is_refused else (),
            now_ns=None if origin is None or (edge.is_over and origin.is_over) else self._now(),
        )

    def polled(self) -> list[Finding]:
        """What the polls of both captures show together: who refused one is known behind the hop alone."""
        sides = [
            (reader.capture(), tap) for reader, tap in zip(self._readers, ("edge", "origin"), strict=True)
        ]
        polls = [
            one._replace(detail={**one.detail, "tap": tap})
            for facts, tap in sides
            for one in facts.events
            if one.kind == EventKind.POLLING
        ]
        there = EngineEvent(0, EventKind.LISTENING, {"listeners": [{"tap": "origin"}]})
        connections = tuple(one for facts, _ in sides for one in facts.connections)
        found = diagnose_capture(CaptureFacts(connections=connections, events=(there, *polls)))
        return [one for one in found if one.id in _OF_POLLS]

    def _now(self) -> int | None:
        """The newest time in the captures."""
        times = map(rows.newest_time, set(self._queries))
        return max((time for time in times if time is not None), default=None)

    def _tap_behind(self, tap: str | None) -> str | None:
        """The tap behind the hop that is behind this one, where it is the only one."""
        if not self.is_one_file:
            return None
        if self._order is None:
            self._order = order_of((), tap_names(self._queries[0]))
        behind = {after for before, after in self._order if before == tap}
        return behind.pop() if len(behind) == 1 else None

    def _accepted(self, origin: ConnectionFacts) -> tuple[Accepted, ...]:
        """What else this server accepted, and did not take back at once, the newest first."""
        found = map(other_of, answered_101(self._queries[1], origin.tap, origin.id, _MOST_ACCEPTED))
        requests = (one.request for one in found if one.request and not one.is_taken_back)
        return tuple({accepted_of(RawHead.parse(request)): None for request in requests})

    def _facts(
        self, edge: int, origin: int | None, with_frames: bool = True
    ) -> tuple[ConnectionFacts | None, ConnectionFacts | None]:
        return self._readers[0].connection(edge, with_frames=with_frames), (
            None if origin is None else self._readers[1].connection(origin, with_frames=with_frames)
        )

    def _through(
        self,
        into: tuple[int, ConnectionFacts],
        out: tuple[int, ConnectionFacts],
        side: int,
        difference_ns: int,
        limit: int,
    ) -> Through | None:
        """One direction; None where one capture no longer has all of it, or could not read it."""
        found = []
        for at, facts in (into, out):
            traces = self._traces(at, facts.id, side, limit)
            if not traces.is_part and traces.frames < facts.frames[side]:
                return None
            if any(one.length < 0 for one in traces.messages):
                return None
            found.append(traces)
        sent, arrived = found
        through = compare(
            sent.messages,
            arrived.messages,
            difference_ns,
            is_part=sent.is_part or arrived.is_part,
            before_close=sent.before_close,
        )
        return through._replace(controls=(sent.controls, arrived.controls))

    def _traces(self, at: int, number: int, side: int, limit: int) -> Traces:
        """Messages of one direction at one tap."""
        found: dict[int, _Message] = {}
        after = count = controls = 0
        before_close: int | None = None
        page = min(_PAGE, limit * 2)
        while frames := rows.passed_frames(self._queries[at], number, side, after, page):
            after = frames[-1][0]
            count += len(frames)
            controls += sum((frame[2] >> 8 & 15) > 8 for frame in frames)
            for frame in frames:
                if before_close is None and frame[2] >> 8 & 15 == Opcode.CLOSE:
                    before_close = len(found)
                _add(found, frame)
            if len(found) >= limit:
                break
        is_part = bool(frames)
        traces = [one.trace(key) for key, one in found.items()][:limit]
        return Traces(traces, count, controls, is_part, before_close)


class _Message:
    """A message while its frames are read."""

    __slots__ = ("compressed", "digest", "layout", "length", "time_ns")

    def __init__(self, frame: PassedFrame) -> None:
        _, self.time_ns, bits, length, payload, _, data, compressed, inflated = frame
        self.layout = [length]
        self.compressed = bool(compressed)
        content = data if self.compressed else payload
        self.digest: int | None = None if content is None else crc32(content, bits >> 8 & 15)
        # Compressed messages that could not be inflated cannot be compared; nor what says that it is
        # compressed where nothing of that kind was agreed.
        is_readable = data is not None if self.compressed else not bits >> 14 & 1
        self.length = -1 if not is_readable else (inflated or 0) if self.compressed else length
        self._check(content, self.length)

    def add(self, length: int, payload: bytes | None) -> None:
        self.layout.append(length)
        if self.compressed:
            return  # its content was taken with its first frame
        self.length += length
        if self.digest is not None and payload is not None:
            self.digest = crc32(payload, self.digest)
        self._check(payload, length)

    def _check(self, content: bytes | None, length: int) -> None:
        """What was cut at snaplen has no digest."""
        if length > (0 if content is None else len(content)):
            self.digest = None

    def trace(self, key: int) -> Trace:
        return Trace(key, self.time_ns, self.digest, self.length, tuple(self.layout), self.compressed)


def _add(found: dict[int, _Message], frame: PassedFrame) -> None:
    """One frame into the messages."""
    frame_id, _, bits, length, payload, message_id, *_ = frame
    if bits >> 8 & 15 > 7:
        return
    key = frame_id if message_id is None else message_id
    if key == frame_id:
        found[key] = _Message(frame)
    elif key in found:
        found[key].add(length, payload)


def attempts(query: Query) -> Iterator[Attempt]:
    """The attempts of a capture."""
    return map(make_attempt, rows.attempts(query))


def tap_names(query: Query, run: int | None = None) -> set[str]:
    """The taps that the capture's runs had, or one of them, whether or not anything came to them."""
    names: set[str] = set()
    for value in rows.taps(query, run):
        try:
            taps = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            continue
        if isinstance(taps, list):
            names |= {str(tap.get("tap")) for tap in taps if isinstance(tap, dict)}
    return names


def order_of(all_attempts: Iterable[Attempt], names: set[str]) -> list[tuple[str | None, str | None]]:
    """Taps with a hop between: those that a key has joined, else those named edge and origin."""
    by_key: dict[bytes, list[Attempt]] = defaultdict(list)
    for one in all_attempts:
        if one.key:
            by_key[one.key].append(one)
    order: set[tuple[str | None, str | None]] = set()
    for group in by_key.values():
        group.sort(key=lambda one: (one.attempt_ns, one.id))
        if len({one.tap for one in group}) == len(group):
            order |= {(a.tap, b.tap) for a, b in pairwise(group) if is_during(a, b)}
        else:
            order |= set(_order_of_reused(group))
    return with_named(order, names)


def _order_of_reused(group: Sequence[Attempt]) -> Iterator[tuple[str | None, str | None]]:
    """Of attempts with one key, of which a tap saw several: who tries with curl has always the same one.

    No tap is behind one that saw its first attempt later, since a request comes from the client on; of
    the taps before it an attempt came from the last one that had it then.
    """
    rank = {tap: number for number, tap in enumerate(dict.fromkeys(one.tap for one in group))}
    for number, one in enumerate(group):
        before = [
            other
            for other in group[max(0, number - MAX_CANDIDATES) : number]
            if rank[other.tap] < rank[one.tap] and is_during(other, one) and is_path(other.path, one.path)
        ]
        if before:
            yield max(before, key=lambda other: rank[other.tap]).tap, one.tap


def with_named(
    order: set[tuple[str | None, str | None]], names: set[str]
) -> list[tuple[str | None, str | None]]:
    """With the hop between the taps named edge and origin, where keys show no chain between them.

    A hop that makes keys of its own may be the first of a chain of which the others pass keys on.
    """
    found = set(order)
    if {"edge", "origin"} <= names and not _leads(order, "edge", "origin"):
        first: str | None = "origin"
        seen = {first, "edge"}
        while before := sorted(
            (one for one, behind in order if behind == first and one not in seen), key=str
        ):
            first = before[0]
            seen.add(first)
        found.add(("edge", first))
    return sorted(found, key=str)


def _leads(order: set[tuple[str | None, str | None]], start: str, end: str) -> bool:
    """Whether a chain of hops goes from one tap to another."""
    reached: set[str | None] = set()
    waiting: list[str | None] = [start]
    while waiting:
        tap = waiting.pop()
        for before, behind in order:
            if before == tap and behind not in reached:
                reached.add(behind)
                waiting.append(behind)
    return end in reached


def _is_surer(one: Joined, other: Joined) -> bool:
    """Whether an attempt at another tap is likelier what this one became: by key, and the next in time."""
    if one.origin is None or other.origin is None:
        return other.origin is None and one.origin is not None
    ours, theirs = (one.by != "key", one.origin.attempt_ns), (other.by != "key", other.origin.attempt_ns)
    return ours < theirs


def is_during(edge: Attempt, origin: Attempt) -> bool:
    """Whether the second began before the first ended."""
    return edge.closed_ns is None or origin.attempt_ns <= edge.closed_ns


def before_hops(query: Query) -> dict[int, int]:
    """Of each connection that a hop opened, by its number, the one before the hop that it was opened for.

    Args:
        query: runs statements on a capture of both taps.
    """
    if not rows.has_two_taps(query):
        return {}
    return {
        one.origin.id: one.edge.id
        for one in Hop(query).joined()
        if one.origin is not None
        and (one.edge.attempt_ns, one.edge.id) < (one.origin.attempt_ns, one.origin.id)
    }


def _closes(facts: ConnectionFacts) -> tuple[bool, bool]:
    """Whether client and server sent a CLOSE frame."""
    return facts.client_close_reason is not None, facts.server_close_reason is not None


def _samples(
    edge: ConnectionFacts | None, origin: ConnectionFacts | None, *, is_same_handshake: bool
) -> Iterator[tuple[bool, int]]:
    """Arrival times of the same things at both taps: the handshake's heads, and the first messages.

    When a head was sent on is noted after it has left, so it is not a bound. A hop that makes a handshake of
    its own may answer before the server did.
    """
    if edge is None or origin is None:
        return
    heads = [(True, "request_in_ns"), (False, "response_in_ns")]
    for is_toward, name in heads[: 2 if is_same_handshake else 1]:
        one, other = edge.times.get(name), origin.times.get(name)
        if one is not None and other is not None:
            yield is_toward, other - one
    for direction in Direction:
        mine = [m for m in edge.first if m.direction == direction]
        theirs = [m for m in origin.first if m.direction == direction]
        for a, b in zip(mine, theirs, strict=False):
            if a.data == b.data:
                yield direction == Direction.CLIENT_TO_SERVER, b.time_ns - a.time_ns


class Sandwich(NamedTuple):
    """What two taps show together, and what the hop did to each connection.

    Attributes:
        findings: of the hop, and of the taps; with two captures, those that are about the client's side.
        behind: with two captures, what only the one of the server's side says, with its own numbers.
    """

    findings: list[Finding]
    pairs: list[PairFacts]
    behind: list[Finding]


def diagnose_hop(
    hop: Hop,
    edge: Sequence[Finding],
    origin: Sequence[Finding] = (),
    *,
    worth_comparing: Compare | None = None,
    known: Collection[int] | None = None,
) -> Sandwich:
    """Put the findings of the taps together with those of the hop: each failure once.

    Args:
        edge: findings of the client's side, or of a capture with both taps.
        origin: findings of the other capture where there are two.
        worth_comparing: as for `Hop.pairs`.
        known: as for `Hop.pairs`.
    """
    pairs = list(hop.pairs(worth_comparing, known))
    if not hop.is_one_file:
        edge = [*(one for one in edge if one.id not in _OF_POLLS), *hop.polled()]
        origin = [one for one in origin if one.id not in _OF_POLLS and one.id not in _OF_CLIENTS_TRIES]
    apart = pairs if hop.is_one_file else [_numbered_apart(pair) for pair in pairs]
    ours = [finding for pair in apart for finding in diagnose_pair(pair)]
    faults = {pair.edge.id: pair.faults for pair in apart}
    faults |= {pair.origin.id: pair.faults for pair in apart if pair.origin is not None}
    of_none = [one for one in origin if one.connection is None]  # nothing that both taps could say
    theirs = [_renumbered(one, _APART) for one in origin if one.connection is not None]
    own = [excused([one], faults.get(one.connection or 0, ()))[0] for one in (*edge, *theirs)]
    kept = ranked(together(ours, own, map(link_of, apart)))
    behind = [_renumbered(one, -_APART) for one in kept if (one.connection or 0) >= _APART]
    front = [_without_covers(one) for one in kept if (one.connection or 0) < _APART]
    return Sandwich(front, pairs, ranked([*behind, *of_none]))


#: Added to the numbers of connections in a second capture, so that none is that of another in the first.
_APART: Final = 1 << 40


def _numbered_apart(pair: PairFacts) -> PairFacts:
    if pair.origin is None:
        return pair
    return replace(pair, origin=replace(pair.origin, id=pair.origin.id + _APART))


def _renumbered(one: Finding, by: int) -> Finding:
    if one.connection is None:
        return one
    covers = tuple((number + by, rule) for number, rule in one.covers if number + by > 0)
    return replace(one, connection=one.connection + by, covers=covers)


def _without_covers(one: Finding) -> Finding:
    """Without what it covers in another capture, where its numbers mean nothing."""
    covers = tuple(cover for cover in one.covers if cover[0] < _APART)
    return one if covers == one.covers else replace(one, covers=covers)
