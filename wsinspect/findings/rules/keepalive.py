"""Pings without pongs, heartbeats that come too late, connections that are open on one side only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from statistics import median
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, lag_line, named, seconds, two_causes
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, FrameFact, PingFact
from wsinspect.findings.limits import matching, words
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.sleeping import asleep, is_browser
from wsinspect.wire.opcodes import Direction

rules = Rules()

JS: Final = "close with code 1006, wasClean false; if the server sent a CLOSE frame, its code, mostly 1011."
_TIMEOUT_WORDS: Final = re.compile(r"keep-?alive|ping|heartbeat|timed? ?out|timeout|inactiv|idle", re.I)
#: A peer that answers pings at all answers within this.
_LEAST_WAIT_NS: Final = 800_000_000
#: Libraries wait at least this long by default; a shorter wait is somebody's own choice, or chance.
_SURE_WAIT_NS: Final = 5_000_000_000
_NEAR: Final = 0.15
#: More pings than that at once are a flood: which of them were answered is not known of all.
_MANY_PINGS: Final = 32
#: How late a timer of a busy machine may be.
_LATE_NS: Final = 300_000_000
#: The end of a connection that is open.
_NEVER: Final = 1 << 63
_PING, _PONG = 9, 10


def _went_dead(facts: ConnectionFacts, side: Direction, since_ns: int) -> bool:
    """Whether a side had spoken, and nothing at all came from it after a ping: not even that it ends."""
    last = facts.last_ns[side]
    return (
        last is not None and last < since_ns and not any(end.side == _SIDE_OF[side] for end in facts.ends[:1])
    )


_SIDE_OF: Final = {C2S: "client", S2C: "server"}


def _unreached(other: FaultOf) -> tuple[Cause, ...]:
    """Why nothing came any more from a side that had spoken."""
    return two_causes(
        (
            f"the {other} is blocked: its event loop does something else, or its process is stopped",
            f"the {other}'s CPU and log at that time; other connections to it had no pong either",
        ),
        (
            "packets between the two are dropped since then: a firewall, a NAT that forgot the connection, a"
            " network that is gone",
            f"a capture at the {other}: did the ping arrive there?",
        ),
    )


@rules(
    "WS-KA-001",
    "error",
    "client",
    "A ping got no pong, and its sender ended the connection",
    meaning="One side pinged, waited, and closed because no pong came. The other side's event loop was"
    " blocked, the other side had disappeared, or a hop lost the pong.",
    js=JS,
    topic="keepalive",
    rows="T6 T5",
    group="end",
)
def no_pong(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or facts.end_ns is None or facts.ended_by not in ("client", "server"):
        return
    side = C2S if facts.ended_by == "client" else S2C
    # Who sends CLOSE has given up: a pong that comes later was awaited no more.
    given_up = gave_up_ns(facts, side)
    mine = [ping for ping in facts.pings if ping.direction == side and ping.time_ns < given_up]
    # The wait began with the first of the pings that nobody answered, not with the newest.
    unanswered = mine[-_lost(mine, given_up) :] if _lost(mine, given_up) else []
    if not unanswered:
        return
    first = unanswered[0]
    waited = given_up - first.time_ns
    code = facts.server_close_code if side == S2C else facts.client_close_code
    reason = (facts.server_close_reason if side == S2C else facts.client_close_reason) or ""
    says_so = bool(_TIMEOUT_WORDS.search(reason))
    has_waited = facts.has_waited(first.time_ns, given_up, _LEAST_WAIT_NS)
    # A CLOSE frame has another reason, or says this one.
    is_timed = not has_waited and code is None and _is_timer(facts, side, unanswered, given_up)
    late = [ping for ping in unanswered if ping.rtt_ns is not None]
    # Without a CLOSE frame: a pong that takes as long again was not on its way, its sender was blocked.
    is_blocked = code is None and has_waited and all(_came_long_after(one, given_up) for one in late)
    if late and not says_so and (code != 1011 or reason) and not is_blocked:
        return  # it closed for another reason, and the pong was on its way
    if not says_so and (not (has_waited or is_timed) or code in (1000, 1001)):
        return
    answered = [ping for ping in mine if ping.pong_id is not None and ping not in late]
    limits = [words(limit) for limit in matching(waited / 1e9, "keepalive")]
    other: FaultOf = "client" if side == S2C else "server"
    is_wrong = any(_wrong_pong(facts, ping) for ping in unanswered)
    # A browser answers pings without its page: it did before, so it sleeps, or is not reached any more.
    is_asleep = other == "client" and bool(answered) and not late and not is_wrong and is_browser(facts)
    is_asleep &= (facts.last_ns[C2S] or 0) < first.time_ns
    # Whoever ends so soon, and says nothing, may have been killed: heartbeats mostly wait longer.
    is_guess = code is None and not says_so and not is_wrong and waited < _SURE_WAIT_NS
    yield Found(
        title=f"The {other} answered pings with another payload, and the {facts.ended_by} gave up"
        if is_wrong
        else f"The {other}'s pong came too late: the {facts.ended_by} had given up"
        if late
        else None,
        evidence=(
            f"ping {first.id} {side.arrow} without a pong for {seconds(waited)}",
            f"its pong came {seconds(late[0].time_ns + (late[0].rtt_ns or 0) - given_up)} after"
            f" {'that' if code is None else 'the CLOSE'}"
            if late
            else "",
            f"{len(unanswered)} pings in a row without a pong" if len(unanswered) > 1 else "",
            f"{len(answered)} earlier pings were answered"
            if answered
            else "no ping from this side was ever answered",
            *(
                ()
                if late
                else (f"last frame from the other side {_since(facts, side.other)} before the end",)
            ),
            _TIMER_LINE if is_timed else "",
            f"closed with {code} {reason}" if code is not None else "no CLOSE frame",
            end_line(facts),
            js_sees(facts),
            *(f"known limit: {line}" for line in limits[:2]),
            lag_line(facts),
        ),
        frame=first.id,
        fault_of="network" if is_asleep else other,
        confidence="medium"
        if is_asleep and not is_guess
        else "high"
        if has_waited and (says_so or code == 1011)
        else "low"
        if is_guess and not is_timed
        else "medium",
        causes=asleep(facts)
        if is_asleep
        else _unreached(other)
        if says_so and has_waited and not (late or is_wrong) and _went_dead(facts, side.other, first.time_ns)
        else two_causes(
            (f"the {other} does not answer pings", "leave pings off: does the connection live on?"),
            (
                f"the {facts.ended_by} ended it for another reason, just when a heartbeat would have",
                f"the {facts.ended_by}'s log for this moment",
            ),
        )
        if is_guess or (is_timed and not says_so)
        else (),
        js=js_sees(facts),
        software=named(answer_marks(facts)),
    )


#: Waits shorter than this may be the delay of a loaded network.
_SHORT_WAIT_NS: Final = 200_000_000
#: How long a library waits for a pong, by the time it waits before a ping: as long (the usual loop that ends
#: whoever has not answered by the next ping), or half of it (aiohttp's heartbeat).
_SHARES: Final = (1.0, 0.5)
_SHARE: Final = 0.1
#: By how many times a wait is longer than any earlier pong took.
_TIMES_RTT: Final = 4
_TIMER_LINE: Final = "it ended after the wait of a heartbeat: as long as before the ping, or half of that"


def _is_timer(facts: ConnectionFacts, side: Direction, unanswered: Sequence[PingFact], given_up: int) -> bool:
    """Whether a wait too short to prove anything alone is a heartbeat's: the ping came after a pause, the end
    after as long a wait or half of it, and nothing passed in between."""
    ping = unanswered[0]
    waited = given_up - ping.time_ns
    if not facts.has_waited(ping.time_ns, given_up, _SHORT_WAIT_NS) or facts.has_gap:
        return False
    if len(unanswered) > 1 or any(
        one.time_ns > ping.time_ns and not one.is_close for one in facts.last_frames
    ):
        return False
    known = [one.rtt_ns for one in facts.pings if one.direction == side and one.rtt_ns is not None]
    if waited < _TIMES_RTT * max(known, default=0):
        return False
    earlier = [one.time_ns for one in facts.last_frames if one.time_ns < ping.time_ns]
    pings = [one.time_ns for one in facts.pings if one.direction == side and one.time_ns < ping.time_ns]
    starts = {*earlier[-1:], *pings[-1:], *([] if facts.open_ns is None else [facts.open_ns])}
    pauses = [ping.time_ns - start for start in starts]
    return any(
        abs(waited - share * pause) <= _SHARE * share * pause
        and facts.is_certain(ping.time_ns - pause, ping.time_ns, _SHARE * share * pause)
        for pause in pauses
        for share in _SHARES
    )


def beat_ns(facts: ConnectionFacts) -> tuple[int, int] | None:
    """A regular heartbeat: pings, or small messages of one direction; None where there is none.

    Returns:
        Its interval in nanoseconds, and how often it was seen.
    """
    series = [[ping.time_ns for ping in facts.pings if ping.direction == side] for side in (C2S, S2C)]
    for side in (C2S, S2C):
        small = [
            f.time_ns for f in facts.last_frames if f.direction == side and f.opcode < 8 and f.length <= 200
        ]
        series.append(small)
    best: tuple[int, int] | None = None
    for times in series:
        gaps = _gaps(times)
        if len(gaps) >= 2:
            middle = int(median(gaps))
            if (
                middle > 0
                and all(abs(gap - middle) <= _jitter_ns(middle) for gap in gaps)
                and (best is None or middle < best[0])
            ):
                best = middle, len(gaps)
    return best


def _jitter_ns(interval_ns: int) -> float:
    """By how many nanoseconds the gaps of a timer may differ.

    On a busy machine all timers are late by about the same time, however long they run: 0.3 s is much for a
    timer of one second, and little for one of 25.
    """
    share = 0.1 * interval_ns
    return share if interval_ns < _LEAST_WAIT_NS else min(0.2 * interval_ns, max(share, _LATE_NS))


def _since(facts: ConnectionFacts, side: Direction) -> str:
    return seconds(facts.silence_ns(side) or 0)


def _came_long_after(ping: PingFact, given_up: int) -> bool:
    """Whether a ping's pong came at least as long after its sender had gone as that one had waited."""
    late = ping.time_ns + (ping.rtt_ns or 0) - given_up
    return late >= max(_LEAST_WAIT_NS, given_up - ping.time_ns)


