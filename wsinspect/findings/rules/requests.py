"""Requests that a server does not take for an opening handshake (RFC 6455, 4.2.1), by what the request has
and by what the answer says about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.comparison import compared
from wsinspect.findings.evidence import (
    JS_FAILED,
    JS_NOTHING,
    JS_STATUS,
    answer_hop,
    answer_marks,
    author_line,
    body_line,
    cache_lines,
    marks_lines,
    named,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.gorilla import MARK, is_of_gorilla
from wsinspect.findings.model import Found
from wsinspect.findings.offers import has_wrong_offer, wrong_offer
from wsinspect.findings.own_pages import is_page
from wsinspect.findings.quotes import quote
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import (
    SAYS_KEY,
    asked_correctly,
    has_failed,
    has_reached_server,
    is_refused,
    is_unreadable,
)
from wsinspect.findings.software import PROXIES
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.vocabulary import Lack

rules = Rules()

#: Statuses with which servers say that a handshake itself is wrong.
_ABOUT_REQUEST: Final = (400, 403, 404, 405, 406, 412, 417, 422, 426, 500, 501, 505)
#: What servers say when a request reached them without the Upgrade headers.
_SAYS_NO_UPGRADE: Final = re.compile(
    rb"can \"?upgrade\"? only to \"?websocket|not using the websocket protocol"
    rb"|no (websocket|connection) upgrade hdr|\"connection\" must be \"upgrade"
    rb"|no \"?(connection: upgrade|upgrade: websocket)\b"
    rb"|missing (or invalid )?`?upgrade|missing `?connection`? upgrade|invalid (connection|upgrade) header"
    rb"|connection header did not include"
    rb"|`?(connection|upgrade)`? header (did not|does not|not)|websocket client|not a websocket"
    rb" (request|handshake)"
    rb"|connection header [\"'][^\"']*[\"'] (does not|must) contain|unsupported upgrade request"
    rb"|expected websocket"
    rb"|(websocket|connection) upgrade (is )?(required|expected)|request upgrade required"
    rb"|\"upgrade request required\""
    rb"|invalid websocket upgrade|this (is a|service requires use of the) websocket"
    rb"|missing (connection|upgrade)( or upgrade)? header|websocket (connections?|requests?) only",
)
_SAYS_VERSION: Final = re.compile(
    rb"(unsupported|invalid|unknown|bad|missing)[^.<>\n]{0,20}(?<!http )version"
    rb"|(?<!http )version[^.<>\n]{0,30}(not supported|unsupported|must be|is required|missing|invalid"
    rb"|not found)",
)
_SAYS_SUBPROTOCOL: Final = re.compile(rb"\bsub-?protocols?\b|sec-websocket-protocol")
_SAYS_EXTENSION: Final = re.compile(
    rb"sec-websocket-extensions|(invalid|unacceptable|unsupported) extension"
    rb"|permessage-deflate|(client|server)_(max_window_bits|no_context_takeover)",
)
_SAYS_DISABLED: Final = re.compile(
    rb"web-? ?sockets?( support| connections?| upgrades?)? (is|are|has been|have been)?"
    rb" ?(not (enabled|supported|available|allowed|permitted)|disabled|turned off|switched off|blocked)"
    rb"|(disabled|disallow\w*|does not (support|allow)|do not (support|allow)"
    rb"|no support for) web-? ?sockets?",
)
#: The sentence is about this client, its origin, credentials or number, not about WebSockets as such:
#: Tornado's "Cross origin websockets not allowed".
_SAYS_WHOM: Final = re.compile(
    rb"origin|token|credential|authenti|authori[sz]|log(ged)? ?in|session|cookie|permission|\brole"
    rb"|\buser|account|anonymous|guest|\bplan\b|subscription|\bip\b|address|countr|region|too many|limit"
    rb"|quota|subprotocol|extension|version"
)
_SENTENCE_END: Final = re.compile(rb"[.!?;<>\r\n]")
_ENGINE_IO_BAD: Final = re.compile(rb'"code"\s*:\s*3\b')


#: What a page shows, and does not say.
_SHOWN: Final = re.compile(rb"<(pre|code|textarea|template|script|style)\b.*?(?:</\1\s*>|\Z)", re.S | re.I)
#: A page of this length about a failure shows code, settings or a traceback.
_LONG_PAGE: Final = 1024


def _statement(facts: ConnectionFacts) -> bytes:
    """What of a refusal's body states why, in lower case.

    A development server's page about an exception (Bun, Django, Werkzeug) quotes the application's own code,
    whose texts are about other requests: of such a page its sentence alone counts.
    """
    if (facts.status or 0) < 500 or len(facts.content) < _LONG_PAGE or not is_page(facts):
        return facts.wording
    return (quote(_SHOWN.sub(b" ", facts.content)) or "").lower().encode()


def _says(facts: ConnectionFacts, shape: re.Pattern[bytes]) -> bool:
    """Whether a refusal's body, or the reason phrase of its status line, has these words."""
    reason = facts.response_in.reason if facts.response_in else b""
    return shape.search(_statement(facts)) is not None or shape.search(reason.lower()) is not None


