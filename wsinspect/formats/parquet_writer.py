"""Captures as one Parquet data set: tables of columns in folders of a day and a machine each.

    FOLDER/frames/day=2026-11-29/host=edge1/CAPTURE-0.parquet

Each capture adds files of its own, named after it, so that those of a fleet are read as
one, and one that is exported again takes the place of what it had written. Partitions are as Hive names them:
`day` is UTC, `host` the machine that recorded. Apache Arrow writes the files (pyarrow, the optional extra
`parquet`); times are microseconds, which every engine reads, with the nanoseconds next to them.

Memory is bounded: rows wait until there are enough for a row group, and those of a table's largest partition
are written when too much of the table waits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wsinspect.capture.queries import every_meta
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import CaptureError, LocalError, UsageError
from wsinspect.findings.model import Finding
from wsinspect.formats.choice import EVERYTHING, Choice
from wsinspect.formats.exporting import Written
from wsinspect.formats.parquet_columns import CONNECTIONS, FINDINGS, FRAMES, MESSAGES, Columns, rows_batch
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.secrets import mask_json, mask_line, mask_url, secret_values
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.tracing import trace_id_of
from wsinspect.net import host_of
from wsinspect.text import counted

#: Rows of a row group, and bytes of a table that wait to be written.
GROUP_ROWS: Final = 200_000
_MAX_WAITING: Final = 32 * 1024 * 1024
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
UNKNOWN_HOST: Final = "unknown"
#: Ids and times, no two alike: as differences they take a fifth of the bytes, and half of the time.
_DELTA: Final = frozenset(
    {"time", "time_ns", "frame_id", "message_id", "last_frame", "span_ns", "sent_after_ns", "rtt_ns"}
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
    data_set = _DataSet(folder, capture, named)
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
    """The files of one capture in a data set; none of them is in its place before `finish`.

    Attributes:
        name: of the capture here.
        source: its file.
    """

    def __init__(self, folder: Path, capture: Capture, host: str) -> None:
        self.name = capture_name(capture)
        self.source = capture.path
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
                raise CaptureError(f"{self._data_set.source}: its times are of more than {MAX_DAYS} days")
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
        ascending = [name for name in self._schema.names if name in _DELTA]
        return pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            use_dictionary=[name for name in self._schema.names if name not in _DELTA],
            column_encoding=dict.fromkeys(ascending, "DELTA_BINARY_PACKED"),
        )


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

    def write(self, findings: Sequence[Finding], progress: Progress) -> Written:
        """Write all tables, and say what is not whole."""
        columns = Columns(self._capture, self._names, self._choice)
        connections = self._in_batches("connections", CONNECTIONS, self._connections())
        found = self._in_batches("findings", FINDINGS, self._findings(findings))
        try:
            counts = [
                *self._write_tables({"connections": CONNECTIONS}, connections),
                *self._write_tables({"frames": FRAMES, "messages": MESSAGES}, columns.batches(progress)),
                *self._write_tables({"findings": FINDINGS}, found),
            ]
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError) as error:
            raise CaptureError(
                f"{self._capture.path} is damaged: a value has the wrong type ({error})"
            ) from None
        nouns = ("connection", "frame", "message", "finding")
        notes = []
        if columns.long:
            notes.append(f"{counted(columns.long, 'message')} cut after 64 KiB; is_cut says which")
        if columns.cut:
            notes.append(
                f"{counted(columns.cut, 'message')} cut or missing in the capture "
                "(--snaplen, --max-capture-size)"
            )
        if columns.not_inflated:
            notes.append(
                f"{counted(columns.not_inflated, 'message')} could not be inflated: compressed bytes kept"
            )
        return Written(", ".join(map(counted, counts, nouns)), tuple(notes))

    def _write_tables(
        self, schemas: dict[str, pa.Schema], batches: Iterable[tuple[str, pa.RecordBatch]]
    ) -> list[int]:
        """Write tables whose rows come together; how many each has."""
        rows = dict.fromkeys(schemas, 0)
        tables = {name: _Partitions(self._data_set, name, schema) for name, schema in schemas.items()}
        try:
            for name, batch in batches:
                if batch.num_rows:
                    tables[name].add(batch)
                    rows[name] += batch.num_rows
            for name, table in tables.items():
                if not rows[name]:
                    # Readers that find no file do not know the columns either.
                    table.add_empty(self._start_ns)
                table.finish()
        finally:
            for table in tables.values():
                table.close()
        return [*rows.values()]

    def _in_batches(
        self, name: str, schema: pa.Schema, rows: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Rows without the column `capture`, some thousands at once or some megabytes of data."""
        waiting: list[tuple[Any, ...]] = []
        size, left = 0, iter(rows)
        while some := list(islice(left, _ROWS_MEASURED)):
            waiting += some
            size += sum(len(value) for row in some for value in row if isinstance(value, bytes | str))
            if len(waiting) >= _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE:
                yield name, rows_batch(schema, self._names, waiting)
                waiting, size = [], 0
        if waiting:
            yield name, rows_batch(schema, self._names, waiting)

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
