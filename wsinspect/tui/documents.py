"""What a payload looks like: text, JSON, hex, and whatever decoders are registered.

Contract: a document is asked for single lines; it never makes more of them than it must. Text is shown by
windows, JSON only up to a size that can be laid out at once; both say so. Peer bytes never raise, and are
never read as markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from wsinspect.text import escape, escape_lines
from wsinspect.tui.blobs import Blob
from wsinspect.tui.cells import wrap
from wsinspect.tui.style import Line

TEXT_WINDOW_BYTES: Final = 64 * 1024
JSON_LIMIT_BYTES: Final = 256 * 1024
_DECODER_LIMIT_BYTES: Final = 256 * 1024
_HEX_ROW: Final = 16
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_MAX_INDENT: Final = 40
_BEGINS: Final = ("{", "[")
_ENDS: Final = ("}", "]")


class Document(Protocol):
    """Lines to be shown."""

    def line_count(self, width: int) -> int:
        """How many there are at this width."""

    def line(self, number: int, width: int) -> Line:
        """One of them."""


class LinesDocument:
    """Lines that are known; long ones are continued below."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = list(lines)
        self._wrapped: list[Line] = []
        self._width = -1

    def line_count(self, width: int) -> int:
        """All of them, wrapped."""
        self._wrap(width)
        return len(self._wrapped)

    def line(self, number: int, width: int) -> Line:
        """One of them."""
        self._wrap(width)
        return self._wrapped[number]

    def _wrap(self, width: int) -> None:
        if width == self._width:
            return
        self._width = width
        self._wrapped = []
        for line in self.lines:
            if len(line) == 1:
                text, style = line[0]
                self._wrapped += [[(piece, style)] for piece in wrap(text, width)]
            else:
                self._wrapped.append(line)


