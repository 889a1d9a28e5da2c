"""Whether a server kept to its 101: many check Origin or credentials only after it, and some die of it."""

from __future__ import annotations

from typing import Final

from wsinspect.wire.close_codes import REFUSING

_SECOND_NS: Final = 1_000_000_000
#: How long after the 101 a server may still look at its request; it may wait for the client's first message.
#: What it says later is about what happened since.
_SOON_NS: Final = 10 * _SECOND_NS
#: Within this time, and before it said anything, an end is about the handshake.
_AT_ONCE_NS: Final = 3 * _SECOND_NS


def is_refusal(code: int | None, age_ns: int | None) -> bool:
    """Whether a server's close code, this long after the 101, stands for a refusal of the handshake."""
    return code in REFUSING and age_ns is not None and age_ns <= _SOON_NS


def is_taken_back(
    *, ended_by: str | None, code: int | None, age_ns: int | None, server_frames: int | None
) -> bool:
    """Whether a 101 does not show that the server accepted what the request says.

    Args:
        ended_by: the side that began to end it; None while it is open, `unknown` in files that do not say.
        code: the server's close code.
        age_ns: from the 101 to the first sign of the end; None where it is open or nobody knows.
        server_frames: how many the server had sent before a CLOSE frame; None where nobody knows.
    """
    if ended_by not in ("server", "both", "unknown") or age_ns is None:
        return False
    if is_refusal(code, age_ns):
        return True
    return ended_by == "server" and server_frames == 0 and age_ns <= _AT_ONCE_NS
