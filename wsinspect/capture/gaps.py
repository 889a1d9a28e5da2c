"""What could not be stored, as the engine says it: `unstored` events, and the connections they name.

The engine's `unstored` event names the directions that lost bytes (`streams`, with `stream_bytes` in the
same order) and the connections that lost a header block, a body or an event (`connections`); older engines
named the directions alone. The indexer turns it into one event `gap` at each connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

#: The kind of the event at a connection: `direction` (null: header blocks or events), `bytes`, `reason`.
GAP: Final = "gap"


def lost_streams(event: Mapping[str, Any]) -> Iterator[tuple[int, int, int | None]]:
    """Connection, direction (0 or 1) and lost bytes (None: not known) of an `unstored` event."""
    streams, sizes = event.get("streams"), event.get("stream_bytes")
    if not isinstance(streams, list):
        return
    if not isinstance(sizes, list) or len(sizes) != len(streams):
        sizes = [None] * len(streams)
    for entry, size in zip(streams, sizes, strict=True):
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(one, int) for one in entry):
            yield entry[0], entry[1] & 1, size if isinstance(size, int) else None


def lost_records(event: Mapping[str, Any]) -> Iterator[int]:
    """Connections of an `unstored` event that lost a header block, a body or an event."""
    connections = event.get("connections")
    for one in connections if isinstance(connections, list) else ():
        if isinstance(one, int) and one > 0:
            yield one
