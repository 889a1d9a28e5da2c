"""Limits on the way that were measured: connections held open in different ways, and which of them ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.findings.evidence import answer_hop, answer_marks, named, seconds, two_causes
from wsinspect.findings.held import (
    QUIET,
    Held,
    Limit,
    Measure,
    Vanishing,
    ended_together,
    limits,
    opened,
    replaced,
    tolerance_ns,
    vanishing,
    without_heartbeat,
)
from wsinspect.findings.limits import Kind, matching
from wsinspect.findings.model import Cause, Confidence, FaultOf, Found
from wsinspect.findings.probes import ProbeFacts
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.drops import JS, limit_lines

rules = Rules()

_ENDS: Final = {
    "close-frame": "a CLOSE frame",
    "fin": "FIN without CLOSE",
    "rst": "RST without CLOSE",
    "vanished": "a PING got no answer: gone without an end",
}
#: What each way of holding a connection is called.
WAYS: Final = {
    "silent": "silent, answers pings",
    "mute": "silent, answers nothing",
    "waits": "one PING after a silence",
    "pings": "sends PINGs",
    "pongs": "sends PONGs that nobody answers",
    "messages": "sends --message",
}
#: A heartbeat gives up after this many pings.
_PATIENCE: Final = 3
_SAYS_MORE: Final = "repeat with --message and what your application sends as a heartbeat"


def held_line(one: Held) -> str:
    """What became of one connection, in a line."""
    where = f" at {one.where}" if one.place else ""
    begin = f"{WAYS.get(one.way, one.way)}{where}"
    if one.error is not None:
        return f"{begin}: not open: {one.error}"
    if one.how is None:
        return f"{begin}: open for {seconds(one.age_ns)}, until the end of the trial"
    code = "" if one.how != "close-frame" else f" {one.code if one.code is not None else 'without a code'}"
    said = f" {one.reason[:80]!r}" if one.reason else ""
    silences = f"silent c>s {seconds(one.last.client)}, s>c {seconds(one.last.server)}"
    return f"{begin}: {_ENDS[one.how]}{code}{said} at the age of {seconds(one.age_ns)}, {silences}"


def _lines(held: Sequence[Held]) -> list[str]:
    return list(map(held_line, held))[:7]


def _trial(facts: ProbeFacts) -> list[Held]:
    """What says something of limits: open connections to the URL, the server's heartbeat aside."""
    return without_heartbeat(opened(facts.held))[0]


def _found(facts: ProbeFacts) -> list[Limit]:
    held = _trial(facts)
    return [] if _is_no_limit(held) or _is_about_pings(held) else limits(held)


def _is_no_limit(held: Sequence[Held]) -> bool:
    """Whether something else ended them."""
    return bool(ended_together(held) or replaced(held))


def _is_about_pings(held: Sequence[Held]) -> bool:
    """Whether only those ended that sent something: what was sent is what ended them."""
    ended = [one for one in held if one.has_ended]
    return bool(ended) and all(one.way not in QUIET for one in ended) and any(o.way in QUIET for o in held)


def _software(facts: ProbeFacts) -> tuple[str, ...]:
    return named(answer_marks(facts.main.facts))


def _limits_of(length: int, software: tuple[str, ...], *kinds: Kind) -> tuple[str, ...]:
    return limit_lines(matching(length / 1e9, *kinds), software)


def _place_line(facts: ProbeFacts, length: int) -> tuple[str, bool | None]:
    """What the servers behind the URL did: a line, and whether the last of them has the limit itself."""
    behind = [one for one in facts.held if one.place and one.error is None]
    if not behind:
        return "", None
    last = behind[-1]
    same = [one for one in behind if one.has_ended and abs(one.age_ns - length) <= tolerance_ns(length)]
    if last in same:
        return f"asked directly, {last.where} ends it after the same time: it is that server", True
    if last.age_ns <= length + tolerance_ns(length):
        return held_line(last), None
    free = next(one for one in behind if one not in same)
    return f"asked directly, {free.where} keeps it open longer: it is a hop before that", False


