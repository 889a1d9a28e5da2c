"""Captures from a stranger: damaged files, and every reader of them.

    python -m tests.fuzz_captures --seconds 3600 [--seed N] [--keep FOLDER]

Sound captures are damaged by pages (exchanged, copied, emptied), bytes, lengths and values. Every command
that reads captures, the timeline's source and the Python API then have to end in time, with output that the
file can account for, and with exit code 0, 1 or 2: never in a traceback, a hang or an endless stream. A case
is made of its number alone, so `--seed N` repeats it; with `--keep` the files that failed stay.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.fuzzing import EndlessError, Kind, limited, main
from tests.support.journals import index, random_script, write_journal
from wsinspect import api
from wsinspect.cli.main import cli, execute
from wsinspect.errors import CaptureError
from wsinspect.tui.source import Source

PAGE: Final = 16384
#: How long one reader may take, and how many bytes it may write for each byte of the file.
LIMIT_SECONDS: Final = 20.0
OUTPUT_FACTOR: Final = 40
_SIZES: Final = ((3, 60), (5, 300), (2, 900))
_KINDS: Final = (*("exchange", "exchange", "copy", "empty", "bytes", "lengths", "pointers", "cut", "header"),)
_VALUES: Final = (
    *(-1, 0, 1, 2**31, 2**32, 2**62, -(2**63), 2**63 - 1, 1.5),
    *("x", "", "{", "[1]", '{"a":1}', b"", b"\xff\0"),
)


class Failure(Exception):
    """What a reader must not do."""


def sound_captures(folder: Path) -> list[Path]:
    """Some captures without damage: small ones, and some whose tables have many pages."""
    paths = []
    for number, (connections, chunks) in enumerate(_SIZES):
        path = folder / f"sound-{number}.db"
        write_journal(path, random_script(number, connections=connections, chunks=chunks))
        index(path)
        database = sqlite3.connect(path)
        database.executemany(
            "INSERT INTO fault_event (time_ns, connection_id, frame_id, rule, kind, detail) "
            "VALUES (?, 1, ?, 'slow', 'latency', '{}')",
            [(1, frame) for frame in range(1, 20)],
        )
        database.executemany(
            "INSERT INTO finding (rule, severity, connection_id, detail) "
            "VALUES ('WS-CL-001', 'error', ?, '{}')",
            [(one,) for one in range(1, connections + 1)],
        )
        database.commit()
        database.close()
        paths.append(path)
    return paths


def exchange(data: bytearray, first: int, second: int) -> None:
    """Two pages, by their numbers from 0, each in the other's place."""
    one, two = slice(first * PAGE, (first + 1) * PAGE), slice(second * PAGE, (second + 1) * PAGE)
    data[one], data[two] = data[two], data[one]


def damage(data: bytearray, chance: random.Random) -> str:
    """Damage a file in some way; what was done, in words."""
    pages = len(data) // PAGE
    kind = chance.choice(_KINDS)
    if kind == "exchange":
        pair = chance.sample(range(1, pages), 2)
        exchange(data, *pair)
        return f"pages {pair} exchanged"
    if kind == "copy":
        source, target = chance.sample(range(1, pages), 2)
        data[target * PAGE : (target + 1) * PAGE] = data[source * PAGE : (source + 1) * PAGE]
        return f"page {source} copied over {target}"
    if kind == "empty":
        page = chance.randrange(1, pages)
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        return f"page {page} emptied"
    if kind == "cut":
        size = chance.randrange(512, len(data))
        del data[size:]
        return f"cut to {size} bytes"
    if kind == "header":
        place = chance.randrange(16, 100)
        data[place] = chance.randrange(256)
        return f"byte {place} of the header"
    count = chance.choice((1, 3, 30))
    for _ in range(count):
        page = chance.randrange(1, pages) * PAGE
        if kind == "pointers":  # what a page says of itself: its type, its cells and its right child
            place = page + chance.randrange(12)
        elif kind == "lengths":  # cells begin with the lengths of their content
            cells = int.from_bytes(data[page + 3 : page + 5], "big") or 1
            pointer = page + 8 + 2 * chance.randrange(min(cells, 1000))
            cell = int.from_bytes(data[pointer : pointer + 2], "big") + chance.randrange(3)
            place = page + min(PAGE - 1, cell)
        else:
            place = page + chance.randrange(PAGE)
        data[place] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return f"{count} bytes changed ({kind})"


def spoil(path: Path, chance: random.Random) -> str:
    """Values that do not belong there, in a file whose structure is sound."""
    database = sqlite3.connect(path)
    try:
        tables = [
            row[0]
            for row in database.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        table = chance.choice(tables)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if not row[5]]
        if not columns:
            return "nothing"
        column = chance.choice(columns)
        value = chance.choice(_VALUES)
        with contextlib.suppress(sqlite3.Error):
            sql = f"UPDATE {table} SET {column} = ? WHERE rowid % ? = 0"
            database.execute(sql, (value, chance.choice((1, 2, 7))))
            database.commit()
        return f"{table}.{column} = {value!r}"
    finally:
        database.close()


