"""Longer questions to a capture, answered by a thread: the statistics of a span, and the sandwich of a hop.

Contract: one thread for each question; a newer question takes the place of one that is still being answered.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from wsinspect.capture.queries import timeline
from wsinspect.diagnosis.hops import Hop
from wsinspect.errors import CaptureError
from wsinspect.findings.sandwich import PairFacts
from wsinspect.present.notes import preview
from wsinspect.present.records import Record
from wsinspect.present.sandwich import SideFrame
from wsinspect.text import grouped
from wsinspect.tui.comparing import shape_of
from wsinspect.tui.source import Source
from wsinspect.tui.statistics import MOST_ROUND_TRIPS, MOST_SHAPES, Statistics, count
from wsinspect.tui.workspace import Workspace

T = TypeVar("T")
_PAGE: Final = 400
#: While frames come, a page that is shown asks again this long after the last time.
AGAIN_SECONDS: Final = 1.0
#: Frames of each side of a hop that are compared.
MOST_FRAMES: Final = 1_000
#: Connections with two sides that are named where the chosen one has none.
_MOST_NAMED: Final = 8


class Asker:
    """Runs one question at a time and delivers its answer in the event loop."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._serial = 0
        self.is_asking = False

    def ask(self, work: Callable[[Source, Callable[[], bool]], T], done: Callable[[T | str], None]) -> None:
        """Have a question answered.

        Args:
            work: gets an open capture, and what says that nobody waits any more.
            done: gets the answer, or why there is none; not called where a newer question was asked.
        """
        self._serial += 1
        serial = self._serial
        self.is_asking = True

        def answered(answer: T | str) -> None:
            if serial == self._serial:
                self.is_asking = False
                done(answer)

        def run() -> None:
            try:
                source = Source(self._workspace.model.path)
            except CaptureError as error:
                self._workspace.deliver(answered, str(error))
                return
            try:
                answer: T | str = work(source, lambda: serial != self._serial)
            except CaptureError as error:
                answer = str(error)
            finally:
                source.close()
            self._workspace.deliver(answered, answer)

        threading.Thread(target=run, name="asking", daemon=True).start()

    def stop(self) -> None:
        """No answer is wanted any more."""
        self._serial += 1
        self.is_asking = False


def statistics_of(
    workspace: Workspace, connection: int | None, span: tuple[int, int]
) -> Callable[[Source, Callable[[], bool]], Statistics]:
    """The question for the numbers of a span: of one connection, or of all."""
    index = workspace.model.index
    columns = index.columns
    own: Sequence[int] = range(len(index))
    if connection is not None:
        own = index.by_connection.get(connection, ())
    from_ns, to_ns = span

    def work(source: Source, is_stopped: Callable[[], bool]) -> Statistics:
        first = bisect_left(own, from_ns, key=columns.times_ns.__getitem__)
        end = bisect_right(own, to_ns, key=columns.times_ns.__getitem__)
        positions = own[first:end]
        found = count(
            columns.times_ns, columns.lengths, columns.bits, columns.flags, positions, span, is_stopped
        )
        found.round_trips = timeline.round_trips_between(
            source.capture, connection, from_ns, to_ns, MOST_ROUND_TRIPS
        )
        wanted = [columns.ids[at] for at in positions[-MOST_SHAPES:] if columns.bits[at] >> 8 & 15 in (1, 2)]
        for start in range(0, len(wanted), _PAGE):
            if is_stopped():
                break
            for record in source.records(wanted[start : start + _PAGE]).values():
                data, opcode = _content(record)
                found.add_shape(int(record.frame.direction), shape_of(data, opcode), record.frame.length)
        return found

    return work


def _content(record: Record) -> tuple[bytes, int]:
    """How the message of a frame begins, inflated where it is known, and its opcode."""
    message = record.message
    if message is None:
        return record.frame.payload, record.frame.opcode
    data = message.data if message.compressed and message.data is not None else record.frame.payload
    return data, message.opcode


class HopView:
    """One connection at both taps: what the rules see of it, and its frames."""

    def __init__(
        self, pair: PairFacts, edge: list[SideFrame], origin: list[SideFrame], is_part: bool
    ) -> None:
        self.pair, self.edge, self.origin, self.is_part = pair, edge, origin, is_part


def hop_of(
    workspace: Workspace, connection: int
) -> Callable[[Source, Callable[[], bool]], HopView | str | None]:
    """The question for the other side of a connection.

    Its answer is None where the capture has no two taps around a hop, and a sentence where it has them, but
    this connection was seen at none of them or at one alone.
    """
    index = workspace.model.index

    def work(source: Source, _is_stopped: Callable[[], bool]) -> HopView | str | None:
        hop = Hop(source.capture.query)
        all_joined = hop.joined()
        joined = next(
            (
                one
                for one in all_joined
                if connection in (one.edge.id, one.origin.id if one.origin is not None else None)
            ),
            None,
        )
        pair = hop.pair(joined) if joined is not None else None
        if joined is None or pair is None:
            both = [one.edge.id for one in all_joined if one.origin is not None]
            return _alone_words(connection, both) if both else None
        sides, is_part = [], False
        for number in (pair.edge.id, pair.origin.id if pair.origin is not None else None):
            own: Sequence[int] = index.by_connection.get(number or 0, ())
            is_part = is_part or len(own) > MOST_FRAMES
            sides.append(_frames(source, [index.columns.ids[at] for at in own[:MOST_FRAMES]]))
        return HopView(pair, sides[0], sides[1], is_part)

    return work


def _alone_words(connection: int, both: list[int]) -> str:
    """What to say of a connection without an other side where others have one."""
    named = ", ".join(map(str, both[:_MOST_NAMED]))
    more = f" and {grouped(len(both) - _MOST_NAMED)} more" if len(both) > _MOST_NAMED else ""
    return (
        f"Connection {connection} was seen on one side of the hop only. Seen on both sides: {named}{more}. "
        f":conn {both[0]} goes there, then W."
    )


def _frames(source: Source, ids: list[int]) -> list[SideFrame]:
    found = []
    for start in range(0, len(ids), _PAGE):
        records = source.records(ids[start : start + _PAGE])
        for number in ids[start : start + _PAGE]:
            if (record := records.get(number)) is not None:
                found.append(_side_frame(record))
    return found


def _side_frame(record: Record) -> SideFrame:
    frame, message = record.frame, record.message
    data, opcode = _content(record)
    length = frame.length
    if message is not None and message.compressed and frame.fin and message.length is not None:
        length = message.length
    return SideFrame(
        frame.id,
        bool(frame.direction),
        frame.opcode,
        frame.length,
        frame.time_ns,
        (bool(frame.direction), frame.opcode, frame.fin, opcode, length, data),
        preview(record),
    )