class HexDocument:
    """Offset, sixteen bytes, and the ASCII among them; read as it is shown."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    def line_count(self, width: int) -> int:
        """A line for sixteen bytes, or for eight where it is narrow."""
        return -(-self._blob.length // _per_line(width))

    def line(self, number: int, width: int) -> Line:
        """One of them."""
        size = _per_line(width)
        row = self._blob.read(number * size, size)
        halves = (row[:8].hex(" "), row[8:].hex(" "))
        digits = f"{halves[0]:<23}" + (f"  {halves[1]:<23}" if size == _HEX_ROW else "")
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        return [(f"{number * size:08x}  ", "muted"), (digits, ""), (f"  {shown}", "s2c")]


def _per_line(width: int) -> int:
    return _HEX_ROW if width >= 77 else 8


@dataclass(frozen=True)
class PayloadView:
    """A way to look at a payload.

    Attributes:
        name: shown as its tab, and in the command palette.
        fits: whether it has something to say about payloads that begin like this, of this opcode, under this
            subprotocol.
        decode: lines of plain text for the whole payload; they are escaped here.
    """

    name: str
    fits: Callable[[bytes, int, str | None], bool]
    decode: Callable[[bytes], Sequence[str]]


_decoders: list[PayloadView] = []


def register(view: PayloadView) -> None:
    """Offer one more view; one of the same name is replaced."""
    _decoders[:] = [known for known in _decoders if known.name != view.name]
    _decoders.append(view)


def unregister(name: str) -> None:
    """Withdraw a view."""
    _decoders[:] = [known for known in _decoders if known.name != name]


TEXT, JSON, HEX = "text", "json", "hex"


def views_for(blob: Blob, opcode: int, subprotocol: str | None) -> list[str]:
    """The names of the views that are offered for a payload."""
    begin = blob.read(0, 512)
    fitting = [view.name for view in _decoders if view.fits(begin, opcode, subprotocol)]
    return [TEXT, JSON, HEX, *fitting]


def best_view(blob: Blob, opcode: int) -> str:
    """The view to begin with: JSON for what looks like it, text for text, hex else."""
    begin = blob.read(0, 64).lstrip()
    if begin[:1] in (b"{", b"[") and blob.length <= JSON_LIMIT_BYTES:
        try:
            json.loads(blob.read(0, JSON_LIMIT_BYTES), parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return TEXT if opcode == 1 else HEX
        return JSON
    return TEXT if opcode == 1 or (opcode >= 8 and begin.isascii()) else HEX


def make_document(name: str, blob: Blob, window: int = 0) -> Document:
    """A payload in a view; `window` counts the windows of a long text."""
    if blob.length == 0:
        return LinesDocument([[("0 bytes", "muted")]])
    if name == HEX:
        return HexDocument(blob)
    if name == JSON:
        return LinesDocument(list(json_lines(blob)))
    for view in _decoders:
        if view.name == name:
            return LinesDocument(list(_decoded(view, blob)))
    return LinesDocument(list(text_lines(blob, window)))


def text_windows(blob: Blob) -> int:
    """How many windows a text has."""
    return max(-(-blob.length // TEXT_WINDOW_BYTES), 1)


def text_lines(blob: Blob, window: int = 0) -> Iterator[Line]:
    """A window of a text, escaped."""
    begin = window * TEXT_WINDOW_BYTES
    data = blob.read(begin, TEXT_WINDOW_BYTES)
    count = text_windows(blob)
    if count > 1:
        words = f"bytes {begin} to {begin + len(data)} of {blob.length}; < and > show the {count} windows"
        yield [(words, "muted")]
    for line in escape_lines(data.decode("utf-8", "backslashreplace")):
        yield [(line, "")]


def json_lines(blob: Blob) -> Iterator[Line]:
    """JSON, a member a line, every token as it was sent; or the place where it stops being JSON."""
    if blob.length > JSON_LIMIT_BYTES:
        yield [(f"{blob.length} bytes: more than the {JSON_LIMIT_BYTES} that are laid out", "warn")]
        yield [("text (v) and hex show all of it", "muted")]
        return
    data = blob.read(0, JSON_LIMIT_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        yield [(f"no JSON: byte {error.start} is not UTF-8 (0x{data[error.start]:02x})", "error")]
        return
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        yield from _json_error(text, error.msg, error.pos)
    except RecursionError:
        yield [("nested too deeply to be laid out; text and hex show it", "warn")]
    except ValueError as error:
        yield [(f"no JSON: {escape(str(error))}", "error")]
    else:
        yield from _laid_out(text)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not in RFC 8259")


def _json_error(text: str, message: str, at: int) -> Iterator[Line]:
    """Words, and a caret below the character."""
    yield [(f"no JSON: {message} at character {at}", "error")]
    start = max(at - 40, text.rfind("\n", 0, at) + 1)
    begin = escape(text[start:at]) if at > start else ""
    end = text.find("\n", at)
    rest = text[at : min(at + 40, len(text) if end < 0 else end)]
    yield [(begin + (escape(rest) if rest else ""), "")]
    yield [(" " * len(begin) + "^", "error")]


def _laid_out(text: str) -> Iterator[Line]:
    depth, line, before = 0, "", ""
    for match in _TOKEN.finditer(text):
        part = match[0]
        is_end, was_begin = part in _ENDS, before in _BEGINS
        depth -= is_end
        if (before == "," or was_begin) if not is_end else not was_begin:
            yield [(line, "")]
            line = "  " * min(depth, _MAX_INDENT)
        line += ": " if part == ":" else escape(part)
        depth += part in _BEGINS
        before = part
    yield [(line, "")]


def _decoded(view: PayloadView, blob: Blob) -> Iterator[Line]:
    if blob.length > _DECODER_LIMIT_BYTES:
        yield [(f"{blob.length} bytes: more than the {_DECODER_LIMIT_BYTES} that are decoded", "warn")]
        return
    try:
        lines = view.decode(blob.read(0, _DECODER_LIMIT_BYTES))
    except (ValueError, LookupError, RecursionError, ArithmeticError) as error:
        yield [(f"{view.name} cannot read it: {escape(str(error))}", "error")]
        return
    for line in lines:
        yield [(escape(line), "")]
