"""Refusals that a library or framework writes, known by their very words: what each is for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, NamedTuple

from wsinspect.findings import gorilla
from wsinspect.findings.answering import answer
from wsinspect.findings.changes import has_no_site
from wsinspect.findings.evidence import answer_hop
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.messages_read import query
from wsinspect.findings.model import Fix, Found
from wsinspect.findings.own_pages import BARE, is_bare, is_page, own_page_cause, served_file
from wsinspect.findings.software import NAMES
from wsinspect.vocabulary import Lack


def sockjs_greeting(facts: ConnectionFacts, kind: str) -> Found:
    """SockJS has its WebSocket below the URL that its own client is given (sockjs-protocol, 3.3 and 4.1)."""
    base = (facts.path or "").partition("?")[0].rstrip("/")[:160]
    found = answer(
        facts,
        kind,
        fault_of="client",
        title="This URL is for SockJS clients: its WebSocket is at /websocket below it",
        meaning="The server greets as SockJS does at its base URL, which takes no WebSocket itself. A plain"
        " WebSocket belongs to /websocket below it; a SockJS client adds the rest of the path.",
    )
    advice = Fix(
        "general", f"Connect to {base}/websocket, or give this URL to a SockJS client (as http, not ws)."
    )
    return replace(found, fixes=(advice,))


#: An answer that names the Origin as what it refuses.
REFUSES_ORIGIN: Final = re.compile(
    rb"(?:invalid|disallowed|forbidden|untrusted|unauthori[sz]ed|bad|wrong|unknown) origin"
    # A dot within a quoted origin ends no sentence.
    rb"|\borigin\b(?:[^.<]|\.(?=\w)){0,120}?(?: not | denied| rejected| refused| mismatch| forbidden| failed)"
)


_OF_ORIGIN: Final = (
    (
        "the Origin is not on the server's list",
        "repeat the request without Origin, or with the server's own: is it 101?",
    ),
    (
        "a hop behind this tap changes Host, and the server compares Origin with it",
        "a second tap behind it shows the request that arrives there",
    ),
)


_SAYS_ORIGIN: Final = (
    "Its answer says so. The server has a list of allowed origins, or compares Origin with the Host that"
    " arrives."
)


class OfOrigin(NamedTuple):
    """What to say where the answer itself names the Origin as what it refuses."""

    title: str
    meaning: str
    causes: tuple[tuple[str, str], ...]


def of_origin(facts: ConnectionFacts) -> OfOrigin:
    """The words for a 403 about an Origin, and for one that came because there was none."""
    asked = facts.request_in
    if asked is not None and asked.get("origin") is None and Lack.REQUEST not in facts.unrecorded:
        return OfOrigin(
            "403: the server demands an Origin that it knows, and none was sent",
            "Its answer says so. A client that is not a browser sends an Origin only where its options name"
            " one.",
            (
                (
                    "the server accepts only an Origin on its list",
                    "repeat the request with the Origin of the server's own page: is it 101?",
                ),
            ),
        )
    return OfOrigin(
        "403: the server refuses this Origin",
        gorilla.ORIGIN if gorilla.is_of_gorilla(facts) else _SAYS_ORIGIN,
        _OF_ORIGIN,
    )


#: Where the server calls an Origin foreign that is its own page's (`changes.takes_own_for_foreign`).
OWN_FOR_FOREIGN: Final = (
    "The Origin is that of the very Host that was asked, and the server compares the two, so another Host"
    " arrives there: a proxy on the way changes it, or takes its port away."
)


def own_for_foreign(facts: ConnectionFacts) -> Found:
    return answer(
        facts,
        facts.request_line("Origin"),
        facts.request_line("Host"),
        fault_of="hop",
        title="403: the server takes its own page for a foreign one, so a hop changes Host",
        meaning=OWN_FOR_FOREIGN,
        causes=(
            (
                "a hop behind this tap changes Host, or removes its port",
                "a second tap behind it shows the request that arrives there",
            ),
            (
                "a hop behind this tap ends TLS and does not say so in X-Forwarded-Proto",
                "a second tap behind it shows the request that arrives there",
            ),
        ),
    )


def refused_by_ws(facts: ConnectionFacts) -> Found:
    return answer(
        facts,
        f"path {(facts.path or '')[:160]}",
        "it has neither Date nor Server: 'ws' for Node wrote it, which only sees requests with Upgrade",
        topic="route",
        title="400: the server's WebSocket library refuses this path",
        meaning="The upgrade reached a server that uses 'ws' for Node, and the library refused it. It does so"
        " for a path that it was not given, and where two servers share one port: the first one refuses what"
        " is meant for the second.",
        causes=(
            ("the path is not the one that the server's WebSocket was given", "try another path"),
            (
                "two WebSocketServers listen on one HTTP server, and the first refuses the other's paths",
                "create both with noServer, and call handleUpgrade of one, chosen by path",
            ),
            ("an old 'ws' (7 or older) refuses a header this way, too", "the same with other headers"),
        ),
    )


def jetty_refuses(facts: ConnectionFacts) -> Found | None:
    """Jetty's 503 where no object for the endpoint could be made (jetty/jetty.project#4903)."""
    server = facts.response_line("Server").lower().removeprefix("server: ")
    if not server.startswith("jetty") or b"endpoint creation failed" not in facts.said:
        return None
    return answer(
        facts,
        fault_of="server",
        topic="server-error",
        title="503: Jetty could not make the endpoint for this WebSocket",
        meaning="The server is up and took the handshake. Its own code gave Jetty no object for the endpoint,"
        " and Jetty says nothing more to the client.",
        causes=(
            (
                "the application's WebSocketCreator returned null: it refuses this client, path or"
                " subprotocol without an answer of its own",
                "what it checks before it returns; an answer with sendForbidden or sendError says more",
            ),
            (
                "Jetty cannot construct the endpoint's class: it is not public, is an inner class that is not"
                " static, or has no constructor without arguments",
                "the debug log of org.eclipse.jetty.websocket has the exception",
            ),
        ),
    )