def _says_disabled(facts: ConnectionFacts) -> bool:
    """Whether a refusal says that WebSockets are off here, for everybody."""
    reason = facts.response_in.reason.lower() if facts.response_in else b""
    for text in (_statement(facts), reason):
        for found in _SAYS_DISABLED.finditer(text):
            begin = [
                one.end() for one in _SENTENCE_END.finditer(text, max(0, found.start() - 200), found.start())
            ]
            end = _SENTENCE_END.search(text, found.end(), found.end() + 200)
            first = begin[-1] if begin else max(0, found.start() - 200)
            sentence = text[first : end.start() if end else found.end() + 200]
            if not _SAYS_WHOM.search(sentence):
                return True
    return False


def _compared(facts: ConnectionFacts) -> tuple[tuple[str, ...], str]:
    """(evidence lines, words to add to the title) from an accepted attempt to the same place."""
    found = compared(facts)
    return ((), "") if found is None else (found.lines, found.suffix)


def _answer(facts: ConnectionFacts) -> tuple[str, ...]:
    return (status_line(facts), *body_line(facts))


@rules(
    "WS-HS-070",
    "error",
    "client",
    "The client's request is not valid HTTP, and this proxy answered 400",
    meaning="It cannot be sent on: where it ends, or where it goes, is not clear. The server was not asked;"
    " some servers read such a request all the same, which is how requests are smuggled past others.",
    js=JS_FAILED,
    topic="bad-request",
    rows="H19",
    group="attempt",
)
def unreadable(facts: ConnectionFacts) -> Iterator[Found]:
    if is_unreadable(facts):
        head = facts.request_in
        line = head.start_line.decode("latin-1")[:160] if head else ""
        fields = [facts.request_line(name)[:160] for name in ("Transfer-Encoding", "Content-Length")]
        sent = [one for one in fields if not one.startswith("no ")]
        yield Found(evidence=(f"request: {line}", *sent, f"this proxy answered 400: {facts.error}"))


