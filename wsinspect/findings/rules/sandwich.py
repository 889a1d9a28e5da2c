"""What two taps around a hop prove that one cannot: which hop it was, and what it did.

A change that did no harm is no finding; it stands in the sandwich's result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import (
    JS_FAILED,
    answer_hop,
    answer_marks,
    js_status,
    js_told,
    named,
    request_marks,
    seconds,
    status_line,
)
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.limits import matching, words
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules, ids_of_group
from wsinspect.findings.rules.handshake import has_failed
from wsinspect.findings.sandwich import PairFacts, Through, change_line

rules = Rules()

JS_CUT: Final = "close with code 1006, wasClean false, empty reason."
_IDENTITY: Final = ("host", "origin", "cookie", "authorization", "x-forwarded-proto")
_SEC: Final = (
    *("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions"),
)
_BUFFERED_NS: Final = 300_000_000


def _software(pair: PairFacts) -> tuple[str, ...]:
    """Software recognised on either side of the hop, and nginx' default signature."""
    found = [*named(answer_marks(pair.edge))]
    if pair.origin is not None:
        found += named(request_marks(pair.origin.request_in))
        head = pair.origin.request_in
        if head is not None and head.http_version == b"HTTP/1.0" and head.tokens("connection") == ["close"]:
            found.append("nginx")
    return tuple(dict.fromkeys(found))


def _hop(pair: PairFacts) -> str:
    name = answer_hop(pair.edge)
    return f"{name}, {pair.name}" if name else pair.name


def _covers(pair: PairFacts, group: str) -> tuple[tuple[int, str], ...]:
    """What one tap alone said of this connection: explained better by this finding."""
    ids = ids_of_group(group)
    # Of two captures the origin's own findings are not in question.
    origin = [pair.origin.id] if pair.origin and pair.clocks.is_same_clock else []
    both = [pair.edge.id, *origin]
    return tuple((number, rule) for number in both for rule in ids)


def _request_lines(pair: PairFacts, *names: str) -> tuple[str, ...]:
    return tuple(
        change_line(one)
        for one in pair.request_changes
        if not one.name or one.name.decode("latin-1").strip().lower() in names
    )


def _lost_upgrade(pair: PairFacts) -> bool:
    head = pair.origin.request_in if pair.origin else None
    if head is None or pair.edge.request_out is None:
        return False
    sent = pair.edge.request_out
    had = "websocket" in sent.tokens("upgrade") and "upgrade" in sent.tokens("connection")
    return had and not ("websocket" in head.tokens("upgrade") and "upgrade" in head.tokens("connection"))


@rules(
    "WS-HS-101",
    "error",
    "hop",
    "The hop removes the Upgrade headers",
    meaning="The request went into the hop as a correct opening handshake and came out without Upgrade or"
    " Connection. Both are"
    " hop-by-hop, so a proxy has to set them again for the server behind it.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H1 H2 H3 H4 H11",
    group="attempt",
    scope="pair",
)
def removes_upgrade(pair: PairFacts) -> Iterator[Found]:
    if has_failed(pair.edge) and _lost_upgrade(pair) and pair.origin is not None:
        yield Found(
            evidence=(
                *_request_lines(pair, "upgrade", "connection"),
                f"the server behind it answered {status_line(pair.origin)}",
                f"joined by {pair.joined_by}",
            ),
            hop=_hop(pair),
            software=_software(pair),
            covers=_covers(pair, "attempt"),
        )


@rules(
    "WS-HS-102",
    "error",
    "hop",
    "The hop speaks HTTP/1.0 to the server",
    meaning="The upgrade fields came through, but as HTTP/1.0, which has no upgrade, and this server"
    " refused.",
    js=JS_FAILED,
    topic="http10",
    rows="H2",
    group="attempt",
    scope="pair",
)
def speaks_http10(pair: PairFacts) -> Iterator[Found]:
    if has_failed(pair.edge) and pair.versions[1] == "HTTP/1.0" and pair.origin is not None:
        yield Found(
            evidence=(*_request_lines(pair), f"the server behind it answered {status_line(pair.origin)}"),
            hop=_hop(pair),
            software=_software(pair),
            covers=_covers(pair, "attempt"),
        )


