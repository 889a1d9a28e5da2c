"""A line that loses segments in bursts, with TCP on it: when each segment arrives that is sent over it.

What a lossy network does to a stream is delay: TCP sends again what was lost, in order, so a receiver sees
silence and then everything at once, never a hole. Which transmissions are lost says a two-state Markov chain
(Gilbert 1960, Elliott 1963), as `tc netem loss gemodel` has it: nothing is lost in the good state, all in the
bad one. When a lost one is sent again says TCP as Linux has it: RFC 8985 (RACK-TLP) once anything later has
arrived or the probe is due, else the timeout of RFC 6298, doubled each time.

The clock and the random numbers are arguments; times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsinspect.units import SECOND

#: Linux's longest timeout (`TCP_RTO_MAX`; RFC 6298 section 2.5 asks for a minute at least).
_RTO_MAX_NS: Final = 120 * SECOND
#: Later segments that arrived, after which an earlier one counts as lost at once (RFC 5681, section 3.2).
_DUPLICATES: Final = 3


class Segment:
    """One segment on its way.

    Attributes:
        sent_ns: of its last transmission.
        resend_ns: when it is to be sent again, since its sender knows that it is lost.
        passed: how many that were sent later have arrived.
        is_here: whether it has arrived.
    """

    __slots__ = ("is_here", "passed", "resend_ns", "sent_ns")

    def __init__(self, sent_ns: int) -> None:
        self.sent_ns = sent_ns
        self.resend_ns: int | None = None
        self.passed = 0
        self.is_here = False


class LossyLine:
    """See the module docstring.

    Args:
        loss: share of transmissions that are lost, from 0 to below 1.
        correlation: between one transmission's loss and the next one's, from 0 (each by itself) to below 1.
        rtt_ns: the round trip: how long the sender takes to hear of anything.
        rto_ns: how much longer the timeout is. Linux's is 200 ms (`tcp_rto_min`), RFC 6298's about a second.
        uniform: a number from 0 to 1 for the nth transmission, from 1.
    """

    def __init__(
        self, loss: float, correlation: float, rtt_ns: int, rto_ns: int, uniform: Callable[[int], float]
    ) -> None:
        self._after_loss = loss + correlation * (1 - loss)
        self._after_arrival = loss * (1 - correlation)
        self._stationary = loss
        self._uniform = uniform
        self._rtt_ns = rtt_ns
        self._rto_ns = rtt_ns + rto_ns
        self._count = 0
        self._was_lost: bool | None = None
        self._lost: list[Segment] = []
        self._unsure: list[Segment] = []  # of those the ones that fewer than `_DUPLICATES` have passed
        self._timer_ns = 0
        self._expired = 0  # timeouts in a row

    def send(self, now: int) -> Segment:
        """Send a new segment; where `is_here` is set it is at its receiver already."""
        segment = Segment(now)
        if self._expired > 1:
            # Its sender waits for what ran into the timeout (RFC 5681, 3.1: a window of one segment).
            self._lost.append(segment)
            self._unsure.append(segment)
            return segment
        segment.is_here = not self._loses()
        if segment.is_here:
            self._arrived(now)
            return segment
        self._lost.append(segment)
        self._unsure.append(segment)
        if not self._expired:
            self._timer_ns = self._first_timer(now)
        return segment

    @property
    def due(self) -> int | None:
        """When something is sent again next; None while nothing is lost."""
        if not self._lost:
            return None
        known = [one.resend_ns for one in self._lost if one.resend_ns is not None]
        return min(known) if known else self._timer_ns

    def wake(self, now: int) -> None:
        """Send again what is due."""
        resent = [one for one in self._lost if one.resend_ns is not None and one.resend_ns <= now]
        if not resent and self._lost and (self.due or 0) <= now:
            # The probe is the newest segment, the timeout's the oldest (RFC 8985, 7.3; RFC 6298, 5.4).
            resent = [self._lost[0 if self._expired else -1]]
            self._expired += 1
        again = set(resent)
        self._unsure = [one for one in self._unsure if one not in again]
        for one in resent:
            one.sent_ns, one.resend_ns, one.passed = now, None, 0
            one.is_here = not self._loses()
        if any(one.is_here for one in resent):
            self._lost = [one for one in self._lost if not one.is_here]
            self._expired = 0
            self._arrived(now)
        self._unsure += (one for one in resent if not one.is_here)
        timeout = min(self._rto_ns << min(max(self._expired - 1, 0), 40), _RTO_MAX_NS)
        self._timer_ns = now + timeout

    def _loses(self) -> bool:
        self._count += 1
        share = self._stationary
        if self._was_lost is not None:
            share = self._after_loss if self._was_lost else self._after_arrival
        self._was_lost = self._uniform(self._count) < share
        return self._was_lost

    def _arrived(self, sent_ns: int) -> None:
        """One that was sent then has arrived: earlier ones count as lost a moment later."""
        if not self._unsure:
            return
        rtt_ns = self._rtt_ns
        for one in self._unsure:
            one.passed += 1
            patience = rtt_ns if one.passed >= _DUPLICATES else rtt_ns * 5 // 4
            at = max(sent_ns + rtt_ns, one.sent_ns + patience)
            one.resend_ns = at if one.resend_ns is None else min(one.resend_ns, at)
        self._unsure = [one for one in self._unsure if one.passed < _DUPLICATES]

    def _first_timer(self, now: int) -> int:
        """The probe's, where several are on their way; alone it would not come before the timeout."""
        timeout = self._lost[0].sent_ns + self._rto_ns
        return min(timeout, now + 2 * self._rtt_ns) if len(self._lost) > 1 else timeout
