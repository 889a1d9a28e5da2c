"""httpd's expressions (ap_expr), as far as the variables of a handshake decide them: `<If>`, `Require expr`,
`RequestHeader ... expr=`.

Source: https://httpd.apache.org/docs/2.4/expr.html (grammar, variables, operators).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from wsinspect.doctor.configuration.patterns import UndecidedError, is_any, search

_MAX_TEXT: Final = 4096
_MAX_DEPTH: Final = 32
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<pattern>(?:/(?:\\.|[^/\\])*/|m(?P<mark>[#|,!])(?:(?!(?P=mark)).)*(?P=mark))[a-z]*)"
    r"|(?P<variable>%\{[^}]*\})"
    r"|(?P<sign>&&|\|\||==|!=|=~|!~|<=|>=|[()!<>{},=])"
    r"|(?P<word>-?[\w:.$]+))"
)
_UNARY: Final = frozenset(("-n", "-z", "-T"))
#: What asks for files, addresses or other servers: not known here.
_UNKNOWN_UNARY: Final = re.compile(r"-[a-zA-Z]$")
_INTEGERS: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

Variable = Callable[[str], str]
_Value = Callable[[], str]
_Test = Callable[[], bool]


def holds(text: str, variable: Variable) -> bool:
    """Whether an expression holds.

    Args:
        text: as it is written, without the quotes around all of it.
        variable: the value of `%{NAME}`, `HTTP:Name` for a header field; raises `UndecidedError`.

    Raises:
        UndecidedError: it asks for what is not known, or cannot be read.
    """
    return _Parser(text, variable).test()()


class _Parser:
    def __init__(self, text: str, variable: Variable) -> None:
        self._text = text[:_MAX_TEXT]
        self._variable = variable
        self._tokens = list(self._split())
        self._at = 0

    def _split(self) -> list[tuple[str, str]]:
        found, at = [], 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._unread()
            kind = match.lastgroup if match.lastgroup != "mark" else "pattern"
            found.append((kind or "", match[kind or 0]))
            at = match.end()
        return found

    def _unread(self) -> UndecidedError:
        return UndecidedError(f"the expression {self._text[:80]!r}")

    def test(self) -> _Test:
        """The test that the whole text stands for."""
        found = self._either(0)
        if self._at != len(self._tokens):
            raise self._unread()
        return found

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, *texts: str) -> str | None:
        kind, text = self._next()
        if kind in ("sign", "word") and text in texts:
            self._at += 1
            return text
        return None

    def _either(self, depth: int) -> _Test:
        parts = [self._both(depth)]
        while self._take("||"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda: is_any(parts)

    def _both(self, depth: int) -> _Test:
        parts = [self._single(depth)]
        while self._take("&&"):
            parts.append(self._single(depth))
        return parts[0] if len(parts) == 1 else lambda: not is_any([_negated(one) for one in parts])

    def _single(self, depth: int) -> _Test:
        if depth > _MAX_DEPTH:
            raise self._unread()
        if self._take("!"):
            return _negated(self._single(depth + 1))
        if self._take("("):
            inside = self._either(depth + 1)
            if not self._take(")"):
                raise self._unread()
            return inside
        if self._next()[0] == "word" and self._next()[1] in ("true", "false"):
            is_true = self._next()[1] == "true"
            self._at += 1
            return lambda: is_true
        return self._comparison(depth)

    def _comparison(self, depth: int) -> _Test:
        kind, text = self._next()
        if kind == "word" and _UNKNOWN_UNARY.match(text):
            self._at += 1
            value = self._value(depth)
            if text not in _UNARY:
                return _undecided(f"'{text}'")
            return lambda: _unary(text, value())
        left = self._value(depth)
        kind, sign = self._next()
        self._at += 1
        if kind == "word" and sign.lstrip("-") in _INTEGERS:
            right = self._value(depth)
            return lambda: _compared(_INTEGERS[sign.lstrip("-")], left(), right(), is_number=True)
        if sign in ("=~", "!~"):
            return self._matched(left, is_wanted=sign == "=~")
        if kind == "word" and sign == "in":
            return self._among(left, depth)
        if kind == "word" and sign.startswith("-"):  # -ipmatch, -strmatch, -fnmatch and the like
            self._value(depth)
            return _undecided(f"'{sign}'")
        if sign not in ("==", "=", "!=", "<", "<=", ">", ">="):
            raise self._unread()
        right = self._value(depth)
        return lambda: _compared("==" if sign == "=" else sign, left(), right())

    def _matched(self, left: _Value, *, is_wanted: bool) -> _Test:
        kind, text = self._next()
        self._at += 1
        if kind == "pattern":
            mark = text[1] if text.startswith("m") else "/"
            end = text.rindex(mark)
            pattern, flags = text[text.index(mark) + 1 : end], text[end + 1 :]
        elif kind == "string":
            pattern, flags = text[1:-1], ""
        else:
            raise self._unread()
        return lambda: bool(search(pattern, left(), ignores_case="i" in flags)) == is_wanted

    def _among(self, left: _Value, depth: int) -> _Test:
        values: list[_Value] = []
        if not self._take("{"):
            raise self._unread()
        while not self._take("}"):
            values.append(self._value(depth))
            self._take(",")
        return lambda: left() in [one() for one in values]

    def _value(self, depth: int) -> _Value:
        kind, text = self._next()
        self._at += 1
        if kind == "variable":
            return lambda: self._variable(text[2:-1])
        if kind == "string":
            return lambda: re.sub(r"%\{([^}]*)\}", lambda one: self._variable(one[1]), text[1:-1])
        if kind != "word":
            raise self._unread()
        if self._take("("):
            if depth > _MAX_DEPTH:
                raise self._unread()
            inside = self._value(depth + 1)
            if not self._take(")"):
                raise self._unread()
            return self._called(text, inside)
        if text.startswith("$"):
            return _unknown(text)
        return lambda: text

    def _called(self, name: str, inside: _Value) -> _Value:
        if name in ("req", "http", "req_novary"):
            return lambda: self._variable(f"HTTP:{inside()}")
        if name == "tolower":
            return lambda: inside().lower()
        if name == "toupper":
            return lambda: inside().upper()
        return _unknown(f"{name}(...)")


def _negated(test: _Test) -> _Test:
    return lambda: not test()


def _undecided(words: str) -> _Test:
    def fails() -> bool:
        raise UndecidedError(words)

    return fails


def _unknown(words: str) -> _Value:
    def fails() -> str:
        raise UndecidedError(words)

    return fails


def _unary(sign: str, value: str) -> bool:
    if sign == "-n":
        return bool(value)
    if sign == "-z":
        return not value
    return value.lower() not in ("", "0", "off", "false", "no")


def _compared(sign: str, left: str, right: str, *, is_number: bool = False) -> bool:
    if is_number and not (re.fullmatch(r"-?\d{1,18}", left) and re.fullmatch(r"-?\d{1,18}", right)):
        raise UndecidedError(f"{left[:40]!r} as a number")
    if is_number:
        order = (int(left) > int(right)) - (int(left) < int(right))
    else:
        order = (left > right) - (left < right)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[sign]
