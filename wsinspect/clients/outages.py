"""Outages of a session: when a connection stopped working, when its client noticed, and what it did then.

An outage begins when a connection is lost, when a fault makes it half-open, or with a first attempt that
fails. It is over with the next connection that can be used. A client that closes its connection properly and
does not come back has left; that is no outage. Neither is a stall that ended without anybody noticing, but it
is kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Final

from wsinspect.clients import messages
from wsinspect.clients.facts import SECOND_NS, Attempt, Block, ClientFacts, Said, Stall
from wsinspect.clients.joining import Session
from wsinspect.units import format_duration
from wsinspect.vocabulary import Direction, EndedBy, How

#: Without a try for this many times the longest delay so far, and at least this long, it has given up.
_GIVEN_UP_TIMES: Final = 3
_GIVEN_UP_NS: Final = 10 * SECOND_NS
#: Attempts after one among which another connection of its client is looked for.
_AHEAD: Final = 64


class Cause(StrEnum):
    """By whom a connection was lost."""

    FAULT = "fault"
    STALL = "stall"
    SERVER = "server"
    CLIENT = "client"
    PROXY = "proxy"
    UNKNOWN = "unknown"
    START = "start"


class Ending(StrEnum):
    """How an outage ended for its client."""

    RESUMED = "resumed"
    GAVE_UP = "gave up"
    TRYING = "still trying"
    UNNOTICED = "never noticed"
    UNKNOWN = "not seen again"  # it may be one of those who came later with other credentials
    LEFT = "left"


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A time in which a client had no connection that worked.

    Attributes:
        lost: what was lost; None where the first attempt failed.
        began_ns: when it stopped working.
        noticed_ns: when its client knew: its socket ended, or it closed it, or tried again.
        over_ns: when nothing known kept the client out any more.
        tries: attempts since, the one that succeeded last.
        resumed: the connection that worked.
        works_ns: when the server's first message came on it.
        delays: before each try, from when the client could know that the one before had failed.
        silent_ns: from the last try to the end of what is known, where nothing worked again.
    """

    lost: Attempt | None
    cause: Cause
    rule: str | None
    began_ns: int
    noticed_ns: int | None
    over_ns: int
    tries: tuple[Attempt, ...] = ()
    resumed: Attempt | None = None
    works_ns: int | None = None
    delays: tuple[int, ...] = ()
    ending: Ending = Ending.TRYING
    silent_ns: int = 0

    @property
    def is_half_open(self) -> bool:
        """Whether its client had to find out by itself."""
        return self.cause == Cause.STALL

    @property
    def notice_ns(self) -> int | None:
        """How long its client took to notice."""
        return None if self.noticed_ns is None else self.noticed_ns - self.began_ns

    @property
    def reconnect_ns(self) -> int | None:
        """From when nothing kept the client out to the connection that worked."""
        if self.resumed is None or self.resumed.open_ns is None:
            return None
        return max(0, self.resumed.open_ns - self.over_ns)

    @property
    def silence_words(self) -> str:
        """`no try in the last 12 s`; empty while its last try is under way, or has just ended."""
        if self.silent_ns < SECOND_NS or (self.tries and self.tries[-1].end_ns is None):
            return ""
        return f"no try in the last {format_duration(self.silent_ns)}"

    @property
    def failures(self) -> list[Attempt]:
        """Its tries that brought nothing."""
        return [one for one in self.tries if one is not self.resumed]


def outages(session: Session, facts: ClientFacts) -> list[Outage]:
    """All outages of a session, in order."""
    found: list[Outage] = []
    attempts = list(session.attempts)
    index = 0
    while index < len(attempts):
        one = attempts[index]
        if one.is_failure or (one.open_ns is None and index + 1 < len(attempts)):
            index = _begin(found, facts, session, index, None, Cause.START, one.rule, one.attempt_ns)
            continue
        if one.open_ns is None:
            break
        stall = _noticed_stall(one, attempts[index + 1 : index + 1 + _AHEAD], facts)
        if stall is not None:
            index = _begin(found, facts, session, index + 1, one, Cause.STALL, stall.rule, stall.from_ns)
            continue
        if one.end_ns is None or not _is_lost(one, attempts[index + 1 : index + 1 + _AHEAD]):
            index += 1
            continue
        cause = _cause(one)
        if cause in (Cause.PROXY, Cause.UNKNOWN) and index + 1 == len(attempts):
            break  # the recording ended with it
        index = _begin(found, facts, session, index + 1, one, cause, one.rule, one.end_ns)
    return found


