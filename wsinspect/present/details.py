"""The inspector's other tabs as lines: header bits, findings of a frame, and where its bytes are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wsinspect.capture.records import FindingRow
from wsinspect.present.cells import Line
from wsinspect.present.clock import RELATIVE_CLOCK, Clock
from wsinspect.present.findings import finding_lines, finding_of
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.notes import sent_words, severity_sign, violation_lines
from wsinspect.present.records import Record
from wsinspect.present.rows import byte_count, duration
from wsinspect.text import escape
from wsinspect.wire.close_codes import close_name, is_legal_on_wire, parse_close
from wsinspect.wire.opcodes import opcode_name


def summary(record: Record, zero_ns: int, clock: Clock = RELATIVE_CLOCK, *, is_live: bool = False) -> str:
    """A frame in one line; of a connection that is live it may still be sent on."""
    frame = record.frame
    rsv = f"{int(frame.rsv1)}{int(frame.rsv2)}{int(frame.rsv3)}"
    sent = "".join(f", {words}" for words in [sent_words(record, is_live)] if words)
    return (
        f"{frame.id} {frame.direction.arrow} {opcode_name(frame.opcode)} FIN={int(frame.fin)} RSV={rsv} "
        f"MASK={int(frame.masked)} len={frame.length}, received {clock.at(frame.time_ns, zero_ns)}{sent}"
    )


def header_lines(record: Record, zero_ns: int, clock: Clock = RELATIVE_CLOCK) -> Iterator[Line]:
    """Every field of the header, with the bytes it was read from."""
    frame = record.frame
    header = frame.header
    yield [("bytes   ", "muted"), (header.hex(" "), "")]
    yield _field("FIN", int(frame.fin), "the final fragment" if frame.fin else "more fragments follow")
    rsv1 = "compressed (RFC 7692)" if frame.rsv1 and frame.opcode in (1, 2) else "reserved"
    yield _field("RSV1", int(frame.rsv1), rsv1 if frame.rsv1 else "not set")
    yield _field("RSV2", int(frame.rsv2), "reserved" if frame.rsv2 else "not set")
    yield _field("RSV3", int(frame.rsv3), "reserved" if frame.rsv3 else "not set")
    kind = "control" if frame.opcode >= 8 else "data"
    yield _field("opcode", f"0x{frame.opcode:X}", f"{opcode_name(frame.opcode)}, {kind}")
    key = frame.mask_key
    yield _field("MASK", int(frame.masked), "key " + key.hex(" ") if key is not None else "no key")
    yield _field("length", frame.length, _length_words(header))
    stored = "" if frame.wire_length == len(header) + frame.length else " (cut)"
    yield _field("wire", frame.wire_length, f"bytes with the header{stored}")
    if frame.opcode == 8:
        code, reason = parse_close(frame.payload)
        if code is not None:
            legal = "" if is_legal_on_wire(code) else ", must not be sent (RFC 6455 section 7.4)"
            yield _field(
                "code", code, f"{close_name(code)}{legal}" + (f': "{escape(reason)}"' if reason else "")
            )
    arrival = duration(frame.time_ns - frame.first_ns)
    yield _field("arrived", clock.at(frame.time_ns, zero_ns), f"first to last byte {arrival}")
    if frame.sent_ns is None:
        yield _field("sent on", "not", "held back or dropped by a fault")
    else:
        later = f"{duration(frame.sent_ns - frame.time_ns)} later"
        yield _field("sent on", clock.at(frame.sent_ns, zero_ns), later)
    yield from _message_lines(record)
    yield from violation_lines(frame.violation)


def _field(name: str, value: object, words: str) -> Line:
    return [(f"{name:<8}", "muted"), (f"{value!s:<10} ", ""), (words, "muted")]


def _length_words(header: bytes) -> str:
    second = header[1] & 0x7F
    if second < 126:
        return "in 7 bits"
    return "in 16 bits" if second == 126 else "in 64 bits"


def _message_lines(record: Record) -> Iterator[Line]:
    message = record.message
    if message is None:
        if record.frame.message_id is not None:
            yield _field("message", record.frame.message_id, "this frame alone, not compressed")
        return
    last = message.last_frame if message.last_frame is not None else "not ended"
    size = "" if message.length is None else f", {byte_count(message.length)}"
    how = "compressed" if message.compressed else "not compressed"
    first = message.first_frame
    frames = "this frame alone" if first == last else f"frames {first} to {last}"
    yield _field("message", message.id, f"{frames}, {how}{size}")
    if message.problem:
        yield _field("problem", "", escape(message.problem))


def connection_findings(findings: Sequence[FindingRow], glyphs: Glyphs) -> Iterator[Line]:
    """Findings in full, one below the other."""
    for number, finding in enumerate(findings):
        if number:
            yield []
        yield from finding_lines([finding_of(finding)], severity_sign(finding.severity, glyphs))


def frame_findings(
    record: Record,
    findings_of_frame: Mapping[int, list[FindingRow]],
    glyphs: Glyphs,
    of_connection: Sequence[FindingRow] = (),
) -> Iterator[Line]:
    """Findings that name this frame, its violations, and findings of its connection that name no frame."""
    frame = record.frame
    found = findings_of_frame.get(frame.id, [])
    yield from connection_findings(found, glyphs)
    for event in record.faults:
        yield [(f"{glyphs.altered} {escape(event.rule)}  ", "warn"), (escape(event.kind), "")]
    yield from violation_lines(frame.violation)
    if not found and not frame.violation and not record.faults:
        yield [("Nothing to report about this frame: no violation, no finding, no fault.", "muted")]
    if of_connection:
        yield []
        yield [("About its connection", "muted")]
        yield from connection_findings(of_connection, glyphs)
