"""Expectations judged by sessions, findings and matching messages.

An expectation holds, or fails, or nothing tested it; what nothing tested does not hold. Each is judged for
each client, but for `no_findings`, which is about the whole capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from wsinspect.clients.backoff import Shape
from wsinspect.clients.expectations import Evidence, Expectation, Match, Result
from wsinspect.clients.facts import Attempt, ClientFacts, Transport
from wsinspect.clients.grading import LETTERS, Client
from wsinspect.clients.messages import identity_of
from wsinspect.clients.outages import Cause, Ending, Outage
from wsinspect.findings.model import SEVERITIES
from wsinspect.text import counted
from wsinspect.units import format_duration
from wsinspect.vocabulary import Direction

_GROWING: Final = frozenset({Shape.LINEAR, Shape.EXPONENTIAL, Shape.GROWING})
_Judged = tuple[bool | None, str, Sequence[Attempt], Sequence[int]]
_Judge = Callable[[Expectation, Client, Evidence], _Judged]
_NO_OUTAGE: Final[_Judged] = (None, "it was never disconnected", (), ())
_MAY_BE_BACK: Final = "it may be one of the clients that came later; --session-by tells them apart"
_POLLED: Final = "filters see no messages of long-polling"


def evaluate(expectations: Sequence[Expectation], evidence: Evidence) -> list[Result]:
    """Each expectation for each client, in their order."""
    results: list[Result] = []
    for one in expectations:
        if one.key == "no_findings":
            results.append(_no_findings(one, evidence))
            continue
        for client in evidence.clients:
            held, seen, attempts, frames = _JUDGES[one.key](one, client, evidence)
            results.append(
                Result(
                    expectation=one,
                    session=client.session.number,
                    held=held,
                    seen=seen,
                    connections=tuple(dict.fromkeys(at.id for at in attempts if at.id > 0))[:20],
                    frames=tuple(frames)[:20],
                )
            )
    return results


def _undisturbed(client: Client) -> _Judged:
    """Of a client without an outage: nothing tested it, or it sat out what did."""
    if not client.measures.unnoticed:
        return _NO_OUTAGE
    seen = "its connection survived, and it tried nothing meanwhile"
    return True, seen, [at for at, _ in client.measures.unnoticed], ()


def _outages(client: Client) -> list[Outage]:
    return [one.outage for one in client.measures.outages]


def _involved(outage: Outage) -> list[Attempt]:
    return [*([outage.lost] if outage.lost is not None else []), *outage.tries]


def _reconnects(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    found = _outages(client)
    if not found:
        return _NO_OUTAGE
    limit = one.value + evidence.facts.noise_ns
    worst = 0
    pending = None
    for outage in found:
        took = outage.reconnect_ns
        if took is not None:
            if took > limit:
                seen = f"connected again {format_duration(took)} after the outage was over"
                return False, seen, _involved(outage), ()
            worst = max(worst, took)
        elif outage.ending == Ending.UNKNOWN:
            return None, _MAY_BE_BACK, _involved(outage), ()
        elif evidence.facts.horizon_ns - outage.over_ns > limit:
            waited = format_duration(evidence.facts.horizon_ns - outage.over_ns)
            return False, f"not connected {waited} after the outage was over", _involved(outage), ()
        else:
            pending = outage
    if pending is not None:
        return None, "the recording ended before that time was over", _involved(pending), ()
    last = found[-1].resumed
    seen = f"connected again at most {format_duration(worst)} after the outage was over"
    return True, seen, [last] if last is not None else [], ()


def _attempts(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    if one.phase is not None:
        begin, end = _span(one.phase, evidence.facts)
        if begin is None:
            return None, f"phase {one.phase} was not reached", (), ()
        tries = [at for at in client.session.attempts if begin <= at.attempt_ns < (end or at.attempt_ns + 1)]
        where = f"in phase {one.phase}"
    else:
        series = [outage.tries for outage in _outages(client)]
        if not series:
            return _undisturbed(client)
        tries = max((list(one) for one in series), key=len)
        where = "in an outage"
    return len(tries) <= one.value, f"{counted(len(tries), 'attempt')} {where}", tries, ()


def _span(phase: int, facts: ClientFacts) -> tuple[int | None, int | None]:
    """When a phase (from 1) began and ended."""
    begin = next((at for at, number in facts.phases if number == phase - 1), None)
    end = next((at for at, number in facts.phases if begin is not None and at > begin), facts.phases_end_ns)
    # The attempt that begins the phases came a moment before the first of them.
    return (0 if phase == 1 and begin is not None else begin), end


def _gap(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    gaps = [
        (delay, at)
        for outage in _outages(client)
        for delay, at in zip(outage.delays[1:], outage.tries[-len(outage.delays) :][1:], strict=False)
    ]
    if not gaps:
        return None, "no try was repeated", (), ()
    least, at = min(gaps, key=lambda pair: pair[0])
    held = least + evidence.facts.noise_ns // 4 >= one.value
    return held, f"{format_duration(least)} between two tries at least", [at], ()


def _transport(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    last = client.session.attempts[-1]
    using = client.measures.transport
    if using is None or (last.end_ns is not None and last.ended_by not in ("client", "proxy", None)):
        return False, f"not connected at the end: {last.answer}", [last], ()
    return using == Transport(one.value), f"{using} at the end", [last], ()


def _notices(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    stalled = [outage for outage in _outages(client) if outage.cause == Cause.STALL]
    limit = one.value + evidence.facts.noise_ns
    best: _Judged = (None, "no connection was half-open for that long", (), ())
    for outage in stalled:
        lost = outage.lost
        took = outage.notice_ns
        if took is None and outage.ending == Ending.UNKNOWN:
            return None, _MAY_BE_BACK, _involved(outage), ()
        if took is None:
            waited = evidence.facts.horizon_ns - outage.began_ns
            if waited > limit:
                return False, f"not noticed in {format_duration(waited)}", _involved(outage), ()
            continue
        has_acted = (
            lost is None
            or lost.close_ns == outage.noticed_ns
            or bool(outage.tries and outage.tries[0].attempt_ns == outage.noticed_ns)
        )
        if took > limit:
            what = "noticed after" if has_acted else "not noticed in"
            return False, f"{what} {format_duration(took)}", _involved(outage), ()
        if has_acted:
            best = (True, f"noticed after {format_duration(took)}", _involved(outage), ())
    for lost, stall in client.measures.unnoticed:
        waited = (stall.until_ns or stall.from_ns) - stall.from_ns
        if waited > limit:
            return False, f"not noticed in {format_duration(waited)}", [lost], ()
    return best


def _never_gives_up(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    found = _outages(client)
    if not found:
        return _undisturbed(client)
    for outage in found:
        if outage.ending in (Ending.GAVE_UP, Ending.UNNOTICED):
            silent = outage.silence_words
            return False, f"{outage.ending}{f': {silent}' if silent else ''}", _involved(outage), ()
        if outage.ending == Ending.UNKNOWN:
            return None, _MAY_BE_BACK, _involved(outage), ()
    return True, f"connected again, or still trying, after {counted(len(found), 'outage')}", (), ()


def _gives_up(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    found = _outages(client)
    if not found:
        return _NO_OUTAGE
    limit = one.value + evidence.facts.noise_ns
    for outage in found:
        late = [at for at in outage.tries if at.attempt_ns > outage.began_ns + limit]
        if late:
            return (
                False,
                f"still trying {format_duration(late[-1].attempt_ns - outage.began_ns)} later",
                late,
                (),
            )
    last = found[-1]
    if last.resumed is not None:
        return None, "it was connected again before", _involved(last), ()
    if last.ending == Ending.UNKNOWN:
        return None, _MAY_BE_BACK, _involved(last), ()
    if evidence.facts.horizon_ns - last.began_ns <= limit:
        return None, "the recording ended before that time was over", _involved(last), ()
    return True, last.silence_words or "no try began later", _involved(last), ()


def _per_minute(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    worst = client.measures.worst
    if not client.measures.outages:
        return _undisturbed(client)
    shown_at = [worst.first] if worst.first is not None else []
    tries = "1 try" if worst.tries == 1 else f"{worst.tries} tries"
    return worst.tries <= one.value, f"{tries} in the worst minute", shown_at, ()


def _backoff(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    series = [each for each in client.measures.outages if each.backoff.delays >= 3]
    if not series:
        most = max((each.backoff.delays for each in client.measures.outages), default=0)
        return None, f"{counted(most, 'delay')} in a row; a longer outage shows the shape", (), ()
    each = max(series, key=lambda each: each.backoff.delays)
    backoff = each.backoff
    seen = f"{backoff.words}: {', '.join(format_duration(delay) for delay in each.outage.delays[:8])}"
    wanted = Shape(one.value)
    tries = list(each.outage.tries)
    if backoff.shape == wanted or (wanted == Shape.GROWING and backoff.shape in _GROWING):
        return True, seen, tries, ()
    if wanted in backoff.plausible or (wanted == Shape.GROWING and backoff.plausible & _GROWING):
        # Growing, with jitter: indistinguishable from the shape that is wanted.
        held = True if backoff.shape == Shape.GROWING else None
        return held, seen, tries, ()
    return False, seen, tries, ()


def _jitter(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    found = client.measures.has_jitter
    if any(each.backoff.shape == Shape.IMMEDIATE for each in client.measures.outages):
        found = False
    if found is None:
        return None, "too few delays to tell", (), ()
    return found is one.value, "delays vary" if found else "delays do not vary", (), ()


def _retry_after(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    reason = next(each for each in client.grade.reasons if each.key == "retry-after")
    hurried = [at for each in client.measures.outages for at, _ in each.hurried]
    if reason.points is None:
        return None, reason.seen, (), ()
    return not hurried, reason.seen, hurried, ()


def _no_retry(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    attempts = client.session.attempts
    answered = [at for at in attempts if (at.status if at.open_ns is None else at.server_code) in one.value]
    if not answered:
        return None, "no such answer", (), ()
    after = [at for at in attempts if at.attempt_ns > (answered[0].end_ns or answered[0].attempt_ns)]
    if after:
        return (
            False,
            f"{counted(len(after), 'more attempt')} after {answered[0].answer}",
            [answered[0], *after],
            (),
        )
    return True, f"no attempt after {answered[0].answer}", answered, ()


def _no_second_socket(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    pairs = client.measures.overlaps
    if pairs:
        shown_pairs = ", ".join(f"#{a.id} and #{b.id}" for a, b in pairs[:4])
        return False, f"open at once: {shown_pairs}", [at for pair in pairs for at in pair], ()
    if len(client.session.connections) < 2:
        held = True if client.measures.unnoticed else None
        return held, "it was connected only once", (), ()
    return True, "never two sockets at once", (), ()


def _mine(one: Expectation, client: Client, evidence: Evidence) -> Iterator[Match]:
    """What this client's connections have of the filter, in the phase where one is named."""
    ids = {at.id for at in client.session.attempts}
    begin, end = (None, None) if one.phase is None else _span(one.phase, evidence.facts)
    for match in evidence.matches(one.value):
        if match.connection not in ids:
            continue
        if one.phase is not None and (
            begin is None or not begin <= match.time_ns < (end or match.time_ns + 1)
        ):
            continue
        yield match


