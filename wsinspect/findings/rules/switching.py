"""A 101 that clients refuse although the server agreed (RFC 6455, 4.1), and what follows it instead.

Where frames went both ways the client put up with it, and it is a warning: a browser would not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.closed import has_spoken
from wsinspect.findings.evidence import (
    JS_FAILED,
    answer_hop,
    answer_marks,
    end_line,
    js_sees,
    named,
    seconds,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, FrameFact
from wsinspect.findings.model import Cause, Found, Severity
from wsinspect.findings.registry import Rules
from wsinspect.handshake.negotiation import DEFLATE, accept_key
from wsinspect.vocabulary import Lack
from wsinspect.wire.opcodes import Direction, Opcode

rules = Rules()


#: Codes with which a client ends what it cannot bear: RFC 6455, 7.4.1.
_UNBEARABLE: Final = (1002, 1007, 1010)


def _has_talked(facts: ConnectionFacts) -> bool:
    """Whether the client put up with it: both sides sent more than a CLOSE, and the client did not end it
    for a breach of the protocol."""
    closes = (facts.client_close_reason is not None, facts.server_close_reason is not None)
    sent = all(count > is_close for count, is_close in zip(facts.frames, closes, strict=True))
    return sent and facts.client_close_code not in _UNBEARABLE


def _if_borne(facts: ConnectionFacts) -> Severity | None:
    """A warning where this client continued anyway: a browser would not have."""
    return "warning" if _has_talked(facts) else None


def _its_close(facts: ConnectionFacts) -> tuple[tuple[int, str], ...]:
    """What the client's CLOSE alone would say: that is the consequence."""
    return tuple(
        (facts.id, f"WS-CL-{code - 1000:03}") for code in _UNBEARABLE if code == facts.client_close_code
    )


def _its_reset(facts: ConnectionFacts) -> tuple[tuple[int, str], ...]:
    """What the client's RST alone would say: it has to fail the connection (RFC 6455, 4.1), as Envoy does."""
    return () if _has_talked(facts) or facts.ended_by != "client" else ((facts.id, "WS-DROP-005"),)


def _problems(facts: ConnectionFacts) -> tuple[str, ...]:
    return facts.negotiation.problems if _is_whole_101(facts) else ()


def _is_whole_101(facts: ConnectionFacts) -> bool:
    head = facts.response_in
    if facts.unrecorded & {Lack.REQUEST, Lack.ANSWER}:
        return False  # a file that somebody has taken header fields out of proves nothing about them
    return head is not None and head.status == 101 and head.is_complete


_ONCE: Final = (
    "Browsers refuse a 101 that has this field more than once, also where both are right (RFC 6455, 11.3). A"
    " hop that adds its own to the server's does this, or two handlers that answer one request."
)


def _repeated(facts: ConnectionFacts, name: str) -> tuple[str, ...]:
    """The lines of a field that a 101 may have once; none where it does."""
    head = facts.response_in
    values = head.get_all(name) if head is not None and "repeated" in _problems(facts) else []
    return tuple(f"{name}: {one.decode('latin-1')[:100]}" for one in values[:4]) if len(values) > 1 else ()


def _twice(name: str, lines: tuple[str, ...]) -> str | None:
    return f"The 101 has {name} {'twice' if len(lines) == 2 else 'several times'}" if lines else None


def _js_twice(name: str, lines: tuple[str, ...]) -> str | None:
    if not lines:
        return None
    return f"{JS_FAILED} Chrome's console: '{name}' header must not appear more than once in a response."


#: Why an Accept is not that of the key: a hop first, then the server.
_OTHER_ACCEPT: Final = two_causes(
    (
        "a hop sends the server a key of its own and passes on the answer to that one (nginx:"
        " proxy_set_header Sec-WebSocket-Key), or a cache answered",
        "the key that arrives at the server is not the client's; asked directly, the server's value is right",
    ),
    (
        "the server computes it wrongly, or has a fixed value: it is base64 of SHA-1 of the key with"
        " 258EAFA5-E914-47DA-95CA-C5AB0DC85B11 behind it",
        "asked directly, its value is wrong, too",
    ),
)
_NO_ACCEPT: Final = two_causes(
    ("a hop removes it from the response", "asked directly, the server sends it"),
    ("the server's 101 is made by hand, without it", "asked directly, it is missing, too"),
)


