"""A capture as JSONL, lossless but for masked secrets; `jsonl_tables` says what the lines look like."""

from __future__ import annotations

import base64
import json
from typing import IO, Any, Final

from wsinspect.capture.pages import Span, WholeTable, rows, spans
from wsinspect.capture.queries import every_meta
from wsinspect.capture.reader import Capture
from wsinspect.capture.rows import to_json
from wsinspect.errors import CaptureError
from wsinspect.formats.choice import EVERYTHING, Choice
from wsinspect.formats.jsonl_tables import (
    DIRECTIONS,
    FORMAT,
    FRAME,
    META,
    PART_BYTES,
    TABLES,
    Table,
)
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.secrets import mask_head, mask_json, mask_url
from wsinspect.vocabulary import FILTERED
from wsinspect.wire.opcodes import opcode_name

_HEADS: Final = frozenset({"request_in", "request_out", "response_in", "response_out", "informational"})
#: The columns that name a row's frame or message.
_OF_FRAME: Final = {
    "frame": "id",
    "message": "id",
    "ping": "ping_frame",
    "fault_event": "frame_id",
    "finding": "frame_id",
}
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def write_jsonl(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> int:
    """Write all rows, or those of some connections.

    Args:
        capture: what to export.
        out: where to.
        choice: which connections, and which of their frames; with a frame goes what is said of it.
        include_secrets: leave cookies, credentials and tokens in.
        progress: called with the number of frames.

    Returns:
        How many frames were written.

    Raises:
        CaptureError: the capture is damaged.
    """
    writer = _Writer(capture, out, choice, include_secrets)
    return writer.write(progress)


class _Writer:
    def __init__(self, capture: Capture, out: IO[bytes], choice: Choice, include_secrets: bool) -> None:
        self._capture = capture
        self._out = out
        self._choice = choice
        self._masks = not include_secrets

    def write(self, progress: Progress) -> int:
        header = {"type": "capture", "schema": 1, "format": FORMAT, "secrets": not self._masks}
        if self._choice.source is not None:
            header |= {"filter": self._choice.source, "left_out": self._choice.left_out}
        self._out.write(_encode(header).encode() + b"\n")
        for row in every_meta(self._capture):
            if row[1] != "lacks" or self._choice.frames is None:
                self._out.write(self._line(META, row).encode() + b"\n")
        if self._choice.frames is not None:
            # Whoever imports it must not take what the filter left out for what never was.
            lacks = {"type": META.type, "run": 1, "key": "lacks", "value": sorted(FILTERED)}
            self._out.write(_encode(lacks).encode() + b"\n")
        frames = 0
        for table in TABLES:
            line = _frame_line if table is FRAME else self._line
            stored = self._stored(table)
            for span in spans(self._capture, stored):
                if span.size > PART_BYTES:
                    frames += self._write_parts(table, stored, span) and table is FRAME
                else:
                    found = self._chosen(table, rows(self._capture, stored, table.columns, span))
                    self._out.write("".join([line(table, row) + "\n" for row in found]).encode())
                    frames += len(found) if table is FRAME else 0
                progress(frames)
        return frames

    def _stored(self, table: Table) -> WholeTable:
        of = "id" if table.type == "connection" else "connection_id"
        return WholeTable(table.name, table.row_id, table.blob, self._choice.connections, of)

    def _chosen(self, table: Table, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows whose frame was chosen."""
        column = _OF_FRAME.get(table.type)
        if column is None or self._choice.frames is None:
            return found
        place = table.columns.index(column)
        return [row for row in found if self._choice.has(table.type, row[place])]

    def _line(self, table: Table, row: tuple[Any, ...]) -> str:
        found: dict[str, Any] = {"type": table.type}
        for column, value in zip(table.columns, row, strict=True):
            if column == "is_s2c":
                found["direction"] = DIRECTIONS[bool(value)]
            elif column in table.json and isinstance(value, str):
                found[column] = self._json_value(value)
            elif isinstance(value, bytes):
                found[column] = _blob(mask_head(value) if self._masks and column in _HEADS else value)
            elif isinstance(value, str) and self._masks:
                found[column] = mask_url(value) if column == "path" else mask_json(value)
            else:
                found[column] = value
        try:
            return _encode(found)
        except ValueError:
            raise CaptureError(f"{self._capture.path} is damaged: a {table.type} holds no number") from None

    def _json_value(self, text: str) -> Any:
        """The value where it says the same as the text, else the text."""
        try:
            value = json.loads(text)
            is_same = not isinstance(value, str) and to_json(value) == text
        except (ValueError, RecursionError):
            return text
        if self._masks:
            value = mask_json(value)
            return value if is_same or not isinstance(value, str) else to_json(value)
        return value if is_same else text

    def _write_parts(self, table: Table, stored: WholeTable, span: Span) -> bool:
        """A row whose blob is large: its size, then the blob in parts; whether it was chosen."""
        assert table.blob is not None
        (row,) = found = rows(self._capture, stored, table.columns, span, with_blob=False)
        if not self._chosen(table, found):
            return False
        line = _frame_line(table, row) if table is FRAME else self._line(table, row)
        self._out.write(_encode(json.loads(line) | {table.blob: {"bytes": span.size}}).encode() + b"\n")
        offset = 0
        for data in self._capture.pieces(table.name, table.blob, row[0], PART_BYTES):
            part = {"type": "part", "of": table.type, "id": row[0], "offset": offset, "data": _blob(data)}
            self._out.write(_encode(part).encode() + b"\n")
            offset += PART_BYTES
        return True


def _frame_line(table: Table, row: tuple[Any, ...]) -> str:
    """A frame: the hot path. `bits` is left out, it is the first two bytes of the header."""
    frame_id, connection, is_s2c, bits, time_ns, span_ns, sent_ns, header, wire_length, payload, *rest = row
    message, violation, fault = rest
    return _encode(
        {
            "type": "frame",
            "id": frame_id,
            "connection_id": connection,
            "direction": DIRECTIONS[bool(is_s2c)],
            "op": opcode_name(bits >> 8 & 15) if isinstance(bits, int) else None,
            "time_ns": time_ns,
            "span_ns": span_ns,
            "sent_after_ns": sent_ns,
            "header": header.hex() if isinstance(header, bytes) else None,
            "wire_length": wire_length,
            "payload": _blob(payload) if isinstance(payload, bytes) else payload,
            "message_id": message,
            "violation": violation,
            "fault_event_id": fault,
        }
    )


def _blob(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
