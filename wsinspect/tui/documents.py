"""What a payload looks like: text, JSON, hex, and by the decoders of subprotocols that fit it.

Contract: a document is asked for single lines; it never makes more of them than it must. Text is shown by
windows, JSON only up to a size that can be laid out at once; both say so. Peer bytes never raise, and are
never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from wsinspect import decoders
from wsinspect.decoders.json_text import NotJson, lay_out, parse_json
from wsinspect.decoders.limits import MAX_BYTES
from wsinspect.decoders.model import Payload
from wsinspect.present.cells import Line, fold, wrap
from wsinspect.present.frame_table import hex_dump
from wsinspect.text import escape, escape_lines
from wsinspect.tui.blobs import Blob

TEXT_WINDOW_BYTES: Final = 64 * 1024
JSON_LIMIT_BYTES: Final = 256 * 1024
#: Bytes of a payload that a pager gets.
WHOLE_BYTES: Final = 16 * 1024 * 1024
_HEX_ROW: Final = 16


class Document(Protocol):
    """Lines to be shown."""

    def line_count(self, width: int) -> int:
        """How many there are at this width."""

    def line(self, number: int, width: int) -> Line:
        """One line, from 0, of those that `line_count` counts at the same width."""


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
                self._wrapped += fold(line, width)


class HexDocument:
    """Offset, sixteen bytes, and the ASCII among them; read as it is shown."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    def line_count(self, width: int) -> int:
        """A line for sixteen bytes, or for eight where it is narrow."""
        return -(-self._blob.length // _per_line(width))

    def line(self, number: int, width: int) -> Line:
        size = _per_line(width)
        row = self._blob.read(number * size, size)
        halves = (row[:8].hex(" "), row[8:].hex(" "))
        digits = f"{halves[0]:<23}" + (f"  {halves[1]:<23}" if size == _HEX_ROW else "")
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        return [(f"{number * size:08x}  ", "muted"), (digits, ""), (f"  {shown}", "s2c")]


def _per_line(width: int) -> int:
    return _HEX_ROW if width >= 77 else 8


TEXT, JSON, HEX = "text", "json", "hex"


def payload_of(
    blob: Blob, opcode: int, *, subprotocol: str | None = None, path: str = "", is_s2c: bool = False
) -> Payload:
    """What a decoder gets of a payload; of one that is too large to decode, only the beginning."""
    data = blob.read(0, MAX_BYTES)
    return Payload(data, opcode == 1, subprotocol, path, is_s2c, is_whole=blob.length <= MAX_BYTES)


def views_for(payload: Payload) -> list[str]:
    """The names of the views that are offered for a payload."""
    return [TEXT, JSON, HEX, *(decoder.name for decoder in decoders.decoders_for(payload))]


def best_view(payload: Payload, opcode: int) -> str:
    """The view to begin with: a decoder that is sure, JSON for what is that, text for text, hex else."""
    if opcode < 8:
        for decoder in decoders.decoders_for(payload):
            if decoder.is_sure:
                return decoder.name
    begin = payload.data[:64].lstrip()
    if begin[:1] in (b"{", b"[") and payload.is_whole:
        try:
            parse_json(payload.text)
        except NotJson:
            return TEXT if opcode == 1 else HEX
        return JSON
    return TEXT if opcode == 1 or (opcode >= 8 and begin.isascii()) else HEX


def make_document(name: str, blob: Blob, window: int = 0, payload: Payload | None = None) -> Document:
    """A payload in a view; `window` counts the windows of a long text."""
    if blob.length == 0:
        return LinesDocument([[("0 bytes", "muted")]])
    if name == HEX:
        return HexDocument(blob)
    if name == JSON:
        return LinesDocument(list(json_lines(blob)))
    if payload is not None:
        for decoder in decoders.known():
            if decoder.name == name:
                return LinesDocument(list(_decoded(decoder, payload)))
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


def whole_text(name: str, blob: Blob) -> str | None:
    """All of a payload for a pager, where the view on the screen shows a part of it; else None.

    Args:
        name: of the view. JSON that is too large to be laid out is given as text.
    """
    if name == HEX:
        data = blob.read(0, WHOLE_BYTES)
        lines = list(hex_dump(data))
    elif name == TEXT or (name == JSON and blob.length > JSON_LIMIT_BYTES):
        data = blob.read(0, WHOLE_BYTES)
        lines = escape_lines(data.decode("utf-8", "backslashreplace"))
    else:
        return None
    if len(data) < blob.length:
        lines.append(f"({blob.length - len(data)} more bytes: y copies all of them to a file)")
    return "\n".join(lines)


def json_lines(blob: Blob) -> Iterator[Line]:
    """JSON, a member a line, every token as it was sent; or the place where it stops being JSON."""
    if blob.length > JSON_LIMIT_BYTES:
        yield [(f"{blob.length} bytes: more than the {JSON_LIMIT_BYTES} that can be formatted", "warn")]
        yield [("text (v) and hex show all of it", "muted")]
        return
    data = blob.read(0, JSON_LIMIT_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        yield [(f"not JSON: byte {error.start} is not UTF-8 (0x{data[error.start]:02x})", "error")]
        return
    try:
        parse_json(text)
    except NotJson as error:
        if error.position is None:
            yield [(f"not JSON: {escape(str(error))}", "error")]
            yield [("text (v) and hex show it", "muted")]
        else:
            yield from _json_error(text, str(error), error.position)
    else:
        for line in lay_out(text):
            yield [(escape(line), "")]


def _json_error(text: str, message: str, at: int) -> Iterator[Line]:
    """Words, and a caret below the character."""
    yield [(f"not JSON: {message}", "error")]
    start = max(at - 40, text.rfind("\n", 0, at) + 1)
    begin = escape(text[start:at]) if at > start else ""
    end = text.find("\n", at)
    rest = text[at : min(at + 40, len(text) if end < 0 else end)]
    yield [(begin + (escape(rest) if rest else ""), "")]
    yield [(" " * len(begin) + "^", "error")]


def _decoded(decoder: decoders.Decoder, payload: Payload) -> Iterator[Line]:
    decoded = decoders.decode(decoder, payload)
    for line in decoded.lines:
        yield [(escape(line), "")]
    if decoded.problem is not None:
        yield [(f"{decoder.name}: {escape(decoded.problem)}", "error")]
