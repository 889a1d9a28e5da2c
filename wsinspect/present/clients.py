"""Client sessions as lines and as JSON objects: the story of a client, what was measured, and its grade."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from wsinspect.clients.facts import Attempt, Transport
from wsinspect.clients.grading import Client, Reason
from wsinspect.clients.measures import OutageMeasures
from wsinspect.clients.outages import Cause, Ending
from wsinspect.present.cells import Line
from wsinspect.present.words import GRADE_STYLES
from wsinspect.text import counted, escape, grouped
from wsinspect.units import format_duration, format_size
from wsinspect.vocabulary.rules import rule_words

_NAME_CELLS: Final = 11
#: How many different answers of an outage, delays, and outages of a client, are printed.
_TRIES, _OUTAGES = 12, 8
#: So many tries with the same answer in a row are one thing to say.
_ALIKE: Final = 3
#: How many tries unfold.
_UNFOLDED: Final = 1000


class StoryLine(NamedTuple):
    """A line of a client's story.

    Attributes:
        connection: that it is about.
        frame: that shows it.
        more: what it sums up, line by line.
    """

    line: Line
    connection: int | None = None
    frame: int | None = None
    more: tuple[StoryLine, ...] = ()


def clients_lines(clients: Sequence[Client], *, with_quiet: bool = True) -> Iterator[Line]:
    """All clients, those that were never disturbed in a line each.

    Args:
        with_quiet: also those.
    """
    for one in clients:
        if one.measures.is_disturbed:
            yield from client_lines(one)
            yield []
        elif with_quiet:
            yield _title(one)
            yield _named("seen", f"{_attempts(one)}; nothing disturbed it")
            yield []


def client_lines(client: Client) -> Iterator[Line]:
    """One client: title, how it is known, each outage, and the grade with its reasons."""
    session = client.session
    yield _title(client)
    doubts = f": {'; '.join(session.doubts)}" if session.doubts else ""
    known = f"{', '.join(session.known_by)}; confidence {session.confidence.word}{doubts}"
    yield _named("known by", escape(known))
    yield from (one.line for one in story_of(client, _OUTAGES))
    yield from grade_lines(client)


def grade_lines(client: Client) -> Iterator[Line]:
    """The grade's reasons: what lost points first, then what earned them, then what nothing tested."""
    yield from (one.line for one in grade_of(client))


def story_of(client: Client, most: int) -> Iterator[StoryLine]:
    """What a client went through: connected, lost, noticed, tried again, and how that ended.

    Args:
        most: outages.
    """
    session, outages = client.session, client.measures.outages
    first = next(iter(session.connections), None)
    if outages and outages[0].outage.lost is None:
        pass  # it begins with the tries before the first connection
    elif first is not None:
        words = f"connected (#{first.id})" if first.id > 0 else f"connected by {first.answer}"
        yield StoryLine(_at(first.open_ns or 0, words), _number(first))
    else:
        yield StoryLine(_at(session.first.attempt_ns, "never connected"), _number(session.first))
    for outage in outages[:most]:
        yield from _outage(outage)
    if (left := len(outages) - most) > 0:
        yield StoryLine(_named("", f"and {counted(left, 'more outage')} (--json has all of them)"))
    for attempt, stall in client.measures.unnoticed[:4]:
        lasted = format_duration((stall.until_ns or stall.from_ns) - stall.from_ns)
        words = f"half-open for {lasted} by {escape(rule_words(stall.rule))} (#{attempt.id}); it sat that out"
        yield StoryLine(_at(stall.from_ns, words), _number(attempt))


def grade_of(client: Client) -> Iterator[StoryLine]:
    """The reasons of a grade, each with the first frame or connection that shows it."""
    grade = client.grade
    judged = [one for one in grade.reasons if one.points is not None]
    for one in sorted(judged, key=lambda one: (one.points or 0) - one.most):
        yield from _reason(one)
    untested = [one for one in grade.reasons if one.points is None]
    if untested:
        titles = ", ".join(one.title[:1].lower() + one.title[1:] for one in untested)
        yield StoryLine(_named("not judged", f"{titles}: nothing tested it"))


