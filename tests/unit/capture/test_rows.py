"""Rows of a transaction: whatever their number and size, the file has each as it was gathered, in order."""

import sqlite3
from pathlib import Path

import pytest

from wsinspect.capture import rows as rows_module
from wsinspect.capture import schema
from wsinspect.capture.rows import Rows

_COLUMNS = (
    "id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, wire_length, payload, "
    "message_id, violation"
)


def _frame(number: int, size: int) -> tuple[object, ...]:
    payload = bytes([number % 251]) * size if number % 7 else None
    violation = "reserved-bit" if number % 5 == 0 else None
    return (
        *(number, 1 + number % 3, number % 2, 0x8180, 10**18 + number, number % 9, -1, b"\x81\x80"),
        *(size + 2, payload, None if violation else number, violation),
    )


def _stored(path: Path, gathered: Rows) -> tuple[list[tuple[object, ...]], list[str]]:
    """What is in the file, and the statements that inserted frames."""
    schema.create(path)
    database = schema.open_for_writing(path)
    statements: list[str] = []
    database.set_trace_callback(statements.append)
    gathered.write(database)
    database.set_trace_callback(None)
    found = database.execute(f"SELECT {_COLUMNS} FROM frame ORDER BY id").fetchall()
    assert database.execute("SELECT count(*) FROM frame WHERE direction = 's2c'").fetchone()[0] == sum(
        int(row[2]) for row in gathered.frames
    )
    database.close()
    return found, [sql for sql in statements if sql.startswith("INSERT INTO frame ")]


@pytest.mark.parametrize("count", [1, 79, 80, 81, 160, 333])
def test_short_frames_are_stored_in_order_whatever_their_number(tmp_path: Path, count: int) -> None:
    gathered = Rows()
    gathered.frames += [_frame(number, number % 200) for number in range(1, count + 1)]
    found, statements = _stored(tmp_path / "a.db", gathered)
    assert found == gathered.frames
    assert len(statements) == count // 80 + count % 80


def test_long_frames_are_inserted_one_by_one(tmp_path: Path) -> None:
    gathered = Rows()
    gathered.frames += [_frame(number, 4096) for number in range(1, 101)]
    found, statements = _stored(tmp_path / "a.db", gathered)
    assert found == gathered.frames
    assert len(statements) == 100


def test_a_frame_that_is_there_already_leaves_nothing_of_its_transaction(tmp_path: Path) -> None:
    gathered = Rows()
    gathered.frames += [_frame(number, 10) for number in (*range(1, 100), 50)]
    schema.create(tmp_path / "a.db")
    database = schema.open_for_writing(tmp_path / "a.db")
    with pytest.raises(sqlite3.IntegrityError):
        gathered.write(database)
    assert not database.in_transaction
    assert database.execute("SELECT count(*) FROM frame").fetchone() == (0,)
    gathered.frames.pop()
    gathered.write(database)
    assert database.execute("SELECT count(*) FROM frame").fetchone() == (99,)
    database.close()


def test_any_sqlite_takes_so_many_values_of_a_statement() -> None:
    assert rows_module._FRAMES.count("?") <= 999
