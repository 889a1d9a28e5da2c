"""Following a capture while it grows: what is new as metrics, and connections that ended as spans.

A connection's span waits a moment after its end, because findings about it come a little later. A finding
that comes later still is a span of its own in the same trace. What is remembered are the open connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from wsinspect.capture.queries.telemetry import (
    Marks,
    began,
    faults_between,
    faults_of,
    found_between,
    found_of,
    newest,
    round_trips,
    round_trips_of,
    states,
    traffic,
)
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.telemetry.spans import Context, SpanFacts, context_of, late_span, own_context, span_of

#: How long a span waits for findings about its connection.
SETTLE_NS: Final = 2_000_000_000
#: Frames that are counted in one statement, and connections that are asked for in one.
_FRAMES_AT_ONCE: Final = 100_000
_AT_ONCE: Final = 1000


class Meters(Protocol):
    """Where numbers go; `tap` is None for an unnamed listener, times are nanoseconds."""

    def began(self, tap: str | None) -> None: ...

    def ended(self, one: Connection) -> None: ...

    def deleted(self, tap: str | None) -> None: ...

    def passed(self, tap: str | None, side: int, opcode: int, frames: int, size: int) -> None: ...

    def round_trip(self, tap: str | None, leg: str, rtt_ns: int) -> None: ...

    def found(self, rule: str, severity: str) -> None: ...

    def fault(self, rule: str, kind: str, count: int) -> None: ...


class Follower:
    """See the module docstring.

    Args:
        source: what tells the capture from all others.
        marks: what was there before, and is not sent.
        titles: of rules.

    Attributes:
        newest: the id of the last connection that was seen.
    """

    def __init__(self, source: str, marks: Marks, meters: Meters, titles: Mapping[str, str]) -> None:
        self._source = source
        self._seen = marks
        self._first = marks.connection
        self._meters = meters
        self._titles = titles
        #: The taps of those that are open, and of those that have ended with the time when that was seen.
        self._open: dict[int, str | None] = {}
        self._settling: dict[int, tuple[str | None, int]] = {}
        self.newest = marks.connection

    @property
    def waiting(self) -> int:
        """Connections that have no span yet."""
        return len(self._open) + len(self._settling)

    def look(self, capture: Capture, now_ns: int, *, is_last: bool) -> Iterator[SpanFacts]:
        """What there is to send now.

        Args:
            now_ns: epoch nanoseconds.
            is_last: nothing comes after this.

        Raises:
            CaptureError: the capture is damaged.
        """
        last = newest(capture)
        self._count(capture, last)
        self._connections(capture, last.connection, now_ns)
        late = [*self._findings(capture, last.finding, now_ns)]
        if is_last:
            self._settling |= {number: (tap, now_ns) for number, tap in self._open.items()}
            self._open.clear()
        for number, (tap, since) in [*self._settling.items()]:
            if is_last or now_ns - since >= SETTLE_NS:
                del self._settling[number]
                yield from self._span(capture, number, tap, last.finding)
        yield from late
        self._seen = last

    def _count(self, capture: Capture, last: Marks) -> None:
        after = self._seen.frame
        while after < last.frame:
            upto = min(after + _FRAMES_AT_ONCE, last.frame)
            for tap, side, opcode, frames, size in traffic(capture, after, upto, self._first):
                self._meters.passed(tap, side, opcode, frames, size)
            for tap, leg, rtt_ns in round_trips(capture, after, upto, self._first):
                self._meters.round_trip(tap, leg, rtt_ns)
            after = upto
        if last.fault > self._seen.fault:
            for rule, kind, count in faults_between(capture, self._seen.fault, last.fault):
                self._meters.fault(rule, kind, count)

    def _connections(self, capture: Capture, last: int, now_ns: int) -> None:
        after = self._seen.connection
        while after < last and (rows := began(capture, after, _AT_ONCE)):
            for after, tap in rows:
                self._meters.began(tap)
                self._open[after] = tap
                self.newest = after
        found = states(capture, self._open)
        for number, tap in [*self._open.items()]:
            if found.get(number) is not False:  # at its end, or deleted to make room
                del self._open[number]
                self._settling[number] = tap, now_ns

    def _findings(self, capture: Capture, last: int, now_ns: int) -> Iterator[SpanFacts]:
        """Those that no span of a connection will have."""
        after = self._seen.finding
        while after < last and (rows := found_between(capture, after, last)):
            for one in rows:
                after = one.id
                self._meters.found(one.rule, one.severity)
                number = one.connection_id
                if number is None:
                    yield late_span(one, own_context(self._source, one.id), self._titles, now_ns)
                elif number not in self._open and number not in self._settling:
                    context = self._context(capture, number)
                    yield late_span(one, context, self._titles, now_ns)

    def _context(self, capture: Capture, number: int) -> Context:
        connection = capture.connection(number)
        if connection is None:
            return own_context(self._source, number)
        return context_of(self._source, connection, capture.handshake(number))

    def _span(self, capture: Capture, number: int, tap: str | None, last_finding: int) -> Iterator[SpanFacts]:
        connection = capture.connection(number)
        if connection is None:
            self._meters.deleted(tap)
            return
        self._meters.ended(connection)
        yield span_of(
            self._source,
            connection,
            capture.handshake(number),
            found=found_of(capture, number, last_finding),
            faults=faults_of(capture, number),
            pings=round_trips_of(capture, number),
            titles=self._titles,
        )
