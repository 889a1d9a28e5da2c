"""What stands for a value in a filter as it was written, and how values are written back."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: What a value may hold without quotes.
_PLAIN: Final = re.compile(
    r"[^\s()&|\"'\\!,~\x00-\x1f\x7f-\x9f\ud800-\udfff][^\s()&|\x00-\x1f\x7f-\x9f\ud800-\udfff]*"
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_WRITTEN: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_HEX_ESCAPE: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")
_LOWEST_BYTE: Final = 0xDC00
_FIRST_HIGH_BYTE: Final = 0x80


class Raw(NamedTuple):
    """A value as it was written.

    Attributes:
        text: without quotes and escapes; `\\xff` in quotes is the byte 0xff, kept as Python's
            `surrogateescape` keeps it.
        quote: the quote around it; empty for none.
        offset: where it begins in the filter.
    """

    text: str
    quote: str
    offset: int


class BadValueError(Exception):
    """A value that its key does not know.

    Attributes:
        expected: what the key knows.
        skip: how many characters of the value are in order.
        suggestion: what was probably meant.
    """

    def __init__(self, expected: str, *, skip: int = 0, suggestion: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.skip = skip
        self.suggestion = suggestion


def write_text(text: str) -> str:
    """A text as a value, in quotes where it needs them."""
    if _PLAIN.fullmatch(text) and text != "*":
        return text
    return '"' + "".join(map(_write_char, text)) + '"'


def _write_char(char: str) -> str:
    code = ord(char)
    if char in _WRITTEN:
        return _WRITTEN[char]
    if _LOWEST_BYTE <= code < _LOWEST_BYTE + 0x100:
        return f"\\x{code - _LOWEST_BYTE:02x}"
    if code < 0x20 or 0x7F <= code < 0xA0:
        return f"\\u{code:04x}"
    return char


def unescape(source: str, offset: int) -> tuple[str, int] | None:
    """The character of an escape, and where it ends.

    Args:
        source: the filter.
        offset: behind the backslash.
    """
    char = source[offset : offset + 1]
    if char in _ESCAPES:
        return _ESCAPES[char], offset + 1
    match = _HEX_ESCAPE.match(source, offset)
    if match is not None:
        code = int(match[1] or match[2] or match[3], 16)
        if match[1] and code >= _FIRST_HIGH_BYTE:
            return chr(_LOWEST_BYTE + code), match.end()
        return (chr(code), match.end()) if code < 0x110000 and not 0xD800 <= code < 0xE000 else None
    return (char, offset + 1) if char and not char.isalnum() else None


def text_bytes(text: str) -> bytes:
    """The bytes that a text stands for."""
    return text.encode("utf-8", "surrogateescape")


def is_text(text: str) -> bool:
    """Whether a text stands for bytes: lone surrogates other than escaped bytes do not."""
    try:
        text_bytes(text)
    except UnicodeEncodeError:
        return False
    return True
