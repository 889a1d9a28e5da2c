"""W3C Trace Context in a request's header fields: which trace a handshake belongs to.

Source: https://www.w3.org/TR/trace-context/ sections 3.2 and 4.3.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: Version, trace, parent and flags; a version that is not 00 may have more after another hyphen.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


class TraceParent(NamedTuple):
    """What a `traceparent` says.

    Attributes:
        trace_id: 32 hexadecimal digits, not all zero.
        parent_id: of the span that made the request, 16 digits, not all zero.
        is_sampled: whoever made the request records this trace.
    """

    trace_id: str
    parent_id: str
    is_sampled: bool


def parse_traceparent(value: str | None) -> TraceParent | None:
    """Read the header field's value; None where it is missing or not valid: then it is to be ignored."""
    match = _TRACEPARENT.fullmatch((value or "").strip())
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return TraceParent(trace_id, parent_id, bool(int(flags, 16) & 1))


def trace_id_of(value: str | None) -> str | None:
    """The trace of a `traceparent`, where it is valid."""
    found = parse_traceparent(value)
    return None if found is None else found.trace_id
