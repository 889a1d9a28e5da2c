"""Ordinary frames as text, a block at a time: what `show --filter` prints of hundreds of thousands of frames.

Contract: the same characters as `FrameTable` and `frame_object` give, which is what tests hold this to, from
rows of SQL instead of from objects. A frame with anything to say apart from its payload (a control frame, a
fragment, a compressed or broken one, one that was held, altered or evicted) is not ordinary: its text is made
there, and put in its place here. Numbers are written as numbers only (`%d`, `:d`): a stranger's file may hold
text in their columns, which no terminal and no JSON is to get unescaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Final, NamedTuple

from wsinspect.capture.queries.plain_rows import line_columns
from wsinspect.capture.records import Connection
from wsinspect.decoders import summary_signs
from wsinspect.present.clock import RELATIVE
from wsinspect.present.frame_table import FrameTable
from wsinspect.present.notes import NOTABLE_NS, hex_preview, summary_words, text_preview
from wsinspect.present.records import PREVIEW_BYTES
from wsinspect.present.terminal import Palette, json_text
from wsinspect.text import ELLIPSIS, escape, truncate
from wsinspect.wire.opcodes import Direction, opcode_name

#: Columns of `frame` for `line_block`, behind the id; those for `object_blocks` are `OBJECT_COLUMNS`.
LINE_COLUMNS: Final = line_columns(NOTABLE_NS, PREVIEW_BYTES)
_TEXT: Final = 1
_SECOND_NS: Final = 10**9
_LONG_NS: Final = 10**11
#: Number, seconds, milliseconds since the one before, direction and kind, bytes.
_ROW: Final = "%6d  %10.6f  %8.3f  %s  F···  %7d"
_LATE_ROW: Final = "%6d  %10.6f  %8.1f  %s  F···  %7d"
#: After a silence of 100 s and more, where a tenth of a millisecond would take a ninth cell.
_LONG_ROW: Final = "%6d  %10.6f  %8.0f  %s  F···  %7d"
#: The milliseconds are not shown where the notes need the room.
_NARROW_ROW: Final = "%6d  %10.6f  %.0s%s  F···  %7d"
_TIME: Final = "%10.6f"


def _sent(time_ns: int, after_ns: int) -> str:
    return str(time_ns + after_ns) if after_ns >= 0 else "null"


class _Table(NamedTuple):
    """What the lines of a connection have in common.

    Attributes:
        table: keeps the time of the row before.
        prefix: in front of each line.
        cells: of notes and preview.
        write: makes a row of an ordinary frame; None where its time depends on more than its own.
    """

    table: FrameTable
    prefix: str
    cells: int
    write: Callable[[tuple[object, ...]], str] | None


def _form(delta_ns: int) -> str:
    if -_SECOND_NS < delta_ns < _SECOND_NS:
        return _ROW
    return _LATE_ROW if -_LONG_NS < delta_ns < _LONG_NS else _LONG_ROW


def _signs(connection: Connection | None, data: bytes) -> Sequence[bytes] | None:
    """One of these is in a payload that begins so and that a decoder has words about; None where none has."""
    if connection is None:
        return None
    return summary_signs(connection.subprotocol, connection.path or "", data[:1])


def _said(connection: Connection | None, bits: int, side: int, data: bytes, length: int) -> str | None:
    if connection is None:
        return None
    return summary_words(data, bits >> 8 & 15, bool(side), connection, is_whole=length == len(data))


def line_block(
    rows: Sequence[Sequence[Any]],
    tables: Callable[[int], FrameTable],
    odd: Mapping[int, Callable[[FrameTable], Sequence[str]]],
    palette: Palette,
    *,
    with_connection: str = "",
) -> str:
    """Lines for frames in their order.

    Args:
        rows: an id and `LINE_COLUMNS` each.
        tables: of a connection, by its number; they keep the time of the row before.
        odd: the lines of each frame that is not ordinary, by id.
        palette: colours.
        with_connection: a format for the connection's number in front of each line.
    """
    lines: list[str] = []
    add = lines.append
    seen: dict[int, _Table] = {}
    known: dict[tuple[int, int], Sequence[bytes] | None] = {}
    paint = palette.direction if palette.enabled else None
    for frame_id, number, side, bits, time_ns, is_plain, length, data in rows:
        if number not in seen:
            table = tables(number)
            seen[number] = _Table(
                table,
                with_connection % number if with_connection else "",
                table.note_cells,
                # the fastest way to write numbers into a line
                (_ROW if table.with_delta else _NARROW_ROW).__mod__ if table.clock.kind == RELATIVE else None,
            )
        table, prefix, cells, write = seen[number]
        if not is_plain:
            lines += [f"{prefix}{line}" for line in odd[frame_id](table)]
            continue
        start_ns, before_ns = table.start_ns, table.before_ns
        begin_ns = time_ns if start_ns is None else start_ns
        delta_ns = 0 if before_ns is None else time_ns - before_ns
        table.before_ns = time_ns
        is_text = bits >> 8 & 15 == _TEXT
        time: float | str = (time_ns - begin_ns) / 1e9
        if write is None or not -_SECOND_NS < delta_ns < _SECOND_NS:
            form = _form(delta_ns) if table.with_delta else _NARROW_ROW
            if write is None:
                time = table.time_text(time_ns, begin_ns, delta_ns)
                form = form.replace(_TIME, "%s")
            write = form.__mod__
        row = write(
            (
                frame_id,
                time,
                delta_ns / 1e6,
                ("s>c  TEXT  " if side else "c>s  TEXT  ")
                if is_text
                else ("s>c  BINARY" if side else "c>s  BINARY"),
                length,
            )
        )
        if paint is not None:
            row = paint(row, side)
        said = None
        if data:
            key = number, data[0]
            if key not in known:
                known[key] = _signs(table.connection, data)
            signs = known[key]
            if signs:
                for sign in signs:  # any() would take twice as long
                    if sign in data:
                        break
                else:
                    signs = None
            if signs is not None:
                said = _said(table.connection, bits, side, data, length)
        if not data:  # substr() of an empty blob is NULL
            note = ""
        elif said:
            note = table.tail([(escape(said), "note")], (text_preview if is_text else hex_preview)(data))
        elif not is_text:
            note = hex_preview(data)
            if len(note) > cells:
                note = truncate(note, cells)
        elif data.isascii() and (note := data.decode("ascii")).isprintable():
            if len(note) > cells:
                note = note[: cells - 1] + ELLIPSIS
        else:
            note = truncate(text_preview(data), cells)
        line = f"{prefix}{row}  {note}"
        add(line.rstrip() if line[-1] <= " " or note[-1].isspace() else line)
    lines.append("")
    return "\n".join(lines)


class ObjectBlocks:
    """JSON objects of frames, as `json_text` writes what `frame_object` gives.

    Args:
        head: what each object begins with, before its connection: `"event": "frame", `.
    """

    def __init__(self, head: str = "") -> None:
        self._head = head
        self._shapes: dict[tuple[int, int], tuple[str, str]] = {}

    def texts(self, rows: Sequence[Sequence[Any]], odd: Mapping[int, str]) -> list[str]:
        """The objects in their order, without what stands between them.

        Args:
            rows: an id and `OBJECT_COLUMNS` each.
            odd: the whole objects of frames that are not ordinary, by id.
        """
        found: list[str] = []
        add = found.append
        head, shapes = self._head, self._shapes
        for row in rows:
            frame_id, number, side, bits, time_ns, is_plain = row[:6]
            if not is_plain:
                add(odd[frame_id])
                continue
            span_ns, sent_after_ns, header, wire_length, message, violation, fault = row[6:]
            shape = shapes.get((side, bits)) or self._shape(side, bits)
            rest = (
                '"violations": [], "fault_event": null}'
                if violation is None and fault is None
                else f'"violations": {_codes(violation)}, "fault_event": {_number(fault)}}}'
            )
            add(
                f'{{{head}"connection": {number:d}, "id": {frame_id:d}, {shape[0]}'
                f'"first_ns": {time_ns - span_ns:d}, '
                f'"time_ns": {time_ns:d}, "sent_ns": {_sent(time_ns, sent_after_ns)}, {shape[1]}'
                f'"length": {wire_length - len(header):d}, "wire_length": {wire_length:d}, '
                f'"header": "{header.hex()}", "message": {_number(message)}, {rest}'
            )
        return found

    def _shape(self, side: int, bits: int) -> tuple[str, str]:
        """What every frame of these header bytes has in common."""
        opcode = bits >> 8 & 15
        flags = {
            "fin": bits >> 15 & 1,
            "rsv1": bits >> 14 & 1,
            "rsv2": bits >> 13 & 1,
            "rsv3": bits >> 12 & 1,
        }
        flags["masked"] = bits >> 7 & 1
        words = {
            "opcode": opcode,
            "op": opcode_name(opcode),
            **{name: bool(value) for name, value in flags.items()},
        }
        direction = f'"direction": "{Direction(bool(side)).short}", '
        shape = direction, json_text(words)[1:-1] + ", "
        self._shapes[side, bits] = shape
        return shape


def _number(value: int | None) -> str:
    return "null" if value is None else f"{value:d}"


def _codes(violation: str | None) -> str:
    return "[" + ", ".join(map(encode_basestring_ascii, violation.split(",") if violation else [])) + "]"
