"""What a frame's row says, once: from all that is known of a frame to its cells, marks, notes and preview.

`show`'s table (`frame_table`) and the timeline (`rows`) lay the same `Row` out.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, cast

from wsinspect import decoders
from wsinspect.capture.records import Connection, FaultRow, FindingRow, FrameRow, Message
from wsinspect.decoders import Payload
from wsinspect.present.cells import Line
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.records import PREVIEW_BYTES, Fragment, Record
from wsinspect.present.rows import ALTERED, INJECTED, PASSED, STOPPED, Row
from wsinspect.present.words import close_words
from wsinspect.text import escape, escape_bytes
from wsinspect.units import format_duration, format_milliseconds, format_size
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.opcodes import Opcode, is_control
from wsinspect.wire.violations import VIOLATIONS

#: With what findings are drawn, the worst first.
SEVERITY_STYLES: Final[Mapping[str, str]] = {"error": "error", "warning": "warn", "note": "note"}
#: Below this a frame counts as forwarded, or as arrived, at once.
NOTABLE_NS: Final = 1_000_000
#: Bytes of a payload that is not text, in a preview or in a line of a dump.
HEX_ROW: Final = 16
_FATES: Final = {
    "drop": STOPPED,
    "blackhole": STOPPED,
    "refuse": STOPPED,
    "inject": INJECTED,
    "duplicate": INJECTED,
}
#: What stands for a payload that is no longer in the capture.
EVICTED: Final = "payload deleted to make room (size limit)"
#: Ledger facts that a frame's row already shows: direction, delay, and the number of the match.
_IN_THE_LANE = frozenset({"match", "direction", "delay_ns"})
#: What was sent instead (`payload`), or back to the sender (`answer`), as hex.
_CONTENTS = frozenset({"payload", "answer"})
_Note = tuple[str, str]


def make_row(
    record: Record,
    fragment: Fragment | None,
    *,
    zero_ns: int,
    delta_ns: int,
    glyphs: Glyphs,
    is_live: bool = False,
    findings: Sequence[FindingRow] = (),
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
    fate = _fate(record, is_live)
    delay_ns = 0 if frame.sent_ns is None else frame.sent_ns - frame.time_ns
    is_delayed = fate == ALTERED and delay_ns >= NOTABLE_NS
    return Row(
        id=frame.id,
        connection=frame.connection_id,
        t_ns=frame.time_ns - zero_ns,
        delta_ns=delta_ns,
        direction=frame.direction,
        bits=frame.header[0] << 8 | frame.header[1],
        length=frame.length,
        fate=fate,
        fate_note=f"+{format_duration(delay_ns)}" if is_delayed else "",
        is_marked=bool(frame.violation) or bool(findings),
        mark_style=worst_style(one.severity for one in findings)
        if findings and not frame.violation
        else "error",
        notes=tuple(_notes(record, fragment, glyphs, is_live, is_delayed, findings, connection)),
        preview=preview(record),
    )


def _notes(
    record: Record,
    fragment: Fragment | None,
    glyphs: Glyphs,
    is_live: bool,
    is_delayed: bool,
    findings: Sequence[FindingRow],
    connection: Connection | None,
) -> Iterator[_Note]:
    frame = record.frame
    for finding in findings:
        yield (
            f"{severity_sign(finding.severity, glyphs)} {escape(finding.rule)}",
            worst_style([finding.severity]),
        )
    if frame.violation:
        yield f"{glyphs.error} {escape(frame.violation.replace(',', ', '))}", "error"
    for event in record.faults:
        kind = "" if event.kind in event.rule else f": {event.kind}"
        yield escape(f"{event.rule}{kind}{_detail(event)}"), "warn"
    if frame.opcode == Opcode.CLOSE:
        yield close_words(*parse_close(frame.payload)), "note"
    elif frame.opcode in (Opcode.PING, Opcode.PONG):
        yield from _round_trip(record, glyphs, is_live)
    elif fragment is not None:
        yield from _fragment(record, fragment, glyphs)
    if record.message is not None:
        yield from _message(record.message, frame.id, glyphs)
    if frame.is_evicted:
        yield EVICTED, "warn"
    said = summary_of(record, connection)
    if said:
        yield escape(said), "note"
    if frame.time_ns - frame.first_ns >= NOTABLE_NS:
        yield f"took {format_duration(frame.time_ns - frame.first_ns)} to arrive", "note"
    if (sent := sent_words(record, is_live)) and not is_delayed:
        yield sent, "note" if frame.sent_ns is not None else "warn"


def sent_words(record: Record, is_live: bool = False) -> str:
    """When a frame was sent on, where that was not at once; empty where it was."""
    frame = record.frame
    if frame.sent_ns is None:
        is_coming = is_live and not any(_FATES.get(event.kind) == STOPPED for event in record.faults)
        return "not sent on yet" if is_coming else "not sent on"
    delay_ns = frame.sent_ns - frame.time_ns
    return f"sent on {format_duration(delay_ns)} later" if delay_ns >= NOTABLE_NS else ""


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
    return summary_words(data, frame.opcode, bool(frame.direction), connection, is_whole=is_whole)


def summary_words(
    data: bytes, opcode: int, is_s2c: bool, connection: Connection, *, is_whole: bool
) -> str | None:
    """A payload, or its beginning, in a few words; not escaped."""
    path = connection.path or ""
    return decoders.summary(
        Payload(data, opcode == Opcode.TEXT, connection.subprotocol, path, is_s2c, is_whole)
    )


def _fate(record: Record, is_live: bool) -> str:
    fates = {_FATES.get(event.kind, ALTERED) for event in record.faults}
    if record.frame.sent_ns is None and not is_live:
        return STOPPED
    for fate in (STOPPED, INJECTED, ALTERED):
        if fate in fates:
            return fate
    return PASSED


def _detail(event: FaultRow) -> str:
    """The facts of a fault's ledger entry, but for those that the row's lane shows."""
    return "".join(f" {one}" for one in fault_facts(event.detail, without=_IN_THE_LANE) or ())


def fault_facts(detail: str | None, *, without: Container[str] = ()) -> list[str] | None:
    """The facts of a fault's ledger entry as people write them; None where it is damaged. Not escaped."""
    try:
        facts = json.loads(detail or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict):
        return None
    return [_fact(name, value) for name, value in facts.items() if name not in without]


