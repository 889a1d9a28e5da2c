"""YAML and JSON with their lines: a document is walked as far as somebody asks, so that aliases cannot
blow it up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from wsinspect.doctor.configuration.model import Edit, Lines, Place
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.units import format_size

#: The reader needs a second for 100 KiB, and several on a busy machine.
_MAX_BYTES: Final = 160 * 1024
_MAX_DOCUMENTS: Final = 500
_MAX_MERGES: Final = 8
_MAX_ITEMS: Final = 20_000
#: What the YAML reader raises on odd files in addition to its own errors.
_READER_FAILS: Final = (ValueError, RecursionError, AttributeError, TypeError, LookupError, AssertionError)


class Node:
    """A value and where it stands; everything that is not there is an empty node.

    Attributes:
        file: the file that has it.
        above: the mapping that it is a value in, and its key.
    """

    def __init__(self, raw: Any, file: str, text: str, key: Any = None) -> None:
        self._raw = raw
        self._text = text
        self._key = key
        self.file = file

    def __bool__(self) -> bool:
        return self._raw is not None

    @property
    def at(self) -> Place:
        """File and line; of the key, where it is a value in a mapping."""
        raw = self._key if self._key is not None else self._raw
        return Place(self.file, 1 if raw is None else raw.start_mark.line + 1)

    @property
    def text(self) -> str:
        """A scalar as it is written; empty for all else."""
        return str(self._raw.value) if isinstance(self._raw, ScalarNode) else ""

    @property
    def raw(self) -> Any:
        """The reader's own node; None where there is none."""
        return self._raw

    @property
    def key(self) -> Any:
        """The reader's node of the key that it is the value of."""
        return self._key

    @property
    def source(self) -> str:
        """The text of its file."""
        return self._text

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._raw, MappingNode)

    def get(self, *keys: str) -> Node:
        """The value at the end of a path of keys; empty if one of them is missing."""
        found: Node = self
        for key in keys:
            found = found._one(key, 0)
        return found

    def either(self, *keys: str) -> Node:
        """The value of the first of these keys that is there."""
        return next((one for key in keys if (one := self.get(key))), self._empty())

    def _empty(self) -> Node:
        return Node(None, self.file, self._text)

    def _one(self, key: str, depth: int) -> Node:
        if not isinstance(self._raw, MappingNode):
            return self._empty()
        for name, value in self._raw.value:
            if isinstance(name, ScalarNode) and name.value == key:
                return Node(value, self.file, self._text, name)
        for name, value in self._raw.value if depth < _MAX_MERGES else ():
            if isinstance(name, ScalarNode) and name.value == "<<":
                many = value.value if isinstance(value, SequenceNode) else [value]
                for one in many[:_MAX_MERGES]:
                    if found := Node(one, self.file, self._text)._one(key, depth + 1):
                        return found
        return self._empty()

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of a mapping."""
        if isinstance(self._raw, MappingNode):
            for name, value in self._raw.value[:_MAX_ITEMS]:
                if isinstance(name, ScalarNode):
                    yield str(name.value), Node(value, self.file, self._text, name)

    def __iter__(self) -> Iterator[Node]:
        """The items of a sequence; a single value is one of one."""
        if isinstance(self._raw, SequenceNode):
            for value in self._raw.value[:_MAX_ITEMS]:
                yield Node(value, self.file, self._text)
        elif self._raw is not None:
            yield self

    @property
    def is_on(self) -> bool:
        """Whether it is `true`."""
        return self.text.lower() in ("true", "yes", "on")

    # -- edits

    def with_value(self, text: str) -> tuple[Edit, ...]:
        """Another scalar in the place of this one; JSON's quotes are kept."""
        if self._raw is None:
            return ()
        start, end = self._raw.start_mark.index, self._raw.end_mark.index
        old = self._text[start:end]
        quote = old[:1] if old[:1] in "\"'" and old[:1] else ""
        return (Edit(self.file, start, end, f"{quote}{text}{quote}"),)

    def with_entry(self, key: str, value: str, *lines: str) -> tuple[Edit, ...]:
        """A new entry at the beginning of this mapping.

        Args:
            value: in flow style, as `[{upgrade_type: websocket}]`; quoted where it has to be.
            lines: the value in block style, without indentation; the flow style by default.
        """
        if not isinstance(self._raw, MappingNode) or not self._raw.value:
            return ()
        start = self._raw.start_mark.index
        if self._text[start : start + 1] == "{":
            is_json = bool(re.match(r'\{\s*"', self._text[start:]))
            shown = f'"{key}": {_as_json(value)}' if is_json else f"{key}: {value}"
            return (Edit(self.file, start + 1, start + 1, f"{shown}, "),)
        first = self._raw.value[0][0].start_mark
        indent = " " * first.column
        body = (
            f"{key}: {value}\n" if not lines else f"{key}:\n" + "".join(f"{indent}{one}\n" for one in lines)
        )
        # The first key may stand behind the dash of a sequence: the new one takes its place there.
        return (Edit(self.file, first.index, first.index, f"{body}{indent}"),)

    def without(self) -> tuple[Edit, ...]:
        """This entry removed, where it has lines of its own."""
        if self._raw is None:
            return ()
        lines = Lines(self.file, self._text)
        first = (self._key or self._raw).start_mark.line + 1
        last = max(first, self._raw.end_mark.line + (1 if self._raw.end_mark.column else 0))
        alone = self._text[lines.start(first) : (self._key or self._raw).start_mark.index].strip(" \t")
        # A label of a Compose file is an item of a list, its key included.
        is_label = self._key is not None and self._key.end_mark.index >= self._raw.end_mark.index
        end = max(self._raw.end_mark.index, self._key.end_mark.index if self._key else 0)
        rest = self._text[end : lines.start(last + 1)].strip(" \t\r\n,")
        if (
            alone not in ("", "-")
            or (alone == "-" and self._key is not None and not is_label)
            or (rest and not rest.startswith("#"))
        ):
            return self._cut_out()
        start, end = lines.start(first), lines.start(last + 1)
        before = self._text[:start].rstrip()
        if before.endswith(",") and self._text[self._raw.end_mark.index :].lstrip()[:1] in ("}", "]"):
            start, end = len(before) - 1, end - 1  # the last entry takes the comma in front of it along
        return (Edit(self.file, start, end, ""),)

    def _cut_out(self) -> tuple[Edit, ...]:
        """This entry of JSON removed where it shares its line, with one of the commas around it."""
        if self._text.lstrip()[:1] not in ("{", "["):
            return ()
        start, end = (self._key or self._raw).start_mark.index, self._raw.end_mark.index
        behind = re.compile(r"\s*,[ \t]*").match(self._text, end)
        if behind:
            return (Edit(self.file, start, behind.end(), ""),)
        before = re.search(r",\s*$", self._text[:start])
        return (Edit(self.file, before.start() if before else start, end, ""),)

    def plain(self, depth: int = 0, budget: list[int] | None = None) -> Any:
        """Dictionaries, lists and texts; what is too deep or too much is left out."""
        budget = budget if budget is not None else [_MAX_ITEMS]
        budget[0] -= 1
        if depth > 40 or budget[0] < 0:
            return None
        if isinstance(self._raw, MappingNode):
            return {key: value.plain(depth + 1, budget) for key, value in self.items()}
        if isinstance(self._raw, SequenceNode):
            return [one.plain(depth + 1, budget) for one in self]
        return None if self._raw is None else _typed(self._raw)