@rules(
    "WS-HS-107",
    "error",
    "hop",
    "The server answered 101 and the hop did not pass it on",
    meaning="Behind the hop the handshake succeeded, and before it something else arrived. The hop does not"
    " carry upgrades, or a rule"
    " of it replaces responses.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H5 H9 H12 H13",
    group="attempt",
    scope="pair",
)
def swallows_101(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is not None and pair.origin.status == 101 and has_failed(pair.edge):
        yield Found(
            evidence=(
                f"behind the hop: {status_line(pair.origin)}",
                f"before it: {status_line(pair.edge) if pair.edge.status else pair.edge.error}",
            ),
            hop=_hop(pair),
            software=_software(pair),
            covers=_covers(pair, "attempt"),
        )


@rules(
    "WS-HS-104",
    "error",
    "hop",
    "The hop changes the Sec-WebSocket fields",
    meaning="Key, version, subprotocol and extensions have to pass unchanged, in both directions. Here the"
    " hop took some away or put"
    " in its own, and the handshake failed because of it.",
    js=JS_FAILED,
    topic="sec-headers",
    rows="H10 H25 H26 H27",
    group="attempt",
    scope="pair",
)
def changes_fields(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None:
        return
    changed = pair.removed(*_SEC)
    response = [
        one
        for one in pair.response_changes
        if one.name.decode("latin-1").strip().lower().startswith("sec-websocket-")
    ]
    agreed = pair.edge.negotiation
    is_missing = bool(agreed.subprotocols_offered) and agreed.status == 101 and agreed.subprotocol is None
    if (changed or response) and (has_failed(pair.edge) or agreed.problems or is_missing):
        yield Found(
            evidence=(*map(change_line, changed), *map(change_line, response)),
            hop=_hop(pair),
            software=_software(pair),
            covers=(*_covers(pair, "attempt"), *((pair.edge.id, f"WS-HS-{n:03}") for n in (24, 26, 27, 28))),
        )


@rules(
    "WS-HS-106",
    "error",
    "hop",
    "The hop rewrites the path, and the server has nothing there",
    meaning="The path that came out of the hop is another one than went in, and the server refused it. A"
    " slash after the host in a"
    " proxy's target rewrites paths.",
    js=JS_FAILED,
    topic="route",
    rows="H16",
    group="attempt",
    scope="pair",
)
def rewrites_path(pair: PairFacts) -> Iterator[Found]:
    if (
        pair.origin is None
        or pair.origin.state != "refused"
        or pair.origin.status not in (400, 403, 404, 405)
    ):
        return
    sent, came = pair.edge.request_out, pair.origin.request_in
    if sent is not None and came is not None and sent.target != came.target:
        yield Found(
            evidence=(
                f"into the hop: {sent.target.decode('latin-1')[:160]}",
                f"out of it: {came.target.decode('latin-1')[:160]}",
                f"the server answered {status_line(pair.origin)}",
            ),
            hop=_hop(pair),
            software=_software(pair),
            covers=_covers(pair, "attempt"),
        )


@rules(
    "WS-HS-105",
    "error",
    "hop",
    "The hop changes who the request claims to be, and the server refused",
    meaning="Host, Origin, Cookie or Authorization came out of the hop other than they went in. The server's"
    " check of origin or"
    " credentials then fails.",
    js=JS_FAILED,
    topic="origin",
    rows="H17 H18",
    confidence="medium",
    group="attempt",
    scope="pair",
)
def changes_identity(pair: PairFacts) -> Iterator[Found]:
    if (
        pair.origin is None
        or pair.origin.state != "refused"
        or pair.origin.status not in (400, 401, 403, 404, 421)
    ):
        return
    changed = pair.removed(*_IDENTITY)
    if changed:
        lines = [
            change_line(one).partition(":")[0] + ": (not shown)"
            if one.name.lower().strip() in (b"cookie", b"authorization")
            else change_line(one)
            for one in changed
        ]
        yield Found(
            evidence=(*lines, f"the server answered {status_line(pair.origin)}"),
            hop=_hop(pair),
            software=_software(pair),
            covers=_covers(pair, "attempt"),
        )


@rules(
    "WS-HS-103",
    "note",
    "hop",
    "The hop answered by itself and did not ask the server",
    meaning="No attempt arrived behind the hop for this one. The refusal is the hop's own: its configuration"
    " or its log says why.",
    js=js_status(None).replace("None", "N"),
    topic="",
    rows="H9 H14 H17",
    group="attempt",
    scope="pair",
)
def answers_itself(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None and has_failed(pair.edge):
        answer = status_line(pair.edge) if pair.edge.status else str(pair.edge.error)
        yield Found(
            evidence=(answer, "nothing arrived at the tap behind the hop"),
            hop=_hop(pair),
            js=js_status(pair.edge.status),
        )


# -- after the 101


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
        hop=_hop(pair),
        software=_software(pair),
        topic="idle" if is_idle else "abrupt",
        title=f"The hop closed the connection after {seconds(quiet)} without data from the server"
        if is_idle
        else None,
        js=js_told(pair.edge),
        covers=(*_covers(pair, "end"), (pair.edge.id, "WS-FR-010"), (pair.origin.id, "WS-FR-010")),
    )


@rules(
    "WS-CL-101",
    "error",
    "hop",
    "The hop changed the end of the connection",
    meaning="The server's CLOSE frame and what came out of the hop are not the same: a code was replaced,"
    " left out, or made up.",
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
        hop=_hop(pair),
        software=_software(pair),
        js=js_told(pair.edge),
        covers=_covers(pair, "end"),
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
                hop=_hop(pair),
                software=_software(pair),
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
    meaning="Messages that were sent apart came out of the hop together: it buffers the response, or"
    " rewrites it.",
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
                hop=_hop(pair),
                software=_software(pair),
            )


@rules(
    "WS-FR-101",
    "error",
    "hop",
    "The hop changes fragments or compression, and the receiver closed for it",
    meaning="Messages came out of the hop in other fragments or compressed in another way, and the receiver"
    " answered with a protocol"
    " or data error.",
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
                hop=_hop(pair),
                software=_software(pair),
            )
