"""What only asking again shows: which one thing of a request decides, and what works all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from wsinspect.findings.changes import is_same_origin, takes_own_for_foreign
from wsinspect.findings.evidence import (
    JS_FAILED,
    JS_NOTHING,
    JS_STATUS,
    answer_hop,
    answer_marks,
    author_line,
    body_line,
    end_line,
    marks_lines,
    named,
    seconds,
    status_line,
)
from wsinspect.findings.facts import C2S, ConnectionFacts
from wsinspect.findings.known_answers import OWN_FOR_FOREIGN
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.probes import Probe, ProbeFacts
from wsinspect.findings.registry import Rules, ids_of_families, ids_of_group
from wsinspect.findings.rules.answers import is_too_large
from wsinspect.handshake.heads import RawHead

rules = Rules()

_REDIRECTS: Final = (300, 301, 302, 303, 307, 308)
#: Refusals whose own finding says more than the header that causes them.
_SAYS_WHY: Final = (413, 431, 494)


#: OpenSSL's error on a port that does not speak TLS, which has its own finding.
_SAYS_PLAIN: Final = re.compile(
    r"wrong version number|http request|record layer failure|packet length too", re.I
)


class _Decides(NamedTuple):
    """What it means that a header decides."""

    title: str
    topic: str
    fault_of: FaultOf


_HEADERS: Final = {
    "origin": _Decides("The server refuses this Origin", "origin", "server"),
    "sec-websocket-extensions": _Decides("The server refuses the offered extensions", "extension", "server"),
    "sec-websocket-protocol": _Decides("The server refuses the offered subprotocol", "subprotocol", "client"),
    "cookie": _Decides("The server refuses this Cookie", "app-auth", "client"),
    "authorization": _Decides("The server refuses this Authorization", "app-auth", "client"),
    "user-agent": _Decides("Something refuses this User-Agent", "waf", "hop"),
}


_NULL_ORIGIN: Final = "null: of a file, a data: URL, or an iframe with sandbox and without allow-same-origin"


def _refusal(facts: ConnectionFacts) -> tuple[str, ...]:
    first = status_line(facts) if facts.status else (facts.error or "no answer")[:200]
    return (first, *body_line(facts))


def _covers(facts: ProbeFacts) -> tuple[tuple[int, str], ...]:
    return tuple((facts.main.facts.id, rule) for rule in ids_of_group("attempt"))


def _found(facts: ProbeFacts, works: Probe, *lines: str, **more: object) -> Found:
    main = facts.main.facts
    marks = answer_marks(main)
    values: dict[str, object] = {
        "evidence": (
            *_refusal(main),
            *lines,
            f"{works.line} (probe {works.facts.id})",
            *author_line(main),
            *marks_lines(marks),
        ),
        "hop": answer_hop(main),
        "software": named(marks),
        "covers": _covers(facts),
        "connection": main.id,
    }
    return Found(**{**values, **more})  # type: ignore[arg-type]


def _title_of(name: str) -> str:
    """`sec-websocket-protocol` as it is written."""
    return (
        "-".join(part.capitalize() for part in name.split("-"))
        .replace("websocket", "WebSocket")
        .replace("Websocket", "WebSocket")
    )


def _deciding(facts: ProbeFacts) -> Probe | None:
    """The accepted request that lacks the fewest headers."""
    accepted = [one for one in facts.of_kind("without") if one.is_accepted]
    return min(accepted, key=lambda one: one.about.count(","), default=None)


@rules(
    "WS-HS-050",
    "error",
    "server",
    "One header of the request decides: without it, the server accepts",
    meaning="The same handshake was sent with and without this header, and only the one without it got 101."
    " All else is right: path, host and upgrade reach the application.",
    js=JS_STATUS,
    topic="origin",
    rows="H17 H26 H27 H18 H13",
    group="probes",
    scope="probes",
)
def header_decides(facts: ProbeFacts) -> Iterator[Found]:
    main, works = facts.main.facts, _deciding(facts)
    own = facts.first("origin:own")
    is_own = works is None and own is not None and own.is_accepted
    works = own if is_own else works
    if works is None or facts.main.is_accepted or main.status in (101, *_SAYS_WHY) or is_too_large(main):
        return
    names = ["origin"] if is_own else works.about.split(",")
    known = _HEADERS.get(names[0]) if len(names) == 1 else None
    shown = ", ".join(map(_title_of, names))
    verb = "decides" if len(names) == 1 else "decide together"
    lines = [main.request_line(name)[:200] for name in map(_title_of, names)]
    is_hops = names == ["origin"] and takes_own_for_foreign(main)
    asked = main.request_out or main.request_in
    is_page = names == ["origin"] and not is_own and asked is not None and is_same_origin(asked)
    if is_page:
        lines.append(main.request_line("Host")[:200])
    is_null = "origin" in names and main.request_line("Origin").lower() == "origin: null"
    yield _found(
        facts,
        works,
        _NULL_ORIGIN if is_null else "",
        *(line if not _is_secret(line) else f"{line.partition(':')[0]}: (not shown)" for line in lines),
        title="The server takes its own page for a foreign one, so a hop changes Host"
        if is_hops
        else f"{known.title}: with the server's own, the same handshake is accepted"
        if known and is_own
        else f"{known.title}: without it, the same handshake is accepted"
        if known
        else f"{shown} {verb}: without, the same handshake is accepted",
        topic=known.topic if known else "app",
        fault_of="hop" if is_hops else known.fault_of if known else None,
        meaning=OWN_FOR_FOREIGN if is_hops else None,
        causes=_OF_ITS_PAGE if is_page and not is_hops else (),
    )


#: Why a server may refuse the Origin of its own page.
_OF_ITS_PAGE: Final = (
    Cause(
        "the server has a list of allowed origins, and this one is not on it", "the server's configuration"
    ),
    Cause(
        "a hop changes Host, and the server compares Origin with it",
        "a second tap behind it shows the request that arrives there",
    ),
)


def _is_secret(line: str) -> bool:
    return line.partition(":")[0].lower() in ("cookie", "authorization", "proxy-authorization")


@rules(
    "WS-HS-051",
    "error",
    "client",
    "The slash at the end of the path decides",
    meaning="The server has its WebSocket at the path with the other ending, and nothing at this one. Change"
    " the URL, or make the server accept both.",
    js=JS_STATUS,
    topic="route",
    rows="H16",
    group="probes",
    scope="probes",
)
def slash_decides(facts: ProbeFacts) -> Iterator[Found]:
    works, status = facts.accepted("slash"), facts.main.facts.status
    # 426 comes from the application at this very path: the upgrade is lost on the way to it.
    if works is not None and status != 426 and status not in _REDIRECTS:
        yield _found(
            facts, works, f"asked for {facts.main.facts.path[:160]}", f"accepted at {works.facts.path[:160]}"
        )


@rules(
    "WS-HS-052",
    "error",
    "client",
    "The server wants a subprotocol, and none that it knows was offered",
    meaning="The same handshake with this subprotocol was accepted. Offer it: new WebSocket(url,"
    " [subprotocol]).",
    js=JS_STATUS,
    topic="subprotocol",
    rows="H26",
    group="probes",
    scope="probes",
)
def subprotocol_decides(facts: ProbeFacts) -> Iterator[Found]:
    works = facts.accepted("subprotocol")
    if works is not None and not facts.main.is_accepted:
        names = facts.main.facts.negotiation.subprotocols_offered
        offered = ", ".join(names) or "none"
        title = (
            f"The server accepts the subprotocol {works.about[:60]} alone, and not the list"
            if works.about in names
            else f"The server wants the subprotocol {works.about[:60]}"
        )
        yield _found(facts, works, f"offered: {offered[:160]}", title=title)


@rules(
    "WS-HS-063",
    "error",
    "client",
    "The parameters added to the query decide: without them, the server accepts",
    meaning="The same handshake was sent with and without what --query adds to the URL, and only the one"
    " without it got 101. A token there may have expired, or be one that the server does not want.",
    js=JS_STATUS,
    topic="app-auth",
    rows="H18",
    group="probes",
    scope="probes",
)
def query_decides(facts: ProbeFacts) -> Iterator[Found]:
    works = facts.accepted("query")
    if works is not None and not facts.main.is_accepted:
        yield _found(facts, works)


@rules(
    "WS-HS-053",
    "error",
    "server",
    "The Host header decides: with another one, the server accepts",
    meaning="The server, or the proxy before it, has this path for another host name only. Add this name"
    " to its list of hosts, or ask for the one that it knows.",
    js=JS_STATUS,
    topic="host",
    rows="H22 V3",
    group="probes",
    scope="probes",
)
def host_decides(facts: ProbeFacts) -> Iterator[Found]:
    works = facts.accepted("host")
    if works is not None:
        yield _found(facts, works, facts.main.facts.request_line("Host"))


@rules(
    "WS-HS-054",
    "error",
    "client",
    "The other scheme works: ws where wss was asked for, or wss where ws was",
    meaning="The server accepts the same path under the other scheme. The URL has the wrong one, or the"
    " server does not forward this one.",
    js=JS_FAILED,
    topic="scheme",
    rows="H31 H14",
    group="probes",
    scope="probes",
)
def scheme_decides(facts: ProbeFacts) -> Iterator[Found]:
    works, main = facts.accepted("scheme"), facts.main.facts
    if works is not None and main.status not in _REDIRECTS and not _SAYS_PLAIN.search(main.error or ""):
        yield _found(facts, works, title=f"{main.scheme} fails and {works.facts.scheme} works")
    tls = next(facts.of_kind("scheme"), None)
    speaks_tls = tls is not None and (tls.facts.server_tls or {}).get("certificate")
    if tls is not None and speaks_tls and works is None and main.scheme == "ws" and main.status is None:
        yield _found(facts, tls, title="ws fails, and the port speaks TLS: wss is meant")


@rules(
    "WS-HS-056",
    "error",
    "server",
    "Sometimes it works: the same request was refused once and accepted once",
    meaning="Two requests with the same bytes but for the key got different answers. Behind this address are"
    " several servers, or one that is overloaded or restarts.",
    js=JS_FAILED,
    topic="bad-gateway",
    rows="H24",
    group="probes",
    scope="probes",
)
def is_intermittent(facts: ProbeFacts) -> Iterator[Found]:
    works = facts.accepted("repeat")
    if works is not None:
        yield _found(facts, works)


@rules(
    "WS-HS-057",
    "error",
    "server",
    "The Connection header decides: 'keep-alive, Upgrade' is accepted, and 'Upgrade' is not",
    meaning="Connection is a list whose order and members do not matter (RFC 9110, 7.6.1). The server, or a"
    " hop before it, compares it as a whole, so some clients get through and others do not.",
    js=JS_STATUS,
    topic="upgrade",
    rows="H19",
    group="probes",
    scope="probes",
)
def connection_decides(facts: ProbeFacts) -> Iterator[Found]:
    works = facts.accepted("connection")
    if works is not None and not facts.main.is_accepted:
        yield _found(facts, works, facts.main.facts.request_line("Connection"))


#: Of a limit that the doctor's own questions reached, or of a server that is down for a moment.
_PASSING: Final = (408, 425, 429, 502, 503, 504)


@rules(
    "WS-HS-065",
    "warning",
    "server",
    "Firefox is refused: 'Connection: Upgrade' is accepted, and its 'keep-alive, Upgrade' is not",
    meaning="Connection is a list whose order and members do not matter (RFC 9110, 7.6.1). The server, or a"
    " hop before it, compares it as a whole: Chrome and Safari get through, and Firefox does not.",
    js="In Chrome and Safari nothing. In Firefox: Firefox can't establish a connection to the server, then"
    " close with code 1006.",
    topic="connection-list",
    rows="H19",
    scope="probes",
)
def firefox_is_refused(facts: ProbeFacts) -> Iterator[Found]:
    asked, later = facts.first("connection"), facts.first("without:sec-websocket-extensions")
    if asked is None or asked.is_accepted or not facts.main.is_accepted:
        return
    if asked.facts.status in (None, *_PASSING) or later is None or not later.is_accepted:
        return
    yield Found(
        evidence=(
            f"{asked.line} (probe {asked.facts.id})",
            *body_line(asked.facts),
            f"{facts.main.facts.request_line('Connection')}: 101",
            *author_line(asked.facts),
            *marks_lines(answer_marks(asked.facts)),
        ),
        hop=answer_hop(asked.facts),
        software=named(answer_marks(asked.facts)),
        connection=facts.main.facts.id,
    )


@rules(
    "WS-HS-055",
    "note",
    "server",
    "The server accepts a handshake from any Origin",
    meaning="Any web page may open this WebSocket in its visitor's browser, which sends the visitor's cookies"
    " along. Where cookies say who the user is, check Origin, or demand a token (RFC 6455, 10.2).",
    js=JS_NOTHING,
    topic="any-origin",
    rows="H17",
    scope="probes",
)
def any_origin(facts: ProbeFacts) -> Iterator[Found]:
    foreign = facts.accepted("origin")
    if foreign is None or foreign.kind != "origin:foreign" or not facts.main.is_accepted:
        return
    has_cookie = facts.main.facts.request_in is not None and bool(
        facts.main.facts.request_in.get_all("cookie")
    )
    yield Found(
        evidence=(
            f"{foreign.line} ({foreign.facts.request_line('Origin')})",
            "the handshake carried a cookie" if has_cookie else "no cookie was sent",
        ),
        severity="warning" if has_cookie else None,
        connection=facts.main.facts.id,
        software=named(answer_marks(facts.main.facts)),
    )


@rules(
    "WS-HS-058",
    "warning",
    "network",
    "Some addresses of the name do not accept connections",
    meaning="Clients that get or prefer such an address wait for it or fail, others work. Browsers try"
    " another one after a moment, many libraries do not.",
    js=JS_NOTHING,
    topic="connect",
    rows="H30",
    scope="probes",
)
def some_addresses(facts: ProbeFacts) -> Iterator[Found]:
    # This machine's names have IPv6 and IPv4 addresses, and most development servers listen on one of them.
    closed = [one for one in facts.addresses if one.error is not None and not one.is_local]
    if closed and any(one.error is None for one in facts.addresses):
        is_loopback = all(one.address.startswith(("127.", "[::1]")) for one in facts.addresses)
        yield Found(
            evidence=tuple(f"{one.address}: {one.error or 'accepts connections'}" for one in facts.addresses),
            severity="note" if is_loopback else None,
            connection=facts.main.facts.id,
        )


@rules(
    "WS-HS-059",
    "warning",
    "server",
    "The response breaks the syntax of HTTP, and strict clients refuse it",
    meaning="A tolerant reader understands it, and a strict one does not. Clients and hops that keep to"
    " RFC 9112, such as Node's, end the connection here.",
    js=JS_FAILED,
    topic="response-head",
    rows="H25",
    scope="probes",
)
def breaks_syntax(facts: ProbeFacts) -> Iterator[Found]:
    main = facts.main.facts
    problem = next((detail.get("error") for kind, detail in main.events if kind == "strict"), None)
    if problem and main.response_in is not None and _is_readable(main.response_in):
        judge = next(detail.get("judge", "h11") for kind, detail in main.events if kind == "strict")
        yield Found(
            evidence=(status_line(main), f"{judge}: {str(problem)[:160]}"),
            hop=answer_hop(main),
            connection=main.id,
            software=named(answer_marks(main)),
        )


def _is_readable(head: RawHead) -> bool:
    return head.is_complete and head.status is not None


@rules(
    "WS-HS-060",
    "error",
    "network",
    "The server is reachable through the forward proxy only",
    meaning="Without the proxy of this network the handshake fails, and through it the server accepts."
    " Clients that do not read the proxy's environment variable fail here.",
    js=JS_FAILED,
    topic="forward-proxy",
    rows="H29",
    group="probes",
    scope="probes",
)
def proxy_needed(facts: ProbeFacts) -> Iterator[Found]:
    works = facts.accepted("proxy")
    if works is not None and not facts.main.is_accepted:
        yield _found(facts, works)


@rules(
    "WS-HS-062",
    "error",
    "server",
    "The server accepts the WebSocket over HTTP/2 alone",
    meaning="An extended CONNECT (RFC 8441) is accepted, and the handshake over HTTP/1.1 is not. A page that"
    " came over HTTP/2 works in Chrome and Firefox; libraries, curl, and pages on another connection do not.",
    js=JS_FAILED,
    topic="http1-too",
    rows="H8",
    group="probes",
    scope="probes",
)
def http2_alone(facts: ProbeFacts) -> Iterator[Found]:
    works = next(facts.of_kind("h2"), None)
    is_accepted = works is not None and works.facts.status == 200 and (works.http2 or {}).get("announced")
    if works is not None and is_accepted and not facts.main.is_accepted:
        yield _found(facts, works)


@rules(
    "WS-H2-020",
    "error",
    "hop",
    "The server announces WebSockets over HTTP/2 and refuses this one there: over HTTP/1.1 it is accepted",
    meaning="Chrome and Firefox open the WebSocket of a page that came over HTTP/2 on that connection where"
    " the SETTINGS allow it (RFC 8441), and fail here. Mostly the hop in between cannot carry it, or loses"
    " what the server needs.",
    js=JS_FAILED,
    topic="h2",
    rows="H7",
    scope="probes",
)
def refused_over_http2(facts: ProbeFacts) -> Iterator[Found]:
    probe = next(facts.of_kind("h2"), None)
    if probe is None or not facts.main.is_accepted or not (probe.http2 or {}).get("announced"):
        return
    refused = probe.facts
    if refused.status is None or refused.status < 300:
        return  # a stream that was reset: WS-H2-001
    # A ticket that is good for one time, or a limit, refuses whatever is asked after the first.
    is_repeatable = any(one.is_accepted for one in facts.others if one.kind != "proxy")
    yield Found(
        evidence=(
            f"HTTP/1.1: {facts.main.outcome}",
            f"extended CONNECT with :protocol websocket: {probe.outcome} (probe {refused.id})",
            *body_line(refused),
            "" if is_repeatable else "no other handshake after the first was accepted either",
        ),
        severity=None if is_repeatable else "warning",
        confidence=None if is_repeatable else "low",
        connection=facts.main.facts.id,
        hop=answer_hop(refused) or answer_hop(facts.main.facts),
        software=named(answer_marks(refused)),
    )


@rules(
    "WS-HS-061",
    "warning",
    "network",
    "The forward proxy of this machine's clients does not let the WebSocket through",
    meaning="The server accepts the handshake without the proxy, and through it the same handshake fails."
    " Clients that read the proxy's environment variable fail; browsers have settings of their own.",
    js=JS_FAILED,
    topic="forward-proxy",
    rows="H29",
    scope="probes",
)
def proxy_refuses(facts: ProbeFacts) -> Iterator[Found]:
    fails = next(facts.of_kind("proxy"), None)
    if fails is not None and facts.main.is_accepted and not fails.is_accepted:
        yield Found(evidence=(fails.line, facts.main.line), connection=facts.main.facts.id)


@rules(
    "WS-KA-010",
    "warning",
    "server",
    "The server ends the connection when it gets a PING",
    meaning="Without a PING the same connection stays open: browsers never send one, so pages work, and"
    " clients and proxies that keep connections alive with PINGs lose theirs. Every receiver has to answer"
    " with a PONG (RFC 6455, 5.5.2).",
    js=JS_NOTHING,
    topic="ping",
    rows="T6",
    scope="probes",
)
def ends_at_ping(facts: ProbeFacts) -> Iterator[Found]:
    main = facts.main.facts
    quiet = next(facts.of_kind("quiet"), None)
    if quiet is None or main.ended_by != "server" or not quiet.is_accepted:
        return
    if quiet.facts.ended_by == "server":
        return  # so does the connection without one
    yield Found(
        evidence=(
            f"after our PING: {end_line(main)}",
            f"without one: {end_line(quiet.facts)} (probe {quiet.facts.id})",
        ),
        connection=main.id,
        hop=answer_hop(main),
        software=named(answer_marks(main)),
        covers=tuple((main.id, rule) for rule in ids_of_families("CL", "DROP", "KA")),
    )


@rules(
    "WS-KA-008",
    "warning",
    "server",
    "A ping of ours got no pong",
    meaning="The connection stayed open, and nothing answered the PING that every receiver has to answer (RFC"
    " 6455, 5.5.2). Keepalives of clients will take this connection for dead.",
    js=JS_NOTHING,
    topic="pong",
    rows="T6",
    scope="probes",
)
def no_pong(facts: ProbeFacts) -> Iterator[Found]:
    main = facts.main.facts
    ours = [one for one in main.pings if one.direction == C2S]
    if ours and all(one.pong_id is None for one in ours) and main.ended_by == "client":
        waited = (main.end_ns or ours[0].time_ns) - ours[0].time_ns
        yield Found(
            evidence=(
                f"no pong within {seconds(waited)}",
                f"{main.frames[1]} frames came from the server",
            ),
            connection=main.id,
            frame=None,
            hop=answer_hop(main),
            software=named(answer_marks(main)),
        )
