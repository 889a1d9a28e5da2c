"""The capture's schema and the ways to open its file.

A capture is an SQLite database, in WAL mode while it is written and a single file after a clean end. Its
tables are a contract (docs/capture-format.md) that is stable within a major version; those whose names
begin with `recorder_` are the recorder's notes for a restart and belong to nobody else. Times are epoch
nanoseconds.

Frames are inserted at well over 100,000 a second, hence the frame table's form: small differences instead of
absolute times, the two first header bytes as one integer, and everything that follows from these as virtual
generated columns, which any SQLite tool reads but nobody has to write. For the same reason a message that is
one correct, uncompressed frame has no row of its own: the view `message` makes it of the frame.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from wsinspect.capture.records import Query
from wsinspect.errors import CaptureError, LocalError
from wsinspect.journal.format import journal_directory

#: An open capture, and what may go wrong with it, for packages that run no SQL of their own.
Database = sqlite3.Connection
DatabaseError = sqlite3.Error

#: "wsi1" in ASCII.
APPLICATION_ID: Final = 0x77736931
#: Increased by every change that a reader of the old tables would notice.
SCHEMA_VERSION: Final = 1
#: Measured: with these pages 64 KiB payloads are written three times as fast as with 4 KiB ones, small frames
#: a tenth faster.
PAGE_BYTES: Final = 16384
#: WAL pages after which SQLite copies the WAL into the file: 8 MiB.
CHECKPOINT_PAGES: Final = 512
CACHE_KIB: Final = 8192
#: While nobody writes to a file, no row or result is longer than the file plus this.
_LEAST_LIMIT: Final = 16 * 1024 * 1024
#: Bytes of our shortest row, including its entry in the page's cell list.
_LEAST_ROW: Final = 8
#: Leaving WAL mode waits this long for readers.
_LEAVE_WAL_MS: Final = 200
#: After so many more cursors Python's module forgets those that are gone; and it keeps fewer statements.
_SWEPT: Final = 201

TABLES: Final = """
CREATE TABLE meta (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE TABLE connection (
    id INTEGER PRIMARY KEY,
    tap TEXT,
    client TEXT,
    listener TEXT,
    scheme TEXT,
    host TEXT,
    port INTEGER,
    path TEXT,
    http_version TEXT,
    server TEXT,
    server_http_version TEXT,
    client_alpn TEXT,
    server_alpn TEXT,
    status INTEGER,
    subprotocol TEXT,
    extensions TEXT,
    client_session INTEGER,
    attempt_ns INTEGER,
    open_ns INTEGER,
    closed_ns INTEGER,
    state TEXT NOT NULL,
    error TEXT,
    client_close_code INTEGER,
    client_close_reason BLOB,
    server_close_code INTEGER,
    server_close_reason BLOB,
    ended_by TEXT,
    how TEXT,
    js_code INTEGER,
    js_was_clean INTEGER,
    c2s_frames INTEGER NOT NULL DEFAULT 0,
    s2c_frames INTEGER NOT NULL DEFAULT 0,
    c2s_bytes INTEGER NOT NULL DEFAULT 0,
    s2c_bytes INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE handshake (
    connection_id INTEGER PRIMARY KEY,
    request_in BLOB,
    request_out BLOB,
    response_in BLOB,
    response_out BLOB,
    informational BLOB,
    body BLOB,
    tcp_ns INTEGER,
    tls_ns INTEGER,
    server_tcp_start_ns INTEGER,
    server_tcp_done_ns INTEGER,
    server_tls_done_ns INTEGER,
    request_in_ns INTEGER,
    request_out_ns INTEGER,
    response_in_ns INTEGER,
    response_out_ns INTEGER,
    server_address TEXT,
    server_sockname TEXT,
    server_reused INTEGER,
    client_tls TEXT,
    server_tls TEXT,
    problems TEXT
);

CREATE TABLE frame (
    id INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    is_s2c INTEGER NOT NULL,
    bits INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    span_ns INTEGER NOT NULL,
    sent_after_ns INTEGER NOT NULL,
    header BLOB NOT NULL,
    wire_length INTEGER NOT NULL,
    payload BLOB,
    message_id INTEGER,
    violation TEXT,
    fault_event_id INTEGER,
    direction TEXT GENERATED ALWAYS AS (CASE is_s2c WHEN 0 THEN 'c2s' ELSE 's2c' END) VIRTUAL,
    first_ns INTEGER GENERATED ALWAYS AS (time_ns - span_ns) VIRTUAL,
    sent_ns INTEGER GENERATED ALWAYS AS (time_ns + sent_after_ns) VIRTUAL,
    fin INTEGER GENERATED ALWAYS AS (bits >> 15) VIRTUAL,
    rsv1 INTEGER GENERATED ALWAYS AS ((bits >> 14) & 1) VIRTUAL,
    rsv2 INTEGER GENERATED ALWAYS AS ((bits >> 13) & 1) VIRTUAL,
    rsv3 INTEGER GENERATED ALWAYS AS ((bits >> 12) & 1) VIRTUAL,
    opcode INTEGER GENERATED ALWAYS AS ((bits >> 8) & 15) VIRTUAL,
    masked INTEGER GENERATED ALWAYS AS ((bits >> 7) & 1) VIRTUAL,
    mask_key BLOB GENERATED ALWAYS AS (CASE WHEN bits & 128 THEN substr(header, -4) END) VIRTUAL,
    length INTEGER GENERATED ALWAYS AS (wire_length - length(header)) VIRTUAL
);
CREATE INDEX frame_by_connection ON frame (connection_id);
CREATE INDEX frame_broken ON frame (connection_id) WHERE violation IS NOT NULL;

CREATE TABLE stored_message (
    id INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    is_s2c INTEGER NOT NULL,
    opcode INTEGER NOT NULL,
    first_frame INTEGER NOT NULL,
    last_frame INTEGER,
    compressed INTEGER NOT NULL,
    length INTEGER,
    data BLOB,
    valid_text INTEGER,
    problem TEXT,
    direction TEXT GENERATED ALWAYS AS (CASE is_s2c WHEN 0 THEN 'c2s' ELSE 's2c' END) VIRTUAL
);
CREATE INDEX stored_message_by_connection ON stored_message (connection_id);
CREATE INDEX stored_message_broken ON stored_message (connection_id) WHERE problem IS NOT NULL;

CREATE VIEW message AS
    SELECT id, connection_id, direction, opcode, first_frame, last_frame, compressed, length, data,
        valid_text, problem
    FROM stored_message
    UNION ALL
    SELECT id, connection_id, direction, opcode, id, id, 0, length, NULL, CASE opcode WHEN 1 THEN 1 END, NULL
    FROM frame
    WHERE (bits >> 8) IN (129, 130) AND violation IS NULL AND message_id = id
        AND NOT EXISTS (SELECT 1 FROM stored_message WHERE stored_message.id = frame.id);

CREATE TABLE ping (
    ping_frame INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    leg TEXT NOT NULL,
    pong_frame INTEGER,
    rtt_ns INTEGER
);
CREATE INDEX ping_by_connection ON ping (connection_id);
CREATE INDEX ping_by_pong ON ping (pong_frame) WHERE pong_frame IS NOT NULL;

CREATE TABLE opaque (
    id INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    is_s2c INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    after_frame INTEGER,
    length INTEGER NOT NULL,
    data BLOB,
    reason TEXT,
    direction TEXT GENERATED ALWAYS AS (CASE is_s2c WHEN 0 THEN 'c2s' ELSE 's2c' END) VIRTUAL
);
CREATE INDEX opaque_by_connection ON opaque (connection_id);

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    connection_id INTEGER,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX event_by_connection ON event (connection_id);

CREATE TABLE fault_event (
    id INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    connection_id INTEGER,
    frame_id INTEGER,
    rule TEXT NOT NULL,
    kind TEXT NOT NULL,
    seed INTEGER,
    detail TEXT
);
CREATE INDEX fault_event_by_connection ON fault_event (connection_id);
CREATE INDEX fault_event_by_frame ON fault_event (frame_id) WHERE frame_id IS NOT NULL;

CREATE TABLE finding (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    connection_id INTEGER,
    frame_id INTEGER,
    detail TEXT NOT NULL
);
CREATE INDEX finding_by_connection ON finding (connection_id);
CREATE INDEX finding_by_frame ON finding (frame_id) WHERE frame_id IS NOT NULL;

CREATE TABLE evicted (
    connection_id INTEGER PRIMARY KEY,
    payloads INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    frames INTEGER NOT NULL
);

CREATE TABLE recorder_position (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    next_frame INTEGER NOT NULL
);
INSERT INTO recorder_position VALUES (0, 0, 0, 1);

CREATE TABLE recorder_connection (
    connection_id INTEGER PRIMARY KEY,
    state TEXT NOT NULL
);

CREATE TABLE recorder_stream (
    connection_id INTEGER NOT NULL,
    is_s2c INTEGER NOT NULL,
    state TEXT NOT NULL,
    window BLOB,
    PRIMARY KEY (connection_id, is_s2c)
) WITHOUT ROWID;

CREATE TABLE recorder_pending (
    id INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    is_s2c INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX recorder_pending_by_stream ON recorder_pending (connection_id, is_s2c);

CREATE TABLE recorder_generation (
    id INTEGER PRIMARY KEY,
    frame INTEGER NOT NULL,
    opaque INTEGER NOT NULL,
    connection INTEGER NOT NULL,
    event INTEGER NOT NULL,
    size INTEGER NOT NULL,
    stage INTEGER NOT NULL
);
"""


def create(path: Path) -> None:
    """Create an empty capture with mode 0600.

    Raises:
        CaptureError: the file exists.
        LocalError: it cannot be created there.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise CaptureError(
            f"{path} exists", hint="--append adds to a capture; else name another file"
        ) from None
    except OSError as error:
        raise LocalError(
            f"cannot create {path}: {error.strerror}", hint="--capture chooses another file"
        ) from None
    try:
        database = sqlite3.connect(path, isolation_level=None)
        try:
            database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        finally:
            database.close()
    except sqlite3.Error as error:
        path.unlink(missing_ok=True)
        raise LocalError(f"cannot write {path}: {error}", hint="--capture chooses another file") from None


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The recorder's connection: WAL, transactions begun by hand.

    Raises:
        CaptureError: not a capture that this version can write.
        LocalError: SQLite cannot open or lock it.
    """
    try:
        database = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, timeout=5.0)
    except sqlite3.Error as error:
        raise LocalError(f"cannot open {path}: {error}") from None
    try:
        check(database, path)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA journal_size_limit = {4 * CHECKPOINT_PAGES * PAGE_BYTES}")
    except sqlite3.OperationalError as error:
        database.close()
        raise LocalError(f"cannot write {path}: {error}") from None
    except BaseException:
        database.close()
        raise
    return database


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A reader's connection: read-only, and wary of a file that comes from a stranger.

    Raises:
        CaptureError: no such file, not a capture, or one of a version that this program does not read.
    """
    if not path.is_file():
        raise CaptureError(f"there is no capture {path}", hint="wsinspect ls lists those of earlier runs")
    try:
        database = sqlite3.connect(_uri(path, "ro"), uri=True, isolation_level=None, timeout=5.0)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        database.execute("PRAGMA query_only = ON")
        if not journal_directory(path).exists():
            # In a damaged file a value's overflow pages may form a circle.
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(_LEAST_LIMIT, _size(path)))
    except sqlite3.Error as error:
        raise CaptureError(f"cannot open {path}: {error}") from None
    try:
        check(database, path)
    except BaseException:
        database.close()
        raise
    return database


def most_rows(path: Path) -> float:
    """More rows than these no statement of ours gives of a file; endless where somebody still writes it.

    Pages of a table that follow each other in a circle give rows for as long as they are read.
    """
    if journal_directory(path).exists():
        return math.inf
    return max(_LEAST_LIMIT, _size(path)) / _LEAST_ROW


class Asked:
    """An open database that is asked as a capture is (`records.Queried`): the recorder's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        """All rows of a statement.

        Raises:
            sqlite3.Error: SQLite could not run it.
        """
        return self._database.execute(sql, parameters).fetchall()


def query_on(database: Database) -> Query:
    """What runs a statement on an open database and gives all of its rows; see `Asked.query`."""
    return Asked(database).query


def shrink_memory(database: Database) -> None:
    """Give back what SQLite keeps of the file's pages; it reads them again when they are needed.

    Python's module keeps a weak reference to each cursor, and looks for those that are gone after every 200;
    and it keeps the newest 128 statements. They were made at any time: some of each block of memory would be
    in use. Others take their place, which are next to each other.
    """
    for number in range(_SWEPT):
        database.execute(f"SELECT {number}")
    database.execute("PRAGMA shrink_memory")


def set_bulk(database: Database, is_bulk: bool) -> None:
    """Whether SQLite waits for the disk before a commit is over.

    Without that a crash of the whole machine can do harm to the file, not one of any process.
    """
    database.execute(f"PRAGMA synchronous = {'OFF' if is_bulk else 'NORMAL'}")


def give_back_pages(database: Database) -> None:
    """Cut the free pages off the file."""
    database.execute("PRAGMA incremental_vacuum").fetchall()


def leave_wal(database: Database) -> bool:
    """Make a single file again of a capture and its WAL.

    Returns:
        False where somebody reads it: everything committed is in the file, or in its WAL.
    """
    try:
        database.execute(f"PRAGMA busy_timeout = {_LEAVE_WAL_MS}")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        return False
    return True


def _size(path: Path) -> int:
    """Bytes of a capture and of its WAL."""
    wal = path.with_name(path.name + "-wal")
    return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def words_of(error: sqlite3.Error) -> str:
    """What SQLite says, and that it is damage where it is."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG):
        return f"the file is damaged ({error})"
    return str(error)


def check(database: sqlite3.Connection, path: Path) -> None:
    """Refuse what is not a capture of this version.

    Raises:
        CaptureError: with one line that says what it is instead.
    """
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = dict(database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'"))
        code = database.execute("SELECT sql FROM sqlite_schema WHERE type IN ('view', 'trigger')").fetchall()
    except sqlite3.OperationalError as error:
        # An unreadable header is a plain SQLITE_ERROR; all other failures have their own codes.
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_ERROR:
            raise LocalError(f"cannot read {path}: {error}") from None
        raise CaptureError(f"{path} is damaged: {error}") from None
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise CaptureError(f"{path} is damaged: {error}", hint="copy it again if it is a copy") from None
        raise CaptureError(f"{path} is not a capture: {error}", hint=_OTHERS) from None
    if application != APPLICATION_ID:
        if not path.stat().st_size:
            raise CaptureError(f"{path} is an empty file, not a capture")
        raise CaptureError(f"{path} is an SQLite database, but not a capture of wsinspect")
    if version > SCHEMA_VERSION:
        raise CaptureError(
            f"{path} has capture format {version}, this wsinspect reads {SCHEMA_VERSION}",
            hint="update wsinspect",
        )
    # Format 1 is the first: there is nothing older to migrate.
    # A stranger's view, or generated column, would be run by every reader, a trigger by a recorder: only what
    # we know is let in.
    is_ours = all(tables.get(name) == sql for name, sql in _TABLES.items())
    if version != SCHEMA_VERSION or not is_ours or code != [(_VIEW,)]:
        raise CaptureError(f"{path} is damaged: its tables are not those of format {SCHEMA_VERSION}")


#: What to do with files of other kinds.
_OTHERS: Final = "wsinspect import makes one of HAR, JSONL, mitmproxy flows and packets"


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


_TABLES: Final = {
    statement.split()[2]: statement
    for statement in map(str.strip, TABLES.split(";"))
    if statement.startswith("CREATE TABLE ")
}
_VIEW: Final = TABLES[TABLES.index("CREATE VIEW ") :].partition(";")[0]
