"""The program's own source files, for tests that read them as rules no linter has.

Parsing all of them takes seconds. So a test says by a pattern which files can break its rule, and only those
are parsed; what a file imports is read from its import statements alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "wsinspect"
#: An import statement as the formatter leaves it; in a docstring one may look like it.
_IMPORT = re.compile(
    rb"^[ \t]*(?:import [\w., ]+|from [\w.]+ import (?:\([^)]*\)|[^\n(]+))(?=[ \t]*(?:#.*)?$)", re.M
)


#: A module that is imported by its name.
_BY_NAME = re.compile(rb"""\b(?:import_module|__import__)\(\s*["']([\w.]+)["']""")


@cache
def source(path: Path) -> bytes:
    """What a file holds."""
    return path.read_bytes()


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a file's syntax tree."""
    return list(ast.walk(ast.parse(source(path))))


def suspects(pattern: bytes, paths: list[Path]) -> Iterator[Path]:
    """The files that a pattern is found in."""
    found = re.compile(pattern)
    return (path for path in paths if found.search(source(path)))


@cache
def imports(path: Path) -> frozenset[str]:
    """The dotted names of modules that a file imports from elsewhere, at its top or in a function."""
    names: set[str] = set()
    for statement in _IMPORT.findall(source(path)):
        for node in ast.parse(statement.strip()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module)
    return frozenset(names | {name.decode() for name in _BY_NAME.findall(source(path))})
