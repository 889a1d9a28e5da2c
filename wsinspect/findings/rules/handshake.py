"""Opening handshakes that were altered before they came here, or got no answer that is HTTP.

RFC 6455 sections 4.1 and 4.2. An odd request that was answered with 101 gets no finding: a finding is about
what failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wsinspect.decoders.engineio import is_engineio_path
from wsinspect.findings.busy import busy_with, one_at_a_time
from wsinspect.findings.evidence import (
    JS_FAILED,
    WORDS_OF_ENDS,
    answer_marks,
    author_line,
    body_line,
    js_status,
    marks_lines,
    named,
    request_marks,
    seconds,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts
from wsinspect.findings.hung_up import HUNG_UP_PAIRS, NOBODYS, UNKNOWN_SUBPROTOCOL, WAITED
from wsinspect.findings.lag import COARSE_NS
from wsinspect.findings.limits import is_at, matching, words
from wsinspect.findings.model import Found
from wsinspect.findings.preamble import EMPTY_LINES, SENT_EMPTY, empty_lines
from wsinspect.findings.quotes import protocol_of
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.headless import headless
from wsinspect.findings.rules.reported import reported
from wsinspect.findings.unreached import is_nameless, unreached
from wsinspect.findings.ways import way_of
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import negotiate
from wsinspect.vocabulary import Lack

rules = Rules()

#: A client that leaves sooner did not wait for the server.
_AT_END_NS: Final = SECOND_NS // 2
_SHORT_WAIT_NS: Final = 2 * SECOND_NS
#: No answer has so large a header block: the server does not mean to end it.
_LARGE_HEAD: Final = 16 * 1024
#: Statuses of a hop that did not reach the application: what the request lacked did not matter yet.
_NOT_REACHED: Final = (407, 429, 502, 503, 504)


#: Words of servers that miss the key of RFC 6455 section 4.2.1.
SAYS_KEY: Final = re.compile(rb"sec-websocket-key|(missing|invalid|no) websocket key|challenge key")


def has_failed(facts: ConnectionFacts) -> bool:
    """Whether the attempt ended without a 101."""
    return facts.state in ("refused", "failed") and not facts.was_open


def is_refused(facts: ConnectionFacts) -> bool:
    """Whether the server, or a hop before it, answered with another status than 101."""
    return facts.state == "refused" and facts.status is not None


def asked_correctly(facts: ConnectionFacts) -> bool:
    """Whether the request that left here was a correct opening handshake."""
    out = facts.request_out or facts.request_in
    return out is not None and not negotiate(out, None).problems


def has_reached_server(facts: ConnectionFacts) -> bool:
    """Whether the request was what failed, and not the way to the server."""
    if facts.failed_where in ("connect", "tls-server"):
        return False
    return facts.status not in _NOT_REACHED


@rules(
    "WS-HS-001",
    "error",
    "hop",
    "The request arrived here without its Upgrade headers",
    meaning="The request has a Sec-WebSocket-Key but lacks 'Upgrade: websocket' or 'Connection: Upgrade'."
    " Both are hop-by-hop: a proxy before this tap did not set them again, so the server sees an ordinary"
    " GET.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H1 H2 H3 H4 H5 H11 H23",
    group="attempt",
)
def arrived_stripped(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if not has_failed(facts) or head is None or head.get("sec-websocket-key") is None:
        return
    if "websocket" in head.tokens("upgrade") and "upgrade" in head.tokens("connection"):
        return
    if not has_reached_server(facts):
        return
    marks = request_marks(head)
    default = head.http_version == b"HTTP/1.0" and head.tokens("connection") == ["close"]
    signature = (
        ("HTTP/1.0 with 'Connection: close' is what nginx before 1.29.7 sends by default",) if default else ()
    )
    software = (*named(marks), *(("nginx",) if default else ()), *named(answer_marks(facts)))
    is_sure = bool(marks) or default
    # A value that is there, and names no WebSocket, was set by somebody; clients send 'websocket'.
    wrong = head.get("upgrade") if "websocket" not in head.tokens("upgrade") else None
    yield Found(
        title=f"The request arrived here with 'Upgrade: {wrong.decode('latin-1')[:40]}'" if wrong else None,
        evidence=(
            f"request: {head.start_line.decode('latin-1')[:160]}",
            facts.request_line("Upgrade"),
            "nginx: the value for Upgrade is $http_upgrade; $connection_upgrade is for Connection"
            if wrong in (b"upgrade", b"Upgrade")
            else "",
            facts.request_line("Connection"),
            "Sec-WebSocket-Key is present",
            status_line(facts) if facts.status else _failure(facts),
            *body_line(facts),
            *signature,
            *marks_lines(marks),
        ),
        hop="a proxy before this tap" if is_sure else None,
        software=tuple(dict.fromkeys(software)),
        confidence="high" if is_sure else "medium",
        causes=()
        if is_sure
        else two_causes(
            (
                "a proxy before this tap removes them",
                "connect the client to this tap directly: does it still fail?",
            ),
            ("the client does not send them", "a browser always does; look at the client's own code"),
        ),
    )


@rules(
    "WS-HS-003",
    "error",
    "hop",
    "The request arrived here as HTTP/1.0",
    meaning="HTTP/1.0 has no upgrade, and this server refused although the Upgrade headers are there. A"
    " proxy before this tap speaks HTTP/1.0 to its upstream: make it speak HTTP/1.1.",
    js=JS_FAILED,
    topic="http10",
    rows="H2",
    group="attempt",
)
def http10(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if not is_refused(facts) or facts.status not in (200, 400, 404, 426, 501, 505):
        return
    if head is not None and head.http_version == b"HTTP/1.0":
        marks = request_marks(head)
        yield Found(
            evidence=(
                f"request: {head.start_line.decode('latin-1')[:160]}",
                status_line(facts),
                *body_line(facts),
                *marks_lines(marks),
            ),
            software=(*named(marks), "nginx"),
            hop="a proxy before this tap",
            confidence="high" if facts.status in (426, 505) else "medium",
        )


@rules(
    "WS-HS-037",
    "error",
    "hop",
    "A forward proxy refused to open the tunnel",
    meaning="The upstream proxy that this one goes through refused the CONNECT, or the request itself. The"
    " server never saw it.",
    js=JS_FAILED,
    topic="forward-proxy",
    rows="H29",
    group="attempt",
)
def forward_proxy(facts: ConnectionFacts) -> Iterator[Found]:
    error = facts.error or ""
    if facts.state == "failed" and re.search(r"upstream proxy|proxy .*refused|\bCONNECT\b", error):
        yield Found(evidence=(error[:200],))
    elif is_refused(facts) and facts.status == 407:
        yield Found(
            evidence=(
                status_line(facts),
                *body_line(facts),
                facts.response_line("Proxy-Authenticate"),
                *author_line(facts),
            )
        )


@rules(
    "WS-HS-064",
    "error",
    "network",
    "511: a network on the way wants a login first (captive portal)",
    meaning="This answer is not the server's: a network on the way sent it, a hotel's, an airport's or a"
    " company's (RFC 6585, 6). It lets nothing through until somebody has logged in.",
    js=js_status(511),
    topic="captive-portal",
    rows="H29",
    group="attempt",
)
def captive_portal(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 511:
        yield Found(
            evidence=(status_line(facts), *body_line(facts), *author_line(facts)),
            hop="the network on the way",
        )


@rules(
    "WS-HS-032",
    "error",
    "network",
    "Nothing accepts connections at the server's address",
    meaning="The TCP connection was refused: no program listens on that port, or a firewall answers for it."
    " The proxy answered the client with 502.",
    js=JS_FAILED + " Without the proxy Chrome's console has net::ERR_CONNECTION_REFUSED.",
    topic="connect",
    rows="H24 H30",
    group="attempt",
)
def unreachable(facts: ConnectionFacts) -> Iterator[Found]:
    error = facts.error or ""
    if facts.state == "failed" and facts.failed_where == "connect" and not is_nameless(error):
        seen = unreached(error)
        whose = _ITS_OWN if _is_the_clients_own(facts) else _A_502
        yield Found(
            evidence=(f"server {facts.server_address or facts.host}: {error[:200]}",),
            fault_of=seen.fault_of,
            title=seen.titled(facts, "server"),
            meaning=f"{seen.meaning} {whose}",
            js=_js_name(facts, seen.console),
            topic=seen.topic,
            causes=seen.causes,
        )


_A_502: Final = "The proxy answered the client with 502."
_ITS_OWN: Final = "The error is the one that the client itself saw."


def _is_the_clients_own(facts: ConnectionFacts) -> bool:
    """Whether a browser's file says this, and not a proxy that answered the client with 502."""
    return Lack.END in facts.unrecorded


