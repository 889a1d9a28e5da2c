"""Connections that ended without a CLOSE frame: at once, after a silence, at an age, many together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.findings.closed import first_fragment, largest_before_end
from wsinspect.findings.evidence import (
    WORDS_OF_ENDS,
    answer_hop,
    answer_marks,
    end_line,
    is_applications,
    js_sees,
    lag_line,
    named,
    request_marks,
    seconds,
    two_causes,
)
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, CaptureFacts, ConnectionFacts, Summary
from wsinspect.findings.farewell import said_goodbye
from wsinspect.findings.lag import Lag, earliest_ns
from wsinspect.findings.limits import Limit, is_round, matching, words
from wsinspect.findings.model import Cause, Confidence, FaultOf, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import left_before_answer
from wsinspect.findings.rules.keepalive import beat_ns
from wsinspect.findings.rules.silences import (
    EQUAL,
    LEAST_SILENCE_NS,
    ages_of,
    closed_late_ns,
    equal_ages,
    equal_silences,
    explains_as_idle,
    has_survived,
    is_kept_alive,
    is_same_path,
)
from wsinspect.wire.opcodes import Direction

rules = Rules()

JS: Final = "close with code 1006, wasClean false, empty reason."
_AT_ONCE_NS: Final = 3 * SECOND_NS
#: Shorter silences are rarely a configured timeout.
_SURE_NS: Final = 5 * SECOND_NS
_CLUSTER_NS: Final = 500_000_000
LEAST_TOGETHER: Final = 3
#: So many do not end at one moment by chance, however many live on (one of several servers restarts).
_MANY: Final = 10
_SAME: Final = 0.02
#: Findings that several ends at once explain better.
_EXPLAINED: Final = (
    *("WS-DROP-001", "WS-DROP-002", "WS-DROP-003", "WS-DROP-005", "WS-DROP-006", "WS-CL-001", "WS-CL-012"),
)
#: A peer that closes with one of these is going away or restarting.
_GOING_CODES: Final = (1001, 1012)


def is_cut(facts: ConnectionFacts) -> bool:
    """Whether an open connection ended without any CLOSE frame, by somebody else than this proxy."""
    return (
        facts.was_open
        and facts.is_over
        and facts.state != "lost"
        and facts.how in ("fin", "rst", "timeout")
        and facts.ended_by in ("client", "server")
        and (not facts.has_close or _is_close_late(facts))
        and not left_before_answer(facts)
        and not said_goodbye(facts)
    )


def _is_close_late(facts: ConnectionFacts) -> bool:
    """Whether the server had ended its side, without a CLOSE, when the client sent one: nobody answers it."""
    if facts.ended_by != "server" or facts.server_close_reason is not None or not facts.ends:
        return False
    closes = [frame.time_ns for frame in facts.last_frames if frame.is_close]
    end = facts.ends[0]
    is_later = bool(closes) and min(closes) > end.time_ns
    return is_later and end.side == "server" and facts.is_order_known(end.time_ns, min(closes))


def _software(facts: ConnectionFacts) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*named(answer_marks(facts)), *named(request_marks(facts.request_in)))))


def _silences(facts: ConnectionFacts) -> tuple[str, str]:
    def last(side: Direction) -> str:
        value = facts.silence_ns(side)
        newest = facts.last_ns[side]
        if value == 0 and newest is not None and facts.end_ns is not None and newest > facts.end_ns:
            return f"{side.arrow} went on after the end"
        return f"silence {side.arrow} before the end: {seconds(value) if value is not None else 'unknown'}"

    return last(C2S), last(S2C)


def limit_lines(limits: list[Limit], software: tuple[str, ...]) -> tuple[str, ...]:
    """Known limits that fit; those of recognised software say so."""
    own = [limit for limit in limits if limit.software in software]
    rest = [limit for limit in limits if limit.software not in software]
    lines = [f"known limit of recognised software: {words(limit)}" for limit in own]
    return tuple([*lines, *(f"known limit: {words(limit)}" for limit in rest)][:7])


def _ender(facts: ConnectionFacts) -> tuple[FaultOf, str]:
    """Whose side ended it, and how to say where."""
    if facts.ended_by == "server":
        return "hop", "the server, or a hop between this tap and it"
    return "hop", "the client, or a hop between it and this tap"


#: Why an end comes with the first fragment: libraries of small servers often read whole messages alone.
_FRAGMENTS: Final = (
    "the server cannot read a message in several frames",
    "the same message in one frame is accepted",
)


@rules(
    "WS-DROP-001",
    "error",
    "hop",
    "The connection died right after the 101, before the server sent anything",
    meaning="The handshake succeeded, and moments later TCP ended with no byte from the server's side. A"
    " firewall or wrapper that cannot carry a tunnel does this, even one that only logs; so does a server"
    " that crashes, or whose handler returns, at the beginning or on the client's first message.",
    js=JS,
    topic="waf",
    rows="H13 T10",
    group="end",
)
def dead_at_once(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts) and facts.ended_by == "server" and facts.sizes[1] == 0:
        age = facts.age_ns or 0
        if age < _AT_ONCE_NS and not (facts.is_age_certain() and is_round(age / 1e9)):
            # Whoever read the client's first bytes spoke WebSocket: the server is at least as likely.
            has_spoken = facts.sizes[0] > 0
            # An application's own name on the 101, and no hop's: what is behind this tap is the application.
            is_servers = has_spoken or is_applications(facts)
            when = "on the client's first message" if has_spoken else "as soon as the connection was open"
            begun = first_fragment(facts, C2S)
            causes = two_causes(
                *((_FRAGMENTS,) if begun is not None else ()),
                (
                    f"the server's application crashed, or its handler returned, {when}",
                    "its log for this moment; a tap right before the server shows the same end",
                ),
                (
                    "a firewall or wrapper between this tap and the server that cannot carry a tunnel",
                    "it works without that hop; a tap right before the server shows no such end",
                ),
            )
            yield Found(
                evidence=(
                    f"101, then {WORDS_OF_ENDS.get(facts.how or '', facts.how)} after {seconds(age)}",
                    f"{facts.sizes[0]} bytes c>s, 0 bytes s>c",
                    f"frame {begun.id} c>s was its first that is only a part of a message" if begun else "",
                    end_line(facts),
                ),
                hop=None if has_spoken else answer_hop(facts),
                software=_software(facts),
                js=js_sees(facts),
                causes=causes if is_servers else causes[::-1],
                fault_of="server" if is_servers else None,
                topic="abrupt" if is_servers else None,
                confidence="medium",
            )


@rules(
    "WS-DROP-003",
    "error",
    "hop",
    "Ended by a lifetime limit",
    meaning="The connection ended at an age that looks like a configured limit, although data was flowing."
    " Pings do not help: raise the limit, or reconnect before it is reached.",
    js=JS,
    topic="lifetime",
    rows="T2",
    confidence="medium",
    group="end",
)
def lifetime(facts: ConnectionFacts) -> Iterator[Found]:
    age = facts.age_ns
    silence = facts.silence_ns()
    if not is_cut(facts) or age is None or silence is None:
        return
    beat = beat_ns(facts)
    kept = is_kept_alive(facts) and beat is not None and age >= 3 * beat[0]
    same = equal_ages(facts)
    equal = equal_silences(facts)
    if equal is not None and not kept and any(one not in same for one in equal[2]):
        return  # others were as silent, and of another age: what counts is the silence
    # Ages that are equal although the silences are not: no idle timeout ended both.
    is_told_apart = bool(same) and not explains_as_idle(facts, same)
    is_told_apart &= len(same) > 1 or any(is_same_path(facts, one) for one in same)
    if not kept and silence > min(age // 2, 10 * SECOND_NS) and not is_told_apart:
        return
    limits = matching(age / 1e9, "lifetime") if facts.is_age_certain() else []
    is_busy = bool(same) and silence < min(ages_of(same, age)) // 2 and not (_fits(silence) and not limits)
    if not (kept or is_told_apart or is_busy) and (not limits or _fits(silence)):
        return
    is_unlikely = facts.ended_by == "client" or facts.how == "rst" or age < _SURE_NS
    if not limits and not same and (not kept or is_unlikely):
        return  # one early end, reset or client that left: a crash, a kill or a closed laptop is as likely
    software = _software(facts)
    ids = ", ".join(f"#{one.id}" for one in same[:6])
    is_rival = bool(same) and not kept and not is_told_apart and silence >= LEAST_SILENCE_NS
    # A client that ends TCP itself after a fixed time looks the same: a script that is run again, a test.
    is_own = facts.ended_by == "client" and not limits
    yield Found(
        evidence=(
            f"age {seconds(age)}, data until {seconds(silence)} before the end",
            f"heartbeats every {seconds(beat[0])}: an idle timeout did not count this silence"
            if kept and beat
            else "",
            f"{ids} ended at the same age" if same else "",
            "the silences before these ends differ: it is no idle timeout" if is_told_apart else "",
            end_line(facts),
            lag_line(facts),
            *limit_lines(limits, software),
        ),
        software=tuple(dict.fromkeys((*software, *(limit.software for limit in limits)))) if software else (),
        title=f"Ended at the age of {seconds(age)} while heartbeats were flowing: a lifetime limit"
        if kept
        else None,
        confidence="medium" if is_rival or is_own else "high" if same else "medium" if limits else "low",
        causes=_of_age(age, silence, is_rival=is_rival, is_own=is_own)
        if is_rival or is_own or not same
        else (),
        js=js_sees(facts),
    )


def _of_age(age: int, silence: int, *, is_rival: bool, is_own: bool) -> tuple[Cause, ...]:
    """What else may have ended it."""
    rivals = [Cause(f"a lifetime limit of {seconds(age)}", "does the next one end at the same age?")]
    if is_rival:
        rivals.append(
            Cause(
                f"an idle timeout of {seconds(silence)}, after traffic that stops at the same age",
                "keep traffic flowing: does it end at the same age?",
            )
        )
    if is_own:
        rivals.append(
            Cause(
                "the client ends after that time, without a CLOSE: a script or test that is run again",
                "leave the client running for longer: does it end at the same age?",
            )
        )
    elif not is_rival:
        rivals.append(
            Cause(
                "the other side ended it: a crash, a kill, a deploy",
                "that side's log for this moment; other connections end with it",
            )
        )
    return tuple(rivals)


@rules(
    "WS-DROP-002",
    "error",
    "hop",
    "Ended by an idle timeout",
    meaning="TCP ended without a CLOSE frame after a silence that looks like a configured limit. A hop on"
    " the way closes connections that are idle for that long: raise its limit, or ping more often.",
    js=JS,
    topic="idle",
    rows="T1 T5",
    group="end",
)
def idle(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_cut(facts) or is_kept_alive(facts):
        return
    equal = equal_silences(facts)
    both, server = facts.silence_ns() or 0, facts.silence_ns(S2C) or 0
    if equal is not None:
        counted, side, same = equal
    elif not facts.is_silence_certain():
        return  # nobody knows how long it was: the rules below rank an idle timeout among the causes
    else:
        late = closed_late_ns(facts)
        counted, side = next(
            (
                (ns, side)
                for ns, side in ((both, None), (server, S2C))
                if ns - late >= LEAST_SILENCE_NS
                and (_fits(ns) or is_round(ns / 1e9))
                and not has_survived(facts, ns, side)
            ),
            (0, None),
        )
        same = []
    if not counted:
        return
    software = _software(facts)
    limits = matching(counted / 1e9, "idle")
    is_known = any(limit.software in software for limit in limits)
    age = facts.age_ns or 0
    fault_of, where = _ender(facts)
    is_own = facts.ended_by == "client" and not request_marks(facts.request_in)
    if facts.ended_by == "client" and not same and (is_own or not limits):
        return  # a client leaves at any moment, and nothing shows a hop before this tap that could have
    if is_own:
        fault_of, where = "client", "the client's side"
    # Where other connections ended at other ages, the limit is not on the age; one that was silent from the
    # beginning says nothing of that.
    same_age = (bool(same) or age - counted < SECOND_NS // 2) and all(
        abs((one.age_ns or age) - age) <= EQUAL * age for one in same
    )
    ids = ", ".join(f"#{one.id}" for one in same[:6])
    causes = (
        *(_OWN_SILENCE if is_own else ()),
        Cause(
            f"an idle timeout of {seconds(counted)}" + (", of a hop before this tap" if is_own else ""),
            "send pings at half that interval: does it survive?",
        ),
        *(
            (
                Cause(
                    f"a lifetime limit of {seconds(age)}",
                    "keep traffic flowing: does it end at the same age?",
                ),
            )
            if same_age
            else ()
        ),
        *(
            ()
            if same
            else (
                Cause(
                    "the other side ended it: a crash, a kill, or code that closes TCP",
                    "does the next one end after the same silence?",
                ),
            )
        ),
    )
    yield Found(
        evidence=(
            *_silences(facts),
            f"{ids} ended after the same silence (within 10 %)" if same else "",
            f"age {seconds(age)}; ended by {where}: {WORDS_OF_ENDS.get(facts.how or '', facts.how)}",
            end_line(facts),
            lag_line(facts),
            *limit_lines(limits, software),
            f"only {side.arrow} was silent: a limit that counts bytes in this direction"
            if side is not None and counted != both
            else "",
        ),
        hop=answer_hop(facts) if facts.ended_by == "server" and is_known else None,
        confidence="medium"
        if is_own
        else "high"
        if (same and limits) or ((same or limits) and not same_age)
        else "medium"
        if same or limits or counted >= _SURE_NS
        else "low",
        fault_of=fault_of,
        # Clients leave, or are killed, at any moment.
        severity="warning" if is_own else None,
        software=software,
        title=f"Ended after {seconds(counted)} of silence: an idle timeout"
        f"{', or a lifetime limit' if same_age and not limits else ''}"
        if same
        else f"Ended after {seconds(counted)} of silence: an idle timeout, or the other side ended it",
        causes=causes if len(causes) > 1 else (),
        js=js_sees(facts),
    )


#: What a client does by itself that looks like a hop's idle timeout.
_OWN_SILENCE: Final = (
    Cause(
        "the client ends after that silence, without a CLOSE: a timeout of its own, or a script that is run"
        " again",
        "its code and log for this moment; leave it running without a timeout",
    ),
)


def _fits(interval_ns: int) -> bool:
    return bool(matching(interval_ns / 1e9, "idle"))


@rules(
    "WS-DROP-005",
    "error",
    "network",
    "Reset without a CLOSE frame",
    meaning="A RST ended the connection without a CLOSE frame before it. A crash, a kill, a firewall, or a"
    " write to a connection that the other side had forgotten does this.",
    js=JS,
    topic="abrupt",
    rows="T5 F11",
    group="end",
)
def reset(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts) and facts.how == "rst":
        is_client = facts.ended_by == "client"
        yield Found(
            evidence=(
                end_line(facts),
                *_silences(facts),
                f"age {seconds(facts.age_ns or 0)}",
                lag_line(facts),
                js_sees(facts),
            ),
            fault_of="client" if is_client else "server",
            severity="warning" if is_client else None,
            confidence=_confidence(facts),
            causes=()
            if is_client or facts.is_age_certain()
            else (
                Cause("the server reset it: a crash or a kill", "the server's log for this moment"),
                Cause(
                    "a limit on silence or age, at the server or a hop: this proxy read the end too late to"
                    " tell",
                    "repeat it on a machine with less to do: do the silences, or the ages, agree?",
                ),
            ),
            software=_software(facts),
            js=js_sees(facts),
        )


def _confidence(facts: ConnectionFacts) -> Confidence | None:
    """Less where this tap read the end late: whether a limit struck is not known then."""
    return None if facts.is_age_certain() else "medium"


@rules(
    "WS-DROP-006",
    "error",
    "server",
    "The server's side ended TCP without a CLOSE frame",
    meaning="A FIN came without a CLOSE frame before it: the process ended, or a hop closed the connection."
    " The page sees 1006 and no reason.",
    js=JS,
    topic="abrupt",
    rows="F11 T4",
    group="end",
)
def fin_by_server(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts) and facts.ended_by == "server":
        silence = facts.silence_ns() or 0
        least = _SURE_NS if facts.is_silence_certain() else LEAST_SILENCE_NS
        is_quiet = silence >= least and not is_kept_alive(facts) and not has_survived(facts, silence, None)
        yield Found(
            evidence=(
                end_line(facts),
                *_silences(facts),
                f"age {seconds(facts.age_ns or 0)}",
                lag_line(facts),
            ),
            confidence=_confidence(facts),
            software=_software(facts),
            causes=_causes_of_fin(facts, silence, is_quiet=is_quiet),
            js=js_sees(facts),
        )


#: How soon a server ends the connection that a new one of the same client takes the place of.
_REPLACED_NS: Final = 300_000_000


def _replaced_by(facts: ConnectionFacts) -> int | None:
    """A connection to the same path that was opened right before this one was ended, and lived on."""
    end = facts.end_ns
    if end is None or facts.open_ns is None:
        return None
    for one in facts.others:
        is_newer = facts.open_ns < one.open_ns and end - _REPLACED_NS <= one.open_ns <= end
        lives_on = one.end_ns is None or one.end_ns - end > _REPLACED_NS
        if is_newer and lives_on and one.path.partition("?")[0] == facts.path.partition("?")[0]:
            return one.id
    return None


def _causes_of_fin(facts: ConnectionFacts, silence: int, *, is_quiet: bool) -> tuple[Cause, ...]:
    """Why a server ended TCP without a word, the likeliest first; none where nothing tells them apart."""
    ended = Cause(
        "the server ended it: a crash, a kill, or code that closes TCP", "the server's log for this moment"
    )
    idle = Cause(
        f"an idle timeout of {seconds(silence)}, at the server or a hop",
        "does the next one end after the same silence?",
    )
    large = largest_before_end(facts)
    if large is not None:
        limit = Cause(
            f"a limit on the size of messages: the end came right after the client's largest, {large:,} bytes"
            " (Autobahn drops TCP there)",
            "a smaller message is taken, and one of this size ends the next connection, too",
        )
        return (limit, ended)
    newer = _replaced_by(facts)
    taken = Cause(
        f"#{newer} took its place: the server keeps one connection for each client, by its id, token or user"
        " (MQTT brokers do for a client id)",
        f"#{newer} opened right before this end and lived on; another id for each client, and both stay",
    )
    if newer is None:
        return (ended, idle) if is_quiet else ()
    is_mqtt = (facts.negotiation.subprotocol or "").startswith("mqtt")
    return ((taken, ended) if is_mqtt else (ended, taken)) + ((idle,) if is_quiet else ())


@rules(
    "WS-DROP-007",
    "note",
    "client",
    "The client's side ended TCP without a CLOSE frame",
    meaning="A FIN came without a CLOSE frame before it: a killed process, a crashed tab, or a hop before"
    " this tap. The server's application sees 1006.",
    js="Nothing: the page is gone.",
    topic="abrupt",
    rows="F11",
    group="end",
)
def fin_by_client(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts):
        silence = facts.silence_ns() or 0
        is_quiet = silence >= _SURE_NS and facts.is_silence_certain() and not is_kept_alive(facts)
        is_quiet &= not has_survived(facts, silence, None)
        yield Found(
            evidence=(
                end_line(facts),
                *_silences(facts),
                f"age {seconds(facts.age_ns or 0)}",
                lag_line(facts),
            ),
            causes=(
                Cause(
                    "the client ended it: it was closed or killed, or has a timeout of its own",
                    "its log for this moment",
                ),
                Cause(
                    f"an idle timeout of {seconds(silence)}, at a hop before this tap",
                    "a tap before that hop shows whose end it was; the next one ends after the same silence",
                ),
            )
            if is_quiet
            else (),
        )


# -- over all connections


def was_dropped(one: Summary) -> bool:
    """Whether the server's side ended a connection, with or without a word that it goes away."""
    is_code = one.server_close_code in (1001, 1006, 1012)
    return (
        one.open_ns is not None
        and one.closed_ns is not None
        and one.ended_by == "server"
        and (one.how in ("fin", "rst") or is_code)
        and (is_code or one.server_close_code is None)
    )


