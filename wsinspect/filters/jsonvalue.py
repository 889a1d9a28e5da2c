"""The `json` key: a place in a JSON document, and what is compared there.

A payload that is not JSON, or of more than 16 MiB, has no such place. Paths are those of JSONPath that name
one place, and `[*]` for any member: `$.a.b`, `$.items[0].id`, `$["a b"]`, `$.items[*].id`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from wsinspect.filters.kinds import COMPARISONS, HAS, IS, MATCHES, Kind, Tester
from wsinspect.filters.regex import Pattern
from wsinspect.filters.values import BadValueError, Raw, write_text

MAX_JSON: Final = 16 << 20
_NAME: Final = re.compile(r"[^\s.\[\]=<>~:!()&|\"',*]+")
_INDEX: Final = re.compile(r"\[([0-9]{1,9})\]")
_QUOTED: Final = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')

Step = str | int | None


@dataclass(frozen=True)
class JsonValue:
    """What a place is compared with.

    Attributes:
        text: JSON in its shortest form, or a text.
        is_json: which of the two.
    """

    text: str
    is_json: bool

    def __str__(self) -> str:
        if not self.is_json:
            written = write_text(self.text)
            return written if written[0] == '"' or not _is_json(written) else f'"{written}"'
        if any(char in self.text for char in " ()&|'\\") or self.text[0] == '"':
            return "'" + self.text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return self.text


def read_path(source: str, offset: int) -> tuple[str, int]:
    """A path in its usual form, and where it ends.

    Raises:
        BadValueError: There is none; `skip` is counted from `offset`.
    """
    at = offset
    steps: list[Step] = []
    if source[at : at + 1] == "$":
        at += 1
    else:
        match = _NAME.match(source, at)
        if match is None:
            raise BadValueError("a path such as $.items[0].id")
        steps.append(match[0])
        at = match.end()
    while source[at : at + 1] in ("[", "."):
        step, end = _step(source, at)
        if end == at:
            raise BadValueError('a name, [0], [*] or ["name"]', skip=at + (source[at] == ".") - offset)
        steps.append(step)
        at = end
    return write_path(steps), at


def _step(source: str, at: int) -> tuple[Step, int]:
    """A step and where it ends; the same place where there is none."""
    if source.startswith("[*]", at):
        return None, at + 3
    if match := _INDEX.match(source, at):
        return int(match[1]), match.end()
    if match := _QUOTED.match(source, at):
        try:
            name = json.loads(match[1])
        except ValueError:
            return None, at
        return name, match.end()
    if match := _NAME.match(source, at + 1) if source[at] == "." else None:
        return match[0], match.end()
    return None, at


def write_path(steps: list[Step]) -> str:
    """The usual form of a path."""
    parts = ["$"]
    for step in steps:
        if step is None:
            parts.append("[*]")
        elif isinstance(step, int):
            parts.append(f"[{step}]")
        elif _NAME.fullmatch(step) and step.isascii() and step.isprintable():
            parts.append(f".{step}")
        else:
            parts.append(f"[{json.dumps(step)}]")
    return "".join(parts)


def path_steps(path: str) -> list[Step]:
    """The steps of a path in its usual form."""
    at = 1
    steps: list[Step] = []
    while at < len(path):
        step, at = _step(path, at)
        steps.append(step)
    return steps


def places(document: Any, steps: Sequence[Any], index: int = 0) -> Iterator[Any]:
    """What a path leads to."""
    while index < len(steps):
        step = steps[index]
        index += 1
        if step is None:
            members = list(document.values()) if isinstance(document, dict) else document
            if isinstance(members, list):
                for member in members:
                    yield from places(member, steps, index)
            return
        if not isinstance(document, dict if isinstance(step, str) else list):
            return
        try:
            document = document[step]
        except LookupError:
            return
    yield document


def load(payload: bytes) -> Iterator[Any]:
    """The document, where there is one."""
    if len(payload) <= MAX_JSON:
        try:
            yield _DECODER.decode(payload.decode())
        except (ValueError, RecursionError):
            return


class JsonKind(Kind):
    """A place in a document."""

    name = "JSON"
    operators = (IS, HAS, *COMPARISONS, MATCHES)
    expected = "a JSON value or a text"

    def parse(self, raw: Raw, sign: str) -> Any:
        """JSON where it is JSON and not in double quotes, else a text; numbers to compare with."""
        if sign == HAS and not raw.text:
            raise BadValueError("at least one character")
        if sign == HAS or raw.quote == '"':
            value = JsonValue(raw.text, False)
        else:
            value = _value(raw.text)
        if sign in COMPARISONS and not isinstance(_number(value), int | float):
            raise BadValueError("a number to compare with")
        return value

    def write(self, value: Any) -> str:
        """A value that is read as the same."""
        return str(value)

    def tester(self, sign: str, value: Any) -> Tester:
        """A function of the value in the document."""
        if isinstance(value, Pattern):
            search = value.searcher()
            return lambda found: isinstance(found, str) and search(found)
        if sign in COMPARISONS:
            compare, number = COMPARISONS[sign], _number(value)
            return lambda found: (
                isinstance(found, int | float) and not isinstance(found, bool) and compare(found, number)
            )
        if sign == HAS:
            text = value.text
            return lambda found: isinstance(found, str) and text in found
        wanted = json.loads(value.text) if value.is_json else value.text
        return lambda found: _is_same(found, wanted)

    def document_tester(self, path: str, test: Callable[[Any], bool]) -> Tester:
        """A function of a payload."""
        steps = path_steps(path)
        if None in steps:
            return lambda body: any(test(found) for one in load(body) for found in places(one, steps))
        return lambda body: _test_place(body, steps, test)


def _test_place(body: bytes, steps: list[Any], test: Callable[[Any], bool]) -> bool:
    """The same as with `places`, for paths that lead to one place, and faster."""
    if len(body) > MAX_JSON:
        return False
    try:
        document = _DECODER.decode(body.decode())
        for step in steps:
            if not isinstance(document, dict if isinstance(step, str) else list):
                return False
            document = document[step]
    except (LookupError, ValueError, RecursionError):
        return False
    return test(document)


def _is_same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and not true."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_is_same(found[key], wanted[key]) for key in wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_is_same, found, wanted))
    return bool(found == wanted)


def _value(text: str) -> JsonValue:
    try:
        decoded = _DECODER.decode(text)
        shortest = json.dumps(decoded, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError):
        return JsonValue(text, False)
    return JsonValue(decoded, False) if isinstance(decoded, str) else JsonValue(shortest, True)


def _is_json(text: str) -> bool:
    return _value(text) != JsonValue(text, False)


def _number(value: JsonValue) -> Any:
    number = json.loads(value.text) if value.is_json else None
    return None if isinstance(number, bool) else number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
