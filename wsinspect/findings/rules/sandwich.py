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
    named,
    request_marks,
    status_line,
)
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules, ids_of_group
from wsinspect.findings.rules.handshake import has_failed
from wsinspect.findings.sandwich import PairFacts, change_line

rules = Rules()

_BAD_101: Final = ("WS-HS-024", "WS-HS-026", "WS-HS-027", "WS-HS-028")
_IDENTITY: Final = ("host", "origin", "cookie", "authorization", "x-forwarded-proto")
#: Where an attempt failed that never reached the other side.
_NO_WAY: Final = ("connect", "tls-server")
_SEC: Final = (
    *("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions"),
)


def software_of(pair: PairFacts) -> tuple[str, ...]:
    """Software recognised on either side of the hop, and nginx' default signature."""
    found = [*named(answer_marks(pair.edge))]
    if pair.origin is not None:
        found += named(request_marks(pair.origin.request_in))
        head = pair.origin.request_in
        if head is not None and head.http_version == b"HTTP/1.0" and head.tokens("connection") == ["close"]:
            found.append("nginx")
    return tuple(dict.fromkeys(found))


def hop_of(pair: PairFacts) -> str:
    """The hop, as a finding names it."""
    name = answer_hop(pair.edge)
    return f"{name}, {pair.name}" if name else pair.name


def covered_by(pair: PairFacts, group: str) -> tuple[tuple[int, str], ...]:
    """What one tap alone said of this connection: explained better by this finding."""
    ids = ids_of_group(group)
    # Of two captures the origin's own findings are not in question.
    origin = [pair.origin.id] if pair.origin and pair.clocks.is_same_clock else []
    both = [pair.edge.id, *origin]
    return tuple((number, rule) for number in both for rule in ids)


def answered_behind(pair: PairFacts) -> str:
    """What became of the attempt behind the hop."""
    origin = pair.origin
    if origin is None:
        return "nothing arrived behind the hop"
    if origin.response_in is not None:
        return f"the server behind it answered {status_line(origin)}"
    if not origin.is_over:
        return "the server behind it has not answered so far"
    return f"the server behind it gave no answer: {origin.error or origin.how}"


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
                answered_behind(pair),
                f"joined by {pair.joined_by}",
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-HS-102",
    "error",
    "hop",
    "The hop speaks HTTP/1.0 to the server",
    meaning="The upgrade fields came through, but as HTTP/1.0, which has no upgrade. This server "
    "refused such a request.",
    js=JS_FAILED,
    topic="http10",
    rows="H2",
    group="attempt",
    scope="pair",
)
def speaks_http10(pair: PairFacts) -> Iterator[Found]:
    if has_failed(pair.edge) and pair.versions[1] == "HTTP/1.0" and pair.origin is not None:
        yield Found(
            evidence=(*_request_lines(pair), answered_behind(pair)),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
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
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
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
            hop=hop_of(pair),
            software=software_of(pair),
            covers=(
                *covered_by(pair, "attempt"),
                *((pair.edge.id, f"WS-HS-{n:03}") for n in (24, 26, 27, 28)),
            ),
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
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
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
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-HS-108",
    "error",
    "server",
    "The server behind the hop did not answer in time, and the hop gave up",
    meaning="The handshake went through the hop and lies at the server, which sent no byte of an answer."
    " The hop waited for its own limit and then answered for it.",
    js=JS_FAILED,
    topic="timeout",
    rows="H24",
    group="attempt",
    scope="pair",
)
def gave_up(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    is_silent = origin is not None and origin.raw_response_in is None and origin.failed_where not in _NO_WAY
    if origin is not None and is_silent and pair.edge.status == 504:
        yield Found(
            evidence=(f"before the hop: {status_line(pair.edge)}", "behind it: no byte of an answer"),
            hop=hop_of(pair),
            software=software_of(pair),
            js=js_status(504),
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-HS-109",
    "error",
    "hop",
    "The hop is down: nothing accepts connections at its address",
    meaning="The tap before the hop could not connect to it, so nothing arrived behind it either. This proxy"
    " answered the client with 502.",
    js=JS_FAILED,
    topic="connect",
    rows="H24 H30",
    group="attempt",
    scope="pair",
)
def hop_is_down(pair: PairFacts) -> Iterator[Found]:
    edge = pair.edge
    if pair.origin is None and edge.state == "failed" and edge.failed_where == "connect":
        yield Found(
            evidence=(f"the hop at {edge.server_address}: {edge.error}",),
            hop=pair.name,
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-HS-103",
    "note",
    "hop",
    "The hop answered by itself and did not ask the server",
    meaning="No attempt arrived behind the hop for this one. The refusal is the hop's own: its configuration"
    " or its log says why.",
    js=js_status(None).replace("None", "N"),
    topic="own-answer",
    rows="H9 H14 H17",
    group="attempt",
    scope="pair",
)
def answers_itself(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None and has_failed(pair.edge) and pair.edge.failed_where not in _NO_WAY:
        answer = status_line(pair.edge) if pair.edge.status else str(pair.edge.error)
        yield Found(
            evidence=(answer, "nothing arrived at the tap behind the hop"),
            hop=hop_of(pair),
            software=software_of(pair),
            js=js_status(pair.edge.status),
        )
