"""The two streams of bytes of a TCP connection, out of segments as a third party saw them (RFC 9293).

Contract: bytes are handed on once and in order. What was sent twice is counted; where two segments disagree
about a byte, the first one that was in order counts, as it does for a receiver. Bytes that the receiver
acknowledged, or went past, and that are not in the trace are a gap: it is said where it is, and what follows
is handed on after it. A segment ahead of bytes that never came, while the receiver keeps saying that it
lacks them, was not read by the receiver: it is left out, and there is no gap. Times are those of the segment
that made the bytes complete. Memory is bounded by `MAX_WAITING` a direction.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, Protocol

from wsinspect.formats.packets.link import ACK, FIN, RST, SYN, Segment

#: Bytes, and segments, that wait for one before them; receive windows are hardly ever larger.
MAX_WAITING: Final = 4 * 1024 * 1024
_MAX_SEGMENTS: Final = 4096
#: How long the packet before may come later in the trace than the one after it, or than its acknowledgement:
#: queues of a network card are read in turns, and a lost packet is repeated much later.
_PATIENCE_NS: Final = 200_000_000
#: How far from where a direction ended its late segments are; a new connection begins anywhere (RFC 9293
#: section 3.4.1).
_NEAR: Final = MAX_WAITING
#: The largest window (RFC 7323 section 2.3): a receiver does not believe an end that is further away.
_WINDOW: Final = 1 << 30
_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000


#: Of every direction in which no segment waits: one that does gets its own.
_NOTHING: Final[dict[int, tuple[bytes, int, int]]] = {}
_NO_ORDER: Final[list[int]] = []


class Receiver(Protocol):
    """What a connection's bytes and ends are handed to; sides are 0 and 1, as in `Reassembly.feed`."""

    def data(self, side: int, data: bytes, time_ns: int) -> None: ...

    def gap(self, side: int, size: int, time_ns: int) -> None: ...

    def end(self, side: int, how: str, time_ns: int) -> None: ...


class Counts:
    """What happened below the streams of all connections.

    Attributes:
        repeated: segments of bytes that had been seen.
        reordered: segments that came before an earlier one.
        gaps, lost: holes, and bytes in them.
        cut: how many of the holes are ends of packets that were recorded in part.
    """

    def __init__(self) -> None:
        self.repeated = self.reordered = self.gaps = self.lost = self.cut = 0


