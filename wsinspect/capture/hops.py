"""The sandwich, read from a capture with two taps or from the captures of two machines.

Attempts are joined by their Sec-WebSocket-Key, else by path and time. Work is bounded: of each connection and
direction at most `MAX_TRACES` messages are compared.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple
from zlib import crc32

from wsinspect.capture.diagnosis import FactReader, Query
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_pair, ranked
from wsinspect.findings.sandwich import SAME_CLOCK, Clocks, PairFacts, Trace, clock_difference, compare
from wsinspect.wire.opcodes import Direction

MAX_TRACES: Final = 20_000
_PAGE: Final = 2000
_KEY: Final = re.compile(rb"^sec-websocket-key[ \t]*:[ \t]*([^\r\n]*)", re.I | re.M)
_NEAR_NS: Final = 10 * SECOND_NS
_ATTEMPTS: Final = (
    "SELECT id, tap, path, attempt_ns, closed_ns, request_in FROM connection "
    "LEFT JOIN handshake ON handshake.connection_id = connection.id ORDER BY id"
)
_FRAMES: Final = (
    "SELECT frame.id, time_ns, bits, wire_length - length(header), payload, message_id, stored_message.data, "
    "stored_message.compressed FROM frame LEFT JOIN stored_message ON stored_message.id = frame.id "
    "WHERE frame.connection_id = ? AND frame.is_s2c = ? AND frame.id > ? ORDER BY frame.id LIMIT ?"
)


class Attempt(NamedTuple):
    """What attempts are joined by."""

    id: int
    tap: str | None
    path: str
    attempt_ns: int
    closed_ns: int | None
    key: bytes | None


class Joined(NamedTuple):
    """The same connection at both taps; `origin` None where nothing arrived behind the hop."""

    edge: Attempt
    origin: Attempt | None
    by: str | None


class Hop:
    """Two taps around a hop.

    Args:
        edge: runs statements on the capture of the client's side.
        origin: on the capture of the server's side; None where one capture has both taps.
    """

    def __init__(self, edge: Query, origin: Query | None = None) -> None:
        self._queries = edge, origin or edge
        self._is_one_file = origin is None
        self._readers = FactReader(edge), FactReader(origin or edge)

    def joined(self) -> list[Joined]:
        """The attempts of the edge with those of the origin; empty where there are no two taps."""
        edge, origin = list(_attempts(self._queries[0])), list(_attempts(self._queries[1]))
        if self._is_one_file:
            return _join_taps(edge, _tap_names(self._queries[0]))
        return _join(edge, origin, _rough_difference(edge, origin))

    def pairs(self) -> Iterator[PairFacts]:
        """The facts of each connection at both taps, with the clocks' difference."""
        joined = self.joined()
        facts = [(one, *self._facts(one)) for one in joined]
        clocks = SAME_CLOCK
        if not self._is_one_file:
            clocks = clock_difference(
                sample for _, edge, origin in facts if origin is not None for sample in _samples(edge, origin)
            )
        for one, edge, origin in facts:
            yield self._pair(one, edge, origin, clocks)

    def _facts(self, one: Joined) -> tuple[ConnectionFacts, ConnectionFacts | None]:
        edge = self._readers[0].connection(one.edge.id)
        assert edge is not None
        return edge, None if one.origin is None else self._readers[1].connection(one.origin.id)

    def _pair(
        self, one: Joined, edge: ConnectionFacts, origin: ConnectionFacts | None, clocks: Clocks
    ) -> PairFacts:
        c2s = s2c = None
        if origin is not None and edge.was_open and origin.was_open:
            up = [self._traces(at, number, 0) for at, number in ((0, edge.id), (1, origin.id))]
            down = [self._traces(at, number, 1) for at, number in ((1, origin.id), (0, edge.id))]
            c2s = compare(up[0], up[1], clocks.difference_ns)
            s2c = compare(down[0], down[1], -clocks.difference_ns)
        return PairFacts(edge=edge, origin=origin, joined_by=one.by, clocks=clocks, c2s=c2s, s2c=s2c)

    def _traces(self, at: int, number: int, side: int) -> list[Trace]:
        """Messages, pings and pongs of one direction at one tap."""
        found: dict[int, tuple[list[int], int, int, int, bool, int]] = {}
        after = 0
        while rows := self._queries[at](_FRAMES, (number, side, after, _PAGE)):
            after = rows[-1][0]
            for row in rows:
                _add(found, row)
            if len(found) >= MAX_TRACES:
                break
        return [
            Trace(key, time_ns, digest, sum(layout), tuple(layout), compressed)
            for key, (layout, time_ns, digest, _, compressed, _) in found.items()
        ]


def _add(found: dict[int, tuple[list[int], int, int, int, bool, int]], row: tuple[Any, ...]) -> None:
    """One frame into the traces: `{id: (layout, time, digest, opcode, compressed, length)}`."""
    frame_id, time_ns, bits, length, payload, message_id, data, compressed = row
    opcode = bits >> 8 & 15
    if opcode == 8:
        return
    key = frame_id if message_id is None else message_id
    if key == frame_id:
        content = data if data is not None else payload
        found[key] = ([length], time_ns, crc32(content, opcode), opcode, bool(compressed), length)
    elif key in found:
        layout, _, digest, first, is_compressed, total = found[key]
        layout.append(length)
        # A compressed message's content was taken whole with its first frame.
        digest = digest if is_compressed else crc32(payload, digest)
        found[key] = (layout, time_ns, digest, first, is_compressed, total + length)


def _attempts(query: Query) -> Iterator[Attempt]:
    for number, tap, path, attempt_ns, closed_ns, head in query(_ATTEMPTS, ()):
        match = _KEY.search(head) if isinstance(head, bytes) else None
        key = match[1].strip() if match else None
        yield Attempt(number, tap, path or "/", attempt_ns or 0, closed_ns, key)