def grade_words(client: Client) -> str:
    """`grade B (60 of 75 points)`, or that there is none."""
    grade = client.grade
    if grade.letter is None:
        return "no grade: too little was tested"
    limit = f", limited: {grade.capped_by}" if grade.capped_by else ""
    return f"grade {grade.letter} ({grade.points:.0f} of {grade.tested} points{limit})"


def _title(client: Client) -> Line:
    session = client.session
    first = session.first
    tap = f"  tap {escape(first.tap)}" if first.tap else ""
    where = f"{escape(first.place + first.path)}  from {escape(first.address)}{tap}  "
    style = GRADE_STYLES.get(client.grade.letter or "", "muted")
    return [(f"Client {session.number}  ", "title"), (where, ""), (grade_words(client), style)]


def _attempts(client: Client) -> str:
    return counted(len(client.session.attempts), "attempt")


def _outage(measured: OutageMeasures) -> Iterator[StoryLine]:
    outage = measured.outage
    lost = _number(outage.lost or next(iter(outage.tries), None))
    yield StoryLine(_at(outage.began_ns, _loss_words(measured)), lost)
    if outage.is_half_open:
        beat = measured.heartbeat_ns
        heart = f"; its heartbeat comes every {format_duration(beat)}" if beat is not None else ""
        took = outage.notice_ns
        words = (
            f"noticed after {format_duration(took)}{heart}" if took is not None else f"never noticed{heart}"
        )
        yield StoryLine(_named("", words), lost)
    if outage.tries:
        delays = [format_duration(one) for one in outage.delays[:_TRIES]]
        after = f"; after {', '.join(delays)}" if delays else ""
        after += ", ..." if len(outage.delays) > _TRIES else ""
        tried = "tried" if outage.lost is None else "tried again"
        words = f"{tried}: {_answers(outage.tries)}{after}"
        more = tuple(_tries(measured)) if len(outage.tries) > 1 else ()
        yield StoryLine(_named("", words), _number(outage.tries[0]), more=more)
        if len(outage.delays) > 1:
            yield StoryLine(_named("", f"backoff {measured.backoff.words}"), _number(outage.tries[0]))
    yield from _end(measured)


def _tries(measured: OutageMeasures) -> Iterator[StoryLine]:
    """Each try by itself: when, after which delay, and what came of it."""
    tries, delays = measured.outage.tries, measured.outage.delays
    unknown = len(tries) - len(delays)
    for at, one in enumerate(tries[:_UNFOLDED]):
        after = f", {format_duration(delays[at - unknown])} after the one before" if at >= unknown else ""
        by = f" by {escape(rule_words(one.rule))}" if one.rule is not None else ""
        yield StoryLine(_at(one.attempt_ns, f"{_answer(one)}{by}{after}"), _number(one))
    if (left := len(tries) - _UNFOLDED) > 0:
        yield StoryLine(_named("", f"and {grouped(left)} more"))


def _answers(tries: Sequence[Attempt]) -> str:
    """`#3 503, #4 timeout, 23 times 503 (#5-27), #28 101`."""
    parts: list[str] = []
    for answer, group in groupby(tries, key=lambda one: one.answer):
        alike = list(group)
        if len(alike) < _ALIKE:
            parts += map(_answer, alike)
            continue
        numbers = [one.id for one in alike if one.id > 0]
        shown = f" (#{numbers[0]}-{numbers[-1]})" if len(numbers) > 1 else ""
        parts.append(f"{len(alike)} times {escape(answer)}{shown}")
    more = f" and {len(parts) - _TRIES} more" if len(parts) > _TRIES else ""
    return ", ".join(parts[:_TRIES]) + more