class Half:
    """One direction.

    Attributes:
        next: the number of the next byte; None before anything came.
        place: `next` while segments wait, without the wrap at 32 bits.
        waiting: segments that came too early, by their numbers, which do not wrap either: what was recorded
            of their bytes, how many there are, and when they came.
        order: a heap of these numbers, and of some that wait no longer.
        fin: the number of the FIN; None while it has not come.
        acked: the largest number that the other side acknowledged beyond `next`.
        doubted: an acknowledgement so far beyond `next` that another one must confirm it.
        since_ns: since when something is known to be missing.
        lacked_ns: when the other side said last, while segments waited, that it has nothing beyond `next`.
    """

    __slots__ = (
        "acked", "doubted", "fin", "has_ended", "lacked_ns", "next", "order", "place", "since_ns", "waiting",
        "waiting_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.next: int | None = None
        self.place = 0
        self.waiting = _NOTHING
        self.order = _NO_ORDER
        self.waiting_bytes = 0
        self.fin: int | None = None
        self.acked: int | None = None
        self.doubted: int | None = None
        self.since_ns: int | None = None
        self.lacked_ns = 0
        self.has_ended = False

    def forget_lacked(self) -> None:
        """Leave out what waits for bytes that the receiver lacks: long after it had come, and to the end."""
        assert self.next is not None
        has = 0 if self.acked is None else _ahead(self.acked, self.next)
        for place, (data, _, came_ns) in list(self.waiting.items()):
            if place - self.place >= has and came_ns + _PATIENCE_NS < self.lacked_ns:
                del self.waiting[place]
                self.waiting_bytes -= len(data)

    def advance(self, size: int) -> None:
        """The next byte is so much further."""
        assert self.next is not None
        self.next = self.next + size & _MASK
        self.place += size

    def nearest(self) -> int | None:
        """The first number of what waits."""
        order = self.order
        while order and order[0] not in self.waiting:
            heappop(order)
        return order[0] if order else None


class Reassembly:
    """Makes streams of the segments of one connection.

    Attributes:
        halves: by the side that sends.
        is_over: a RST was seen, or a FIN of each side.
        is_midway: the trace begins in the middle of it.
    """

    __slots__ = ("_counts", "_receiver", "halves", "is_midway", "is_over")

    def __init__(self, receiver: Receiver, counts: Counts, *, is_midway: bool) -> None:
        self._receiver = receiver
        self._counts = counts
        self.halves = (Half(), Half())
        self.is_midway = is_midway
        self.is_over = False

    def feed(self, side: int, segment: Segment, time_ns: int) -> None:
        """A segment that side `side` sent."""
        _, _, seq, ack, flags, data, size, _ = segment
        half = self.halves[side]
        if flags & RST:
            if half.next is None or abs(_ahead(seq, half.next)) <= _WINDOW:
                self._reset(side, time_ns)
            return
        if flags & SYN:
            seq = seq + 1 & _MASK
            if half.next is None:
                half.next = seq
        if size:
            if half.next == seq and not half.waiting and len(data) == size and half.fin is None:
                half.next = seq + size & _MASK  # nearly every segment
                self._receiver.data(side, data, time_ns)
            else:
                self._take(side, half, seq, data, size, time_ns)
        if flags & FIN and not half.has_ended:
            self._end(half, seq + size & _MASK)
        if half.fin is not None or half.since_ns is not None:
            self._settle(side, half, time_ns)
        if flags & ACK:
            other = self.halves[1 - side]
            if other.next is None:
                if not flags & SYN:
                    other.next = ack  # of a connection that was there before: what it sends next
            elif other.next != ack or other.since_ns is not None:
                self._acknowledge(1 - side, other, ack, time_ns)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is missing, waits or ended: of the next segment (`link.Usual`) that acknowledges no
        more than there is (`is_known`), `feed` takes nothing but to hand on its bytes."""
        return all(
            half.next is not None and half.since_ns is None and half.fin is None and not half.waiting
            for half in self.halves
        )

    def finish(self, time_ns: int) -> None:
        """No more packets will come: what is missing stays so."""
        for side, half in enumerate(self.halves):
            self._give_up(side, half, time_ns)

    def _take(self, side: int, half: Half, seq: int, data: bytes, size: int, time_ns: int) -> None:
        """A segment that is not simply the next one."""
        if half.next is None:
            half.next = seq
        ahead = _ahead(seq, half.next)
        if ahead + size <= 0:
            self._counts.repeated += size > 1 or ahead != -1  # one byte, just before: a keep-alive
            return
        if ahead < 0:
            self._counts.repeated += 1
            data, size, ahead = data[-ahead:], size + ahead, 0
        elif ahead > 0:
            self._counts.reordered += 1
        if not half.waiting:
            half.place = half.next
            half.order.clear()
        if not ahead:
            # Whatever waits at its place was not in order when it came.
            self._hand_on(side, half, data, size, time_ns)
            self._deliver(side, half, time_ns)
        else:
            if half.waiting is _NOTHING:
                half.waiting, half.order = {}, []
            place = half.place + ahead
            known = half.waiting.get(place)
            if known is None or known[1] < size:
                if known is not None:
                    # Its first bytes stay those that were there first.
                    data = known[0] + data[len(known[0]) :] if len(known[0]) == known[1] else known[0]
                    half.waiting_bytes -= len(known[0])
                else:
                    heappush(half.order, place)
                half.waiting[place] = (data, size, time_ns)
                half.waiting_bytes += len(data)
        if half.waiting and half.since_ns is None:
            half.since_ns = time_ns
        while half.waiting_bytes > MAX_WAITING or len(half.waiting) > _MAX_SEGMENTS:
            self._skip(side, half, time_ns)

    def _deliver(self, side: int, half: Half, time_ns: int) -> None:
        """Hand on what is in order."""
        assert half.next is not None
        while half.waiting:
            place = half.place
            found = half.waiting.pop(place, None)
            if found is None:
                # Segments may overlap: one that begins before and ends after the place.
                nearest = half.nearest()
                if nearest is None or nearest > place:
                    break
                place = nearest
                found = half.waiting.pop(place)
            data, size, _ = found
            half.waiting_bytes -= len(data)
            begun = half.place - place
            if begun < size:
                self._hand_on(side, half, data[begun:], size - begun, time_ns)
        if not half.waiting and (half.acked is None or _ahead(half.acked, half.next) <= 0):
            half.since_ns = half.acked = None

    def _hand_on(self, side: int, half: Half, data: bytes, size: int, time_ns: int) -> None:
        """The next bytes, and how many there are on the wire."""
        half.advance(size)
        if data:
            self._receiver.data(side, data, time_ns)
        if (cut := size - len(data)) > 0:
            self._counts.cut += 1  # a short --snapshot-length of tcpdump
            self._lose(side, cut, time_ns)

    def _end(self, half: Half, place: int) -> None:
        """A FIN at `place`. Nobody ends twice: of two, the nearer one that is still to come is the end, the
        other one is forged, or of an older connection.
        """
        if half.next is None:
            half.next = half.fin = place
            return
        ahead = _ahead(place, half.next)
        if abs(ahead) > _WINDOW:
            return
        before = None if half.fin is None else _ahead(half.fin, half.next)
        if before is None or before < 0 or 0 <= ahead < before:
            half.fin = place

    def _acknowledge(self, side: int, half: Half, ack: int, time_ns: int) -> None:
        """The other side has everything before `ack`."""
        assert half.next is not None
        beyond = _ahead(ack, half.next)
        if half.fin is not None and ack == half.fin + 1 & _MASK:
            beyond -= 1
        if beyond <= 0 and half.waiting:
            half.lacked_ns = time_ns
        if beyond > _NEAR and (half.doubted is None or _ahead(ack, half.doubted) < 0):
            half.doubted = ack  # of a receiver that has so much, the next one says so too
        elif beyond > 0 and (half.acked is None or _ahead(ack, half.acked) > 0):
            half.acked = half.next + beyond & _MASK
            if half.since_ns is None:
                half.since_ns = time_ns
        self._settle(side, half, time_ns)

    def _settle(self, side: int, half: Half, time_ns: int) -> None:
        if half.since_ns is not None and time_ns - half.since_ns > _PATIENCE_NS:
            acked = half.acked
            if acked is not None and half.next is not None and _ahead(acked, half.next) > 0:
                self._skip(side, half, time_ns)
                half.since_ns = time_ns if half.waiting else None
        if half.fin is not None and half.fin == half.next and not half.has_ended:
            half.has_ended = True
            self.is_over = all(one.has_ended for one in self.halves)
            self._receiver.end(side, "fin", time_ns)

    def _skip(self, side: int, half: Half, time_ns: int) -> None:
        """Go past what is missing: to what waits, or to what was acknowledged."""
        assert half.next is not None
        nearest = half.nearest()
        if nearest is not None:
            missing = nearest - half.place
        elif half.acked is not None:
            missing = _ahead(half.acked, half.next)
        else:
            return
        if missing > 0:
            half.advance(missing)
            self._lose(side, missing, time_ns)
        self._deliver(side, half, time_ns)

    def _lose(self, side: int, size: int, time_ns: int) -> None:
        self._counts.gaps += 1
        self._counts.lost += size
        self._receiver.gap(side, size, time_ns)

    def _give_up(self, side: int, half: Half, time_ns: int) -> None:
        if half.has_ended:
            return  # nothing is behind a FIN
        if half.waiting:
            half.forget_lacked()
        while half.next is not None and (
            half.waiting or (half.acked is not None and _ahead(half.acked, half.next) > 0)
        ):
            before = len(half.waiting), half.next
            self._skip(side, half, time_ns)
            if (len(half.waiting), half.next) == before:
                break
        self._settle(side, half, time_ns)

    def _reset(self, side: int, time_ns: int) -> None:
        if self.is_over:
            return
        for number, half in enumerate(self.halves):
            self._give_up(number, half, time_ns)
        if not self.halves[side].has_ended or not self.is_over:
            self._receiver.end(side, "rst", time_ns)
        self.is_over = True


def _ahead(seq: int, place: int) -> int:
    """How far a sequence number is after another (RFC 9293 section 3.4: modulo 2**32)."""
    return (seq - place + _HALF & _MASK) - _HALF


def is_known(half: Half, ack: int) -> bool:
    """Whether an acknowledgement is of bytes that were there before the newest ones."""
    return half.next is not None and 0 < (half.next - ack & _MASK) < _HALF


def was_there(seq: int, size: int, last: int | None) -> bool | None:
    """Whether a segment after the end of its connection holds what had been seen.

    Args:
        seq, size: the segment.
        last: the number after the last byte of its direction; None where none had come.

    Returns:
        False: it was on its way when a RST came. None: it is of another connection.
    """
    beyond = size if last is None else _ahead(seq + size & _MASK, last)
    return beyond <= 0 if -_NEAR < beyond < _NEAR else None