def _guilty(facts: ProbeFacts, limit: Limit) -> tuple[FaultOf, str | None, str]:
    """Whose limit it is, the hop where that is known, and what shows it."""
    line, is_server = _place_line(facts, limit.length_ns)
    hop = answer_hop(facts.main.facts)
    closes = [one for one in limit.ended if one.how == "close-frame"]
    if is_server or (is_server is None and len(closes) == len(limit.ended)):
        said = "a CLOSE frame ended it: its sender speaks WebSocket itself" if closes else ""
        return "server", None, line or said
    is_known = any(
        one.software in _software(facts) for one in matching(limit.length_ns / 1e9, "idle", "lifetime")
    )
    return "hop", hop if is_known or is_server is False else None, line


def _counted(limit: Limit, held: Sequence[Held], rivals: Sequence[Measure]) -> str:
    """Which side's silence it counts, as far as the ways tell."""
    alive = {one.way for one in limit.outlived}
    if limit.measure == "server":
        return "the server's silence counts: what the client sends does not keep it open"
    if limit.measure == "client":
        return "the client's silence counts: what the server sends does not keep it open"
    if "client" in rivals and "pongs" in alive:
        return (
            "bytes of the client alone keep it open; whether those of the server alone do is not known,"
            " because this server says nothing by itself"
        )
    if "pongs" in alive:
        return "bytes of either side keep it open"
    if alive & {"pings", "messages"}:
        return "bytes of both sides keep it open; which of them counts is not known"
    return ""


@rules(
    "WS-DROP-009",
    "warning",
    "hop",
    "An idle limit: connections end after a silence",
    meaning="Connections held open in silence ended at one length of silence, and those that carried bytes"
    " lived on. Browsers cannot send pings: let the server ping, or the page send messages, at half"
    " that interval, or raise the limit.",
    js=JS,
    topic="idle",
    rows="T1 T5",
    scope="probes",
)
def idle_limit(facts: ProbeFacts) -> Iterator[Found]:
    found = _found(facts)
    if not found or found[0].measure not in ("any", "server", "client"):
        return
    limit, rivals = found[0], [one.measure for one in found[1:]]
    length = limit.length_ns
    software = _software(facts)
    fault_of, hop, who = _guilty(facts, limit)
    is_told_apart = "age" not in rivals
    kind = "idle limit" if is_told_apart else "limit on silence or age"
    side = {"server": " of the server", "client": " of the client"}.get(limit.measure, "")
    causes = () if is_told_apart else _untold(limit)
    confidence: Confidence = "high" if is_told_apart and len(limit.ended) > 1 else "medium"
    yield Found(
        evidence=(
            *_lines(_trial(facts)),
            _counted(limit, _trial(facts), rivals) if is_told_apart else "",
            who,
            *_limits_of(length, software, "idle", "keepalive"),
        ),
        title=f"Connections end after {_about(length)} of silence{side}: an {kind}"
        if is_told_apart
        else f"Connections end after {_about(length)}: a {kind}",
        hop=hop,
        fault_of=fault_of,
        confidence=confidence,
        software=software,
        causes=causes,
        js=_js(limit.ended),
        connection=facts.main.facts.id,
    )


def _untold(limit: Limit) -> tuple[Cause, ...]:
    return two_causes(
        (
            f"an idle limit of {_about(limit.length_ns)}",
            "keep bytes flowing both ways: does the connection outlive it?",
        ),
        (
            f"a lifetime limit of {_about(limit.length_ns)}",
            "keep bytes flowing both ways: does it end at the same age?",
        ),
    )


