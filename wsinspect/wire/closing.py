"""How a connection ended: who, how, and what JavaScript in the client is told (RFC 6455 section 7.1).

Pure: from what one tap saw to `CloseFacts`. The earliest event decides who and how: a CLOSE frame, the end of
a transport, or the refusal of the handshake. A hop in between is named by findings, which join two taps, and
not here.

What JavaScript is told is what a browser makes of the server's direction (WHATWG WebSockets, "When the
WebSocket connection is closed"; RFC 6455 sections 7.1.4 to 7.1.7): the code of the server's CLOSE frame, 1005
where that has none, and 1006 with `wasClean` false where no valid CLOSE frame came from the server in time,
where the handshake failed, or where the server broke the protocol before. Chromium reports the server's code
with `wasClean` false where the connection is reset after its CLOSE frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from wsinspect.wire.close_codes import CloseCode
from wsinspect.wire.opcodes import Direction

Side = Literal["client", "server", "proxy"]
EndedBy = Literal["client", "server", "both", "proxy", "fault", "unknown"]
How = Literal["close-frame", "fin", "rst", "timeout", "refused"]

_HOW: Final[dict[str, How]] = {"fin": "fin", "close_notify": "fin", "rst": "rst", "timeout": "timeout"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseSeen:
    """A CLOSE frame.

    Attributes:
        direction: who sent it.
        time_ns: when its last byte arrived.
        code: None for an empty body.
        is_valid: whether a browser takes the code from it: not from a broken frame, but Chromium does from
            one whose code RFC 6455 forbids on the wire (all but `close_codes.is_reserved_locally`).
    """

    direction: Direction
    time_ns: int
    code: int | None
    is_valid: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportEnd:
    """The end of a transport as it was seen.

    Attributes:
        side: who ended it; "proxy" where we did (shutdown, timeout of ours).
        how: "fin", "rst", "close_notify" or "timeout".
    """

    side: Side
    time_ns: int
    how: str


class CloseFacts(NamedTuple):
    """How a connection ended; None for what cannot be said, while it is open above all.

    Attributes:
        ended_by: whose event was the first; "both" where CLOSE frames crossed.
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
    round_trip_ns: int = 0,
) -> CloseFacts:
    """Put together how a connection ended.

    Args:
        closes: the CLOSE frames of both directions, in the order in which they were seen.
        ends: the ends of transports, in the order in which they were seen.
        refused_by: set where the opening handshake failed: who made it fail.
        server_broke_protocol: whether a frame of the server before its first CLOSE frame has a violation, or
            its frame boundaries were lost before one came.
        by_fault: whether the ending was a fault that the user asked for.
        round_trip_ns: the shortest round trip seen between this tap and the side that sent the second CLOSE
            frame; one that came sooner after the first cannot be its answer.
    """
    if refused_by is not None:
        return CloseFacts("fault" if by_fault else refused_by, "refused", CloseCode.ABNORMAL_CLOSURE, False)
    ended_by, how = _who_and_how(closes, ends, round_trip_ns)
    if by_fault:
        ended_by = "fault"
    code, was_clean = _told(closes, ends, server_broke_protocol)
    return CloseFacts(ended_by, how, code, was_clean)


def _who_and_how(
    closes: Sequence[CloseSeen], ends: Sequence[TransportEnd], round_trip_ns: int
) -> tuple[EndedBy, How | None]:
    first_end = ends[0] if ends else None
    if closes and (first_end is None or closes[0].time_ns <= first_end.time_ns):
        first = closes[0]
        for second in closes[1:]:
            if second.direction is not first.direction:
                if second.time_ns - first.time_ns <= round_trip_ns:
                    return "both", "close-frame"
                break
        return _side(first.direction), "close-frame"
    if first_end is None:
        return "unknown", None
    return first_end.side, _HOW.get(first_end.how)


def _side(direction: Direction) -> Literal["client", "server"]:
    return "client" if direction is Direction.CLIENT_TO_SERVER else "server"


def _told(
    closes: Sequence[CloseSeen], ends: Sequence[TransportEnd], server_broke_protocol: bool
) -> tuple[int | None, bool | None]:
    close = next((seen for seen in closes if seen.direction is Direction.SERVER_TO_CLIENT), None)
    limit = [end.time_ns for end in ends if end.side != "server"][:1]
    if close is not None:
        in_time = not limit or close.time_ns <= limit[0]
        if close.is_valid and in_time and not server_broke_protocol:
            reset = any(end.side == "server" and end.how == "rst" for end in ends[:1])
            code = CloseCode.NO_STATUS_RECEIVED if close.code is None else close.code
            return int(code), not reset
    if close is None and not ends and not server_broke_protocol:
        return None, None
    return int(CloseCode.ABNORMAL_CLOSURE), False
