"""Two taps around a hop: what the hop did to one connection.

Pure: from the facts of both taps and the traces of what passed them to `PairFacts`, which the rules of
`rules/sandwich.py` judge and `as_json` tells. Times of the origin's tap are on the edge's clock once the
clocks' difference has been taken off. TCP keeps order: what was sent and what arrived are compared in order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

from wsinspect.findings.alignment import align
from wsinspect.findings.changes import (
    Accepted,
    FieldChange,
    Suspect,
    field_changes,
    suspects,
    unknown_fields,
)
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.lag import SETTLE_NS, certain_ns, has_waited, is_order_known, merged
from wsinspect.handshake.bridging import comparable_requests, comparable_responses
from wsinspect.handshake.diff import Change, ChangeKind, changed_fields, diff_heads
from wsinspect.handshake.heads import RawHead
from wsinspect.wire.opcodes import Direction

#: Messages sent this far apart that arrived together were held.
_HELD_NS: Final = 200_000_000
#: A message that took this much longer than the fastest one was late.
_LATE_NS: Final = 300_000_000
_TOGETHER_NS: Final = 20_000_000
#: A message that came out this soon after the next one went in was pushed out by it.
_PUSHED_NS: Final = 100_000_000
#: By how many times the longest wait for the next message is longer than the shortest, at least.
_VARIED: Final = 1.2
#: How long something may take in a hop without known times; otherwise this many times the longest so far.
_PATIENCE_NS: Final = 5 * SECOND_NS
_TIMES_LONGEST: Final = 5
#: A hop that gathers messages has less than this of them; more are a receiver or a way that is slower.
_GATHERED_BYTES: Final = 262_144
_SHOWN_IDS: Final = 8
_SHOWN_TIMES: Final = 3


class Trace(NamedTuple):
    """A message as it passed one tap.

    Attributes:
        digest: equal ones have equal content; None where the capture has only the beginning of it.
        length: of the content, inflated.
        layout: lengths of its frames on the wire.
    """

    id: int
    time_ns: int
    digest: int | None
    length: int
    layout: tuple[int, ...]
    compressed: bool


class Waited(NamedTuple):
    """A message that the hop held: its id where it went in, when that was, and for how long."""

    id: int
    time_ns: int
    for_ns: int


class Through(NamedTuple):
    """One direction through the hop.

    Attributes:
        sent, arrived: messages that went in and came out; without those behind the sender's own CLOSE that
            did not, which nobody has to pass on (RFC 6455, section 5.5.1).
        lost, added: ids of those that went in only, or came out only, the first few.
        reframed: messages that came out in other fragments.
        recompressed: messages whose compression or compressed size changed.
        delays_ns: least, median, 95th percentile and longest time in the hop.
        tail: how many of the lost were the last ones: they may have been on their way still.
        tail_ns: when the first of those went in.
        tail_bytes: of all of those; a receiver that does not read makes more of them wait.
        held: how many arrived together with others though they had been sent apart.
        held_ns: the longest time one was held.
        late: how many took much longer than the quickest one.
        behind: how many came out just when the next one went in, and waited for it.
        longest: those that waited longest, in order of time.
        controls: PINGs and PONGs that went in, and that came out: a hop that ends WebSockets makes its own.
    """

    sent: int = 0
    arrived: int = 0
    lost_count: int = 0
    lost: tuple[int, ...] = ()
    added_count: int = 0
    added: tuple[int, ...] = ()
    reframed: int = 0
    recompressed: int = 0
    delays_ns: tuple[int, int, int, int] | None = None
    held: int = 0
    held_ns: int = 0
    late: int = 0
    behind: int = 0
    longest: tuple[Waited, ...] = ()
    controls: tuple[int, int] = (0, 0)
    tail: int = 0
    tail_ns: int | None = None
    tail_bytes: int = 0

    @property
    def patience_ns(self) -> int:
        """How long what went in may be on its way: by what this hop took before."""
        return _PATIENCE_NS if self.delays_ns is None else max(SECOND_NS, _TIMES_LONGEST * self.delays_ns[3])

    def as_json(self) -> dict[str, Any]:
        """The object in the result."""
        facts = self._asdict()
        del facts["tail_ns"], facts["tail_bytes"], facts["behind"]
        facts["lost"], facts["added"] = list(self.lost), list(self.added)
        facts["longest"] = [one._asdict() for one in self.longest]
        facts["controls"] = {"sent": self.controls[0], "arrived": self.controls[1]}
        delays = self.delays_ns
        names = ("min_ns", "median_ns", "p95_ns", "max_ns")
        facts["delays_ns"] = None if delays is None else dict(zip(names, delays, strict=True))
        return facts


class Clocks(NamedTuple):
    """The origin's clock minus the edge's, and how far off that may be."""

    difference_ns: int = 0
    error_ns: int = 0
    is_same_clock: bool = True


SAME_CLOCK: Final = Clocks()


@dataclass(frozen=True, kw_only=True)
class PairFacts:
    """One connection at both taps.

    Attributes:
        edge: on the client's side of the hop.
        origin: behind it; None where the hop never asked.
        joined_by: `key`, `path and time`, `content` or `fields and time`.
        c2s, s2c: what became of frames.
        behind: the tap behind the hop where nothing arrived there.
        accepted: other requests that the same server answered with 101.
        now_ns: the newest time in the capture; what is open was open then.
    """

    edge: ConnectionFacts
    origin: ConnectionFacts | None
    joined_by: str | None = None
    clocks: Clocks = SAME_CLOCK
    c2s: Through | None = None
    s2c: Through | None = None
    behind: str | None = None
    accepted: tuple[Accepted, ...] = ()
    now_ns: int | None = None

    @property
    def joined_words(self) -> str:
        """Evidence: why the two are one connection."""
        same = ": the same Sec-WebSocket-Key on both sides of the hop" if self.joined_by == "key" else ""
        return f"joined by {self.joined_by}{same}"

    def lived_after_ns(self, direction: Direction, sent_ns: int) -> int:
        """How long the side that a direction comes out of was there after something had gone in."""
        is_c2s = direction == C2S
        out = self.origin if is_c2s else self.edge
        if out is None:
            return 0
        end = out.end_ns if out.is_over else self.now_ns
        difference = self.clocks.difference_ns if is_c2s else -self.clocks.difference_ns
        return 0 if end is None else end - difference - sent_ns

    def is_overdue(self, direction: Direction, sent_ns: int, patience_ns: int) -> bool:
        """Whether what went into the hop then should have come out by the end, unless it was lost."""
        lived_ns = self.lived_after_ns(direction, sent_ns)
        # Within one engine one loop serves both taps: blind, it passed nothing on at either.
        lags = self.edge.lags if direction == C2S or self.origin is None else self.origin.lags
        if lived_ns <= 0:
            return False
        return has_waited(lags, sent_ns, sent_ns + lived_ns, patience_ns + 1)

    def may_be_first(self, direction: Direction, sent_ns: int) -> bool:
        """Whether something went into the hop before the side that it should come out of was over, or may
        have: a tap that was blind does not know what came first."""
        if self.lived_after_ns(direction, sent_ns) > -self.clocks.error_ns:
            return True
        out = self.origin if direction == C2S else self.edge
        if out is None or out.end_ns is None:
            return False
        difference = self.clocks.difference_ns if direction == C2S else -self.clocks.difference_ns
        lags = merged((*self.edge.lags, *(self.origin.lags if self.origin else ())))
        return not is_order_known(lags, sent_ns, out.end_ns - difference)

    def held_ns(self, waited: Waited) -> int:
        """For how long the hop kept a message; not counted is when a tap was blind."""
        lags = merged((*self.edge.lags, *(self.origin.lags if self.origin else ())))
        return certain_ns(lags, waited.time_ns, waited.time_ns + waited.for_ns)

    def certain_ns(self, first_ns: int, last_ns: int) -> int:
        """What is certain of a time on the edge's clock; 0 where a machine that starved a tap starved the
        hop, too."""
        lags = merged((*self.edge.lags, *(self.origin.lags if self.origin else ())))
        certain = certain_ns(lags, first_ns, last_ns)
        return certain if has_waited(lags, first_ns, last_ns, 0) else 0

    @property
    def faults(self) -> tuple[ActedFault, ...]:
        """Rules of faults that acted at one of the taps; what they did is seen at the other one too."""
        return self.edge.faults + (self.origin.faults if self.origin else ())

    @property
    def is_answered_early(self) -> bool:
        """Whether the hop had answered before the server did."""
        if self.origin is None:
            return False
        answered, came = (one.times.get("response_in_ns") for one in (self.edge, self.origin))
        return answered is not None and came is not None and answered < came - self.clocks.difference_ns

    @property
    def name(self) -> str:
        """The hop, by the taps around it."""
        edge = self.edge.tap or "edge"
        behind = self.origin.tap if self.origin else self.behind
        return f"the hop between {edge} and {behind}" if behind else f"the hop behind {edge}"

    @cached_property
    def suspects(self) -> list[Suspect]:
        """Changes that could explain why the attempt failed behind the hop, the surest first."""
        origin = self.origin
        failed = ("refused", "failed")
        if origin is None or self.edge.state not in failed or origin.state not in failed:
            return []
        return suspects(self.edge, origin, self.accepted)

    @cached_property
    def request_fields(self) -> list[FieldChange]:
        """The request's fields whose values the hop changed."""
        sent, came = self.edge.request_out, self.origin.request_in if self.origin else None
        if sent is None or came is None or self.origin is None:
            return []
        unknown = unknown_fields(self.edge, self.origin)
        changes = field_changes(*comparable_requests(sent, came))
        return [one for one in changes if one.name not in unknown]

    @cached_property
    def response_fields(self) -> list[FieldChange]:
        """The response's fields whose values the hop changed."""
        sent, came = self._response_sent, self.edge.response_in
        return [] if sent is None or came is None else field_changes(*comparable_responses(sent, came))

    @property
    def _response_sent(self) -> RawHead | None:
        sent = (self.origin.raw_response_out or self.origin.raw_response_in) if self.origin else None
        return RawHead.parse(sent) if sent else None

    @cached_property
    def request_changes(self) -> list[Change]:
        """The request, as sent into the hop against as it came out."""
        sent, came = self.edge.request_out, self.origin.request_in if self.origin else None
        return [] if sent is None or came is None else _changes(*comparable_requests(sent, came))

    @cached_property
    def response_changes(self) -> list[Change]:
        """The response, as sent into the hop (by the origin's tap) against as it came out."""
        sent, came = self._response_sent, self.edge.response_in
        return [] if sent is None or came is None else _changes(*comparable_responses(sent, came))

    @cached_property
    def request_lines(self) -> list[Change]:
        """Every line of the request at both sides: what is the same too; empty where one side has none."""
        sent, came = self.edge.request_out, self.origin.request_in if self.origin else None
        return [] if sent is None or came is None else diff_heads(sent, came)

    @cached_property
    def response_lines(self) -> list[Change]:
        """Every line of the response; `before` came out of the hop, `after` was sent into it."""
        sent, came = self._response_sent, self.edge.response_in
        changes = [] if sent is None or came is None else diff_heads(sent, came)
        return [change._replace(before=change.after, after=change.before) for change in changes]

    @property
    def versions(self) -> tuple[str | None, str | None]:
        """HTTP versions: of the request into the hop, and of the one it made."""
        return _version(self.edge.request_out), _version(self.origin.request_in if self.origin else None)

    @property
    def closed_by(self) -> str | None:
        """client, hop, or server: who ended the connection, seen from both taps."""
        if self.origin is None or not self.edge.was_open or not self.edge.is_over:
            return None
        at_edge = self.edge.ended_by
        if at_edge == "server" and (self.origin.ended_by == "client" or self._is_ended_before_origin()):
            return "hop"
        if at_edge == "client" and self._is_ended_behind_before():
            return "server"
        return at_edge if at_edge == self.origin.ended_by or at_edge == "client" else self.origin.ended_by

    def _is_ended_before_origin(self) -> bool:
        """Whether the hop ended the client's side while nothing had ended the server's: a tap passes an end
        on after it has read it, so one that came from behind is on record before."""
        edge, origin = self.edge, self.origin
        if origin is None or edge.how not in ("fin", "rst", "close-frame") or origin.state == "lost":
            return False
        if edge.end_ns is None or edge.has_gap or origin.has_gap or edge.unrecorded or origin.unrecorded:
            return False
        if not origin.is_over:
            return self.clocks.is_same_clock
        # A server that ends its side by itself at the same moment was not ended by the hop.
        least = SETTLE_NS if origin.ended_by == "server" else 0
        lived = self.lived_after_ns(C2S, edge.end_ns)
        return lived > least + self.clocks.error_ns

    def _is_ended_behind_before(self) -> bool:
        """Whether the server had ended its side, without a CLOSE frame, well before the client left: the hop
        kept the client."""
        edge, origin = self.edge, self.origin
        if origin is None or origin.ended_by != "server" or origin.how not in ("fin", "rst"):
            return False
        if edge.has_gap or origin.has_gap or edge.unrecorded or origin.unrecorded or origin.end_ns is None:
            return False
        return self.is_overdue(S2C, origin.end_ns, SETTLE_NS + self.clocks.error_ns)

    def as_json(self) -> dict[str, Any]:
        """What the hop did, for `--json`."""
        into, out = self.versions
        return {
            "edge": self.edge.id,
            "origin": self.origin.id if self.origin else None,
            "joined_by": self.joined_by,
            "clock": {
                "difference_ns": self.clocks.difference_ns,
                "error_ns": self.clocks.error_ns,
                "same_clock": self.clocks.is_same_clock,
            },
            "http_version": {"into": into, "out": out},
            "answered_by": "hop" if self.origin is None else "origin",
            "request_changes": [_change(one) for one in self.request_changes],
            "response_changes": [_change(one) for one in self.response_changes],
            "c2s": None if self.c2s is None else self.c2s.as_json(),
            "s2c": None if self.s2c is None else self.s2c.as_json(),
            "closed_by": self.closed_by,
        }