def _tap_names(query: Query) -> set[str]:
    """The taps that the capture's runs had, whether or not anything came to them."""
    names: set[str] = set()
    for (value,) in query("SELECT value FROM meta WHERE key = 'taps'", ()):
        taps = json.loads(value) if isinstance(value, str) else None
        if isinstance(taps, list):
            names |= {str(tap.get("tap")) for tap in taps if isinstance(tap, dict)}
    return names


def _join_taps(attempts: list[Attempt], names: set[str]) -> list[Joined]:
    """Pairs within one capture: taps named edge and origin, or those that a key has joined."""
    by_key: dict[bytes, list[Attempt]] = defaultdict(list)
    for one in attempts:
        if one.key:
            by_key[one.key].append(one)
    order: set[tuple[str | None, str | None]] = {("edge", "origin")} if {"edge", "origin"} <= names else set()
    for group in by_key.values():
        group.sort(key=lambda one: (one.attempt_ns, one.id))
        order |= {(a.tap, b.tap) for a, b in pairwise(group) if a.tap != b.tap and _is_during(a, b)}
    found: list[Joined] = []
    for before, behind in sorted(order, key=str):
        edge = [one for one in attempts if one.tap == before]
        origin = [one for one in attempts if one.tap == behind]
        found += _join(edge, origin, 0)
    return found


def _is_during(edge: Attempt, origin: Attempt) -> bool:
    return edge.closed_ns is None or origin.attempt_ns <= edge.closed_ns


def _join(edge: list[Attempt], origin: list[Attempt], difference_ns: int) -> list[Joined]:
    """Each attempt at the edge with the one it became behind the hop."""
    free = dict.fromkeys(origin)
    by_key: dict[bytes, list[Attempt]] = defaultdict(list)
    for one in origin:
        if one.key:
            by_key[one.key].append(one)
    found: dict[int, Joined] = {}
    for one in edge:
        match = next((other for other in by_key.get(one.key or b"", ()) if other in free), None)
        if match is not None:
            free.pop(match)
            found[one.id] = Joined(one, match, "key")
    for one in edge:
        if one.id not in found:
            match = min(
                (other for other in free if _fits(one, other, difference_ns)),
                key=lambda other: abs(other.attempt_ns - difference_ns - one.attempt_ns),
                default=None,
            )
            if match is not None:
                free.pop(match)
            found[one.id] = Joined(one, match, None if match is None else "path and time")
    return [found[one.id] for one in edge]


def _fits(edge: Attempt, origin: Attempt, difference_ns: int) -> bool:
    """The same path, or one the end of the other, and made while the edge's attempt was going on."""
    one, other = edge.path.rstrip("/"), origin.path.rstrip("/")
    is_path = one.endswith(other) or other.endswith(one) or _bare(one) == _bare(other)
    at = origin.attempt_ns - difference_ns
    end = edge.closed_ns if edge.closed_ns is not None else edge.attempt_ns + _NEAR_NS
    return is_path and edge.attempt_ns - SECOND_NS // 20 <= at <= min(end, edge.attempt_ns + _NEAR_NS)


def _bare(path: str) -> str:
    return path.partition("?")[0].rstrip("/")


def _rough_difference(edge: list[Attempt], origin: list[Attempt]) -> int:
    """The clocks' difference as the joined keys show it, before anything finer is known."""
    keys = {one.key: one.attempt_ns for one in edge if one.key}
    differences = [one.attempt_ns - keys[one.key] for one in origin if one.key in keys]
    return min(differences, default=0)


def _samples(edge: ConnectionFacts, origin: ConnectionFacts) -> Iterator[tuple[bool, int]]:
    """Arrival times of the same things at both taps: the handshake's heads, and the first messages.

    When a head was sent on is noted after it has left, so it is no bound.
    """
    for is_toward, at_edge, at_origin in (
        (True, "request_in_ns", "request_in_ns"),
        (False, "response_in_ns", "response_in_ns"),
    ):
        one, other = edge.times.get(at_edge), origin.times.get(at_origin)
        if one is not None and other is not None:
            yield is_toward, other - one
    for direction in Direction:
        mine = [m for m in edge.first if m.direction == direction]
        theirs = [m for m in origin.first if m.direction == direction]
        for a, b in zip(mine, theirs, strict=False):
            if a.data == b.data:
                yield direction == Direction.CLIENT_TO_SERVER, b.time_ns - a.time_ns


class Sandwich(NamedTuple):
    """What two taps show together: findings of both and of the hop, and what it did to each connection."""

    findings: list[Finding]
    pairs: list[PairFacts]


def diagnose_hop(hop: Hop, edge: Sequence[Finding], origin: Sequence[Finding] | None = None) -> Sandwich:
    """Put the findings of the taps together with those of the hop.

    What both taps say of the same connection is said once, at the origin's tap, which is nearer to the
    cause; what the hop's findings explain is left out.

    Args:
        edge: findings of the client's side, or of a capture with both taps.
        origin: findings of the other capture where there are two.
    """
    pairs = list(hop.pairs())
    ours = [finding for pair in pairs for finding in diagnose_pair(pair)]
    partner = {pair.edge.id: pair.origin.id for pair in pairs if pair.origin is not None}
    covered = {key for one in ours for key in one.covers}
    behind = {(one.connection, one.id) for one in (edge if origin is None else origin)}
    kept = []
    for one in edge:
        twin = (partner.get(one.connection or 0), one.id)
        is_double = one.connection in partner and twin in behind and twin not in covered
        if (one.connection, one.id) not in covered and not is_double:
            kept.append(one)
    return Sandwich(ranked([*ours, *kept]), pairs)