def _lost(pings: Sequence[PingFact], end_ns: int) -> int:
    """How many of the last pings of a side had no pong when it ended the connection."""
    return len(list(takewhile(lambda ping: not _was_answered(ping, end_ns), reversed(pings))))


def _was_answered(ping: PingFact, end_ns: int) -> bool:
    return ping.pong_id is not None and (ping.rtt_ns is None or ping.time_ns + ping.rtt_ns <= end_ns)


def gave_up_ns(facts: ConnectionFacts, side: Direction) -> int:
    """When a side that ended the connection stopped waiting: its CLOSE frame, else the end."""
    closed = (one.time_ns for one in facts.last_frames if one.is_close and one.direction == side)
    return next(closed, facts.end_ns or _NEVER)


def _gaps(times: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(times)]


@rules(
    "WS-KA-002",
    "error",
    "client",
    "The keepalive interval is as long as the limit that ended the connection",
    meaning="Heartbeats came at about the interval after which a hop closes, so each one is a race that is"
    " lost sooner or later. The connection ended just when the next one was due: send them at half"
    " the interval.",
    js="close with code 1006, wasClean false.",
    topic="keepalive",
    rows="T3",
    group="end",
)
def race(facts: ConnectionFacts) -> Iterator[Found]:
    beat = beat_ns(facts)
    silence = facts.silence_ns()
    end = facts.end_ns or _NEVER
    if any(_lost([one for one in facts.pings if one.direction == side], end) >= 2 for side in (C2S, S2C)):
        return  # nobody is there to answer: not a race
    if (
        beat is None
        or silence is None
        or facts.has_close
        or facts.how not in ("fin", "rst")
        or facts.ended_by == "proxy"
    ):
        return
    interval, count = beat
    if not facts.is_silence_certain(_NEAR / 5 * interval):
        return  # this proxy read the end late: how long after the last heartbeat it came is not known
    # A silence no longer than the heartbeat is not an idle timeout: WS-DROP-003.
    if interval < 900_000_000 or not 1.02 * interval < silence <= (1 + _NEAR) * interval:
        return
    limits = [words(limit) for limit in matching(silence / 1e9, "idle")]
    if facts.ended_by == "client" and not limits:
        return  # a client that leaves just then: no hop is known to have this limit
    yield Found(
        evidence=(
            f"heartbeats every {seconds(interval)} ({count + 1} seen)",
            f"the end came {seconds(silence)} after the last one, without a CLOSE frame",
            end_line(facts),
            *(f"known limit: {line}" for line in limits),
        ),
        js=js_sees(facts),
        software=named(answer_marks(facts)),
    )


