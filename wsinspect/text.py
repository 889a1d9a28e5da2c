"""Text that a peer or a file chose, made safe and measurable for a terminal.

Contract: what `escape` and `escape_bytes` return has no character that a terminal acts on or that changes the
order or the joining of others: control characters (C0, DEL, C1), line and paragraph separators, format
characters (bidi controls, zero-width ones, tags), surrogates, private use and unassigned ones. C0 controls
become their control pictures (`␛`, `␊`), the others their code point (`\\x9b`, `\\u202e`). Everything that is
shown to a person and was not written by us goes through here, once.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

#: U+2400, the picture of NUL; those of the other C0 controls follow. RFC 6455 payloads are mostly JSON, so a
#: picture, not a backslash sequence, stands for a control: it cannot be mistaken for JSON's own escapes.
_PICTURES = 0x2400
_DELETE, _DELETE_PICTURE = 0x7F, "\N{SYMBOL FOR DELETE}"
#: Of `unicodedata.category`.
UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING = frozenset({"Mn", "Me"})
ELLIPSIS = "…"


class _Escapes:
    """The table for `str.translate`; it computes, so that hostile text cannot make it grow."""

    def __getitem__(self, code: int) -> str:
        if code < 0x20:
            return chr(_PICTURES + code)
        if code == _DELETE:
            return _DELETE_PICTURE
        if unicodedata.category(chr(code)) in UNSAFE_CATEGORIES:
            return _code_point(code)
        raise LookupError


_ESCAPES = _Escapes()


def escape(text: str) -> str:
    """`text` on one line, safe to print; printable text comes back as it is."""
    if text.isascii() and text.isprintable():
        return text
    safe = text if text.isprintable() else text.translate(_ESCAPES)
    if unicodedata.category(safe[0]) in _COMBINING:  # would join the character before it
        safe = _code_point(ord(safe[0])) + safe[1:]
    return safe


def escape_bytes(data: bytes) -> str:
    """Bytes that ought to be UTF-8, safe to print; a byte that is not becomes `\\xff`."""
    return escape(data.decode("utf-8", "backslashreplace"))


def escape_lines(text: str) -> list[str]:
    """`text` by lines, each safe to print; only LF and CR LF end a line."""
    return [escape(line.removesuffix("\r")) for line in text.split("\n")]


def folded(text: str) -> str:
    """`text` without case, for finding. It stays as long: a place in one is the same place in the other.

    `İ` alone has two characters in lower case (Unicode's SpecialCasing.txt).
    """
    return text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i").lower()


def cell_width(text: str) -> int:
    """How many terminal cells escaped text takes: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def truncate(text: str, cells: int) -> str:
    """Escaped text cut to at most `cells` cells; an ellipsis says that something is missing."""
    if text.isascii():
        if len(text) <= cells:
            return text
        return text[: cells - 1] + ELLIPSIS if cells > 0 else ""
    used, last_fit = 0, 0
    for index, char in enumerate(text):
        used += _char_width(char)
        if used > cells:
            return text[:last_fit] + ELLIPSIS if cells > 0 else ""
        if used < cells:
            last_fit = index + 1
    return text


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """Escaped text with spaces up to `cells` cells, to the left of it when `right`."""
    spaces = " " * (cells - cell_width(text))
    return spaces + text if right else text + spaces


def grouped(count: int) -> str:
    """A count with thin groups of three: `98 198`."""
    return f"{count:,}".replace(",", " ")


def counted(count: int, what: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{grouped(count)} {what}{'' if count == 1 else 's'}"


@lru_cache(maxsize=8192)  # the same few signs make most of a screen, and a stranger's text may have any
def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in _COMBINING:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _code_point(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
