"""Making text that a peer chose safe to print.

A terminal acts on control characters and escape sequences, and bidirectional overrides reorder what a
person reads: none of them may reach a screen or a log as they came.
"""

from __future__ import annotations

import unicodedata
from typing import Final

#: Categories that are never printed as they are: controls, formats (bidi overrides, zero width), surrogates,
#: private use, line and paragraph separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str | bytes) -> str:
    r"""The text with everything unsafe escaped (`\n`, `\x1b`, `\u202e`); bytes are read as UTF-8."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    short = _SHORT.get(character)
    if short is not None:
        return short
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
