"""Frames as lines: a row each, with what it belongs to, what it broke and how its payload begins.

Contract: rows come in capture order, a page at a time; `FrameTable` remembers one message a direction and the
time of the row before, so a connection of a million frames costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wsinspect.capture.records import FrameRow, Message, Opaque, Ping
from wsinspect.present.terminal import Palette, milliseconds
from wsinspect.text import cell_width, escape, escape_bytes, escape_lines, pad, truncate
from wsinspect.units import format_duration, format_size
from wsinspect.wire.close_codes import close_name, parse_close
from wsinspect.wire.opcodes import Direction, Opcode, is_control, opcode_name
from wsinspect.wire.violations import VIOLATIONS

#: Bytes of a payload that are read for a preview: enough for any line.
PREVIEW_BYTES = 512
_COLUMNS = (("#", 6), ("TIME S", 10), ("DELTA MS", 8), ("DIR", 3), ("OP", 6), ("F/RSV", 5), ("BYTES", 7))
_RIGHT = frozenset({"#", "TIME S", "DELTA MS", "BYTES"})
_NOTE_INDENT = sum(width + 2 for _, width in _COLUMNS)
#: With the columns before it, what an 80-column terminal has left.
_LEAST_NOTE = 21
#: Below this a frame counts as forwarded, or as arrived, at once.
NOTABLE_NS = 1_000_000
HEX_ROW = 16
#: In place of a payload that is not in the capture any more.
EVICTED = "    (evicted to keep the capture within its size)"


@dataclass
class Page:
    """Some frames in order, with what is known about them.

    Attributes:
        frames: with payloads cut at `PREVIEW_BYTES` unless whole ones are wanted.
        messages: by id, of these frames.
        pings: by frame id, for a PING and for a PONG.
        whole: gives the payload to print below a frame's row; None prints none.
    """

    frames: list[FrameRow]
    messages: Mapping[int, Message] = field(default_factory=dict)
    pings: Mapping[int, Ping] = field(default_factory=dict)
    whole: Callable[[FrameRow], bytes] | None = None


class FrameTable:
    """Turns pages of one connection's frames into lines.

    Args:
        start_ns: what times count from: the connection's attempt.
        columns: cells of a line.
        palette: colours.
        is_live: frames may still come, so that a missing PONG is not yet missing; may change later.

    Attributes:
        start_ns, note_cells: as given; the cells that are left for notes and preview.
        before_ns: the time of the row before.
        violations: codes of all that was broken in the rows so far.
    """

    def __init__(self, start_ns: int | None, columns: int, palette: Palette, is_live: bool = False) -> None:
        self.start_ns = start_ns
        self.note_cells = max(columns - _NOTE_INDENT, _LEAST_NOTE)
        self._palette = palette
        self.is_live = is_live
        self.before_ns: int | None = None
        self._open: dict[Direction, tuple[int, int]] = {}
        self.violations: set[str] = set()

    def header(self) -> str:
        """The names of the columns."""
        names = [pad(name, width, right=name in _RIGHT) for name, width in _COLUMNS]
        return self._palette.bold("  ".join([*names, "NOTE, PREVIEW"]))

    def lines(self, page: Page) -> Iterator[str]:
        """A line for each frame, followed by its whole payload where the page has it."""
        for frame in page.frames:
            yield from self.frame_lines(frame, page)

    def frame_lines(self, frame: FrameRow, page: Page) -> Iterator[str]:
        """The lines of one frame of a page."""
        yield self._row(frame, page)
        if page.whole is not None and frame.is_evicted:
            yield EVICTED
        elif page.whole is not None:
            yield from payload_lines(page.whole(frame), is_text=_is_text(frame, page))

    def legend(self) -> Iterator[str]:
        """What the violations that were shown mean."""
        for code in sorted(self.violations):
            known = VIOLATIONS.get(code)
            if known is not None:
                yield f"! {escape(code)}: {known.sentence} ({known.section})"

    def _row(self, frame: FrameRow, page: Page) -> str:
        start_ns = frame.time_ns if self.start_ns is None else self.start_ns
        delta_ns = 0 if self.before_ns is None else frame.time_ns - self.before_ns
        self.before_ns = frame.time_ns
        row = (
            f"{frame.id:>6}  {(frame.time_ns - start_ns) / 1e9:>10.6f}  {milliseconds(delta_ns):>8}  "
            f"{frame.direction.arrow:<3}  {opcode_name(frame.opcode):<6}  {_flags(frame):<5}  "
            f"{frame.length:>7}"
        )
        painted = self._palette.direction(row, bool(frame.direction))
        return f"{painted}  {self._note(frame, page)}".rstrip()

    def _note(self, frame: FrameRow, page: Page) -> str:
        """What the frame is part of and what is odd about it, then as much of its payload as fits."""
        odd = self._violations(frame)
        words = [f"! {', '.join(odd)}"] if odd else []
        words += [*self._fragment(frame, page), *self._control(frame, page), *_delays(frame)]
        if frame.fault_event_id is not None:
            words.append(f"fault {frame.fault_event_id}")
        note = "; ".join(words)
        left = self.note_cells - cell_width(note) - (2 if note else 0)
        preview = truncate(self._preview(frame, page), left) if left > 0 else ""
        shown = f"{note}  {preview}" if note and preview else note or preview
        return self._palette.bold(shown) if odd else shown

    def _violations(self, frame: FrameRow) -> list[str]:
        codes = frame.violation.split(",") if frame.violation else []
        self.violations.update(codes)
        return [escape(code) for code in codes]

    def _fragment(self, frame: FrameRow, page: Page) -> list[str]:
        if frame.message_id is None:
            return []
        message = page.messages.get(frame.message_id)
        open_id, count = self._open.get(frame.direction, (None, 0))
        count = count + 1 if open_id == frame.message_id else 1
        self._open[frame.direction] = (frame.message_id, count)
        if frame.fin and count == 1:
            return _inflated(message)
        place = "╰" if frame.fin else "╭" if count == 1 else "│"
        whole = (
            [f"whole message {format_size(message.length)}"]
            if frame.fin and message and message.length
            else []
        )
        return [
            f"{place} message {frame.message_id}, fragment {count}",
            *whole,
            *(_inflated(message) * frame.fin),
        ]

    def _control(self, frame: FrameRow, page: Page) -> list[str]:
        if frame.opcode == Opcode.CLOSE:
            return [_close(frame)]
        ping = page.pings.get(frame.id)
        if frame.opcode == Opcode.PING:
            if ping is None or ping.pong_frame is None:
                return [] if self.is_live else ["no pong"]
            return [f"pong #{ping.pong_frame}, {_round_trip(ping)}"]
        if frame.opcode == Opcode.PONG:
            return ["unsolicited"] if ping is None else [f"ping #{ping.ping_frame}, {_round_trip(ping)}"]
        return []

    def _preview(self, frame: FrameRow, page: Page) -> str:
        if frame.opcode == Opcode.CLOSE or page.whole is not None:
            return ""
        if frame.is_evicted:
            return "(evicted)"
        data = frame.payload[:PREVIEW_BYTES]
        message = page.messages.get(frame.message_id) if frame.message_id is not None else None
        if message is not None and message.compressed:
            if not frame.fin or message.data is None:
                return "(compressed)"
            data = message.data[:PREVIEW_BYTES]
        if _is_text(frame, page) or (is_control(frame.opcode) and data.isascii()):
            return utf8_preview(data)
        return data[:HEX_ROW].hex(" ") + (" …" if len(data) > HEX_ROW else "")


def _is_text(frame: FrameRow, page: Page) -> bool:
    message = page.messages.get(frame.message_id) if frame.message_id is not None else None
    return (message.opcode if message else frame.opcode) == Opcode.TEXT


def payload_lines(data: bytes, *, is_text: bool) -> Iterator[str]:
    """A whole payload, indented: text as text, anything else as a hex dump."""
    if not data:
        yield "    (0 bytes)"
    elif is_text:
        yield from (f"    {line}" for line in escape_lines(data.decode("utf-8", "backslashreplace")))
    else:
        yield from (f"    {line}" for line in hex_dump(data))


def hex_dump(data: bytes) -> Iterator[str]:
    """Offset, sixteen bytes, and the ASCII among them."""
    for offset in range(0, len(data), HEX_ROW):
        row = data[offset : offset + HEX_ROW]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{offset:08x}  {left:<23}  {right:<23}  {shown}"


def opaque_lines(pieces: Iterable[Opaque], with_payload: bool) -> Iterator[str]:
    """Bytes that belong to no frame: after the boundaries were lost, or of a frame that never ended."""
    for one in pieces:
        after = f" after frame {one.after_frame}" if one.after_frame else ""
        reason = f" ({escape(one.reason)})" if one.reason else ""
        yield f"Bytes that are no frame: {one.length} {one.direction.arrow}{after}{reason}"
        if one.is_evicted:
            yield EVICTED
        elif with_payload:
            yield from payload_lines(one.data, is_text=False)
        else:
            more = " …" if one.length > HEX_ROW else ""
            yield f"    {one.data[:HEX_ROW].hex(' ')}{more}"


def _flags(frame: FrameRow) -> str:
    bits = ((frame.fin, "F"), (frame.rsv1, "1"), (frame.rsv2, "2"), (frame.rsv3, "3"))
    return "".join(letter if is_set else "·" for is_set, letter in bits)


def _inflated(message: Message | None) -> list[str]:
    if message is None or not message.compressed:
        return [escape(message.problem)] if message and message.problem else []
    if message.problem:
        return [f"compressed, {escape(message.problem)}"]
    return [] if message.length is None else [f"inflates to {format_size(message.length)}"]


def _delays(frame: FrameRow) -> list[str]:
    words = []
    if frame.time_ns - frame.first_ns >= NOTABLE_NS:
        words.append(f"took {format_duration(frame.time_ns - frame.first_ns)} to arrive")
    if frame.sent_ns is not None and frame.sent_ns - frame.time_ns >= NOTABLE_NS:
        words.append(f"sent on {format_duration(frame.sent_ns - frame.time_ns)} later")
    if frame.sent_ns is None:
        words.append("not sent on")
    return words


def _round_trip(ping: Ping) -> str:
    return f"rtt {format_duration(ping.rtt_ns or 0)}, {escape(ping.leg)} leg"


def _close(frame: FrameRow) -> str:
    code, reason = parse_close(frame.payload)
    if code is None:
        return "no code"
    return f"{code} {close_name(code)}" + (f' "{escape(reason)}"' if reason else "")


def utf8_preview(data: bytes) -> str:
    """Text whose last character may be cut by the preview's length."""
    for cut in range(min(4, len(data)) if len(data) == PREVIEW_BYTES else 1):
        try:
            return escape(data[: len(data) - cut].decode())
        except UnicodeDecodeError:
            continue
    return escape_bytes(data)