#: How mitmproxy, which is this proxy's HTTP, refuses what is not a request: it quotes the line.
#: Version 2 is binary: empty lines, and then a line that is a zero byte alone (proxy-protocol.txt, 2.2).
_PROXY_LINE: Final = re.compile(
    rb"bad http request line: b(?:'|&#x27;)(?:proxy (?:tcp[46]|unknown)|\\x00(?:'|&#x27;))"
)


def has_proxy_header(facts: ConnectionFacts) -> bool:
    """Whether an answer quotes a PROXY header in the place of a request."""
    return facts.status == 400 and _PROXY_LINE.search(facts.wording) is not None


def proxy_header(facts: ConnectionFacts) -> Found:
    """HAProxy's `send-proxy` and what is like it, to a server that does not expect it."""
    found = answer(
        facts,
        fault_of="hop",
        title="400: the hop sends a PROXY header, where a request has to begin",
        meaning="The hop puts a line with the client's address before the request (HAProxy's PROXY protocol),"
        " and what is behind it takes that for the request. wsinspect does not read it either: a tap behind"
        " such a hop answers 400 by itself.",
    )
    fixes = (
        Fix("haproxy", "server app 127.0.0.1:3000   # no send-proxy, unless the server expects the header"),
        Fix("general", "Turn the PROXY protocol off in the hop, or on in the server behind it."),
    )
    return replace(found, confidence="high", fixes=fixes)


def unparsed(facts: ConnectionFacts) -> Found:
    """What left here was a request, and what arrived at a Node or Go server was none."""
    return answer(
        facts,
        "this is how Node's and Go's HTTP parsers answer bytes that are no request: no Date, no page",
        fault_of="hop",
        topic="not-a-request",
        title="400: what arrived at the server is not an HTTP request",
        meaning="The request left here in order, and the server's parser refused its first bytes, before any"
        " application saw it. Something in between puts other bytes before it or changes it.",
        causes=(
            (
                "a hop sends a PROXY header (HAProxy's send-proxy, nginx's proxy_protocol on, stunnel's"
                " protocol = proxy), and the server does not expect one",
                "the hop's configuration; a tap right behind the hop quotes that line",
            ),
            (
                "a header of the request is one that this parser does not accept: a space in a name, a"
                " control character, two different lengths",
                "the same request with the usual headers alone",
            ),
            (
                "the application writes these lines itself, in its handler of 'upgrade' (socket.end(...))",
                "search its code for '400 Bad Request'; the same request with a token, another path",
            ),
        ),
    )