def _resumes(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    resumed = [outage.resumed for outage in _outages(client) if outage.resumed is not None]
    if not resumed:
        return None, "it was not connected again", (), ()
    sent = [each for each in _mine(one, client, evidence) if each.direction == Direction.CLIENT_TO_SERVER]
    without = [at for at in resumed if not any(each.connection == at.id for each in sent)]
    if without and all(at.transport == Transport.POLLING for at in without):
        return None, f"it came back by {without[0].answer}: {_POLLED}", (), ()
    if without:
        return False, f"nothing of that kind on #{without[0].id}", without, ()
    frames = [each.id for each in sent if any(at.id == each.connection for at in resumed)]
    return True, f"sent after {counted(len(resumed), 'reconnect')}", resumed, frames


def _none_lost(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    found = list(_mine(one, client, evidence))
    if not found:
        return None, "no such message was sent", (), ()
    delivered = {(each.direction, each.data) for each in found if each.is_delivered}
    ids = {(each.direction, name) for each in found if each.is_delivered and (name := identity_of(each.data))}
    lost = [
        each
        for each in found
        if not each.is_delivered
        and (each.direction, each.data) not in delivered
        and (each.direction, identity_of(each.data)) not in ids
    ]
    if lost:
        return (
            False,
            f"{len(lost)} of {counted(len(found), 'message')} never delivered",
            (),
            [e.id for e in lost],
        )
    return True, f"{counted(len(found), 'message')}, all delivered", (), ()


def _none_doubled(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    found = [each for each in _mine(one, client, evidence) if each.is_delivered]
    if not found:
        return None, "no such message was delivered", (), ()
    seen: dict[tuple[Direction, bytes], Match] = {}
    doubled = []
    for each in found:
        key = each.direction, each.data
        if key in seen:
            doubled += [seen[key].id, each.id]
        else:
            seen[key] = each
    if doubled:
        return (
            False,
            f"{counted(len(doubled) // 2, 'message')} delivered again",
            (),
            list(dict.fromkeys(doubled)),
        )
    return True, f"{counted(len(found), 'message')}, each once", (), ()


def _never_sends(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    sent = [each for each in _mine(one, client, evidence) if each.direction == Direction.CLIENT_TO_SERVER]
    if not sent and _has_polled(client):
        return None, f"not sent by WebSocket: {_POLLED}", (), ()
    return not sent, f"sent {counted(len(sent), 'time')}", (), [each.id for each in sent]


def _has_polled(client: Client) -> bool:
    return any(at.transport == Transport.POLLING for at in client.session.connections)


def _sends(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    sent = [each for each in _mine(one, client, evidence) if each.direction == Direction.CLIENT_TO_SERVER]
    counts = one.counts or {"at_least": 1}
    held = (
        counts.get("times", len(sent)) == len(sent)
        and len(sent) >= counts.get("at_least", 0)
        and len(sent) <= counts.get("at_most", len(sent))
    )
    if _has_polled(client) and len(sent) <= counts.get("at_most", counts.get("times", len(sent))):
        return None, f"sent {counted(len(sent), 'time')} by WebSocket: {_POLLED}", (), ()
    return held, f"sent {counted(len(sent), 'time')}", (), [each.id for each in sent]


def _grade(one: Expectation, client: Client, evidence: Evidence) -> _Judged:
    grade = client.grade
    if grade.letter is None:
        lost = [each for each in grade.reasons if each.change]
        why = f": {'; '.join(f'{each.title}: {each.seen}' for each in lost[:4])}" if lost else ""
        return None, f"no grade: too little was tested{why}", (), ()
    lost = [each for each in grade.reasons if each.change]
    why = f": {'; '.join(f'{each.title}: {each.seen}' for each in lost[:4])}" if lost else ""
    held = LETTERS.index(grade.letter) <= LETTERS.index(one.value)
    limit = f", {grade.capped_by}" if grade.capped_by else ""
    return held, f"grade {grade.letter} ({grade.points:.0f} of {grade.tested} points{limit}){why}", (), ()


def _no_findings(one: Expectation, evidence: Evidence) -> Result:
    worst = list(SEVERITIES)[: list(SEVERITIES).index(one.value) + 1]
    found = [each for each in evidence.findings if each.severity in worst and each.fault_of != "tool"]
    seen = ", ".join(dict.fromkeys(f"{each.id} {each.title}" for each in found[:4])) or "none"
    return Result(
        expectation=one,
        session=None,
        held=not found,
        seen=seen,
        connections=tuple(dict.fromkeys(each.connection for each in found if each.connection is not None))[
            :20
        ],
        frames=tuple(each.frame for each in found if each.frame is not None)[:20],
    )


_JUDGES: Final[dict[str, _Judge]] = {
    "reconnects_within": _reconnects,
    "attempts_at_most": _attempts,
    "gap_at_least": _gap,
    "transport": _transport,
    "notices_half_open_within": _notices,
    "gives_up_never": _never_gives_up,
    "gives_up_within": _gives_up,
    "max_attempts_per_minute": _per_minute,
    "backoff": _backoff,
    "jitter": _jitter,
    "obeys_retry_after": _retry_after,
    "no_retry_on": _no_retry,
    "no_second_socket": _no_second_socket,
    "resumes_with": _resumes,
    "no_message_lost": _none_lost,
    "no_duplicates": _none_doubled,
    "never_sends": _never_sends,
    "sends": _sends,
    "grade_at_least": _grade,
}
