"""Opening handshakes refused with 5xx, or with a status that has no usual cause.

These come last of the group "attempt".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from wsinspect.findings import gorilla
from wsinspect.findings.answering import answer
from wsinspect.findings.asgi import of_500
from wsinspect.findings.evidence import JS_STATUS, answer_hop, answer_marks, body_line, named
from wsinspect.findings.facts import ConnectionFacts, Other
from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.known_answers import jetty_refuses
from wsinspect.findings.limits import LIMITS
from wsinspect.findings.model import Confidence, FaultOf, Found
from wsinspect.findings.own_pages import is_page
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.answers import has_own_words
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.rules.requests import other_protocols
from wsinspect.findings.software import NAMES, PROXIES, hop_author
from wsinspect.findings.upstream import CAUSES, behind_hop, failure_of
from wsinspect.handshake.heads import RawHead
from wsinspect.vocabulary import Lack

rules = Rules()


#: What a 502 or 503 says about the failure behind the hop, and which of `CAUSES` that is.
_SAYS: Final = (
    ("tls", re.compile(rb"tls error|ssl|certificate", re.I)),
    (
        "refused",
        re.compile(rb"connection failure|connection refused|remote connection failure|no route", re.I),
    ),
    ("dns", re.compile(rb"dns (lookup )?(failure|resolution)|could not resolve", re.I)),
    (
        "answer",
        re.compile(
            rb"invalid or incomplete response|invalid response|connection termination|protocol error"
            rb"|error reading from remote server|prematurely closed|upstream reset",
            re.I,
        ),
    ),
    ("none", re.compile(rb"no server is available|no healthy upstream", re.I)),
)
#: Apache answers 500, not 502, where TLS to the application failed (mod_proxy_http.c).
_APACHES_TLS: Final = b"error during ssl handshake with remote server"
#: The order where the answer does not say.
_USUAL: Final = ("refused", "answer", "scheme", "tls", "size")
_LIMIT_SAID: Final = re.compile(
    rb"too many|limit|capacity|overload|max(imum)? (number|connections)|busy", re.I
)


#: Why a server that says so has too much.
_LIMITED: Final = (
    ("a limit on connections is reached", "close one that is open: is the next attempt accepted?"),
    ("it has too much to do, or a pool of its own is empty", "its load and its log for this moment"),
)


#: What an application that answers itself says with 503.
_BUSY: Final = (
    "the application answers 503 itself: maintenance, overload, or a limit of its own",
    "the words of the answer; it is the same without the proxy",
)


#: Hops that give such a status with a page of their own (`data/software.toml`) unless a configuration says
#: something else: an answer with their name and another body, or none, may be the application's.
_WITH_PAGES: Final = frozenset(("nginx", "npm", "k8s-ingress", "apache", "haproxy", "envoy"))
#: Hops that belong to somebody else and also answer in JSON.
_MANAGED: Final = frozenset(("aws", "azure", "cloudflare", "fly", "gcp", "heroku", "iis"))
#: What development servers and proxy libraries say when their own way fails.
_PROXY_SAYS: Final = re.compile(rb"trying to proxy|proxy error|bad gateway:|gateway error")
_SHOWN: Final = 80


class _Author(NamedTuple):
    """Who made an answer that is a gateway's by its status, and how that shows."""

    fault_of: FaultOf
    confidence: Confidence
    lines: tuple[str, ...] = ()


