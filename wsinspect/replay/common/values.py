"""Messages as documents: JSON where they are JSON, also behind a Socket.IO packet type; places to ignore.

Sans-I/O. A message is peer bytes: whatever it is, it is compared as bytes where it is not JSON.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.errors import UsageError
from wsinspect.filters.jsonvalue import Step, path_steps, read_path, write_path
from wsinspect.filters.values import BadValueError

#: Larger messages are compared as bytes.
MAX_JSON: Final = 16 << 20
#: Engine.IO and Socket.IO put packet type, namespace and acknowledgement id before the JSON.
_PREFIX: Final = re.compile(rb"\d{1,2}(?:\d*-)?(?:/[^,\[{]{0,100},)?\d{0,10}(?=[\[{])")
#: Keys that say what kind of message it is.
_KINDS: Final = frozenset(
    {
        "type",
        "op",
        "event",
        "action",
        "method",
        "cmd",
        "command",
        "kind",
        "channel",
        "topic",
        "t",
        "e",
        "query",
    }
)
_DIFF_LINES: Final = 40
_DIFF_BYTES: Final = 64 * 1024
IGNORED: Final = "…"


class Document:
    """A message read as JSON.

    Attributes:
        prefix: what stands before the JSON.
        value: the JSON; meaningless where `is_json` is false.
    """

    __slots__ = ("is_json", "prefix", "value")

    def __init__(self, data: bytes) -> None:
        self.prefix = b""
        self.value: Any = None
        self.is_json = False
        if not data or len(data) > MAX_JSON:
            return
        match = _PREFIX.match(data)
        if match:
            self.prefix = match[0]
        if data[len(self.prefix)] not in b"[{":
            return
        try:
            self.value = json.loads(data[len(self.prefix) :])
            self.is_json = True
        except (ValueError, RecursionError):
            return


@dataclass(frozen=True, slots=True)
class Place:
    """Places in a JSON document that are not compared.

    Attributes:
        steps: from its root; None is any member. Where `anywhere`, from any place in it.
    """

    steps: tuple[Step, ...]
    anywhere: bool = False

    @classmethod
    def parse(cls, text: str) -> Place:
        """`json:$.a[0].id`, `json:$.items[*].id`, `json:$..id`.

        Raises:
            UsageError: it is not one.
        """
        kind, colon, path = text.partition(":")
        if kind != "json" or not colon:
            raise UsageError(
                f"invalid place to ignore {text!r}", hint="write one as 'json:$.id' or 'json:$..id'"
            )
        anywhere = path.startswith("$..")
        source = "$." + path[3:] if anywhere else path
        try:
            found, end = read_path(source, 0)
        except BadValueError as error:
            raise UsageError(f"{text!r}: expected {error}") from None
        if end != len(source) or found == "$":
            raise UsageError(
                f"invalid place to ignore {text!r}", hint="write one as 'json:$.id' or 'json:$..id'"
            )
        return cls(tuple(path_steps(found)), anywhere)

    def __str__(self) -> str:
        path = write_path(list(self.steps))
        return f"json:$.{path[1:]}" if self.anywhere else f"json:{path}"

    def hide(self, document: Any) -> Any:
        """The document without the place, which may be there or not; elements of arrays leave `IGNORED`, so
        that the others keep theirs. Documents may be changed in place."""
        if self.anywhere:
            document = _hide(document, self.steps)
            members = document.items() if isinstance(document, dict) else enumerate(_list(document))
            for key, member in list(members):
                document[key] = self.hide(member)
            return document
        return _hide(document, self.steps)


def _hide(document: Any, steps: tuple[Step, ...]) -> Any:
    if not steps:
        return IGNORED
    step, rest = steps[0], steps[1:]
    if step is None:
        keys: list[Any] = list(document) if isinstance(document, dict) else list(range(len(_list(document))))
    elif isinstance(document, dict):
        keys = [step] if step in document else []
    else:
        keys = [step] if isinstance(step, int) and step < len(_list(document)) else []
    for key in keys:
        if not rest and isinstance(document, dict):
            del document[key]
        else:
            document[key] = _hide(document[key], rest)
    return document


def _list(document: Any) -> list[Any]:
    return document if isinstance(document, list) else []


def canonical(data: bytes, places: tuple[Place, ...] = ()) -> bytes:
    """What of a message is compared: JSON without white space and with sorted keys, the ignored places
    hidden."""
    document = Document(data)
    if not document.is_json:
        return data
    value = document.value
    try:
        for place in places:
            value = place.hide(value)
        return document.prefix + json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except (RecursionError, ValueError):
        return data


def is_subset(wanted: Any, found: Any) -> bool:
    """Whether JSON has all that is wanted: members of objects may be more, arrays begin alike."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and is_subset(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) <= len(found) and all(map(is_subset, wanted, found))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return wanted == IGNORED or bool(wanted == found)


