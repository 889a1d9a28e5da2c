"""Refused opening handshakes, by status: which of its usual causes the answer itself points to.

These come after the rules that know a more precise cause (`group` "attempt").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wsinspect.findings import gorilla
from wsinspect.findings.answering import answer, url_lines, url_size
from wsinspect.findings.changes import (
    is_mute,
    is_mute_400,
    is_refused_by_ws,
    is_same_origin,
    is_unparsed,
    takes_own_for_foreign,
)
from wsinspect.findings.comparison import compared
from wsinspect.findings.evidence import (
    JS_STATUS,
    answer_hop,
    answer_marks,
    js_status,
    named,
    seconds,
)
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.forbidden import NONE_SENT, credential_causes, ranked_403
from wsinspect.findings.known_answers import (
    REFUSES_ORIGIN,
    content,
    has_proxy_header,
    of_origin,
    own_for_foreign,
    proxy_header,
    refused_by_ws,
    sockjs_greeting,
    unparsed,
    unrouted,
)
from wsinspect.findings.logins import credentials, expiry, lost_here, other_cookies, tokens
from wsinspect.findings.model import Found
from wsinspect.findings.preamble import EMPTY_LINES, SENT_EMPTY, empty_lines
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.software import NAMES, PROXIES, hop_author
from wsinspect.findings.web_filters import challenged, filtered
from wsinspect.vocabulary import Lack

rules = Rules()

_LARGE_HEADERS: Final = 7000


@rules(
    "WS-HS-004",
    "error",
    "server",
    "The server answered with a web page instead of 101 Switching Protocols",
    meaning="The request was answered like an ordinary GET, so it did not reach a WebSocket handler. A"
    " catch-all route for a single-page application does this, and so does a hop that drops Upgrade.",
    js=JS_STATUS,
    topic="route",
    rows="H15 H1 T10",
    group="attempt",
)
def page_instead(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status is not None and 200 <= facts.status < 300:
        if (of_filter := filtered(facts)) is not None:
            yield of_filter
            return
        is_greeting = facts.wording.startswith(b"welcome to sockjs!")
        yield sockjs_greeting(facts, facts.response_line("Content-Type")) if is_greeting else content(facts)


@rules(
    "WS-HS-040",
    "error",
    "client",
    "Refused: the token in the request has expired",
    meaning="The request carries a JSON Web Token whose 'exp' is in the past, and the server refused it. The"
    " client has to get a fresh token before it reconnects.",
    js=JS_STATUS,
    topic="app-auth",
    rows="H18",
    group="attempt",
)
def stale_token(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status not in (400, 401, 403):
        return
    held = [(place, ends) for place, token in tokens(facts) if (ends := expiry(token)) is not None]
    now = facts.attempt_ns / 1e9
    is_any_fresh = any(ends >= now for _, ends in held)
    for place, ends in held:
        # Browsers keep cookies of old logins: next to a fresh token such a one says nothing.
        if ends < now and not (is_any_fresh and place.startswith("the cookie")):
            ago = seconds(facts.attempt_ns - round(ends * SECOND_NS))
            yield answer(facts, f"token in {place}: expired {ago} before this attempt (not shown)")
            return


#: Fields that a hop writes into every response, or that an HTTP stack writes without being asked.
_ANY_HOPS: Final = frozenset(
    (
        *(b"date", b"server", b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"via"),
        *(b"alt-svc", b"strict-transport-security", b"x-request-id", b"retry-after"),
    )
)


def has_own_words(facts: ConnectionFacts) -> bool:
    """Whether an answer has a body, or fields, that a hop does not write by itself.

    A hop's name in `Server` says who passed the answer on; nginx and Envoy write it over the application's.
    """
    head = facts.response_in
    if facts.content.strip() or facts.unrecorded & {Lack.ANSWER, Lack.BODY}:
        return True
    return head is not None and any(
        one.name.lower() not in _ANY_HOPS and not one.name.lower().startswith(b"x-envoy-")
        for one in head.fields
    )


_ACCESS_LIST: Final = re.compile(
    rb"administrative rules|rbac: access denied|access (is )?denied|not allowed (from|by)"
    rb"|ip (address )?(is )?(not|block)|client denied|you don't have permission|blocked",
)


#: Hops that ModSecurity is a module of.
_WITH_MODSECURITY: Final = ("nginx", "apache", "k8s-ingress")
#: What a firewall says of itself.
_FIREWALL: Final = re.compile(rb"mod_?security|web application firewall|\bwaf\b")
#: Parts of a request that a firewall's rules look at, and an access list does not.
_SEARCHED: Final = ("User-Agent", "query", "Cookie", "Accept")


_UNKNOWN_CREDENTIALS: Final = "no Cookie or Authorization in the file; an export may leave both out"


@rules(
    "WS-HS-009",
    "error",
    "client",
    "401: the handshake carries no credentials",
    meaning="The server asks for authentication, and the request carries none. Browser code cannot set"
    " Authorization on a WebSocket: send a cookie for the right site, a ticket in the URL, or a"
    " subprotocol.",
    js=js_status(401),
    topic="auth",
    rows="H18",
    group="attempt",
)
def unauthorised(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status != 401:
        return
    sent = credentials(facts)
    challenge = facts.response_line("WWW-Authenticate")
    hop = hop_author(answer_marks(facts))
    if not sent and Lack.CREDENTIALS in facts.unrecorded:
        yield replace(
            answer(
                facts,
                challenge,
                _UNKNOWN_CREDENTIALS,
                title="401: the server does not accept the credentials, or there were none",
                meaning="The server asks for authentication. The file has no cookie and no Authorization, but"
                " browsers leave both out of an export unless they are asked for them.",
                causes=(NONE_SENT, *credential_causes()[:1]),
            ),
            confidence="low",
        )
        return
    if not sent:
        others = other_cookies(facts)
        cookie = "no cookie with a login" if others else "no cookie"
        made = answer(
            facts,
            challenge,
            f"sent: no Authorization header, {cookie}, no token in the query or the subprotocol",
            *others,
            fault_of="hop"
            if hop and facts.response_in and facts.response_in.get("www-authenticate")
            else None,
        )
        # What a cookie is for is known by its name alone.
        yield replace(made, confidence="medium") if others else made
        return
    yield replace(
        answer(
            facts,
            challenge,
            f"sent: {'; '.join(sent)} (values not shown)",
            *lost_here(facts),
            fault_of="client",
            title=f"401: the server does not accept the credentials that were sent ({sent[0]})",
            meaning="The request carries credentials, and the answer is 401 all the same. Either the server"
            " rejects them, or a hop behind this tap drops them before they reach it.",
            causes=credential_causes(),
        ),
        confidence="medium",
    )


def _own_refusal(facts: ConnectionFacts, software: str) -> Found:
    """A 403 that a hop wrote: of an access list, or of a firewall in it, whose answer is the same page."""
    name = NAMES[software]
    access = (
        f"an access list or firewall rule of {name} refuses this address, host or path",
        "its access log and error log for this moment",
    )
    upgrade = (f"{name} does not allow WebSockets on this route", "an ordinary GET of the same path passes")
    causes, topics = [access, upgrade], ["access-list"]
    if software in _WITH_MODSECURITY:
        # A list goes by the address: what another request from there may do says that the words are why.
        other = compared(facts)
        is_first = _FIREWALL.search(facts.wording) is not None or (
            other is not None and any(one.what in _SEARCHED for one in other.differences[:1])
        )
        firewall = (
            f"ModSecurity, a web application firewall in {name}, refuses what the request says",
            "the error log has 'ModSecurity: Access denied' and the rule's id",
        )
        causes.insert(0 if is_first else 1, firewall)
        topics.insert(0 if is_first else 1, "waf")
    found = answer(
        facts,
        fault_of="hop",
        topic=topics[0],
        title=f"403: {name} itself refuses this request",
        meaning=f"{name} wrote this answer: the application did not see the request, or its answer was thrown"
        " away. An access list, a firewall rule or a missing permission on the path does this.",
        causes=tuple(causes),
    )
    fixes = [one for topic in topics for one in fixes_for(topic, (software,))]
    general = [one for one in fixes if one.for_ == "general"]
    return replace(found, fixes=(*(one for one in fixes if one.for_ != "general"), general[0]))


@rules(
    "WS-HS-010",
    "error",
    "server",
    "403: the server refuses this client, origin or path",
    meaning="A check failed: the Origin, a token, an address list, a firewall, or the path. Several"
    " frameworks answer 403 to all of these; the causes say how to tell them apart.",
    js=JS_STATUS,
    topic="origin",
    confidence="medium",
    rows="H17 H18 H9",
    group="attempt",
)
def forbidden(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status != 403:
        return
    if (stranger := filtered(facts) or challenged(facts)) is not None:
        yield replace(stranger, confidence="high")
        return
    marks = answer_marks(facts)
    author = hop_author(marks)
    said = _ACCESS_LIST.search(facts.wording)
    if author is not None:
        yield _own_refusal(facts, author.software)
        return
    if "envoy" in named(marks) and (said is not None or not has_own_words(facts)):
        is_list = said is not None
        upgrade = (
            "Envoy does not allow the upgrade on this route (no upgrade_configs)",
            "an ordinary GET of the same path passes",
        )
        access = (
            "an RBAC rule or external authorisation refuses it",
            "the body or Envoy's access log says so",
        )
        yield answer(
            facts,
            fault_of="hop",
            topic="access-list" if is_list else "upgrade",
            title="403: Envoy itself refuses this request",
            causes=(access, upgrade) if is_list else (upgrade, access),
        )
        return
    if takes_own_for_foreign(facts):
        yield own_for_foreign(facts)
        return
    sent = credentials(facts)
    is_said = REFUSES_ORIGIN.search(facts.said) is not None or gorilla.is_of_gorilla(facts)
    words = of_origin(facts) if is_said else None
    ranked = ranked_403(facts, sent)
    yield answer(
        facts,
        facts.request_line("Origin"),
        facts.request_line("Host"),
        gorilla.mark(facts),
        f"sent: {'; '.join(sent)} (values not shown)"
        if sent
        else _UNKNOWN_CREDENTIALS
        if Lack.CREDENTIALS in facts.unrecorded
        else "sent: no credentials",
        *other_cookies(facts),
        *lost_here(facts),
        topic=None if words else ranked.topic,
        title=words.title if words else None,
        meaning=words.meaning if words else None,
        causes=words.causes if words else ranked.causes,
    )


def _is_of_envoy(facts: ConnectionFacts) -> bool:
    head = facts.response_in
    is_passed_on = head is None or head.get("x-envoy-upstream-service-time") is not None
    return not is_passed_on and "envoy" in named(answer_marks(facts)) and not has_own_words(facts)


#: The id of a connection that SignalR has negotiated.
_SIGNALR_ID: Final = re.compile(r"[?&]id=[\w-]{22}(?:&|$)")


def _may_be_of_action_cable(facts: ConnectionFacts) -> bool:
    """Whether neither the answer nor the request is another framework's (Action Cable's own client offers
    actioncable-v1-json)."""
    others = set(named(answer_marks(facts))) - PROXIES - {"rails"}
    asked = facts.request_out or facts.request_in
    offered = b", ".join(asked.get_all("sec-websocket-protocol")).lower() if asked is not None else b""
    is_offered = not offered or b"actioncable" in offered
    return is_offered and not others and _SIGNALR_ID.search(facts.path or "") is None


@rules(
    "WS-HS-011",
    "error",
    "server",
    "404: no WebSocket at this path",
    meaning="The server, or a hop, has nothing at this path: a prefix or slash differs, the route is"
    " missing, or WebSocket support is not installed. Some frameworks also answer 404 to an Origin"
    " that they refuse.",
    js=JS_STATUS,
    topic="route",
    confidence="medium",
    rows="H16 H5",
    group="attempt",
)
def not_found(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status not in (404, 410):
        return
    hop = hop_author(answer_marks(facts))
    if hop is None and _is_of_envoy(facts):
        yield answer(
            facts,
            f"path {(facts.path or '')[:160]}",
            facts.request_line("Host"),
            "neither a body nor X-Envoy-Upstream-Service-Time, which Envoy adds to what it passes on",
            fault_of="hop",
            title="404: Envoy itself has no route for this request",
            causes=(
                (
                    "no virtual host has this Host in its domains (with the port, where it has one)",
                    "compare Host with domains in the route configuration",
                ),
                ("no route fits the path", "compare the path with the routes of that virtual host"),
                (
                    "the server behind it answers so, and the hop takes that field out",
                    "--direct, or a second tap",
                ),
            ),
        )
        return
    asked = facts.request_out or facts.request_in
    has_origin = hop is None and asked is not None and asked.get("origin") is not None and is_mute(facts)
    has_origin = has_origin and _may_be_of_action_cable(facts)
    is_cable = (facts.path or "").partition("?")[0].rstrip("/").endswith("/cable")
    # Origin names another host than the request that the server got: what a same-origin check refuses.
    is_foreign = has_origin and asked is not None and not is_same_origin(asked)
    is_first = is_cable or is_foreign
    library = (
        ("the server's WebSocket library is missing (uvicorn)", "its log says 'Unsupported upgrade request'"),
    )
    # Node hands an upgrade to Express only where nobody else takes it.
    express = (
        (
            "no WebSocket server is attached to the HTTP server, or a proxy in it carries none (ws: true)",
            "how the server's 'upgrade' event is handled",
        ),
    )
    is_express = facts.wording.find(b"cannot get /", 0, 2048) >= 0
    # With a library, uvicorn hands the upgrade to the application, where Starlette refuses an unknown path
    # with 403: a 404 is the answer to an ordinary GET.
    is_uvicorn = "uvicorn" in named(answer_marks(facts))
    check = (
        (
            "Action Cable answers 404 for an Origin that is not allowed, or is not the Host that arrives",
            "repeat with the server's own Origin; a tap right before the server shows the Host that arrives",
        ),
    )
    elsewhere = (
        "a hop sends the path elsewhere, or removes the Upgrade headers",
        "a second tap behind it shows the request that arrives there",
    )
    between = answer_hop(facts)
    if is_express and hop is None and between is not None:
        elsewhere = (f"{between} removes the Upgrade headers, or sends the path elsewhere", elsewhere[1])
    yield answer(
        facts,
        f"path {(facts.path or '')[:160]}",
        *((facts.request_line("Origin"), facts.request_line("Host")) if is_first or has_origin else ()),
        topic="origin" if is_first else None,
        fault_of="hop" if hop else None,
        title=f"{facts.status}: {NAMES[hop.software]} itself has nothing at this path"
        if hop
        else "410: the server has nothing at this path any more"
        if facts.status == 410
        else None,
        causes=(
            *(check if is_first else ()),
            *(library if is_uvicorn else ()),
            *(express if is_express else ()),
            ("the path differs from the server's route", "try it with and without slash and prefix"),
            *(check if has_origin and not is_first else ()),
            elsewhere,
            *(() if is_uvicorn else library),
        ),
    )


@rules(
    "WS-HS-015",
    "error",
    "client",
    "The request headers are too large",
    meaning="The URL and headers of this handshake are more than the server or proxy accepts, usually because"
    " of large cookies or a token in the URL or subprotocol. Send less, or raise the limit.",
    js=JS_STATUS,
    topic="header-size",
    rows="H22",
    group="attempt",
)
def too_large(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_too_large(facts):
        return
    head = facts.request_in
    cookies = sum(map(len, head.get_all("cookie"))) if head else 0
    size = len(facts.raw_request_in or b"")
    is_url = facts.status == 414 or _SAYS_URL.search(facts.wording) is not None
    lines = [f"the request headers have {size} bytes, {cookies} of them cookies"]
    if is_url and not url_lines(facts):
        lines.insert(0, f"the URL has {url_size(facts):,} characters")
    yield answer(facts, *lines, title="The URL is too long" if is_url else None)


_SAYS_URL: Final = re.compile(rb"\b(request-)?(uri|url)( is| was)? too (long|large)")


def is_too_large(facts: ConnectionFacts) -> bool:
    """Whether the answer says so, or has a status that servers send for it."""
    if not is_refused(facts):
        return False
    size = len(facts.raw_request_in or b"")
    said = re.search(
        rb"headers? (fields? )?(is |are )?too large|cookie too large|request header",
        facts.content[:2048],
        re.I,
    )
    is_url = _SAYS_URL.search(facts.wording) is not None
    return facts.status in (414, 431, 494) or (
        facts.status in (400, 413, 502) and bool(said or is_url or size > _LARGE_HEADERS)
    )


#: Words of a 400 that is about something else than the first line.
_NAMES_ANOTHER: Final = re.compile(rb"web ?socket|upgrade|sec-|origin|\bhost\b|token|version|header")
_OTHERWISE: Final = ("the server has another reason", "the same request without them gets the same answer")


@rules(
    "WS-HS-012",
    "error",
    "server",
    "400: the server does not accept the request as a handshake",
    meaning="The server found something wrong with the request. Where the answer has a text of its own, it"
    " says what.",
    js=JS_STATUS,
    topic="upgrade",
    confidence="medium",
    rows="H19 H5 H12",
    group="attempt",
)
def bad_request(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status != 400:
        return
    head = facts.request_in
    doubled = []
    for name in ("host", "connection", "upgrade", "origin", "sec-websocket-version", "sec-websocket-key"):
        if head is not None and len(head.get_all(name)) > 1:
            doubled.append(f"{name} is there {len(head.get_all(name))} times")
    forwarded = facts.request_line("X-Forwarded-For") if head and head.get("x-forwarded-for") else ""
    untrusted = (
        (
            "the server does not trust the proxy that set X-Forwarded-For (Home Assistant: trusted_proxies)",
            "the same request without X-Forwarded-For; the server's log",
        ),
    )
    empty = empty_lines(facts)
    if empty is None and is_unparsed(facts):
        yield unparsed(facts)
        return
    if is_refused_by_ws(facts) or has_proxy_header(facts):
        yield proxy_header(facts) if has_proxy_header(facts) else refused_by_ws(facts)
        return
    if empty is not None and not _NAMES_ANOTHER.search(facts.wording):
        found = answer(
            facts,
            empty.line,
            fault_of="client",
            topic="empty-lines",
            title="400: the request came behind empty lines",
            meaning=EMPTY_LINES,
            causes=() if empty.is_proven else (SENT_EMPTY, _OTHERWISE),
        )
        yield replace(found, confidence="high") if empty.is_proven else found
        return
    reason = facts.response_in.reason.lower() if facts.response_in else b""
    if REFUSES_ORIGIN.search(facts.wording) or REFUSES_ORIGIN.search(reason):
        about = of_origin(facts)
        yield answer(
            facts,
            facts.request_line("Origin"),
            facts.request_line("Host"),
            topic="origin",
            title=about.title.replace("403", "400", 1),
            meaning=about.meaning,
            causes=about.causes,
        )
        return
    if (of_werkzeug := unrouted(facts)) is not None:
        yield of_werkzeug
        return
    yield answer(
        facts,
        facts.request_line("Connection"),
        facts.request_line("Host"),
        forwarded if is_mute_400(facts) else "",
        gorilla.mark(facts),
        *doubled,
        causes=(
            (
                "a hop behind this tap removes the Upgrade headers",
                "a second tap behind it shows the request that arrives there",
            ),
            ("the path is wrong (Node ws answers 400 for that)", "try another path"),
            (
                "'Connection' is compared as a whole ('keep-alive, Upgrade' from Firefox)",
                "compare Chrome with Firefox",
            ),
            ("another virtual host answers", "compare the Host header with the server's configuration"),
            *(untrusted if forwarded and is_mute_400(facts) else ()),
        ),
    )


_SAYS_CONNECTIONS: Final = re.compile(
    rb"\b(?:max(?:imum)?|too many|limit)\b[^.<\n]{0,30}\bconnections\b|\bconnections? limit"
)


@rules(
    "WS-HS-017",
    "error",
    "client",
    "429: too many attempts",
    meaning="A rate limit refused the handshake. Reconnecting at once makes it worse: back off.",
    js=JS_STATUS,
    topic="rate",
    rows="H22",
    group="attempt",
)
def too_many(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status != 429:
        return
    if _SAYS_CONNECTIONS.search(facts.wording) is None:
        yield answer(facts, facts.response_line("Retry-After"))
        return
    # Traefik's inFlightReq, among others: waiting does not help while the others stay open.
    found = answer(
        facts,
        fault_of="hop" if hop_author(answer_marks(facts)) else "server",
        topic="connection-limit",
        title="429: too many connections at a time",
        meaning="The answer speaks of connections, not of attempts: a limit on those that are open at the"
        " same time, per client or in total, is reached.",
    )
    yield replace(found, confidence="medium")


@rules(
    "WS-HS-016",
    "error",
    "hop",
    "421: the request came over a connection for another host",
    meaning="The server does not serve this name on this connection. Browsers reuse an HTTP/2 connection for"
    " names that share a certificate.",
    js=JS_STATUS,
    topic="h2",
    rows="H22",
    group="attempt",
)
def misdirected(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 421:
        found = answer(facts, facts.request_line("Host"))
        # Whose answer it is, is known by a hop's marks alone: an application may send one as well.
        yield found if hop_author(answer_marks(facts)) else replace(found, confidence="medium")


@rules(
    "WS-HS-013",
    "error",
    "server",
    "The path does not accept this kind of request (405, 411, 413, 415)",
    meaning="The path expects another method, or a body: an ordinary HTTP route answered, not a WebSocket"
    " handler. Check the path.",
    js=JS_STATUS,
    topic="route",
    rows="H22",
    group="attempt",
)
def wrong_method(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status in (405, 411, 413, 415):
        yield answer(facts, facts.response_line("Allow"))