def _author(facts: ConnectionFacts) -> _Author:
    """Who made an answer of 502 or 505, which an application can give as well as a proxy.

    Only the hop's own marks make it sure: its page, or its name over an answer without words. A name in
    `Server` that nobody knows may be a proxy's as well.
    """
    marks = answer_marks(facts)
    names = named(marks)
    proxies = [name for name in names if name in PROXIES]
    head = facts.response_in
    says = any(shape.search(facts.wording) for _, shape in _SAYS) or _PROXY_SAYS.search(facts.wording)
    has_words = bool(body_line(facts)) or bool(facts.unrecorded & {Lack.ANSWER, Lack.BODY})
    if hop_author(marks) is not None:
        return _Author("hop", "high")
    if head is not None and head.get("x-envoy-upstream-service-time") is not None:
        return _Author("server", "medium", ("Envoy passed this answer on: it names the time that it took",))
    if own := [mark for mark in marks if mark.software not in PROXIES]:
        is_hops = says and own[0].software in _DEV_PROXIES
        return _Author("hop" if is_hops else "server", "medium")
    if proxies and not set(proxies) & _WITH_PAGES and (says or not has_words):
        return _Author("hop", "high")
    is_apps = has_words and not says and not is_page(facts)
    if proxies:
        return _Author("server" if is_apps and not set(proxies) & _MANAGED else "hop", "medium")
    server, of_others = _servers(facts)
    if of_others and server not in of_others:
        there = next(iter(of_others))
        line = f"accepted attempts there were answered with Server: {there}; this one with {server or 'none'}"
        return _Author("hop", "medium", (line,))
    line = f"Server: {server}" if server else ""
    if server and server in of_others:
        line += ", as in the answers to accepted attempts there"
    return _Author("server" if is_apps else "hop", "medium", (line,))


#: Development servers that pass requests on themselves.
_DEV_PROXIES: Final = ("vite", "webpack", "next", "node-ws")


def _servers(facts: ConnectionFacts) -> tuple[str, tuple[str, ...]]:
    """The Server field of this answer, and those of 101s from the same host and port."""
    heads = [RawHead.parse(one.response) for one in facts.others if one.response]
    mine = facts.response_in
    fields = [head.get("server") if head is not None else None for head in (mine, *heads)]
    own, *others = [(value or b"").decode("latin-1")[:_SHOWN] for value in fields]
    return own, tuple(dict.fromkeys(filter(None, others)))


def _gateway(facts: ConnectionFacts, title: str, causes: tuple[tuple[str, str], ...]) -> Found:
    """An answer of 502 or the like, with who made it ranked where its marks do not show that.

    Args:
        title: where a hop made it.
        causes: why a hop's own way fails, most likely first.
    """
    author = _author(facts)
    its_own = (
        f"the application answers {facts.status} itself: something that it asks in its turn failed",
        "its log for this moment; the same answer comes without the proxy",
    )
    if author.fault_of == "server":
        found = answer(
            facts,
            *author.lines,
            fault_of="server",
            topic="server-error",
            title=f"{facts.status} with an application's own marks or words",
            meaning=f"A proxy's own {facts.status} does not look like this: the application most likely"
            " answered so itself, because something that it needs failed. Its log for this moment says what.",
            causes=(
                its_own,
                (f"a proxy on the way has this answer in its configuration: {causes[0][0]}", causes[0][1]),
            ),
        )
        return replace(found, confidence=author.confidence, hop=None)
    rivals = causes if author.confidence == "high" else (*causes, its_own)
    found = answer(facts, *author.lines, title=title, causes=rivals)
    return replace(found, confidence=author.confidence)


def is_of_hop(facts: ConnectionFacts) -> bool:
    """Whether a 503 or 500 is the hop's own: its page or its words, or nothing that is anybody's.

    Not `_author`: few hops answer these because their own way fails, so any other page is the application's
    before it is a configured one (maintenance, a limit).
    """
    said = any(shape.search(facts.content[:4096]) for _, shape in _SAYS)
    return said or hop_author(answer_marks(facts)) is not None or not has_own_words(facts)


def _gateway_causes(facts: ConnectionFacts) -> tuple[tuple[str, str], ...]:
    """The causes of a gateway's failure, the one that its words point to first."""
    said = next((name for name, shape in _SAYS if shape.search(facts.content[:4096])), None)
    order = dict.fromkeys(([said] if said else []) + list(_USUAL))
    if said == "answer":  # the connection was made
        order = dict.fromkeys(("answer", "scheme", "tls", "size"))
    if said in ("refused", "dns", "none", "tls"):
        order = dict.fromkeys(
            (said, *(("scheme",) if said == "tls" else ()), *_USUAL[: 2 if said == "none" else 1])
        )
    return tuple(CAUSES[name] for name in order)