def _is_answer_to_hop(one: Summary, group: list[Summary]) -> bool:
    """Whether the server's 1002 is its answer to the CLOSE with which a hop ended the others of a cluster.

    Caddy 2.6 sends its own 1001 to both sides, to the server unmasked: RFC 6455, 5.1, has it answer 1002, and
    now and then that reaches the client before Caddy's 1001 does.
    """
    return (
        (one.server_close_code, one.ended_by) == (1002, "server")
        and one.closed_ns is not None
        and (one.tap, one.host) == (group[0].tap, group[0].host)
        and all(other.server_close_code in _GOING_CODES for other in group)
        and _by_end(group[0]) - _CLUSTER_NS <= one.closed_ns <= _by_end(group[-1]) + _CLUSTER_NS
    )


def clusters(facts: CaptureFacts) -> list[list[Summary]]:
    """Groups of connections of one tap and place of server that ended together, by the server's side.

    Those whose ends were read after a tap had been blind may have ended one after the other. Where more lived
    on, a few ends at one moment are a coincidence.
    """
    by_tap: dict[tuple[str | None, str | None], list[Summary]] = {}
    every: dict[tuple[str | None, str | None], list[Summary]] = {}
    for one in facts.connections:
        if one.open_ns is not None:
            every.setdefault((one.tap, one.host), []).append(one)
        if was_dropped(one):
            by_tap.setdefault((one.tap, one.host), []).append(one)
    found = []
    for group in by_tap.values():
        group.sort(key=_by_end)
        current: list[Summary] = []
        for one in group:
            if current and (one.closed_ns or 0) - (current[-1].closed_ns or 0) > _CLUSTER_NS:
                found.append(current)
                current = []
            current.append(one)
        found.append(current)
    return [
        group
        for group in found
        if len(group) >= LEAST_TOGETHER
        and _is_independent(group)
        and _is_moment(group, facts.lags)
        and (len(group) >= _MANY or len(_survivors(group, every[group[0].tap, group[0].host])) <= len(group))
    ]