def _fact(name: str, value: object) -> str:
    """A fact by its name, times and contents as people write them: `held=16 s`, `payload={"a":1}`."""
    if value is True:
        return name
    if name.endswith("_ns") and type(value) is int:
        return f"{name.removesuffix('_ns')}={format_duration(value)}"
    if name.endswith("_ms") and type(value) in (int, float):
        return f"{name.removesuffix('_ms')}={format_milliseconds(cast(float, value))}"
    if name in _CONTENTS and isinstance(value, str):
        return f"{name}={_content(value)}"
    return f"{name}={value}"


def _content(ledgered: str) -> str:
    """Content that the ledger has as hex: as text where it is text; escaped by whoever prints the note."""
    try:
        data = bytes.fromhex(ledgered)
    except ValueError:
        return ledgered
    try:
        text = whole_characters(data[:PREVIEW_BYTES]).decode()
    except UnicodeDecodeError:
        return hex_preview(data)
    return text if data else "(empty)"


def _round_trip(record: Record, glyphs: Glyphs, is_live: bool) -> Iterator[_Note]:
    ping, own = record.ping, record.frame.id
    if ping is not None and ping.pong_frame is not None:
        mate = ping.ping_frame if own == ping.pong_frame else ping.pong_frame
        yield f"{glyphs.mate} {mate}, rtt {format_duration(ping.rtt_ns or 0)}, {escape(ping.leg)} leg", "note"
    elif record.frame.opcode == Opcode.PONG:
        yield "unsolicited", "note"
    elif not is_live:
        yield "no pong", "warn"


def _fragment(record: Record, fragment: Fragment, glyphs: Glyphs) -> Iterator[_Note]:
    message, is_last = record.message, record.frame.fin
    if message is None:
        yield "fragment without a message", "warn"
        return
    sign = glyphs.first if fragment.number == 1 else glyphs.last if is_last else glyphs.middle
    count = f" of {fragment.of}" if message.last_frame is not None else ""
    yield f"{sign} fragment {fragment.number or '?'}{count}", "note"
    if is_last and message.length is not None:
        inflated = f"{format_size(fragment.wire_bytes)} {glyphs.arrow} " if message.compressed else ""
        yield f"message {message.id}, {inflated}{format_size(message.length)}", "note"


def _message(message: Message, frame_id: int, glyphs: Glyphs) -> Iterator[_Note]:
    if message.problem:
        yield escape(message.problem), "warn"
    is_single = message.first_frame == message.last_frame == frame_id
    if message.compressed and is_single and message.length is not None:
        yield f"{glyphs.arrow} {format_size(message.length)}", "note"


def preview(record: Record) -> str:
    """How the payload begins, escaped: text as text, anything else as hex."""
    frame, message = record.frame, record.message
    if frame.opcode == Opcode.CLOSE or frame.is_evicted:
        return ""
    data = frame.payload
    if message is not None and message.compressed:
        if not frame.fin or message.data is None:
            return "(compressed)" if frame.length else ""
        data = message.data[:PREVIEW_BYTES]
    if is_text(frame, message) or (is_control(frame.opcode) and data.isascii()):
        return text_preview(data)
    return hex_preview(data)


def is_text(frame: FrameRow, message: Message | None) -> bool:
    """Whether a payload is to be shown as text; what is still compressed is not."""
    if message is None and frame.rsv1 and not is_control(frame.opcode):
        return False
    return (frame.opcode if message is None else message.opcode) == Opcode.TEXT


def text_preview(data: bytes) -> str:
    """UTF-8, escaped; where it was cut at `PREVIEW_BYTES`, without the last if that was cut."""
    return escape_bytes(whole_characters(data))


def hex_preview(data: bytes) -> str:
    """The first 16 bytes in hex, with an ellipsis where there are more."""
    return data[:HEX_ROW].hex(" ") + (" …" if len(data) > HEX_ROW else "")


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


def worst_of(severities: Iterable[str]) -> str:
    """The worst of some severities; `note` where there are none that are known."""
    found = set(severities)
    return next((severity for severity in SEVERITY_STYLES if severity in found), "note")


def worst_style(severities: Iterable[str]) -> str:
    """The name of the style of the worst of some severities."""
    return SEVERITY_STYLES[worst_of(severities)]


def severity_sign(severity: str, glyphs: Glyphs) -> str:
    """How severe a finding is, as a sign."""
    return {"error": glyphs.error, "warning": glyphs.warning}.get(severity, glyphs.note)


def violation_lines(codes: str | None) -> Iterator[Line]:
    """What a frame's violations mean, one a line."""
    for code in (codes or "").split(","):
        if code:
            known = VIOLATIONS.get(code)
            words = f": {known.sentence} ({known.section})" if known else ""
            yield [(f"! {escape(code)}", "error"), (words, "")]
