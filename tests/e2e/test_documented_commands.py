"""Every command line that the documentation or a help text shows is typed by a reader, and does something.

test_readme.py looks up their options; here they run. test_packages.py runs those of the README from a wheel.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import warm_command
from tests.support.documented import (
    LEFT_OUT,
    Reader,
    command_lines,
    help_lines,
    kind_of,
    pages,
    reason_not_to_run,
)
from tests.support.engine import private_environment
from tests.support.every_case import every_case

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    environment = private_environment(tmp_path)
    environment["PATH"] = os.pathsep.join(
        [str(warm_command.program().parent), str(Path(sys.executable).parent), environment["PATH"]]
    )
    reader = Reader(tmp_path / "folder", environment)
    yield reader
    reader.close()


def lines_of_pages() -> Iterator[tuple[str, str]]:
    for page in pages():
        for line in command_lines(page.read_text("utf-8")):
            yield page.name, line


def run_each(reader: Reader, lines: Iterator[tuple[str, str]], run: set[tuple[str, ...]], least: int) -> None:
    with every_case(least=least) as case:
        for place, line in lines:
            if not reason_not_to_run(line) and kind_of(line) not in run:
                run.add(kind_of(line))
                with case(place, line):
                    reader.type(line)


def test_each_line_of_each_page_runs(reader: Reader) -> None:
    run_each(reader, lines_of_pages(), set(), least=60)


def test_each_example_of_each_help_text_runs(reader: Reader) -> None:
    run_each(reader, help_lines(), {kind_of(line) for _, line in lines_of_pages()}, least=30)


def test_each_reason_to_leave_one_out_is_needed() -> None:
    met = {why for _, line in (*lines_of_pages(), *help_lines()) if (why := reason_not_to_run(line))}
    assert met == set(LEFT_OUT.values())
