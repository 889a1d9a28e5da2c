"""Every command line that the documentation shows is typed by a reader, and does something.

test_readme.py looks up their options; here they run. test_packages.py runs those of the README from a wheel.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.documented import LEFT_OUT, Reader, command_lines, kind_of, pages, reason_not_to_run
from tests.support.engine import private_environment
from tests.support.every_case import every_case

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_each_line_of_each_page_runs(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "wsinspect"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m wsinspect "$@"\n')
    command.chmod(0o700)
    environment = private_environment(tmp_path)
    environment["PATH"] = os.pathsep.join(
        [str(tmp_path / "bin"), str(Path(sys.executable).parent), environment["PATH"]]
    )
    reader = Reader(tmp_path / "folder", environment)
    try:
        run = set()
        with every_case(least=60) as case:
            for page in pages():
                for line in command_lines(page.read_text("utf-8")):
                    if not reason_not_to_run(line) and kind_of(line) not in run:
                        run.add(kind_of(line))
                        with case(page.name, line):
                            reader.type(line)
    finally:
        reader.close()


def test_each_reason_to_leave_one_out_is_needed() -> None:
    lines = [line for page in pages() for line in command_lines(page.read_text("utf-8"))]
    met = {why for line in lines if (why := reason_not_to_run(line))}
    assert met == set(LEFT_OUT.values())