def compare(
    sent: Sequence[Trace],
    arrived: Sequence[Trace],
    difference_ns: int,
    *,
    is_part: bool = False,
    before_close: int | None = None,
) -> Through:
    """One direction: what was sent into the hop against what came out.

    Args:
        difference_ns: to be taken off the times of `arrived` to bring them on the clock of `sent`.
        is_part: both are only the beginning: what has no partner at their ends is not lost.
        before_close: how many of `sent` began before the sender's CLOSE frame; None where it sent none.
    """
    is_cut = any(one.digest is None for one in (*sent, *arrived))
    places = align(*([_same(one, is_cut) for one in side] for side in (sent, arrived)))
    unpaired = _others(len(sent), [i for i, _ in places], is_part)
    # Whether the rest comes out depends on how soon the hop has the other side's answer.
    gone = [n for n in unpaired if before_close is None or n < before_close]
    new = _others(len(arrived), [j for _, j in places], is_part)
    last = places[-1][0] if places else -1
    tail = [sent[n] for n in gone if n > last]
    pairs = [(sent[i], arrived[j]) for i, j in places]
    delays = [late.time_ns - difference_ns - early.time_ns for early, late in pairs]
    held, held_ns = _held(pairs, delays, _in_hop(pairs, difference_ns))
    quickest = min(delays, default=0)
    late = [
        (delay, early)
        for delay, (early, _) in zip(delays, pairs, strict=True)
        if delay - quickest >= _LATE_NS
    ]
    late.sort(key=lambda item: -item[0])
    return Through(
        sent=len(sent) - len(unpaired) + len(gone),
        arrived=len(arrived),
        lost_count=len(gone),
        lost=tuple(sent[i].id for i in gone[:_SHOWN_IDS]),
        added_count=len(new),
        added=tuple(arrived[j].id for j in new[:_SHOWN_IDS]),
        reframed=sum(_is_reframed(a, b) for a, b in pairs),
        recompressed=sum(
            a.compressed != b.compressed or (a.compressed and sum(a.layout) != sum(b.layout))
            for a, b in pairs
        ),
        delays_ns=_spread(delays),
        held=held,
        held_ns=held_ns,
        late=len(late),
        behind=_behind(sent, arrived, places, difference_ns),
        tail=len(tail),
        tail_ns=min((one.time_ns for one in tail), default=None),
        tail_bytes=sum(one.length for one in tail),
        longest=tuple(
            sorted((Waited(one.id, one.time_ns, delay) for delay, one in late[:_SHOWN_TIMES]), key=_by_time)
        ),
    )


