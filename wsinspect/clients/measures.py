"""What is measured of each outage, and of a session as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from wsinspect.clients import messages
from wsinspect.clients.backoff import Backoff, classify
from wsinspect.clients.facts import SECOND_NS, Attempt, ClientFacts, Said, Stall, Transport
from wsinspect.clients.joining import Session
from wsinspect.clients.outages import Outage, outages, unnoticed_stalls
from wsinspect.vocabulary import Direction

_MINUTE_NS: Final = 60 * SECOND_NS
#: What a client says within this time after opening is its setup.
_SETUP_NS: Final = 2 * SECOND_NS
_SETUP_MESSAGES: Final = 8
#: Two sockets at once for less than this are an old one closing and a new one opening.
_OVERLAP_NS: Final = SECOND_NS


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """What was sent again after a reconnect.

    Attributes:
        setup: the first messages of the lost connection: subscriptions, logins.
        repeated: those of them that were sent again, by identical payload or by kind.
        has_token: something that the server had said before was handed back to it.
        is_answered: the server said something on the new connection, or may have, on an open stream.
        was_answered: and on the lost one.
    """

    setup: tuple[Said, ...]
    repeated: tuple[Said, ...]
    has_token: bool
    is_answered: bool
    was_answered: bool


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Messages of one direction around an outage.

    Attributes:
        undelivered: on the lost connection.
        lost: of these the ones that were not sent again.
        doubled: sent again although they had been delivered; known by an id in them.
        needless: of these the ones whose sender could know: the other side had said their id before.
    """

    direction: Direction
    undelivered: tuple[Said, ...] = ()
    lost: tuple[Said, ...] = ()
    doubled: tuple[Said, ...] = ()
    needless: tuple[Said, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutageMeasures:
    """An outage and what its client did about it.

    Attributes:
        backoff: of the tries.
        noise_ns: how late timers were meanwhile.
        bytes_until_works: frames of both directions on the new connection, up to the server's first message.
        heartbeat_ns: the interval of the client's own heartbeat on the lost connection.
        in_vain: tries after an answer that another try does not change, each with the answer before it.
        hurried: tries that came before `Retry-After` was over, with how much too early.
    """

    outage: Outage
    backoff: Backoff
    noise_ns: int
    resumption: Resumption | None
    gaps: tuple[Gap, ...]
    bytes_until_works: int
    heartbeat_ns: int | None
    in_vain: tuple[tuple[Attempt, Attempt], ...]
    asked_to_wait: tuple[Attempt, ...]
    hurried: tuple[tuple[Attempt, int], ...]


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The minute with the most tries."""

    tries: int
    per_minute: float
    first: Attempt | None = None


@dataclass(frozen=True, kw_only=True)
class SessionMeasures:
    """One client.

    Attributes:
        overlaps: connections of it that worked at once: the earlier and the later one.
        resets: whether delays begin with the first one again after a success; None where nothing shows it.
        transport: of its newest connection.
        unnoticed: stalls that it sat out without doing anything.
    """

    session: Session
    outages: tuple[OutageMeasures, ...]
    worst: Worst
    overlaps: tuple[tuple[Attempt, Attempt], ...]
    resets: bool | None
    transport: Transport | None
    had_websocket: bool
    unnoticed: tuple[tuple[Attempt, Stall], ...]
    has_jitter: bool | None

    @property
    def is_disturbed(self) -> bool:
        """Whether anything happened that its client had to cope with."""
        return bool(self.outages or self.unnoticed)


def measure(session: Session, facts: ClientFacts) -> SessionMeasures:
    """All measures of a session."""
    found = outages(session, facts)
    measured = tuple(_measure(one, facts) for one in found)
    connections = session.connections
    return SessionMeasures(
        session=session,
        outages=measured,
        worst=_worst([one for outage in found for one in outage.tries]),
        overlaps=tuple(_overlaps(connections, facts)),
        resets=_resets(measured),
        transport=connections[-1].transport if connections else None,
        had_websocket=any(one.transport == Transport.WEBSOCKET for one in connections),
        unnoticed=tuple(unnoticed_stalls(session, facts, found)),
        has_jitter=_jitter_between(measured),
    )


def _measure(outage: Outage, facts: ClientFacts) -> OutageMeasures:
    before = facts.said(outage.lost) if outage.lost is not None else ()
    after = facts.said(outage.resumed) if outage.resumed is not None else ()
    last_ns = outage.tries[-1].attempt_ns if outage.tries else outage.began_ns
    noise_ns = facts.lateness.within(outage.began_ns, last_ns)
    return OutageMeasures(
        outage=outage,
        backoff=classify(_in_a_row(outage), noise_ns),
        noise_ns=noise_ns,
        resumption=_resumption(outage, before, after, facts),
        gaps=tuple(_gap(outage, direction, before, after) for direction in Direction) if before else (),
        bytes_until_works=_bytes_until(outage.works_ns, after),
        heartbeat_ns=_heartbeat(outage.lost, before, facts) if outage.lost is not None else None,
        in_vain=tuple(_in_vain(outage)),
        asked_to_wait=tuple(one for one in outage.tries if one.retry_after_ns),
        hurried=tuple(_hurried(outage, facts.noise_ns)),
    )


def _in_a_row(outage: Outage) -> Sequence[int]:
    """The delays up to the first try that opened and was half-open: who was connected begins again."""
    delays = outage.delays
    for count, one in enumerate(outage.tries[len(outage.tries) - len(delays) :], 1):
        if one.is_stillborn:
            return delays[:count]
    return delays


def _resumption(
    outage: Outage, before: Sequence[Said], after: Sequence[Said], facts: ClientFacts
) -> Resumption | None:
    lost, resumed = outage.lost, outage.resumed
    if lost is None or resumed is None:
        return None
    setup = _setup(lost, before)
    again = [one for one in after if one.direction == Direction.CLIENT_TO_SERVER]
    payloads = {one.data for one in again}
    kinds = {messages.kind_of(one.data) for one in again}
    repeated = [one for one in setup if one.data in payloads or messages.kind_of(one.data) in kinds]
    given = {
        facts.digest(text)
        for one in before
        if one.direction == Direction.SERVER_TO_CLIENT
        for text in messages.texts_of(one.data)
    }
    given -= lost.tokens
    handed_back = {
        facts.digest(text) for one in again[:_SETUP_MESSAGES] for text in messages.texts_of(one.data)
    }
    first = {facts.digest(text) for one in setup for text in messages.texts_of(one.data)}
    return Resumption(
        setup=tuple(setup),
        repeated=tuple(repeated),
        has_token=bool(given & ((handed_back - first) | (resumed.tokens - lost.tokens))),
        is_answered=any(_is_answer(one) for one in after) or (resumed.is_stream and resumed.end_ns is None),
        was_answered=any(_is_answer(one) for one in before),
    )


def _is_answer(one: Said) -> bool:
    return one.direction == Direction.SERVER_TO_CLIENT and not messages.is_heartbeat(one.data)


def _setup(one: Attempt, said: Sequence[Said]) -> list[Said]:
    """The first messages of a client, heartbeats apart."""
    until = (one.open_ns or 0) + _SETUP_NS
    own = [
        message
        for message in said
        if message.direction == Direction.CLIENT_TO_SERVER
        and message.time_ns <= until
        and not messages.is_heartbeat(message.data)
    ]
    return own[:_SETUP_MESSAGES]


def _gap(outage: Outage, direction: Direction, before: Sequence[Said], after: Sequence[Said]) -> Gap:
    own = [one for one in before if one.direction == direction and not messages.is_heartbeat(one.data)]
    again = [one for one in after if one.direction == direction]
    payloads = {one.data for one in again}
    ids = {found for one in again if (found := messages.identity_of(one.data)) is not None}
    undelivered = [one for one in own if not _is_delivered(one, outage, direction)]
    lost = [
        one for one in undelivered if one.data not in payloads and messages.identity_of(one.data) not in ids
    ]
    delivered = {
        (one.data, found)
        for one in own
        if _is_delivered(one, outage, direction) and (found := messages.id_of(one.data)) is not None
    }
    setup = {one.data for one in _setup(outage.lost, before)} if outage.lost is not None else set()
    doubled = [
        one for one in again if (one.data, messages.id_of(one.data)) in delivered and one.data not in setup
    ]
    answered = {
        messages.id_of(one.data)
        for one in before
        if one.direction != direction and _is_delivered(one, outage, one.direction)
    }
    return Gap(
        direction=direction,
        undelivered=tuple(undelivered),
        lost=tuple(lost) if outage.resumed is not None else (),
        doubled=tuple(doubled),
        needless=tuple(one for one in doubled if messages.id_of(one.data) in answered),
    )


def _is_delivered(one: Said, outage: Outage, direction: Direction) -> bool:
    if not one.is_delivered:
        return False
    lost = outage.lost
    if direction == Direction.CLIENT_TO_SERVER or lost is None or lost.close_ns is None:
        return True
    return (one.sent_ns or 0) <= lost.close_ns  # its client does not read what comes later


def _bytes_until(works_ns: int | None, after: Sequence[Said]) -> int:
    return 0 if works_ns is None else sum(one.length for one in after if one.time_ns <= works_ns)


def _heartbeat(lost: Attempt, said: Sequence[Said], facts: ClientFacts) -> int | None:
    """The usual interval between a client's pings, or between its protocol's heartbeats."""
    times = list(facts.pings(lost))
    if len(times) < 2:
        own = [one for one in said if messages.is_heartbeat(one.data)]
        times = [one.time_ns for one in own if one.direction == Direction.CLIENT_TO_SERVER]
    gaps = [b - a for a, b in pairwise(times)]
    return int(median(gaps)) if gaps else None


def _in_vain(outage: Outage) -> list[tuple[Attempt, Attempt]]:
    chain = [*([outage.lost] if outage.lost is not None else []), *outage.tries]
    return [(before, one) for before, one in pairwise(chain) if before.is_lasting]


def _hurried(outage: Outage, noise_ns: int) -> list[tuple[Attempt, int]]:
    found = []
    for before, one in pairwise(outage.tries):
        if before.retry_after_ns is None or before.end_ns is None:
            continue
        early = before.end_ns + before.retry_after_ns - one.attempt_ns
        if early > noise_ns + before.retry_after_ns // 20:
            found.append((one, early))
    return found


def _worst(tries: Sequence[Attempt]) -> Worst:
    """The most tries of any sixty seconds; of less than that, as many as there were."""
    best, first = 0, None
    start = 0
    for index, one in enumerate(tries):
        while one.attempt_ns - tries[start].attempt_ns >= _MINUTE_NS:
            start += 1
        if index - start + 1 > best:
            best, first = index - start + 1, tries[start]
    rate = float(best)
    # A storm of seconds counts, too, if there were enough tries to know its rate.
    for count in (12, 24):
        for index in range(count - 1, len(tries)):
            took = tries[index].attempt_ns - tries[index - count + 1].attempt_ns
            if 0 < took < _MINUTE_NS:
                rate = max(rate, (count - 1) * _MINUTE_NS / took)
    return Worst(tries=best, per_minute=rate, first=first)


def _overlaps(connections: Sequence[Attempt], facts: ClientFacts) -> list[tuple[Attempt, Attempt]]:
    found = []
    for index, one in enumerate(connections):
        for earlier in connections[max(0, index - 8) : index]:
            begin = one.open_ns or 0
            if not earlier.is_usable(begin) or earlier.transport != one.transport:
                continue
            ends = [at for at in (earlier.end_ns, one.end_ns, facts.horizon_ns) if at is not None]
            if min(ends) - begin > _OVERLAP_NS:
                found.append((earlier, one))
    return found


def _resets(measured: Sequence[OutageMeasures]) -> bool | None:
    """Whether a client begins with a short delay again after it was connected."""
    answers = []
    for before, after in pairwise(measured):
        if not before.outage.delays or not after.outage.delays or before.outage.resumed is None:
            continue
        first, last = before.outage.delays[0], before.outage.delays[-1]
        again = after.outage.delays[0]
        noise_ns = max(before.noise_ns, after.noise_ns)
        if last > 2.5 * first + noise_ns:
            answers.append(again <= max(2 * first, last / 2) + noise_ns)
    return None if not answers else all(answers)


def _jitter_between(measured: Sequence[OutageMeasures]) -> bool | None:
    """Whether the same try waits differently in each outage; else what the shapes say."""
    words = [one.backoff.has_jitter for one in measured if one.backoff.has_jitter is not None]
    differences = []
    for before, after in pairwise(measured):
        noise_ns = max(before.noise_ns, after.noise_ns)
        for a, b in zip(before.outage.delays, after.outage.delays, strict=False):
            if min(a, b) > 5 * noise_ns:
                differences.append(abs(a - b) / max(a, b))
    if len(differences) >= 2:
        if max(differences) <= 0.03:
            return False
        # A busy machine makes some of them late, not most.
        if median(differences) >= 0.08 and len(differences) >= 3:
            return True
    return None if not words else any(words)