@rules(
    "WS-HS-024",
    "error",
    "server",
    "The 101 has a wrong or missing Sec-WebSocket-Accept",
    meaning="The value does not match the key of this request (RFC 6455, 4.1), so every client fails the"
    " connection. A hop that makes its own key, a cache, or a hand-made 101 does this.",
    js=JS_FAILED + " Chrome's console: Incorrect 'Sec-WebSocket-Accept' header value.",
    topic="accept",
    rows="H25",
)
def wrong_accept(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_out or facts.request_in
    key = head.get("sec-websocket-key") if head else None
    again = _repeated(facts, "Sec-WebSocket-Accept")
    if ("accept" in _problems(facts) or again) and key is not None:
        hop = answer_hop(facts)
        got = facts.response_in.get("sec-websocket-accept") if facts.response_in else None
        rivals = _NO_ACCEPT if got is None else _OTHER_ACCEPT
        yield Found(
            severity=_if_borne(facts),
            # One tap does not see which key came to the server: the fault is of the first cause.
            confidence="medium" if hop and not again else None,
            fault_of="hop" if hop and not again else None,
            causes=() if again else rivals if hop else rivals[::-1],
            title=_twice("Sec-WebSocket-Accept", again),
            meaning=_ONCE if again else None,
            topic="once" if again else None,
            evidence=(
                f"Sec-WebSocket-Key: {key.decode('latin-1')[:60]}",
                f"expected: Sec-WebSocket-Accept: {accept_key(key).decode()}",
                *(again or [f"received: {facts.response_line('Sec-WebSocket-Accept')}"]),
            ),
            hop=hop,
            js=_js_twice("Sec-WebSocket-Accept", again),
            covers=_its_reset(facts),
        )


@rules(
    "WS-HS-025",
    "error",
    "server",
    "The 101 response lacks 'Upgrade: websocket' or 'Connection: Upgrade'",
    meaning="Clients need both in the response and fail the connection without them (RFC 6455, 4.1). A proxy"
    " that removes hop-by-hop headers from responses does this.",
    js=JS_FAILED + " Chrome's console: 'Upgrade' header is missing.",
    topic="upgrade-response",
    rows="H25",
)
def bare_101(facts: ConnectionFacts) -> Iterator[Found]:
    if {"upgrade", "connection"} & set(_problems(facts)):
        again = _repeated(facts, "Upgrade")
        upgrade = again or (facts.response_line("Upgrade"),)
        yield Found(
            severity=_if_borne(facts),
            title=_twice("Upgrade", again),
            meaning=_ONCE if again else None,
            topic="once" if again else None,
            js=_js_twice("Upgrade", again),
            evidence=(status_line(facts), *upgrade, facts.response_line("Connection")),
            hop=answer_hop(facts),
            software=named(answer_marks(facts)),
            covers=_its_reset(facts),
        )


@rules(
    "WS-HS-026",
    "error",
    "server",
    "The client asked for a subprotocol and the server chose none",
    meaning="Browsers fail the connection when they offered subprotocols and the answer names none of them."
    " Other clients may continue, so it works in one client and not in another.",
    js=JS_FAILED
    + " Chrome's console: Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received.",
    topic="subprotocol",
    rows="H26 H21",
)
def no_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    agreed = facts.negotiation
    if not _is_whole_101(facts) or not agreed.subprotocols_offered or agreed.subprotocol is not None:
        return
    has_talked = _has_talked(facts)
    lines = (
        f"offered: {', '.join(agreed.subprotocols_offered)[:160]}",
        "the 101 has no Sec-WebSocket-Protocol",
    )
    yield Found(
        evidence=(*lines, *(("this client continued anyway",) if has_talked else ())),
        severity="warning" if has_talked or not facts.is_over else None,
        software=named(answer_marks(facts)),
    )


#: A CLOSE that is about the subprotocol. 1000 and 1001 are no complaint.
_SAYS_SUBPROTOCOL: Final = re.compile(r"\bsub-?protocols?\b|sec-websocket-protocol", re.I)
#: In a failure of the server's own, only such words are about what was offered.
_SAYS_REFUSED: Final = re.compile(
    r"\b(?:no|none|not|unsupported|unknown|invalid|missing|wrong|un(?:recogni[sz]|expect)ed|requires?|demands?)\b",
    re.I,
)
_COMPLAINTS: Final = frozenset((1002, 1003, 1008, 1010, 1011))


@rules(
    "WS-CL-034",
    "error",
    "client",
    "The server closed because of the subprotocol",
    meaning="The server accepted the handshake and then closed: it does not know the subprotocols that the"
    " client offered, or demands one. A CLOSE with 1002 is not about broken frames here.",
    js="close with the server's code and reason, wasClean true.",
    topic="no-subprotocol",
    rows="H26",
    group="end",
)
def closed_for_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    sides = (
        ("server", facts.server_close_code, facts.server_close_reason),
        ("client", facts.client_close_code, facts.client_close_reason),
    )
    for who, code, reason in sides if facts.ended_by != "client" else sides[::-1]:
        if code not in _COMPLAINTS or not _SAYS_SUBPROTOCOL.search(reason or ""):
            continue
        if code == 1011 and not _SAYS_REFUSED.search(reason or ""):
            return
        agreed = facts.negotiation
        if who == "server" and agreed.subprotocol and has_spoken(facts, C2S):
            return  # it was agreed on, and a message came: the words are about that one
        offered = ", ".join(agreed.subprotocols_offered)[:160]
        is_demanded = who == "server" and not offered
        yield Found(
            evidence=(
                f"the {who} closed with {code}, reason {(reason or '')[:160]!r}",
                f"offered: {offered or 'none'}; chosen: {(agreed.subprotocol or 'none')[:80]}",
                end_line(facts),
                js_sees(facts),
            ),
            fault_of="client" if who == "server" else "server",
            title="The server closed: it demands a subprotocol, and none was offered"
            if is_demanded
            else f"The server closed with {code}: it does not take the subprotocols that the client offered"
            if who == "server"
            else f"The client closed with {code}: it does not take the server's choice of a subprotocol",
            topic=None if who == "server" else "subprotocol",
            js=js_sees(facts),
            software=named(answer_marks(facts)),
            covers=tuple((facts.id, rule) for rule in ("WS-HS-026", "WS-HS-027")),
        )
        return


@rules(
    "WS-HS-027",
    "error",
    "server",
    "The server chose a subprotocol that was not offered",
    meaning="The answer names a subprotocol that the client did not ask for, so the client must fail the"
    " connection (RFC 6455, 4.1). An empty header counts too.",
    js=JS_FAILED + " Chrome's console: 'Sec-WebSocket-Protocol' header value is not one of the offered.",
    topic="subprotocol",
    rows="H26",
)
def foreign_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    again = _repeated(facts, "Sec-WebSocket-Protocol")
    if "subprotocol-not-offered" in _problems(facts) or again:
        offered = ", ".join(facts.negotiation.subprotocols_offered)
        chosen = again or (f"chosen: {facts.negotiation.subprotocol!r}"[:160],)
        yield Found(
            severity=_if_borne(facts),
            title=_twice("Sec-WebSocket-Protocol", again),
            meaning=_ONCE if again else None,
            topic="once" if again else None,
            evidence=(f"offered: {offered or 'none'}", *chosen),
            js=_js_twice("Sec-WebSocket-Protocol", again),
        )


@rules(
    "WS-HS-028",
    "error",
    "server",
    "The server accepted an extension that was not offered, or with wrong parameters",
    meaning="The answer's Sec-WebSocket-Extensions is not a subset of the offer (RFC 6455, 9.1; RFC 7692,"
    " 7.1), so clients fail the connection. A hop that strips the header in one direction only does this.",
    js=JS_FAILED + " Chrome's console: Error during WebSocket handshake: Found an unsupported extension.",
    topic="extension",
    rows="H27 H12",
)
def foreign_extension(facts: ConnectionFacts) -> Iterator[Found]:
    problems = set(_problems(facts))
    if {"extension-not-offered", "extension-repeated", "deflate-params"} & problems or _unasked_window(facts):
        is_twice = "extension-repeated" in problems
        yield Found(
            severity=_if_borne(facts),
            title="The server accepted permessage-deflate twice" if is_twice else None,
            js=f"{JS_FAILED} Chrome's console: Received duplicate permessage-deflate response."
            if is_twice
            else None,
            evidence=(
                facts.request_line("Sec-WebSocket-Extensions"),
                facts.response_line("Sec-WebSocket-Extensions"),
            ),
            covers=_its_close(facts),
            software=named(answer_marks(facts)),
        )


def _unasked_window(facts: ConnectionFacts) -> bool:
    """RFC 7692 section 7.1.2.2: client_max_window_bits is answered only where it was offered."""
    agreed = facts.negotiation
    answers = [dict(one.params) for one in agreed.extensions if one.name == DEFLATE]
    offers = [dict(one.params) for one in agreed.extensions_offered if one.name == DEFLATE]
    return bool(offers) and any(
        "client_max_window_bits" in answer and not any("client_max_window_bits" in offer for offer in offers)
        for answer in answers
    )


#: How plain text that servers and hops write into an open WebSocket begins.
_HTTP_START: Final = re.compile(
    rb"(HTTP/1\.[01] |<!doctype|<html|<\?xml|(GET|POST|PUT|HEAD|OPTIONS) /|\{\"|[A-Za-z-]{3,30}: )", re.I
)
#: A chunk of a body (RFC 9112, 7.1), as a server writes it that ends its response in the usual way.
_CHUNK: Final = re.compile(rb"[0-9a-f]{1,8}\r\n", re.I)


@rules(
    "WS-HS-029",
    "error",
    "server",
    "HTTP or text came where a WebSocket frame has to begin",
    meaning="Readable text is on the open WebSocket: a second handler answered the same request, or a server"
    " or hop wrote an error page into the tunnel. The 'H' of 'HTTP/1.1' reads as a frame with opcode 8 and a"
    " reserved bit; it is not a CLOSE frame.",
    js="close with code 1006, wasClean false. Chrome's console: Invalid frame header.",
    topic="garbage",
    rows="H28",
    group="end",
)
def text_after_101(facts: ConnectionFacts) -> Iterator[Found]:
    found = _text(facts) if facts.was_open else None
    if found is None or _is_after_close(facts, found):
        return
    first, frame, time_ns, side = found
    status = first.split(b"\r\n", 1)[0][:80].decode("latin-1")
    before = facts.frames[side] if frame is None else sum(one.id < frame for one in _of_side(facts, side))
    place = "right after the 101" if not before else "after the frames before it"
    when = f" {seconds(max(0, time_ns - facts.open_ns))} after the 101" if facts.open_ns is not None else ""
    is_failure = side == S2C and re.match(rb"HTTP/1\.[01] 5\d\d ", first) is not None
    yield Found(
        evidence=(
            f"{side.arrow} {place}: '{repr(first[:80])[2:-1]}'",
            f"it came{when}" + (f", read as frame {frame}" if frame is not None else ""),
            end_line(facts),
        ),
        title=f"'{status}' came where a WebSocket frame has to begin"
        if first[:5] == b"HTTP/" and side == S2C
        else None,
        frame=frame,
        fault_of="client" if side == C2S else None,
        software=(*named(answer_marks(facts)), *(("gunicorn",) if _GUNICORNS.match(first) else ())),
        causes=_OF_5XX if is_failure and before else (),
        js=js_sees(facts),
    )


#: How gunicorn writes an error itself (`write_error` in its util.py): no Date, and no Server.
_GUNICORNS: Final = re.compile(rb"HTTP/1\.1 500 [^\r\n]+\r\nConnection: close\r\nContent-Type: text/html\r\n")
#: Why a server writes a whole 5xx response into a WebSocket that was used already.
_OF_5XX: Final = (
    Cause(
        "the server's worker failed or was ended while it served the open WebSocket, and wrote its error page"
        " there: gunicorn does that when its sync worker is longer with one request than --timeout (30 s)",
        "the server's log for this moment (gunicorn: WORKER TIMEOUT); do the others end at the same age?",
    ),
    Cause(
        "a second handler answered the same request",
        "it comes at any age, and with another handler switched off it does not",
    ),
)


def text_sides(facts: ConnectionFacts) -> frozenset[Direction]:
    """The sides whose bytes are readable text from some frame on: what follows is not framed."""
    found = _text(facts) if facts.was_open else None
    return frozenset() if found is None else frozenset((found[3],))


def text_after_close(facts: ConnectionFacts) -> tuple[str, Direction, int | None] | None:
    """Text behind its sender's own CLOSE frame: how it begins, whose it is, and the frame it was read as.

    A server that ends the request of an open WebSocket in the usual way does so (Werkzeug's, where the
    application returns a response). Receivers do not read on after a CLOSE frame.
    """
    found = _text(facts) if facts.was_open else None
    if found is None or not _is_after_close(facts, found):
        return None
    first, frame, _, side = found
    return repr(first[:80])[2:-1], side, frame


def _is_after_close(facts: ConnectionFacts, found: tuple[bytes, int | None, int, Direction]) -> bool:
    _, frame, time_ns, side = found
    return any(
        one.opcode == Opcode.CLOSE and one.violation is None and one.time_ns <= time_ns
        for one in _of_side(facts, side)
        if frame is None or one.id < frame
    )


def _of_side(facts: ConnectionFacts, side: Direction) -> list[FrameFact]:
    return [one for one in facts.last_frames if one.direction == side]


def _text(facts: ConnectionFacts) -> tuple[bytes, int | None, int, Direction] | None:
    """Text on the open connection: its first bytes, the frame that they were read as, when, and whose."""
    for side in (S2C, C2S):
        broken = [frame for frame, _ in facts.violations if frame.direction == side]
        for frame in sorted(broken, key=lambda one: one.id)[:1]:
            first = frame.header + _on_wire(frame)
            if _HTTP_START.match(first) or (side == S2C and _is_stray_chunk(facts, first)):
                return first, frame.id, frame.time_ns, side
        for one in facts.opaque:
            if one.direction == side and _HTTP_START.match(one.data):
                return one.data, None, one.time_ns, side
    return None


def _is_stray_chunk(facts: ConnectionFacts, first: bytes) -> bool:
    """A chunk that no Transfer-Encoding announced; one that was has its own finding (WS-HS-047)."""
    head = facts.response_in
    return _CHUNK.match(first) is not None and (head is None or not head.get_all("transfer-encoding"))


def is_body_of(edge: ConnectionFacts, origin: ConnectionFacts) -> bool:
    """Whether what came first before a hop is the body that only the 101 behind the hop announced."""
    found = _text(edge) if edge.was_open else None
    heads = (edge.response_in, origin.response_in)
    chunked = [head is not None and bool(head.get_all("transfer-encoding")) for head in heads]
    sized = [head is not None and bool(head.get_all("content-length")) for head in heads]
    is_chunk = found is not None and found[3] == S2C and _CHUNK.match(found[0]) is not None
    if is_chunk and chunked == [False, True]:
        return True
    return edge.was_open and [False, True] in (chunked, sized) and not any(chunked[:1]) and _is_misread(edge)


def _on_wire(frame: FrameFact) -> bytes:
    """Payload as it was sent: masked again where the garbage happened to set the mask bit."""
    if len(frame.header) > 1 and frame.header[1] & 0x80:
        key = frame.header[-4:]
        return bytes(byte ^ key[index % 4] for index, byte in enumerate(frame.payload[:128]))
    return frame.payload[:128]


#: What is said of an end of which nothing more is known.
_BARE_ENDS: Final = ("WS-DROP-001", "WS-DROP-002", "WS-DROP-003", "WS-DROP-005", "WS-DROP-006")


@rules(
    "WS-HS-047",
    "error",
    "server",
    "The 101 has a Transfer-Encoding or Content-Length",
    meaning="A 101 has no body, and these headers are not allowed in it (RFC 9110, 8.6; RFC 9112, 6.1). A hop"
    " or client that believes them reads the first frames as a body, or fails the handshake.",
    js=JS_FAILED,
    topic="body-in-101",
    rows="H25",
)
def body_in_101(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.response_in
    if head is None or head.status != 101 or not facts.was_open:
        return
    lengths = head.get_all("content-length")
    chunked = head.get_all("transfer-encoding")
    if not lengths and not chunked:
        return
    first = _first_bytes(facts)
    is_chunk = re.match(rb"[0-9A-Fa-f]{1,8}(;[^\r\n]*)?\r\n", first) is not None
    is_harmless = not chunked and {value.strip() for value in lengths} <= {b"0"}
    has_talked = facts.frames[0] > 0 and facts.frames[1] > 0
    is_body = is_chunk or _is_misread(facts)
    yield Found(
        evidence=(
            *(facts.response_line(name) for name, values in _body_fields(lengths, chunked) if values),
            f"the bytes that follow: {first[:24].hex(' ')}" + (" (a chunk's size line)" if is_chunk else "")
            if first
            else "no bytes follow",
            end_line(facts) if facts.is_over else "",
        ),
        severity="error"
        if is_body
        else "warning"
        if is_harmless or has_talked or not facts.is_over
        else None,
        hop=answer_hop(facts),
        software=named(answer_marks(facts)),
        js=js_sees(facts) if facts.is_over else "Nothing yet: the connection is open.",
        # A server that sends a body ends as after a response, in the middle of what reads as a frame.
        covers=tuple((facts.id, rule) for rule in ("WS-FR-010", *_BARE_ENDS)) if is_body else (),
    )


def _is_misread(facts: ConnectionFacts) -> bool:
    """Whether the first bytes from the server are not a frame: then they are the body, and behind it nobody
    knows where a frame begins."""
    mine = sorted((one for one in facts.last_frames if one.direction == S2C), key=lambda one: one.id)
    if facts.frames[1] > len(mine):
        return False  # the first one is not at hand, and much was read
    if mine:
        return mine[0].violation is not None
    return any(one.direction == S2C for one in facts.opaque)


def _body_fields(lengths: list[bytes], chunked: list[bytes]) -> tuple[tuple[str, list[bytes]], ...]:
    return (("Transfer-Encoding", chunked), ("Content-Length", lengths))


def _first_bytes(facts: ConnectionFacts) -> bytes:
    """The first bytes from the server after the 101, where they are at hand."""
    frames = [one for one in (*facts.last_frames, *(frame for frame, _ in facts.violations))]
    mine = sorted((one for one in frames if one.direction == S2C), key=lambda one: one.id)
    opaque = [one for one in facts.opaque if one.direction == S2C]
    if mine and facts.frames[1] <= len({one.id for one in mine}):
        return mine[0].header + _on_wire(mine[0])
    return opaque[0].data if opaque and not facts.frames[1] else b""


@rules(
    "WS-HS-046",
    "warning",
    "server",
    "The 101 came as HTTP/1.0",
    meaning="HTTP/1.0 has no upgrade, so clients may refuse such a 101. Chromium accepts it; Firefox and"
    " several libraries do not.",
    js=JS_FAILED + " (not in Chromium)",
    topic="http10-response",
    rows="H2 H25",
)
def http10_101(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.response_in
    if head is None or head.status != 101 or head.http_version != b"HTTP/1.0" or not facts.was_open:
        return
    has_talked = facts.frames[0] > 0
    yield Found(
        evidence=(
            status_line(facts),
            "the client continued" if has_talked else "",
            end_line(facts) if facts.is_over else "",
        ),
        severity=None if has_talked or not facts.is_over else "error",
        hop=answer_hop(facts),
        software=named(answer_marks(facts)),
    )


_INTERIM: Final = re.compile(rb"^HTTP/1\.[01] 1\d\d[^\r\n]*", re.M)


def interim_before(facts: ConnectionFacts) -> str:
    """The status line of the first interim response before the answer; empty where there was none."""
    found = _INTERIM.search(facts.informational)
    return "" if found is None else found[0].decode("latin-1").strip()[:60]


@rules(
    "WS-HS-038",
    "warning",
    "server",
    "An interim response (100, 102 or 103) came before the 101",
    meaning="Chromium refuses a handshake that is preceded by any other 1xx; other clients skip it. Send no"
    " 100 Continue, 102 Processing or 103 Early Hints on this path.",
    js=JS_FAILED + " Chrome's console: Unexpected response code: 100, 102 or 103.",
    topic="early-hints",
    rows="traps",
)
def early_hints(facts: ConnectionFacts) -> Iterator[Found]:
    first = interim_before(facts)
    if not first:
        return
    name = first.partition(" ")[2] or first
    if facts.was_open:
        title = f"{name} came before the 101"
        yield Found(title=title, evidence=(f"{first} before the 101",), hop=answer_hop(facts))
        return
    left = _left_after_ns(facts)
    if left is not None and left < _AT_ONCE_NS:
        yield Found(
            title=f"The client left at {name}, which came before the answer",
            fault_of="client",
            evidence=(first, f"the client left {seconds(left)} after its request, before any other answer"),
            hop=answer_hop(facts),
            confidence="low",
            causes=two_causes(
                (
                    f"the client takes {name} for the answer, and refuses it",
                    "it leaves as soon as that has come, each time; without it, it waits for the 101",
                ),
                (
                    "the page closed the socket, or the user left it, while it was connecting",
                    "how long it waited differs from attempt to attempt",
                ),
            ),
            covers=((facts.id, "WS-HS-036"),),
        )


#: Who is refused leaves at once; who waits for an answer waits longer.
_AT_ONCE_NS: Final = 2 * SECOND_NS


def _left_after_ns(facts: ConnectionFacts) -> int | None:
    """How long after its request the client left, where nothing but interim responses had come; None else."""
    sent = facts.times.get("request_out_ns")
    left = next((end.time_ns for end in facts.ends if end.side == "client"), facts.closed_ns)
    if facts.state != "failed" or facts.status is not None or sent is None or left is None or left < sent:
        return None
    return left - sent if facts.failed_where == "client" else None
