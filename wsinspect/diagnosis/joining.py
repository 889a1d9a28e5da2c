"""Which attempt behind a hop is which one before it.

By Sec-WebSocket-Key where the hop passes it on. A hop that makes a key of its own leaves path, time and
content: of several attempts that fit by path and time, the one whose header fields and first messages are the
same. An attempt over HTTP/2 has no key: one of another path is the same where all other fields are, and no
other could be. Pure but for `content`, which is asked only where it has to decide. Bounded: of each attempt
at most `MAX_CANDIDATES` others are looked at.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from wsinspect.capture.queries.hops import AttemptRow
from wsinspect.findings.facts import SECOND_NS
from wsinspect.handshake.heads import RawHead

#: How many attempts behind the hop one before it is compared with: those nearest in time.
MAX_CANDIDATES: Final = 64
_KEY: Final = re.compile(rb"^sec-websocket-key[ \t]*:[ \t]*([^\r\n]*)", re.I | re.M)
_NEAR_NS: Final = 10 * SECOND_NS
_SLACK_NS: Final = SECOND_NS // 20
#: Fields that do not identify the client.
_COMMON: Final = frozenset(
    (b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version")
)
#: How many equal fields, all that an attempt has, join attempts with different paths where one has no key.
_FIELDS: Final = 2
#: How many equal messages join attempts with different paths.
_SURE: Final = 2


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


class Content(NamedTuple):
    """What an attempt and its connection said: lines of the request, and digests of its first messages."""

    fields: frozenset[bytes]
    messages: frozenset[tuple[int, int]]

    def likeness(self, other: Content) -> tuple[int, int]:
        """How many messages and how many fields are the same."""
        return len(self.messages & other.messages), len(self.fields & other.fields)


#: Gives the content of an attempt before the hop (False) or behind it (True).
ContentOf = Callable[[Attempt, bool], Content]


def make_attempt(row: AttemptRow) -> Attempt:
    """What is known of an attempt that the capture has."""
    number, tap, path, attempt_ns, closed_ns, head = row
    match = _KEY.search(head) if isinstance(head, bytes) else None
    return Attempt(number, tap, path or "/", attempt_ns or 0, closed_ns, match[1].strip() if match else None)


def content_of(head: RawHead | None, messages: frozenset[tuple[int, int]]) -> Content:
    """The content of one attempt.

    Args:
        messages: (direction, digest) of the first ones.
    """
    if head is None:
        return Content(frozenset(), messages)
    lines = {
        name + b":" + one.value.strip()
        for one in head.fields
        if (name := one.name.strip().lower()) not in _COMMON and name[:1] != b":"
    }
    query = head.target.partition(b"?")[2]
    return Content(frozenset((*lines, *(b"?" + part for part in query.split(b"&") if part))), messages)


def join(
    edge: Sequence[Attempt], origin: Sequence[Attempt], difference_ns: int, content: ContentOf
) -> list[Joined]:
    """Each attempt at the edge with the one it became behind the hop.

    Args:
        difference_ns: the origin's clock minus the edge's.
    """
    found, free = _by_key(edge, origin, difference_ns)
    rest = [one for one in edge if one.id not in found]
    if rest and free:
        _by_content(rest, free, found, difference_ns, content)
    return [found.get(one.id) or Joined(one, None, None) for one in edge]


def _by_key(
    edge: Sequence[Attempt], origin: Sequence[Attempt], difference_ns: int
) -> tuple[dict[int, Joined], dict[int, Attempt]]:
    keys: dict[bytes, list[Attempt]] = defaultdict(list)
    for one in origin:
        if one.key:
            keys[one.key].append(one)
    users: dict[bytes, list[Attempt]] = defaultdict(list)
    for one in edge:
        if one.key in keys:
            users[one.key].append(one)
    free = {one.id: one for one in origin}
    found: dict[int, Joined] = {}
    for key, mine in users.items():
        starts = [one.attempt_ns - difference_ns for one in keys[key]]
        for number, one in enumerate(mine):
            match: Attempt | None = keys[key][0]
            if len(mine) > 1:
                first = bisect_left(starts, one.attempt_ns - _SLACK_NS)
                near = keys[key][first : first + MAX_CANDIDATES]
                before = [
                    each for each in mine[max(0, number - MAX_CANDIDATES) : number] if each.id not in found
                ]
                rivals = (*before, *mine[number + 1 : number + MAX_CANDIDATES])
                match = of_key(one, rivals, [each for each in near if each.id in free], difference_ns)
            if match is not None:
                del free[match.id]
                found[one.id] = Joined(one, match, "key")
    return found, free


def of_key(
    edge: Attempt, rivals: Sequence[Attempt], origins: Iterable[Attempt], difference_ns: int
) -> Attempt | None:
    """What an attempt became behind the hop, of those with its key, which others had, too.

    A client has to make a new key for each attempt (RFC 6455 section 4.1); who tries with curl does not.

    Args:
        rivals: the other attempts before the hop that have it, as far as they are not joined.
        origins: those behind the hop, in the order of time.
    """
    for one in origins:
        if not _is_begun_during(edge, one, difference_ns):
            continue
        if is_path(edge.path, one.path) or not any(
            is_path(other.path, one.path) and _is_begun_during(other, one, difference_ns) for other in rivals
        ):
            return one
    return None


def _is_begun_during(edge: Attempt, origin: Attempt, difference_ns: int) -> bool:
    begun_ns = origin.attempt_ns - difference_ns
    return edge.attempt_ns - _SLACK_NS <= begun_ns and (edge.closed_ns is None or begun_ns <= edge.closed_ns)


def _by_content(
    edge: Sequence[Attempt],
    free: dict[int, Attempt],
    found: dict[int, Joined],
    difference_ns: int,
    content: ContentOf,
) -> None:
    """The rest: first where the paths fit, then where two messages at least are the same."""
    by_time = sorted(free.values(), key=lambda one: one.attempt_ns)
    starts = [one.attempt_ns - difference_ns for one in by_time]
    near = {one.id: _during(one, by_time, starts, difference_ns) for one in edge}
    for is_path_known in (True, False):
        pairs = [
            (one, other)
            for one in edge
            if one.id not in found
            for other in near[one.id]
            if other.id in free and is_path(one.path, other.path) is is_path_known
        ]
        _settle(pairs, free, found, difference_ns, content, is_path_known)
    _by_fields([one for one in edge if one.id not in found and one.key is None], free, found, near, content)


def _by_fields(
    edge: Sequence[Attempt],
    free: dict[int, Attempt],
    found: dict[int, Joined],
    near: dict[int, list[Attempt]],
    content: ContentOf,
) -> None:
    """Attempts over HTTP/2 whose path the hop changed: all other fields fit, and nobody has a choice."""
    pairs = []
    for one in edge:
        fields = frozenset(line for line in content(one, False).fields if line[:1] != b"?")
        if len(fields) >= _FIELDS:
            fits = (other for other in near[one.id] if other.id in free)
            pairs += [(one, other) for other in fits if fields <= content(other, True).fields]
    if _is_plain(pairs):
        for one, other in pairs:
            found[one.id] = Joined(one, free.pop(other.id), "fields and time")


def _settle(
    pairs: list[tuple[Attempt, Attempt]],
    free: dict[int, Attempt],
    found: dict[int, Joined],
    difference_ns: int,
    content: ContentOf,
    is_path_known: bool,
) -> None:
    """Join the likest first; among equally like ones the nearest in time."""
    if is_path_known and _is_plain(pairs):
        for one, other in pairs:
            found[one.id] = Joined(one, free.pop(other.id), "path and time")
        return
    ranked = []
    for one, other in pairs:
        alike = content(one, False).likeness(content(other, True))
        apart = abs(other.attempt_ns - difference_ns - one.attempt_ns)
        if is_path_known or alike[0] >= _SURE:
            ranked.append((alike, -apart, one, other))
    ranked.sort(key=lambda item: item[:2], reverse=True)
    rivals: dict[Attempt, list[tuple[int, int]]] = defaultdict(list)
    for alike, _, one, other in ranked:
        rivals[one].append(alike)
        rivals[other].append(alike)
    for alike, _, one, other in ranked:
        if one.id not in found and other.id in free:
            by = "content" if _is_likest(alike, rivals[one]) and _is_likest(alike, rivals[other]) else None
            found[one.id] = Joined(one, free.pop(other.id), by or "path and time")


def _is_likest(alike: tuple[int, int], rivals: list[tuple[int, int]]) -> bool:
    """Whether content decided: with no other as much is the same, and there was another, or messages are."""
    is_alone = rivals.count(alike) == 1 and alike == max(rivals)
    return is_alone and (alike[0] > 0 or len(rivals) > 1)


def _is_plain(pairs: list[tuple[Attempt, Attempt]]) -> bool:
    """Whether nobody has a choice."""
    return len({one.id for one, _ in pairs}) == len(pairs) == len({other.id for _, other in pairs})


def _during(
    edge: Attempt, by_time: Sequence[Attempt], starts: Sequence[int], difference_ns: int
) -> list[Attempt]:
    """Attempts behind the hop that began during the edge's, the nearest in time."""
    end = min(
        edge.closed_ns if edge.closed_ns is not None else edge.attempt_ns + _NEAR_NS,
        edge.attempt_ns + _NEAR_NS,
    )
    first = bisect_left(starts, edge.attempt_ns - _SLACK_NS)
    last = bisect_left(starts, end + 1)
    return list(by_time[first : min(last, first + MAX_CANDIDATES)])