def is_similar(wanted: bytes, found: bytes) -> bool:
    """Whether two messages are of one kind: the same members, and the same where a member names the kind."""
    ours, theirs = Document(wanted), Document(found)
    if not ours.is_json or not theirs.is_json:
        return ours.is_json == theirs.is_json and bool(wanted) == bool(found)
    return _kind_of_prefix(ours.prefix) == _kind_of_prefix(theirs.prefix) and _is_alike(
        ours.value, theirs.value, 0
    )


def _kind_of_prefix(prefix: bytes) -> bytes:
    """Without the number of an acknowledgement."""
    return prefix.rstrip(b"0123456789") if b"," in prefix else prefix[:2]


def _is_alike(wanted: Any, found: Any, depth: int) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(
            wanted[key] == found[key] for key in wanted if key in _KINDS and isinstance(wanted[key], str)
        )
    if isinstance(wanted, list) and isinstance(found, list):
        # Socket.IO: the name of the event comes first.
        is_named = bool(wanted) and isinstance(wanted[0], str) and depth == 0
        return not is_named or wanted[:1] == found[:1]
    return type(wanted) is type(found)


def volatile(first: bytes, second: bytes) -> Iterator[Place]:
    """Places in which two recordings of the same message differ; indexes of arrays count as any."""
    ours, theirs = Document(first), Document(second)
    if ours.is_json and theirs.is_json and ours.prefix == theirs.prefix:
        yield from (Place(steps) for steps in _differences(ours.value, theirs.value, (), 0))


def _differences(first: Any, second: Any, steps: tuple[Step, ...], depth: int) -> Iterator[tuple[Step, ...]]:
    if depth > 100 or first == second:
        return
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for key in first:
            yield from _differences(first[key], second[key], (*steps, key), depth + 1)
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for one, other in zip(first, second, strict=True):
            yield from _differences(one, other, (*steps, None), depth + 1)
    elif steps:
        yield steps


def diff(wanted: bytes, found: bytes) -> list[str]:
    """The lines of a diff, JSON laid out; long ones are cut and say so."""
    before, after = _lines(wanted), _lines(found)
    lines = list(difflib.unified_diff(before, after, "recorded", "now", lineterm="", n=1))[2:]
    if len(lines) > _DIFF_LINES:
        lines = [*lines[:_DIFF_LINES], f"... {len(lines) - _DIFF_LINES} more lines"]
    return lines


def _lines(data: bytes) -> list[str]:
    if len(data) > _DIFF_BYTES:
        return [*_lines(data[: _DIFF_BYTES // 8]), f"... {len(data)} bytes"]
    document = Document(data)
    if document.is_json:
        prefix = document.prefix.decode("latin-1")
        try:
            text = json.dumps(document.value, indent=2, sort_keys=True, ensure_ascii=False)
        except (RecursionError, ValueError):
            return [repr(data)]
        return (prefix + text).split("\n")
    try:
        return data.decode().split("\n")
    except UnicodeDecodeError:
        return [data[at : at + 16].hex(" ") for at in range(0, len(data), 16)]