def _number(one: Attempt | None) -> int | None:
    """Its connection's number; long-polling has none."""
    return one.id if one is not None and one.id > 0 else None


def _answer(one: Attempt) -> str:
    number = f"#{one.id} " if one.id > 0 else ""
    return f"{number}{escape(one.answer)}"


def _loss_words(measured: OutageMeasures) -> str:
    outage = measured.outage
    lost = outage.lost
    by = f" by {escape(rule_words(outage.rule))}" if outage.rule is not None else ""
    if lost is None:
        if outage.tries and outage.tries[0].is_open:
            return f"the first connection did not last{by}"
        return f"{'never connected' if outage.resumed is None else 'not connected at first'}{by}"
    if outage.cause == Cause.STALL:
        return f"half-open{by}{_shown(lost)}"
    code = lost.server_code if lost.ended_by != "client" else lost.client_code
    how = f"close code {code}" if code is not None else str(lost.how or "no CLOSE frame")
    if lost.transport == Transport.POLLING:
        how = lost.error or "no more requests"
    who = {
        Cause.FAULT: by,
        Cause.SERVER: " by the server",
        Cause.CLIENT: " by the client itself",
        Cause.PROXY: ": the proxy was stopped",
        Cause.UNKNOWN: "",
    }.get(outage.cause, "")
    return f"lost{who}, {escape(how)}{_shown(lost)}"


def _shown(one: Attempt) -> str:
    return f" (#{one.id})" if one.id > 0 else ""


def _end(measured: OutageMeasures) -> Iterator[StoryLine]:
    outage = measured.outage
    if outage.resumed is None:
        words = str(outage.ending)
        if outage.ending in (Ending.GAVE_UP, Ending.TRYING):
            words += f": {silent}" if (silent := outage.silence_words) else ""
        last = outage.tries[-1] if outage.tries else outage.lost
        yield StoryLine(_named("", words), _number(last))
        return
    resumed = _number(outage.resumed)
    again = "" if outage.lost is None else " again"
    parts = [f"connected{again} ({_answer(outage.resumed)})"]
    if outage.reconnect_ns is not None:
        parts.append(f"{format_duration(outage.reconnect_ns)} after the outage was over")
    if outage.works_ns is not None and outage.resumed.open_ns is not None:
        took = format_duration(max(0, outage.works_ns - outage.resumed.open_ns))
        parts.append(
            f"first message of the server {took} and {format_size(measured.bytes_until_works)} later"
        )
    yield StoryLine(_at(outage.resumed.open_ns or outage.resumed.attempt_ns, ", ".join(parts)), resumed)
    found = measured.resumption
    if found is not None and found.setup:
        words = f"sent {len(found.repeated)} of its {counted(len(found.setup), 'first message')} again"
        words += " and handed back a token" if found.has_token else ""
        yield StoryLine(_named("", words), resumed, found.setup[0].id or None)
    for gap in measured.gaps:
        if gap.undelivered or gap.doubled:
            words = f"{gap.direction.arrow}: {counted(len(gap.undelivered), 'message')} not delivered"
            words += f", {len(gap.lost)} of them lost" if gap.undelivered else ""
            words += f"; {len(gap.doubled)} sent twice" if gap.doubled else ""
            frame = (gap.lost or gap.undelivered or gap.doubled)[0].id or None
            yield StoryLine(_named("", words), resumed, frame)


def _reason(one: Reason) -> Iterator[StoryLine]:
    points = f"{one.points:.0f}/{one.most}"
    where = [f"#{number}" for number in one.attempts[:6]]
    where += [f"frame {number}" for number in one.frames[:4]]
    shown = f" ({', '.join(where)})" if where else ""
    style = "" if not one.change else "warn"
    at = next(iter(one.attempts), None), next(iter(one.frames), None)
    yield StoryLine(_named(points, f"{one.title}: {escape(one.seen)}{shown}", style), *at)
    if one.change:
        yield StoryLine(_named("", f"to earn it: {one.change}"), *at)


