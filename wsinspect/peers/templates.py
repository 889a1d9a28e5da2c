"""Placeholders in what is typed or written in a script: `{{seq}}`, `{{uuid}}`, `{{now}}`, `{{$.id}}`.

Sans-I/O: clock, random bytes and environment are given. Text without `{{` is what it is; a placeholder that
is not known is a mistake, because what was meant would not be sent.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from wsinspect.filters.jsonvalue import load, path_steps, places, read_path
from wsinspect.filters.values import BadValueError

_PLACEHOLDER: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
#: `\{{` stands for itself.
_ESCAPED: Final = "\\{{"
_RANDOM: Final = re.compile(r"random(?: +(-?[0-9]{1,15}) +(-?[0-9]{1,15}))?")
_ENV: Final = re.compile(r"env +([A-Za-z_][A-Za-z0-9_]*)")
#: For help and completion.
KNOWN: Final[Mapping[str, str]] = {
    "{{seq}}": "1, 2, 3: counts what was sent with it",
    "{{uuid}}": "a random UUID",
    "{{now}}": "the time, as 2026-11-29T14:03:22.123Z",
    "{{ms}}": "the time in milliseconds since 1970",
    "{{random 1 6}}": "a whole number from 1 to 6",
    "{{env NAME}}": "a variable of the environment",
    "{{$.id}}": "this part of the message that was received last, as JSON; in quotes, a text as it is",
}


class TemplateError(ValueError):
    """A placeholder that cannot be filled; the message says why."""


@dataclass
class Values:
    """What placeholders are filled with.

    Attributes:
        now_ns: the time, epoch nanoseconds.
        octets: as many random bytes.
        environment: variables.
        sequence: how often `{{seq}}` was filled; grows.
        said: the message that `{{$.path}}` reads.
    """

    now_ns: Callable[[], int]
    octets: Callable[[int], bytes]
    environment: Mapping[str, str] = field(default_factory=dict)
    sequence: int = 0
    said: bytes = b""


def has_placeholders(text: str) -> bool:
    """Whether `render` would look at it."""
    return "{{" in text


def check(text: str) -> None:
    """Refuse placeholders that are not known, before anything is sent.

    Raises:
        TemplateError: with the placeholder.
    """
    for match in _matches(text):
        _kind(match[1].strip())


def render(text: str, values: Values) -> str:
    """The text with its placeholders filled.

    Raises:
        TemplateError: one is not known, or has no value.
    """
    if not has_placeholders(text):
        return text
    parts, at = [], 0
    for match in _matches(text):
        parts += [text[at : match.start()], _fill(match[1].strip(), values)]
        at = match.end()
    return "".join([*parts, text[at:]]).replace(_ESCAPED, "{{")


def render_json(document: Any, values: Values) -> Any:
    """A document with the placeholders in its texts filled; a text that is one placeholder becomes its value.

    Raises:
        TemplateError: one is not known, or has no value.
    """
    if isinstance(document, str):
        return _value_of(document, values)
    if isinstance(document, dict):
        return {render(str(key), values): render_json(value, values) for key, value in document.items()}
    if isinstance(document, list):
        return [render_json(value, values) for value in document]
    return document


def texts_of(document: Any) -> Iterator[str]:
    """All texts in a document, keys too."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield str(key)
            yield from texts_of(value)
    elif isinstance(document, list):
        for value in document:
            yield from texts_of(value)


def _value_of(text: str, values: Values) -> Any:
    match = _PLACEHOLDER.fullmatch(text)
    word = match[1].strip() if match else ""
    if word.startswith("$"):
        return _at_path(word, values.said)
    filled = render(text, values)
    is_number = match is not None and _kind(word) in ("seq", "ms", "random")
    return int(filled) if is_number else filled


def _matches(text: str) -> Iterator[re.Match[str]]:
    for match in _PLACEHOLDER.finditer(text):
        if not text.endswith("\\", 0, match.start()):
            yield match


def _kind(word: str) -> str:
    """The name of a placeholder.

    Raises:
        TemplateError: it is not known.
    """
    if word in ("seq", "uuid", "now", "ms"):
        return word
    if (match := _RANDOM.fullmatch(word)) is not None:
        if match[1] is not None and int(match[1]) > int(match[2]):
            raise TemplateError(f"{{{{{word}}}}}: the first number is larger than the second")
        return "random"
    if _ENV.fullmatch(word):
        return "env"
    if word.startswith("$"):
        _steps(word)
        return "path"
    known = ", ".join(KNOWN)
    raise TemplateError(
        f"unknown placeholder {{{{{word[:60]}}}}}: known are {known}; \\{{{{ stands for itself"
    )


def _fill(word: str, values: Values) -> str:
    kind = _kind(word)
    if kind == "seq":
        values.sequence += 1
        return str(values.sequence)
    if kind == "uuid":
        return str(uuid.UUID(bytes=values.octets(16), version=4))
    if kind == "now":
        now = datetime.fromtimestamp(values.now_ns() / 1e9, UTC)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if kind == "ms":
        return str(values.now_ns() // 10**6)
    if kind == "random":
        return str(_random(word, values))
    if kind == "env":
        match = _ENV.fullmatch(word)
        assert match is not None
        if match[1] not in values.environment:
            raise TemplateError(f"{{{{{word}}}}}: there is no such variable in the environment")
        return values.environment[match[1]]
    found = _at_path(word, values.said)
    return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _random(word: str, values: Values) -> int:
    match = _RANDOM.fullmatch(word)
    assert match is not None
    least, most = (int(match[1]), int(match[2])) if match[1] is not None else (0, 2**31 - 1)
    # 16 bytes for a span of at most 51 bits: no number is noticeably likelier than another.
    return least + int.from_bytes(values.octets(16), "big") % (most - least + 1)


def _steps(word: str) -> list[str | int | None]:
    try:
        path, end = read_path(word, 0)
    except BadValueError as error:
        raise TemplateError(f"{{{{{word}}}}}: expected {error.expected}") from None
    if end != len(word):
        raise TemplateError(f"{{{{{word}}}}}: expected a path such as $.items[0].id")
    return path_steps(path)


def _at_path(word: str, said: bytes) -> Any:
    steps = _steps(word)
    for document in load(said):
        for found in places(document, steps):
            return found
    raise TemplateError(f"{{{{{word}}}}}: the message that was received last has no such place")