@rules(
    "WS-DROP-010",
    "warning",
    "hop",
    "A lifetime limit: connections end at an age",
    meaning="Connections held open ended at one age, also those that carried bytes both ways. Keepalives do"
    " not help: raise the limit, or open a new connection before it is reached.",
    js=JS,
    topic="lifetime",
    rows="T2",
    scope="probes",
)
def lifetime_limit(facts: ProbeFacts) -> Iterator[Found]:
    found = _found(facts)
    if not found:
        return
    limit = found[0]
    if limit.measure in ("age", "messages"):
        length, ended = limit.length_ns, limit.ended
        rivals = [one.measure for one in found[1:]]
    elif limit.lifetime_ns is not None:
        length, ended, rivals = limit.lifetime_ns, limit.expired, []
    else:
        return
    software = _software(facts)
    fault_of, hop, who = _guilty(facts, limit._replace(length_ns=length, ended=ended))
    expected = _limits_of(length, software, "handshake", "keepalive") if "messages" in rivals else ()
    causes = _expected_message(length) if "messages" in rivals else ()
    if limit.measure == "messages":
        causes = _expected_message(length)[::-1]
    yield Found(
        evidence=(
            *_lines(ended if limit.lifetime_ns is not None else _trial(facts)),
            who,
            *_limits_of(length, software, "lifetime"),
            *expected,
        ),
        title=f"Connections end at the age of {_about(length)}, busy or idle: a lifetime limit"
        if not causes
        else f"Connections end at the age of {_about(length)}, pings or not: a lifetime limit, or the server"
        " waits for a message"
        if limit.measure == "age"
        else f"Connections end {_about(length)} after the client's last message, pings or not",
        hop=hop,
        fault_of=fault_of,
        confidence="medium" if causes or len(ended) < 2 else "high",
        software=software,
        causes=causes,
        js=_js(ended),
        connection=facts.main.facts.id,
    )


def _expected_message(length: int) -> tuple[Cause, ...]:
    return two_causes(
        (f"a lifetime limit of {_about(length)}", f"{_SAYS_MORE}: does it end at the same age?"),
        (
            f"the server ends clients that send no message (a login, a heartbeat) for {_about(length)}",
            f"{_SAYS_MORE}: does it live on?",
        ),
    )


@rules(
    "WS-DROP-011",
    "warning",
    "network",
    "Silent connections vanish: nobody ends them, and nothing arrives any more",
    meaning="After a silence a PING got no answer, while connections that carried bytes lived on. A hop (a"
    " NAT, a firewall, a load balancer) forgot the connection, and both sides believe that it is open.",
    js="Nothing at first: readyState stays 1, bufferedAmount grows; then close with code 1006 after minutes.",
    topic="half-open",
    rows="T5",
    scope="probes",
)
def vanishes(facts: ProbeFacts) -> Iterator[Found]:
    held = _trial(facts)
    gone: Vanishing | None = vanishing(held)
    if gone is None or not any(one.how is None and one.way in ("pings", "messages") for one in held):
        return
    software = _software(facts)
    fits = [
        line
        for limit in _table("idle")
        if gone.least_ns < (limit + 0.5) * 1e9 and limit * 1e9 < gone.most_ns
        for line in limit_lines(matching(limit, "idle"), software)
    ]
    yield Found(
        evidence=(
            f"alive after {seconds(gone.least_ns)} of silence, gone after {seconds(gone.most_ns)}",
            *_lines(held),
            *list(dict.fromkeys(fits))[:4],
        ),
        title=f"Connections vanish after a silence of {_about(gone.least_ns)} to {_about(gone.most_ns)},"
        " and nobody ends them",
        software=software,
        confidence="high" if len(gone.vanished) > 1 else "medium",
        connection=facts.main.facts.id,
    )


def _table(kind: Kind) -> list[float]:
    from wsinspect.findings.limits import LIMITS

    return sorted({one.seconds for one in LIMITS if one.kind == kind})


@rules(
    "WS-DROP-012",
    "warning",
    "server",
    "All connections ended at one moment: the server went away",
    meaning="They were opened at different times, carried different traffic and ended together, so this is no"
    " limit. A restart, a reload or a deploy does this: repeat the trial.",
    js=JS,
    topic="reload",
    rows="T4",
    scope="probes",
)
def went_away(facts: ProbeFacts) -> Iterator[Found]:
    ended = ended_together(_trial(facts))
    if ended:
        ends = [one.end_ns for one in ended]
        yield Found(
            evidence=(
                f"{len(ended)} connections ended within {seconds(max(ends) - min(ends))}",
                *_lines(ended),
            ),
            software=_software(facts),
            causes=two_causes(
                ("the server or a hop restarted or reloaded", "its log for this moment"),
                ("a network on the way was down", "other connections through it ended as well"),
            ),
            connection=facts.main.facts.id,
            js=_js(ended),
        )


