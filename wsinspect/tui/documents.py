"""What a payload looks like: text, JSON, hex, and by the decoders of subprotocols that fit it.

Contract: a document is asked for single lines; it never makes more of them than it must. Text is shown by
windows, JSON only up to a size that can be laid out at once; both say so. Peer bytes never raise, and are
never read as markup.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, Protocol

from wsinspect import decoders
from wsinspect.decoders.json_text import NotJson, parse_json
from wsinspect.decoders.limits import MAX_BYTES
from wsinspect.decoders.model import Payload
from wsinspect.present.cells import Line, cut, fold, mark_broken, text_of, wrap
from wsinspect.present.frame_table import hex_dump
from wsinspect.present.numbers import time_words
from wsinspect.present.recognised import (
    LOOKED_AT,
    NotUnpacked,
    recognise,
    unpack,
    unpacked_words,
)
from wsinspect.present.syntax import coloured, looks_like_markup
from wsinspect.text import escape, escape_lines, folded
from wsinspect.tui.blobs import Blob
from wsinspect.tui.jsontree import JsonTree
from wsinspect.wire.close_codes import close_name, is_legal_on_wire, parse_close
from wsinspect.wire.opcodes import Opcode

TEXT_WINDOW_BYTES: Final = 64 * 1024
#: JSON up to this is read whole before it is shown, so that an error is the first line.
JSON_CHECKED_BYTES: Final = 256 * 1024
JSON_LIMIT_BYTES: Final = 64 * 1024 * 1024
#: Of something packed, what is read to unpack it.
PACKED_BYTES: Final = 4 * 1024 * 1024
#: Bytes of a payload that a pager gets.
WHOLE_BYTES: Final = 16 * 1024 * 1024
#: Bytes of a line, the most that fit; narrower ones have one group.
_HEX_ROWS: Final = (32, 16)
_HEX_GROUP: Final = 8
#: Bytes of a character in UTF-8 (RFC 3629).
_MOST_BYTES: Final = 4


class Document(Protocol):
    """Lines to be shown."""

    def line_count(self, width: int) -> int:
        """How many there are at this width."""

    def line(self, number: int, width: int) -> Line:
        """One line, from 0, of those that `line_count` counts at the same width."""

    def find(self, needle: str) -> int:
        """Mark every match of a text from now on, none with an empty one; how many there are."""

    def next_match(self, number: int, step: int, width: int) -> int | None:
        """The next line with one, from a line on; None behind the last one."""


class LinesDocument:
    """Lines that are known; long ones are continued below."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = list(lines)
        self._wrapped: list[Line] = []
        #: Of these, in which a match begins.
        self._places: list[int] = []
        self._width = -1
        self._needle = ""

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
        self._wrapped, self._places = [], []
        for line in self.lines:
            pieces = self._pieces(line, width)
            if self._needle:
                pieces, places = mark_broken(pieces, line, self._needle, "match")
                self._places += [len(self._wrapped) + place for place in places]
            self._wrapped += pieces

    def _pieces(self, line: Line, width: int) -> list[Line]:
        """A line as it is shown, in several where it is long."""
        if len(line) != 1:
            return fold(line, width)
        text, style = line[0]
        return [[(piece, style)] for piece in wrap(text, width)]

    def find(self, needle: str) -> int:
        """Mark every match of a text; how many there are."""
        self._needle, self._width = needle, -1
        if not needle:
            return 0
        return sum(folded(text_of(line)).count(folded(needle)) for line in self.lines)

    def next_match(self, number: int, step: int, width: int) -> int | None:
        """The next line in which a match begins, from a line on; None behind the last one."""
        self._wrap(width)
        at = bisect_right(self._places, number) if step > 0 else bisect_left(self._places, number) - 1
        return self._places[at] if 0 <= at < len(self._places) else None


class CodeDocument(LinesDocument):
    """Lines of several colours that are cut anywhere: text of a language, or of a protocol."""

    def _pieces(self, line: Line, width: int) -> list[Line]:
        return cut(line, width)