def _typed(raw: Any) -> Any:
    if raw.style in ("'", '"', "|", ">"):
        return str(raw.value)
    text = str(raw.value)
    if text in ("true", "True", "false", "False"):
        return text.lower() == "true"
    if re.fullmatch(r"-?\d{1,15}", text):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+", text):
        return float(text)
    return None if text in ("", "~", "null") else text


def _as_json(flow: str) -> str:
    """Flow-style YAML of our own as JSON."""
    quoted = re.sub(r'(?<!["\w])([A-Za-z_][\w./-]*)(?!["\w])', r'"\1"', flow)
    return re.sub(r'"(true|false|null)"', r"\1", quoted)


def documents(sources: Sources, file: str, wanted: re.Pattern[str] | None = None) -> list[Node]:
    """The documents of a YAML or JSON file; a problem where it is not one.

    Args:
        wanted: documents of a file that have it somewhere are read, the others are not.
    """
    text = sources.text(file)
    if text is None:
        return []
    if text.lstrip()[:1] in ("{", "["):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, YAML may not
    elif wanted is not None:
        # Blanks in their place keep all lines and offsets.
        parts = re.split(r"^(---(?:[ \t].*)?\n)", text, flags=re.M)
        text = "".join(one if wanted.search(one) or one.startswith("---") else _blank(one) for one in parts)
    if len(text) - text.count(" ") - text.count("\n") > _MAX_BYTES:
        sources.problem(file, f"more than {format_size(_MAX_BYTES)} of YAML")
        return []
    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False  # YAML 1.2.2 §7.1 allows them; it would write on stderr
    found: list[Node] = []
    try:
        for raw in reader.compose_all(text):
            if raw is not None:
                found.append(Node(raw, file, text))
            if len(found) >= _MAX_DOCUMENTS:
                break
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark is not None else file
        sources.problem(place, f"not YAML: {getattr(error, 'problem', None) or 'cannot be read'}")
    except _READER_FAILS as error:
        sources.problem(file, f"not YAML: {type(error).__name__}")
    return found


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def walk(node: Node, keys: Sequence[str]) -> Iterator[Node]:
    """All values at the end of a path of keys, through every sequence on the way."""
    if not keys:
        yield from node
        return
    for one in node:
        yield from walk(one.get(keys[0]), keys[1:])
