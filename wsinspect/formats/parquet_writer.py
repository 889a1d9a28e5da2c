"""Captures as one Parquet data set: tables of columns in folders of a day and a machine each.

    FOLDER/frames/day=2026-11-29/host=edge1/CAPTURE-0.parquet

Each capture adds files of its own, named after it, so that those of a fleet are read as
one, and one that is exported again takes the place of what it had written. Partitions are as Hive names them:
`day` is UTC, `host` the machine that recorded. Apache Arrow writes the files (pyarrow, the optional extra
`parquet`); times are microseconds, which every engine reads, with the nanoseconds next to them.

Memory is bounded: rows wait until there are enough for a row group, and those of the largest partition are
written when there are too many of all together.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wsinspect.capture.queries import every_meta
from wsinspect.capture.queries.tables import FRAME_COLUMNS, frame_pages
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import CaptureError, LocalError, UsageError
from wsinspect.findings.model import Finding
from wsinspect.formats.choice import EVERYTHING, Choice
from wsinspect.formats.exporting import Written
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.secrets import mask_json, mask_line, mask_url, secret_values
from wsinspect.formats.transcript import messages
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.tracing import trace_id_of
from wsinspect.net import host_of
from wsinspect.text import counted
from wsinspect.version import __version__
from wsinspect.wire.opcodes import Opcode, opcode_name

#: Bytes of a message that are written; the rest is in the capture.
MAX_DATA: Final = 64 * 1024
#: Rows of a row group, and bytes of all that waits to be written.
GROUP_ROWS: Final = 200_000
_MAX_WAITING: Final = 48 * 1024 * 1024
_MAX_OPEN: Final = 8
#: A capture of more days has times that nobody recorded, and each would be a folder.
MAX_DAYS: Final = 1000
#: Connections, messages and findings that are put into columns at once.
_ROWS_AT_ONCE: Final = 5000
_ROWS_MEASURED: Final = 50
_BYTES_AT_ONCE: Final = 8 * 1024 * 1024
_PAGE: Final = 500
_DAY_US: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
#: The version of the columns; it grows with a change that a query would notice.
SCHEMA: Final = 1
UNKNOWN_HOST: Final = "unknown"

_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_TIME: Final = pa.timestamp("us", tz="UTC")
_NAMES: Final = tuple(opcode_name(number) for number in range(16))
_SHORT: Final = ("c2s", "s2c")
_OPS: Final = pa.array(_NAMES, pa.string())
_SIDES: Final = pa.array(_SHORT, pa.string())
_NOT_INFLATED: Final = frozenset({"inflate-failed", "not-inflated", "over-cap"})
#: The places of text and data in a row of a message.
_DATA: Final = (8, 9)


def _schema(*columns: tuple[str, Any]) -> pa.Schema:
    about = {"wsinspect.schema": str(SCHEMA), "wsinspect.version": __version__}
    return pa.schema(columns, metadata=about)


CONNECTIONS: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("time", _TIME),
    ("tap", _NAME),
    ("client", pa.string()),
    ("client_address", pa.string()),
    ("listener", _NAME),
    ("url_scheme", _NAME),
    ("url_host", pa.string()),
    ("url_port", pa.int64()),
    ("url_path", pa.string()),
    ("http_version", _NAME),
    ("user_agent", pa.string()),
    ("origin", pa.string()),
    ("handshake_key", pa.string()),
    ("trace_id", pa.string()),
    ("server", pa.string()),
    ("server_http_version", _NAME),
    ("status", pa.int64()),
    ("subprotocol", pa.string()),
    ("extensions", pa.string()),
    ("client_session", pa.int64()),
    ("attempt_ns", pa.int64()),
    ("open_ns", pa.int64()),
    ("closed_ns", pa.int64()),
    ("state", _NAME),
    ("error", pa.string()),
    ("client_close_code", pa.int64()),
    ("client_close_reason", pa.string()),
    ("server_close_code", pa.int64()),
    ("server_close_reason", pa.string()),
    ("ended_by", _NAME),
    ("how", _NAME),
    ("js_code", pa.int64()),
    ("js_was_clean", pa.bool_()),
    ("fault", pa.string()),
    ("c2s_frames", pa.int64()),
    ("s2c_frames", pa.int64()),
    ("c2s_bytes", pa.int64()),
    ("s2c_bytes", pa.int64()),
)
FRAMES: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("frame_id", pa.int64()),
    ("message_id", pa.int64()),
    ("time", _TIME),
    ("time_ns", pa.int64()),
    ("direction", _NAME),
    ("op", _NAME),
    ("fin", pa.bool_()),
    ("rsv1", pa.bool_()),
    ("masked", pa.bool_()),
    ("length", pa.int64()),
    ("wire_length", pa.int64()),
    ("span_ns", pa.int64()),
    ("sent_after_ns", pa.int64()),
    ("rtt_ns", pa.int64()),
    ("violation", pa.string()),
    ("fault", pa.string()),
)
MESSAGES: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("message_id", pa.int64()),
    ("last_frame", pa.int64()),
    ("time", _TIME),
    ("time_ns", pa.int64()),
    ("direction", _NAME),
    ("op", _NAME),
    ("length", pa.int64()),
    ("text", pa.string()),
    ("data", pa.binary()),
    ("is_cut", pa.bool_()),
    ("problem", pa.string()),
)
FINDINGS: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("frame_id", pa.int64()),
    ("time", _TIME),
    ("rule", _NAME),
    ("severity", _NAME),
    ("fault_of", _NAME),
    ("hop", pa.string()),
    ("title", pa.string()),
    ("confidence", _NAME),
    ("evidence", pa.string()),
)


def write_parquet(
    capture: Capture,
    folder: Path,
    findings: Sequence[Finding],
    *,
    host: str | None = None,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    force: bool = False,
    progress: Progress = nobody,
) -> Written:
    """Add a capture to a data set.

    Args:
        capture: what to export.
        folder: the data set; made where it is not there.
        findings: what `diagnose` says of the capture.
        host: the machine that recorded; None is what the capture says, or `unknown`.
        choice: which connections and frames.
        include_secrets: leave credentials and tokens in URLs and quoted header fields.
        force: what the same capture has written there may be replaced.
        progress: called with the number of frames.

    Raises:
        CaptureError: the capture is damaged.
        UsageError: the capture is in the data set already.
        LocalError: the folder cannot be written.
    """
    named = host or _recorded_host(capture) or UNKNOWN_HOST
    data_set = _DataSet(folder, capture_name(capture), named)
    before = data_set.existing()
    if before and not force:
        raise UsageError(f"{folder} has {capture.path.name} already", hint="--force writes it again")
    try:
        written = _Writer(capture, data_set, choice, include_secrets).write(findings, progress)
        data_set.finish(before)
    except OSError as error:
        raise LocalError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        data_set.close()
    return written


def capture_name(capture: Capture) -> str:
    """What a capture is called in a data set: the same at each export, and no other's."""
    first = [
        row for row in every_meta(capture) if row[0] == 1 and row[1] not in ("closed_cleanly", "stopped_ns")
    ]
    digest = hashlib.sha256(json.dumps(first).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_plain(capture.path.stem)}-{digest}"


