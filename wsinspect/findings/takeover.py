"""Whether a compressed message refers to what came before it: proof of who lost a compression context. Pure.

A sender that starts with an empty window breaks nothing: such a message inflates with any window before it.
One that refers back inflates only for a receiver that kept its own (RFC 7692, 7.1.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from wsinspect.findings.facts import ConnectionFacts, FrameFact, MessageFact
from wsinspect.wire.opcodes import Direction

_TAIL: Final = b"\x00\x00\xff\xff"
_WINDOW: Final = 32 * 1024
#: Payloads are the beginnings of frames, of at most 1 KiB; more than this does not come out of one.
_MOST: Final = 2 * 1024 * 1024


def inflates(data: bytes, window: bytes = b"") -> bool:
    """Whether a message's payload inflates after `window`."""
    inflater = zlib.decompressobj(-15, zdict=window[-_WINDOW:]) if window else zlib.decompressobj(-15)
    try:
        inflater.decompress(data + _TAIL, _MOST)
    except zlib.error:
        return False
    return True


def whole_frame(facts: ConnectionFacts, number: int) -> FrameFact | None:
    """The frame of this id where it is a compressed message of its own and all of its payload is known."""
    frames = (*facts.last_frames, *(frame for frame, _ in facts.violations))
    known = (one for one in frames if one.id == number and len(one.payload) == one.length)
    found = next(known, None)
    is_alone = found is not None and found.header[0] & 0xC0 == 0xC0 and found.opcode in (1, 2)
    return found if is_alone else None


def before(facts: ConnectionFacts, frame: FrameFact) -> list[MessageFact] | None:
    """The compressed messages before a frame in its direction; None where not all of them are known whole."""
    known = max((one.id for one in facts.first), default=0)
    if facts.evicted_frames or facts.has_gap or frame.id > known:
        return None
    found = _mine(facts.first, frame.direction, frame.id)
    is_whole = all(one.problem is None and one.length == len(one.data) for one in found)
    return found if is_whole else None


def _mine(messages: Sequence[MessageFact], direction: Direction, until: int) -> list[MessageFact]:
    return [one for one in messages if one.direction == direction and one.id < until and one.compressed]


def said(messages: Sequence[MessageFact]) -> bytes:
    """What a receiver that keeps its window has in it after these."""
    return b"".join(one.data for one in messages)[-_WINDOW:]