def _begin(
    found: list[Outage],
    facts: ClientFacts,
    session: Session,
    index: int,
    lost: Attempt | None,
    cause: Cause,
    rule: str | None,
    began_ns: int,
) -> int:
    """Add the outage that begins before the attempt at `index`; where the next one may begin."""
    attempts = session.attempts
    tries: list[Attempt] = []
    resumed = None
    while index < len(attempts) and resumed is None:
        one = attempts[index]
        tries.append(one)
        if one.is_open and not one.is_failure:
            resumed = one
        else:
            index += 1
    noticed = _noticed(lost, cause, began_ns, tries)
    works = None if resumed is None else works_ns(resumed, facts.said(resumed))
    over = _over(began_ns, tries, resumed, facts)
    delays = tuple(_delays(lost, tries, noticed if lost is not None else None))
    last = max([began_ns, noticed or 0, *(one.end_ns or one.attempt_ns for one in tries)])
    silent = 0 if resumed is not None else max(0, facts.horizon_ns - last)
    ending = _ending(resumed, noticed, tries, delays, silent)
    if session.may_be_back and ending in (Ending.GAVE_UP, Ending.UNNOTICED):
        ending = Ending.UNKNOWN
    found.append(
        Outage(
            lost=lost,
            cause=cause,
            rule=rule,
            began_ns=began_ns,
            noticed_ns=noticed,
            over_ns=over,
            tries=tuple(tries),
            resumed=resumed,
            works_ns=works,
            delays=delays,
            silent_ns=silent,
            ending=ending,
        )
    )
    return index


def _ending(
    resumed: Attempt | None,
    noticed: int | None,
    tries: Sequence[Attempt],
    delays: Sequence[int],
    silent_ns: int,
) -> Ending:
    if resumed is not None:
        return Ending.RESUMED
    if noticed is None:
        return Ending.UNNOTICED
    if tries and tries[-1].end_ns is None:
        return Ending.TRYING
    patience = max(_GIVEN_UP_NS, _GIVEN_UP_TIMES * max(delays, default=0))
    if silent_ns >= patience:
        return Ending.GAVE_UP
    return Ending.TRYING


def _is_lost(one: Attempt, later: Sequence[Attempt]) -> bool:
    """Whether the end of a connection is an outage: not where its client closed it and stayed away."""
    if any(other.is_usable(one.end_ns or 0) for other in later):
        return False  # it has another socket
    if one.ended_by == EndedBy.CLIENT:
        is_proper = one.client_code in (1000, 1001) or (
            one.client_code is None and one.how == How.CLOSE_FRAME
        )
        return not (is_proper or not later)
    # A server that goes away says 1001, which is an outage; one that is done says 1000, or nothing.
    is_done = one.how == How.CLOSE_FRAME and one.server_code in (None, 1000, 1005)
    return not (is_done and one.client_code in (None, 1000, 1001, 1005))


def _cause(one: Attempt) -> Cause:
    return {
        EndedBy.FAULT: Cause.FAULT,
        EndedBy.SERVER: Cause.SERVER,
        EndedBy.BOTH: Cause.SERVER,
        EndedBy.CLIENT: Cause.CLIENT,
        EndedBy.PROXY: Cause.PROXY,
    }.get(EndedBy(one.ended_by) if one.ended_by in list(EndedBy) else EndedBy.UNKNOWN, Cause.UNKNOWN)


