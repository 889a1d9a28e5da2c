"""What two taps around a hop prove after the 101: who closed, what was lost, held back or rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import js_told, seconds
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.limits import matching, words
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.sandwich import covered_by, hop_of, software_of
from wsinspect.findings.sandwich import PairFacts, Through

rules = Rules()

JS_CUT: Final = "close with code 1006, wasClean false, empty reason."
_BUFFERED_NS: Final = 300_000_000


def _silence(facts: ConnectionFacts) -> tuple[str, str]:
    c2s, s2c = facts.silence_ns(C2S) or 0, facts.silence_ns(S2C) or 0
    return f"silence c>s {seconds(c2s)}, s>c {seconds(s2c)}", f"age {seconds(facts.age_ns or 0)}"


@rules(
    "WS-DROP-101",
    "error",
    "hop",
    "The hop closed the connection",
    meaning="Neither the client nor the server ended it: the hop closed both sides, without a CLOSE frame."
    " After a silence that is an"
    " idle timeout of the hop.",
    js=JS_CUT,
    topic="idle",
    rows="T1 T2 T4",
    group="end",
    scope="pair",
)
def hop_closed(pair: PairFacts) -> Iterator[Found]:
    if pair.closed_by != "hop" or pair.origin is None or pair.edge.has_close or pair.origin.has_close:
        return
    quiet = max(pair.edge.silence_ns(S2C) or 0, pair.origin.silence_ns(S2C) or 0)
    limits = matching(quiet / 1e9, "idle")
    is_idle = quiet >= SECOND_NS * 9 // 10
    yield Found(
        evidence=(
            f"before the hop: ended by its server's side, {pair.edge.how}",
            f"behind it: ended by its client's side, {pair.origin.how}",
            *_silence(pair.edge),
            *(f"known limit: {words(limit)}" for limit in limits[:4]),
        ),
        hop=hop_of(pair),
        software=software_of(pair),
        topic="idle" if is_idle else "abrupt",
        title=f"The hop closed the connection after {seconds(quiet)} without data from the server"
        if is_idle
        else None,
        js=js_told(pair.edge),
        covers=(*covered_by(pair, "end"), (pair.edge.id, "WS-FR-010"), (pair.origin.id, "WS-FR-010")),
    )


@rules(
    "WS-CL-101",
    "error",
    "hop",
    "The hop changed the end of the connection",
    meaning="The server's CLOSE frame and what came out of the hop are not the same. A code was "
    "replaced, left out, or made up.",
    js=JS_CUT,
    topic="close-code",
    rows="F9 T4",
    group="end",
    scope="pair",
)
def changes_close(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None or not pair.edge.was_open or not pair.edge.is_over:
        return
    sent = pair.origin.server_close_code, pair.origin.server_close_reason
    came = pair.edge.server_close_code, pair.edge.server_close_reason
    ended_first = pair.edge.ended_by == "client"
    if sent == came or (ended_first and came == (None, None)):
        return
    yield Found(
        evidence=(
            f"the server sent {_close(*sent)}",
            f"out of the hop came {_close(*came)}",
            js_told(pair.edge),
        ),
        hop=hop_of(pair),
        software=software_of(pair),
        js=js_told(pair.edge),
        covers=covered_by(pair, "end"),
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


@rules(
    "WS-MS-102",
    "error",
    "hop",
    "Messages were lost in the hop, or made up by it",
    meaning="What went into the hop did not all come out, in a connection that went on. TCP loses nothing"
    " inside a connection, so the"
    " hop reads and writes messages itself.",
    js="Messages are missing; nothing is reported.",
    topic="frame-bug",
    rows="F14",
    scope="pair",
)
def loses(pair: PairFacts) -> Iterator[Found]:
    for arrow, through in _ways(pair):
        # What was still on its way when the connection ended is no loss.
        tail = through.lost_count <= max(0, through.sent - through.arrived) and _is_tail(pair, through, arrow)
        if (through.lost_count and not tail) or through.added_count:
            yield Found(
                evidence=(
                    f"{arrow}: {through.sent} messages went in, {through.arrived} came out",
                    f"lost: {through.lost_count}, the first ones {list(through.lost)}",
                    f"not sent by anybody: {through.added_count}",
                ),
                frame=through.lost[0] if through.lost and arrow == "c>s" else None,
                hop=hop_of(pair),
                software=software_of(pair),
            )


def _is_tail(pair: PairFacts, through: Through, arrow: str) -> bool:
    """Whether what did not arrive is the end of a connection that was cut, or still runs."""
    if pair.edge.is_over and pair.edge.js_was_clean:
        return False
    source = pair.edge if arrow == "c>s" else pair.origin
    last = [m.id for m in source.last if m.direction == (C2S if arrow == "c>s" else S2C)] if source else []
    return bool(through.lost) and through.lost[0] in last[-through.lost_count :]


@rules(
    "WS-MS-101",
    "warning",
    "hop",
    "The hop holds messages back and passes them on in bursts",
    meaning="Messages that were sent apart came out of the hop together. It buffers the response, or "
    "rewrites it.",
    js="onmessage is called late, for several messages at once.",
    topic="buffering",
    rows="F13",
    scope="pair",
)
def buffers(pair: PairFacts) -> Iterator[Found]:
    for arrow, through in _ways(pair):
        if through.held >= 3 and through.held_ns >= _BUFFERED_NS and through.delays_ns is not None:
            least, middle, _, longest = through.delays_ns
            yield Found(
                evidence=(
                    f"{arrow}: {through.held} of {through.arrived} messages came together with others",
                    f"in the hop for {seconds(least)} at least, {seconds(middle)} mostly, {seconds(longest)}"
                    f" at most",
                ),
                hop=hop_of(pair),
                software=software_of(pair),
            )


@rules(
    "WS-FR-101",
    "error",
    "hop",
    "The hop changes fragments or compression, and the receiver closed for it",
    meaning="Messages came out of the hop in other fragments, or compressed in another way. The "
    "receiver answered with a protocol or data error.",
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