def _by_time(one: Waited) -> int:
    return one.time_ns


def _same(one: Trace, is_cut: bool) -> int | None:
    return one.length if is_cut else one.digest


def _others(count: int, paired: Sequence[int], is_part: bool) -> list[int]:
    """Positions in no pair."""
    known = set(paired)
    end = max(known, default=-1) + 1 if is_part else count
    return [n for n in range(end) if n not in known]


def _is_reframed(before: Trace, after: Trace) -> bool:
    """Other fragments: their number, or, where nothing was compressed again, their sizes."""
    if len(before.layout) != len(after.layout):
        return True
    return sum(before.layout) == sum(after.layout) and before.layout != after.layout


def _in_hop(pairs: Sequence[tuple[Trace, Trace]], difference_ns: int) -> list[int]:
    """For each message how many bytes were in the hop while it was, its own among them."""
    went_in = [early.time_ns for early, _ in pairs]
    came_out = [late.time_ns - difference_ns for _, late in pairs]
    sums = [0, *accumulate(early.length for early, _ in pairs)]
    return [
        sums[bisect_right(went_in, out)] - sums[min(bisect_left(came_out, first), index)]
        for index, (first, out) in enumerate(zip(went_in, came_out, strict=True))
    ]


def _held(
    pairs: Sequence[tuple[Trace, Trace]], delays: Sequence[int], in_hop: Sequence[int]
) -> tuple[int, int]:
    """Messages that were sent apart and arrived together, and the longest that one of them waited.

    Not counted are those among more bytes than a hop gathers: they wait in TCP's buffers for the receiver.
    """
    groups: list[list[int]] = []
    for index in range(1, len(pairs)):
        apart = pairs[index][0].time_ns - pairs[index - 1][0].time_ns
        together = pairs[index][1].time_ns - pairs[index - 1][1].time_ns
        if apart >= _HELD_NS // 4 and together <= _TOGETHER_NS:
            if groups and groups[-1][-1] == index - 1:
                groups[-1].append(index)
            else:
                groups.append([index - 1, index])
    real = [
        group
        for group in groups
        if pairs[group[-1]][0].time_ns - pairs[group[0]][0].time_ns >= _HELD_NS
        and min(in_hop[index] for index in group) <= _GATHERED_BYTES
    ]
    waited = [delays[index] for group in real for index in group]
    return len(waited), max(waited, default=0)