def _js_name(facts: ConnectionFacts, name: str) -> str:
    where = "" if _is_the_clients_own(facts) else "Without the proxy "
    return f"{JS_FAILED} {where}Chrome's console has net::ERR_{name}."


@rules(
    "WS-HS-033",
    "error",
    "network",
    "The server's name does not resolve",
    meaning="This machine could not resolve the server's name. No connection was tried.",
    js=JS_FAILED + " Without the proxy Chrome's console has net::ERR_NAME_NOT_RESOLVED.",
    topic="dns",
    rows="H30",
    group="attempt",
)
def no_address(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.state == "failed" and facts.failed_where == "connect" and is_nameless(facts.error or ""):
        yield Found(
            evidence=(f"{facts.server_address or facts.host}: {(facts.error or '')[:200]}",),
            js=_js_name(facts, "NAME_NOT_RESOLVED"),
        )


def _partial(facts: ConnectionFacts) -> bytes:
    """What the server sent of an answer that never became one."""
    if facts.state != "failed" or facts.was_open or not facts.raw_response_in:
        return b""
    return facts.raw_response_in


_SERVER_ENDED: Final = re.compile("server (ended|closed)")


def _is_http(first: bytes) -> bool:
    return first.lstrip(b"\r\n")[:5].upper() == b"HTTP/"[: len(first.lstrip(b"\r\n")[:5])]


def shown_bytes(data: bytes) -> str:
    """The first bytes of a peer as evidence: as text where they are text, else in hex too."""
    first = data[:48]
    text = repr(first)[2:-1]
    is_text = all(32 <= byte < 127 or byte in b"\r\n\t" for byte in first)
    return f"'{text}'" if is_text else f"{first[:24].hex(' ')} ('{repr(first[:32])[2:-1]}')"


@rules(
    "WS-HS-041",
    "error",
    "client",
    "The server's first bytes are not HTTP",
    meaning="Something that speaks another protocol listens on this port. The host or port in the URL, or in"
    " the proxy's target, is wrong.",
    js=JS_FAILED + " Chrome's console: net::ERR_INVALID_HTTP_RESPONSE.",
    topic="not-http",
    rows="H24 H31",
    group="attempt",
)
def not_http(facts: ConnectionFacts) -> Iterator[Found]:
    first = _partial(facts)
    error = facts.error or ""
    if not first or _is_http(first):
        return
    name = protocol_of(first)
    if name == "a TLS alert":
        return  # WS-TLS-018
    found = Found(
        evidence=(
            f"the server sent {name or 'bytes that are not an HTTP response'}: {shown_bytes(first)}",
            f"server {facts.server_address or facts.server or facts.host}",
            error[:120] if not client_left(facts) else "",
        ),
        title=f"The server sent {name}, not HTTP" if name else None,
        confidence="high" if name else "medium",
    )
    ended = next((end.side for end in facts.ends), None)
    is_closed = ended == "server" or (ended is None and _SERVER_ENDED.match(error) is not None)
    yield replace(found, **headless(first, name, is_closed=is_closed))


@rules(
    "WS-HS-042",
    "error",
    "server",
    "The response headers never ended",
    meaning="The server sent a status line and headers but not the empty line that ends them (RFC 9112, 2.1)."
    " Until that line comes, the client cannot act on the answer, even if the status is 101.",
    js=JS_FAILED,
    topic="response-head",
    rows="H25 H24",
    group="attempt",
)
def unfinished_head(facts: ConnectionFacts) -> Iterator[Found]:
    first = _partial(facts)
    if not first or not _is_http(first) or RawHead.parse(first).is_complete:
        return
    head = RawHead.parse(first)
    last = head.fields[-1].raw if head.fields else head.start_raw
    waited = _waited_ns(facts)
    # Nobody knows whether the rest was still to come where the client did not wait for it.
    is_short = (
        client_left(facts) and waited is not None and waited < _SHORT_WAIT_NS and len(first) < _LARGE_HEAD
    )
    yield Found(
        evidence=(
            f"the server sent: {head.start_line.decode('latin-1')[:160]}",
            f"{len(first)} bytes, ending with {shown_bytes(last[-40:])}, without an empty line",
            f"then {_failure(facts)}",
            f"the client had waited {seconds(waited or 0)}" if is_short else "",
        ),
        severity="warning" if is_short else None,
        confidence="low" if is_short else None,
        causes=two_causes(
            (
                "the server never ends its response headers",
                "a client that waits longer does not get the rest, either",
            ),
            ("the client left before the rest came", "how long it waited differs from attempt to attempt"),
        )
        if is_short
        else (),
    )


def _certain_wait_ns(facts: ConnectionFacts) -> int:
    """What is certain of `_waited_ns`: all but when this proxy was blind."""
    sent, waited = facts.times.get("request_out_ns"), _waited_ns(facts)
    return 0 if sent is None or waited is None else facts.certain_ns(sent, sent + waited)


def _waited_ns(facts: ConnectionFacts) -> int | None:
    """How long the client had waited when it left: from the request sent on to the client's end."""
    sent = facts.times.get("request_out_ns")
    left = next((end.time_ns for end in facts.ends if end.side == "client"), facts.closed_ns)
    return None if sent is None or left is None else max(0, left - sent)


#: Nobody waits longer than that without a word to its user.
_PATIENT_NS: Final = 10 * SECOND_NS
_STOPPED: Final = (
    "The server had not answered the handshake when this proxy was stopped; nobody had given up. Browsers"
    " wait for minutes, most libraries and proxies for 10 to 60 s."
)


@rules(
    "WS-HS-036",
    "error",
    "server",
    "The client gave up waiting for the answer",
    meaning="The client closed its connection before the server had answered the handshake. Browsers wait for"
    " minutes, most libraries and proxies for 10 to 60 s.",
    js=JS_FAILED + " Chrome's console: WebSocket is closed before the connection is established.",
    topic="gave-up",
    rows="H24 H28 T10",
    group="attempt",
)
def gave_up(facts: ConnectionFacts) -> Iterator[Found]:
    if is_unreadable(facts):
        return
    is_late = left_before_answer(facts)
    is_stopped = facts.failed_where == "stop"
    if not is_late and (
        facts.state != "failed" or not (client_left(facts) or is_stopped) or facts.raw_response_in
    ):
        return
    waited = _waited_ns(facts)
    if waited is None and not is_stopped:
        yield from _left_on_the_way(facts)
    if waited is None or (is_stopped and waited < _SHORT_WAIT_NS):
        return  # the answer might have come at once
    left = next((end.time_ns for end in facts.ends if end.side == "client"), None)
    if left is not None and left < (facts.times.get("request_out_ns") or 0):
        yield from _left_unasked(facts, left)
        return
    # While this proxy was blind it passed nothing on: that wait was not for the server.
    blind = waited - _certain_wait_ns(facts)
    is_short = waited - blind < _SHORT_WAIT_NS
    page = (
        "the page closed the socket, or the user left it, while it was connecting",
        "how long it waited differs from attempt to attempt",
    )
    server = (
        "the server's upgrade handler waits for something, or is never reached",
        "the server's log has the request but no answer, or no such request",
    )
    ours = (
        "this proxy was starved: what the server answered was not read in time",
        "the load of this machine at that time",
    )
    # Who reads what follows an Upgrade as the request's body waits for its end, and answers then (actix).
    answered = facts.times.get("response_in_ns")
    is_at_end = is_late and left is not None and answered is not None and answered - left < _AT_END_NS
    if is_at_end and 400 <= (facts.status or 0) < 500:
        unread = (
            f"the server takes no WebSocket at this path, and said so ({facts.status}) when the request had"
            " ended: it read on for a body (actix, Robyn)",
            "the same path without Upgrade is answered at once, with the same status",
        )
        server = unread
    is_ours = is_short and waited >= _SHORT_WAIT_NS
    busy = None if is_short or is_stopped else busy_with(facts, waited)
    held = () if busy is None else (one_at_a_time(busy.id),)
    server_causes = (*held, server) if busy is not None and busy.is_proven else (server, *held)
    yield Found(
        evidence=(
            f"request sent on; no answer for {seconds(waited)}",
            f"this proxy got no CPU for {seconds(blind)} of that: an answer may have come and not been read"
            if blind >= COARSE_NS
            else "",
            f"then {_failure(facts)}",
            f"{status_line(facts)}, which nobody waited for any more" if is_late else "",
            busy.line if busy is not None else "",
            *(f"known limit: {words(limit)}" for limit in matching(waited / 1e9, "handshake")),
        ),
        severity="warning" if is_short or (is_stopped and waited < _PATIENT_NS) else None,
        meaning=_STOPPED if is_stopped else None,
        fault_of="tool" if is_ours else "client" if is_short else "server",
        confidence="low"
        if is_ours
        else "medium"
        if not is_late or facts.is_order_known(facts.ends[0].time_ns, _answered(facts))
        else "low",
        title=f"No answer in {seconds(waited)}, until this proxy was stopped"
        if is_stopped
        else f"The client gave up after {seconds(waited)} without an answer",
        causes=()
        if is_stopped
        else two_causes(
            *((ours, server) if is_ours else (page, server) if is_short else (*server_causes, page)),
        ),
    )


def _left_unasked(facts: ConnectionFacts, left: int) -> Iterator[Found]:
    """A client that left before its request was sent on, which it was afterwards."""
    begun = facts.times.get("request_in_ns") or facts.attempt_ns
    way = facts.times.get("server_tcp_start_ns") or 0
    if way > left and not (facts.faults or facts.rule):
        return  # held at a breakpoint: nobody was asked while anybody waited
    waited = seconds(max(0, left - begun))
    sent = facts.times.get("request_out_ns") or left
    yield Found(
        evidence=(
            f"request received; after {waited} {_failure(facts)}",
            f"the request was sent on {seconds(sent - left)} after that",
        ),
        severity="warning",
        fault_of="client",
        confidence="low",
        title=f"The client gave up after {waited}, before its request was sent on",
        meaning="The client closed its connection before the request could be sent on. The server was not"
        " asked while anybody waited.",
    )


def _left_on_the_way(facts: ConnectionFacts) -> Iterator[Found]:
    """A client that left before its request could be sent on: nothing is known of the server's answer."""
    left = next((end.time_ns for end in facts.ends if end.side == "client"), None)
    way = way_of(facts)
    if facts.failed_where != "client" or way is None or left is None or left <= way[0]:
        return  # it had left before: what is held at a breakpoint is connected to the server only then
    begun, (where, fault_of, topic, first, second) = way
    waited = left - begun
    is_short = waited < _SHORT_WAIT_NS
    page = (
        "the page closed the socket, or the user left it, while it was connecting",
        "how long it waited differs from attempt to attempt",
    )
    server = f"server {facts.server_address or facts.host}"
    yield Found(
        evidence=(f"{server}: {facts.error}", f"it had been tried for {seconds(waited)} then"),
        severity="warning" if is_short else None,
        fault_of="client" if is_short else fault_of,
        confidence="low" if is_short else "medium",
        title=f"The client gave up after {seconds(waited)}, {where}",
        meaning="The client closed its connection before the request could be sent on. Whether the server"
        " would have answered is not known.",
        topic=topic,
        causes=two_causes(page, first) if is_short else two_causes(first, second),
    )


def left_before_answer(facts: ConnectionFacts) -> bool:
    """Whether the client had ended its side when the answer came, a 101 too: it does not explain why it
    left."""
    answered = facts.times.get("response_in_ns")
    if facts.status is None or facts.state == "lost" or answered is None or not facts.ends:
        return False
    end = facts.ends[0]
    return end.side == "client" and end.time_ns < answered


def _answered(facts: ConnectionFacts) -> int:
    return facts.times.get("response_in_ns") or 0


def client_left(facts: ConnectionFacts) -> bool:
    """Whether the client ended its side first; a server that then closes only follows."""
    if facts.ends:
        # A client that ends after the attempt has failed only reacts, too.
        is_first = facts.closed_ns is None or facts.ends[0].time_ns <= facts.closed_ns
        return is_first and facts.ends[0].side == "client"
    return facts.failed_where in ("client", "request")


#: What mitmproxy says of a request that it does not send on; of an answer, "from server" is behind it.
_UNREADABLE: Final = re.compile(
    r"(?!.* from server\b)(?:received )?(?:invalid request scheme"
    r"|(?:unknown|invalid|unexpected|multiple|message with)\b.{0,30}"
    r"\b(?:transfer-encoding|content-length|header))",
    re.I,
)


def is_unreadable(facts: ConnectionFacts) -> bool:
    """Whether this proxy answered 400 by itself, because nobody can say where the request ends or goes."""
    is_ours = facts.failed_where == "request" and facts.raw_response_in is None
    return is_ours and _UNREADABLE.match(facts.error or "") is not None


def _failure(facts: ConnectionFacts) -> str:
    """What ended an attempt that has no answer."""
    if client_left(facts):
        how = next((end.how for end in facts.ends if end.side == "client"), "")
        return f"the client ended the connection ({WORDS_OF_ENDS.get(how, 'it left')})"
    return (facts.error or "the server closed the connection")[:200]


@rules(
    "WS-HS-035",
    "error",
    "server",
    "The server closed the connection without an answer",
    meaning="The request was sent, and the server ended TCP before a complete answer arrived. A crash or a"
    " kill does this, a rule of a proxy or firewall in the server's place, or something that is not an HTTP"
    " server.",
    js=JS_FAILED + " Chrome's console: Connection closed before receiving a handshake response.",
    topic="empty-answer",
    rows="H24 H31",
    group="attempt",
    confidence="medium",
)
def no_answer(facts: ConnectionFacts) -> Iterator[Found]:
    if (
        facts.state != "failed"
        or facts.failed_where in ("connect", "tls-server", "stop")
        or is_unreadable(facts)
        or client_left(facts)
        or reported(facts) is not None
    ):
        return
    if Lack.ANSWER in facts.unrecorded:
        yield Found(
            title="The file has no answer to this handshake, and does not say why",
            meaning="The export has neither a status nor an error. The attempt may have been cancelled,"
            " blocked in the browser, or still under way; or the server did not answer.",
            evidence=("no status and no error in the file",),
            severity="warning",
            confidence="low",
            fault_of="network",
            js="Not known: the file does not say how it ended.",
            causes=two_causes(
                ("the page or the browser gave up", "the browser's console has a line about it"),
                ("the server did not answer", "a capture made by a proxy between them shows it"),
            ),
        )
        return
    sent = facts.times.get("request_out_ns")
    waited = (facts.closed_ns or 0) - (sent or 0)
    after = f" after {seconds(waited)}" if sent and waited > 0 else ""
    line = f"no valid answer{after}: {(facts.error or 'closed')[:200]}"
    if (empty := empty_lines(facts)) is not None:
        yield Found(
            evidence=(line, empty.line),
            fault_of="client",
            title="The server closed the connection without an answer to a request behind empty lines",
            meaning=EMPTY_LINES,
            confidence="high" if empty.is_proven else None,
            topic="empty-lines",
            causes=() if empty.is_proven else two_causes(SENT_EMPTY, *HUNG_UP_PAIRS),
        )
        return
    limits = [one for one in matching(waited / SECOND_NS, "answer") if is_at(waited / SECOND_NS, one.seconds)]
    engineio = [one for one in facts.others if is_engineio_path(one.path)]
    # Anything may take a second: that it is Engine.IO's timer is said where Engine.IO is there.
    limits = [one for one in limits if one.software != "socketio" or engineio]
    if sent and limits:
        is_nobodys = limits[0].software == "socketio"
        yield Found(
            evidence=(
                line,
                *(f"fits a known limit: {words(one)}" for one in limits),
                f"#{engineio[0].id} shows that Socket.IO is there: {engineio[0].path[:80]}"
                if is_nobodys
                else "",
            ),
            title=f"The server closed the connection without an answer{after}, as at a limit of its own",
            causes=two_causes(NOBODYS if is_nobodys else WAITED, *HUNG_UP_PAIRS),
        )
        return
    is_a_second = bool(sent) and is_at(waited / SECOND_NS, 1) and not is_engineio_path(facts.path)
    offered = facts.negotiation.subprotocols_offered
    first, *more = HUNG_UP_PAIRS
    yield Found(
        evidence=(line, f"offered: {', '.join(offered)[:160]}" if offered else ""),
        causes=two_causes(
            first,
            *((UNKNOWN_SUBPROTOCOL,) if offered else ()),
            *more,
            *((NOBODYS,) if is_a_second else ()),
        ),
    )
