"""Lines made of styled pieces: measuring, cutting, and joining. Text is escaped before it gets here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from wsinspect.text import cell_width, folded, truncate

#: Pieces of text with the names of their styles: a line before a theme is applied.
Line = list[tuple[str, str]]
#: A blank between a number and its unit, or inside `4 min 12 s`: a line does not end there.
_UNIT: Final = re.compile(
    r"(?<=[0-9]) (?=(?:[num]?s|min|h|d|%|(?:k|[KMGT]i)?B)(?![A-Za-z0-9]))"
    r"|(?<=[0-9] min) (?=[0-9]+ s\b)|(?<=[0-9] h) (?=[0-9]+ min\b)|(?<=[0-9] d) (?=[0-9]+ h\b)"
)
#: What may stand behind a command: an option, a quoted or a capital word, a number, a filter or a path.
_ARGUMENT: Final = (
    r"(?:'[^']*'|\"[^\"]*\"|--?[a-z][\w-]*(?:=\S+)?|--(?= )|[A-Z][A-Z0-9_./:-]+(?![a-z])|last\b|\d\S*"
    r"|[^\s,;]*[/=:$][^\s,;]*[^\s,;:.])"
)
_COMMANDS: Final = (
    "run|demo|open|serve|show|doctor|diagnose|explain|check|connect|mock|replay|export|report|import|merge|"
    "faults|ls|rm|ps|stop|browser|ca|completion|skill|mcp|addons"
)
#: A command in a sentence of ours, as people copy it: a line does not end inside.
_COMMAND: Final = re.compile(
    rf"(?:\bwsinspect [a-z][a-z-]*|(?<!\S)(?:(?:{_COMMANDS}) )?--[a-z][\w-]*(?:=\S+)?)(?: {_ARGUMENT})*"
)
#: Stands for a blank at which a line does not end.
_GLUE: Final = "\ue000"


def width_of(line: Line) -> int:
    """Cells of a line."""
    return sum(cell_width(text) for text, _ in line)


def text_of(line: Line) -> str:
    """A line without its styles."""
    return "".join(text for text, _ in line)


def fit(line: Line, width: int) -> Line:
    """The line cut to at most `width` cells."""
    left, fitted = width, []
    for text, style in line:
        cells = cell_width(text)
        if cells > left:
            fitted.append((truncate(text, left), style))
            return fitted
        fitted.append((text, style))
        left -= cells
    return fitted


def between(left: Line, right: Line, width: int, filler: str = " ", style: str = "") -> Line:
    """Two ends of a line with a filler between them; the right end goes first where both do not fit."""
    space = width - width_of(left) - width_of(right)
    if space >= 1:
        return [*left, (filler * space, style), *right]
    left = fit(left, width)
    return [*left, (filler * (width - width_of(left)), style)]


def wrap(text: str, width: int) -> list[str]:
    """Escaped text in pieces of at most `width` cells, cut anywhere: what a peer sent has no words."""
    if width <= 0:
        return [text]
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    pieces, start, used = [], 0, 0
    for index, char in enumerate(text):
        cells = cell_width(char)
        if used + cells > width:
            pieces.append(text[start:index])
            start, used = index, 0
        used += cells
    return [*pieces, text[start:]]


def fold(line: Line, width: int) -> list[Line]:
    """A line in lines of at most `width` cells: a piece that is too long continues below where it begins, or
    nearby."""
    if width_of(line) <= width or not line:
        return [line]
    *before, (text, style) = line
    begin = width_of(before)
    if begin >= width:
        *lines, end = fold(before, width)
        if width_of(end) < width:
            return [*lines, *fold([*end, (text, style)], width)]
        return [*lines, end, *fold([(" " * (4 if width > 20 else 0), ""), (text.lstrip(), style)], width)]
    indent = begin if begin <= width // 3 else 4 if width > 20 else 0
    room = max(width - indent, 1)
    if before and text.strip() and cell_width(text.strip()) <= width // 3:
        return [before, [(" " * indent, ""), (text.strip(), style)]]
    first, *more = broken(text, max(width - begin, 1), room)
    folded: list[Line] = [fit([*before, (first, style)], width)]
    return folded + [[(" " * indent, ""), (piece, style)] for piece in more]


def broken(text: str, first: int, room: int, *, is_verbatim: bool = False) -> list[str]:
    """Escaped text in pieces, at spaces where there are some; the first is at most `first` cells wide.

    A number and its unit stay in one piece.

    Args:
        is_verbatim: of a run of blanks only the one at which a line ends may be left out. In our own lines
            a run separates, and does not begin the next line.
    """
    pieces: list[str] = []
    left, blank = (text, " ") if is_verbatim or _GLUE in text else (_glued(text), _GLUE)
    while left:
        cells = room if pieces else first
        piece = wrap(left, cells)[0]
        if len(piece) < len(left):
            at = _last_blank(left, len(piece))
            if at <= len(piece) // 2:  # better inside a command than inside a word
                at = max(at, left.rfind(blank, 0, len(piece) + 1))
            if at > len(piece) // 2:
                piece = piece[: at + 1]
        pieces.append(piece.replace(blank, " "))
        left = left[len(piece) :]
        if not is_verbatim:
            left = left.lstrip(f" {blank}")
        elif not piece.endswith(" "):
            left = left.removeprefix(" ")
    return pieces or [""]


def _glued(text: str) -> str:
    """The text with the blanks inside its commands replaced by `_GLUE`."""
    if "wsinspect " not in text and "--" not in text:
        return text
    return _COMMAND.sub(lambda found: found[0].replace(" ", _GLUE), text)


def _last_blank(text: str, end: int) -> int:
    """The last blank of a text, up to `end`, at which a line may end; -1 where there is none."""
    at = text.rfind(" ", 0, end + 1)
    while at >= 0 and _UNIT.match(text, at):
        at = text.rfind(" ", 0, at)
    return at


def flow(text: str, width: int) -> list[str]:
    """Our own sentences, broken at spaces, but not between a number and its unit, nor inside a command.

    A command that is wider than a line is broken at its blanks.
    """
    lines, line = [], ""
    text = " ".join(text.split())
    blank = " " if _GLUE in text else _GLUE  # where somebody else wrote that, no command is looked for
    for word in _words(text if blank == " " else _glued(text)):
        for part in [word] if len(word) <= width else word.split(blank):
            if line and len(line) + 1 + len(part) > width:
                lines.append(line)
                line = part
            else:
                line = f"{line} {part}" if line else part
    return [one.replace(blank, " ") for one in ([*lines, line] if line else lines)]


def _words(text: str) -> list[str]:
    """Words, each number with its unit."""
    words: list[str] = []
    begin = 0
    while (end := _first_blank(text, begin)) >= 0:
        words.append(text[begin:end])
        begin = end + 1
    return [*words, text[begin:]] if text else []


def _first_blank(text: str, begin: int) -> int:
    """The first blank of a text, from `begin`, at which a line may end; -1 where there is none."""
    at = text.find(" ", begin)
    while at >= 0 and _UNIT.match(text, at):
        at = text.find(" ", at + 1)
    return at


def cut(line: Line, width: int, indent: int = 0) -> list[Line]:
    """A line in lines of at most `width` cells, cut anywhere; all but the first are indented by `indent`.

    Styles stay with their characters, so that what is marked stays so across a break.
    """
    if width <= 0 or width_of(line) <= width:
        return [line]
    indent = indent if indent < width // 2 else 0
    lines: list[Line] = []
    now: Line = []
    left = width
    for text, style in line:
        rest = text
        while rest:
            if left <= 0:
                lines.append(now)
                now, left = ([(" " * indent, "")] if indent else []), width - indent
            piece = _first(rest, left)
            if not piece and left < width - indent:
                left = 0  # a wide character that does not fit any more
                continue
            piece = piece or rest[0]
            now.append((piece, style))
            left -= cell_width(piece)
            rest = rest[len(piece) :]
    return [*lines, now]


def mark(line: Line, needle: str, style: str) -> Line:
    """The line with every match of a text in another style, wherever pieces end; case does not matter."""
    return _marked(line, _spans(text_of(line), needle), style)


def mark_broken(lines: list[Line], line: Line, needle: str, style: str) -> tuple[list[Line], list[int]]:
    """The lines that a line was broken into, with every match in another style, whatever break is in it.

    Args:
        lines: the line in pieces, in order: at a break blanks may be missing, behind it an indent may be new.
        line: the line as it was.

    Returns:
        The lines, and those of them in which a match begins: one that continues below is one place, not two.
    """
    text = text_of(line)
    spans = _spans(text, needle)
    if not spans:
        return lines, []
    marked: list[Line] = []
    places: list[int] = []
    here = begun = ended = 0
    for number, piece in enumerate(lines):
        shown = text_of(piece)
        blanks = len(shown) - len(shown.lstrip(" "))
        begin = here
        while begin < len(text) and text[begin] == " " and blanks < len(shown):
            begin += 1
        # Blanks in front are the text's own where as many are there; else they are the indent.
        column = blanks
        if begin - here == blanks or blanks == len(shown):
            begin, column = here, 0
        end = begin + len(shown) - column
        if blanks == len(shown):  # its indent is blanks, too: what it has of the text are the blanks there
            end = min(end, begin + len(text[begin:end]) - len(text[begin:end].lstrip(" ")))
        while ended < len(spans) and spans[ended][1] <= begin:
            ended += 1
        own = [one for one in spans[ended : bisect_left(spans, (end, 0))] if one[1] > begin]
        shift = column - begin
        marked.append(_marked(piece, [(max(a, begin) + shift, min(b, end) + shift) for a, b in own], style))
        if begun < len(spans) and spans[begun][0] < end:
            places.append(number)
            begun = bisect_left(spans, (end, 0))
        here = end
    return marked, places


def without_gaps(rows: Sequence[str]) -> list[str]:
    """Rows of a table without what no row needs of its width: of blanks in all of them two stay, in a row.

    Rows with characters of two cells keep their width: a character's place is not its cell there.
    """
    if not all(cell_width(row) == len(row) for row in rows):
        return list(rows)
    used = {place for row in rows for place, character in enumerate(row) if character != " "}
    width = max(map(len, rows), default=0)
    kept = [place for place in range(width) if not used.isdisjoint((place, place - 1, place - 2))]
    return ["".join(row[place] for place in kept if place < len(row)).rstrip() for row in rows]


def _spans(text: str, needle: str) -> list[tuple[int, int]]:
    """Where a text is in another, without regard to case."""
    text, wanted = folded(text), folded(needle)
    spans: list[tuple[int, int]] = []
    at = text.find(wanted) if wanted else -1
    while at >= 0:
        spans.append((at, at + len(wanted)))
        at = text.find(wanted, at + len(wanted))
    return spans


def _marked(line: Line, spans: list[tuple[int, int]], style: str) -> Line:
    """The line with stretches of its text, ascending, in another style."""
    if not spans:
        return line
    marked: Line = []
    begin = 0
    for piece, own in line:
        end, here = begin + len(piece), begin
        for first, last in spans:
            first, last = max(first, begin), min(last, end)
            if first >= last:
                continue
            marked += [(piece[here - begin : first - begin], own)] if first > here else []
            marked.append((piece[first - begin : last - begin], style))
            here = last
        marked += [(piece[here - begin :], own)] if here < end else []
        begin = end
    return marked


def _first(text: str, width: int) -> str:
    """As much of a text as `width` cells hold; empty where the first character is wider."""
    if text.isascii():
        return text[:width]
    used = 0
    for index, char in enumerate(text):
        used += cell_width(char)
        if used > width:
            return text[:index]
    return text