def _survivors(group: list[Summary], others: Sequence[Summary]) -> list[Summary]:
    """Those that were open as early as the youngest of a group, and lived on when it ended.

    What was opened later may be on what a reload has started.
    """
    youngest = max(one.open_ns or 0 for one in group)
    over = _by_end(group[-1]) + _CLUSTER_NS
    return [
        one
        for one in others
        if (one.open_ns or 0) <= youngest and (one.closed_ns is None or one.closed_ns > over)
    ]


def _is_moment(group: list[Summary], lags: Sequence[Lag]) -> bool:
    """Whether their ends were read as they came: nothing else gathered them."""
    return all(earliest_ns(lags, _by_end(one)) == _by_end(one) for one in group)


def _by_end(one: Summary) -> int:
    return one.closed_ns or 0


def _is_independent(group: list[Summary]) -> bool:
    """Whether their ages differ: else it is a limit that all of them reached together."""
    ages = [(one.closed_ns or 0) - (one.open_ns or 0) for one in group]
    return max(ages) - min(ages) > max(SECOND_NS // 5, int(max(ages) * _SAME))


@rules(
    "WS-DROP-004",
    "error",
    "hop",
    "Many connections ended at the same moment",
    meaning="They were opened at different times, carried different traffic and ended together. A reload, a"
    " deploy or a restart of the server or of a hop does this.",
    js="close with code 1006 on every page at once (1001 or 1012 where the server says so).",
    topic="reload",
    rows="T4",
    scope="capture",
)
def cluster(facts: CaptureFacts) -> Iterator[Found]:
    for plain in clusters(facts):
        answered = [one for one in facts.connections if _is_answer_to_hop(one, plain)]
        group = sorted((*plain, *answered), key=_by_end)
        first, last = _by_end(group[0]), _by_end(group[-1])
        ages = sorted(((one.closed_ns or 0) - (one.open_ns or 0)) for one in group)
        ids = ", ".join(f"#{one.id}" for one in group[:8]) + (" ..." if len(group) > 8 else "")
        codes = sorted({str(one.server_close_code or one.how) for one in group})
        covers = tuple((one.id, rule) for one in plain for rule in _EXPLAINED)
        covers += tuple((one.id, "WS-CL-002") for one in answered)
        yield Found(
            evidence=(
                f"{len(group)} connections within {seconds(last - first)}: {ids}",
                f"ages from {seconds(ages[0])} to {seconds(ages[-1])}",
                f"ended with {', '.join(codes)}",
                f"{len(answered)} of them with 1002, a server's answer to an unmasked CLOSE from the hop"
                if answered
                else "",
            ),
            connection=group[0].id,
            covers=covers,
            confidence="high" if answered else "medium",
            causes=()
            if answered
            else two_causes(
                (
                    "a hop was reloaded or restarted",
                    "its log for this moment; a tap behind it shows that the server's side did not end first",
                ),
                (
                    "the server was restarted or deployed, or crashed",
                    "its log for this moment; a tap right before it shows the same ends",
                ),
            ),
            severity="warning" if all(one.server_close_code in _GOING_CODES for one in plain) else None,
        )
