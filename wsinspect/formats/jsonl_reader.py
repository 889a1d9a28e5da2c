"""A JSONL export back into a capture, row by row; `jsonl_tables` says what the lines look like.

A hostile file gets one line: a line that is too long or no JSON object, a value that its column does not
take, a blob that claims more bytes than the file has. What a person writes may leave out what follows from
the rest: ids, header, `wire_length`, and times that nobody knows.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from wsinspect.capture.making import RowLoader, RowsRefusedError, writing
from wsinspect.capture.rows import to_json
from wsinspect.errors import CaptureError
from wsinspect.formats.jsonl_tables import (
    DIRECTIONS,
    FORMAT,
    FRAME,
    MAX_LINE_BYTES,
    META,
    TABLES,
    Table,
)
from wsinspect.formats.progress import Progress, nobody
from wsinspect.units import format_size
from wsinspect.wire.frame import serialize_frame

_BATCH_ROWS: Final = 4000
_BATCH_BYTES: Final = 4 * 1024 * 1024
_LARGEST_INTEGER: Final = (1 << 63) - 1
_NO_KEY: Final = b"\0\0\0\0"
_OPCODES: Final = {"CONT": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10}
#: Of a connection, and what its frames say where a person left them out.
_TALLIES: Final = frozenset({"c2s_frames", "s2c_frames", "c2s_bytes", "s2c_bytes"})
_COUNTS: Final = _TALLIES | {"span_ns", "sent_after_ns"}
#: Declared with another type, but text.
_TEXTS: Final = frozenset({"client_close_reason", "server_close_reason"})
_SIDES: Final = {direction: side for side, direction in enumerate(DIRECTIONS)}
_decode: Final = json.JSONDecoder().raw_decode


def read_jsonl(source: IO[bytes], size: int, path: Path, name: str, progress: Progress = nobody) -> int:
    """Fill a new, empty capture.

    Args:
        source: the lines.
        size: bytes of the file; no blob may claim more.
        path: the capture.
        name: what to call the source in an error.
        progress: called with the number of bytes read.

    Returns:
        How many frames there were.

    Raises:
        CaptureError: with the number of the line that is wrong.
    """
    with writing(path) as database:
        reader = _Reader(RowLoader(database), size, name)
        for number, line in _lines(source, name):
            reader.add(number, line)
            if not number % _BATCH_ROWS:
                progress(source.tell())
        reader.finish()
        return reader.frames


def _lines(source: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise CaptureError(f"{name}: line {number} is longer than {format_size(MAX_LINE_BYTES)}")
        if not line.isspace():
            yield number, line


class _Reader:
    def __init__(self, loader: RowLoader, size: int, name: str) -> None:
        self.frames = 0
        self._loader = loader
        self._room = size
        self._name = name
        self._number = 0
        self._batch: list[tuple[Any, ...]] = []
        self._batch_bytes = 0
        self._table: Table | None = None
        self._tables = {table.type: table for table in (META, *TABLES)}
        self._takes = {table.type: _checks(loader, table) for table in (META, *TABLES)}
        self._has_begun = False
        self._last_id = dict.fromkeys(self._tables, 0)
        self._uncounted: set[int] = set()

    def add(self, number: int, line: bytes) -> None:
        self._number = number
        found = self._parse(line)
        kind = found.get("type")
        if not self._has_begun:
            self._begin(found)
            return
        if kind == "part":
            self._add_part(found)
            return
        table = self._tables.get(kind) if isinstance(kind, str) else None
        if table is None:
            raise self._error(f"unknown type {str(kind)[:40]!r}")
        if table is not self._table or len(self._batch) >= _BATCH_ROWS or self._batch_bytes > _BATCH_BYTES:
            self._flush()
            self._table = table
        row = None
        if table is FRAME:
            self.frames += 1
            row = _plain_frame(found)
            if row is None:
                self._complete_frame(found)
            else:
                self._last_id["frame"] = row[0]
        if row is None:
            row = self._row(table, found)
            if table.type == "connection" and found.keys().isdisjoint(_TALLIES):
                self._uncounted.add(row[0])
            if any(type(value) is _Zeros for value in row):
                self._flush()
                # Its blob follows in parts.
                sized = [
                    name for name, value in zip(table.columns, row, strict=True) if type(value) is _Zeros
                ]
                self._insert(table, [row], sized)
                return
        self._batch.append(row)
        self._batch_bytes += len(line)

    def finish(self) -> None:
        if not self._has_begun:
            raise CaptureError(f"{self._name} is empty")
        self._flush()
        if self._uncounted:
            self._loader.count(self._uncounted)
        self._loader.finish()

    def _begin(self, found: dict[str, Any]) -> None:
        if found.get("type") != "capture" or not isinstance(found.get("format"), int):
            raise CaptureError(
                f"{self._name} is not a JSONL export of wsinspect: its first line does not say so"
            )
        if found["format"] > FORMAT:
            raise CaptureError(
                f"{self._name} has export format {found['format']}, this wsinspect reads {FORMAT}",
                hint="update wsinspect",
            )
        self._has_begun = True

    def _parse(self, line: bytes) -> dict[str, Any]:
        if line[:2] == b'{"' and line[-2:] == b"}\n":
            # As we write it: what `json.loads` does, without guessing the encoding.
            try:
                text = line.decode("utf-8", "surrogatepass")
                one: dict[str, Any]
                one, end = _decode(text)
                if end == len(text) - 1:
                    return one
            except (ValueError, RecursionError):
                pass  # said below
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not self._has_begun:
                raise CaptureError(f"{self._name} is not a JSONL export of wsinspect") from None
            raise self._error(f"not JSON: {_reason(error)}") from None
        if not isinstance(found, dict):
            raise self._error("not a JSON object")
        return found

    def _complete_frame(self, found: dict[str, Any]) -> None:
        """Make what a hand-written frame leaves out."""
        header = found.get("header")
        if isinstance(header, str):
            try:
                found["header"] = bytes.fromhex(header)
            except ValueError:
                raise self._error("header is not hex") from None
        elif header is None:
            self._make_header(found)
        else:
            raise self._error("header is not hex")
        header = found["header"]
        if not 2 <= len(header) <= 14:
            raise self._error("a frame header has 2 to 14 bytes")
        found["bits"] = header[0] << 8 | header[1]

    def _make_header(self, found: dict[str, Any]) -> None:
        op = found.get("op", "TEXT")
        opcode = _OPCODES.get(op) if isinstance(op, str) else None
        if opcode is None:
            raise self._error(f"op {str(op)[:20]!r} is not one of {', '.join(_OPCODES)}")
        payload = self._blob(found.get("payload", {"text": ""}))
        if not isinstance(payload, bytes):
            raise self._error("a frame without header has its whole payload in one line")
        fin = found.get("fin", True) is not False
        key = None if found.get("direction") == "s2c" else _NO_KEY
        wire = serialize_frame(opcode, payload, fin=fin, key=key)
        found["header"] = wire[: len(wire) - len(payload)]
        found.setdefault("wire_length", len(wire))
        found.setdefault("payload", {"text": ""})
        if fin and opcode in (1, 2):
            found.setdefault("message_id", found.setdefault("id", self._last_id["frame"] + 1))

    def _row(self, table: Table, found: dict[str, Any]) -> tuple[Any, ...]:
        row: list[Any] = []
        for column, check in self._takes[table.type]:
            value = found.get(column)
            if column == table.row_id and value is None and column != "connection_id":
                value = self._last_id[table.type] + 1
            if column == "is_s2c":
                direction = found.get("direction")
                if direction not in DIRECTIONS:
                    raise self._error(f"direction is {str(direction)[:20]!r}, neither c2s nor s2c")
                value = DIRECTIONS.index(direction)
            elif column in table.json and value is not None and not isinstance(value, str):
                value = to_json(value)
            elif isinstance(value, dict):
                value = self._blob(value)
            elif value is None and column in _COUNTS:
                value = 0
            problem = check(value)
            if problem:
                raise self._error(f"{table.type}.{column} {problem}")
            row.append(value)
        if table.row_id:
            row_id = row[0]
            if not 0 < row_id < _LARGEST_INTEGER:
                raise self._error(f"{table.type}.{table.row_id} is not positive")
            self._last_id[table.type] = row_id
        return tuple(row)

    def _blob(self, value: Any) -> Any:
        """Bytes of a `text` or `base64`; room for as many as `bytes` says."""
        if not isinstance(value, dict) or len(value) != 1:
            raise self._error("a blob is {text} or {base64}")
        ((kind, content),) = value.items()
        if kind == "bytes" and isinstance(content, int) and content >= 0:
            self._room -= content
            if self._room < 0:
                raise self._error("a blob claims more bytes than the file has")
            return _Zeros(content)
        if not isinstance(content, str):
            raise self._error("a blob is {text} or {base64}")
        try:
            return content.encode() if kind == "text" else base64.b64decode(content, validate=True)
        except (UnicodeEncodeError, binascii.Error, ValueError):
            raise self._error(f"a blob is not {kind}") from None

    def _add_part(self, found: dict[str, Any]) -> None:
        self._flush()
        table = self._tables.get(str(found.get("of")))
        row_id, offset, data = found.get("id"), found.get("offset"), self._blob(found.get("data"))
        if table is None or table.blob is None or not isinstance(row_id, int) or not isinstance(offset, int):
            raise self._error("a part without its beginning")
        try:
            self._loader.write_part(table.name, table.blob, row_id, offset, data)
        except RowsRefusedError:
            raise self._error("a part that does not fit its blob") from None

    def _flush(self) -> None:
        if self._batch and self._table is not None:
            self._insert(self._table, self._batch)
        self._batch = []
        self._batch_bytes = 0

    def _insert(self, table: Table, rows: list[tuple[Any, ...]], sized: Sequence[str] = ()) -> None:
        try:
            self._loader.insert(table.name, table.columns, rows, sized=sized)
        except RowsRefusedError as error:
            raise self._error(f"or one before it: {error}") from None

    def _error(self, problem: str) -> CaptureError:
        return CaptureError(f"{self._name}: line {self._number}: {problem}")


def _plain_frame(found: dict[str, Any]) -> tuple[Any, ...] | None:
    """The row of a frame as nearly all are exported; None where it has to be looked at value by value.

    It is there for speed alone: `_complete_frame` and `_row` make the same row, and know what is wrong.
    """
    try:
        row_id, connection_id, time_ns = found["id"], found["connection_id"], found["time_ns"]
        span_ns, sent_after_ns, wire_length = found["span_ns"], found["sent_after_ns"], found["wire_length"]
        message_id = found["message_id"]
        if not (
            type(row_id) is type(connection_id) is type(time_ns) is type(wire_length) is int
            and type(span_ns) is type(sent_after_ns) is int
            and 0 < row_id < _LARGEST_INTEGER
            and 0 <= connection_id <= _LARGEST_INTEGER
            and 0 <= time_ns <= _LARGEST_INTEGER
            and 0 <= span_ns <= _LARGEST_INTEGER
            and 0 <= sent_after_ns <= _LARGEST_INTEGER
            and 0 <= wire_length <= _LARGEST_INTEGER
            and (message_id is None or (type(message_id) is int and 0 <= message_id <= _LARGEST_INTEGER))
            and found["violation"] is None
            and found["fault_event_id"] is None
        ):
            return None
        side = _SIDES[found["direction"]]
        header = bytes.fromhex(found["header"])
        ((kind, content),) = found["payload"].items()
        payload = content.encode() if kind == "text" else base64.b64decode(content, validate=True)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    if not 2 <= len(header) <= 14 or kind not in ("text", "base64"):
        return None
    bits = header[0] << 8 | header[1]
    return (
        *(row_id, connection_id, side, bits, time_ns, span_ns, sent_after_ns, header),
        *(wire_length, payload, message_id, None, None),
    )


class _Zeros(int):
    """So many bytes that parts will fill."""


Check = Callable[[Any], str]


def _checks(loader: RowLoader, table: Table) -> list[tuple[str, Check]]:
    """For each column what it does not like about a value, or an empty string."""
    declared = loader.declared(table.name)
    return [(column, _check(column, *declared[column])) for column in table.columns]


def _check(column: str, kind: str, is_needed: bool) -> Check:
    wanted: type = {"INTEGER": int, "TEXT": str, "BLOB": bytes}[kind]
    if column in _TEXTS:
        wanted = str
    what = {int: "is not an integer", str: "is not text", bytes: "is not a blob"}[wanted]

    def check(value: Any) -> str:
        if value is None:
            return "is missing" if is_needed else ""
        if wanted is int:
            is_fit = type(value) is int and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
            return "" if is_fit else what
        if wanted is bytes:
            return "" if isinstance(value, bytes | _Zeros) else what
        return "" if isinstance(value, str) and _is_encodable(value) else what

    return check


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply or not a number"