def _plain(name: str) -> str:
    """Letters, digits and `-_.`: readers differ in what else they understand in a path."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100].lstrip(".") or "_"


def _recorded_host(capture: Capture) -> str | None:
    found = capture.meta.get("hostname")
    return found if isinstance(found, str) and found else None


class _DataSet:
    """The files of one capture in a data set; none of them is in its place before `finish`."""

    def __init__(self, folder: Path, name: str, host: str) -> None:
        self.name = name
        self._folder = folder
        self._host = _plain(host)
        self._files: list[Path] = []

    def existing(self) -> set[Path]:
        """What this capture has written here before, whatever the machine was called."""
        return {
            one
            for one in self._folder.glob(f"*/day=*/host=*/{self.name}-*.parquet")
            if one.stem.rpartition("-")[0] == self.name
        }

    def new_file(self, table: str, day: date, part: int) -> Path:
        folder = self._folder / table / f"day={day.isoformat()}" / f"host={self._host}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}-{part}.parquet.part"
        path.touch(0o600)
        self._files.append(path)
        return path

    def finish(self, before: set[Path]) -> None:
        """All is written: put it in place of what was there before."""
        placed = {path: path.with_suffix("") for path in self._files}
        for path, place in placed.items():
            path.replace(place)
        self._files.clear()
        for path in before - set(placed.values()):
            path.unlink()

    def close(self) -> None:
        """Remove what was not finished."""
        for path in self._files:
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
                if any(folder.iterdir()):
                    break
                folder.rmdir()


class _Partitions:
    """The rows of one table, a file or more for each day.

    Args:
        name: of the table.
        schema: its columns; rows are put to days by `time`.
    """

    def __init__(self, data_set: _DataSet, name: str, schema: pa.Schema) -> None:
        self._data_set = data_set
        self._name = name
        self._schema = schema
        self._waiting: dict[int, list[pa.RecordBatch]] = {}
        self._rows: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self._parts: dict[int, int] = {}
        self._open: dict[int, pq.ParquetWriter] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows, and write those that make a row group.

        Raises:
            CaptureError: there are too many days.
        """
        for day, rows in _by_day(batch):
            self._waiting.setdefault(day, []).append(rows)
            self._rows[day] = self._rows.get(day, 0) + rows.num_rows
            self._bytes[day] = self._bytes.get(day, 0) + rows.nbytes
            self._parts.setdefault(day, 0)
            if len(self._parts) > MAX_DAYS:
                raise CaptureError(f"its times are of more than {MAX_DAYS} days")
            if self._rows[day] >= GROUP_ROWS:
                self._flush(day)
        while sum(self._bytes.values()) > _MAX_WAITING:
            self._flush(max(self._bytes, key=self._bytes.__getitem__))

    def add_empty(self, time_ns: int) -> None:
        """A file without rows at a day."""
        day = time_ns // 1000 // _DAY_US
        self._parts[day] = 0
        self._open[day] = self._new_writer(day)

    def finish(self) -> None:
        """Write what waits, and close the files."""
        for day in [*self._waiting]:
            self._flush(day)
        self.close()

    def close(self) -> None:
        """Close the files; rows that wait are dropped."""
        for day in [*self._open]:
            self._open.pop(day).close()

    def _flush(self, day: int) -> None:
        rows = self._waiting.pop(day)
        del self._bytes[day], self._rows[day]
        writer = self._open.pop(day, None) or self._new_writer(day)
        self._open[day] = writer  # the one used last is closed last
        writer.write_table(pa.Table.from_batches(rows, self._schema), row_group_size=GROUP_ROWS)

    def _new_writer(self, day: int) -> pq.ParquetWriter:
        if len(self._open) >= _MAX_OPEN:
            self._open.pop(next(iter(self._open))).close()
        path = self._data_set.new_file(self._name, _EPOCH + timedelta(days=day), self._parts[day])
        self._parts[day] += 1
        return pq.ParquetWriter(path, self._schema, compression="zstd")


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of each day, by days since 1970."""
    days = batch.column("time").cast(pa.date32()).cast(pa.int32())
    ends = pc.min_max(days)
    if ends["min"] == ends["max"]:
        yield ends["min"].as_py(), batch
        return
    order = pc.sort_indices(days)
    batch, numbers = batch.take(order), days.take(order)
    start = 0
    for run in pc.run_end_encode(numbers).run_ends.to_pylist():
        yield numbers[start].as_py(), batch.slice(start, run - start)
        start = run


class _Writer:
    def __init__(self, capture: Capture, data_set: _DataSet, choice: Choice, include_secrets: bool) -> None:
        self._capture = capture
        self._data_set = data_set
        self._choice = choice
        self._masks = not include_secrets
        self._names = pa.array([data_set.name], pa.string())
        self._start_ns = capture.start_ns or 0
        self._is_cut = self._is_long = self._not_inflated = 0

    def write(self, findings: Sequence[Finding], progress: Progress) -> Written:
        """Write one table after the other, and say what is not whole."""
        try:
            counts = [
                (self._table("connections", CONNECTIONS, self._in_batches(CONNECTIONS, self._connections()))),
                (self._table("frames", FRAMES, self._frames(progress))),
                (self._table("messages", MESSAGES, self._in_batches(MESSAGES, self._messages(), bulk=_DATA))),
                (self._table("findings", FINDINGS, self._in_batches(FINDINGS, self._findings(findings)))),
            ]
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError) as error:
            raise CaptureError(
                f"{self._capture.path} is damaged: a value has the wrong type ({error})"
            ) from None
        nouns = ("connection", "frame", "message", "finding")
        notes = []
        if self._is_long:
            notes.append(f"{counted(self._is_long, 'message')} cut after 64 KiB; is_cut says which")
        if self._is_cut:
            notes.append(
                f"{counted(self._is_cut, 'message')} cut or missing in the capture "
                "(--snaplen, --max-capture-size)"
            )
        if self._not_inflated:
            notes.append(
                f"{counted(self._not_inflated, 'message')} could not be inflated: compressed bytes kept"
            )
        return Written(", ".join(map(counted, counts, nouns)), tuple(notes))

    def _table(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        rows, partitions = 0, _Partitions(self._data_set, name, schema)
        try:
            for batch in batches:
                partitions.add(batch)
                rows += batch.num_rows
            if not rows:
                # Readers that find no file do not know the columns either.
                partitions.add_empty(self._start_ns)
            partitions.finish()
        except CaptureError as error:
            raise CaptureError(f"{self._capture.path}: {error}") from None
        finally:
            partitions.close()
        return rows

    def _capture_column(self, rows: int) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), self._names)

    def _in_batches(
        self, schema: pa.Schema, rows: Iterable[tuple[Any, ...]], *, bulk: tuple[int, ...] = ()
    ) -> Iterator[pa.RecordBatch]:
        """Rows without the column `capture`, some thousands at once or some megabytes of data.

        Args:
            bulk: the places of what may be long; none is all.
        """
        waiting: list[tuple[Any, ...]] = []
        size, left = 0, iter(rows)
        while some := list(islice(left, _ROWS_MEASURED)):
            waiting += some
            if bulk:
                # Not value by value: there may be millions.
                size += sum(sum(map(len, filter(None, map(itemgetter(place), some)))) for place in bulk)
            else:
                size += sum(len(value) for row in some for value in row if isinstance(value, bytes | str))
            if len(waiting) >= _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE:
                yield self._batch(schema, waiting)
                waiting, size = [], 0
        if waiting:
            yield self._batch(schema, waiting)

    def _batch(self, schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
        columns = [
            pa.array(values, field.type)
            for field, values in zip([*schema][1:], zip(*rows, strict=True), strict=True)
        ]
        return pa.RecordBatch.from_arrays([self._capture_column(len(rows)), *columns], schema=schema)

    # -- frames

    def _frames(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        done = 0
        for page in frame_pages(self._capture):
            rows = self._chosen(page)
            if rows:
                yield self._frame_batch(dict(zip(FRAME_COLUMNS, zip(*rows, strict=True), strict=True)))
            done += len(page)
            progress(done)

    def _chosen(self, page: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        choice = self._choice
        if choice.connections is None and choice.frames is None:
            return page
        return [
            row
            for row in page
            if (choice.connections is None or row[1] in choice.connections) and choice.has("frame", row[0])
        ]

    def _frame_batch(self, found: dict[str, tuple[Any, ...]]) -> pa.RecordBatch:
        number = {
            name: pa.array(found[name], pa.int64())
            for name in FRAME_COLUMNS
            if name not in ("violation", "fault")
        }
        bits, times, sent, headers = (
            number[name] for name in ("bits", "time_ns", "sent_after_ns", "header_length")
        )

        def bit(place: int) -> pa.Array:
            return pc.not_equal(pc.bit_wise_and(bits, 1 << place), 0)

        opcodes = pc.bit_wise_and(pc.shift_right(bits, 8), 15).cast(pa.int32())
        sides = pc.not_equal(number["is_s2c"], 0).cast(pa.int32())
        columns = [
            self._capture_column(len(bits)),
            number["connection_id"],
            number["id"],
            number["message_id"],
            _timestamps(times),
            times,
            pa.DictionaryArray.from_arrays(sides, _SIDES),
            pa.DictionaryArray.from_arrays(opcodes, _OPS),
            bit(15),
            bit(14),
            bit(7),
            pc.subtract(number["wire_length"], headers),
            number["wire_length"],
            number["span_ns"],
            pc.if_else(pc.less(sent, 0), pa.scalar(None, pa.int64()), sent),
            number["rtt_ns"],
            pa.array(found["violation"], pa.string()),
            pa.array(found["fault"], pa.string()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=FRAMES)

    # -- the others, row by row

    def _each(self) -> Iterator[Connection]:
        after, chosen = -1 << 63, self._choice.connections
        while found := self._capture.connections(after=after, limit=_PAGE):
            yield from (one for one in found if chosen is None or one.id in chosen)
            after = found[-1].id

    def _connections(self) -> Iterator[tuple[Any, ...]]:
        for one in self._each():
            shake = self._capture.handshake(one.id)
            head = RawHead.parse(shake.request_in) if shake is not None and shake.request_in else None

            def said(name: str, head: RawHead | None = head) -> str | None:
                value = None if head is None else head.get(name)
                return None if value is None else value.decode("utf-8", "backslashreplace")

            values = one._asdict()
            renamed = {
                "connection_id": one.id,
                "time": self._time_us(one.attempt_ns),
                "client_address": host_of(one.client) or None,
                "url_scheme": one.scheme,
                "url_host": one.host,
                "url_port": one.port,
                "url_path": self._url(one.path),
                "user_agent": said("user-agent"),
                "origin": self._url(said("origin")),
                "handshake_key": said("sec-websocket-key"),
                "trace_id": trace_id_of(said("traceparent")),
                "error": self._text(one.error),
                "fault": one.rule,
            }
            yield tuple((renamed if name in renamed else values)[name] for name in CONNECTIONS.names[1:])

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        """The hot path next to frames."""
        has = None if self._choice.messages is None else self._choice.has
        for one in self._each():
            connection_id = one.id
            for number, side, opcode, time_ns, data, is_cut, length, problem, last in messages(
                self._capture, connection_id
            ):
                if has is not None and not has("message", number):
                    continue
                if is_cut:
                    self._is_cut += 1
                if problem in _NOT_INFLATED:
                    self._not_inflated += 1
                if len(data) > MAX_DATA:
                    self._is_long += 1
                    data, is_cut = data[:MAX_DATA], True
                text = _as_text(data, is_cut) if opcode == Opcode.TEXT else None
                yield (
                    connection_id,
                    number,
                    last,
                    time_ns // 1000,
                    time_ns,
                    _SHORT[side],
                    _NAMES[opcode],
                    length,
                    text,
                    data if text is None else None,
                    is_cut,
                    problem,
                )

    def _findings(self, findings: Sequence[Finding]) -> Iterator[tuple[Any, ...]]:
        chosen = self._choice.connections
        for one in findings:
            if chosen is not None and one.connection not in chosen:
                continue
            connection = None if one.connection is None else self._capture.connection(one.connection)
            secrets = self._secrets_of(one.connection)
            evidence = "\n".join(one.evidence)
            if self._masks:
                evidence = "\n".join(mask_line(line, secrets) for line in one.evidence)
            yield (
                *(one.connection, one.frame, self._time_us(connection and connection.attempt_ns), one.id),
                *(one.severity, one.fault_of, one.hop, one.title, one.confidence, evidence),
            )

    def _secrets_of(self, connection: int | None) -> frozenset[str]:
        shake = None if connection is None or not self._masks else self._capture.handshake(connection)
        if shake is None or not shake.request_in:
            return frozenset()
        return secret_values(RawHead.parse(shake.request_in))

    def _time_us(self, time_ns: int | None) -> int:
        """What decides the day; of what has no time it is the capture's."""
        return (self._start_ns if time_ns is None else time_ns) // 1000

    def _url(self, text: str | None) -> str | None:
        return mask_url(text) if self._masks and text is not None else text

    def _text(self, text: str | None) -> str | None:
        return str(mask_json(text)) if self._masks and text is not None else text


def _timestamps(times_ns: pa.Array) -> pa.Array:
    """Microseconds, rounded down for all times after 1970."""
    return pc.divide(times_ns, 1000).cast(_TIME)


def _as_text(data: bytes, is_cut: bool) -> str | None:
    """The text; None where it is not UTF-8, but for a character that was cut."""
    try:
        if not is_cut:
            return data.decode()
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return None
