"""What a capture had to give up to keep within `--max-capture-size`, for whoever reads it.

A payload that is gone is NULL in its row, and the table `evicted` counts it: it is not to be taken for empty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.text import byte_count

_SUMS = "SELECT coalesce(sum(payloads), 0), coalesce(sum(bytes), 0), coalesce(sum(frames), 0) FROM evicted"
_DROPPED = (
    "SELECT coalesce(sum(CAST(json_extract(detail, '$.connections') AS INTEGER)), 0) FROM event "
    "WHERE kind = 'evicted' AND json_valid(detail)"
)


class Missing(NamedTuple):
    """What is gone.

    Attributes:
        payloads: payloads, inflated messages, opaque pieces and bodies of refusals.
        bytes: how many bytes these had.
        frames: frames whose rows are gone, too.
        connections: connections of which nothing is left.
        limit: `--max-capture-size` of the newest run, in bytes; None where it had none.
    """

    payloads: int
    bytes: int
    frames: int
    connections: int
    limit: int | None

    @property
    def words(self) -> str:
        """`872 payloads (40.7 MiB) and 12 frames gave way to newer data (--max-capture-size, 64.0 MiB)`."""
        parts = payload_words(self.payloads, self.bytes)
        parts += [f"{self.frames} whole frames"] * bool(self.frames)
        parts += [f"{self.connections} whole connections"] * bool(self.connections)
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        limit = f", {byte_count(self.limit)}" if self.limit is not None else ""
        return f"{listed} gave way to newer data (--max-capture-size{limit})"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return self._asdict()


def missing(capture: Capture) -> Missing | None:
    """What a whole capture lacks; None where nothing had to go."""
    ((payloads, size, frames),) = capture.query(_SUMS)
    ((connections,),) = capture.query(_DROPPED)
    if not (payloads or frames or connections):
        return None
    limit = capture.meta.get("max_capture_size")
    return Missing(payloads, size, frames, connections, limit if isinstance(limit, int) else None)


def evicted_words(one: Connection) -> str:
    """What a connection lacks; empty where that is nothing."""
    parts = payload_words(one.evicted_payloads, one.evicted_bytes)
    parts += [f"{one.evicted_frames} of its first frames with all that they said"] * bool(one.evicted_frames)
    return ", ".join(parts)


def payload_words(payloads: int, size: int) -> list[str]:
    """`872 payloads (40.7 MiB)`, or nothing."""
    return [f"{payloads} payloads ({byte_count(size)})"] if payloads else []