def _behind(
    sent: Sequence[Trace], arrived: Sequence[Trace], places: Sequence[tuple[int, int]], difference_ns: int
) -> int:
    """Messages that came out just when the next one went in: each is kept until something pushes it out.

    Said only where that is so of every message that had to wait for the next one; the last one has none.
    """
    waits = []
    for i, j in places:
        if i + 1 == len(sent) or sent[i + 1].time_ns - sent[i].time_ns < _HELD_NS:
            continue  # nothing followed, or so soon that this proves nothing
        came_ns = arrived[j].time_ns - difference_ns
        delay = came_ns - sent[i].time_ns
        if delay < _HELD_NS or not -_TOGETHER_NS < came_ns - sent[i + 1].time_ns < _PUSHED_NS:
            return 0
        waits.append(delay)
    # A hop that takes a second for each message of a clock that ticks every second looks the same.
    return len(waits) if waits and max(waits) > _VARIED * min(waits) else 0


def _spread(delays: Sequence[int]) -> tuple[int, int, int, int] | None:
    if not delays:
        return None
    high = quantiles(delays, n=20)[-1] if len(delays) > 1 else delays[0]
    return min(delays), int(median(delays)), int(high), max(delays)


def clock_difference(samples: Iterable[tuple[bool, int]]) -> Clocks:
    """The origin's clock minus the edge's, from times at both taps.

    Args:
        samples: (whether it went from edge to origin, origin's time minus edge's time). The quickest each way
            bound the difference: half of their sum, wrong by at most half of the quickest round trip.
    """
    toward: list[int] = []
    back: list[int] = []
    for is_toward, difference in samples:
        (toward if is_toward else back).append(difference)
    if not toward or not back:
        only = min(toward, default=0) or max(back, default=0)
        return Clocks(only, abs(only), False)
    earliest, latest = min(toward), max(back)
    return Clocks((earliest + latest) // 2, abs(earliest - latest) // 2, False)


def _changes(before: RawHead, after: RawHead) -> list[Change]:
    """What differs; the order of fields and the letter case of their names say nothing."""
    return [
        one
        for one in changed_fields(before, after)
        if one.kind is not ChangeKind.MOVED and not _is_spelling(one)
    ]


def _is_spelling(change: Change) -> bool:
    """Whether only the name's letter case, or the blanks around the value, differ."""
    if not change.name or change.before is None or change.after is None:
        return False
    (name, _, value), (other, _, new) = (line.partition(b":") for line in (change.before, change.after))
    return name.strip().lower() == other.strip().lower() and value.strip() == new.strip()


def _version(head: RawHead | None) -> str | None:
    return head.http_version.decode("latin-1") if head else None


def _change(change: Change) -> dict[str, Any]:
    lines = [None if line is None else line.decode("latin-1") for line in (change.before, change.after)]
    return {"kind": str(change.kind), "before": lines[0], "after": lines[1]}


def change_line(change: Change, arrow: str = "->") -> str:
    """A changed line as evidence."""
    before, after = ((line or b"").decode("latin-1")[:160] for line in (change.before, change.after))
    words = {ChangeKind.REMOVED: f"removed  {before}", ChangeKind.ADDED: f"added    {after}"}
    return words.get(change.kind, f"changed  {before}  {arrow}  {after}")
