"""YAML files that people write: read within bounds, with line and column of every value.

What reads such a document names a mistake by its field, `rules[0].latency`; `placed` finds the line of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scanner import RoundTripScanner

from wsinspect.faults.errors import FaultError

#: Nobody writes a larger file.
MAX_BYTES: Final = 256 * 1024
_TOO_LONG: Final = "expected a file of at most 256 KiB"
#: Values in a whole file, with each use of an anchor counted; and how deep they may be nested.
MAX_VALUES: Final = 50_000
MAX_DEPTH: Final = 32
_TOO_DEEP: Final = f"expected values nested at most {MAX_DEPTH} deep"
#: What the YAML reader also raises on odd files; found by the property test.
_READER_FAILS: Final = (ValueError, RecursionError, AttributeError, TypeError, LookupError, AssertionError)


class _TooDeepError(MarkedYAMLError):
    """A list or a mapping in brackets that is inside of too many others."""


class _BoundedScanner(RoundTripScanner):
    """Ends at the first bracket too many.

    The reader looks at all that may be a key once more for each token: thousands of brackets take it seconds.
    """

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        if len(self.flow_context) >= MAX_DEPTH:
            raise _TooDeepError(problem=_TOO_DEEP, problem_mark=self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a file.

    Raises:
        FaultError: it cannot be read, is too long, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise FaultError("", f"cannot read it: {error.strerror}", source=str(path)) from None
    if len(raw) > most:
        raise FaultError("", _TOO_LONG, source=str(path))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise FaultError("", "expected UTF-8", source=str(path)) from None


def read_yaml(text: str, source: str = "") -> Any:
    """The document in a text.

    Raises:
        FaultError: it is too long, or not YAML.
    """
    if len(text) > MAX_BYTES:
        raise FaultError("", _TOO_LONG, source=source)
    try:
        yaml = YAML(typ="rt", pure=True)
        yaml.Scanner = _BoundedScanner
        yaml.composer.warn_double_anchors = False  # YAML 1.2 allows a repeated anchor: the newest one counts
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        problem = " ".join(str(error.problem or error.context).split())
        if not isinstance(error, _TooDeepError):
            problem = f"not YAML: {problem}"
        raise FaultError("", problem, line=line, column=column, source=source) from None
    except (YAMLError, *_READER_FAILS) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, RecursionError):
            raise FaultError("", _TOO_DEEP, source=source) from None
        raise FaultError("", f"not YAML: {problem}", source=source) from None


def refuse_bomb(document: Any) -> None:
    """A few lines of aliases can stand for more values than there is memory, or for endless ones.

    Raises:
        FaultError: they do.
    """
    _count(document, MAX_DEPTH, [MAX_VALUES])


def _count(value: Any, depth: int, left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise FaultError("", f"expected at most {MAX_VALUES} values, those of anchors counted each time")
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        parts = [*value]
    else:
        return
    if not depth:
        raise FaultError("", _TOO_DEEP)
    for part in parts:
        _count(part, depth - 1, left)


def placed(error: FaultError, document: Any, source: str) -> FaultError:
    """The same mistake, with the line of its field where that is known."""
    line, column = place_of(document, error.field)
    return error if line is None or error.line is not None else error.at(line, column or 1, source)


def place_of(document: Any, path: str) -> tuple[int | None, int | None]:
    """Line and column of a field in the file, or of what holds it."""
    line: int | None = None
    column: int | None = None
    node: Any = document
    for key in _keys(path):
        marks = getattr(node, "lc", None)
        data = getattr(marks, "data", None) or {}
        if key in data and isinstance(node, Mapping | Sequence):
            where = data[key]
            line, column = where[0] + 1, where[1] + 1
            node = node[key]  # type: ignore[index, unused-ignore]
        else:
            break
    if line is None and getattr(getattr(document, "lc", None), "line", None) is not None:
        return document.lc.line + 1, document.lc.col + 1
    return line, column


def _keys(path: str) -> list[str | int]:
    parts = path.replace("[", ".[").strip(".").split(".") if path else []
    return [int(part[1:-1]) if part.startswith("[") else part for part in parts]