def is_path(edge: str, origin: str) -> bool:
    """The same path, or one the end of the other, as where a hop takes a prefix away."""
    one, other = edge.rstrip("/"), origin.rstrip("/")
    return one.endswith(other) or other.endswith(one) or _bare(one) == _bare(other)


def _bare(path: str) -> str:
    return path.partition("?")[0].rstrip("/")


def rough_difference(edge: Sequence[Attempt], origin: Sequence[Attempt], content: ContentOf) -> int:
    """The origin's clock minus the edge's before anything finer is known.

    From attempts with the same key; where there are none from the ones that are most alike, else from the
    first ones.
    """
    # A key that comes twice says nothing: which attempt is which depends on the clocks.
    used = [Counter(one.key for one in side) for side in (edge, origin)]
    keys = {one.key: one.attempt_ns for one in edge if one.key and used[0][one.key] == 1}
    differences = [
        one.attempt_ns - keys[one.key] for one in origin if one.key in keys and used[1][one.key] == 1
    ]
    if differences or not edge or not origin:
        return min(differences, default=0)
    pairs = [(one, other) for one in edge[:MAX_CANDIDATES] for other in origin[:MAX_CANDIDATES]]
    likest = max(pairs, key=lambda pair: content(pair[0], False).likeness(content(pair[1], True)))
    return likest[1].attempt_ns - likest[0].attempt_ns