@rules(
    "WS-KA-004",
    "error",
    "client",
    "The client's heartbeat slowed down to once a minute (a background tab), then the server closed",
    meaning="Browsers run the timers of a background tab once a minute. The page's heartbeat, faster before,"
    " came too late for the server's timeout.",
    js=JS,
    topic="keepalive",
    rows="T7",
    group="end",
)
def background_tab(facts: ConnectionFacts) -> Iterator[Found]:
    # A tab is as slow where this proxy, stopped, ended it; but then nobody closed because of that.
    if not facts.is_over or facts.ended_by in ("client", "proxy"):
        return
    times = [f.time_ns for f in facts.last_frames if f.direction == C2S and f.opcode < 8 and f.length <= 200]
    gaps = _gaps(times)
    if facts.end_ns is not None and times:
        gaps.append(facts.end_ns - times[-1])
    fast = [gap for gap in gaps[:-1] if 10 * SECOND_NS <= gap <= 40 * SECOND_NS]
    slow = [gap for gap in gaps[len(fast) :] if gap > 45 * SECOND_NS]
    if len(fast) >= 2 and slow and all(gap > 45 * SECOND_NS or gap == gaps[-1] for gap in gaps[len(fast) :]):
        yield Found(
            evidence=(
                f"messages c>s every {seconds(int(median(fast)))}, later {', '.join(map(seconds, slow[:3]))}",
                end_line(facts),
                js_sees(facts),
            ),
            js=js_sees(facts),
            confidence="medium",
        )


