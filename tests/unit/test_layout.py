"""Where tests and what they share live."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import support

TESTS = Path(__file__).resolve().parents[1]
#: What may import a test module; only such files are parsed, because parsing all takes seconds.
_SUSPECT = re.compile(rb"^[ \t]*(?:from|import)\b[^\n]*\btest_|^[ \t]*from\b[^\n]*\([^)]*\btest_", re.M)


def modules() -> Iterator[Path]:
    """All Python files of the tests."""
    for folder in TESTS.iterdir():
        if folder.is_dir() and folder.name != "node":
            yield from folder.rglob("*.py")


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def test_no_module_imports_a_test_module() -> None:
    found = {
        (str(path.relative_to(TESTS)), name)
        for path in modules()
        if _SUSPECT.search(path.read_bytes())
        for name in imported(path)
        if any(part.startswith("test_") for part in name.split(".")[:-1]) or ".test_" in name
    }
    assert not found, "move what both need to tests/support"


#: A longer file answers more than one question.
MOST_LINES = 700


def test_no_file_of_code_is_too_long() -> None:
    sources = [
        *modules(),
        *(TESTS.parent / "wsinspect").rglob("*.py"),
        *(TESTS.parent / "addons").glob("*.py"),
    ]
    assert len(sources) > 500
    lengths = {str(path.relative_to(TESTS.parent)): path.read_bytes().count(b"\n") for path in sources}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_index_of_the_helpers_is_whole() -> None:
    """Each module of tests/support is named in it, and no module that is not there."""
    there = {path.stem for path in (TESTS / "support").glob("*.py")} - {"__init__"}
    listed = set(re.findall(r"\w+", support.__doc__ or ""))
    assert there <= listed
    assert {name for name in listed if "_" in name} <= there


def test_each_package_has_a_folder_of_unit_tests() -> None:
    packages = {path.parent.name for path in (TESTS.parent / "wsinspect").glob("*/__init__.py")}
    folders = {path.parent.name for path in (TESTS / "unit").glob("*/test_*.py")}
    folders |= {path.parents[1].name for path in (TESTS / "unit").glob("*/*/test_*.py")}
    assert packages - folders == set()
    assert {path.name for path in (TESTS / "unit").iterdir() if path.is_dir()} - packages <= {"__pycache__"}


#: Packages without I/O, whose modules have a test module each: `faults/stages/timing.py` is tested by
#: `tests/unit/faults/stages/test_timing.py`.
MIRRORED = (
    *("wire", "handshake", "filters", "faults", "findings", "clients", "decoders", "explain", "replay"),
    "vocabulary",
)
#: Modules without one, and what looks at them instead.
ELSEWHERE = {
    "clients/outages": "test_measures.py: what is measured of them",
    "clients/verdicts": "test_expectations.py: each expectation met, not met and not tested",
    "faults/kinds/connections": "declarations: kinds/test_base.py asks every kind",
    "faults/kinds/frames": "declarations: kinds/test_base.py asks every kind",
    "faults/kinds/handshakes": "declarations: kinds/test_base.py asks every kind",
    "faults/stages/scripted": "test_scripting.py, with the scripts that it calls",
    "filters/facts": "protocols without code",
    "findings/facts": "facts_made.py makes them for all tests of rules",
    "findings/model": "test_rules.py writes and reads each finding",
    "findings/quotes": "test_answers.py, with the answers that are quoted",
    "findings/rules/*": "each rule has traffic in triggers*.py and pairs_made.py; test_rules.py holds that",
    "replay/as_client/*": "sockets: integration/test_replay_client.py",
    "replay/as_server/answers": "HTTP: integration/test_replay_server.py",
    "replay/as_server/play": "sockets: integration/test_replay_server.py",
    "replay/as_server/server": "sockets: integration/test_replay_server.py",
    "replay/common/conduit": "sockets: integration/test_replay_server.py",
    "replay/common/script": "reads captures: property/test_replay_hostile.py",
    "replay/common/volatile": "reads captures: integration/test_replay_client.py",
    "replay/socketio/engine_client": "socketio/test_engineio.py, with the server's side",
    "replay/socketio/engine_line": "sockets: integration/test_replay_polling.py",
    "replay/socketio/polled": "sockets: integration/test_replay_polling.py",
    "vocabulary/record": "test_events.py: each kind of event is written and read",
    "wire/assembly": "the slow path of wire/stream: test_stream.py",
}


def test_each_module_without_io_has_its_test_module() -> None:
    package, unit = TESTS.parent / "wsinspect", TESTS / "unit"
    untested = {
        path.relative_to(package).with_suffix("")
        for folder in MIRRORED
        for path in (package / folder).rglob("*.py")
        if not path.stem.startswith("__")
        and not (unit / path.relative_to(package).parent / f"test_{path.stem}.py").exists()
    }
    reasons = {name: why for name, why in ELSEWHERE.items() if any(path.match(name) for path in untested)}
    assert {str(path) for path in untested if not any(path.match(name) for name in ELSEWHERE)} == set()
    assert reasons == ELSEWHERE, "a reason that is needed no longer"


@pytest.mark.slow
@pytest.mark.timeout(600)  # collecting takes a minute next to twenty busy processes
def test_names_of_tests_are_the_same_in_every_process() -> None:
    """pytest-xdist compares what its workers collect: no name comes from a clock, chance or a set's order."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-n0", "tests"]
    collecting = [
        subprocess.Popen(
            command,
            cwd=TESTS.parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    found = [one.communicate()[0].splitlines() for one in collecting]
    assert [one.returncode for one in collecting] == [0, 0]
    assert len(found[0]) > 100
    assert found[0] == found[1]
