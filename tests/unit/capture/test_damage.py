"""Captures from a stranger: pages in the wrong order, values that do not belong (tests/fuzz_captures.py)."""

from __future__ import annotations

import json
import sqlite3
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fuzz_captures import PAGE, check, exchange, make_case, sound_captures
from tests.support import warm
from tests.unit.cli.maker import home
from wsinspect import api
from wsinspect.capture import queries, reader
from wsinspect.capture.damage import find_damage
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sound_captures(tmp_path_factory.mktemp("sound"))


def leaves(path: Path, table: str) -> list[int]:
    """The leaf pages of a table, in order, counted from 0."""
    database = sqlite3.connect(path)
    try:
        (root,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    finally:
        database.close()
    data = path.read_bytes()

    def below(page: int) -> list[int]:
        at = page * PAGE
        if data[at] == 13:
            return [page]
        assert data[at] == 5, "an interior page of a table"
        found = []
        for number in range(int.from_bytes(data[at + 3 : at + 5], "big")):
            cell = at + int.from_bytes(data[at + 12 + 2 * number : at + 14 + 2 * number], "big")
            found += below(int.from_bytes(data[cell : cell + 4], "big") - 1)
        return found + below(int.from_bytes(data[at + 8 : at + 12], "big") - 1)

    return below(root - 1)


@pytest.fixture
def exchanged(sound: list[Path], tmp_path: Path) -> Path:
    """A capture whose frames stand on two pages that changed their places."""
    data = bytearray(sound[2].read_bytes())
    pages = leaves(sound[2], "frame")
    assert len(pages) > 5
    exchange(data, pages[1], pages[-2])
    path = tmp_path / "exchanged.db"
    path.write_bytes(data)
    return path


def test_reading_stops_at_the_first_row_out_of_order_and_keeps_what_was_read(exchanged: Path) -> None:
    seen: list[int] = []
    with (
        api.open_capture(exchanged) as capture,
        pytest.raises(CaptureError, match="is damaged: "),
    ):
        seen.extend(frame.id for frame in capture.frames())
    assert seen
    assert seen == sorted(set(seen))


def test_a_command_ends_with_what_is_in_order_and_exit_code_2(exchanged: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.jsonl"
    words = ["export", str(exchanged), "--format", "jsonl", "-o", str(target)]
    done = warm.run(words, folder=tmp_path, environment=home(tmp_path))
    assert done.returncode == 2
    assert f"wsinspect: {exchanged} is damaged: " in done.stderr
    assert target.stat().st_size < 10 * exchanged.stat().st_size


def test_the_damage_is_named(exchanged: Path, sound: list[Path]) -> None:
    assert find_damage(exchanged) is not None
    assert [find_damage(path) for path in sound] == [None] * len(sound)


def test_a_value_longer_than_the_file_is_damage(sound: list[Path]) -> None:
    with Capture.open(sound[0]) as capture, pytest.raises(CaptureError, match="the file is damaged"):
        capture.query("SELECT zeroblob(?)", (1 << 28,))


@pytest.mark.parametrize(
    "number", [*range(1000, 1004), *(pytest.param(one, marks=pytest.mark.slow) for one in range(1004, 1012))]
)
def test_every_reader_ends_whatever_the_damage(
    number: int, sound: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    path, done = make_case(number, sound, tmp_path)
    print(done, file=sys.stderr)
    assert list(check(path, tmp_path)) == []


def test_json_of_a_damaged_connection_is_whole_and_says_so(
    exchanged: Path, sound: list[Path], tmp_path: Path
) -> None:
    with Capture.open(sound[2]) as capture:
        number = str(max(capture.connections(), key=lambda one: one.c2s_frames + one.s2c_frames).id)
    found = {}
    for path in (exchanged, sound[2]):
        done = warm.run(["show", str(path), number, "--json"], folder=tmp_path, environment=home(tmp_path))
        found[path] = done.returncode, json.loads(done.stdout)
        assert ("damaged" in done.stderr) is (path == exchanged)
    (code, damaged), (fine, whole) = found.values()
    assert (code, damaged["damaged"]) == (2, True)
    assert (fine, whole["damaged"]) == (0, False)
    assert len(damaged["frames"]) < len(whole["frames"])
    assert damaged["handshake"] == whole["handshake"]


def test_no_statement_gives_more_rows_than_fit_into_the_file(
    sound: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with Capture.open(sound[0]) as capture:
        monkeypatch.setattr(capture, "_most_rows", 20_000)  # for a file that small it would take a second
        with pytest.raises(CaptureError, match="more rows than fit"):
            capture.query(endless)


@pytest.mark.parametrize(
    "spoiled",
    [
        "UPDATE connection SET host = x'ff00'",
        "UPDATE frame SET time_ns = 'x'",
        "UPDATE opaque SET length = x'ff'",
        "UPDATE connection SET closed_ns = -9223372036854775807 - 1",
    ],
)
def test_values_that_do_not_belong_are_damage_and_not_our_bug(
    spoiled: str, sound: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "spoiled.db"
    path.write_bytes(sound[0].read_bytes())
    database = sqlite3.connect(path)
    database.execute("PRAGMA ignore_check_constraints = ON")
    database.execute(spoiled)
    database.commit()
    database.close()
    assert list(check(path, tmp_path)) == []


def make_endless(source: Path, tree: str, target: Path) -> Path:
    """A capture in which a table has eight levels, and all children of a page are one page."""
    data = bytearray(source.read_bytes())
    database = sqlite3.connect(source)
    (root,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (tree,)).fetchone()
    database.close()
    top = root - 1
    assert data[top * PAGE] == 5, "an interior page of a table"

    def children(page: int) -> list[int]:
        at = page * PAGE
        count = int.from_bytes(data[at + 3 : at + 5], "big")
        cells = [int.from_bytes(data[at + 12 + 2 * n : at + 14 + 2 * n], "big") for n in range(count)]
        return [at + 8, *(at + cell for cell in cells)]

    assert len(children(top)) > 4
    first = children(top)[1]
    leaf = int.from_bytes(data[first : first + 4], "big") - 1
    levels = [top, *leaves(source, "frame")[1:8], leaf]
    for level in levels[1:-1]:
        data[level * PAGE : (level + 1) * PAGE] = data[top * PAGE : (top + 1) * PAGE]
    for level, below in pairwise(levels):
        for place in children(level):
            data[place : place + 4] = (below + 1).to_bytes(4, "big")
    target.write_bytes(data)
    return target


@pytest.fixture
def endless(sound: list[Path], tmp_path: Path) -> Path:
    return make_endless(sound[2], "frame", tmp_path / "endless.db")


def test_counting_rows_that_do_not_end_ends(tmp_path: Path, sound: list[Path]) -> None:
    plain = tmp_path / "plain.db"
    plain.write_bytes(sound[2].read_bytes())
    database = sqlite3.connect(plain)
    database.execute("DROP INDEX frame_by_connection")  # SQLite would count in that
    database.execute("DROP INDEX frame_broken")
    database.close()
    path = make_endless(plain, "frame", tmp_path / "endless.db")
    with Capture.open(path) as capture, pytest.raises(CaptureError, match="more rows than fit"):
        queries.count_frames(capture)
    with Capture.open(sound[2]) as capture:
        assert queries.count_frames(capture) == capture.query("SELECT count(*) FROM frame")[0][0] > 0
        assert queries.count_connections(capture) == len(capture.connections())


def test_a_statement_that_does_not_end_is_interrupted(endless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_STEPS_OF_ROW", 2)
    with Capture.open(endless) as capture:
        with pytest.raises(CaptureError, match="reading it does not end"):
            capture.query("SELECT sum(wire_length) FROM frame")
        # The next one has all of its steps again.
        assert capture.connections()


@pytest.mark.parametrize(("seconds", "is_found"), [(60.0, True), (0.05, False)])
def test_the_structure_of_a_large_file_is_checked_as_far_as_time_allows(
    endless: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, is_found: bool
) -> None:
    monkeypatch.setattr(reader, "_CHECKED_BYTES", 0)
    monkeypatch.setattr(reader, "_CHECK_SECONDS", seconds)
    with Capture.open(endless) as capture:
        if not is_found:
            # The check would take long: what the timer interrupts is the check.
            monkeypatch.setattr(capture, "broken_structure", lambda: _until_interrupted(capture))
            capture.check_structure()
        else:
            with pytest.raises(CaptureError, match="is damaged"):
                capture.check_structure()


def _until_interrupted(capture: Capture) -> str | None:
    capture.query("WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT max(n) FROM x")
    return "it was not interrupted"


@pytest.mark.parametrize("column", ["host", "path", "attempt_ns", "c2s_frames", "state", "server_close_code"])
@pytest.mark.parametrize("value", [17, 2.5, "", b"\xff\x00", "text"])
def test_a_column_of_a_connection_has_the_type_that_it_should(
    sound: list[Path], tmp_path: Path, column: str, value: object
) -> None:
    path = tmp_path / "types.db"
    path.write_bytes(sound[0].read_bytes())
    database = sqlite3.connect(path)
    with database:
        database.execute(f"UPDATE connection SET {column} = ?", (value,))
    database.close()
    kind = str if column in ("host", "path", "state") else int
    with api.open_capture(path) as capture:
        for one in capture:
            repr(one)
    with Capture.open(path) as opened:
        assert {type(getattr(one, column)) for one in opened.connections()} == {kind}


@pytest.mark.parametrize("encoding", [2, 3])
def test_a_header_that_claims_utf16_is_damage_to_every_reader(
    sound: list[Path], tmp_path: Path, encoding: int
) -> None:
    data = bytearray(sound[0].read_bytes())
    assert data[59] == 1, "UTF-8"
    data[59] = encoding
    path = tmp_path / "utf16.db"
    path.write_bytes(data)
    assert list(check(path, tmp_path)) == []
