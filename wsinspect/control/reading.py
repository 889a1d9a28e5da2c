"""What the control API reads from the capture: in a thread, in short transactions, committed rows only."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from wsinspect.capture import queries
from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.journal.format import journal_directory, segment_numbers, segment_path

if TYPE_CHECKING:
    from wsinspect.findings.patience import Patience

T = TypeVar("T")
#: How much of each payload an answer contains.
PAYLOAD_LIMIT: Final = 4096


async def _read(path: Path, look: Callable[[Capture], T]) -> T:
    def work() -> T:
        with Capture.open(path) as capture:
            return look(capture)

    return await asyncio.to_thread(work)


async def connections(path: Path, after: int, limit: int) -> list[dict[str, Any]]:
    """Connections with larger ids, as rows with their columns' names."""

    def look(capture: Capture) -> list[dict[str, Any]]:
        return [_plain(one._asdict()) for one in capture.connections(after=after, limit=limit)]

    return await _read(path, look)


async def frames(path: Path, connection: int, after: int, limit: int) -> list[dict[str, Any]] | None:
    """Frames of a connection with larger ids; None without such a connection."""

    def look(capture: Capture) -> list[dict[str, Any]] | None:
        if capture.connection(connection) is None:
            return None
        rows = capture.frames(connection, after=after, limit=limit, payload_limit=PAYLOAD_LIMIT)
        return [
            {
                "id": frame.id,
                "direction": frame.direction.short,
                "time_ns": frame.time_ns,
                "sent_ns": frame.sent_ns,
                "fin": frame.fin,
                "opcode": frame.opcode,
                "masked": frame.masked,
                "length": frame.length,
                "payload_base64": base64.b64encode(frame.payload).decode(),
                "message_id": frame.message_id,
                "violation": frame.violation,
                "fault_event_id": frame.fault_event_id,
            }
            for frame in rows
        ]

    return await _read(path, look)


async def patience(path: Path, numbers: Mapping[int, bool]) -> dict[int, tuple[Patience, ...]]:
    """What both sides of some connections are known to wait for; nothing where the capture cannot be read.

    Args:
        numbers: connections, and whether the opening handshake of each is over.
    """

    def look(capture: Capture) -> dict[int, tuple[Patience, ...]]:
        from wsinspect.diagnosis.waiting import (
            patience_in,
        )  # decoders and tables that an engine needs for this alone

        return {one: patience_in(capture, one, is_open=is_open) for one, is_open in numbers.items()}

    try:
        return await _read(path, look) if numbers else {}
    except WsinspectError:
        return {}


async def totals(path: Path) -> dict[str, Any]:
    """Sums for the metrics."""

    def look(capture: Capture) -> dict[str, Any]:
        segment, offset = queries.recorder_position(capture)
        return {
            "connections": queries.totals_by_state(capture),
            "findings": queries.findings_by_severity(capture),
            "lag_bytes": _lag(path, segment, offset),
        }

    return await _read(path, look)


async def events(
    path: Path, after: tuple[int, int], limit: int
) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    """Events and faults behind two ids, in order of time, and the ids to continue from."""

    def look(capture: Capture) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        plain = capture.events(after=after[0], limit=limit)
        acted = queries.faults(capture, after[1], limit)
        found = [
            {
                "event": one.kind,
                "id": one.id,
                "time_ns": one.time_ns,
                "connection": one.connection_id,
                **one.detail,
            }
            for one in plain
        ]
        names = ("id", "time_ns", "connection", "frame", "rule", "kind", "seed")
        found += [{"event": "fault", **dict(zip(names, row, strict=False))} for row in acted]
        found.sort(key=lambda one: one["time_ns"])
        newest = (plain[-1].id if plain else after[0], acted[-1][0] if acted else after[1])
        return found, newest

    return await _read(path, look)


def _lag(path: Path, segment: int, offset: int) -> int:
    """Bytes of the journal that are not in the capture yet."""
    directory = journal_directory(path)
    size = 0
    for number in segment_numbers(directory):
        if number >= segment:
            try:
                size += segment_path(directory, number).stat().st_size
            except FileNotFoundError:
                continue  # indexed and deleted meanwhile
    return max(0, size - offset)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for key, value in row.items()
    }
