"""docs/fleet.md is true: its questions run as printed in DuckDB and in ClickHouse, with its answers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import chdir
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import as_text, export_fleet, make_fleet

PAGE = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text("utf-8")
QUESTIONS = re.findall(r"### ([^\n]*\?)\n.*?```sql\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
Ask = Callable[[str], str]

pytestmark = pytest.mark.lab


def views(engine: str) -> list[str]:
    (block,) = re.findall(rf"```{engine}\n(.*?)```", PAGE, re.DOTALL)
    return [statement for statement in block.split(";\n") if statement.strip()]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Path:
    """A folder that has the data set `fleet`."""
    folder = tmp_path_factory.mktemp("fleet")
    export_fleet(make_fleet(folder / "captures"), folder / "fleet")
    return folder


@pytest.fixture(scope="module")
def duckdb_asks(fleet) -> Iterator[Ask]:
    duckdb = pytest.importorskip("duckdb", reason="make test-deps installs DuckDB")
    with duckdb.connect() as database, chdir(fleet):
        for statement in views("duckdb"):
            database.execute(statement)

        def ask(question: str) -> str:
            with chdir(fleet):
                found = database.execute(question)
                return as_text([one[0] for one in found.description], found.fetchall())

        yield ask


@pytest.fixture(scope="module")
def clickhouse_asks(fleet, tmp_path_factory) -> Iterator[Ask]:
    session = pytest.importorskip("chdb.session", reason="make test-deps installs chdb")
    with chdir(fleet), session.Session(os.fspath(tmp_path_factory.mktemp("chdb"))) as database:
        for statement in views("clickhouse"):
            database.query(statement)

        def ask(question: str) -> str:
            with chdir(fleet):
                found = json.loads(str(database.query(question, "JSONCompact")))
            kinds = [one["type"] for one in found["meta"]]
            rows = [
                [typed(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in found["data"]
            ]
            return as_text([one["name"] for one in found["meta"]], rows)

        yield ask


def typed(kind: str, value: Any) -> Any:
    """A value of ClickHouse's JSON, which has large numbers and times as text."""
    if value is None:
        return None
    if "DateTime" in kind:
        return datetime.fromisoformat(f"{value}+00:00")
    if "Int" in kind:
        return int(value)
    return value


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10
    assert len(re.findall("```sql", PAGE)) == 10


@pytest.mark.parametrize(("question", "sql", "answer"), QUESTIONS, ids=[one[0] for one in QUESTIONS])
@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_a_question_has_its_answer(request, engine, question, sql, answer) -> None:
    ask: Ask = request.getfixturevalue(f"{engine}_asks")
    assert ask(sql) == answer.rstrip("\n")


def test_polars_reads_it_as_one(fleet) -> None:
    polars = pytest.importorskip("polars", reason="make test-deps installs Polars")
    frames = polars.scan_parquet(fleet / "fleet" / "frames" / "*" / "*" / "*.parquet", hive_partitioning=True)
    found = frames.group_by("host").agg(polars.len()).sort("host").collect().rows()
    assert [host for host, _ in found] == ["app1", "edge1", "edge2"]
    assert sum(count for _, count in found) == frames.select(polars.len()).collect().item()
