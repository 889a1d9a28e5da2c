"""A fleet of many captures: how long exporting takes, and what the questions of docs/fleet.md take of memory.

    python -m tests.fleet_scale --captures 100 --folder FOLDER

A capture of 100,000 frames is given other machines and days and exported again and again into one data set;
then each question is asked in DuckDB and in ClickHouse (chdb), both with a limit of memory. It takes two or
three minutes of CPU.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.fleet import another_capture, export_fleet, large_capture

PAGE: Final = Path(__file__).parents[1] / "docs" / "fleet.md"
MEMORY_MB: Final = 500


def blocks(kind: str) -> list[str]:
    """The blocks of the page in a language, statement by statement."""
    found = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [one for block in found for one in block.split(";\n") if one.strip()]


def duckdb_asks() -> Callable[[str], object]:
    """DuckDB with a limit of memory."""
    database: Any = importlib.import_module("duckdb").connect()
    database.execute(f"SET memory_limit = '{MEMORY_MB}MB'")
    return lambda sql: database.execute(sql).fetchall()


def clickhouse_asks() -> Callable[[str], object]:
    """ClickHouse's engine with a limit of memory."""
    session: Any = importlib.import_module("chdb.session").Session()
    session.query(f"SET max_memory_usage = {MEMORY_MB << 20}")
    return lambda sql: session.query(sql, "JSONCompact")


def resident_mb() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def run(captures: int, folder: Path) -> Iterator[str]:
    """What was measured, a line each."""
    folder.mkdir(parents=True, exist_ok=True)
    begun, busy, frames = time.monotonic(), 0.0, 0
    large = folder / "large.db"
    frames_of_one = large_capture(large)
    for number in range(captures):
        path = folder / f"edge{number}.db"
        another_capture(large, path, number)
        frames += frames_of_one
        start = time.process_time()
        export_fleet([path], folder / "fleet")
        busy += time.process_time() - start
        path.unlink()
    yield f"{captures} captures, {frames:,} frames in {time.monotonic() - begun:.0f} s"
    yield f"export: {frames / busy:,.0f} frames/s with their messages, {resident_mb()} MB"
    os.chdir(folder)
    for engine, open_engine in (("duckdb", duckdb_asks), ("clickhouse", clickhouse_asks)):
        ask = open_engine()
        for statement in blocks(engine):
            ask(statement)
        for question in blocks("sql"):
            start = time.monotonic()
            ask(question)
            yield f"{engine}: {time.monotonic() - start:.2f} s  {' '.join(question.split())[:80]}"
        yield f"{engine}: {resident_mb()} MB"


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet_scale", description=__doc__)
    parser.add_argument("--captures", type=int, default=100, help="how many (100)")
    parser.add_argument("--folder", type=Path, required=True, help="a folder to write to, which must be new")
    options = parser.parse_args()
    for line in run(options.captures, options.folder.absolute()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
