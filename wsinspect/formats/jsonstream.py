"""A huge JSON file read piece by piece, with Python's own fast decoder for the pieces.

`JsonStream` walks through objects and arrays by hand; `value()` decodes one whole value, `skip()` passes over
one of any size in constant memory. The text is held in a window that grows only for one value. What is not
JSON, too deep or too large is a `CaptureError` that says where.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any, Final

from wsinspect.errors import CaptureError
from wsinspect.units import format_size

_READ_BYTES: Final = 256 * 1024
#: Memory that a single value's text may take; a larger one can only be skipped. A 64 MiB message in base64
#: fits.
MAX_VALUE: Final = 128 * 1024 * 1024
#: An error this close to the end of the window may come from the window.
_NEAR_END: Final = 16
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRUCTURE: Final = re.compile(r'["{}\[\]]')
_STRING_END: Final = re.compile(r'["\\]')
_SCALAR_END: Final = re.compile(r"[\s,\]}]")
_DEPTH: Final = 100_000


class Digits(str):
    """A number with a fraction or an exponent, digit by digit: a float would lose nanoseconds of today."""

    __slots__ = ()


class JsonStream:
    """Reads one JSON text.

    Args:
        source: its bytes, UTF-8, a BOM allowed.
        name: what to call it in an error.
    """

    def __init__(self, source: IO[bytes], name: str) -> None:
        self._source = source
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        # Times keep all their digits as text.
        self._scan = json.JSONDecoder(parse_float=Digits).raw_decode
        self._text = ""
        self._pos = 0
        self._passed = 0
        self._is_over = False

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        if self._pos < len(self._text) and (char := self._text[self._pos]) > " ":
            return char
        while True:
            match = _SPACE.match(self._text, self._pos)
            self._pos = match.end() if match else self._pos
            if self._pos < len(self._text):
                return self._text[self._pos]
            if not self._more():
                return ""

    def members(self) -> Iterator[str]:
        """The keys of an object; the caller takes each value before it asks for the next key."""
        self._expect("{")
        if self.peek() == "}":
            self._pos += 1
            return
        while True:
            if self.peek() != '"':
                raise self._error("a key is missing")
            key = self.value()
            self._expect(":")
            yield key
            if self._comma_or("}"):
                return

    def elements(self) -> Iterator[None]:
        """Once for each element of an array; the caller takes it before it asks for the next one."""
        self._expect("[")
        if self.peek() == "]":
            self._pos += 1
            return
        while True:
            yield
            if self._comma_or("]"):
                return

    def value(self) -> Any:
        """Decode the next value; numbers with a fraction come as text."""
        self.peek()
        while True:
            try:
                found, end = self._scan(self._text, self._pos)
            except RecursionError:
                raise self._error("nested too deeply") from None
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _NEAR_END
                if not is_cut or not self._grow():
                    raise self._error("not JSON, or the file is cut off") from None
                continue
            except ValueError:
                raise self._error("a number with too many digits") from None
            # A number at the end of the window may continue.
            if end < len(self._text) or self._text[end - 1] in '"}]' or not self._more():
                self._pos = end
                return found

    def small_value(self, limit: int) -> Any:
        """Decode the next value, or pass over it where its text is longer than `limit`; None then."""
        self.peek()
        while len(self._text) - self._pos <= limit and self._more(limit):
            continue
        try:
            found, end = self._scan(self._text, self._pos)
        except (ValueError, RecursionError):
            self.skip()
            return None
        self._pos = end
        return found

    def skip(self) -> None:
        """Pass over the next value."""
        depth = 0
        while True:
            char = self.peek()
            if not char:
                raise self._error("the file is cut off")
            if char == '"':
                self._skip_string()
            elif char in "{[":
                self._pos += 1
                depth += 1
                if depth > _DEPTH:
                    raise self._error("nested too deeply")
            elif char in "}]":
                if not depth:
                    raise self._error("a value is missing")
                self._pos += 1
                depth -= 1
            elif depth:
                self._skip_to(_STRUCTURE)
                continue
            else:
                self._skip_to(_SCALAR_END)
            if not depth:
                return

    def _skip_string(self) -> None:
        self._pos += 1
        while True:
            self._skip_to(_STRING_END)
            if self._pos >= len(self._text):
                raise self._error("the file is cut off")
            is_end = self._text[self._pos] == '"'
            self._pos += 1
            if is_end:
                return
            if self._pos >= len(self._text) and not self._more():
                raise self._error("the file is cut off")
            self._pos += 1

    def _skip_to(self, pattern: re.Pattern[str]) -> None:
        while True:
            match = pattern.search(self._text, self._pos)
            if match:
                self._pos = match.start()
                return
            self._pos = len(self._text)
            if not self._more():
                return

    def _comma_or(self, end: str) -> bool:
        char = self.peek()
        if char not in (",", end) or not char:
            raise self._error(f"',' or '{end}' is missing, or the file is cut off")
        self._pos += 1
        return char == end

    def _expect(self, char: str) -> None:
        if self.peek() != char:
            raise self._error(f"'{char}' is missing")
        self._pos += 1

    def _grow(self) -> bool:
        """More of the file, at least as much again as is there, so that a long value costs no n squared."""
        have = len(self._text) - self._pos
        if have * (1 if self._text.isascii() else 4) > MAX_VALUE:
            raise self._error(f"one value is larger than {format_size(MAX_VALUE)}")
        return self._more(max(have, _READ_BYTES))

    def _more(self, size: int = _READ_BYTES) -> bool:
        """Another piece behind what is not used up; False at the end of the file."""
        if self._is_over:
            return False
        raw = self._source.read(size)
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            raise self._error("no UTF-8") from None
        self._passed += self._pos
        self._text = self._text[self._pos :] + text
        self._pos = 0
        self._is_over = not raw
        return bool(raw)

    def _error(self, problem: str) -> CaptureError:
        return CaptureError(f"{self._name} cannot be read at character {self._passed + self._pos}: {problem}")