#: nginx, and what is made of it.
_NGINXES: Final = frozenset(("nginx", "npm", "k8s-ingress"))


def _with_limits(facts: ConnectionFacts, causes: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """With nginx's own limits among the causes: first where a socket of this path is open at this moment."""
    if not _NGINXES.intersection(named(answer_marks(facts))):
        return causes
    if facts.status == 503:
        return (CAUSES["limit-conn"], *causes)
    limit = CAUSES["max-conns"]
    if _open_then(facts):
        return (limit, *causes)
    # Another path may have the same upstream.
    answered = facts.times.get("response_in_ns") or facts.attempt_ns
    is_served = Lack.TIMES not in facts.unrecorded and any(
        _was_open_at(one, answered) for one in facts.others
    )
    return (causes[0], limit, *causes[1:]) if is_served else (*causes, limit)


def _open_then(facts: ConnectionFacts) -> list[int]:
    """Connections to the same path that were open when this attempt was answered."""
    if Lack.TIMES in facts.unrecorded:
        return []
    # What this one waited for in a queue may have opened since it asked.
    answered = facts.times.get("response_in_ns") or facts.attempt_ns
    return [one.id for one in facts.others if _was_open_at(one, answered) and _is_same_path(one, facts)]


@rules(
    "WS-HS-020",
    "error",
    "hop",
    "502: a proxy got no valid answer from the application",
    meaning="A proxy behind this tap could not reach the application, or did not understand its answer. The"
    " proxy's error log for this moment says which.",
    js=JS_STATUS,
    topic="bad-gateway",
    rows="H24 H6 H22 H31",
    group="attempt",
)
def bad_gateway(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status is None:
        return
    title = f"{facts.status}: a proxy got no valid answer from the application"
    failure = failure_of(facts)
    if facts.status in (503, 504, 522):
        return
    if failure is not None:
        yield behind_hop(facts, failure)
    elif facts.status == 530:
        # The number in its page says more; without one, a name that does not resolve is the usual error.
        found = answer(facts, title=title, causes=(CAUSES["dns"],))
        is_named = "cloudflare" in named(answer_marks(facts))
        yield found if is_named else replace(found, confidence="medium")
    elif facts.status == 502 or (facts.status == 500 and _APACHES_TLS in facts.wording):
        causes = _with_limits(facts, _gateway_causes(facts))
        found = _gateway(facts, title, causes)
        # The usual advice is to start the application, which answered here.
        is_tls = causes[0] == CAUSES["tls"] and found.fault_of is None
        if causes[0] == CAUSES["max-conns"] and found.fault_of is None:
            open_then = ", ".join(f"#{one}" for one in sorted(_open_then(facts))[:6])
            found = replace(
                found,
                evidence=(*found.evidence, f"open to the same path at this moment: {open_then}"),
                fixes=(*fixes_for("connection-limit", ("nginx",)), *fixes_for("bad-gateway", ("nginx",))),
            )
        yield replace(found, topic="backend-tls") if is_tls else found


@rules(
    "WS-HS-048",
    "error",
    "hop",
    "503, while a connection to the same path is open: a limit on connections",
    meaning="This path is being served at this very moment, so the server is not down. A limit on"
    " connections, per client or in total, refused this one.",
    js=JS_STATUS,
    topic="connection-limit",
    rows="H24 T10",
    confidence="medium",
    group="attempt",
)
def connection_limit(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status not in (503, 500) or Lack.TIMES in facts.unrecorded:
        return
    open_then = _open_then(facts)
    failure = failure_of(facts)
    if failure is not None and not failure.is_limit:
        return  # it says what else it was
    says = failure is not None or _LIMIT_SAID.search(facts.said) is not None
    if not open_then or (facts.status != 503 and not says):
        return
    ids = ", ".join(f"#{one}" for one in sorted(open_then)[:6])
    noun = "connection was" if len(open_then) == 1 else "connections were"
    found = answer(
        facts,
        f"{len(open_then)} {noun} open to the same path at this moment: {ids}",
        facts.response_line("Retry-After")
        if facts.response_in and facts.response_in.get("retry-after")
        else "",
        fault_of="hop" if answer_hop(facts) and is_of_hop(facts) else "server",
        causes=(
            ("a limit on connections is reached", "close one of those: is the next attempt accepted?"),
            ("one of several servers is down", "the log of whichever one answered"),
        ),
    )
    yield replace(found, confidence="high" if says else None)


def _was_open_at(one: Other, time_ns: int) -> bool:
    return one.open_ns <= time_ns and (one.end_ns or one.closed_ns or time_ns + 1) > time_ns


def _is_same_path(one: Other, facts: ConnectionFacts) -> bool:
    return one.path.partition("?")[0].rstrip("/") == (facts.path or "").partition("?")[0].rstrip("/")


@rules(
    "WS-HS-021",
    "error",
    "server",
    "503: no server takes the connection",
    meaning="A proxy has no healthy backend, or the server is overloaded or in maintenance. The log of"
    " whichever one answered says which.",
    js=JS_STATUS,
    topic="bad-gateway",
    rows="H24 T10",
    group="attempt",
)
def unavailable(facts: ConnectionFacts) -> Iterator[Found]:
    failure = failure_of(facts) if facts.status == 503 else None
    if is_refused(facts) and failure is not None:
        yield behind_hop(facts, failure)
    elif is_refused(facts) and facts.status == 503:
        hop = answer_hop(facts)
        is_hops = hop is not None and is_of_hop(facts)
        if (own := jetty_refuses(facts)) is not None:
            yield own
            return
        if not is_hops and _LIMIT_SAID.search(facts.said):
            yield answer(
                facts,
                facts.response_line("Retry-After"),
                topic="connection-limit",
                title="503: a limit or too much load, as the answer says",
                meaning="The server is there and refuses for now. A limit on connections that is set in it"
                " (Autobahn: maxConnections), or its load, decides.",
                causes=_LIMITED,
            )
            return
        found = answer(
            facts,
            facts.response_line("Retry-After"),
            fault_of="hop" if is_hops else None,
            causes=_with_limits(facts, _gateway_causes(facts))
            if is_hops
            else (_BUSY, *_gateway_causes(facts)[:2])
            if hop
            else (),
        )
        yield replace(found, confidence="medium") if hop and not is_hops else found


_SLOW: Final = (
    "the application took the connection and did not answer in time",
    "its log has the request; the same one sent to it directly is as slow",
)


@rules(
    "WS-HS-022",
    "error",
    "server",
    "504: the application did not answer the handshake in time",
    meaning="A proxy waited for the application's answer and gave up. The time until the status is the"
    " proxy's timeout.",
    js=JS_STATUS,
    topic="timeout",
    rows="H24",
    group="attempt",
)
def gateway_timeout(facts: ConnectionFacts) -> Iterator[Found]:
    failure = failure_of(facts) if is_refused(facts) and facts.status in (504, 522) else None
    if failure is not None:
        yield behind_hop(facts, failure)
    elif is_refused(facts) and facts.status in (504, 408, 524):
        took = (facts.answer_ms or 0) / 1000
        near = [
            limit
            for limit in LIMITS
            if abs(limit.seconds - took) <= 1 and limit.seconds in (30, 60, 100) and limit.kind != "answer"
        ]
        lines = [f"known limit: {limit.who}, {limit.seconds:g} s" for limit in near[:4]]
        found = answer(
            facts,
            *lines,
            title=f"{facts.status}: the application did not answer the handshake in time",
            causes=(_SLOW, CAUSES["dropped"]) if facts.status == 504 else (),
        )
        # A hop says so as well where its connection was not made (nginx: proxy_connect_timeout).
        yield replace(found, confidence="medium") if facts.status == 504 else found


@rules(
    "WS-HS-014",
    "error",
    "hop",
    "505: the server got another HTTP version than was sent from here",
    meaning="The request left here as HTTP/1.1, and the server says that it does not support the version it"
    " got. A hop in between speaks HTTP/1.0 to the application.",
    js=JS_STATUS,
    topic="http10",
    rows="H2",
    group="attempt",
)
def version_refused(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_out or facts.request_in
    if not is_refused(facts) or facts.status != 505 or head is None or head.http_version != b"HTTP/1.1":
        return
    sent = f"sent on as {head.start_line.decode('latin-1')[:160]}"
    if _names_other_version(facts.wording):
        yield answer(facts, sent, "the answer names another version than was sent from here")
        return
    author = _author(facts)
    by_hop = (
        "a hop behind this tap speaks another version of HTTP to the application (nginx: 1.0 by default)",
        "a second tap behind it shows the request that arrives there",
    )
    by_itself = (
        "the server does not support HTTP/1.1, or answers 505 to something else",
        "ask it directly, from its own machine: it is the same answer",
    )
    is_servers = author.fault_of == "server"
    found = answer(
        facts,
        sent,
        *author.lines,
        fault_of=author.fault_of,
        title="505: the server does not take the HTTP version" if is_servers else None,
        meaning="The request left here as HTTP/1.1, and the application answers that it does not support the"
        " version that it got. No sign of a hop that changed it is in the answer."
        if is_servers
        else None,
        causes=(by_itself, by_hop) if is_servers else (by_hop, by_itself),
    )
    yield replace(found, confidence="medium", hop=None if is_servers else found.hop)


_OLD_VERSION: Final = re.compile(rb"http/(0\.9|1\.0)")
_LISTED: Final = rb"(?:(?:,| and| or)+ http/[\d.]+)"
#: What a server wants, and not what it got: versions in a row, or one that it asks for.
_WANTED: Final = re.compile(
    rb"(?<!not )(?<!n't )\b(?:only|requires?|needs?|expects?|uses?|supports?) http/[\d.]+" + _LISTED + rb"*"
    rb"|http/[\d.]+" + _LISTED + rb"+"
    rb"|http/[\d.]+ (?:only|or (?:later|higher)|(?:is )?required)"
)


def _names_other_version(words: bytes) -> bool:
    """Whether a server, whose words are in lower case, names a version that it got and HTTP/1.1 is not."""
    got = _WANTED.sub(b"", words)
    return _OLD_VERSION.search(got) is not None or (b"http/2" in got and b"http/1.1" not in words)


@rules(
    "WS-HS-019",
    "error",
    "server",
    "The server failed while it handled the handshake (5xx)",
    meaning="The application, or a hop before it, raised an error when the client connected. The page cannot"
    " see the status or the body; the evidence has both.",
    js=JS_STATUS,
    topic="server-error",
    rows="H24",
    group="attempt",
)
def server_error(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status is not None and facts.status >= 500:
        author = hop_author(answer_marks(facts))
        name = NAMES[author.software] if author else None
        yield answer(
            facts,
            fault_of="hop" if author else None,
            title=f"{facts.status}: {name} itself failed while it handled the handshake" if name else None,
            meaning=f"{name} writes this page by itself, for a failure of its own; its error log says which."
            " No application answered so. The page cannot see the status or the body; the evidence has both."
            if name
            else None,
            causes=()
            if author is not None
            else gorilla.of_500(facts) or (of_500(facts) if facts.status == 500 else ()),
        )


@rules(
    "WS-HS-023",
    "error",
    "server",
    "The handshake was refused",
    meaning="The status is not 101 and has no usual cause. Where the answer has a text, it says more.",
    js=JS_STATUS,
    topic="app",
    confidence="low",
    rows="H22",
    group="attempt",
)
def other_status(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts):
        return
    asked = other_protocols(facts)
    if not asked:
        yield answer(facts)
        return
    wants_tls = asked[0].startswith("tls")
    found = answer(
        facts,
        facts.response_line("Upgrade")[:160],
        "sent: 'Upgrade: websocket'",
        fault_of="client" if wants_tls else "server",
        topic="scheme" if wants_tls else None,
        title=f"426: the server wants {asked[0][:40].upper()} first, not a WebSocket",
        meaning="A 426 names in its Upgrade header what the client has to switch to, and this one names no"
        " WebSocket. "
        + ("Use wss." if wants_tls else "What answers does not speak WebSocket over HTTP/1.1."),
    )
    yield replace(found, confidence="high" if wants_tls else "medium")
