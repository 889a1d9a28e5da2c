"""From text to tree: `!` binds over juxtaposition = `&`, and that over `|`; parentheses, quotes, patterns.

The only exception is `FilterError`, for any text.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from wsinspect.filters.ast import Everything, Node, Not, Test, all_of, any_of
from wsinspect.filters.errors import FilterError
from wsinspect.filters.fields import BARE_OPERATOR, BODY, FIELDS, Field
from wsinspect.filters.jsonvalue import read_path
from wsinspect.filters.kinds import ANY, HAS, IS, MATCHES, QuantityKind
from wsinspect.filters.regex import FLAGS, Pattern, PatternError
from wsinspect.filters.values import BadValueError, Raw, is_text, unescape
from wsinspect.units import QuantityError

OPERATORS: Final = (">=", "<=", "!=", ":", "=", "<", ">", "~")
_KEY: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(>=|<=|!=|:|=|<|>|~)")
_WORD: Final = re.compile(r"[^\s()&|\"']+")
_VALUE: Final = re.compile(r"[^\s()&|]+")
_HEADER: Final = re.compile(r"[A-Za-z0-9_-]+")
_PATTERN: Final = re.compile(r"/((?:[^/\\]|\\.)*)/([A-Za-z]*)", re.DOTALL)
_MAX_DEPTH: Final = 60
_MAX_LENGTH: Final = 10_000


def parse_tree(source: str) -> Node:
    """The tree of a filter.

    Raises:
        FilterError: with the column and what was expected there.
    """
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        if len(self._source) > _MAX_LENGTH:
            raise self._error(f"at most {_MAX_LENGTH} characters", _MAX_LENGTH)
        self._blanks()
        if self._at == len(self._source):
            return Everything()
        tree = self._either()
        if self._at < len(self._source):
            raise self._error("the end, or '(' before this ')'")
        return tree

    def _either(self) -> Node:
        operands = [self._all()]
        while self._take("|"):
            operands.append(self._all())
        return any_of(operands)

    def _all(self) -> Node:
        operands = [self._not()]
        while self._at < len(self._source) and self._source[self._at] not in "|)":
            self._take("&")
            operands.append(self._not())
        return all_of(operands)

    def _not(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"at most {_MAX_DEPTH} of '!' and '(' in each other")
        try:
            if self._take("!"):
                return Not(self._not())
            if self._peek() == "(":
                return self._group()
            return self._test()
        finally:
            self._depth -= 1

    def _group(self) -> Node:
        start = self._at
        self._take("(")
        tree = self._either()
        if not self._take(")"):
            raise self._error("')' for the '(' at column " + str(start + 1))
        return tree

    def _test(self) -> Node:
        char = self._peek()
        if char in ('"', "'"):
            return self._finish(Test(BODY, BARE_OPERATOR, self._not_empty(self._quoted())))
        key = _KEY.match(self._source, self._at)
        if key:
            return self._finish(self._keyed(key))
        word = _WORD.match(self._source, self._at)
        if word is None:
            raise self._error("a key such as op:text, a word, '!' or '('")
        self._at = word.end()
        return self._finish(Test(BODY, BARE_OPERATOR, self._checked(word[0], word.start())))

    def _finish(self, node: Node) -> Node:
        """The test is over: what follows directly is not part of another (`foo(bar)` looks like a call)."""
        if self._peek() in ("(", '"', "'", "!"):
            raise self._error("a blank, '&', '|' or the end")
        self._blanks()
        return node

    def _keyed(self, key: re.Match[str]) -> Node:
        field = FIELDS.get(key[1].lower())
        if field is None:
            close = get_close_matches(key[1].lower(), FIELDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else 'put such a word in quotes: "a:b"'
            raise self._error("a key: " + ", ".join(FIELDS), key.start(), hint)
        if field.argument:
            if key[2] != HAS:
                raise self._error(f"':' behind {field.name}", key.start(2))
            self._at = key.end()
            return self._with_argument(field)
        return self._compared(field, key[2], key.start(2), key.end())

    def _with_argument(self, field: Field) -> Node:
        start = self._at
        if field.argument == "path":
            try:
                argument, self._at = read_path(self._source, start)
            except BadValueError as error:
                raise self._error(error.expected, start + error.skip) from None
        else:
            name = _HEADER.match(self._source, start)
            if name is None:
                raise self._error("the name of a header")
            argument, self._at = name[0], name.end()
        sign = next((sign for sign in OPERATORS if self._source.startswith(sign, self._at)), None)
        if sign is None:
            if self._at < len(self._source) and not (
                self._source[self._at].isspace() or self._source[self._at] in "()&|"
            ):
                raise self._error("an operator, a blank or the end")
            return Test(field, ANY, None, argument)
        at = self._at
        return self._compared(field, sign, at, at + len(sign), argument)

    def _compared(self, field: Field, sign: str, sign_at: int, value_at: int, argument: str = "") -> Node:
        is_negated = sign == "!="
        sign = IS if is_negated else sign
        if sign not in field.operators:
            raise self._error(f"one of {' '.join(field.operators)} behind {field.name}", sign_at)
        self._at = value_at
        if sign == MATCHES:
            test = Test(field, MATCHES, self._pattern(), argument)
        else:
            test = self._valued(field, sign, argument)
        return Not(test) if is_negated else test

    def _valued(self, field: Field, sign: str, argument: str) -> Test:
        raw = self._raw(field)
        if raw.text == "*" and not raw.quote and sign in (HAS, IS):
            return Test(field, ANY, None, argument)
        sign = field.kind.normal(sign)
        try:
            return Test(field, sign, field.kind.parse(raw, sign), argument)
        except BadValueError as error:
            offset = raw.offset + bool(raw.quote) + error.skip
            raise self._error(error.expected, min(offset, len(self._source)), error.suggestion) from None

    def _raw(self, field: Field) -> Raw:
        start = self._at
        if self._peek() in ('"', "'"):
            quote = self._peek()
            return Raw(self._quoted(), quote, start)
        value = _VALUE.match(self._source, start)
        if value is None:
            raise self._error(field.kind.expected)
        if isinstance(field.kind, QuantityKind) and value[0] != "*":
            return Raw(self._quantity(field.kind, start), "", start)
        self._at = value.end()
        return Raw(self._checked(value[0], start), "", start)

    def _quantity(self, kind: QuantityKind, start: int) -> str:
        """A unit belongs to its number behind a blank, too: `len>64 KiB` is not a search for the word KiB."""
        try:
            end = kind.scan(self._source, start)
        except QuantityError as error:
            raise self._error(error.expected, min(error.offset, len(self._source))) from None
        rest = _VALUE.match(self._source, end)
        if rest is not None:
            raise self._error("a blank, '&', '|' or the end", end)
        self._at = end
        return self._source[start:end]

    def _pattern(self) -> Pattern:
        start = self._at
        match = _PATTERN.match(self._source, start)
        if match is None:
            raise self._error("a regular expression between slashes, such as /ping/i")
        unknown = next((flag for flag in match[2] if flag not in FLAGS), None)
        if unknown:
            raise self._error(f"flags out of {FLAGS}", match.start(2))
        flags = "".join(flag for flag in FLAGS if flag in match[2])
        pattern = Pattern(match[1].replace("\\/", "/"), flags)
        try:
            pattern.check()
        except PatternError as error:
            raise self._error(f"a valid regular expression ({error})", start) from None
        self._at = match.end()
        return pattern

    def _quoted(self) -> str:
        start = self._at
        quote = self._source[start]
        self._at += 1
        text: list[str] = []
        while (char := self._peek()) != quote:
            if not char:
                raise self._error(f"{quote} for the one at column {start + 1}")
            text.append(self._character(quote))
        self._at += 1
        return self._checked("".join(text), start)

    def _character(self, quote: str) -> str:
        char = self._source[self._at]
        self._at += 1
        if char != "\\":
            return char
        if quote == "'":
            if self._peek() in ("'", "\\"):
                self._at += 1
                return self._source[self._at - 1]
            return char
        found = unescape(self._source, self._at)
        if found is None:
            raise self._error('an escape: \\n \\r \\t \\0 \\xff \\u20ac \\" or \\\\', self._at - 1)
        text, self._at = found
        return text

    def _not_empty(self, text: str) -> str:
        if not text:
            raise self._error("at least one character between the quotes", self._at - 1)
        return text

    def _checked(self, text: str, start: int) -> str:
        if not is_text(text):
            raise self._error("characters that exist in UTF-8", start)
        return text

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _blanks(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        self._blanks()
        return True

    def _error(self, expected: str, offset: int | None = None, suggestion: str = "") -> FilterError:
        at = self._at if offset is None else offset
        return FilterError(self._source, at, expected, suggestion=suggestion)
