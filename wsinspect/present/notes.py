"""From a record of the capture to a row: what a frame belongs to, what is odd about it, how it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from wsinspect import decoders
from wsinspect.capture.records import Connection, FaultRow, FindingRow, Message
from wsinspect.decoders import Payload
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.records import PREVIEW_BYTES, Record
from wsinspect.present.rows import ALTERED, INJECTED, PASSED, STOPPED, Row, byte_count, duration
from wsinspect.text import escape, escape_bytes
from wsinspect.wire.close_codes import close_name, parse_close
from wsinspect.wire.opcodes import Opcode

#: Below this a frame counts as forwarded, or as arrived, at once.
_NOTABLE_NS: Final = 1_000_000
_HEX_BYTES: Final = 24
_FATES: Final = {
    "drop": STOPPED,
    "blackhole": STOPPED,
    "refuse": STOPPED,
    "inject": INJECTED,
    "duplicate": INJECTED,
}
#: What is said of a payload that is not in the capture any more.
EVICTED: Final = "payload deleted to make room (size limit)"
#: Facts of the ledger that a frame's row says already: its direction, its delay, and which match it was.
_IN_THE_LANE = frozenset({"match", "direction", "delay_ns"})
_Note = tuple[str, str]


class Fragment(NamedTuple):
    """A frame's place among the frames of its message.

    Attributes:
        number: counted from 1; 0 where it is not known.
        of: fragments so far, all of them once the message has ended.
        wire_bytes: their payloads on the wire.
    """

    number: int
    of: int
    wire_bytes: int


def make_row(
    record: Record,
    fragment: Fragment | None,
    *,
    zero_ns: int,
    delta_ns: int,
    glyphs: Glyphs,
    is_live: bool = False,
    findings: tuple[FindingRow, ...] = (),
    connection: Connection | None = None,
) -> Row:
    """The row of a frame.

    Args:
        record: the frame.
        fragment: where in its message it is; None where it is all of it.
        zero_ns: the time that counts as zero.
        delta_ns: since the row before.
        is_live: more may come, so that a PONG that is not there is not missing yet.
        findings: those that name it.
        connection: whose subprotocol and path say how the payload is to be read.
    """
    frame = record.frame
    said = summary_of(record, connection)
    fate = _fate(record.faults)
    delay_ns = 0 if frame.sent_ns is None else frame.sent_ns - frame.time_ns
    return Row(
        id=frame.id,
        connection=frame.connection_id,
        t_ns=frame.time_ns - zero_ns,
        delta_ns=delta_ns,
        direction=frame.direction,
        bits=frame.header[0] << 8 | frame.header[1],
        length=frame.length,
        fate=fate,
        fate_note=f"+{delay_ns / 1e6:.0f} ms" if fate == ALTERED and delay_ns >= _NOTABLE_NS else "",
        is_marked=bool(frame.violation) or bool(findings),
        note=tuple(_spaced(_notes(record, fragment, glyphs, is_live, findings, said))),
        preview=preview(record),
    )


def _spaced(notes: Iterator[_Note]) -> Iterator[_Note]:
    for number, (text, style) in enumerate(notes):
        if number:
            yield "  ", ""
        yield text, style


def _notes(
    record: Record,
    fragment: Fragment | None,
    glyphs: Glyphs,
    is_live: bool,
    findings: tuple[FindingRow, ...],
    said: str | None,
) -> Iterator[_Note]:
    frame = record.frame
    for finding in findings:
        yield f"{severity_sign(finding.severity, glyphs)} {escape(finding.rule)}", "error"
    if frame.violation:
        yield f"{glyphs.error} {escape(frame.violation.replace(',', ', '))}", "error"
    for event in record.faults:
        kind = "" if event.kind in event.rule else f": {event.kind}"
        yield escape(f"{event.rule}{kind}{_detail(event)}"), "warn"
    if frame.opcode == Opcode.CLOSE:
        yield _close(frame.payload), "note"
    elif frame.opcode in (Opcode.PING, Opcode.PONG):
        yield from _control(record, glyphs, is_live)
    elif fragment is not None:
        yield from _fragment(record, fragment, glyphs)
    if record.message is not None:
        yield from _message(record.message, frame.id, glyphs)
    if frame.is_evicted:
        yield EVICTED, "warn"
    if said:
        yield escape(said), "note"
    yield from _delays(record)


def summary_of(record: Record, connection: Connection | None) -> str | None:
    """The message in a few words, by a decoder that is sure of it; of fragments the first one says it."""
    frame, message = record.frame, record.message
    if frame.opcode not in (Opcode.TEXT, Opcode.BINARY) or frame.is_evicted or connection is None:
        return None
    data, is_whole = frame.payload, frame.fin and frame.length == len(frame.payload)
    if frame.rsv1:
        if message is None or message.data is None:
            return None
        data, is_whole = message.data, message.length == len(message.data)
    return decoders.summary(
        Payload(
            data,
            frame.opcode == Opcode.TEXT,
            connection.subprotocol,
            connection.path or "",
            bool(frame.direction),
            is_whole,
        )
    )


def _fate(faults: tuple[FaultRow, ...]) -> str:
    fates = {_FATES.get(event.kind, ALTERED) for event in faults}
    for fate in (STOPPED, INJECTED, ALTERED):
        if fate in fates:
            return fate
    return PASSED


def _detail(event: FaultRow) -> str:
    """The facts of a fault's ledger entry, but for those that the row's lane shows."""
    try:
        facts = json.loads(event.detail or "null")
    except ValueError:
        return ""
    if not isinstance(facts, dict) or not facts:
        return ""
    return "".join(f" {name}={value}" for name, value in facts.items() if name not in _IN_THE_LANE)


def _close(payload: bytes) -> str:
    code, reason = parse_close(payload)
    if code is None:
        return "no code"
    return f"{code} {close_name(code)}" + (f' "{escape(reason)}"' if reason else "")


def _control(record: Record, glyphs: Glyphs, is_live: bool) -> Iterator[_Note]:
    ping, own = record.ping, record.frame.id
    if record.frame.opcode == Opcode.PONG:
        if ping is None:
            yield "unsolicited", "note"
        else:
            yield f"{glyphs.mate} {ping.ping_frame}  rtt {duration(ping.rtt_ns or 0)}", "note"
    elif ping is not None and ping.pong_frame is not None and ping.ping_frame == own:
        yield f"{glyphs.mate} {ping.pong_frame}  rtt {duration(ping.rtt_ns or 0)}", "note"
    elif not is_live:
        yield "no pong", "warn"


def _fragment(record: Record, fragment: Fragment, glyphs: Glyphs) -> Iterator[_Note]:
    message, is_last = record.message, record.frame.fin
    if message is None:
        yield "fragment of no message", "warn"
        return
    sign = glyphs.first if fragment.number == 1 else glyphs.last if is_last else glyphs.middle
    count = f" of {fragment.of}" if message.last_frame is not None else ""
    yield f"{sign} fragment {fragment.number}{count}", "note"
    if is_last and message.length is not None:
        inflated = f"{byte_count(fragment.wire_bytes)} {glyphs.arrow} " if message.compressed else ""
        yield f"message {message.id}, {inflated}{byte_count(message.length)}", "note"


def _message(message: Message, frame_id: int, glyphs: Glyphs) -> Iterator[_Note]:
    if message.problem:
        yield escape(message.problem), "warn"
    is_single = message.first_frame == message.last_frame == frame_id
    if message.compressed and is_single and message.length is not None:
        yield f"{glyphs.arrow} {byte_count(message.length)}", "note"


def _delays(record: Record) -> Iterator[_Note]:
    frame = record.frame
    if frame.time_ns - frame.first_ns >= _NOTABLE_NS:
        yield f"took {duration(frame.time_ns - frame.first_ns)} to arrive", "note"
    if frame.sent_ns is not None and frame.sent_ns - frame.time_ns >= _NOTABLE_NS and not record.faults:
        yield f"sent on {duration(frame.sent_ns - frame.time_ns)} later", "note"


def preview(record: Record) -> str:
    """How the payload begins, escaped: text as text, anything else as hex."""
    frame, message = record.frame, record.message
    if frame.opcode == Opcode.CLOSE or frame.is_evicted:
        return ""
    data = frame.payload
    opcode = frame.opcode if message is None else message.opcode
    if message is not None and message.compressed:
        if not frame.fin or message.data is None:
            return "(compressed)" if frame.length else ""
        data = message.data
    elif message is None and frame.rsv1 and frame.opcode < 8:
        opcode = Opcode.BINARY
    if opcode == Opcode.TEXT or (frame.opcode >= 8 and data.isascii()):
        return escape_bytes(whole_characters(data))
    return data[:_HEX_BYTES].hex(" ")


def whole_characters(data: bytes) -> bytes:
    """UTF-8 that was cut at the preview's length, without the character that the cut went through."""
    if len(data) < PREVIEW_BYTES:
        return data
    for cut in range(1, 4):
        byte = data[-cut]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-cut] if cut < needed else data
        if byte < 0x80:
            return data
    return data


def severity_sign(severity: str, glyphs: Glyphs) -> str:
    """How severe a finding is, as a sign."""
    return {"error": glyphs.error, "warning": glyphs.warning}.get(severity, glyphs.note)
