"""What two taps around a hop prove that one cannot: which hop it was, and what it did.

A change of the request is an error only where it explains the answer (`findings/changes.py`); what could
explain it, and what could not is in a note of its own, last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from wsinspect.findings.changes import (
    LIKELY,
    POSSIBLE,
    Kind,
    Suspect,
    field_changes,
    is_mute,
    notable,
    unknown_fields,
)
from wsinspect.findings.evidence import (
    JS_FAILED,
    answer_marks,
    body_line,
    js_status,
    named,
    request_marks,
    seconds,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules, ids_of_group
from wsinspect.findings.rules.handshake import has_failed, left_before_answer
from wsinspect.findings.rules.kept import NO_WAY, elsewhere, has_left, kept, kept_ns
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.software import Mark
from wsinspect.findings.software import hop_of as first_hop
from wsinspect.handshake.bridging import comparable_requests

rules = Rules()

#: What a hop answers after its timeout.
_GAVE_UP: Final = (408, 500, 502, 503, 504)
#: What a hop changes in the request line: title, meaning and fixes, where they are not the rule's.
_REQUEST_LINE: Final[Mapping[Kind, tuple[str | None, str | None, str | None]]] = {
    "method": (
        "The hop changes the method, and the server refused",
        "The request went in as a GET and came out as another method. An opening handshake is a GET.",
        "method",
    ),
    "path": (None, None, None),
    "query": (
        "The hop drops or changes the query, and the server refused",
        "The query that came out of the hop is not the one that went in. What was in it, such as a token, did"
        " not reach the server.",
        "query",
    ),
}
#: Problems of a 101, and the fields that cause them.
_BAD_101: Final = {
    "accept": ("sec-websocket-accept", "sec-websocket-key"),
    "subprotocol-not-offered": ("sec-websocket-protocol",),
    "extension-not-offered": ("sec-websocket-extensions",),
    "deflate-params": ("sec-websocket-extensions",),
}


#: What one tap says where the two sides do not agree on an extension.
BROKEN_BY_EXTENSIONS: Final = ("WS-FR-003", "WS-MS-002", "WS-CL-002", "WS-CL-007")


def own_marks(pair: PairFacts) -> tuple[Mark, ...]:
    """The marks that this very hop left: those in the answer and the request that it added."""
    answered = answer_marks(pair.edge)
    if pair.origin is None:
        return answered
    behind = {mark.software for mark in answer_marks(pair.origin)}
    before = {mark.evidence for mark in request_marks(pair.edge.request_out)}
    return (
        *(mark for mark in answered if mark.software not in behind),
        *(mark for mark in request_marks(pair.origin.request_in) if mark.evidence not in before),
    )


def _is_default_nginx(pair: PairFacts) -> bool:
    """Whether the request came out as nginx before 1.29.7 sends it by default."""
    head, sent = pair.origin.request_in if pair.origin else None, pair.edge.request_out
    return (
        head is not None
        and head.http_version == b"HTTP/1.0"
        and head.tokens("connection") == ["close"]
        and (sent is None or sent.http_version != b"HTTP/1.0")
    )


def software_of(pair: PairFacts) -> tuple[str, ...]:
    """Software recognised by the hop's own marks; where it has none, by those of the answer."""
    found = [*named(own_marks(pair)), *(["nginx"] if _is_default_nginx(pair) else [])]
    return tuple(dict.fromkeys(found or named(answer_marks(pair.edge))))


def hop_of(pair: PairFacts) -> str:
    """The hop, as a finding names it."""
    name = first_hop(own_marks(pair)) or ("nginx" if _is_default_nginx(pair) else None)
    return f"{name}, {pair.name}" if name else pair.name


def covered_by(pair: PairFacts, group: str) -> tuple[tuple[int, str], ...]:
    """Findings of one tap alone about this connection, which this finding replaces: (connection, rule)."""
    ids = ids_of_group(group)
    # With two captures, the origin's own findings are not judged here.
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
        return "the server behind it has not answered yet"
    return f"the server behind it did not answer: {origin.error or origin.how}"


