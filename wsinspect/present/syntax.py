"""Colours for text: XML and HTML, and protocols whose lines are `Name: value`.

Contract: escaped lines in, the same text out in pieces. Of a long text only the beginning is coloured:
Pygments reads about a megabyte a second.
"""

from __future__ import annotations

import re
from typing import Final

from wsinspect.present.cells import Line

#: Characters that are coloured.
COLOURED_CHARS: Final = 16 * 1024
_MARKUP: Final = re.compile(rb"\s*<(?:\?xml|!DOCTYPE|!--|[A-Za-z_][\w:.-]*[\s/>])")
_FIELD: Final = re.compile(r"([A-Za-z0-9_!#$%&'*+.^`|~-]{1,64})(\s*[:=]\s?)(.*)")
#: Fewer fields than this at the head of a text are no protocol.
_LEAST_FIELDS: Final = 2
_LOOKED_AT: Final = 40


def looks_like_markup(begin: bytes) -> bool:
    """Whether a text begins like XML or HTML."""
    return _MARKUP.match(begin.removeprefix(b"\xef\xbb\xbf")) is not None


def coloured(lines: list[Line], *, is_markup: bool = False) -> list[Line]:
    """Lines of one piece each, in several where their language has colours; else as they are."""
    if is_markup:
        return _markup(lines)
    return _fields(lines)


def _fields(lines: list[Line]) -> list[Line]:
    """A head of `Name: value` lines behind at most one other line (STOMP, HTTP, SIP): until an empty line."""
    head: list[int] = []
    for number, line in enumerate(lines[:_LOOKED_AT]):
        text = "".join(piece for piece, _ in line)
        if not text or text == "␀":
            break
        if _FIELD.fullmatch(text):
            head.append(number)
        elif number:
            return lines
    if len(head) < _LEAST_FIELDS:
        return lines
    found = list(lines)
    if head[0] == 1:
        found[0] = [(text, "word") for text, _ in lines[0]]
    for number in head:
        match = _FIELD.fullmatch("".join(piece for piece, _ in lines[number]))
        if match is not None:
            found[number] = [(match[1], "name"), (match[2], "sign"), (match[3], "string")]
    return found


def _markup(lines: list[Line]) -> list[Line]:
    from pygments.lexers.html import XmlLexer
    from pygments.token import Comment, Name, String

    used, count = 0, 0
    while count < len(lines) and used < COLOURED_CHARS:
        used += sum(len(piece) for piece, _ in lines[count])
        count += 1
    text = "\n".join("".join(piece for piece, _ in line) for line in lines[:count])
    styles = ((Name.Tag, "name"), (Name.Attribute, "number"), (String, "string"), (Comment, "muted"))
    if len(text) > 2 * COLOURED_CHARS:  # one line of a megabyte
        return lines
    found: list[Line] = [[]]
    for kind, value in XmlLexer(stripnl=False, ensurenl=False).get_tokens(text):
        style = next((style for known, style in styles if kind in known), "word" if kind in Name else "")
        for number, part in enumerate(value.split("\n")):
            if number:
                found.append([])
            if part:
                found[-1].append((part, style))
    return [*found[:count], *lines[count:]]
