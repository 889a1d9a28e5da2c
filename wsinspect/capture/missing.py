"""What a capture lacks, for whoever reads it: what could not be stored (a full disk, a recorder too far
behind), and what was deleted to keep within `--max-capture-size`.

A payload that was deleted is NULL in its row, and the table `evicted` counts it: it is not to be taken for
empty. Bytes that could not be stored leave a gap in their direction: no frames are known from there on, and
neither silence nor a missing PONG or CLOSE proves anything (`Lacks.gaps`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import Capture, json_object
from wsinspect.capture.records import Connection, Query
from wsinspect.units import format_size
from wsinspect.vocabulary import NOT_IN_TRACE, NOT_READ, EventKind
from wsinspect.vocabulary.events import Unstored
from wsinspect.wire.opcodes import Direction

_SUMS = "SELECT coalesce(sum(payloads), 0), coalesce(sum(bytes), 0), coalesce(sum(frames), 0) FROM evicted"
_DROPPED = (
    "SELECT coalesce(sum(CAST(json_extract(detail, '$.connections') AS INTEGER)), 0) FROM event "
    "WHERE kind = 'evicted' AND json_valid(detail)"
)
_UNSTORED = (
    "SELECT detail FROM event WHERE connection_id IS NULL AND kind = 'unstored' ORDER BY id LIMIT 10000"
)
_GAPS = (
    f"SELECT detail FROM event WHERE connection_id = ? AND kind = '{EventKind.GAP}' ORDER BY id LIMIT 1000"  # noqa: S608
)
_NAMELESS = (
    "SELECT event.id FROM event JOIN connection ON connection.id = event.connection_id "  # noqa: S608
    f"WHERE event.id > ? AND event.id <= ? AND event.kind = '{EventKind.GAP}' AND connection.tap IS NULL "
    "ORDER BY event.id LIMIT 1"
)
_OPAQUE_GAPS = "SELECT DISTINCT is_s2c FROM opaque WHERE connection_id = ? AND reason = 'gap'"
_DIRECTIONS = {one.short: one for one in Direction}
NOT_STORED: Final = "could not be stored"
#: Of the kinds of an entry of `Connection.gaps`; what has none could not be stored.
_HOW: Final = {"trace": NOT_IN_TRACE, "unread": "not read"}


class Gap(NamedTuple):
    """Bytes of one direction that could not be stored; `bytes` is None where nobody counted them."""

    direction: Direction
    bytes: int | None


class Lacks(NamedTuple):
    """What one connection lacks.

    Attributes:
        gaps: directions with bytes that could not be stored; from there on their frames are not known.
        records: whether a header block, a body or an event of it could not be stored.
        payloads, bytes: payloads that were deleted to make room, and how many bytes these had.
        frames: of its first frames, how many were deleted whole.
        how: what became of the gaps and records: `NOT_STORED`, or of a trace `NOT_IN_TRACE` or "not read".
    """

    gaps: tuple[Gap, ...] = ()
    records: bool = False
    payloads: int = 0
    bytes: int = 0
    frames: int = 0
    how: str = NOT_STORED

    @property
    def words(self) -> str:
        """One line, as `412 bytes from the client could not be stored`; empty where nothing is missing."""
        parts = []
        for gap in self.gaps:
            side = "server" if gap.direction else "client"
            size = format_size(gap.bytes) if gap.bytes is not None else "bytes"
            parts.append(f"{size} from the {side} {self.how}")
        if self.records:
            parts.append(f"headers or events {self.how}")
        deleted = payload_words(self.payloads, self.bytes)
        if self.frames:
            deleted.append(f"the first {_count(self.frames, 'frame')}")
        if deleted:
            parts.append(f"{' and '.join(deleted)} deleted to make room (size limit)")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """For `--json`: `{"c2s": {"bytes"} | null, "s2c", "records", "how", "payloads", "bytes", "frames"}`;
        `how` is null where there is neither a gap nor a record."""
        found: dict[str, Any] = {one.short: None for one in Direction}
        found.update({gap.direction.short: {"bytes": gap.bytes} for gap in self.gaps})
        return {
            **found,
            "records": self.records,
            "how": self.how if self.gaps or self.records else None,
            "payloads": self.payloads,
            "bytes": self.bytes,
            "frames": self.frames,
        }


class Missing(NamedTuple):
    """What a whole capture lacks.

    Attributes:
        payloads: payloads, inflated messages, opaque pieces and bodies of refusals.
        bytes: how many bytes these had.
        frames: frames whose rows are gone, too.
        connections: connections of which nothing is left.
        limit: `--max-capture-size` of the newest run, in bytes; None where it had none.
        unstored_bytes: bytes that could not be stored when they came, as far as somebody could count them.
        unstored_records: in how many chunks, header blocks and events.
        unstored_reason: why, by the system's own words.
        is_more_unstored: there are bytes that nobody could count, too.
    """

    payloads: int
    bytes: int
    frames: int
    connections: int
    limit: int | None
    unstored_bytes: int = 0
    unstored_records: int = 0
    unstored_reason: str | None = None
    is_more_unstored: bool = False

    @property
    def words(self) -> str:
        """`872 payloads (40.7 MiB) and 12 frames deleted to make room (size limit 64.0 MiB)`."""
        sentences = []
        if self.unstored_records:
            why = self.unstored_reason or ""
            how = NOT_STORED + (f" ({why})" if why else "")
            if why == NOT_IN_TRACE:
                how = why
            elif why.startswith(NOT_READ):
                how = f"not read ({why.removeprefix(NOT_READ)})"
            # Where nobody could count them (a TLS record is not read without the one before), none are said.
            is_counted = self.unstored_bytes and not self.is_more_unstored
            sentences.append(
                f"{format_size(self.unstored_bytes) if is_counted else 'part of the traffic'} {how}"
            )
        parts = payload_words(self.payloads, self.bytes)
        parts += [_count(self.frames, "whole frame")] * bool(self.frames)
        parts += [_count(self.connections, "whole connection")] * bool(self.connections)
        if parts:
            listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
            limit = f" {format_size(self.limit)}" if self.limit is not None else ""
            sentences.append(f"{listed} deleted to make room (size limit{limit})")
        return "; ".join(sentences)

    def as_json(self) -> dict[str, Any]:
        """All fields, as they stand in the output of `--json`."""
        return self._asdict()


def missing(capture: Capture) -> Missing | None:
    """What a whole capture lacks; None where it has everything."""
    ((payloads, size, frames),) = capture.query(_SUMS)
    ((connections,),) = capture.query(_DROPPED)
    events = [json_object(row[0]) or {} for row in capture.query(_UNSTORED)]
    if not (payloads or frames or connections or events):
        return None
    limit = capture.meta.get("max_capture_size")
    return Missing(
        payloads,
        size,
        frames,
        connections,
        limit if isinstance(limit, int) else None,
        sum(_number(event.get("bytes")) for event in events),
        sum(_number(event.get("records")) for event in events),
        next((str(event["reason"]) for event in events if event.get("reason")), None),
        any(event.get("bytes") is None for event in events),
    )


class GapReader:
    """The gaps of connections, read through `query`, which runs one statement and gives all of its rows.

    The `unstored` events of engines that did not say it at each connection are read once.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._by_connection: dict[int, dict[Direction, int | None]] | None = None
        self._records: set[int] = set()
        self._searched = 0

    def of(self, connection_id: int) -> tuple[tuple[Gap, ...], bool]:
        """The gaps of a connection by direction, and whether records of it could not be stored."""
        if self._by_connection is None:
            self._by_connection = self._read()
        has_lost = connection_id in self._records
        said: dict[Direction, int | None] = {}
        for (detail,) in self._query(_GAPS, (connection_id,)):
            event = json_object(detail) or {}
            direction = _DIRECTIONS.get(str(event.get("direction")))
            if direction is None:
                has_lost = True
            else:
                _add(said, direction, event.get("bytes"))
        found = self._by_connection.get(connection_id, {}) | said
        for (side,) in self._query(_OPAQUE_GAPS, (connection_id,)):
            found.setdefault(Direction(bool(side)), None)
        return tuple(Gap(side, found[side]) for side in sorted(found)), has_lost

    def lost_attempts(self) -> bool:
        """Whether of some connection not even the tap was stored; only what is new is searched each time."""
        ((newest,),) = self._query("SELECT coalesce(max(id), 0) FROM event", ())
        found = self._query(_NAMELESS, (self._searched, newest))
        # The one that was found is searched again: what is known of an attempt may be written after its gap.
        self._searched = found[0][0] - 1 if found else newest
        return bool(found)

    def _read(self) -> dict[int, dict[Direction, int | None]]:
        found: dict[int, dict[Direction, int | None]] = {}
        for (detail,) in self._query(_UNSTORED, ()):
            event = Unstored.read(json_object(detail) or {})
            for connection, side, size in event.lost_streams():
                _add(found.setdefault(connection, {}), Direction(side), size)
            self._records.update(event.lost_records())
        return found


