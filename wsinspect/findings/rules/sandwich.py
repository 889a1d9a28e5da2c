"""What two taps around a hop prove that one cannot: which hop it was, and what it did.

A change of the request is an error only where it explains the answer (`findings/changes.py`); what could
explain it, and what could not is in a note of its own, last (`sandwich_answers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from wsinspect.findings.changes import LIKELY, Kind, is_mute
from wsinspect.findings.comparison import compared
from wsinspect.findings.evidence import JS_FAILED, body_line, seconds, status_line, two_causes
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.around import (
    BROKEN_BY_EXTENSIONS,
    answered_behind,
    blamed,
    covered_by,
    hop_of,
    is_connect_lost,
    lines_of,
    software_of,
)
from wsinspect.findings.rules.handshake import has_failed, is_refused
from wsinspect.findings.rules.kept import has_left, kept, kept_ns
from wsinspect.findings.rules.switching import interim_before
from wsinspect.findings.sandwich import PairFacts

rules = Rules()

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
#: What rules of hops ask for before they pass an upgrade on: `RewriteCond %{HTTP:Connection} ^Upgrade$`.
_RULED: Final = ("Connection", "Host")


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
    # A hop that lets others through removes by a rule of its own: what differs is what that rule asks for.
    other = compared(pair.edge) if is_reason else None
    first = other.differences[0].what if other is not None and other.differences else ""
    rule = other if first in _RULED else None
    yield Found(
        evidence=(
            *lines_of(found),
            answered_behind(pair),
            *(rule.lines if rule else ()),
            ""
            if is_reason
            else "the answer has another reason; without Upgrade it would not be a 101 either",
            pair.joined_words,
        ),
        severity=None if is_reason else "warning",
        title_more=rule.suffix if rule else "",
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
    found = blamed(pair, "http10")
    if found:
        yield Found(
            evidence=(*lines_of(found), answered_behind(pair)),
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
    if origin is None or not has_failed(pair.edge):
        return
    if not origin.is_accepted:
        yield from _swallows_refusal(pair, origin)
        return
    is_kept = has_left(pair.edge)
    if is_kept and kept(pair) != "answer":
        return  # it may have been on its way still
    interim = interim_before(origin)
    # A 101 that no client may take is the server's fault; one that came too late is WS-HS-108.
    if is_bad_101(origin) or pair.is_answered_early:
        return
    yield Found(
        evidence=(
            f"behind the hop: {status_line(origin)}",
            f"before it: {status_line(pair.edge) if pair.edge.status else pair.edge.error}",
            f"the client waited {seconds(kept_ns(pair))} more, and left" if is_kept else "",
            f"before its 101 the server sent {interim}" if interim else "",
        ),
        causes=two_causes(_OF_INTERIM, _NO_UPGRADES) if interim else (),
        hop=hop_of(pair),
        software=software_of(pair),
        # Rules of a firewall may look at a response's header only when the server has answered.
        topic="waf" if pair.edge.status in (403, 406) else "early-hints" if interim else None,
        # The end that the hop made of the open WebSocket behind it is its own doing, too.
        covers=(*covered_by(pair, "attempt"), *covered_by(pair, "end")),
    )


def _swallows_refusal(pair: PairFacts, origin: ConnectionFacts) -> Iterator[Found]:
    """A refusal behind an interim response, of which the client got nothing.

    Measured: nginx 1.22 takes the 103 for the answer and what follows for its body, and keeps all of it until
    the server ends the connection.
    """
    edge, head, interim = pair.edge, origin.response_in, interim_before(origin)
    if (
        not interim
        or not is_refused(origin)
        or head is None
        or not head.is_complete
        or pair.is_answered_early
    ):
        return
    is_kept = has_left(edge) and kept(pair) == "answer"
    if not is_kept and (edge.status != _BAD_GATEWAY or origin.status == edge.status):
        return
    yield Found(
        title=f"The server answered {origin.status} after an interim response, and the hop kept it",
        meaning="The server refused the attempt, and the client did not get that answer: it waited, or got"
        " the hop's own error. Without the interim response the refusal comes through, and that is the next"
        " thing to look at.",
        evidence=(
            f"behind the hop: {status_line(origin)}",
            *body_line(origin),
            f"before it: {status_line(edge) if edge.status else edge.error}",
            f"the client waited {seconds(kept_ns(pair))} more, and left" if is_kept else "",
            f"before its {origin.status} the server sent {interim}",
        ),
        causes=two_causes(
            (
                "this hop does not take an answer behind a 1xx response (nginx 1.22 does not, where the"
                " server's connection stays open)",
                "let the server send no 100, 102 or 103 on this path: does the client get"
                f" the {origin.status}?",
            ),
            (
                f"the server refuses this attempt: without the 1xx the client gets its {origin.status}",
                "connect to the server directly, and look at its answer",
            ),
        ),
        hop=hop_of(pair),
        software=software_of(pair),
        topic="early-hints",
        covers=(*covered_by(pair, "attempt"), *covered_by(pair, "end")),
    )


_BAD_GATEWAY: Final = 502
#: Measured: HAProxy 2.6 answers 502 where both come in one segment, Caddy 2.6 an empty 200, and nginx 1.22
#: never sends the 101 on; httpd 2.4 and Envoy do.
_OF_INTERIM: Final = (
    "this hop does not take a 101 behind another 1xx response (HAProxy 2.6, Caddy 2.6 and nginx 1.22 do not)",
    "let the server send no 100, 102 or 103 on this path: is it 101 then?",
)
_NO_UPGRADES: Final = (
    "the hop does not carry upgrades, or one of its rules replaces responses",
    "its configuration for this path, and its log for this moment",
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
            evidence=(*(line for one in changed for line in one.lines), pair.joined_words),
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
    if has_failed(pair.edge) and is_connect_lost(pair):
        assert pair.origin is not None
        assert pair.origin.request_in is not None
        came = pair.origin.request_in.start_line.decode("latin-1")[:120]
        yield Found(
            evidence=(
                "before the hop: extended CONNECT with :protocol websocket",
                f"behind it: {came}, with no :protocol",
                answered_behind(pair),
                pair.joined_words,
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=covered_by(pair, "attempt"),
        )


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
        lines = lines_of(blamed(pair, "sec"))
    elif pair.edge.is_accepted:
        lines = _broken_101(pair, pair.origin)
        extensions = _other_extensions(pair, pair.origin)
    if extensions and not lines:
        broken = [(one.id, rule) for one in (pair.edge, pair.origin) for rule in BROKEN_BY_EXTENSIONS]
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
                (pair.origin.id, "WS-HS-026"),
                (pair.edge.id, "WS-CL-034"),
                (pair.origin.id, "WS-CL-034"),
            ),
        )
    case = blamed(pair, "case") if has_failed(pair.edge) else []
    if case:
        yield Found(
            title="The server does not find a header whose letter case the hop changed",
            meaning="Header names have no letter case (RFC 9110, 5.1), and many proxies write them in"
            " lower case."
            " This server seems to look for one spelling alone.",
            evidence=(*lines_of(case), answered_behind(pair), *body_line(pair.origin)),
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
        found = blamed(pair, kind)
        if found:
            yield Found(
                title=title,
                meaning=meaning,
                evidence=(*lines_of(found), f"the server answered {status_line(pair.origin)}"),
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
    found = blamed(pair, "identity")
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
        evidence=(
            *lines_of(found),
            f"the server answered {status_line(pair.origin)}",
            *body_line(pair.origin),
        ),
        topic="credentials" if is_credential else "host",
        confidence="high" if found[0].weight > LIKELY else None,
        hop=hop_of(pair),
        software=software_of(pair),
        covers=covered_by(pair, "attempt"),
    )
