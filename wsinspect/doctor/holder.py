"""Holds several connections open at once, each in its way, to find limits (`hold.py`); does the I/O.

Contract: one handshake each, at most `MAX_HELD`; none is opened again. `stop` ends the trial at any moment,
and what is known by then is returned.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wsinspect.doctor.answers import Reached
from wsinspect.doctor.asker import CLOSE_SECONDS, Asker, Attempt, Stream
from wsinspect.doctor.hold import Hold, Plan, Trial, hold_question
from wsinspect.doctor.questions import Question
from wsinspect.doctor.target import Extras, Target
from wsinspect.findings.facts import SECOND_NS
from wsinspect.findings.held import Held
from wsinspect.findings.lag import SETTLE_NS, certain_ns
from wsinspect.findings.probes import Probe
from wsinspect.kernel import acknowledged_ns
from wsinspect.net import Address
from wsinspect.units import format_size

#: How long a PING at the end, or after a silence, may take to be answered.
PONG_SECONDS = 3.0
_READ = 64 * 1024
#: What one server may say on one connection; more would keep us busy for the whole trial.
MAX_TAKEN = 16 * 1024 * 1024
_TICK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A trial, and how its caller follows and stops it.

    Attributes:
        begins: called when the first connection is opened.
        ticks: hears how many nanoseconds have passed.
        stop: set it, in the loop's thread, to end the trial.
    """

    trial: Trial
    begins: Callable[[], None] = field(default=lambda: None)
    ticks: Callable[[int], None] = field(default=lambda passed_ns: None)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Holder:
    """Holds connections to the server of a URL, and to those behind it.

    Args:
        targets: the URL first; `reached` in the same order.
        can_ping: whether the server answered the PING of the first handshake.
        first: number of the first of them among the probes.
    """

    def __init__(
        self,
        asker: Asker,
        targets: Sequence[Target],
        reached: Sequence[Reached],
        extras: Extras,
        new_key: Callable[[], str],
        watched: Watched,
        *,
        can_ping: bool = True,
        first: int = 1,
    ) -> None:
        self._asker = asker
        self._targets = targets
        self._reached = reached
        self._extras = extras
        self._new_key = new_key
        self._watched = watched
        self._can_ping = can_ping
        self._first = first
        self._begin_ns = 0

    async def run(self) -> tuple[Held, ...]:
        """Hold them until all have ended, the time is over, or `stop` is set."""
        plans = self._watched.trial.plans(len(self._targets))
        self._begin_ns = self._asker.now_ns()
        self._watched.begins()
        ticking = asyncio.create_task(self._tick())
        with self._asker.lateness.watched():
            try:
                held = await asyncio.gather(*(self._hold(n, plan) for n, plan in enumerate(plans)))
            finally:
                ticking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ticking
        return tuple(one for one in held if one is not None)

    async def _tick(self) -> None:
        while True:
            self._watched.ticks(self._asker.now_ns() - self._begin_ns)
            await asyncio.sleep(_TICK_SECONDS)

    async def _hold(self, index: int, plan: Plan) -> Held | None:
        """One connection, from its start to its end; None where the trial was stopped before."""
        number, target = self._first + index, self._targets[plan.place]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._watched.stop.wait(), plan.start_ns / 1e9)
            return None
        question = hold_question(target, self._targets[0], self._extras, self._new_key(), plan, number=number)
        place = self._reached[plan.place].working
        if place is None:
            return Held(number=number, way=plan.way, place=plan.place, where=str(target), error="not reached")
        attempt = Attempt(number, question, Address(place.host, target.port), self._asker)
        await self._asker.open(attempt)
        try:
            if attempt.agreed is None or attempt.stream is None:
                return self._not_open(attempt, question, plan, str(target))
            now = self._asker.now_ns()
            hold = Hold(
                plan,
                self._watched.trial,
                attempt.agreed,
                now,
                self._asker.key,
                is_engineio="EIO=" in target.query,
                can_ping=self._can_ping,
            )
            taken = await self._keep(hold, attempt.stream, attempt.rest)
            if taken > MAX_TAKEN:
                words = f"let go: the server sent more than {format_size(MAX_TAKEN)}"
                return Held(number=number, way=plan.way, place=plan.place, where=str(target), error=words)
            return hold.held(number, self._asker.now_ns(), str(target))
        finally:
            await attempt.close()

    def _not_open(self, attempt: Attempt, question: Question, plan: Plan, where: str) -> Held:
        outcome = Probe("", "", attempt.answer().facts).outcome
        number = attempt.answer().facts.id
        return Held(number=number, way=plan.way, place=plan.place, where=where, error=outcome[:160])

    async def _keep(self, hold: Hold, stream: Stream, rest: bytes) -> int:
        """The open connection, to its end or ours; then whether it still lives, and a clean close.

        Returns:
            How many bytes came.
        """
        line = _Line(hold, stream, self._asker)
        if rest:
            line.take(rest)
        stopping = asyncio.create_task(self._watched.stop.wait())
        try:
            await line.until(self._begin_ns + self._watched.trial.duration_ns, stopping)
            if not hold.is_over and self._can_ping and line.taken <= MAX_TAKEN:
                line.say(hold.ask(self._asker.now_ns()))
                await line.answered(PONG_SECONDS)
            await line.leave()
            return line.taken
        finally:
            stopping.cancel()
            line.cancel()