@rules(
    "WS-DROP-014",
    "warning",
    "server",
    "The server keeps one connection for each client: a new one ends the one before",
    meaning="Each connection ended when the next one was opened. So a second tab, or a reconnect before the"
    " old connection is gone, ends the first, and limits cannot be measured with several connections.",
    js="close with the server's code, mostly a private one, or with 1006.",
    topic="one-session",
    rows="T9",
    scope="probes",
)
def one_at_a_time(facts: ProbeFacts) -> Iterator[Found]:
    ended = replaced(_trial(facts))
    if ended:
        yield Found(
            evidence=tuple(_lines(ended)),
            software=_software(facts),
            connection=facts.main.facts.id,
            js=_js(ended),
        )


@rules(
    "WS-DROP-013",
    "warning",
    "server",
    "Some of the connections that were held open ended, and no one limit explains which",
    meaning="Neither one length of silence nor one age fits all of them. What ended them is decided by"
    " something else: a reload, a quota, an error, or what the connection carried.",
    js=JS,
    topic="abrupt",
    rows="F11",
    scope="probes",
    confidence="low",
)
def unexplained(facts: ProbeFacts) -> Iterator[Found]:
    held = _trial(facts)
    ended = [one for one in held if one.has_ended]
    is_sent = _is_about_pings(held)
    gone = [one for one in held if one.how == "vanished"]
    if _is_no_limit(held) or (not ended and not (gone and vanishing(held) is None)):
        return
    if ended and not is_sent and limits(held):
        return
    first = next(iter(ended), None)
    title = None
    if is_sent and first is not None:
        what = "this message" if all(one.way == "messages" for one in ended) else "pings"
        title = f"The server ends connections that send {what}, and keeps the silent ones"
    yield Found(
        evidence=tuple(_lines(held)),
        title=title,
        confidence="medium" if is_sent else None,
        software=_software(facts),
        connection=facts.main.facts.id,
        js=_js(ended),
    )


@rules(
    "WS-KA-009",
    "note",
    "server",
    "Clients that do not answer the server's pings are ended",
    meaning="A connection that answered its pings lived on, and one that did not was ended. That is a"
    " heartbeat, and right; a page whose process is blocked or asleep for so long loses its connection.",
    js="close with code 1006, or with the server's code, mostly 1011.",
    topic="keepalive",
    rows="T6",
    scope="probes",
)
def heartbeat(facts: ProbeFacts) -> Iterator[Found]:
    mute = without_heartbeat(opened(facts.held))[1]
    if mute is None:
        return
    waited = mute.end_ns - (mute.server_ping_ns or mute.end_ns)
    yield Found(
        evidence=(
            held_line(mute),
            f"{mute.server_pings} pings of the server, the last {seconds(waited)} before the end",
            *_limits_of(mute.age_ns, _software(facts), "keepalive"),
        ),
        title=f"Clients that do not answer the server's pings are ended after {_about(mute.age_ns)}",
        causes=() if mute.how == "close-frame" else _of_mute(mute),
        confidence="high" if mute.how == "close-frame" else "medium",
        software=_software(facts),
        connection=facts.main.facts.id,
        js=_js([mute]),
    )


def _of_mute(mute: Held) -> tuple[Cause, ...]:
    """A server that waits for pongs, or a hop that counts the client's silence: the first end is the same."""
    causes = two_causes(
        (
            "the heartbeat of the server, which ends a client for missing pongs",
            "its log, or its settings for pings",
        ),
        (
            f"a limit of {_about(mute.last.client)} on the client's silence, in a hop",
            "asked directly (--direct), does the server end it as well?",
        ),
    )
    return causes if mute.server_pings <= _PATIENCE else causes[::-1]


#: Findings whose evidence is what became of the connections.
LIMIT_IDS: Final = frozenset(one.id for one in rules.all)


def _js(ended: Sequence[Held]) -> str | None:
    """What JavaScript sees of such an end."""
    first = next(iter(ended), None)
    if first is None or first.how != "close-frame":
        return None
    code = first.code if first.code is not None else 1005
    return f"close with code {code}, wasClean true, reason {first.reason[:60]!r}."


def _about(interval_ns: int) -> str:
    """A length in ns as text: to a tenth of a second below ten seconds, else in whole seconds."""
    value = interval_ns / 1e9
    return f"{round(value)} s" if value >= 9.95 else f"{round(value, 1):g} s"
