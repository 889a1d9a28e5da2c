"""The grade of a client, A to F: docs/grades.md is this rubric in words, and a test holds them together.

Each criterion gives a share of its points, or says that nothing tested it. The grade is the share of the
points that were tested. A client that was never disturbed, or of which too little was tested, has no grade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.clients.backoff import IMMEDIATE_NS, Shape
from wsinspect.clients.facts import SECOND_NS, Attempt, ClientFacts, Said, Transport
from wsinspect.clients.joining import Session
from wsinspect.clients.measures import OutageMeasures, SessionMeasures, measure
from wsinspect.clients.outages import Cause, Ending, Outage
from wsinspect.text import counted
from wsinspect.units import format_duration
from wsinspect.vocabulary import Direction

#: The least share of the tested points for each grade.
GRADES: Final = (("A", 0.9), ("B", 0.75), ("C", 0.6), ("D", 0.45), ("E", 0.3), ("F", 0.0))
LETTERS: Final = "ABCDEF"
#: With fewer tested points there is no grade.
LEAST_TESTED: Final = 30
#: More tries a minute than this are a storm.
STORM_PER_MINUTE: Final = 60
#: A half-open connection not noticed within this time counts as unnoticed.
NOTICE_GOOD_NS: Final = 60 * SECOND_NS
NOTICE_LATE_NS: Final = 300 * SECOND_NS
#: A longer delay keeps users waiting after the server is back.
LONGEST_GOOD_NS: Final = 60 * SECOND_NS
#: With a fixed delay this long, backing off matters little.
_FIXED_GOOD_NS: Final = 10 * SECOND_NS
_SLOW_NS: Final = 30 * SECOND_NS


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One criterion as it was judged.

    Attributes:
        points: earned; None where nothing tested it.
        most: points to earn.
        seen: what was seen, with numbers.
        attempts: the connections that show it.
        frames: the frames that show it.
        change: what would earn the points; empty where all are earned.
    """

    key: str
    title: str
    points: float | None
    most: int
    seen: str
    attempts: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    change: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether anything tested it."""
        return self.points is not None

    def as_json(self) -> dict[str, Any]:
        """All fields by their names."""
        return {
            "key": self.key,
            "title": self.title,
            "points": self.points,
            "most": self.most,
            "seen": self.seen,
            "connections": list(self.attempts),
            "frames": list(self.frames),
            "change": self.change or None,
        }


@dataclass(frozen=True, kw_only=True)
class Grade:
    """A client's grade.

    Attributes:
        letter: None where too little was tested.
        capped_by: why it is worse than its points.
    """

    letter: str | None
    points: float
    tested: int
    reasons: tuple[Reason, ...]
    capped_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """`grade`, points, and each reason."""
        return {
            "grade": self.letter,
            "points": round(self.points, 1),
            "tested": self.tested,
            "capped_by": self.capped_by or None,
            "reasons": [one.as_json() for one in self.reasons],
        }


@dataclass(frozen=True)
class Criterion:
    """A line of the rubric.

    Attributes:
        judge: share of the points (None: not tested), what was seen, connections and frames that show it.
    """

    key: str
    title: str
    most: int
    change: str
    judge: Callable[[SessionMeasures], Verdict]


@dataclass(frozen=True)
class Verdict:
    """What the judge of a criterion found."""

    share: float | None
    seen: str
    attempts: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Client:
    """A session with all that is said of it."""

    session: Session
    measures: SessionMeasures
    grade: Grade


def judge(session: Session, facts: ClientFacts) -> Client:
    """Measure and grade a session."""
    measures = measure(session, facts)
    return Client(session=session, measures=measures, grade=grade(measures))


def grade(measures: SessionMeasures) -> Grade:
    """The grade of a session."""
    reasons = tuple(_reason(one, measures) for one in RUBRIC)
    judged = [one for one in reasons if one.points is not None]
    tested = sum(one.most for one in judged)
    points = sum(one.points or 0.0 for one in judged)
    if not measures.is_disturbed or (tested < LEAST_TESTED and not _has_given_up(measures)):
        return Grade(letter=None, points=points, tested=tested, reasons=reasons)
    letter = next(letter for letter, least in GRADES if points / tested >= least)
    worst, why = _limit(measures, reasons)
    if worst and LETTERS.index(worst) > LETTERS.index(letter):
        return Grade(letter=worst, points=points, tested=tested, reasons=reasons, capped_by=why)
    return Grade(letter=letter, points=points, tested=tested, reasons=reasons)


def _limit(measures: SessionMeasures, reasons: tuple[Reason, ...]) -> tuple[str, str]:
    """What no other points make up for."""
    by_key = {one.key: one for one in reasons}
    if by_key["returns"].points == 0:
        return "E", "it does not come back"
    if by_key["pause"].points == 0 and _storms(measures):
        return "D", "it storms"
    if by_key["notices"].points == 0:
        return "C", "it does not notice a half-open connection"
    return "", ""


def _has_given_up(measures: SessionMeasures) -> bool:
    """Whether it tried again and then stopped for no good reason: that is enough to judge it by."""
    return any(
        one.outage.ending == Ending.GAVE_UP and one.outage.tries and not _is_wise(one.outage)
        for one in measures.outages
    )


def _storms(measures: SessionMeasures) -> bool:
    return measures.worst.per_minute > STORM_PER_MINUTE


def _reason(one: Criterion, measures: SessionMeasures) -> Reason:
    verdict = one.judge(measures)
    is_full = verdict.share is None or verdict.share >= 1
    return Reason(
        key=one.key,
        title=one.title,
        points=None if verdict.share is None else one.most * verdict.share,
        most=one.most,
        seen=verdict.seen,
        attempts=verdict.attempts[:20],
        frames=verdict.frames[:20],
        change="" if is_full else one.change,
    )


def _ids(attempts: Iterator[Attempt] | list[Attempt]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(one.id for one in attempts if one.id > 0))


def _untested(why: str) -> Verdict:
    return Verdict(None, why)


def _returns(measures: SessionMeasures) -> Verdict:
    met = [one.outage for one in measures.outages if one.outage.ending != Ending.LEFT]
    judged = [one for one in met if one.ending in (Ending.RESUMED, Ending.GAVE_UP)]
    if not judged:
        if any(one.ending == Ending.TRYING for one in met):
            return _untested("still trying at the end of the recording")
        if any(one.ending == Ending.UNKNOWN for one in met):
            return _untested("it may be one of the clients that came later; --session-by tells them apart")
        return _untested("it was never disconnected")
    back = [one for one in judged if one.ending == Ending.RESUMED]
    gone = [one for one in judged if one.ending == Ending.GAVE_UP]
    bad = [one for one in gone if not _is_wise(one)]
    if not back and not bad:
        return _untested("it stopped after an answer that another try does not change")
    if bad:
        last = bad[-1]
        seen = f"{last.silence_words or last.ending}, after {_tries(len(last.tries))}"
        return Verdict(0.0, seen, _ids([one for one in (last.lost, *last.tries) if one is not None]))
    return Verdict(
        1.0,
        f"connected again after {counted(len(back), 'outage')}",
        _ids([one.resumed for one in back if one.resumed is not None]),
    )


def _is_wise(outage: Outage) -> bool:
    """Whether it gave up after an answer that another try does not change."""
    last = outage.tries[-1] if outage.tries else outage.lost
    return last is not None and last.is_lasting


def _tries(count: int, adjective: str = "") -> str:
    return f"{count} {adjective}{'try' if count == 1 else 'tries'}"


def _pause(measures: SessionMeasures) -> Verdict:
    """Whether tries after the first are apart; a first one at once is fine."""
    later = [
        (delay, one)
        for each in measures.outages
        for delay, one in zip(
            each.outage.delays[1:], each.outage.tries[-len(each.outage.delays) :][1:], strict=False
        )
    ]
    if not later:
        return _untested("no try had to be repeated")
    hasty = [one for delay, one in later if delay <= IMMEDIATE_NS]
    rate = measures.worst.per_minute
    if rate > STORM_PER_MINUTE:
        first = measures.worst.first
        return Verdict(
            0.0, f"{rate:.0f} tries a minute at worst", _ids([*hasty, *([first] if first else [])])
        )
    if hasty:
        return Verdict(
            1 - len(hasty) / len(later), f"{len(hasty)} of {_tries(len(later))} came at once", _ids(hasty)
        )
    return Verdict(1.0, f"{_tries(measures.worst.tries)} a minute at worst, none at once")


def _backs_off(measures: SessionMeasures) -> Verdict:
    series = [one for one in measures.outages if one.backoff.shape != Shape.NONE and one.backoff.delays >= 3]
    if not series:
        return _untested("fewer than three tries in a row")
    shown = max(series, key=lambda one: one.backoff.delays)
    backoff = shown.backoff
    delays = ", ".join(format_duration(one) for one in shown.outage.delays[:8])
    seen = f"{backoff.words}: {delays}"
    tries = _ids(list(shown.outage.tries))
    if backoff.shape in (Shape.LINEAR, Shape.EXPONENTIAL, Shape.GROWING):
        return Verdict(1.0, seen, tries)
    if backoff.shape == Shape.IMMEDIATE:
        return Verdict(0.0, seen, tries)
    if backoff.shape == Shape.FIXED:
        shares = 0.7 if backoff.longest_ns >= _FIXED_GOOD_NS else 0.3
        return Verdict(shares, seen, tries)
    return Verdict(None, f"no clear shape: {delays}", tries)


def _jitter(measures: SessionMeasures) -> Verdict:
    series = [one for one in measures.outages if one.backoff.delays >= 3]
    if series and all(one.backoff.shape == Shape.IMMEDIATE for one in series):
        return Verdict(0.0, "no delay, so all clients come at the same moment")
    if measures.has_jitter is None:
        return _untested("too few delays to tell")
    words = "delays vary" if measures.has_jitter else "delays are equal to within a few milliseconds"
    return Verdict(1.0 if measures.has_jitter else 0.0, words)


def _cap(measures: SessionMeasures) -> Verdict:
    delays = [(delay, one) for each in measures.outages for delay, one in _delays_of(each)]
    if len(delays) < 3:
        return _untested("fewer than three delays")
    longest, one = max(delays, key=lambda pair: pair[0])
    seen = f"the longest delay was {format_duration(longest)}"
    if longest > LONGEST_GOOD_NS:
        return Verdict(0.5 if longest <= 5 * LONGEST_GOOD_NS else 0.0, seen, _ids([one]))
    if measures.resets is False:
        return Verdict(0.5, f"{seen}; a success does not reset it", _ids([one]))
    return Verdict(1.0, seen, _ids([one]))


def _delays_of(each: OutageMeasures) -> Iterator[tuple[int, Attempt]]:
    delays = each.outage.delays
    return zip(delays, each.outage.tries[-len(delays) :] if delays else (), strict=False)


def _notices(measures: SessionMeasures) -> Verdict:
    stalled = [one for one in measures.outages if one.outage.cause == Cause.STALL]
    shares: list[tuple[float, str, Attempt]] = []
    for one in stalled:
        lost, took = one.outage.lost, one.outage.notice_ns
        if lost is None or one.outage.ending == Ending.UNKNOWN:
            continue
        is_own = took is not None and _noticed_itself(one)
        if is_own and took is not None:
            share = 1.0 if took <= NOTICE_GOOD_NS else 0.5 if took <= NOTICE_LATE_NS else 0.0
            shares.append((share, f"noticed after {format_duration(took)}", lost))
        else:
            end = lost.end_ns if lost.end_ns is not None else one.outage.began_ns + one.outage.silent_ns
            sat_out = max(0, end - one.outage.began_ns)
            if (missed := _missed(sat_out, one.heartbeat_ns)) is not None:
                shares.append((0.0, missed, lost))
    for lost, stall in measures.unnoticed:
        sat_out = (stall.until_ns or stall.from_ns) - stall.from_ns
        if (missed := _missed(sat_out, None)) is not None:
            shares.append((0.0, missed, lost))
    if not shares:
        why = "no connection was half-open for long enough" if stalled or measures.unnoticed else ""
        return _untested(why or "no connection was half-open")
    share, seen, lost = min(shares, key=lambda one: one[0])
    return Verdict(share, seen, _ids([lost]))


def _noticed_itself(one: OutageMeasures) -> bool:
    """Whether its client acted before the transport ended."""
    outage = one.outage
    lost = outage.lost
    if lost is None or outage.noticed_ns is None:
        return False
    if lost.close_ns is not None and lost.close_ns == outage.noticed_ns:
        return True
    return bool(outage.tries) and outage.tries[0].attempt_ns == outage.noticed_ns


def _missed(sat_out_ns: int, heartbeat_ns: int | None) -> str | None:
    """Why a stall that was sat out was long enough to be noticed; None where it was not."""
    sat = format_duration(sat_out_ns)
    if heartbeat_ns is not None and sat_out_ns > 4 * heartbeat_ns + SECOND_NS:
        beat = format_duration(heartbeat_ns)
        return f"not noticed in {sat}, although its heartbeat comes every {beat}"
    return f"not noticed in {sat}" if sat_out_ns >= NOTICE_GOOD_NS else None


def _in_vain(measures: SessionMeasures) -> Verdict:
    answers = [
        one
        for each in measures.outages
        for one in (each.outage.lost, *each.outage.tries)
        if one is not None and one.is_lasting
    ]
    if not answers:
        return _untested("no answer was one that another try does not change")
    quick = [
        one
        for each in measures.outages
        for before, one in each.in_vain
        if one.attempt_ns - (before.end_ns or before.attempt_ns) < _SLOW_NS
    ]
    said = ", ".join(dict.fromkeys(one.answer for one in answers))
    if len(quick) <= 1:
        return Verdict(1.0, f"after {said}: {_tries(len(quick), 'quick ')}")
    share = 0.5 if len(quick) == 2 else 0.0
    return Verdict(share, f"{len(quick)} quick tries after {said}", _ids(quick))


def _retry_after(measures: SessionMeasures) -> Verdict:
    asked = [one for each in measures.outages for one in each.asked_to_wait]
    followed = [
        one
        for each in measures.outages
        for one, after in zip(each.outage.tries, each.outage.tries[1:], strict=False)
        if one.retry_after_ns and after is not None
    ]
    if not asked:
        return _untested("no answer had Retry-After")
    if not followed:
        return _untested("no try came after an answer with Retry-After")
    hurried = [(one, early) for each in measures.outages for one, early in each.hurried]
    if not hurried:
        return Verdict(1.0, f"waited as asked, {counted(len(followed), 'time')}", _ids(followed))
    worst = max(early for _, early in hurried)
    seen = f"{len(hurried)} of {_tries(len(followed))} came too early, by up to {format_duration(worst)}"
    return Verdict(1 - len(hurried) / len(followed), seen, _ids([one for one, _ in hurried]))


def _one_socket(measures: SessionMeasures) -> Verdict:
    if not any(one.outage.resumed for one in measures.outages):
        return _untested("it was not connected again")
    if not measures.overlaps:
        return Verdict(1.0, "never two sockets at once")
    pairs = measures.overlaps
    shown = ", ".join(f"#{a.id} and #{b.id}" for a, b in pairs[:4])
    return Verdict(0.0, f"open at once: {shown}", _ids([one for pair in pairs for one in pair]))


def _resumes(measures: SessionMeasures) -> Verdict:
    judged: list[tuple[float, str, Attempt, tuple[int, ...]]] = []
    for one in measures.outages:
        found = one.resumption
        if found is None or one.outage.resumed is None or not (found.setup or found.has_token):
            continue
        frames = _frames(found.repeated or found.setup)
        if found.has_token:
            judged.append((1.0, "handed back what the server had given it", one.outage.resumed, frames))
        elif found.setup and len(found.repeated) == len(found.setup):
            count = counted(len(found.setup), "first message")
            judged.append((1.0, f"repeated its {count}", one.outage.resumed, frames))
        elif found.was_answered and not found.is_answered:
            seen = f"repeated {len(found.repeated)} of its {counted(len(found.setup), 'first message')}"
            judged.append((0.0, f"{seen}, and the server has been silent since", one.outage.resumed, frames))
        elif found.repeated:
            seen = f"repeated {len(found.repeated)} of its {counted(len(found.setup), 'first message')}"
            judged.append((1.0, seen, one.outage.resumed, frames))
    if not judged:
        return _untested("nothing showed whether it resumed what it had set up")
    share, seen, at, frames = min(judged, key=lambda one: one[0])
    return Verdict(share, seen, _ids([at]), frames)


def _frames(said: tuple[Said, ...]) -> tuple[int, ...]:
    return tuple(one.id for one in said if one.id)


def _keeps_messages(measures: SessionMeasures) -> Verdict:
    gaps = [
        gap
        for one in measures.outages
        if one.outage.resumed is not None
        for gap in one.gaps
        if gap.direction == Direction.CLIENT_TO_SERVER
    ]
    undelivered = [one for gap in gaps for one in gap.undelivered]
    lost = [one for gap in gaps for one in gap.lost]
    doubled = [one for gap in gaps for one in gap.doubled]
    needless = [one for gap in gaps for one in gap.needless]
    if doubled and not undelivered and not needless:
        seen = f"{counted(len(doubled), 'message')} sent again that no answer had acknowledged"
        return Verdict(None, seen, frames=_frames(tuple(doubled)))
    if not undelivered and not doubled:
        return _untested("none of its messages was in the way of an outage")
    if lost:
        seen = f"{len(lost)} of {counted(len(undelivered), 'undelivered message')} never sent again"
        return Verdict(0.0, seen, frames=_frames(tuple(lost)))
    if needless:
        count = counted(len(needless), "message")
        return Verdict(0.5, f"{count} sent again that had been acknowledged", frames=_frames(tuple(needless)))
    return Verdict(
        1.0,
        f"{counted(len(undelivered), 'undelivered message')} sent again",
        frames=_frames(tuple(undelivered)),
    )


def _transport(measures: SessionMeasures) -> Verdict:
    is_back = [one for one in measures.outages if one.outage.resumed is not None]
    has_polled = any(one.transport == Transport.POLLING for one in measures.session.attempts)
    if not is_back or not measures.had_websocket or not (has_polled or _can_poll(measures)):
        return _untested("it had no other transport to fall back to")
    if measures.transport == Transport.POLLING:
        return Verdict(0.0, "it stays on long-polling", _ids([measures.session.attempts[-1]]))
    return Verdict(1.0, "it is back on WebSocket", _ids([measures.session.attempts[-1]]))


def _can_poll(measures: SessionMeasures) -> bool:
    return any(one.sid is not None for one in measures.session.attempts)


RUBRIC: Final = (
    Criterion("returns", "Comes back after an outage", 25, "keep trying until connected", _returns),
    Criterion(
        "pause",
        "Waits between tries",
        15,
        "wait at least some hundred milliseconds before every try after the first",
        _pause,
    ),
    Criterion(
        "backoff",
        "Backs off",
        15,
        "let the delay grow with each failure: 1 s, 2 s, 4 s, and so on",
        _backs_off,
    ),
    Criterion(
        "jitter",
        "Jitter",
        10,
        "multiply each delay by a random number, such as 0.5 to 1.5: clients that lost their"
        " connections together must not come back together",
        _jitter,
    ),
    Criterion(
        "cap",
        "Never waits too long",
        5,
        "cap the delay at a minute or less, and begin with the first delay again after a success",
        _cap,
    ),
    Criterion(
        "notices",
        "Notices a half-open connection",
        15,
        "send a heartbeat, and close the connection when its answer does not come in time",
        _notices,
    ),
    Criterion(
        "final",
        "Stops where another try does not help",
        10,
        "after 401, 403, 404, 1008 or a code such as 4401, stop until credentials or settings have changed",
        _in_vain,
    ),
    Criterion(
        "retry-after",
        "Obeys Retry-After",
        10,
        "wait as long as Retry-After says; code in a page cannot read it, so the server should also"
        " accept the connection and close it with a code",
        _retry_after,
    ),
    Criterion(
        "one-socket",
        "One socket at a time",
        10,
        "close the old socket and its timers before opening another one, and try again from one place only",
        _one_socket,
    ),
    Criterion(
        "resumes",
        "Resumes what it had set up",
        10,
        "after each reconnect, send subscriptions and logins again, or the token that resumes the session",
        _resumes,
    ),
    Criterion(
        "messages",
        "Neither loses nor doubles messages",
        10,
        "keep messages until they are acknowledged, and give each an id by which the server drops doubles",
        _keeps_messages,
    ),
    Criterion(
        "transport",
        "Back on WebSocket",
        10,
        "try WebSocket again after a fallback to long-polling",
        _transport,
    ),
)