#: The description of Werkzeug's BadRequest, which its router raises where a route and a request differ in
#: whether they are a WebSocket (werkzeug/routing/map.py, WebsocketMismatch).
_WERKZEUG: Final = b"the browser (or proxy) sent a request that this server could not understand"


def unrouted(facts: ConnectionFacts) -> Found | None:
    """A 400 of Flask or another application on Werkzeug that says no more than that; None for any other."""
    if _WERKZEUG not in facts.wording:
        return None
    return answer(
        facts,
        f"path {(facts.path or '')[:160]}",
        topic="route",
        title="400: a Flask or Werkzeug application does not take an upgrade at this path",
        meaning="Its router answers so where an ordinary route gets an upgrade, and where a WebSocket's route"
        " gets an ordinary request. What left here was an upgrade.",
        causes=(
            ("the path is an ordinary route, not one of @sock.route", "a path that is one: is it 101?"),
            (
                "a hop behind this tap removes the Upgrade headers on the way to a WebSocket's route",
                "a second tap behind it shows the request that arrives there",
            ),
            ("the application itself answers 400 (abort)", "its log for this moment"),
        ),
    )


def of_engineio(facts: ConnectionFacts, origin: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Why python-engineio refuses a WebSocket: under ASGI all of its reasons are one 403 without words."""
    asked = query(facts)
    session = (
        "the session id (sid) is not known to the process that was reached: it belongs to another one, or has"
        " expired (python-engineio)",
        "keep a client at one process (sticky sessions), or one process alone: is it 101?",
    )
    version = (
        f"python-engineio does not speak the protocol of this client (EIO={asked.get('EIO', '')[:8]})",
        "its log says 'unsupported version'; EIO=4 goes with python-engineio 4 and newer",
    )
    handler = (
        "the application's connect handler refused the client: a token, a cookie",
        "its log; the credentials that were sent are among the evidence",
    )
    is_old = asked.get("EIO") not in ("4", None)
    first = (version,) if is_old else ()
    return (*first, *((session,) if asked.get("sid") else ()), origin, handler)


#: No Content and Reset Content: an answer with such a status has none (RFC 9110, 15.3.5 and 15.3.6).
NO_CONTENT: Final = (204, 205)


def content(facts: ConnectionFacts) -> Found:
    """Content with 2xx in the place of a 101: whose it is as far as the answer shows that."""
    kind = facts.response_line("Content-Type")
    if (file := served_file(facts)) is not None:
        name = NAMES[file.software]
        return answer(
            facts,
            kind,
            file.evidence,
            fault_of="hop",
            title=f"{name} itself answered with a file instead of 101 Switching Protocols",
            meaning=f"{name} served a file for this request: a catch-all route for a single-page application"
            " (try_files, FallbackResource), or an error page of its own in the place of another answer.",
            causes=(
                ("this path has no rule of its own that passes it on", "its configuration for this path"),
                own_page_cause(name),
            ),
        )
    is_of_no_site, is_html = has_no_site(facts), is_page(facts)
    # An application's framework mostly leaves a mark of its own; without one, any proxy may have written it.
    may_be_own = is_html and is_bare(facts)
    no_site = (
        "none of Caddy's sites has this Host, or nothing in that site takes the request",
        "compare Host and path with the Caddyfile; a hop may have changed Host",
    )
    found = answer(
        facts,
        kind,
        facts.request_line("Host") if is_of_no_site else "",
        BARE if may_be_own else "",
        fault_of="hop" if is_of_no_site else None,
        title=None
        if is_html
        else f"Caddy answered {facts.status} with nothing instead of 101"
        if is_of_no_site
        else f"The server answered {facts.status} with{'out' if facts.status in NO_CONTENT else ''} content"
        " instead of 101",
        causes=(
            *((no_site,) if is_of_no_site else ()),
            (
                "the path is answered by a static page or another route"
                if is_html
                else "the path is answered by an ordinary HTTP route",
                "connect to the application directly",
            ),
            *((own_page_cause(answer_hop(facts)),) if may_be_own else ()),
            (
                "a hop behind this tap removed Upgrade",
                "a second tap behind it shows the request that arrives there",
            ),
        ),
    )
    return replace(found, confidence="medium") if may_be_own else found
