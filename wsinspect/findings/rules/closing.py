"""Close codes, and closing handshakes that were not completed (RFC 6455 section 7, IANA's registry)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_told, named, seconds
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.model import FaultOf, Found, Severity
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.frames import broken
from wsinspect.wire.close_codes import close_name
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.violations import CLOSE_CODE, CLOSE_TRUNCATED, CLOSE_UTF8

rules = Rules()

JS: Final = (
    "close with the server's code and reason, wasClean true; 1006 where no CLOSE frame of the server arrived."
)
#: Sizes at which receivers stop by default, in bytes.
_SIZE_LIMITS: Final = (
    (8 * 1024, "Tomcat, 8 KiB"),
    (32 * 1024, "AWS API Gateway frames and SignalR, 32 KB"),
    (64 * 1024, "Netty, 64 KiB"),
    (128 * 1024, "AWS API Gateway messages, 128 KB"),
    (1_000_000, "Socket.IO maxHttpBufferSize, 1 MB"),
    (1024 * 1024, "Python websockets max_size, 1 MiB"),
    (16 * 1024 * 1024, "uvicorn, 16 MiB"),
    (100 * 1024 * 1024, "Node ws maxPayload, 100 MiB"),
)


_NO_FRAME: Final = (
    "no frame of the other side breaks RFC 6455 here, so it is about the handshake or an extension"
)


def closed_with(facts: ConnectionFacts, *codes: int) -> tuple[Direction, int, str] | None:
    """Who closed first with one of these codes: (direction, code, reason)."""
    server = facts.server_close_code, facts.server_close_reason
    client = facts.client_close_code, facts.client_close_reason
    order = [(S2C, server), (C2S, client)]
    if facts.ended_by == "client":
        order.reverse()
    for direction, (code, reason) in order:
        if code in codes:
            return direction, code, reason or ""
    return None


def _found(
    facts: ConnectionFacts,
    who: Direction,
    code: int,
    reason: str,
    *more: str,
    fault_of: FaultOf | None = None,
) -> Found:
    name = "client" if who == C2S else "server"
    frame = next((f.id for f in facts.last_frames if f.opcode == 8 and f.direction == who), None)
    said = f", reason {reason[:160]!r}" if reason else ", no reason"
    return Found(
        evidence=(
            f"the {name} closed with {code} ({close_name(code)}){said}",
            *more,
            end_line(facts),
            js_told(facts),
        ),
        frame=frame,
        fault_of=fault_of,
        js=js_told(facts),
        software=named(answer_marks(facts)),
    )


def _other(who: Direction) -> FaultOf:
    return "server" if who == C2S else "client"


def _self(who: Direction) -> FaultOf:
    return "client" if who == C2S else "server"


@rules(
    "WS-CL-020",
    "error",
    "server",
    "A close code that must never be sent was on the wire",
    meaning="1004, 1005, 1006 and 1015, and codes below 1000 or from 1016 to 2999, are not for the wire:"
    " receivers answer 1002. Some"
    " proxies (an old Traefik) send 1006.",
    js="close with code 1006, wasClean false.",
    topic="close-code",
    rows="F9",
    group="end",
)
def illegal_code(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, CLOSE_CODE)


@rules(
    "WS-CL-021",
    "error",
    "server",
    "A CLOSE frame has a broken body",
    meaning="Its body is one byte, or its reason is no UTF-8 (RFC 6455, 5.5.1). So the receiver "
    "cannot take its code.",
    js="close with code 1006, wasClean false.",
    topic="close-code",
    rows="F9",
    group="end",
)
def broken_close(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, CLOSE_TRUNCATED, CLOSE_UTF8)


@rules(
    "WS-CL-009",
    "error",
    "client",
    "A message was too big for its receiver (1009, or an end right after it)",
    meaning="The receiver takes messages up to a limit and closed for a larger one. Some close TCP at once,"
    " and the sender then sees"
    " 1006 instead of 1009.",
    js="close with code 1009, or 1006 where the receiver did not wait.",
    topic="size",
    rows="F6",
    group="end",
)
def too_big(facts: ConnectionFacts) -> Iterator[Found]:
    found = closed_with(facts, 1009)
    if found is not None:
        who, code, reason = found
        yield _found(facts, who, code, reason, *_largest(facts, who.other), fault_of=_other(who))
        return
    # The receiver cut TCP while the message was on its way.
    for one in facts.opaque:
        is_cut = one.reason == "unfinished-frame" and facts.how in ("rst", "fin") and not facts.has_close
        sender = "client" if one.direction == C2S else "server"
        limit = _announced(one.data, one.length)
        if is_cut and facts.ended_by not in (sender, "proxy") and limit is not None and _size_lines(limit):
            line = f"a frame of {limit} bytes {one.direction.arrow} was cut after {one.length} bytes"
            yield Found(
                evidence=(line, *_size_lines(limit), end_line(facts), js_told(facts)),
                confidence="medium",
                fault_of=_self(one.direction),
                js=js_told(facts),
                software=named(answer_marks(facts)),
            )
            return


def _announced(data: bytes, length: int) -> int | None:
    """The length that the header of an unfinished frame announces, where that is large."""
    if len(data) < 10:
        return None
    bits = data[1] & 0x7F
    size = (
        int.from_bytes(data[2:4], "big")
        if bits == 126
        else int.from_bytes(data[2:10], "big")
        if bits == 127
        else bits
    )
    return size if size >= 8 * 1024 else None


def _largest(facts: ConnectionFacts, sender: Direction) -> tuple[str, ...]:
    """The last messages of the sender: one of them was too large."""
    sizes = [
        (frame.length, frame.id)
        for frame in facts.last_frames
        if frame.direction == sender and frame.opcode < 8
    ]
    sizes += [(one.length, 0) for one in facts.opaque if one.direction == sender]
    if not sizes:
        return ()
    size, frame = max(sizes)
    known = [(m.length or 0, m.id) for m in facts.last if m.direction == sender]
    size, frame = max([(size, frame), *known])
    return (f"the largest of the sender's last messages has {size} bytes (frame {frame})", *_size_lines(size))


def _size_lines(size: int) -> tuple[str, ...]:
    below = [name for limit, name in _SIZE_LIMITS if limit < size <= limit * 1.5]
    return tuple(f"just above a known limit: {name}" for name in below[:2])


def _code_rule(
    code: int,
    title: str,
    meaning: str,
    topic: str,
    rows: str,
    fault: str,
    severity: Severity = "error",
    needs_silence: bool = False,
) -> None:
    """A rule for one close code; `fault` is whose: sender, other, or a fixed word."""

    def check(facts: ConnectionFacts) -> Iterator[Found]:
        found = closed_with(facts, code)
        if found is None or (needs_silence and facts.violations):
            return
        who, _, reason = found
        blame: FaultOf = _self(who) if fault == "sender" else _other(who)
        more = (_NO_FRAME,) if code == 1002 else ()
        yield _found(facts, who, code, reason, *more, fault_of=blame)

    check.__name__ = f"code_{code}"
    rules(
        f"WS-CL-{code - 1000:03}",
        severity,
        "server" if fault == "sender" else "client",
        title,
        meaning=meaning,
        js=JS,
        topic=topic,
        rows=rows,
        group="end",
    )(check)


_code_rule(
    1002,
    "Closed for a protocol error (1002)",
    "One side says that the other broke the protocol. Where no broken frame was seen, its library and an"
    " extension or a hop do"
    " not fit together.",
    "frame-bug",
    "F1 F2 F3",
    "other",
    needs_silence=True,
)
_code_rule(
    1003,
    "Closed: this kind of data is not accepted (1003)",
    "The receiver takes only text, or only binary messages. Send the other kind.",
    "app",
    "F7",
    "other",
)
_code_rule(
    1007,
    "Closed for data that is not what it should be (1007)",
    "The receiver found text that is no UTF-8, compression that does not inflate, or content "
    "that it cannot parse. Where no broken message was seen here, it is the content.",
    "utf8",
    "F4 F5",
    "other",
    needs_silence=True,
)
_code_rule(
    1008,
    "Closed for a policy: credentials, permissions or a rate limit (1008)",
    "The server has a rule that this client broke; its reason, if it gives one, says which. Missing or late"
    " credentials are the usual"
    " case.",
    "app-auth",
    "F7",
    "other",
)
_code_rule(
    1010,
    "The client wanted an extension that was not negotiated (1010)",
    "The client cannot do without an extension that was not accepted. The server does not "
    "have it, or a hop strips Sec-WebSocket-Extensions.",
    "extension",
    "F10",
    "other",
)
_code_rule(
    1011,
    "The server failed (1011)",
    "The server's side says that it could not go on. An exception in the application does "
    "this, or a keepalive timeout in some libraries.",
    "server-error",
    "F8 T6",
    "sender",
)
_code_rule(
    1012,
    "The service is restarting (1012)",
    "The server announces a restart. Clients reconnect after a random delay.",
    "server-restart",
    "F8 T4",
    "sender",
    "warning",
)
_code_rule(
    1013,
    "The service is overloaded: try again later (1013)",
    "The server cannot take this client now. Reconnecting at once makes it worse.",
    "overload",
    "F8",
    "sender",
    "warning",
)
_code_rule(
    1014,
    "A gateway got no valid answer from the server behind it (1014)",
    "A proxy that speaks WebSocket itself says that its upstream failed. It is what 502 is for HTTP.",
    "bad-gateway",
    "F8",
    "sender",
)


@rules(
    "WS-CL-001",
    "note",
    "server",
    "The server went away (1001)",
    meaning="The server says that it is shutting down, or closes idle clients with this code. Clients"
    " reconnect.",
    js="close with code 1001, wasClean true.",
    topic="server-restart",
    rows="T4",
    group="end",
)
def going_away(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.server_close_code == 1001 and facts.ended_by == "server":
        yield _found(facts, S2C, 1001, facts.server_close_reason or "")


@rules(
    "WS-CL-030",
    "warning",
    "server",
    "The application closed with a code of its own",
    meaning="Codes from 3000 to 4999 belong to libraries and applications; 3000, 3003, 4001, 4401 and 4403"
    " mostly mean missing or"
    " refused credentials. The reason, if there is one, is the application's.",
    js=JS,
    topic="policy",
    rows="F7",
    group="end",
)
def private_code(facts: ConnectionFacts) -> Iterator[Found]:
    code = facts.server_close_code
    if code is not None and 3000 <= code < 5000 and facts.ended_by in ("server", "both"):
        yield _found(facts, S2C, code, facts.server_close_reason or "", fault_of="server")


@rules(
    "WS-CL-031",
    "warning",
    "server",
    "The closing handshake was not completed",
    meaning="One side sent CLOSE and TCP ended without the answer. What the page is told is then 1006,"
    " although the end was meant.",
    js="close with code 1006, wasClean false.",
    topic="close-handshake",
    rows="F11",
    group="end",
)
def one_sided(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or facts.state == "lost" or facts.js_was_clean is not False or not facts.was_open:
        return
    if facts.client_close_reason is not None and facts.server_close_reason is None and facts.ends:
        first = facts.ends[0]
        if first.side != "server":  # the client did not wait (a page that is left), or this proxy was stopped
            return
        close = next((f for f in facts.last_frames if f.opcode == 8), None)
        waited = f"{seconds(first.time_ns - close.time_ns)} after it" if close else ""
        yield Found(
            evidence=(
                f"the client sent CLOSE {facts.client_close_code or 'without a code'}",
                f"no CLOSE of the server; {first.side} {first.how} {waited}",
                js_told(facts),
            ),
            frame=close.id if close else None,
            js=js_told(facts),
            software=named(answer_marks(facts)),
        )
