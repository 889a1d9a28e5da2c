"""How a connection ended: who, how, and what JavaScript in the client sees (RFC 6455 section 7.1).

Pure: from what one tap saw to `CloseFacts`. The earliest event decides who and how: a CLOSE frame, the end of
a transport, or the refusal of the handshake. A hop in between is named by findings, which join two taps, and
not here.

What JavaScript sees is what a browser makes of the server's direction (WHATWG WebSockets, "When the
WebSocket connection is closed"; RFC 6455 sections 7.1.4 to 7.1.7): the code of the server's CLOSE frame, 1005
where that has none, and 1006 with `wasClean` false where no valid CLOSE frame came from the server in time,
where the handshake failed, or where the server broke the protocol before. Chromium reports the server's code
with `wasClean` false where the connection is reset after its CLOSE frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsinspect.vocabulary import End, EndedBy, How, Side
from wsinspect.wire.close_codes import CloseCode
from wsinspect.wire.opcodes import Direction

_HOW: Final[dict[str, How]] = {
    End.FIN: How.FIN,
    End.CLOSE_NOTIFY: How.FIN,
    End.RST: How.RST,
    End.TIMEOUT: How.TIMEOUT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseSeen:
    """A CLOSE frame.

    Attributes:
        direction: who sent it.
        time_ns: when its last byte arrived.
        code: None for an empty body.
        passed_ns: when its last byte was written to the other side; None where that was at once.
        is_valid: whether a browser takes the code from it: not from a broken frame, but Chromium does from
            one whose code RFC 6455 forbids on the wire (all but `close_codes.is_reserved_locally`).
    """

    direction: Direction
    time_ns: int
    code: int | None
    passed_ns: int | None = None
    is_valid: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportEnd:
    """The end of a transport as it was seen.

    Attributes:
        side: who ended it; `PROXY` where we did (shutdown, timeout of ours).
        how: one of `vocabulary.End`; what else a foreign journal says tells nothing.
        listens: its side still took what came: END_STREAM ends one direction alone (RFC 9113 section 5.1),
            and Chromium sends it with its CLOSE frame.
    """

    side: Side
    time_ns: int
    how: str
    listens: bool = False


class CloseFacts(NamedTuple):
    """How a connection ended; None for what cannot be said, while it is open above all.

    Attributes:
        ended_by: whose event was the first.
        how: what that event was.
        js_code: `CloseEvent.code` in a browser.
        js_was_clean: `CloseEvent.wasClean` in a browser.
    """

    ended_by: EndedBy
    how: How | None
    js_code: int | None
    js_was_clean: bool | None


def close_facts(
    closes: Sequence[CloseSeen],
    ends: Sequence[TransportEnd],
    *,
    refused_by: Side | None = None,
    server_broke_protocol: bool = False,
    by_fault: bool = False,
) -> CloseFacts:
    """Put together how a connection ended.

    Args:
        closes: the CLOSE frames of both directions, in the order in which they were seen.
        ends: the ends of transports, in the order in which they were seen.
        refused_by: set where the opening handshake failed: who made it fail.
        server_broke_protocol: whether a frame of the server before its first CLOSE frame has a violation, or
            its frame boundaries were lost before one came.
        by_fault: whether the ending was a fault that the user asked for.
    """
    if refused_by is not None:
        refuser_or_fault = EndedBy.FAULT if by_fault else EndedBy(refused_by)
        return CloseFacts(refuser_or_fault, How.REFUSED, CloseCode.ABNORMAL_CLOSURE, False)
    ended_by, how = _who_and_how(closes, ends)
    if by_fault:
        ended_by = EndedBy.FAULT
    code, was_clean = _js(closes, ends, server_broke_protocol)
    return CloseFacts(ended_by, how, code, was_clean)


def refuser(
    failed_where: str | None, ends: Sequence[TransportEnd], failed_ns: int | None, *, distrusts_server: bool
) -> Side:
    """Who made an opening handshake fail that got no 101.

    Args:
        failed_where: the part of the way at which it failed, as the engine says; None for a refusal.
        ends: the ends of transports, in the order in which they were seen.
        failed_ns: when it failed without an answer; None where there was one.
        distrusts_server: whether we refused the server's certificate.
    """
    if failed_where == "stop" or (failed_where == "tls-server" and distrusts_server):
        return Side.PROXY
    if failed_where in ("client", "request"):
        return Side.CLIENT
    # The client left before anybody had answered; what the server did then only followed.
    if failed_ns is not None and ends and ends[0].side == Side.CLIENT and ends[0].time_ns <= failed_ns:
        return Side.CLIENT
    return Side.SERVER


def _who_and_how(closes: Sequence[CloseSeen], ends: Sequence[TransportEnd]) -> tuple[EndedBy, How | None]:
    first_end = ends[0] if ends else None
    if closes and (first_end is None or closes[0].time_ns <= first_end.time_ns):
        first = closes[0]
        second = next((one for one in closes[1:] if one.direction is not first.direction), None)
        if second is not None and _have_crossed(first, second):
            return EndedBy.BOTH, How.CLOSE_FRAME
        return _sender(first.direction), How.CLOSE_FRAME
    if first_end is None:
        return EndedBy.UNKNOWN, None
    return EndedBy(first_end.side), _HOW.get(first_end.how)


def _have_crossed(first: CloseSeen, second: CloseSeen) -> bool:
    """Whether the sender of the second CLOSE frame had not received the first one: certain where the second
    came before the first was passed on. A code of its own proves nothing, for an answer may have one."""
    return second.time_ns <= (first.time_ns if first.passed_ns is None else first.passed_ns)


def _sender(direction: Direction) -> EndedBy:
    return EndedBy.CLIENT if direction is Direction.CLIENT_TO_SERVER else EndedBy.SERVER


def _js(
    closes: Sequence[CloseSeen], ends: Sequence[TransportEnd], server_broke_protocol: bool
) -> tuple[int | None, bool | None]:
    close = next((seen for seen in closes if seen.direction is Direction.SERVER_TO_CLIENT), None)
    limit = [end.time_ns for end in ends if end.side != Side.SERVER and not end.listens][:1]
    if close is not None:
        in_time = not limit or close.time_ns <= limit[0]
        if close.is_valid and in_time and not server_broke_protocol:
            reset = any(end.side == Side.SERVER and end.how == End.RST for end in ends[:1])
            code = CloseCode.NO_STATUS_RECEIVED if close.code is None else close.code
            return int(code), not reset
    if close is None and not ends and not server_broke_protocol:
        return None, None
    return int(CloseCode.ABNORMAL_CLOSURE), False