def _named(name: str, words: str, style: str = "muted") -> Line:
    return [("  ", ""), (name, style), (" " * max(1, _NAME_CELLS - len(name)), ""), (words, "")]


def _at(time_ns: int, words: str) -> Line:
    try:
        clock = datetime.fromtimestamp(time_ns / 1e9).strftime("%H:%M:%S.%f")[:-3]
    except (OverflowError, OSError, ValueError):  # a time outside the calendar, from a damaged file
        clock = f"{time_ns} ns"
    return [("  ", ""), (clock, "muted"), ("  ", ""), (words, "")]


def client_object(client: Client) -> dict[str, Any]:
    """A client for `--json`; cookies and tokens are named, never shown."""
    session, measures = client.session, client.measures
    first = session.first
    return {
        "session": session.number,
        "tap": first.tap,
        "client": first.address,
        "url": first.place + first.path,
        "user_agent": first.user_agent or None,
        "origin": first.origin or None,
        "known_by": list(session.known_by),
        "confidence": session.confidence.word,
        "doubts": list(session.doubts),
        "runs": sorted({one.run for one in session.attempts}),
        "attempts": [_attempt_object(one) for one in session.attempts],
        "outages": [_outage_object(one) for one in measures.outages],
        "sat_out": [
            {"connection": one.id, "rule": stall.rule, "from_ns": stall.from_ns, "until_ns": stall.until_ns}
            for one, stall in measures.unnoticed
        ],
        "transport": measures.transport,
        "tries_per_minute": round(measures.worst.per_minute, 1),
        "most_tries_in_a_minute": measures.worst.tries,
        "sockets_at_once": [[a.id, b.id] for a, b in measures.overlaps],
        "backoff_resets": measures.resets,
        "jitter": measures.has_jitter,
        **client.grade.as_json(),
    }


def _attempt_object(one: Attempt) -> dict[str, Any]:
    return {
        "connection": one.id if one.id > 0 else None,
        "transport": one.transport,
        "attempt_ns": one.attempt_ns,
        "open_ns": one.open_ns,
        "end_ns": one.end_ns,
        "answer": one.answer,
        "rule": one.rule,
    }


def _outage_object(measured: OutageMeasures) -> dict[str, Any]:
    outage, backoff = measured.outage, measured.backoff
    found = measured.resumption
    return {
        "cause": outage.cause,
        "rule": outage.rule,
        "lost": outage.lost.id if outage.lost is not None else None,
        "began_ns": outage.began_ns,
        "over_ns": outage.over_ns,
        "noticed_ns": outage.noticed_ns,
        "heartbeat_ns": measured.heartbeat_ns,
        "tries": [one.id if one.id > 0 else None for one in outage.tries],
        "delays_ns": list(outage.delays),
        "backoff": {
            "shape": backoff.shape,
            "plausible": sorted(backoff.plausible),
            "jitter": backoff.has_jitter,
            "cap_ns": backoff.cap_ns,
            "first_at_once": backoff.first_at_once,
        },
        "ended": outage.ending,
        "resumed": outage.resumed.id if outage.resumed is not None else None,
        "reconnect_ns": outage.reconnect_ns,
        "works_ns": outage.works_ns,
        "bytes_until_works": measured.bytes_until_works,
        "silent_ns": outage.silent_ns,
        "sent_again": None
        if found is None
        else {
            "first_messages": [one.id for one in found.setup],
            "repeated": [one.id for one in found.repeated],
            "token": found.has_token,
        },
        "messages": {
            gap.direction.short: {
                "undelivered": [one.id for one in gap.undelivered],
                "lost": [one.id for one in gap.lost],
                "doubled": [one.id for one in gap.doubled],
            }
            for gap in measured.gaps
        },
        "tries_in_vain": [one.id for _, one in measured.in_vain],
        "too_early": [{"connection": one.id, "by_ns": early} for one, early in measured.hurried],
    }
