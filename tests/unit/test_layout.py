"""Where tests and what they share live."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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


def test_the_index_of_the_helpers_is_whole() -> None:
    """Each module of tests/support is named in it, and no module that is not there."""
    there = {path.stem for path in (TESTS / "support").glob("*.py")} - {"__init__"}
    listed = set(re.findall(r"\w+", support.__doc__ or ""))
    assert there <= listed
    assert {name for name in listed if "_" in name} <= there