def _suspects(pair: PairFacts, kind: Kind) -> list[Suspect]:
    """The changes of a kind, where the surest suspect of all is one of them."""
    found = pair.suspects
    return [one for one in found if one.kind == kind] if found and found[0].kind == kind else []


def _blamed(pair: PairFacts, kind: Kind) -> list[Suspect]:
    """Those that explain the failure, and not only could."""
    return [one for one in _suspects(pair, kind) if one.weight >= LIKELY]


def _lines(found: list[Suspect]) -> tuple[str, ...]:
    return (
        *(line for one in found for line in one.lines),
        *dict.fromkeys(one.why for one in found if one.why),
    )


@rules(
    "WS-HS-101",
    "error",
    "hop",
    "The hop removes the Upgrade headers",
    meaning="The request went into the hop as a correct opening handshake and came out without Upgrade or"
    " Connection. Both are hop-by-hop, so a proxy has to set them again for the server behind it.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H1 H2 H3 H4 H11",
    group="attempt",
    scope="pair",
)
def removes_upgrade(pair: PairFacts) -> Iterator[Found]:
    found = [one for one in pair.suspects if one.kind == "upgrade"]
    if not found or pair.origin is None:
        return
    is_reason = found[0].weight >= LIKELY
    # An answer with another reason comes first: this is what fails next.
    covers = covered_by(pair, "attempt")
    yield Found(
        evidence=(
            *_lines(found),
            answered_behind(pair),
            ""
            if is_reason
            else "the answer has another reason; without Upgrade it would not be a 101 either",
            f"joined by {pair.joined_by}",
        ),
        severity=None if is_reason else "warning",
        hop=hop_of(pair),
        software=software_of(pair),
        covers=covers if is_reason else tuple(one for one in covers if one[1] in ("WS-HS-001", "WS-HS-002")),
    )