class _Line:
    """Reads and writes one connection.

    Attributes:
        taken: bytes that came.
    """

    def __init__(self, hold: Hold, stream: Stream, asker: Asker) -> None:
        self._hold = hold
        self._stream = stream
        self._now_ns = asker.now_ns
        self._lateness = asker.lateness
        self._reading: asyncio.Task[bytes] | None = None
        self._read_ns = asker.now_ns()
        self.taken = 0

    def say(self, data: bytes) -> None:
        if data:
            self._stream.writer.write(data)

    def take(self, data: bytes) -> None:
        self.taken += len(data)
        self.say(self._hold.received(data, self._now_ns()))

    async def until(self, end_ns: int, stopping: asyncio.Task[bool]) -> None:
        """Read, and send what is due; a PING that gets no answer in time ends it."""
        asked_ns: int | None = None
        while not self._hold.is_over and not stopping.done() and self.taken <= MAX_TAKEN:
            now = self._now_ns()
            if now >= end_ns:
                return
            self.say(self._hold.due(now))
            asked_ns = (asked_ns or now) if self._hold.is_asking else None
            next_ns = min(
                end_ns,
                self._hold.next_ns or end_ns,
                end_ns if asked_ns is None else now + self._left_ns(asked_ns, PONG_SECONDS),
            )
            await self._read((next_ns - now) / 1e9, stopping)
            is_late = asked_ns is not None and not self._left_ns(asked_ns, PONG_SECONDS)
            if is_late and await self._is_unanswered():
                self._hold.vanished()

    async def answered(self, seconds: float) -> None:
        """Wait for the answer to the PING at the end."""
        asked_ns = self._now_ns()
        while not self._hold.is_over and self._hold.is_asking:
            left = self._left_ns(asked_ns, seconds)
            if not left:
                if await self._is_unanswered():
                    self._hold.vanished()
                return
            await self._read(left / 1e9)

    def _left_ns(self, asked_ns: int, seconds: float) -> int:
        """How much longer an answer is waited for: time in which we read nothing does not count."""
        waited = certain_ns(self._lateness.lags, asked_ns, self._now_ns())
        return max(0, round(seconds * SECOND_NS) - waited)

    async def _is_unanswered(self) -> bool:
        """Whether a PING is open still, with what waits to be read taken into account."""
        await self._read(SETTLE_NS / 1e9)
        return self._hold.is_asking and not self._hold.is_over

    async def leave(self) -> None:
        """The closing handshake (RFC 6455 section 7.1.2), as far as the server takes part."""
        if self._hold.is_over:
            return
        with contextlib.suppress(OSError, TimeoutError):
            self.say(self._hold.close())
            async with asyncio.timeout(CLOSE_SECONDS):
                while await (self._reading or self._stream.reader.read(_READ)):
                    self._reading = None

    async def _read(self, seconds: float, *others: asyncio.Task[bool]) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._stream.reader.read(_READ))
        await asyncio.wait(
            {self._reading, *others}, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
        )
        if not self._reading.done():
            return
        reading, self._reading = self._reading, None
        try:
            data = reading.result()
        except OSError as error:
            self._hold.ended("rst" if isinstance(error, ConnectionError) else "fin", self._now_ns())
            return
        if data:
            self._read_ns = self._now_ns()
            self.take(data)
        else:
            self._hold.ended("fin", self._came_ns())

    def _came_ns(self) -> int:
        """When the FIN that was just read came: nothing follows it, so the last ACK was its own.

        Read late by a busy machine, it came before: that time is nobody's limit.
        """
        now_ns = self._now_ns()
        sock = self._stream.writer.get_extra_info("socket")
        acked_ns = acknowledged_ns(sock) if sock is not None else None
        return now_ns if acked_ns is None else max(now_ns - acked_ns, self._read_ns)

    def cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
