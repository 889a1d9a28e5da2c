"""Object literals in JavaScript and TypeScript, read without running anything; all else is an unknown
value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_MAX_DEPTH: Final = 40
_MAX_TOKENS: Final = 100_000
#: Names that are looked at, and pieces of a type.
_MAX_NAMED: Final = 64
_MAX_TYPE: Final = 64
_TOKEN: Final = re.compile(
    r"(?P<blank>\s+|//[^\n]*|/\*.*?(?:\*/|$))|(?P<text>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`)"
    r"|(?P<word>[A-Za-z_$][\w$]*)|(?P<number>\d[\w.]*)|(?P<spread>\.\.\.)|(?P<arrow>=>)|(?P<sign>.)",
    re.S,
)
_REGEX: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
#: After these a slash begins a regular expression.
_BEFORE_REGEX: Final = frozenset("(,=:[!&|?{};+-*%<>~^") | {"return", "=>", "..."}
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """A piece of source text."""

    kind: str
    text: str
    start: int


class Value(NamedTuple):
    """A value and where it stands.

    Attributes:
        kind: `object`, `array`, `text`, `word` (a name, `true` or a number) or `unknown`.
        value: entries as (key, value) pairs, items, or the text.
        start, end: its characters.
        key_start: where its key begins, in an object.
    """

    kind: str
    value: Any
    start: int
    end: int
    key_start: int = 0

    def get(self, name: str) -> Value | None:
        """An entry of an object."""
        return next((one for key, one in self.entries() if key == name), None)

    def entries(self) -> Iterator[tuple[str | None, Value]]:
        """Keys and values of an object; the key is None where it is computed or a spread."""
        yield from self.value if self.kind == "object" else ()

    def items(self) -> Iterator[Value]:
        """The items of an array; another value is one of one."""
        if self.kind == "array":
            yield from self.value
        else:
            yield self


def tokens_of(text: str) -> list[Token]:
    """The pieces of a source text, without comments and blanks."""
    found: list[Token] = []
    at = 0
    while at < len(text) and len(found) < _MAX_TOKENS:
        if text[at] == "/" and text[at + 1 : at + 2] not in ("/", "*"):
            before = found[-1].text if found else "("
            pattern = _REGEX.match(text, at) if before in _BEFORE_REGEX else None
            if pattern:
                found.append(Token("regex", pattern[0], at))
                at = pattern.end()
                continue
        match = _TOKEN.match(text, at)
        if match is None:
            break
        if match.lastgroup != "blank":
            found.append(Token(str(match.lastgroup), match[0], at))
        at = match.end()
    return found


class Source:
    """A source file's literals."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens_of(text)

    def named(self, *names: str) -> Iterator[Value]:
        """The values of the first properties `name: ...` and variables `name = ...`."""
        count = 0
        for index, token in enumerate(self._tokens[:-2]):
            name = token.text.strip("'\"") if token.kind in ("word", "text") else ""
            if name in names and self._tokens[index + 1].text in (":", "=") and count < _MAX_NAMED:
                count += 1
                yield self._value(index + 2, 0)[0]._replace(key_start=token.start)

    def resolved(self, value: Value) -> Value:
        """What a name stands for, where the file says so: `const proxy = {...}`."""
        at = self._declared.get(value.value) if value.kind == "word" else None
        return value if at is None else self._value(at, 0)[0]

    @functools.cached_property
    def _declared(self) -> dict[str, int]:
        """For each variable, the token behind its `=`; a type may stand in front of that."""
        found: dict[str, int] = {}
        for index, token in enumerate(self._tokens[:-3]):
            if token.text not in ("const", "let", "var") or self._tokens[index + 1].kind != "word":
                continue
            at = index + 2
            end = min(at + _MAX_TYPE, len(self._tokens) - 1)
            if self._tokens[at].text == ":":
                while at < end and self._tokens[at].text != "=":
                    at += 1
            if self._tokens[at].text == "=" and len(found) < _MAX_NAMED:
                found.setdefault(self._tokens[index + 1].text, at + 1)
        return found

    def _text(self, at: int) -> str:
        return self._tokens[at].text if at < len(self._tokens) else ""

    def _value(self, at: int, depth: int) -> tuple[Value, int]:
        """A value and the token behind it."""
        if at >= len(self._tokens):
            return Value("unknown", None, len(self.text), len(self.text)), at
        token = self._tokens[at]
        if depth < _MAX_DEPTH and token.text == "{":
            value, after = self._object(at, depth)
        elif depth < _MAX_DEPTH and token.text == "[":
            value, after = self._array(at, depth)
        elif token.kind == "text" and "${" not in token.text:
            text = re.sub(r"\\(.)", r"\1", token.text[1:-1])
            value, after = Value("text", text, token.start, token.start + len(token.text)), at + 1
        elif token.kind in ("word", "number"):
            value, after = Value("word", token.text, token.start, token.start + len(token.text)), at + 1
        else:
            return self._unknown(at)
        # `a ? b : c`, `f(x)`, `x.y`, `a + b`: more than the value itself. TypeScript's `as const` is not.
        if self._text(after) in ("as", "satisfies"):
            _, after = self._unknown(after)
        if self._text(after) not in (",", "}", "]", ")", ";", "") and not self._is_new_line(after):
            return self._unknown(at)
        return value, after

    def _is_new_line(self, at: int) -> bool:
        """Whether a statement ends in front of this token."""
        before, token = self._tokens[at - 1], self._tokens[at]
        between = self.text[before.start + len(before.text) : token.start]
        return "\n" in between and token.text in (
            "const",
            "let",
            "var",
            "export",
            "module",
            "import",
            "function",
            "return",
        )

    def _unknown(self, at: int) -> tuple[Value, int]:
        start = self._tokens[at].start
        closing: list[str] = []
        while at < len(self._tokens):
            text = self._tokens[at].text
            if closing and text == closing[-1]:
                closing.pop()
            elif text in _OPENING and self._tokens[at].kind == "sign":
                closing.append(_OPENING[text])
            elif not closing and text in (",", "}", "]", ")", ";"):
                break
            at += 1
        end = self._tokens[at].start if at < len(self._tokens) else len(self.text)
        return Value("unknown", None, start, end), at

    def _object(self, at: int, depth: int) -> tuple[Value, int]:
        start, at = self._tokens[at].start, at + 1
        found: list[tuple[str | None, Value]] = []
        while at < len(self._tokens) and self._text(at) != "}":
            token = self._tokens[at]
            if token.text == ",":
                at += 1
                continue
            key: str | None = None
            if token.kind in ("word", "text", "number"):
                key = token.text.strip("'\"`") if token.kind == "text" else token.text
            if key is not None and self._text(at + 1) == ":":
                value, at = self._value(at + 2, depth + 1)
            elif key is not None and self._text(at + 1) in (",", "}"):
                value, at = Value("word", key, token.start, token.start + len(token.text)), at + 1
            else:
                key = None
                value, after = self._unknown(at)
                at = max(after, at + 1)
            found.append((key, value._replace(key_start=token.start)))
        end = self._tokens[at].start + 1 if at < len(self._tokens) else len(self.text)
        return Value("object", tuple(found), start, end), at + 1

    def _array(self, at: int, depth: int) -> tuple[Value, int]:
        start, at = self._tokens[at].start, at + 1
        found: list[Value] = []
        while at < len(self._tokens) and self._text(at) != "]":
            if self._text(at) == ",":
                at += 1
                continue
            value, after = self._value(at, depth + 1)
            found.append(value)
            at = max(after, at + 1)
        end = self._tokens[at].start + 1 if at < len(self._tokens) else len(self.text)
        return Value("array", tuple(found), start, end), at + 1