@rules(
    "WS-HS-102",
    "error",
    "hop",
    "The hop speaks HTTP/1.0 to the server",
    meaning="The Upgrade headers came through, but in an HTTP/1.0 request, and HTTP/1.0 has no upgrade. This"
    " server refused it: make the hop speak HTTP/1.1.",
    js=JS_FAILED,
    topic="http10",
    rows="H2",
    group="attempt",
    scope="pair",
)
def speaks_http10(pair: PairFacts) -> Iterator[Found]:
    found = _blamed(pair, "http10")
    if found:
        yield Found(
            evidence=(*_lines(found), answered_behind(pair)),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-HS-107",
    "error",
    "hop",
    "The server answered 101 and the hop did not pass it on",
    meaning="Behind the hop the handshake succeeded; before it something else arrived. The hop does not"
    " carry upgrades, or one of its rules replaces responses.",
    js=JS_FAILED,
    topic="upgrade-response",
    rows="H5 H9 H12 H13",
    group="attempt",
    scope="pair",
)
def swallows_101(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None or not origin.is_accepted or not has_failed(pair.edge):
        return
    is_kept = has_left(pair.edge)
    if is_kept and kept(pair) != "answer":
        return  # it may have been on its way still
    # A 101 that no client may take is the server's fault; one that came too late is WS-HS-108.
    if is_bad_101(origin) or pair.is_answered_early:
        return
    yield Found(
        evidence=(
            f"behind the hop: {status_line(origin)}",
            f"before it: {status_line(pair.edge) if pair.edge.status else pair.edge.error}",
            f"the client waited {seconds(kept_ns(pair))} more, and left" if is_kept else "",
        ),
        hop=hop_of(pair),
        software=software_of(pair),
        covers=covered_by(pair, "attempt"),
    )


def is_bad_101(facts: ConnectionFacts) -> bool:
    """Whether a server's 101 is one that a hop need not pass on: unfinished, in HTTP/1.0, with a body, or
    without what RFC 6455, 4.1, asks of it."""
    head = facts.response_in
    if head is None or not head.is_complete or facts.negotiation.problems:
        return True
    has_body = head.get("transfer-encoding") is not None or head.get("content-length") not in (None, b"0")
    return has_body or head.http_version == b"HTTP/1.0"


@rules(
    "WS-HS-110",
    "error",
    "hop",
    "The hop removes Upgrade or Connection from the server's 101",
    meaning="The server's response was a correct 101 and came out of the hop without 'Upgrade: websocket' or"
    " 'Connection: Upgrade'. Both are hop-by-hop, so a proxy has to set them again in the response, too.",
    js=JS_FAILED + " Chrome's console: 'Upgrade' header is missing.",
    topic="upgrade-response",
    rows="H25",
    group="attempt",
    scope="pair",
)
def strips_101(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None or origin.status != 101 or pair.edge.status != 101:
        return
    names = {"upgrade", "connection"}
    # What was broken when it left the server is not the hop's, however it tidied that up.
    lost = names & set(pair.edge.negotiation.problems) and not names & set(origin.negotiation.problems)
    if lost:
        changed = [one for one in pair.response_fields if one.name in ("upgrade", "connection")]
        yield Found(
            evidence=(*(line for one in changed for line in one.lines), f"joined by {pair.joined_by}"),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=(*covered_by(pair, "attempt"), (pair.edge.id, "WS-HS-025")),
        )


@rules(
    "WS-H2-101",
    "error",
    "hop",
    "The hop puts a WebSocket over HTTP/2 into HTTP/1.1 without Sec-WebSocket-Key",
    meaning="Over HTTP/2 there is no key (RFC 8441 section 5), and over HTTP/1.1 there has to be one: whoever"
    " translates makes it. This hop does not, and the server refused the request.",
    js=JS_FAILED,
    topic="h2-key",
    rows="H7 H10",
    group="attempt",
    scope="pair",
)
def translates_without_key(pair: PairFacts) -> Iterator[Found]:
    sent, came = pair.edge.request_out, pair.origin.request_in if pair.origin else None
    if sent is None or came is None or not has_failed(pair.edge):
        return
    if sent.is_extended_connect and not came.is_http2 and came.get("sec-websocket-key") is None:
        assert pair.origin is not None
        yield Found(
            evidence=(
                "before the hop: extended CONNECT with :protocol websocket",
                f"behind it: {came.start_line.decode('latin-1')[:120]}, with no Sec-WebSocket-Key",
                answered_behind(pair),
                *body_line(pair.origin),
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-H2-102",
    "error",
    "hop",
    "The hop makes an ordinary request of a WebSocket over HTTP/2",
    meaning="The request went into the hop as extended CONNECT (RFC 8441) and came out over HTTP/2 as one"
    " that asks for no WebSocket. The hop allows clients what it cannot send on.",
    js=JS_FAILED,
    topic="h2-behind",
    rows="H6 H7",
    group="attempt",
    scope="pair",
)
def forgets_connect(pair: PairFacts) -> Iterator[Found]:
    if has_failed(pair.edge) and _is_connect_lost(pair):
        assert pair.origin is not None
        assert pair.origin.request_in is not None
        came = pair.origin.request_in.start_line.decode("latin-1")[:120]
        yield Found(
            evidence=(
                "before the hop: extended CONNECT with :protocol websocket",
                f"behind it: {came}, with no :protocol",
                answered_behind(pair),
                f"joined by {pair.joined_by}",
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


def _is_connect_lost(pair: PairFacts) -> bool:
    """Whether an extended CONNECT went into the hop, and another request of HTTP/2 came out."""
    sent, came = pair.edge.request_out, pair.origin.request_in if pair.origin else None
    if sent is None or came is None:
        return False
    return sent.is_extended_connect and came.is_http2 and not came.is_extended_connect


@rules(
    "WS-HS-104",
    "error",
    "hop",
    "The hop changes the Sec-WebSocket headers",
    meaning="Key, version, subprotocol and extensions must pass unchanged in both directions. The hop"
    " changed one of them, and the handshake failed because of it.",
    js=JS_FAILED,
    topic="sec-headers",
    rows="H10 H25 H26 H27",
    group="attempt",
    scope="pair",
)
def changes_fields(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None:
        return
    lines: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    if has_failed(pair.edge):
        lines = _lines(_blamed(pair, "sec"))
    elif pair.edge.is_accepted:
        lines = _broken_101(pair, pair.origin)
        extensions = _other_extensions(pair, pair.origin)
    if extensions and not lines:
        broken = [
            (one.id, rule)
            for one in (pair.edge, pair.origin)
            for rule in BROKEN_BY_EXTENSIONS
            if one is pair.edge or pair.clocks.is_same_clock
        ]
        is_broken = bool(pair.edge.violations or pair.origin.violations)
        yield Found(
            title="The hop changes Sec-WebSocket-Extensions in the response alone",
            meaning="Client and server do not agree on an extension now: one compresses, and the other takes"
            " it for a broken frame. A hop that removes an extension has to remove it from the request, so"
            " that the server does not use it.",
            evidence=(
                *extensions,
                ""
                if is_broken
                else "no frame was broken by it so far: the server has compressed nothing yet",
            ),
            severity=None if is_broken else "warning",
            topic="compression",
            hop=hop_of(pair),
            software=software_of(pair),
            covers=tuple(broken),
        )
    if lines:
        yield Found(
            evidence=(*lines, *((answered_behind(pair),) if has_failed(pair.edge) else ())),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=(
                *covered_by(pair, "attempt"),
                *((pair.edge.id, f"WS-HS-{n:03}") for n in (24, 26, 27, 28)),
                *(((pair.origin.id, "WS-HS-026"),) if pair.clocks.is_same_clock else ()),
            ),
        )
    case = _blamed(pair, "case") if has_failed(pair.edge) else []
    if case:
        yield Found(
            title="The server does not find a header whose letter case the hop changed",
            meaning="Header names have no letter case (RFC 9110, 5.1), and many proxies write them in"
            " lower case."
            " This server seems to look for one spelling alone.",
            evidence=(*_lines(case), answered_behind(pair), *body_line(pair.origin)),
            fault_of="server",
            confidence="low",
            topic="header-case",
            hop=None,
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


def _other_extensions(pair: PairFacts, origin: ConnectionFacts) -> tuple[str, ...]:
    """What the server accepted and what the client got, where the hop passed the handshake on and made
    them differ. A hop that ends WebSockets, and makes a key of its own, may agree on what it likes."""
    behind, before = origin.negotiation.extensions, pair.edge.negotiation.extensions
    is_same = {(one.name, frozenset(one.params)) for one in behind} == {
        (one.name, frozenset(one.params)) for one in before
    }
    if pair.joined_by != "key" or not origin.is_accepted or is_same:
        return ()
    return (
        f"the server accepted: {', '.join(map(str, behind)) or 'nothing'}",
        f"the client got: {', '.join(map(str, before)) or 'nothing'}",
        *(
            line
            for one in pair.response_fields
            if one.name == "sec-websocket-extensions"
            for line in one.lines
        ),
    )


def _broken_101(pair: PairFacts, origin: ConnectionFacts) -> tuple[str, ...]:
    """What the hop changed that made a 101 one which clients refuse."""
    agreed, behind = pair.edge.negotiation, origin.negotiation
    names = {
        name for problem in set(agreed.problems) - set(behind.problems) for name in _BAD_101.get(problem, ())
    }
    is_missing = bool(agreed.subprotocols_offered) and agreed.subprotocol is None
    if is_missing and (behind.subprotocol is not None or not behind.subprotocols_offered):
        names.add("sec-websocket-protocol")
    changes = [one for one in (*pair.request_fields, *pair.response_fields) if one.name in names]
    return tuple(line for one in changes for line in one.lines)


@rules(
    "WS-HS-106",
    "error",
    "hop",
    "The hop rewrites the path, and the server has nothing there",
    meaning="The path that left the hop is not the one that arrived there, and the server refused it. In"
    " nginx, a path or a slash after the host in proxy_pass rewrites paths.",
    js=JS_FAILED,
    topic="rewrite",
    rows="H16",
    group="attempt",
    scope="pair",
)
def rewrites_path(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None or not has_failed(pair.edge):
        return
    for kind, (title, meaning, topic) in _REQUEST_LINE.items():
        found = _blamed(pair, kind)
        if found:
            yield Found(
                title=title,
                meaning=meaning,
                evidence=(*_lines(found), f"the server answered {status_line(pair.origin)}"),
                topic=topic,
                hop=hop_of(pair),
                software=software_of(pair),
                covers=covered_by(pair, "attempt"),
            )
            return


@rules(
    "WS-HS-105",
    "error",
    "hop",
    "The hop changes Host, Origin or credentials, and the server refused",
    meaning="Host, Origin, Cookie or Authorization left the hop different from how it arrived. The server's"
    " check of origin or credentials fails because of it.",
    js=JS_FAILED,
    topic="origin",
    rows="H17 H18",
    confidence="medium",
    group="attempt",
    scope="pair",
)
def changes_identity(pair: PairFacts) -> Iterator[Found]:
    found = _blamed(pair, "identity")
    if not found or pair.origin is None or not has_failed(pair.edge):
        return
    changed = {line.split()[1].rstrip(":").lower() for one in found for line in one.lines}
    is_credential = bool(changed & {"cookie", "authorization"})
    says_nothing = is_mute(pair.origin) and found[0].weight == LIKELY
    other = (
        ("the server has nothing at this path", "it answers 404 without the hop, too")
        if pair.origin.status == 404
        else ("the server refuses for a reason of its own", "it refuses an attempt without the hop, too")
    )
    causes = two_causes(
        (
            "the server compares Origin with Host, and what arrives there is no longer the same",
            "with Host and Origin unchanged the server accepts the attempt",
        ),
        other,
    )
    yield Found(
        causes=() if is_credential or not says_nothing else causes,
        title="The hop removes or changes the credentials, and the server refused" if is_credential else None,
        evidence=(*_lines(found), f"the server answered {status_line(pair.origin)}", *body_line(pair.origin)),
        topic="credentials" if is_credential else "host",
        confidence="high" if found[0].weight > LIKELY else None,
        hop=hop_of(pair),
        software=software_of(pair),
        js=js_status(pair.edge.status) if pair.edge.status else None,
        covers=covered_by(pair, "attempt"),
    )


@rules(
    "WS-HS-108",
    "error",
    "server",
    "The server behind the hop did not answer in time, and the hop gave up",
    meaning="The handshake went through the hop and reached the server, which did not answer within the"
    " hop's limit. The hop then answered for it.",
    js=JS_FAILED,
    topic="timeout",
    rows="H24",
    group="attempt",
    scope="pair",
)
def gave_up(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None or not has_failed(pair.edge) or pair.edge.status not in _GAVE_UP:
        return
    if left_before_answer(pair.edge):
        return  # WS-HS-036
    is_silent = has_left(origin) or (not origin.is_over and origin.raw_response_in is None)
    # What came too late was an answer; bytes that are none, or half a one, have findings of their own.
    is_whole = origin.response_in is not None and origin.response_in.is_complete
    is_late = pair.is_answered_early and origin.status is not None and is_whole
    if (is_silent and origin.failed_where not in NO_WAY) or is_late:
        behind = f"{status_line(origin)}, too late" if origin.raw_response_in else "no byte of an answer"
        yield Found(
            evidence=(f"before the hop: {status_line(pair.edge)}", f"behind it: {behind}"),
            hop=hop_of(pair),
            software=software_of(pair),
            js=js_status(pair.edge.status),
            covers=(*covered_by(pair, "attempt"), *covered_by(pair, "end")),
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
    meaning="No attempt arrived behind the hop for this one. The hop refused it itself: its configuration or"
    " its log says why.",
    js=js_status(None).replace("None", "N"),
    topic="own-answer",
    rows="H9 H14 H17",
    group="attempt",
    scope="pair",
)
def answers_itself(pair: PairFacts) -> Iterator[Found]:
    edge = pair.edge
    if pair.origin is None and has_failed(edge) and edge.failed_where not in NO_WAY and not has_left(edge):
        answer = status_line(edge) if edge.status else str(edge.error)
        other = elsewhere(edge)
        yield Found(
            title=other and "The hop asked another server than the one behind the tap",
            meaning=other
            and "Other attempts at this path arrived behind the hop and this one did not, and the"
            " answer has the mark of an application: the hop shares its requests among several servers.",
            evidence=(answer, "nothing arrived at the tap behind the hop", other or ""),
            hop=hop_of(pair),
            software=software_of(pair),
            js=js_status(edge.status),
        )


@rules(
    "WS-HS-112",
    "error",
    "hop",
    "The server refuses because of a header that the hop adds or changes",
    meaning="The server's answer names a header that is not as the client sent it: the hop added, changed or"
    " removed it. The server does not trust this hop, or expects another value.",
    js=js_status(None).replace("None", "N"),
    topic="named-header",
    rows="H17 H19",
    group="attempt",
    scope="pair",
)
def names_header(pair: PairFacts) -> Iterator[Found]:
    found = _blamed(pair, "named")
    if not found or pair.origin is None or not has_failed(pair.edge):
        return
    yield Found(
        evidence=(
            f"the server answered {status_line(pair.origin)}",
            *body_line(pair.origin),
            *_lines(found),
        ),
        hop=hop_of(pair),
        software=software_of(pair),
        js=js_status(pair.edge.status) if pair.edge.status else None,
        covers=covered_by(pair, "attempt"),
    )


@rules(
    "WS-HS-111",
    "note",
    "hop",
    "The hop changed the request, which does not explain the answer",
    meaning="Parts of the request left the hop different from how they arrived. They are listed because the"
    " attempt failed, but they do not explain why.",
    js=js_status(None).replace("None", "N"),
    topic="changed",
    rows="H17 H18",
    confidence="low",
    scope="pair",
)
def also_changed(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    sent, came = pair.edge.request_out, origin.request_in if origin else None
    if origin is None or sent is None or came is None or not has_failed(pair.edge) or not has_failed(origin):
        return
    if any(one.weight >= LIKELY for one in pair.suspects) or _is_connect_lost(pair):
        return
    sent, came = comparable_requests(sent, came)
    could = [one for one in pair.suspects if one.weight == POSSIBLE and one.kind != "upgrade"]
    could_lines = tuple(line for one in could for line in one.lines)
    unknown = unknown_fields(pair.edge, origin)
    changes = [one for one in notable(field_changes(sent, came)) if one.name not in unknown]
    rest = [line for one in changes for line in one.lines if line not in could_lines]
    if sent.target != came.target and not any(one.kind in ("path", "query") for one in could):
        rest.append(
            f"changed  {sent.target.decode('latin-1')[:80]}  ->  {came.target.decode('latin-1')[:80]}"
        )
    if could or rest:
        yield Found(
            title="The hop changed the request, which may explain the answer" if could else None,
            meaning="The server may look at what the hop changed. Its answer does not say so: compare"
            " with a request"
            " where that is kept."
            if could
            else None,
            evidence=(
                *(f"could explain it: {line}" for line in could_lines),
                *dict.fromkeys(one.why for one in could if one.why),
                *(f"does not explain it: {line}" for line in rest),
                f"the server answered {status_line(origin)}" if origin.status else "",
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            topic="host" if could else None,
            js=js_status(pair.edge.status) if pair.edge.status else JS_FAILED,
        )


@rules(
    "WS-TOOL-011",
    "note",
    "tool",
    "The hop and the server behind the tap do not both speak TLS",
    meaning="This proxy ends TLS, or begins it, between the hop and the server. Without the tap the hop would"
    " speak TLS to a plain port, or plain HTTP to a TLS port, and fail.",
    js="Nothing: it works because of this proxy.",
    topic="tool-tls-target",
    rows="H31",
    confidence="medium",
    scope="pair",
)
def joins_tls(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None or origin.server is None or (origin.client_tls is None) == (origin.server_tls is None):
        return
    hop, server = (
        ("speaks TLS", "plain") if origin.client_tls is not None else ("speaks plain HTTP", "over TLS")
    )
    yield Found(
        evidence=(
            f"the hop {hop} to the tap {origin.tap or 'behind it'}",
            f"this proxy's connection to {origin.server} is {server}",
        ),
        hop=hop_of(pair),
        software=software_of(pair),
    )