def readers(path: Path, folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Everything that reads a capture: a name, and the call."""
    capture = str(path)
    commands: list[list[str]] = [
        ["show", capture],
        ["show", capture, "--json"],
        ["show", capture, "1"],
        ["show", capture, "2", "--json", "--payload"],
        ["show", capture, "--filter", "op:text | len>100"],
        ["show", capture, "--filter", "gap>1ms rtt>0", "--json"],
        ["show", capture, "--filter", "close:1000"],
        ["show", capture, "--sessions"],
        ["show", capture, "--sessions", "--json"],
        ["diagnose", capture],
        ["diagnose", capture, "--json"],
        ["export", capture, "--format", "jsonl", "-o", "-"],
        ["export", capture, "--format", "har", "-o", "-"],
        ["export", capture, "--format", "jsonl", "--filter", "'a'", "-o", "-"],
        ["merge", capture, capture, "-o", str(folder / "merged.db")],
        ["replay", capture, "--to", "ws://127.0.0.1:9/", "--timeout", "1s"],
    ]
    for arguments in commands:
        yield " ".join(arguments), lambda arguments=arguments: _command(arguments)  # type: ignore[misc]
    yield "the Python API", lambda: _api(path)
    yield "the timeline's source", lambda: _timeline(path)


def _command(arguments: list[str]) -> None:
    code = execute(lambda: cli.main(arguments, "wsinspect", standalone_mode=False))
    if code not in (0, 1, 2):
        raise Failure(f"exit code {code}")


def _api(path: Path) -> None:
    with contextlib.suppress(CaptureError), api.open_capture(path) as capture:
        for connection in capture:
            repr(connection)
            for message in connection.messages():
                str(message.text)
            list(connection.pings())
            list(connection.opaque())
            list(connection.events())
            repr((connection.request, connection.response))
        sum(frame.length for frame in capture.frames())
        list(capture.findings())


def _timeline(path: Path) -> None:
    with contextlib.suppress(CaptureError):
        source = Source(path)
        try:
            after = 0
            while (found := source.columns(after, 2000)) is not None:
                after, columns = found
                source.records(list(columns.ids)[:50])
            for read in (source.engine_events, source.findings, source.fault_events):
                last = 0
                while rows := read(last):
                    last = rows[-1].id
            source.findings_mark(1 << 40)
            source.round_trip_ns(1)
        finally:
            source.close()


class _Bounded(io.TextIOWrapper):
    """A stdout that takes so much and no more."""

    def __init__(self, most: int) -> None:
        self.raw_file = _Counting(most)
        super().__init__(io.BufferedWriter(self.raw_file), encoding="utf-8")


class _Counting(io.RawIOBase):
    def __init__(self, most: int) -> None:
        self._left = most
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = len(data)
        self._left -= size
        if self._left < 0:
            raise EndlessError("it writes more than the file can account for")
        self.data += data
        return size


def check(path: Path, folder: Path) -> Iterator[str]:
    """What is wrong with how the readers take a file; nothing where all is well."""
    most = OUTPUT_FACTOR * (path.stat().st_size + 100_000)
    for name, read in readers(path, folder):
        out, errors = _Bounded(most), io.StringIO()
        faulthandler.dump_traceback_later(30 * LIMIT_SECONDS, exit=True, file=2)
        begun = time.process_time()
        try:
            with (
                limited(LIMIT_SECONDS),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(errors),
            ):
                read()
        except (Exception, EndlessError) as error:
            yield f"{name}: {type(error).__name__}: {error} {errors.getvalue().strip()}"
        else:
            said = errors.getvalue()
            if "internal error" in said or "Traceback" in said:
                yield f"{name}: {said.strip()}"
            if "--json" in name and not _is_json(out):
                yield f"{name}: half an object"
        finally:
            faulthandler.cancel_dump_traceback_later()
            for suffix in ("", "-wal", "-shm", "-journal"):
                (folder / f"merged.db{suffix}").unlink(missing_ok=True)
        if time.process_time() - begun > LIMIT_SECONDS:
            yield f"{name}: it took {time.process_time() - begun:.1f} s"


def _is_json(out: _Bounded) -> bool:
    """Whether one whole object was printed, or nothing."""
    out.flush()
    try:
        json.loads(bytes(out.raw_file.data) or b"{}")
    except ValueError:
        return False
    return True


def make_case(number: int, sound: list[Path], folder: Path) -> tuple[Path, str]:
    """The file of a case, made of its number; what was done to it."""
    target = folder / f"case-{number}.db"
    chance = random.Random(number)
    source = chance.choice(sound)
    data = bytearray(source.read_bytes())
    if chance.random() < 0.2:
        target.write_bytes(data)
        return target, f"{source.name}: {spoil(target, chance)}"
    done = damage(data, chance)
    target.write_bytes(data)
    return target, f"{source.name}: {done}"


if __name__ == "__main__":
    sys.exit(main(Kind("tests.fuzz_captures", sound_captures, make_case, check), __doc__))
