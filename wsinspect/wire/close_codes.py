"""Close codes and the body of a CLOSE frame (RFC 6455 sections 5.5.1 and 7.4, IANA's registry).

Every integer is legal input. `parse_close` never raises: what it cannot read it leaves out, and the reader
says so as a violation of the frame.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """The registered codes; others stay plain `int`."""

    #: "a normal closure, meaning that the purpose for which the connection was established has been
    #: fulfilled"
    NORMAL_CLOSURE = 1000
    #: "an endpoint is 'going away', such as a server going down or a browser having navigated away from a
    #: page"
    GOING_AWAY = 1001
    #: "an endpoint is terminating the connection due to a protocol error"
    PROTOCOL_ERROR = 1002
    #: "it has received a type of data it cannot accept"
    UNSUPPORTED_DATA = 1003
    #: "Reserved. The specific meaning might be defined in the future." Never on the wire.
    RESERVED_1004 = 1004
    #: "no status code was actually present". For the application alone; never on the wire.
    NO_STATUS_RECEIVED = 1005
    #: "the connection was closed abnormally, e.g., without sending or receiving a Close control frame". Never
    #: on the wire.
    ABNORMAL_CLOSURE = 1006
    #: "it has received data within a message that was not consistent with the type of the message"
    INVALID_FRAME_PAYLOAD_DATA = 1007
    #: "it has received a message that violates its policy"
    POLICY_VIOLATION = 1008
    #: "it has received a message that is too big for it to process"
    MESSAGE_TOO_BIG = 1009
    #: "an endpoint (client) ... expected the server to negotiate one or more extension, but the server didn't
    #: return them"
    MANDATORY_EXTENSION = 1010
    #: "it encountered an unexpected condition that prevented it from fulfilling the request"
    INTERNAL_ERROR = 1011
    #: IANA: the service is restarting; clients reconnect after a random delay of 5 to 30 s.
    SERVICE_RESTART = 1012
    #: IANA: the service is overloaded; clients try another address, or later when asked to by the user.
    TRY_AGAIN_LATER = 1013
    #: IANA: a gateway or proxy got an invalid response from the server behind it, as HTTP's 502.
    BAD_GATEWAY = 1014
    #: "a failure to perform a TLS handshake". For the application alone; never on the wire.
    TLS_HANDSHAKE = 1015


#: Codes by which a server refuses what it had accepted: policy, and what stands for 401 and 403 (IANA's
#: registry; applications put 4000 before a status).
REFUSING: Final = frozenset((1008, 3000, 3003, 4001, 4003, 4401, 4403))


#: RFC 6455 section 7.4.1: "MUST NOT be set as a status code in a Close control frame by an endpoint"; 1004
#: has no meaning.
NEVER_ON_WIRE: Final = frozenset({1004, 1005, 1006, 1015})

_NAMES: Final = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1004: "reserved",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}

_FIRST_UNASSIGNED: Final = 1016
_FIRST_LIBRARY: Final = 3000
_FIRST_PRIVATE: Final = 4000
_BEYOND: Final = 5000


def is_legal_on_wire(code: int) -> bool:
    """Whether an endpoint may send `code`: registered and not local-only, or 3000 to 4999 (section 7.4.2)."""
    if _FIRST_LIBRARY <= code < _BEYOND:
        return True
    return CloseCode.NORMAL_CLOSURE <= code < _FIRST_UNASSIGNED and code not in NEVER_ON_WIRE


def is_reserved_locally(code: int | None) -> bool:
    """Whether a code stands for what was not on the wire (RFC 6455 section 7.4.1).

    Chromium gives a page any other code as it came, also a forbidden one; these three become 1006.
    """
    return code in (CloseCode.NO_STATUS_RECEIVED, CloseCode.ABNORMAL_CLOSURE, CloseCode.TLS_HANDSHAKE)


def close_name(code: int) -> str:
    """What to call `code` on a screen, for every integer."""
    if name := _NAMES.get(code):
        return name
    if _FIRST_LIBRARY <= code < _FIRST_PRIVATE:
        return "registered by a library"
    if _FIRST_PRIVATE <= code < _BEYOND:
        return "private to the application"
    return "unassigned" if _FIRST_UNASSIGNED <= code < _FIRST_LIBRARY else "out of range"


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """Code and reason of a CLOSE frame's payload.

    Returns:
        The code, None where the body holds fewer than two bytes; and the reason, invalid UTF-8 replaced by
        U+FFFD.
    """
    if len(payload) < 2:
        return None, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
