"""docs/capture-format.md is true: it names every table and column, and its queries run."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from tests.support.journals import index, random_script, write_journal
from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.journal.format import HEADER

PAGE = Path(__file__).parents[3] / "docs" / "capture-format.md"
TEXT = PAGE.read_text("utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("format") / "x.db"
    write_journal(path, random_script(5, chunks=300))
    index(path)
    with Capture.open(path) as capture:
        yield capture


def test_every_public_table_and_column_is_described():
    database = sqlite3.connect(":memory:")
    database.executescript(schema.TABLES)
    names = [
        row[0]
        for row in database.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND sql NOT NULL"
        )
        if not row[0].startswith(("recorder_", "sqlite_"))
    ]
    sections = {name: TEXT for name in ("fault_event", "finding")}
    for name in names:
        section = (
            sections.get(name)
            or re.split(r"\n##+ ", TEXT.split(f"### `{name.removeprefix('stored_')}`", 1)[1])[0]
        )
        for _, column, *_ in database.execute(f"PRAGMA table_xinfo({name})"):
            assert f"`{column}`" in section, f"{name}.{column}"
    database.close()


def test_the_page_describes_no_column_that_is_not_there(capture):
    for name, body in re.findall(r"### `(\w+)`[^\n]*\n(.*?)(?=\n##)", TEXT, re.DOTALL):
        table = "stored_message" if name == "message" else name
        columns = {row[1] for row in capture.query(f"PRAGMA table_xinfo({table})")}
        described = {
            column
            for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", body, re.MULTILINE)
            for column in re.findall(r"`(\w+)`", row)
        }
        assert described <= columns | {"fault_event", "finding"}, name


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_the_queries_run_and_most_find_something(capture, number):
    rows = capture.query(QUERIES[number])
    assert rows or "message.id = 1" in QUERIES[number] or "unstored" in QUERIES[number]


def test_the_command_for_the_shell_is_right(capture):
    (command,) = re.findall(r"sqlite3 -readonly x.db '(.*)'", TEXT)
    assert len(capture.query(command)) == 4


def test_record_header_and_identifiers_are_those_of_the_code():
    fields = re.findall(r"^\| (\d+) \| (\d) \| ", TEXT, re.MULTILINE)
    assert [int(offset) for offset, _ in fields] == [0, 4, 5, 6, 8, 12, 20]
    assert sum(int(size) for _, size in fields) == HEADER.size
    assert f"0x{schema.APPLICATION_ID:x}" in TEXT
    assert f"format **{schema.SCHEMA_VERSION}**" in TEXT