@rules(
    "WS-HS-031",
    "error",
    "client",
    "The request is not a GET, so it is not an opening handshake",
    meaning="A WebSocket opens with GET only; this request uses another method, and a healthy server refuses"
    " it. 'curl -I' sends HEAD, so a test with it proves nothing.",
    js=JS_NOTHING,
    topic="method",
    rows="traps H22",
    group="attempt",
)
def other_method(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if is_refused(facts) and head is not None and head.method not in (b"GET", b"CONNECT"):
        yield Found(
            evidence=(
                f"request: {head.start_line.decode('latin-1')[:160]}",
                *_answer(facts),
                facts.request_line("User-Agent")[:160],
            )
        )


@rules(
    "WS-HS-018",
    "error",
    "client",
    "The server does not support the WebSocket version that was sent",
    meaning="RFC 6455 is version 13. Only very old or home-made clients send another one; a hop can also"
    " change or drop the header.",
    js=JS_FAILED,
    topic="version",
    rows="H23",
    group="attempt",
)
def wrong_version(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if not has_failed(facts) or head is None or head.get("sec-websocket-key") is None:
        return
    sent = head.get_all("sec-websocket-version")
    offered = facts.response_in.elements("sec-websocket-version") if facts.response_in else []
    is_wrong = sent != [b"13"]
    # "13" for a request with 13 says nothing by itself: gorilla/websocket has it in each of its refusals.
    is_offered = bool(offered) and (is_wrong or b"13" not in offered)
    says = (
        is_refused(facts) and facts.status in _ABOUT_REQUEST and (is_offered or _says(facts, _SAYS_VERSION))
    )
    is_named = says and (is_wrong or not says_no_upgrade(facts))
    if not is_named and not (
        is_wrong and has_reached_server(facts) and facts.status in (None, 400, 426, 500, 501, 505)
    ):
        return
    lines = (
        *_answer(facts),
        f"sent: {facts.request_line('Sec-WebSocket-Version')}",
        facts.response_line("Sec-WebSocket-Version") if offered else "",
    )
    if is_wrong:
        yield Found(evidence=lines)
    else:
        is_hop = b"13" in offered or not offered
        yield Found(
            evidence=lines,
            fault_of="hop" if is_hop else "server",
            hop=answer_hop(facts) or "between this proxy and the application" if is_hop else None,
            title="The server says that the WebSocket version is wrong, and 13 was sent",
            confidence="medium",
            topic="sec-headers" if is_hop else None,
            software=named(answer_marks(facts)),
            causes=two_causes(
                (
                    "a hop behind this tap changes or drops Sec-WebSocket-Version",
                    "a second tap behind it shows the request that arrives there",
                ),
                ("the server speaks an older draft only", "connect to it directly with version 13"),
            ),
        )


@rules(
    "WS-HS-030",
    "error",
    "client",
    "The Sec-WebSocket-Key is missing, repeated or not 16 bytes of base64",
    meaning="The server needs exactly one key of 16 bytes in base64 (RFC 6455, 4.2.1). Recipes for curl"
    " often have one of the wrong length, and some tools add a second header.",
    js=JS_FAILED,
    topic="sec-headers",
    rows="H19 H10",
    group="attempt",
)
def bad_key(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_in
    if (
        not has_failed(facts)
        or head is None
        or head.is_extended_connect  # which has none (RFC 8441 section 5)
        or Lack.REQUEST in facts.unrecorded
        or facts.status in (None, 401, 403, 404, *(407, 429, 502, 503, 504))
    ):
        return
    keys = head.get_all("sec-websocket-key")
    if [is_valid_key(key) for key in keys] == [True]:
        return
    fields = [key.decode("latin-1")[:60] for key in keys]
    noun = "header" if len(keys) == 1 else "headers"
    yield Found(
        evidence=(*_answer(facts), f"Sec-WebSocket-Key: {', '.join(fields) or 'none'} ({len(keys)} {noun})")
    )


@rules(
    "WS-HS-044",
    "error",
    "hop",
    "The server says that Sec-WebSocket-Key is missing or invalid, and a valid one was sent",
    meaning="The request left here with one valid key, so something behind this tap removes or changes it."
    " Some CDNs forward only the headers on their list.",
    js=JS_FAILED,
    topic="sec-headers",
    rows="H10 H19",
    group="attempt",
)
def lost_key(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and asked_correctly(facts) and _says(facts, SAYS_KEY):
        marks = answer_marks(facts)
        yield Found(
            evidence=(*_answer(facts), "sent: one valid Sec-WebSocket-Key", *marks_lines(marks)),
            hop=answer_hop(facts) or "between this proxy and the application",
            software=named(marks),
            confidence="high" if answer_hop(facts) else "medium",
        )


@rules(
    "WS-HS-043",
    "error",
    "client",
    "The server refused the offered subprotocols",
    meaning="The server requires a subprotocol (Sec-WebSocket-Protocol) that the client did not offer. Offer"
    " one that the server knows, or make the server accept this one.",
    js=JS_FAILED,
    topic="subprotocol",
    rows="H26",
    group="attempt",
)
def refused_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status in _ABOUT_REQUEST and _says(facts, _SAYS_SUBPROTOCOL):
        offered = facts.negotiation.subprotocols_offered
        marks = answer_marks(facts)
        was_offered = facts.request_in is not None and facts.request_in.get_all("sec-websocket-protocol")
        is_removed = bool(was_offered) and not offered
        is_without = not offered and not was_offered
        lines, suffix = _compared(facts)
        yield Found(
            evidence=(
                *_answer(facts),
                f"offered: {', '.join(offered)[:160]}" if offered else "the client offered no subprotocol",
                *lines,
                *marks_lines(marks),
            ),
            title="The server demands a subprotocol, and none was offered" if is_without else None,
            topic="no-subprotocol" if is_without else None,
            title_more=suffix,
            fault_of="hop" if is_removed else None,
            software=named(marks),
        )


@rules(
    "WS-HS-049",
    "error",
    "client",
    "The server refused the offered extensions",
    meaning="The server does not accept the client's Sec-WebSocket-Extensions. It should ignore an extension"
    " that it does not know (RFC 6455, 9.1); until it does, offer none.",
    js=JS_FAILED,
    topic="extension",
    rows="H27",
    group="attempt",
)
def refused_extension(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status in _ABOUT_REQUEST and _says(facts, _SAYS_EXTENSION):
        lines, suffix = _compared(facts)
        yield Found(
            evidence=(*_answer(facts), facts.request_line("Sec-WebSocket-Extensions"), *lines),
            title_more=suffix,
            software=named(answer_marks(facts)),
        )
    elif is_refused(facts) and asked_correctly(facts) and has_wrong_offer(facts):
        yield wrong_offer(facts)


@rules(
    "WS-HS-045",
    "error",
    "server",
    "The answer says that WebSockets are switched off",
    meaning="The software that wrote this answer knows WebSockets and does not allow them here. Enable them"
    " for this host or path.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H9 H12",
    group="attempt",
)
def disabled(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and _says_disabled(facts):
        marks = answer_marks(facts)
        hop = answer_hop(facts)
        yield Found(
            evidence=(*_answer(facts), *author_line(facts), *marks_lines(marks)),
            fault_of="hop" if hop else None,
            hop=hop,
            software=named(marks),
        )


#: Proxies that pass an upgrade on unless a line of theirs forbids it; nginx and Apache have to be asked to.
_CARRY_UPGRADES: Final = frozenset(("caddy", "haproxy", "traefik", "cloudflare", "aws", "gcp", "fly"))


def other_protocols(facts: ConnectionFacts) -> tuple[str, ...]:
    """The protocols that a 426 asks for (RFC 9110, 15.5.22), where none of them is a WebSocket."""
    head = facts.response_in if facts.status == 426 else None
    asked = tuple(head.tokens("upgrade")) if head is not None else ()
    return () if "websocket" in asked else asked


def says_no_upgrade(facts: ConnectionFacts) -> bool:
    """Whether the answer says that the request came without the Upgrade headers."""
    return _says(facts, _SAYS_NO_UPGRADE)


#: The answer is about Connection; what says the same of Upgrade is about both.
_SAYS_CONNECTION: Final = re.compile(
    rb"connection[\"':=` ]*(?:header|: ?upgrade|: ?keep-alive)|connection header"
)
_SAYS_UPGRADE_HEADER: Final = re.compile(
    rb"(?<!connection: )upgrade[\"'`]? header|upgrade: ?websocket|upgrade[\"'`]? to [\"'`]?websocket"
)
#: What arrived there is not what the client sent: a hop took Connection out, or put `close` in its place.
_SAYS_LOST: Final = re.compile(rb"\b(missing|close|none|absent|empty|not (found|present|set|sent))\b")
#: A body with other fields of the request only repeats what came.
_ECHOES: Final = re.compile(rb"user-agent|sec-websocket-(?:key|version)|accept-encoding|\bhost[\"']?:")


def _is_about_the_list(facts: ConnectionFacts, tokens: list[str]) -> bool:
    """Whether a refusal shows that the client's Connection arrived as it was sent, and was why.

    It quotes that list, or the same path accepts 'Upgrade' alone. Where a hop removed or changed Connection,
    the same server says much the same words.
    """
    words = facts.wording + b"\n" + (facts.response_in.reason.lower() if facts.response_in else b"")
    if not _SAYS_CONNECTION.search(words):
        return False
    if any(one.search(words) for one in (_SAYS_UPGRADE_HEADER, _SAYS_LOST, _ECHOES)):
        return False
    if re.search(rb",\s*".join(re.escape(one.encode("latin-1")) for one in tokens), words):
        return True
    nearest = compared(facts)
    return (
        nearest is not None
        and nearest.other.request is not None
        and RawHead.parse(nearest.other.request).tokens("connection") == ["upgrade"]
    )


@rules(
    "WS-HS-071",
    "error",
    "server",
    "The server wants 'Connection: Upgrade' alone, and the client's has more in it",
    meaning="Firefox sends 'Connection: keep-alive, Upgrade'. Connection is a list whose order and members do"
    " not matter (RFC 9110, 7.6.1); a server or hop that compares it as a whole lets Chrome in and refuses"
    " Firefox.",
    js=JS_STATUS,
    topic="connection-list",
    confidence="medium",
    rows="H19",
    group="attempt",
)
def strict_connection(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_out or facts.request_in
    if not is_refused(facts) or not asked_correctly(facts) or head is None:
        return
    tokens = head.tokens("connection")
    if len(tokens) < 2 or facts.status not in (400, 426) or not _is_about_the_list(facts, tokens):
        return
    compared_lines, suffix = _compared(facts)
    yield Found(
        evidence=(*_answer(facts), f"sent: {facts.request_line('Connection')}", *compared_lines),
        title_more=suffix,
        hop=answer_hop(facts),
        software=named(answer_marks(facts)),
        causes=two_causes(
            (
                "the server compares Connection as a whole with 'Upgrade'",
                "the same request with 'Connection: Upgrade' alone (Chrome, wsinspect doctor): is it 101?",
            ),
            (
                "a hop behind this tap changes Connection",
                "a second tap behind it shows the request that arrives there",
            ),
        ),
    )


@rules(
    "WS-HS-002",
    "error",
    "hop",
    "The server did not see the upgrade that was sent to it",
    meaning="The request left here as a correct opening handshake, and the answer is what this server gives"
    " to an ordinary GET. Something between here and the application removes the Upgrade headers.",
    js=JS_FAILED,
    topic="upgrade",
    rows="H1 H2 H3 H4 H5 H11 H16 H20 H23",
    group="attempt",
)
def answered_as_get(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or not asked_correctly(facts):
        return
    said = _SAYS_NO_UPGRADE.search(_statement(facts))
    engine = (facts.status or 0) >= 400 and _ENGINE_IO_BAD.search(facts.content[:512])
    # It says 400 or 426 where Upgrade, Connection, version or key are not right, and what left here was.
    is_gorillas = facts.status in (400, 426) and is_of_gorilla(facts)
    required = is_gorillas or (
        facts.status == 426
        and not other_protocols(facts)
        and b"13" not in (facts.response_in.elements("sec-websocket-version") if facts.response_in else [])
    )
    if not (said or engine or required):
        return
    marks = answer_marks(facts)
    hop = answer_hop(facts)
    uvicorn = bool(said and b"unsupported" in said[0].lower())
    compared_lines, suffix = _compared(facts)
    lines = (
        status_line(facts),
        *body_line(facts),
        "sent: 'Upgrade: websocket' and 'Connection: Upgrade'",
        MARK if is_gorillas else "",
        *compared_lines,
        *cache_lines(facts),
        *marks_lines(marks),
    )
    software = (*named(marks), *(("socketio",) if engine else ()), *(("uvicorn",) if uvicorn else ()))
    # What carries upgrades by default loses one only by a setting; a hop behind it leaves no mark here.
    carries = next((mark.software for mark in marks if mark.software in PROXIES), "") in _CARRY_UPGRADES
    yield Found(
        evidence=lines,
        title_more=suffix,
        hop=f"{hop} or a hop behind it" if carries else hop or "between this proxy and the application",
        # Hops lose an upgrade more often than applications do.
        software=tuple(sorted(software, key=lambda name: name not in PROXIES)),
        confidence="high" if hop and (said or engine) and not carries else "medium",
        causes=two_causes(
            (
                f"a proxy behind {hop} removes Upgrade and Connection, or a line of {hop}'s own"
                if carries
                else "a proxy behind this tap removes Upgrade and Connection, or speaks HTTP/1.0",
                "a second tap between it and the application (wsinspect run --tap) shows the request there",
            ),
            (
                "the application serves no WebSocket on this path",
                "connect to the application directly: does it answer 101?",
            ),
        ),
    )