def _add(sizes: dict[Direction, int | None], direction: Direction, size: Any) -> None:
    """Count a gap; how much a direction lacks is not known where that of one gap is not."""
    known = sizes.get(direction, 0)
    sizes[direction] = known + size if isinstance(known, int) and isinstance(size, int) else None


def lacks(one: Connection) -> Lacks | None:
    """What a connection lacks; None where it has everything."""
    if not (one.gaps or one.evicted_payloads or one.evicted_frames):
        return None
    sizes: dict[Direction, int | None] = {}
    kinds: set[str] = set()
    opaque: list[Direction] = []
    has_lost = False
    for entry in one.gaps.split(",") if one.gaps else ():
        name, size, kind = (*entry.split("=", 2), "", "")[:3]
        direction = _DIRECTIONS.get(name)
        if kind == "opaque" and direction is not None:
            opaque.append(direction)
            continue
        kinds.add(kind)
        if direction is None:
            has_lost = True
        else:
            _add(sizes, direction, int(size) if size.isdecimal() else None)
    for direction in opaque:
        sizes.setdefault(direction, None)
    how = next((words for kind, words in _HOW.items() if kind in kinds and kinds <= {*_HOW}), NOT_STORED)
    gaps = tuple(Gap(side, sizes[side]) for side in sorted(sizes))
    return Lacks(gaps, has_lost, one.evicted_payloads, one.evicted_bytes, one.evicted_frames, how)


def payload_words(payloads: int, size: int) -> list[str]:
    """`872 payloads (40.7 MiB)`, or nothing."""
    return [f"{_count(payloads, 'payload')} ({format_size(size)})"] if payloads else []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