def _noticed_stall(one: Attempt, later: Sequence[Attempt], facts: ClientFacts) -> Stall | None:
    """The stall that a connection did not survive; None where it did, or where nobody can say."""
    for stall in one.stalls:
        until = stall.until_ns if stall.until_ns is not None else one.end_ns or facts.horizon_ns
        next_try = next((other.attempt_ns for other in later if other.attempt_ns >= stall.from_ns), None)
        acted = min((at for at in (one.close_ns, next_try) if at is not None), default=None)
        if acted is not None and stall.from_ns <= acted <= until:
            return stall
        if one.end_ns is not None and stall.from_ns <= one.end_ns <= until:
            return stall
        if stall.until_ns is None and one.end_ns is None:
            return stall
    return None


def _noticed(lost: Attempt | None, cause: Cause, began_ns: int, tries: Sequence[Attempt]) -> int | None:
    next_try = tries[0].attempt_ns if tries else None
    if lost is None:
        return began_ns
    if cause != Cause.STALL:
        return began_ns
    known = [lost.close_ns, next_try]
    if lost.ended_by != EndedBy.CLIENT:
        known.append(lost.end_ns)  # the transport ended, which every client notices
    times = [at for at in known if at is not None and at >= began_ns]
    return min(times, default=None)


def _delays(lost: Attempt | None, tries: Sequence[Attempt], noticed_ns: int | None) -> list[int]:
    """Before each try: from the end of the one before it, or from its beginning where that had no end yet."""
    found = []
    since = noticed_ns
    if lost is not None and noticed_ns is not None and tries:
        # It may have waited for its closing handshake before.
        known = lost.known_over_ns(tries[0].attempt_ns)
        since = max(noticed_ns, min(known or noticed_ns, tries[0].attempt_ns))
    for one, after in zip_longest(tries, tries[1:]):
        if since is not None:
            found.append(max(0, one.attempt_ns - since))
        ended = one.known_over_ns(after.attempt_ns) if after is not None else None
        since = one.attempt_ns if ended is None else ended
    # A try that began before the one before it was over waited from that one's beginning.
    for index in range(1, len(tries)):
        before, one = tries[index - 1], tries[index]
        if before.end_ns is not None and one.attempt_ns < before.end_ns:
            place = index if noticed_ns is not None else index - 1
            found[place] = one.attempt_ns - before.attempt_ns
    return found


def _over(began_ns: int, tries: Sequence[Attempt], resumed: Attempt | None, facts: ClientFacts) -> int:
    """When nothing known kept the client out any more: faults, and refusals that it met."""
    until = resumed.attempt_ns if resumed is not None else facts.horizon_ns
    over = began_ns
    for one in tries:
        if one is not resumed and one.end_ns is not None:
            over = max(over, min(one.end_ns, until))
    for block in _overlapping(facts.blocks, began_ns, until):
        # An attempt that was held succeeds as soon as it is let go.
        opened = resumed.open_ns if resumed is not None else None
        if block.until_ns is not None and block.until_ns <= max(until, opened or 0):
            over = max(over, block.until_ns)
        elif resumed is None:
            over = max(over, until)
    return over


def _overlapping(blocks: Sequence[Block], from_ns: int, until_ns: int) -> list[Block]:
    return [
        one for one in blocks if one.from_ns <= until_ns and (one.until_ns is None or one.until_ns >= from_ns)
    ]


def works_ns(one: Attempt, said: Sequence[Said]) -> int | None:
    """When the server's first message came that is more than a greeting; None where nobody knows."""
    if one.is_stream:
        return None  # what it said is recorded when the stream ends
    for message in said:
        if message.direction == Direction.SERVER_TO_CLIENT and not messages.is_greeting(message.data):
            return message.time_ns
    return None


def unnoticed_stalls(
    session: Session, facts: ClientFacts, found: Sequence[Outage]
) -> list[tuple[Attempt, Stall]]:
    """Stalls that are over, in which their client did nothing: no end of its own, and no other try."""
    begins = [one.attempt_ns for one in session.attempts]
    known = {(one.lost.id, one.began_ns) for one in found if one.lost is not None}
    return [
        (one, stall)
        for one in session.connections
        for stall in one.stalls
        if (one.id, stall.from_ns) not in known
        and stall.until_ns is not None
        and not (one.close_ns is not None and stall.from_ns <= one.close_ns <= stall.until_ns)
        and bisect_right(begins, stall.until_ns) <= bisect_right(begins, stall.from_ns)
    ]
