"""What two taps around a hop prove after the 101: who closed, what was lost, held back or rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from wsinspect.findings.evidence import EITHER_SIDE, end_line, js_sees, seconds, unknown_order
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.limits import is_round, matching, words
from wsinspect.findings.model import Cause, FaultOf, Found, Severity
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.around import covered_by, hop_of, software_of
from wsinspect.findings.rules.keepalive import gave_up_ns, no_pong
from wsinspect.findings.sandwich import PairFacts, Through, Waited
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.violations import MASK_MISSING

rules = Rules()

JS_CUT: Final = "close with code 1006, wasClean false, empty reason."
_BUFFERED_NS: Final = 300_000_000
#: Fewer messages that the next one seemed to push out are chance.
_LEAST_BEHIND: Final = 2
#: Bytes that may wait in the hop for a receiver that does not read.
_BUFFERED_BYTES: Final = 65_536
_SELF: Final[dict[Direction, FaultOf]] = {C2S: "client", S2C: "server"}
_SIDES: Final = {"c>s": C2S, "s>c": S2C}
#: A shorter silence is not an idle timeout.
_IDLE_NS: Final = SECOND_NS * 9 // 10
#: Ends that are no further apart were one decision, carried out at once.
_AT_ONCE_NS: Final = SECOND_NS // 5
#: A peer that closes with one of these is going away or restarting.
_GOING_CODES: Final = (1001, 1012)


def _silence(facts: ConnectionFacts) -> tuple[str, str]:
    c2s, s2c = facts.silence_ns(C2S) or 0, facts.silence_ns(S2C) or 0
    return f"silence c>s {seconds(c2s)}, s>c {seconds(s2c)}", f"age {seconds(facts.age_ns or 0)}"


def _longest_pause(facts: ConnectionFacts) -> int:
    """The longest time, in ns, between two recorded frames of the whole connection."""
    seen = {one.time_ns for one in (*facts.first, *facts.last)} | {one.time_ns for one in facts.last_frames}
    times = sorted(seen | {one.time_ns for one in facts.pings})
    is_whole = len(facts.last_frames) >= sum(facts.frames)
    parts = [times] if is_whole else [sorted(one.time_ns for one in facts.last_frames)]
    return max((late - early for part in parts for early, late in pairwise(part)), default=0)


def _later_ns(pair: PairFacts) -> int:
    """How much later a hop ended the client's side than the server's; negative where that came first.

    Envoy ends the other side a second after the one (delayed_close_timeout).
    """
    edge_ns, origin_ns = pair.edge.end_ns, pair.origin.end_ns if pair.origin else None
    if edge_ns is None or origin_ns is None:
        return 0
    later = edge_ns - (origin_ns - pair.clocks.difference_ns)
    return later if abs(later) > max(_AT_ONCE_NS, pair.clocks.error_ns) else 0


def _counted(edge: ConnectionFacts, origin: ConnectionFacts, later_ns: int = 0) -> tuple[int, str]:
    """The silence that a hop may have counted, and whose: one that looks like a setting comes first.

    Args:
        later_ns: how much later it ended the edge's side: it had decided when it ended the first one.
    """
    silences = [
        (
            max(
                (edge.silence_ns(side) or 0) - max(0, later_ns),
                (origin.silence_ns(side) or 0) - max(0, -later_ns),
            ),
            name,
        )
        for side, name in ((S2C, "server"), (C2S, "client"))
    ]
    for quiet, name in silences:
        if quiet >= _IDLE_NS and (is_round(quiet / 1e9) or matching(quiet / 1e9, "idle")):
            return quiet, name
    return next((one for one in silences if one[0] >= _IDLE_NS), silences[0])


@rules(
    "WS-KA-101",
    "error",
    "hop",
    "The hop does not pass on pings, or their pongs",
    meaning="A ping went into the hop, or the pong that answers it did, and did not come out: whoever pings"
    " takes the other side for dead. A hop has to pass both on, or to answer pings itself (RFC 6455, 5.5.2).",
    js="close with code 1006 or 1011, where the side that pings gives up.",
    topic="ping-hop",
    rows="T6 T5",
    group="end",
    scope="pair",
)
def swallows_pings(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None:
        return
    for side, near, far in ((C2S, pair.edge, origin), (S2C, origin, pair.edge)):
        if near.ended_by != _SELF[side] or not any(no_pong(near)) or far.has_gap or far.lags:
            continue
        lost = [one for one in near.pings if one.direction == side and one.pong_id is None]
        arrived = [one for one in far.pings if one.direction == side]
        waited = gave_up_ns(near, side) - lost[0].time_ns if lost else 0
        if not lost or any((one.rtt_ns or 0) >= waited for one in arrived):
            continue  # the pong came, and too late: the hop passed it on, or had nobody left to give it to
        if arrived and any(one.pong_id is None for one in arrived):
            continue  # the other side did not answer
        if arrived and len(arrived) < len(near.pings):
            continue  # the hop makes pings of its own, or only some went missing
        what = ", and their pongs went in" if arrived else ""
        yield Found(
            evidence=(
                f"pings {side.arrow} that went into the hop and got no pong: {len(lost)}",
                f"pings {side.arrow} that came out of it: {len(arrived)}{what}",
                js_sees(near),
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=((pair.edge.id, "WS-KA-001"), (origin.id, "WS-KA-001"), *covered_by(pair, "end")),
        )
        return


@rules(
    "WS-DROP-101",
    "error",
    "hop",
    "The hop closed the connection",
    meaning="Neither the client nor the server ended it: the hop did, without a CLOSE frame. After a silence"
    " that is an idle timeout of the hop; of a busy connection, a lifetime limit, a reload or a stop.",
    js=JS_CUT,
    topic="idle",
    rows="T1 T2 T4",
    group="end",
    scope="pair",
)
def hop_closed(pair: PairFacts) -> Iterator[Found]:
    if pair.closed_by != "hop" or pair.origin is None or pair.edge.has_close or pair.origin.has_close:
        return
    # Where the hop left the server's side open, the silence there went on.
    is_both = pair.origin.ended_by == "client"
    later = _later_ns(pair) if is_both else 0
    quiet, side = _counted(pair.edge, pair.origin if is_both else pair.edge, later)
    doubts = [line for one in (pair.edge, pair.origin) if (line := unknown_order(one)) is not None]
    limits = matching(quiet / 1e9, "idle")
    longest = max(_longest_pause(pair.edge), _longest_pause(pair.origin))
    # It had been as quiet before without ending: not an idle timeout.
    is_idle = quiet >= _IDLE_NS and quiet > longest * 1.1
    is_idle &= pair.edge.is_silence_certain() and (not is_both or pair.origin.is_silence_certain())
    if side == "client" and not pair.edge.frames[C2S] and (pair.edge.silence_ns() or 0) < _IDLE_NS:
        is_idle = False  # the client never said anything, and the server was not silent
    yield Found(
        evidence=(
            f"before the hop: closed from the hop's side ({pair.edge.how})",
            f"behind it: closed from the hop's side ({pair.origin.how})"
            if is_both
            else f"behind it: nothing had ended the connection, nor did for {seconds(_lived_ns(pair))} more",
            _first_line(later),
            *_silence(pair.edge),
            f"it had been quiet for {seconds(longest)} before and survived: not an idle timeout"
            if _IDLE_NS <= quiet <= longest * 1.1
            else "",
            *(f"known limit: {words(limit)}" for limit in (limits[:4] if is_idle else ())),
            *doubts[:1],
        ),
        severity="warning" if doubts else None,
        confidence="low" if doubts else None,
        causes=(
            Cause("the hop closed both sides", "the hop's log for this moment"),
            *EITHER_SIDE,
        )
        if doubts
        else (),
        hop=hop_of(pair),
        software=software_of(pair),
        topic="idle" if is_idle else "lifetime" if (pair.edge.age_ns or 0) >= _IDLE_NS else "abrupt",
        title=f"The hop closed the connection after {seconds(quiet)} without data from the {side}"
        if is_idle
        else None,
        js=js_sees(pair.edge),
        covers=(*covered_by(pair, "end"), (pair.edge.id, "WS-FR-010"), (pair.origin.id, "WS-FR-010")),
    )


def _first_line(later_ns: int) -> str:
    first = "server" if later_ns > 0 else "client"
    return f"it ended the {first}'s side {seconds(abs(later_ns))} before the other" if later_ns else ""


def _lived_ns(pair: PairFacts) -> int:
    """How long the server's side was there after the hop had ended the client's."""
    return 0 if pair.edge.end_ns is None else max(0, pair.lived_after_ns(C2S, pair.edge.end_ns))


@rules(
    "WS-CL-101",
    "error",
    "hop",
    "The hop changed the end of the connection",
    meaning="The CLOSE frame that arrived at the hop and what left it are not the same. A code was replaced,"
    " left out, or made up.",
    js=JS_CUT,
    topic="close-code",
    rows="F9 T4",
    group="end",
    scope="pair",
)
def changes_close(pair: PairFacts) -> Iterator[Found]:
    edge, origin = pair.edge, pair.origin
    if origin is None or not edge.was_open or not origin.was_open:
        return
    lost = _lost_close(pair, edge, origin)
    if lost is not None:
        yield lost
        return
    if not edge.is_over or not origin.is_over:
        return
    if pair.closed_by == "hop" and (edge.has_close or origin.has_close):
        yield _closed_by_hop(pair, origin)
        return
    of_edge = edge.server_close_code, edge.server_close_reason
    of_origin = origin.client_close_code, origin.client_close_reason
    severity: Severity | None = None
    covers = covered_by(pair, "end")
    if edge.ended_by == "client" and edge.has_close and origin.ended_by == "client":
        sent = edge.client_close_code, edge.client_close_reason
        if sent == of_origin:
            return
        lines = [f"the client sent {_close(*sent)}", f"out of the hop came {_close(*of_origin)}"]
        severity = "warning"
    elif origin.ended_by == "server" and edge.ended_by == "server":
        sent = origin.server_close_code, origin.server_close_reason
        if sent == of_edge:
            return
        lines = [f"the server sent {_close(*sent)}", f"out of the hop came {_close(*of_edge)}"]
        if sent == (None, None):
            # How the server ended is the failure; the hop only passed it on in its own words.
            severity = "warning"
            covers = tuple(one for one in covers if one[0] == edge.id)
    else:
        return
    yield Found(
        evidence=(*lines, js_sees(edge)),
        severity=severity,
        hop=hop_of(pair),
        software=software_of(pair),
        js=js_sees(edge),
        covers=covers,
    )


#: A CLOSE frame passes a hop in less than this, and in less than so many times what other things took.
_LEAST_ON_ITS_WAY_NS: Final = 300_000_000
_TIMES_TAKEN: Final = 20
_ON_ITS_WAY: Final = Cause(
    "it was still on its way, and the other side left by itself at that moment",
    "the hop's load then; does it happen again?",
)
_KEPT_CLOSE: Final = (
    Cause("the hop swallows CLOSE frames", "where the other side stays longer: does one ever come out?"),
    Cause("the hop holds it back", "the hop's log for this moment, and what it waits for"),
)


def _lost_close(pair: PairFacts, edge: ConnectionFacts, origin: ConnectionFacts) -> Found | None:
    """A CLOSE frame that went into the hop and did not come out while its other side lived on."""
    ways = (
        (C2S, "client", edge, edge.client_close_code, edge.client_close_reason, origin.client_close_reason),
        (
            S2C,
            "server",
            origin,
            origin.server_close_code,
            origin.server_close_reason,
            edge.server_close_reason,
        ),
    )
    for side, who, facts, code, reason, arrived in ways:
        at = [one.time_ns for one in facts.last_frames if one.opcode == 8 and one.direction == side]
        if reason is None or arrived is not None or not at:
            continue
        through = (pair.c2s if side == C2S else pair.s2c) or Through()
        lived = seconds(pair.lived_after_ns(side, at[0]))
        taken = SECOND_NS if through.delays_ns is None else through.patience_ns
        is_sure = pair.is_overdue(side, at[0], taken + pair.clocks.error_ns)
        other, far = _SELF[side.other], origin if side == C2S else edge
        is_overdue = pair.is_overdue(side, at[0], through.patience_ns)
        # Who leaves by itself and got no CLOSE has not begun the end, and may have cut the wait short.
        is_left = far.ended_by == other and far.how in ("fin", "rst") and not far.has_close
        is_long = is_left and pair.is_overdue(side, at[0], _on_its_way_ns(pair, through))
        # How long it had been in the hop depends on the machine; that it had gone in and had not come out
        # does not, and then nobody knows what the other side would have done with it.
        is_asked = is_left and facts.ended_by == who and pair.may_be_first(side, at[0])
        if not (is_overdue or is_long or is_asked):
            continue
        rivals = _KEPT_CLOSE if is_sure and is_long else (*_KEPT_CLOSE, _ON_ITS_WAY)
        # A moment after it went in it is likelier on its way than lost.
        longest = max(_LEAST_ON_ITS_WAY_NS, through.delays_ns[3] if through.delays_ns else 0)
        is_moment = not is_overdue and pair.lived_after_ns(side, at[0]) <= longest
        return Found(
            title="The hop swallowed a CLOSE frame"
            if is_overdue
            else f"A CLOSE frame had not come out of the hop when the {other} left",
            severity=None if is_overdue else "warning",
            confidence=None if is_overdue else "medium" if is_sure and is_long else "low",
            evidence=(
                f"the {who} sent {_close(code, reason)}, and nothing came out of the hop",
                f"the connection on the {other}'s side was open for {lived} after that",
                "" if is_overdue else f"then the {other} ended it: {end_line(far)}",
            ),
            causes=() if is_overdue else (_ON_ITS_WAY, *_KEPT_CLOSE) if is_moment else rivals,
            fault_of=_SELF[side.other] if is_moment else None,
            hop=hop_of(pair),
            software=software_of(pair),
            js=js_sees(edge),
            covers=covered_by(pair, "end"),
        )
    return None


def _on_its_way_ns(pair: PairFacts, through: Through) -> int:
    """How long a CLOSE frame may be on its way through this hop, at least: by what it took for messages, or
    else for the handshake."""
    usual = SECOND_NS if through.delays_ns is None else through.patience_ns
    took = _handshake_took_ns(pair) if through.delays_ns is None else through.delays_ns[3]
    quick = usual if took is None else max(_LEAST_ON_ITS_WAY_NS, _TIMES_TAKEN * took)
    return min(usual, quick) + pair.clocks.error_ns


def _handshake_took_ns(pair: PairFacts) -> int | None:
    """How long the hop took to pass the request on, its own connection to the server included."""
    sent = pair.edge.times.get("request_out_ns")
    came = pair.origin.times.get("request_in_ns") if pair.origin else None
    if sent is None or came is None:
        return None
    return max(0, came - pair.clocks.difference_ns - sent) + pair.clocks.error_ns


def _closed_by_hop(pair: PairFacts, origin: ConnectionFacts) -> Found:
    """The hop ended a connection that neither side had ended, with a CLOSE frame of its own."""
    edge = pair.edge
    is_unmasked = any(
        frame.violation == MASK_MISSING and frame.opcode == 8 and frame.direction == C2S
        for frame, _ in origin.violations
    )
    # The server has to answer 1002 to such a frame: the hop causes that, and what follows from it.
    is_answer = is_unmasked and edge.server_close_code == origin.server_close_code == 1002
    code = origin.client_close_code if is_answer else edge.server_close_code
    # With two captures, the origin's own findings are not judged here.
    is_named = is_unmasked and pair.clocks.is_same_clock
    return Found(
        evidence=(
            f"towards the client: {_close(edge.server_close_code, edge.server_close_reason)}",
            f"towards the server: {_close(origin.client_close_code, origin.client_close_reason)}",
            "the hop's own CLOSE to the server is not masked, against RFC 6455, 5.1" if is_unmasked else "",
            "the 1002 is the server's answer to it, which the hop passed on" if is_answer else "",
            js_sees(edge),
        ),
        title="The hop itself closed the connection",
        severity="warning" if code in (1000, *_GOING_CODES) else "error",
        topic="reload" if code in _GOING_CODES else None,
        hop=hop_of(pair),
        software=software_of(pair),
        js=js_sees(edge),
        covers=(*covered_by(pair, "end"), *(((origin.id, "WS-FR-001"),) if is_named else ())),
    )


def _close(code: int | None, reason: str | None) -> str:
    if code is None:
        return "no CLOSE frame" if reason is None else "CLOSE without a code"
    return f"CLOSE {code} {reason or ''}".rstrip()


def _ways(pair: PairFacts) -> Iterator[tuple[str, Through]]:
    if pair.c2s is not None:
        yield "c>s", pair.c2s
    if pair.s2c is not None:
        yield "s>c", pair.s2c


#: Hops that finish something first take a second (Envoy's delayed_close_timeout), or a little more.
_PASSED_ON_NS: Final = 3 * SECOND_NS


@rules(
    "WS-DROP-102",
    "error",
    "hop",
    "The hop did not pass on that the connection had ended",
    meaning="One side ended TCP, and the hop kept the other side open. That side still sends, to nobody, and"
    " notices nothing until a limit or a heartbeat of its own ends it.",
    js="Nothing while the hop keeps the connection; then what the last line of the evidence says.",
    topic="end-kept",
    rows="T5 F14",
    group="end",
    scope="pair",
)
def keeps_what_ended(pair: PairFacts) -> Iterator[Found]:
    edge, origin = pair.edge, pair.origin
    if origin is None or not edge.was_open or not origin.was_open or edge.unrecorded or origin.unrecorded:
        return
    for side, near, far in ((S2C, origin, edge), (C2S, edge, origin)):
        who, other = _SELF[side], _SELF[side.other]
        # The far side's own end, or none yet: an end that the hop passed on is the near side's there, too.
        has_passed_on = far.ended_by not in (None, other)
        if near.ended_by != who or near.how not in ("fin", "rst") or near.end_ns is None or has_passed_on:
            continue
        through = (pair.c2s if side == C2S else pair.s2c) or Through()
        patience = max(_PASSED_ON_NS, through.patience_ns) + pair.clocks.error_ns
        if near.state == "lost" or far.state == "lost" or not pair.is_overdue(side, near.end_ns, patience):
            continue
        lived = pair.lived_after_ns(side, near.end_ns)
        yield Found(
            evidence=(
                f"the {who} ended its side: {end_line(near)}",
                f"the {other}'s side of the hop was open for {seconds(lived)} after that",
                end_line(far) if far.is_over else f"the {other}'s side is still open",
                js_sees(edge) if edge.is_over else "",
            ),
            title=f"The hop did not pass on that the {who} had ended the connection",
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "end"),
        )
        return


@rules(
    "WS-MS-102",
    "error",
    "hop",
    "Messages were lost in the hop, or made up by it",
    meaning="Not everything that went into the hop came out, though the other side was open. TCP loses"
    " nothing within a connection, so the hop reads and writes messages itself.",
    js="Messages are missing; nothing is reported.",
    topic="frame-bug",
    rows="F14",
    scope="pair",
)
def loses(pair: PairFacts) -> Iterator[Found]:
    for arrow, through in _ways(pair):
        # Messages still on their way when the connection ended were not lost.
        is_lost = _is_whole(pair, arrow) or _is_overdue(pair, arrow, through)
        lost = through.lost_count - (0 if is_lost else through.tail)
        if lost or through.added_count:
            first = ", ".join(f"frame {number}" for number in through.lost[:lost])
            yield Found(
                evidence=(
                    f"{arrow}: {through.sent} messages went in, {through.arrived} came out",
                    f"lost: {lost}, the first ones {first}" if lost else "",
                    *(_overdue_line(pair, arrow, through) if lost and through.tail else ()),
                    f"made up by the hop: {through.added_count} that nobody sent"
                    if through.added_count
                    else "",
                ),
                frame=through.lost[0] if lost and (arrow == "c>s" or pair.clocks.is_same_clock) else None,
                hop=hop_of(pair),
                software=software_of(pair),
            )


def _is_overdue(pair: PairFacts, arrow: str, through: Through) -> bool:
    """Whether the last messages would have come out long ago, at the pace of this hop."""
    if through.tail_ns is None or through.tail_bytes > _BUFFERED_BYTES:
        return False
    return pair.is_overdue(_SIDES[arrow], through.tail_ns, through.patience_ns)


def _overdue_line(pair: PairFacts, arrow: str, through: Through) -> Iterator[str]:
    if through.tail_ns is not None and _is_overdue(pair, arrow, through):
        lived = pair.lived_after_ns(_SIDES[arrow], through.tail_ns)
        before = f", {seconds(through.delays_ns[3])} at most before" if through.delays_ns else ""
        yield f"the other side was open for {seconds(lived)} after the last of them went in{before}"


def _is_whole(pair: PairFacts, arrow: str) -> bool:
    """Whether the sender of a direction ended it properly and that came through: so must all before it."""
    if pair.origin is None:
        return False
    if arrow == "c>s":
        return pair.edge.ended_by == "client" and pair.origin.client_close_code is not None
    return pair.origin.ended_by == "server" and pair.edge.server_close_code is not None


@rules(
    "WS-MS-101",
    "warning",
    "hop",
    "The hop holds messages back and passes them on in bursts",
    meaning="Messages that were sent apart came out of the hop together. It buffers or rewrites the"
    " response: switch buffering off for this path.",
    js="onmessage is called late, for several messages at once.",
    topic="buffering",
    rows="F13",
    scope="pair",
)
def buffers(pair: PairFacts) -> Iterator[Found]:
    for arrow, through in _ways(pair):
        waits = through.longest
        if through.behind >= _LEAST_BEHIND and not (pair.edge.lags or (pair.origin and pair.origin.lags)):
            yield _one_behind(pair, arrow, through)
            continue
        is_held = through.held >= 3 and (not waits or any(pair.held_ns(one) >= _BUFFERED_NS for one in waits))
        if is_held and through.held_ns >= _BUFFERED_NS and through.delays_ns is not None:
            least, middle, _, longest = through.delays_ns
            yield Found(
                evidence=(
                    f"{arrow}: {through.held} of {through.arrived} messages came out together with others",
                    f"time in the hop: least {seconds(least)}, median {seconds(middle)},"
                    f" longest {seconds(longest)}",
                    *(_waited(pair, arrow, one) for one in through.longest),
                ),
                frame=through.longest[0].id
                if through.longest and (arrow == "c>s" or pair.clocks.is_same_clock)
                else None,
                hop=hop_of(pair),
                software=software_of(pair),
            )


def _one_behind(pair: PairFacts, arrow: str, through: Through) -> Found:
    """What was read is left in a buffer, as of a TLS library that is not asked for what it still has."""
    assert through.delays_ns is not None
    least, _, _, longest = through.delays_ns
    lost = f", and the last {through.tail} never" if through.tail > 1 else ", and the last one never"
    return Found(
        title="The hop is one message behind: each comes out when the next one goes in",
        meaning="The hop reads a message and passes it on only when more data arrives. The last one stays"
        " there: whoever waits for it waits in vain.",
        evidence=(
            f"{arrow}: {through.behind} messages came out just when the next one went in"
            f"{lost if through.tail else ''}",
            f"time in the hop: least {seconds(least)}, longest {seconds(longest)}",
        ),
        severity="error",
        js="onmessage is called late, and for the last message never.",
        hop=hop_of(pair),
        software=software_of(pair),
    )


def _waited(pair: PairFacts, arrow: str, one: Waited) -> str:
    source = pair.edge if arrow == "c>s" or pair.origin is None else pair.origin
    since = seconds(one.time_ns - (source.open_ns or one.time_ns))
    return f"frame {one.id} went in at {since} after the 101 and came out {seconds(one.for_ns)} later"


@rules(
    "WS-FR-101",
    "error",
    "hop",
    "The hop changes fragments or compression, and the receiver closed because of it",
    meaning="Messages came out of the hop in other fragments, or with other compression. The receiver"
    " answered with a protocol or data error.",
    js=JS_CUT,
    topic="compression",
    rows="F12 F2 F5",
    scope="pair",
)
def rewrites_frames(pair: PairFacts) -> Iterator[Found]:
    codes = {pair.edge.client_close_code, pair.edge.server_close_code}
    codes |= {pair.origin.client_close_code, pair.origin.server_close_code} if pair.origin else set()
    for arrow, through in _ways(pair):
        if (through.reframed or through.recompressed) and codes & {1002, 1003, 1007, 1009}:
            yield Found(
                evidence=(
                    f"{arrow}: {through.reframed} messages came out in other fragments",
                    f"{through.recompressed} with other compression",
                    f"closed with {', '.join(str(code) for code in codes if code)}",
                ),
                hop=hop_of(pair),
                software=software_of(pair),
            )