@rules(
    "WS-KA-005",
    "error",
    "network",
    "Half-open: one side disappeared without closing",
    meaning="Pings got no answer and no FIN came: a NAT, a load balancer or a sleeping machine forgot the"
    " connection. Browsers keep such a socket 'open' for minutes.",
    js="Nothing for minutes, then close with code 1006.",
    topic="half-open",
    rows="T5",
    confidence="medium",
    group="end",
)
def half_open(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.was_open or facts.has_close or facts.ended_by == "proxy":
        return
    for side in (C2S, S2C):
        mine = [ping for ping in facts.pings if ping.direction == side]
        lost = _lost(mine, facts.end_ns or _NEVER)
        silence = facts.last_ns[side.other] or facts.open_ns or 0
        is_dead = lost >= 2 and facts.has_waited(silence, mine[-1].time_ns, 2 * SECOND_NS + 1)
        is_ended_so = facts.how in ("rst", "timeout") if facts.is_over else True
        if is_dead and is_ended_so:
            yield Found(
                evidence=(
                    f"the last {lost} pings {side.arrow} have no pong",
                    f"nothing {side.other.arrow} for {seconds(mine[-1].time_ns - silence)} before the last"
                    f" of them",
                    end_line(facts) if facts.is_over else "no end of a TCP connection was seen",
                ),
                frame=mine[-1].id,
                js=js_sees(facts),
            )
            return


#: Pings that wait this long for their pong have none.
_NO_PONG_NS: Final = 2 * SECOND_NS


def _is_flood(facts: ConnectionFacts, side: Direction) -> bool:
    """Whether so many pings of a side wait that a pong may answer one which is not known any more."""
    waiting = sum(one.direction == side and one.pong_id is None for one in facts.pings)
    return waiting >= _MANY_PINGS and any(
        one.opcode == _PONG and one.direction != side for one in facts.last_frames
    )


def _wrong_pong(facts: ConnectionFacts, ping: PingFact) -> FrameFact | None:
    """The next pong from the other side after an unanswered ping: it answers no other one."""
    answers = {one.pong_id for one in facts.pings}
    return next(
        (
            one
            for one in facts.last_frames
            if one.opcode == _PONG
            and one.direction != ping.direction
            and one.id > ping.id
            and one.id not in answers
        ),
        None,
    )


@rules(
    "WS-KA-007",
    "warning",
    "client",
    "A pong does not repeat the payload of its ping",
    meaning="A pong must carry the payload of the ping that it answers (RFC 6455, 5.5.3). A side that checks"
    " the payload treats this ping as unanswered and closes sooner or later.",
    js="close with code 1006 or the server's code, once the side that pings gives up.",
    topic="pong",
    rows="T6",
)
def wrong_pong(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.has_gap:
        return
    payloads = {frame.id: frame.payload for frame in facts.last_frames if frame.opcode == _PING}
    for ping in facts.pings:
        pong = _wrong_pong(facts, ping) if ping.pong_id is None and ping.id in payloads else None
        if pong is None or _is_flood(facts, ping.direction):
            continue
        other: FaultOf = "client" if ping.direction == S2C else "server"
        yield Found(
            evidence=(
                f"ping {ping.id} {ping.direction.arrow}: {_payload(payloads[ping.id])}",
                f"pong {pong.id} {pong.direction.arrow} {seconds(pong.time_ns - ping.time_ns)} later:"
                f" {_payload(pong.payload)}",
                end_line(facts) if facts.is_over else "",
            ),
            frame=pong.id,
            fault_of=other,
            title=f"The {other} answers a ping with another payload",
            js=js_sees(facts),
            software=named(answer_marks(facts)),
        )
        return


def _payload(data: bytes) -> str:
    return f"payload {data[:24].hex(' ')} ('{repr(data[:24])[2:-1]}')" if data else "no payload"


@rules(
    "WS-KA-006",
    "warning",
    "client",
    "No ping was ever answered",
    meaning="One side pings, and the other never sends a pong, although RFC 6455 (5.5.2) requires one. A"
    " library or hop that checks will close this connection.",
    js="Nothing yet; code 1006 or 1011 where the side that pings gives up.",
    topic="pong",
    rows="T6",
)
def never_answered(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.has_gap or any(no_pong(facts)) or any(half_open(facts)) or any(wrong_pong(facts)):
        return
    for side in (C2S, S2C):
        mine = [one for one in facts.pings if one.direction == side]
        if not mine or any(one.pong_id is not None for one in mine) or _is_flood(facts, side):
            continue
        known = [facts.end_ns, *(frame.time_ns for frame in facts.last_frames)]
        last = max((time for time in known if time is not None), default=mine[-1].time_ns)
        waited = last - mine[0].time_ns
        # The other side spoke after the ping, so it had received it and had time to answer.
        spoke = facts.last_ns[side.other]
        has_heard = spoke is not None and spoke > mine[0].time_ns
        has_waited = facts.has_waited(mine[0].time_ns, last, _NO_PONG_NS)
        if not has_waited or not (has_heard or len(mine) >= 2):
            continue
        other: FaultOf = "client" if side == S2C else "server"
        noun = "ping" if len(mine) == 1 else "pings"
        yield Found(
            evidence=(
                f"{len(mine)} {noun} {side.arrow}, the first {seconds(waited)} before the end",
                f"no pong {side.other.arrow}",
                f"the {other} sent other frames meanwhile" if has_heard else "",
                end_line(facts) if facts.is_over else "",
            ),
            frame=mine[0].id,
            fault_of=other,
            title=f"The {other} never answered a ping",
            js=js_sees(facts),
            software=named(answer_marks(facts)),
        )
        return
