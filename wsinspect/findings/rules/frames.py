"""Frames that break RFC 6455, by kind.

Of each direction the first broken frame is the finding; what follows it is mostly its consequence. Where the
other side accepted it and the connection ended cleanly, it is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, FrameFact, OpaqueFact
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.switching import body_in_101, text_after_101, text_after_close
from wsinspect.handshake.negotiation import DEFLATE
from wsinspect.wire.header import whole_header
from wsinspect.wire.opcodes import opcode_name
from wsinspect.wire.reader import header_violations
from wsinspect.wire.violations import (
    CONTINUATION_UNEXPECTED,
    CONTROL_FRAGMENTED,
    CONTROL_TOO_LONG,
    DATA_AFTER_CLOSE,
    LENGTH_NOT_MINIMAL,
    LENGTH_TOO_LARGE,
    LENGTH_TOP_BIT,
    MASK_MISSING,
    MASK_UNEXPECTED,
    MESSAGE_INTERRUPTED,
    RESERVED_BIT,
    RESERVED_OPCODE,
    VIOLATIONS,
)

rules = Rules()

JS: Final = (
    "For a broken frame from the server: close with code 1006, wasClean false; Chrome's console names the"
    " frame."
)
_CLEAN_CODES: Final = (None, 1000, 1001, 1005)


def leading(facts: ConnectionFacts) -> list[tuple[FrameFact, int]]:
    """For each direction the codes of its first broken frame, with how many frames have each.

    A frame that never ended counts too where its header alone breaks the protocol; its id is 0.
    """
    if _has_text(facts) or any(one.severity == "error" for one in body_in_101(facts)):
        return []
    first: dict[int, int] = {}
    for frame, _ in facts.violations:
        first[frame.direction] = min(first.get(frame.direction, frame.id), frame.id)
    found = [(frame, count) for frame, count in facts.violations if first[frame.direction] == frame.id]
    for one in facts.opaque:
        if one.reason == "unfinished-frame" and one.direction not in first:
            found += [(frame, 1) for frame in _unfinished(facts, one)]
    return found


def _unfinished(facts: ConnectionFacts, one: OpaqueFact) -> Iterator[FrameFact]:
    """What the header of an unfinished frame breaks, each as a frame with id 0."""
    header = whole_header(one.data)
    if not header:
        return
    agreed = facts.negotiation
    for code in header_violations(
        header,
        one.direction,
        deflate=agreed.deflate is not None,
        extensions_known=agreed.are_extensions_known,
    ):
        length = max(0, one.length - len(header))
        yield FrameFact(
            0,
            one.direction,
            one.time_ns,
            header[0] & 15,
            bool(header[0] & 0x80),
            length,
            header,
            violation=code,
        )


def _has_text(facts: ConnectionFacts) -> bool:
    """Whether what was read as frames is text."""
    return text_after_close(facts) is not None or any(text_after_101(facts))


def broken(facts: ConnectionFacts, *codes: str) -> Iterator[Found]:
    """The findings of violations with these codes."""
    for frame, count in leading(facts):
        if frame.violation in codes:
            yield describe(facts, frame, count)


def describe(facts: ConnectionFacts, frame: FrameFact, count: int, *more: str) -> Found:
    """A broken frame as a finding."""
    code = frame.violation or ""
    rule = VIOLATIONS.get(code)
    name = opcode_name(frame.opcode)
    number = f"frame {frame.id}" if frame.id else "the last, unfinished frame"
    where = f"{number} {frame.direction.arrow} {name}, header {frame.header.hex(' ')}"
    said = f"{code}: {rule.sentence} ({rule.section})" if rule else code
    times = f"{count} frames in this direction break it" if count > 1 else ""
    who: FaultOf = "client" if frame.direction == C2S else "server"
    reaction = (
        f"then closed by the other side with {_reaction(facts, frame)}" if _reaction(facts, frame) else ""
    )
    lines = [where, said, times, *more, reaction, end_line(facts) if facts.is_over else ""]
    is_borne = not facts.is_over or was_borne(facts)
    return Found(
        evidence=tuple(filter(None, lines)),
        frame=frame.id or None,
        fault_of=who,
        severity="warning" if is_borne else None,
        js=js_sees(facts),
        software=named(answer_marks(facts)),
    )


def was_borne(facts: ConnectionFacts) -> bool:
    """Whether the connection continued and still ended cleanly."""
    codes = facts.client_close_code, facts.server_close_code
    return facts.how == "close-frame" and all(code in _CLEAN_CODES or code >= 3000 for code in codes if code)


def _reaction(facts: ConnectionFacts, frame: FrameFact) -> int | None:
    """The code with which the receiver of the frame closed."""
    return facts.server_close_code if frame.direction == C2S else facts.client_close_code


@rules(
    "WS-FR-001",
    "error",
    "client",
    "The client sent an unmasked frame",
    meaning="Clients must mask every frame, and servers close when one does not. A home-made client does"
    " this, or a hop that joins two TCP streams without speaking WebSocket.",
    js=JS,
    topic="frame-bug",
    rows="F1",
)
def unmasked(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, MASK_MISSING)


@rules(
    "WS-FR-002",
    "error",
    "server",
    "The server sent a masked frame",
    meaning="Servers must not mask, and browsers close when one does. A server that echoes bytes as they"
    " came does this.",
    js=JS,
    topic="frame-bug",
    rows="F1",
)
def masked(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, MASK_UNEXPECTED)


@rules(
    "WS-FR-003",
    "error",
    "server",
    "A reserved bit is set that nothing negotiated",
    meaning="RSV1 means 'compressed', but permessage-deflate was not accepted on this connection, or the bit"
    " is set where it has no meaning. One side assumes an extension that was removed from the"
    " request or the response.",
    js=JS,
    topic="compression",
    rows="F2 F3",
)
def reserved_bit(facts: ConnectionFacts) -> Iterator[Found]:
    for frame, count in leading(facts):
        if frame.violation == RESERVED_BIT:
            agreed = facts.negotiation
            offered = ", ".join(map(str, agreed.extensions_offered)) or "nothing"
            accepted = ", ".join(map(str, agreed.extensions)) or "nothing"
            lines = [f"extensions offered: {offered}; accepted: {accepted}"]
            before, after = facts.request_in, facts.request_out
            was_offered = before and DEFLATE.encode() in b"".join(before.get_all("sec-websocket-extensions"))
            if was_offered and after and not after.get_all("sec-websocket-extensions"):
                lines.append("the offer was removed on the way")
            found = describe(facts, frame, count, *lines)
            if agreed.deflate is not None and frame.opcode not in (1, 2) and frame.header[0] & 0x70 == 0x40:
                found = replace(found, title=_NOT_FIRST, meaning=_MEANS_NOT_FIRST, topic="rsv1")
            elif frame.direction == C2S and agreed.deflate is None and _is_safari_15(facts):
                found = replace(found, causes=_SAFARI_15)
            yield found


_NOT_FIRST: Final = "RSV1 is set on a frame that does not begin a message"
_MEANS_NOT_FIRST: Final = (
    "permessage-deflate is on, and RSV1 marks the first frame of a compressed message alone: continuations"
    " and control frames must not have it (RFC 7692, 6.1), so the receiver closes with 1002."
)
#: The first versions whose WebSocket is NSURLSession's.
_SAFARI: Final = re.compile(rb"Version/15\.[0-3]\b.{0,80} Safari/|iPhone OS 15_[0-3]|CPU OS 15_[0-3]")
#: No browser's User-Agent is longer.
_LONG: Final = 1024
_SAFARI_15: Final = (
    Cause(
        "Safari 15.0 to 15.3 (NSURLSession) compresses although the server declined; 15.4 does not",
        "the same page in another browser, or with 'NSURLSession WebSocket' off in Safari's features",
    ),
    Cause(
        "a hop removed permessage-deflate from the server's answer",
        "a second tap in front of it shows the 101",
    ),
)


def _is_safari_15(facts: ConnectionFacts) -> bool:
    head = facts.request_in
    return head is not None and _SAFARI.search((head.get("user-agent") or b"")[:_LONG]) is not None


@rules(
    "WS-FR-004",
    "error",
    "server",
    "A frame has a reserved opcode",
    meaning="Opcodes 3 to 7 and 11 to 15 are not defined, so the receiver has to close. Usually the sender's"
    " frame boundaries are wrong, and payload is read as a header.",
    js=JS,
    topic="frame-bug",
    rows="F3",
)
def reserved_opcode(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, RESERVED_OPCODE)


@rules(
    "WS-FR-005",
    "error",
    "server",
    "A control frame is fragmented or longer than 125 bytes",
    meaning="PING, PONG and CLOSE must each fit in one short frame (RFC 6455, 5.5). A close reason that is"
    " too long is the usual mistake.",
    js=JS,
    topic="frame-bug",
    rows="F3",
)
def bad_control(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, CONTROL_FRAGMENTED, CONTROL_TOO_LONG)


@rules(
    "WS-FR-006",
    "error",
    "server",
    "The fragments of a message are out of order",
    meaning="A continuation came with no message open, or a new message began inside an open one. Two writers"
    " share one socket without a lock, or a hop re-fragments wrongly.",
    js=JS,
    topic="frame-bug",
    rows="F3 F12",
)
def fragments(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, CONTINUATION_UNEXPECTED, MESSAGE_INTERRUPTED)


@rules(
    "WS-FR-007",
    "error",
    "server",
    "A frame's length does not use the fewest bytes",
    meaning="The length could have been encoded in fewer bytes (RFC 6455, 5.2). Some receivers accept it,"
    " others close.",
    js=JS,
    topic="frame-bug",
    rows="F3",
)
def long_length(facts: ConnectionFacts) -> Iterator[Found]:
    yield from broken(facts, LENGTH_NOT_MINIMAL)


@rules(
    "WS-FR-008",
    "warning",
    "server",
    "Data came after the sender's own CLOSE frame",
    meaning="After a CLOSE frame its sender must not send anything (RFC 6455, 5.5.1). What comes after it is"
    " lost.",
    js="The data is not delivered.",
    topic="close-handshake",
    rows="F11",
)
def after_close(facts: ConnectionFacts) -> Iterator[Found]:
    text = text_after_close(facts)
    if text is not None:
        first, side, frame = text
        # Both have closed by then, and nobody reads on: Flask-Sock's view returns, and Werkzeug answers it.
        is_harmless = facts.js_was_clean and side == S2C and first.startswith("HTTP/1.")
        yield Found(
            severity="note" if is_harmless else None,
            title=f"Text came after the {'client' if side == C2S else 'server'}'s own CLOSE frame",
            evidence=(f"{side.arrow} after CLOSE: '{first}'", end_line(facts), js_sees(facts)),
            frame=frame,
            fault_of="client" if side == C2S else "server",
            js=js_sees(facts),
            software=named(answer_marks(facts)),
        )
    for found in broken(facts, DATA_AFTER_CLOSE):
        # The connection was closed as it should be: what came later did not end it.
        yield replace(found, severity="note") if facts.js_was_clean else found


@rules(
    "WS-FR-009",
    "error",
    "server",
    "Frame boundaries are lost: a length is impossible",
    meaning="A frame claims an impossible length, so what follows cannot be read as frames. What was sent is"
    " not WebSocket, or bytes are missing or repeated on the way.",
    js=JS,
    topic="garbage",
    rows="F3 H28",
)
def lost_boundaries(facts: ConnectionFacts) -> Iterator[Found]:
    if _has_text(facts):
        return
    for one in facts.opaque:
        if one.reason in (LENGTH_TOP_BIT, LENGTH_TOO_LARGE):
            yield Found(
                evidence=(
                    f"{one.direction.arrow} after frame {one.after_frame or 'none'}:"
                    f" {one.data[:16].hex(' ')}",
                    f"{one.reason}: {VIOLATIONS[one.reason].sentence}",
                    end_line(facts) if facts.is_over else "",
                ),
                fault_of="client" if one.direction == C2S else "server",
                js=js_sees(facts),
            )
            return


@rules(
    "WS-FR-010",
    "warning",
    "network",
    "The connection ended inside a frame",
    meaning="TCP ended before a frame was complete. The sender was killed in the middle, or a hop cut the"
    " connection.",
    js="close with code 1006, wasClean false.",
    topic="abrupt",
    rows="F11",
)
def cut_frame(facts: ConnectionFacts) -> Iterator[Found]:
    if _has_text(facts):
        return
    for one in facts.opaque:
        if any(not frame.id for frame, _ in leading(facts)):
            return
        if one.reason == "unfinished-frame" and facts.state == "closed" and facts.ended_by != "proxy":
            line = (
                f"{one.length} bytes of an unfinished frame {one.direction.arrow}: {one.data[:16].hex(' ')}"
            )
            yield Found(evidence=(line, end_line(facts)), js=js_sees(facts))
            return


#: Chrome's words for a frame that it refuses (net/websockets, and "Invalid frame header").
_ABOUT_FRAMES: Final = re.compile(
    r"frame|opcode|reserved bit|mask|utf-8|inflat|decompress|new message|fragment", re.IGNORECASE
)


@rules(
    "WS-FR-011",
    "error",
    "server",
    "The browser ended the connection because of what the server sent",
    meaning="The browser's own words name what it did not take; the file does not contain the bytes. A proxy"
    " between the two records the frame itself, and shows whether a hop changed it.",
    js=JS,
    topic="frame-bug",
    rows="F1 F2 F3 F4 F5",
)
def reported_frame(facts: ConnectionFacts) -> Iterator[Found]:
    """What a browser's HAR has as an error of an open connection."""
    if not facts.was_open:
        return
    for kind, detail in facts.events:
        error = str(detail.get("error") or "")
        if kind != "reported_error" or not error or facts.ended_by == "proxy":
            continue
        if "handshake" in error:
            continue  # the browser did not take the 101, whose headers are there to be judged (WS-HS-024 ...)
        quoted = f"the file's error: {error[:200]!r}"
        if _ABOUT_FRAMES.search(error):
            yield Found(
                evidence=(quoted,),
                confidence="medium",
                title=f"The browser ended the connection: {error[:80]}",
            )
        else:
            yield Found(
                evidence=(quoted,),
                severity="warning",
                fault_of="network",
                confidence="low",
                title=f"The client reported an error on the open connection: {error[:80]}",
                meaning="The error is the client's own; the file contains nothing else about it. A proxy"
                " between client and server records which side did what.",
                topic="abrupt",
            )
        return
