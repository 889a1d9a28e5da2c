"""Close codes, and closing handshakes that were not completed (RFC 6455 section 7, IANA's registry)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from wsinspect.findings.close_codes import known_code
from wsinspect.findings.close_reasons import what_is_said
from wsinspect.findings.closed import closed_with, found_of, has_spoken, other_of, said_of, side_of
from wsinspect.findings.evidence import (
    WORDS_OF_ENDS,
    answer_marks,
    end_line,
    js_sees,
    left_marks,
    named,
    seconds,
    two_causes,
)
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.failures import failure_named, is_about_login
from wsinspect.findings.limits import possible_sizes, size_lines
from wsinspect.findings.model import Cause, FaultOf, Found, Severity
from wsinspect.findings.quotes import without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.after_largest import right_after_largest
from wsinspect.findings.rules.frames import broken
from wsinspect.handshake.negotiation import DEFLATE
from wsinspect.wire.close_codes import close_name
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.violations import CLOSE_CODE, CLOSE_TRUNCATED, CLOSE_UTF8

rules = Rules()

JS: Final = (
    "close with the server's code and reason, wasClean true; 1006 where no CLOSE frame came from the server."
)
_NO_FRAME: Final = (
    "no frame from the other side breaks RFC 6455 here, so it is about the handshake or an extension"
)


@rules(
    "WS-CL-020",
    "error",
    "server",
    "A close code that must never be sent was on the wire",
    meaning="1004, 1005, 1006 and 1015, and codes below 1000 or from 1016 to 2999, must not be sent:"
    " receivers answer 1002. Some proxies (an old Traefik) send 1006.",
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
    "A CLOSE frame has a malformed body",
    meaning="The body is one byte long, or the reason is not UTF-8 (RFC 6455, 5.5.1). So the receiver cannot"
    " read the code.",
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
    "A message was too big for its receiver (1009, or cut off in the middle)",
    meaning="The receiver has a size limit and closed because of a larger message: raise the limit, or send"
    " smaller messages. Some receivers close TCP at once; the sender then sees 1006 instead of 1009.",
    js="close with code 1009, or 1006 where the receiver did not wait.",
    topic="size",
    rows="F6",
    group="end",
)
def too_big(facts: ConnectionFacts) -> Iterator[Found]:
    found = closed_with(facts, 1009)
    if found is not None:
        who, code, reason = found
        yield found_of(
            facts,
            who,
            code,
            reason,
            *_largest(facts, who.other),
            fault_of=other_of(who),
            title=f"The {side_of(who)} closed with 1009: a message from the {other_of(who)} is too big",
        )
        return
    # The receiver cut TCP while the message was on its way.
    for one in facts.opaque:
        is_cut = one.reason == "unfinished-frame" and facts.how in ("rst", "fin") and not facts.has_close
        sender = "client" if one.direction == C2S else "server"
        limit = _announced(one.data, one.length)
        limits = possible_sizes(limit, left_marks(facts)) if limit is not None else []
        if is_cut and facts.ended_by not in (sender, "proxy") and limits:
            line = f"a frame of {limit} bytes {one.direction.arrow} was cut after {one.length} bytes"
            seen = left_marks(facts)
            yield Found(
                evidence=(line, *size_lines(limits, seen), end_line(facts), js_sees(facts)),
                # The size alone fits more than one software, and none of them need be there.
                confidence="medium" if any(one.software in seen for one in limits) else "low",
                fault_of=side_of(one.direction),
                js=js_sees(facts),
                software=named(answer_marks(facts)),
            )
            return
    yield from right_after_largest(facts)


def _announced(data: bytes, length: int) -> int | None:
    """The length in bytes that the header of an unfinished frame announces, where that is large."""
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
    return (
        f"the largest of the sender's last messages has {size} bytes (frame {frame})",
        *size_lines(possible_sizes(size, left_marks(facts)), left_marks(facts)),
    )


#: What libraries say of a compressed frame when they know of no compression.
_SAYS_COMPRESSED: Final = re.compile(
    r"reserved|\brsv|compress|deflat|inflat|extension|frame header|\bzlib\b"
    r"|invalid (?:distance|stored block|block type|code lengths|literal)|incorrect (?:header|data) check",
    re.I,
)


def _is_about_compression(facts: ConnectionFacts, who: Direction, reason: str) -> bool:
    """Whether the side that closed got compressed frames, right by what was negotiated here."""
    is_on = any(one.name == DEFLATE for one in facts.negotiation.extensions)
    if not is_on or (reason and not _SAYS_COMPRESSED.search(reason)):
        return False
    got = [one for one in facts.last_frames if one.direction == who.other and one.opcode in (1, 2)]
    return any(one.header and one.header[0] & 0x40 for one in got)


def _took_for_broken(facts: ConnectionFacts, who: Direction, code: int, reason: str) -> Found:
    side, other = side_of(who), other_of(who)
    made = found_of(
        facts,
        who,
        code,
        reason,
        "permessage-deflate was negotiated here, and every frame here is right by that",
        fault_of="hop",
        title=f"The {side} closed with {code}: it takes the {other}'s compressed frames for broken",
        meaning=f"Compression was negotiated as this tap saw it, and the {side} does not know it, or cannot"
        " inflate. A hop that removes or changes Sec-WebSocket-Extensions in one direction does this.",
    )
    return replace(
        made,
        confidence="medium",
        topic="compression",
        causes=two_causes(
            (
                f"a hop between this tap and the {side} removes or changes Sec-WebSocket-Extensions",
                f"what the {side} got or sent there; a second tap on the other side of that hop",
            ),
            (
                f"the {side}'s library offers permessage-deflate and does not read it",
                f"the same {side} without that hop; without the offer it works",
            ),
        ),
    )


#: What a failure of the application itself is called in a close reason; a protocol's error is none.
_SAYS_EXCEPTION: Final = re.compile(r"\b\w*(?:exception|traceback|stack ?trace)\b", re.I)


def _own_failure(facts: ConnectionFacts, who: Direction, reason: str) -> Found | None:
    """A 1002 that cannot be, or does not claim to be, about a frame of the other side.

    Tomcat closes so where an endpoint's method throws, with the exception's message as reason.
    """
    is_spoken = has_spoken(facts, who.other)
    is_said = _SAYS_EXCEPTION.search(reason) is not None
    if who is not S2C or (is_spoken and not is_said) or facts.opaque:
        return None
    side, other = side_of(who), other_of(who)
    made = found_of(
        facts,
        who,
        1002,
        reason,
        _NO_FRAME if is_spoken else f"the {other} had sent no frame, so none of its frames can be the cause",
        fault_of=side,
        title=f"The {side} closed with 1002, and not because of a frame: it failed by itself",
        meaning=f"1002 means a broken protocol, and the {other} sent nothing that breaks it. Some servers"
        " (Tomcat) close with it where the application's own code raises an exception; its log says which.",
    )
    if not is_spoken and not reason and facts.negotiation.subprotocol is None:
        # subscriptions-transport-ws closes so, without a word, where `graphql-ws` was not offered.
        return replace(
            made,
            confidence="low",
            title="The server closed with 1002 before the client sent a frame",
            meaning="1002 means a broken protocol, and no frame was there to break it. It is about the"
            " handshake, or the server failed by itself; its log says which.",
            topic="server-error",
            causes=two_causes(
                (
                    "the server demands a subprotocol, and none was agreed on (subscriptions-transport-ws)",
                    "the same handshake with the subprotocol that the server's documents name",
                ),
                (
                    "the application's own code raised an exception as the connection opened (Tomcat)",
                    "the server's log for this moment",
                ),
            ),
        )
    return replace(made, confidence="medium", topic="server-error")


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
    """A rule for one close code.

    Args:
        title, meaning: with `{who}` for the side that closed and `{other}` for the other one.
        fault: whose it is: sender or other.
    """
    usual = S2C

    def words(text: str, who: Direction) -> str:
        said = text.format(who=side_of(who), other=other_of(who))
        return said[0].upper() + said[1:]

    def check(facts: ConnectionFacts) -> Iterator[Found]:
        found = closed_with(facts, code)
        if found is None or (needs_silence and facts.violations):
            return
        who, _, reason = found
        blame: FaultOf = side_of(who) if fault == "sender" else other_of(who)
        more = (_NO_FRAME,) if code == 1002 else ()
        if needs_silence and _is_about_compression(facts, who, reason):
            yield _took_for_broken(facts, who, code, reason)
            return
        if (said := said_of(facts, who, code, reason)) is not None:
            yield said
            return
        if code == 1002 and (own := _own_failure(facts, who, reason)) is not None:
            yield own
            return
        made = found_of(
            facts,
            who,
            code,
            reason,
            *more,
            fault_of=blame,
            title=words(title, who),
            meaning=words(meaning, who),
        )
        if code == 1008 and reason:
            made = replace(made, topic="policy")  # credentials are the usual case only where nothing is said
        # Nothing that was broken passed here: what the closer says is all there is.
        yield replace(made, confidence="medium") if code == 1002 else made

    check.__name__ = f"code_{code}"
    rules(
        f"WS-CL-{code - 1000:03}",
        severity,
        side_of(usual) if fault == "sender" else other_of(usual),
        words(title, usual),
        meaning=words(meaning, usual),
        js=JS,
        topic=topic,
        rows=rows,
        group="end",
    )(check)


_code_rule(
    1002,
    "the {who} closed with 1002: it says that the {other} broke the protocol",
    "The {who} received something from the {other} that breaks RFC 6455. If no broken frame was seen here,"
    " the {who}'s library disagrees about an extension, or a hop behind this tap changed something.",
    "frame-bug",
    "F1 F2 F3",
    "other",
    needs_silence=True,
)
_code_rule(
    1003,
    "the {who} closed with 1003: it does not accept this kind of data from the {other}",
    "The {who} accepts only text messages, or only binary ones. The {other} has to send the other kind.",
    "app",
    "F7",
    "other",
)
_code_rule(
    1007,
    "the {who} closed with 1007: invalid data from the {other}",
    "The {who} received text that is not UTF-8, compressed data that does not inflate, or content that it"
    " cannot parse. If no broken message was seen here, it is the content.",
    "utf8",
    "F4 F5",
    "other",
    needs_silence=True,
)
_code_rule(
    1008,
    "the {who} closed with 1008: the {other} violated its policy",
    "1008 is used for credentials, permissions and rate limits; the reason, if there is one, says which of"
    " the {who}'s rules was broken. Missing or late credentials are the usual case.",
    "app-auth",
    "F7",
    "other",
)
_code_rule(
    1010,
    "the {who} closed with 1010: it requires an extension that was not negotiated",
    "The {who} requires an extension that was not accepted. The {other} does not support it, or a hop"
    " strips Sec-WebSocket-Extensions.",
    "extension",
    "F10",
    "other",
)
_code_rule(
    1011,
    "the {who} closed with 1011: internal error",
    "The {who} reports that it could not continue: an exception in its application or, in some libraries, a"
    " keepalive timeout. Its log says which.",
    "server-error",
    "F8 T6",
    "sender",
)
_code_rule(
    1012,
    "the {who} closed with 1012: it is restarting",
    "The {who} announces a restart. Clients should reconnect after a random delay.",
    "server-restart",
    "F8 T4",
    "sender",
    "warning",
)
_code_rule(
    1013,
    "the {who} closed with 1013: it is overloaded",
    "The {who} cannot serve this connection now. Reconnecting at once makes it worse: back off.",
    "overload",
    "F8",
    "sender",
    "warning",
)
_code_rule(
    1014,
    "the {who} closed with 1014: a gateway got no valid answer from the server behind it",
    "A proxy that speaks WebSocket itself reports that its upstream failed. It is what 502 is in HTTP.",
    "bad-gateway",
    "F8",
    "sender",
)


@rules(
    "WS-CL-001",
    "note",
    "server",
    "The server closed with 1001: it is going away",
    meaning="The server is shutting down, or closes idle clients with this code. Clients should reconnect"
    " after a random delay.",
    js="close with code 1001, wasClean true.",
    topic="server-restart",
    rows="T4",
    group="end",
)
def going_away(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.server_close_code == 1001 and facts.ended_by == "server":
        reason = facts.server_close_reason or ""
        said = said_of(facts, S2C, 1001, reason) if reason else None
        # Its reason names something else than a restart: the next connection ends the same way.
        yield replace(said, severity="warning") if said else found_of(facts, S2C, 1001, reason)


@rules(
    "WS-CL-030",
    "warning",
    "server",
    "Closed with a private code",
    meaning="Codes from 3000 to 4999 belong to libraries and applications. Look this one up in the code or"
    " documentation of the side that sent it; its reason, if there is one, comes from there too.",
    js=JS,
    topic="policy",
    rows="F7",
    group="end",
)
def private_code(facts: ConnectionFacts) -> Iterator[Found]:
    found = closed_with(facts, *range(3000, 5000))
    if found is None:
        return
    who, code, reason = found
    agreed = facts.negotiation
    known = known_code(
        code,
        subprotocols=filter(None, (agreed.subprotocol, *agreed.subprotocols_offered)),
        place=f"{facts.host}{'' if facts.port in (80, 443, None) else f':{facts.port}'}{facts.path}",
        reason=reason,
    )
    quoted = f" {without_secrets(reason)[:60]!r}" if reason else ""
    if known is None:
        if (said := said_of(facts, who, code, reason) if reason else None) is not None:
            yield said
            return
        yield found_of(
            facts,
            who,
            code,
            reason,
            fault_of=side_of(who),
            title=f"The {side_of(who)} closed with its own code {code}{quoted}",
        )
        return
    source = known.library if known.library == "by convention" else f"in {known.library}"
    yield replace(
        found_of(
            facts,
            who,
            code,
            reason,
            f"{code} {source}: {known.name} ({known.meaning})",
            fault_of=side_of(who) if who == C2S and known.is_general else known.who,
            title=f"The {side_of(who)} closed with {code}: {known.name}{quoted}",
        ),
        topic="app-auth" if re.search(r"auth|forbidden|credential|token", known.name, re.I) else None,
    )


@rules(
    "WS-CL-033",
    "warning",
    "server",
    "Closed with 1000, which means that all is well, and a reason that names a failure",
    meaning="Clients take 1000 for the end that was intended: many do not reconnect, and report no error. The"
    " reason says what really happened; a failure wants a code of its own (1008, 1011, 4000 to 4999).",
    js=JS,
    topic="app",
    rows="F7",
    group="end",
)
def well_but_failed(facts: ConnectionFacts) -> Iterator[Found]:
    found = closed_with(facts, 1000)
    if found is None:
        return
    who, code, reason = found
    masked = without_secrets(reason)
    known = what_is_said(masked, code)
    if known is not None and known.name in _FAILURES:
        made = said_of(facts, who, code, reason)
        title = (
            f"The {side_of(who)} closed with 1000 (normal), and its reason names a failure: {masked[:80]!r}"
        )
        yield from (replace(made, title=title),) if made is not None else ()
        return
    said = failure_named(masked)
    if said is None:
        return
    yield replace(
        found_of(
            facts,
            who,
            code,
            reason,
            fault_of="server" if who == S2C else "client",
            title=f"The {side_of(who)} closed with 1000 (normal), and its reason names a failure:"
            f" {_around(masked, said)!r}",
        ),
        # Turned down is also what somebody else's bid or microphone was.
        confidence="medium" if said[0].lower() in ("denied", "rejected", "refused") else None,
        topic="app-auth" if is_about_login(reason) else None,
    )


#: What is a failure whatever its code is (`close_reasons`): an end after idleness or at an age may be meant.
_FAILURES: Final = ("rate", "quota", "pong", "fragments", "compression")


def _around(reason: str, said: re.Match[str]) -> str:
    """The part of a reason that names the failure, for a title."""
    begin = max(0, min(said.start() - 30, len(reason) - 80))
    return reason[begin : begin + 80]


#: A side that waited less than this did not wait for an answer to its CLOSE frame.
_LEAST_WAIT_NS: Final = 500_000_000


@rules(
    "WS-CL-031",
    "warning",
    "server",
    "A CLOSE frame was not answered",
    meaning="One side sent CLOSE, and TCP ended without the CLOSE that must answer it (RFC 6455, 5.5.1)."
    " Where the server did not answer, the page sees 1006 although the close was intended.",
    js="close with code 1006, wasClean false.",
    topic="close-handshake",
    rows="F11",
    group="end",
)
def one_sided(facts: ConnectionFacts) -> Iterator[Found]:
    if (
        not facts.is_over
        or facts.state == "lost"
        or not facts.was_open
        or facts.ended_by in ("proxy", "fault")
    ):
        return
    has_client, has_server = facts.client_close_reason is not None, facts.server_close_reason is not None
    if has_client == has_server or not facts.ends:
        return
    who = C2S if has_client else S2C
    code = facts.client_close_code if has_client else facts.server_close_code
    close = next((f for f in facts.last_frames if f.is_close and f.direction == who), None)
    if close is None:
        return
    first = next((end for end in facts.ends if end.time_ns >= close.time_ns), None)
    answerer = next((end for end in facts.ends if end.side == other_of(who)), None)
    # A side that had waited and left had no answer, whatever this proxy, stopped later, ended then.
    if first is None or any(end.side == "proxy" and end.time_ns <= first.time_ns for end in facts.ends):
        return
    waited = first.time_ns - close.time_ns
    # While this tap was blind it passed on neither the CLOSE nor an answer.
    has_waited = facts.has_waited(close.time_ns, first.time_ns, _LEAST_WAIT_NS)
    if first.side == side_of(who) and not has_waited:
        # It left at once. The other side could still have answered, if it was there for some time.
        is_late = answerer is not None and facts.has_waited(close.time_ns, answerer.time_ns, _LEAST_WAIT_NS)
        if who == S2C or not is_late:
            return
    if who == S2C and first.side == "client" and not has_waited:
        return  # a client that has received the code and leaves
    if not facts.is_order_known(close.time_ns, first.time_ns):
        return  # the end may have come before the CLOSE that it could have answered
    yield Found(
        evidence=(
            f"the {side_of(who)} sent CLOSE {code if code is not None else 'without a code'}",
            f"no CLOSE from the {other_of(who)}",
            f"{seconds(waited)} later the {first.side} ended TCP ({WORDS_OF_ENDS.get(first.how, first.how)})",
            js_sees(facts),
        ),
        frame=close.id,
        fault_of=other_of(who),
        title=f"The {other_of(who)} did not answer the {side_of(who)}'s CLOSE frame",
        js=js_sees(facts),
        software=named(answer_marks(facts)),
    )


#: Codes that end a connection as intended, or that say nothing.
_ORDINARY: Final = (1000, 1001, 1005)


@rules(
    "WS-CL-032",
    "warning",
    "server",
    "The file does not say who ended the connection",
    meaning="This file has the close code and not the CLOSE frames, so the code may be the client's or the"
    " server's. A capture made by a proxy between them shows which.",
    js=JS,
    topic="close-unknown",
    rows="F7 F8",
    group="end",
)
def unknown_closer(facts: ConnectionFacts) -> Iterator[Found]:
    """What a file reports of the end without saying who began it: HTTP Toolkit's HAR."""
    if not facts.unrecorded or facts.has_close or not facts.was_open or facts.js_code in _ORDINARY:
        return
    said = next((detail.get("reported") for kind, detail in facts.events if kind == "closed"), None)
    if not isinstance(said, Mapping):
        return
    if said.get("side") in ("client", "server"):
        yield _seen_by_mitmproxy(said["side"])
        return
    if facts.js_code is None:
        return
    if said.get("code") is None:
        yield Found(
            evidence=("the file says that the connection was aborted, and not by whom", js_sees(facts)),
            fault_of="network",
            confidence="low",
            title="The connection ended without a closing handshake",
            meaning="No CLOSE frame ended it: a side crashed, left or was cut off. This file does not record"
            " which side ended TCP.",
            js=js_sees(facts),
            topic="abrupt",
        )
        return
    code, reason = facts.js_code, str(said.get("reason") or "")
    quoted = f" {reason[:60]!r}" if reason else ""
    said_why = f"reason {reason[:160]!r}" if reason else "no reason"
    yield Found(
        evidence=(f"closed with {code} ({close_name(code)}), {said_why}",),
        confidence="low",
        title=f"Closed with {code}{quoted} by a side that the file does not name",
        causes=(
            Cause("the server sent it", "the server's log has this code at this moment"),
            Cause("the client sent it", "the client's code calls close() with it, or its library does"),
        ),
    )


def _seen_by_mitmproxy(side: str) -> Found:
    """mitmproxy's 1006: a connection of one side ended, and no CLOSE frame had come from it."""
    is_server = side == "server"
    return Found(
        evidence=(f"mitmproxy has close code 1006, for the {side}'s connection",),
        severity="warning" if is_server else "note",
        fault_of="network" if is_server else "client",
        confidence="low",
        title=f"The {side}'s connection ended without a CLOSE frame",
        meaning="mitmproxy writes 1006 where a connection ends without a CLOSE frame: by a FIN, by a RST, or"
        " by a timeout of its own. The file does not say which.",
        causes=(
            Cause(
                f"the {side}'s side ended TCP: a crash, a kill, a hop", f"the {side}'s log for this moment"
            ),
            Cause(
                "mitmproxy's own limit: it closes what has no traffic for 10 minutes (tcp_timeout)",
                "does it end after the same time with another tcp_timeout, or without mitmproxy?",
            ),
        ),
        js="Not known: mitmproxy ends the other side's connection with a CLOSE frame of its own, code 1000."
        if is_server
        else "Nothing: the page is gone.",
        topic="abrupt",
    )