class HexDocument:
    """Offset, bytes in groups of eight, and the ASCII among them; read as it is shown.

    Attributes:
        at: the byte whose values are shown; None marks none.
    """

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self.at: int | None = None
        self._needle = b""

    @property
    def length(self) -> int:
        """Bytes of all of it."""
        return self._blob.length

    def bytes_at(self, offset: int, size: int = 8) -> bytes:
        """Bytes from there on."""
        return self._blob.read(offset, size)

    @staticmethod
    def bytes_per_line(width: int) -> int:
        """Sixteen; eight where it is narrow, 32 where it is wide."""
        return _per_line(width)

    def line_count(self, width: int) -> int:
        """A line for as many bytes as `bytes_per_line` says."""
        return -(-self._blob.length // _per_line(width))

    def line(self, number: int, width: int) -> Line:
        size = _per_line(width)
        row = self._blob.read(number * size, size)
        styles = self._styles(number * size, row)
        if not styles:
            groups = (row[at : at + _HEX_GROUP].hex(" ") for at in range(0, size, _HEX_GROUP))
            digits = "  ".join(f"{group:<23}" for group in groups)
            shown = "".join(map(_sign_of, row))
            return [(f"{number * size:08x}  ", "muted"), (digits, ""), (f"  {shown}", "s2c")]
        line: Line = [(f"{number * size:08x}  ", "muted")]
        for at in range(size):
            line.append((f"{row[at]:02x}" if at < len(row) else "  ", styles.get(at, "")))
            if at + 1 < size:
                line.append((" " * (1 if (at + 1) % _HEX_GROUP else 2), ""))
        line.append(("  ", ""))
        return line + [(_sign_of(byte), styles.get(at, "s2c")) for at, byte in enumerate(row)]

    def _styles(self, offset: int, row: bytes) -> dict[int, str]:
        """Of the bytes of a line that are marked, or that the values are of."""
        styles: dict[int, str] = {}
        if needle := self._needle:
            begin = max(offset - len(needle) + 1, 0)
            around = self._blob.read(begin, len(row) + 2 * len(needle)).lower()
            at = around.find(needle)
            while at >= 0:
                first = begin + at - offset
                styles.update(
                    dict.fromkeys(range(max(first, 0), min(first + len(needle), len(row))), "match")
                )
                at = around.find(needle, at + 1)
        if self.at is not None and offset <= self.at < offset + len(row):
            styles[self.at - offset] = "accent"
        return styles

    def find(self, needle: str) -> int:
        """Mark every match of a text, or of bytes written as hex; how many there are in the first 16 MiB."""
        self._needle = _needle_bytes(needle)
        return self._blob.read(0, WHOLE_BYTES).lower().count(self._needle) if self._needle else 0

    def next_match(self, number: int, step: int, width: int) -> int | None:
        """The line of the next match, from a line on; None behind the last one."""
        size, data = _per_line(width), self._blob.read(0, WHOLE_BYTES).lower()
        if not self._needle:
            return None
        if step > 0:
            at = data.find(self._needle, (number + 1) * size)
        else:
            at = data.rfind(self._needle, 0, max(number * size, 0) + len(self._needle) - 1)
        return None if at < 0 else at // size


def _sign_of(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else "."


def _needle_bytes(needle: str) -> bytes:
    """What is looked for in bytes: `0x1f8b`, `1f 8b`, else the text as UTF-8, in lower case."""
    digits = re.sub(r"\s", "", needle.removeprefix("0x"))
    is_hex = re.fullmatch(r"0x[0-9A-Fa-f\s]+|[0-9A-Fa-f]{2}(?:\s+[0-9A-Fa-f]{2})+", needle)
    return (bytes.fromhex(digits) if is_hex and len(digits) % 2 == 0 else needle.encode()).lower()


def _per_line(width: int) -> int:
    for size in _HEX_ROWS:
        # Offset, digits in groups, characters, and a cell that stays free.
        if width >= 10 + 3 * size + size // _HEX_GROUP + size + 1:
            return size
    return _HEX_GROUP


TEXT, JSON, HEX = "text", "json", "hex"
#: Views of what is in something packed, and of a CLOSE frame: offered where there is one.
UNPACKED, CLOSE = "unpacked", "close"


def payload_of(
    blob: Blob, opcode: int, *, subprotocol: str | None = None, path: str = "", is_s2c: bool = False
) -> Payload:
    """What a decoder gets of a payload; of one that is too large to decode, only the beginning."""
    data = blob.read(0, MAX_BYTES)
    return Payload(data, opcode == 1, subprotocol, path, is_s2c, is_whole=blob.length <= MAX_BYTES)


def views_for(payload: Payload) -> list[str]:
    """The names of the views that are offered for a payload."""
    known = recognise(payload.data[:LOOKED_AT])
    packed = [UNPACKED] if known is not None and known.packing else []
    return [TEXT, JSON, HEX, *packed, *(decoder.name for decoder in decoders.decoders_for(payload))]


def best_view(payload: Payload, opcode: int) -> str:
    """The view to begin with: a decoder that is sure, JSON for what is that, text for text, hex else.

    One that is sure of the protocol and can read nothing of this payload would show an error in its place.
    """
    if opcode < 8:
        for decoder in decoders.decoders_for(payload):
            if decoder.is_sure and _can_read(decoder, payload):
                return decoder.name
    if opcode == Opcode.CLOSE:
        return CLOSE
    begin = payload.data[:64].lstrip()
    if begin[:1] in (b"{", b"[") and not payload.is_whole and opcode == 1:
        return JSON  # it says so itself where it is not
    if begin[:1] in (b"{", b"[") and payload.is_whole:
        try:
            parse_json(payload.text)
        except NotJson:
            return TEXT if opcode == 1 else HEX
        return JSON
    if opcode != 1 and (known := recognise(payload.data[:LOOKED_AT])) is not None and known.packing:
        return UNPACKED
    return TEXT if opcode == 1 or (opcode >= 8 and begin.isascii()) else HEX


def _can_read(decoder: decoders.Decoder, payload: Payload) -> bool:
    decoded = decoders.decode(decoder, payload)
    return decoded.problem is None or any(decoded.lines)


def fits_view(name: str, payload: Payload, opcode: int) -> bool:
    """Whether a view that was chosen for another payload says something about this one too.

    Hex and text are of any bytes and of any text; JSON is of JSON, also where a decoder knows the protocol
    around it: what is not JSON would be an error in place of the payload.
    """
    if name == TEXT:
        return opcode == 1 or payload.data.isascii()
    if name != JSON:
        return True
    if payload.data[:64].lstrip()[:1] not in (b"{", b"["):
        return False
    if not payload.is_whole:
        return opcode == 1
    try:
        parse_json(payload.text)
    except NotJson:
        return False
    return True


def make_document(
    name: str, blob: Blob, window: int = 0, payload: Payload | None = None, *, is_utc: bool | None = None
) -> Document:
    """A payload in a view.

    Args:
        window: counts the windows of a long text.
        is_utc: numbers that are times are followed by date and time, in UTC or in local time; None leaves
            them alone.
    """
    if name == CLOSE:
        return LinesDocument(list(close_lines(blob)))
    if blob.length == 0:
        return LinesDocument([[("0 bytes", "muted")]])
    if name == HEX:
        return HexDocument(blob)
    if name == JSON:
        return _json_document(blob, is_utc)
    if name == UNPACKED:
        return _unpacked_document(blob, is_utc)
    if payload is not None:
        for decoder in decoders.known():
            if decoder.name == name:
                return LinesDocument(list(_decoded(decoder, payload)))
    return _text_document(blob, window)


def _text_document(blob: Blob, window: int) -> LinesDocument:
    """Text in the colours of its language where it has one."""
    lines = list(text_lines(blob, window))
    if window or not looks_like_markup(blob.read(0, 512)):
        lines = coloured(lines) if not window else lines
        return CodeDocument(lines) if any(len(line) > 1 for line in lines) else LinesDocument(lines)
    return CodeDocument(coloured(lines, is_markup=True))


class BytesBlob:
    """Bytes that are here already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def _unpacked_document(blob: Blob, is_utc: bool | None) -> Document:
    """What is packed, as what it is: JSON, text, else hex."""
    data = blob.read(0, PACKED_BYTES)
    known = recognise(data[:LOOKED_AT])
    try:
        if known is None or not known.packing:
            raise NotUnpacked("nothing that is packed is known here")
        inside, is_all = unpack(data, known.packing)
    except NotUnpacked as error:
        return LinesDocument([[(escape(str(error)), "error")], [("hex (v) shows the bytes", "muted")]])
    own = BytesBlob(inside)
    about: Line = [(unpacked_words(known.packing, inside, is_all), "muted")]
    if not inside:
        return LinesDocument([about])
    if inside.lstrip()[:1] in (b"{", b"[") and is_all and not _json_problem(own):
        return _json_document(own, is_utc)
    try:
        inside.decode()
    except UnicodeDecodeError:
        return HexDocument(own)
    return CodeDocument([about, *_text_document(own, 0).lines])


def close_lines(blob: Blob) -> Iterator[Line]:
    """A CLOSE frame's code and reason (RFC 6455 section 5.5.1)."""
    data = blob.read(0, 1024)
    code, reason = parse_close(data)
    if code is None:
        words = "no code: the receiver reports 1005" if not data else "one byte: half a code"
        yield [("code    ", "muted"), (words, "" if not data else "error")]
        return
    yield [("code    ", "muted"), (f"{code} ", "number"), (close_name(code), "title")]
    if not is_legal_on_wire(code):
        yield [("        ", ""), ("must not be sent (RFC 6455 section 7.4)", "error")]
    yield [("reason  ", "muted"), (escape(reason), "string") if reason else ("none", "muted")]
    if len(data) > 125:
        yield [("        ", ""), ("longer than the 125 bytes of a control frame (section 5.5)", "error")]


def text_windows(blob: Blob) -> int:
    """How many windows a text has."""
    return max(-(-blob.length // TEXT_WINDOW_BYTES), 1)


def count_in_text(blob: Blob, needle: str) -> int:
    """How many matches there are in all windows of a text, of its first 16 MiB."""
    return folded(blob.read(0, WHOLE_BYTES).decode("utf-8", "replace")).count(folded(needle))


def next_text_window(
    blob: Blob, needle: str, window: int, step: int, *, is_at_end: bool = False
) -> tuple[int, bool] | None:
    """Where the next match begins, in either direction, behind those that a window shows whole.

    Args:
        is_at_end: the match that the window's end cuts, if there is one, is where the cursor is.

    Returns:
        The window, and whether its end cuts the match, so that none shows it whole; None behind the last one.
    """
    data, wanted = blob.read(0, WHOLE_BYTES), folded(needle)
    cut = window if step > 0 else window - 1
    border = (cut + 1) * TEXT_WINDOW_BYTES
    if not (step > 0 and is_at_end) and 0 < border < len(data) and _is_cut(data, wanted, border):
        return cut, True
    text = _characters(data[border:] if step > 0 else data[:border])
    at = folded(text).find(wanted) if step > 0 else folded(text).rfind(wanted)
    if at < 0:
        return None
    begin = (border if step > 0 else 0) + _size(text[:at])
    end = begin + _size(text[at : at + len(wanted)])
    found = begin // TEXT_WINDOW_BYTES
    return found, end > (found + 1) * TEXT_WINDOW_BYTES


def _is_cut(data: bytes, wanted: str, border: int) -> bool:
    """Whether a match begins before a place and ends behind it."""
    reach = _MOST_BYTES * len(wanted)
    begin = max(border - reach, 0)
    text = _characters(data[begin : border + reach])
    look = folded(text)
    at = look.find(wanted)
    while at >= 0:
        first = begin + _size(text[:at])
        if first < border < first + _size(text[at : at + len(wanted)]):
            return True
        at = look.find(wanted, at + 1)
    return False


def _characters(data: bytes) -> str:
    """Text of bytes, in which what is not UTF-8 keeps its length: so `_size` leads back to bytes."""
    return data.decode("utf-8", "surrogateescape")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


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
    elif name == TEXT or (name == JSON and blob.length > JSON_CHECKED_BYTES):
        data = blob.read(0, WHOLE_BYTES)
        lines = escape_lines(data.decode("utf-8", "backslashreplace"))
    else:
        return None
    if len(data) < blob.length:
        lines.append(f"({blob.length - len(data)} more bytes: y copies all of them to a file)")
    return "\n".join(lines)


def _json_document(blob: Blob, is_utc: bool | None) -> Document:
    """JSON as a tree, every token as it was sent; or the place where it stops being JSON."""
    problem = _json_problem(blob)
    if problem:
        return LinesDocument(problem)
    text = blob.read(0, JSON_LIMIT_BYTES).decode("utf-8", "backslashreplace")
    return JsonTree(text) if is_utc is None else JsonTree(text, partial(time_words, is_utc=is_utc))


def _json_problem(blob: Blob) -> list[Line]:
    """Why it cannot be shown as a tree; empty where it can, or where it is so long that the tree will say."""
    if blob.length > JSON_LIMIT_BYTES:
        words = f"{blob.length} bytes: more than the {JSON_LIMIT_BYTES} that can be formatted"
        return [[(words, "warn")], [("text (v) and hex show all of it", "muted")]]
    if blob.length > JSON_CHECKED_BYTES:
        return []
    data = blob.read(0, JSON_CHECKED_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return [[(f"not JSON: byte {error.start} is not UTF-8 (0x{data[error.start]:02x})", "error")]]
    try:
        parse_json(text)
    except NotJson as error:
        if error.position is None:
            return [[(f"not JSON: {escape(str(error))}", "error")], [("text (v) and hex show it", "muted")]]
        return list(_json_error(text, str(error), error.position))
    return []


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
