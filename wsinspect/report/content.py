"""What a report says of a capture, read page by page and bounded: what is left out is counted.

Texts are escaped for a terminal's control characters and masked, not yet for HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wsinspect.capture.missing import lacks
from wsinspect.capture.queries import count_connections, count_frames, faults
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection, FrameRow
from wsinspect.formats.masking import Masker
from wsinspect.present.cells import Line
from wsinspect.present.glyphs import UNICODE
from wsinspect.present.handshakes import block_lines, body_lines, fact_lines
from wsinspect.present.notes import fault_facts, preview, summary_of
from wsinspect.present.pages import read_pages
from wsinspect.present.requests import Asked, asked_of, near_lines
from wsinspect.present.words import close_codes, close_words, end_lines, ender
from wsinspect.text import escape
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.opcodes import Opcode, opcode_name

#: What one page holds; a browser draws and searches so many without delay.
MAX_FRAMES: Final = 150_000
MAX_CONNECTIONS: Final = 2000
MAX_HANDSHAKES: Final = 200
MAX_FAULTS: Final = 500
_MOST_MESSAGES: Final = 20
_TEXT: Final = 96
_PAGE: Final = 500
#: Bits of a frame in the page's data: the opcode, and these.
S2C, FIN, COMPRESSED, MARKED, FAULTED = 16, 32, 64, 128, 256


@dataclass
class Lane:
    """A connection's frames, for the timeline; times in microseconds since the capture's start.

    Attributes:
        times, ids: each as the difference to the one before.
        bits: opcode and flags.
        lengths: payload bytes on the wire.
        texts: places in `Content.texts`.
    """

    times: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    last_us: int = 0
    last_id: int = 0


@dataclass(frozen=True)
class Said:
    """A connection as the page lists it."""

    row: Connection
    url: str
    end: str
    codes: str
    lines: Sequence[Line]
    gone: str


@dataclass
class Content:
    """All that a page says apart from the diagnosis.

    Attributes:
        start_ns: what the timeline counts from.
        end_us: its last time.
        connections: those listed, and `left_out` how many are not.
        lanes: frames by connection.
        texts: what frames say, each once.
        frames_left_out: how many frames the timeline has not.
        handshakes: lines by connection; of the others only what is in the list.
        faults: time, connection, frame, rule, kind, details; `faults_left_out` more.
        protocols: by connection what its decoder found, with how often.
    """

    start_ns: int = 0
    end_us: int = 0
    connections: list[Said] = field(default_factory=list)
    left_out: int = 0
    lanes: dict[int, Lane] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    frames: int = 0
    frames_left_out: int = 0
    handshakes: dict[int, list[Line]] = field(default_factory=dict)
    faults: list[tuple[Any, ...]] = field(default_factory=list)
    faults_left_out: int = 0
    protocols: dict[int, list[tuple[str, int]]] = field(default_factory=dict)


def heads_of(capture: Capture) -> Iterator[bytes]:
    """The header blocks of the connections that a page lists."""
    for one in _connections(capture):
        shake = capture.handshake(one.id)
        if shake is not None:
            yield from shake.heads


def read(capture: Capture, masker: Masker, first: Sequence[int], *, with_payload: bool) -> Content:
    """Read a capture.

    Args:
        first: connections whose handshakes are wanted before others: those with findings.
        with_payload: how messages begin is wanted.

    Raises:
        CaptureError: it is damaged.
    """
    return _Reader(capture, masker, with_payload).read(first)


def _connections(capture: Capture) -> Iterator[Connection]:
    after = count = 0
    while found := capture.connections(after=after, limit=_PAGE):
        for one in found:
            count += 1
            if count > MAX_CONNECTIONS:
                return
            yield one
        after = found[-1].id


class _Reader:
    def __init__(self, capture: Capture, masker: Masker, with_payload: bool) -> None:
        self._capture = capture
        self._masker = masker
        self._with_payload = with_payload
        self._places: dict[str, int] = {}
        self._made = Content()

    def read(self, first: Sequence[int]) -> Content:
        made, capture = self._made, self._capture
        made.start_ns = capture.start_ns or 0
        rows = [*_connections(capture)]
        made.left_out = count_connections(capture) - len(rows)
        made.frames = count_frames(capture)
        starts = [one.attempt_ns for one in rows if one.attempt_ns is not None]
        if starts:
            made.start_ns = min(starts)
        wanted = dict.fromkeys([*first, *(one.id for one in rows)])
        shown = set([*wanted][:MAX_HANDSHAKES])
        for one in rows:
            made.connections.append(self._said(one))
            if one.id in shown:
                made.handshakes[one.id] = self._handshake(one)
            self._frames(one)
            for time_ns in (one.open_ns, one.closed_ns):
                if time_ns is not None:
                    made.end_us = max(made.end_us, (time_ns - made.start_ns) // 1000)
        have = sum(len(lane.times) for lane in made.lanes.values())
        made.frames_left_out = max(0, made.frames - have)
        self._faults()
        return made

    def _said(self, one: Connection) -> Said:
        ended = "" if one.closed_ns is None else f"{ender(one)}, {one.how or 'unknown'}"
        gone = lacks(one)
        return Said(
            one,
            escape(self._masker.url(one.url)),
            escape(ended),
            close_codes(one) if one.open_ns is not None else "",
            [self._line(line) for line in end_lines(one)],
            "" if gone is None else gone.words,
        )

    def _handshake(self, one: Connection) -> list[Line]:
        shake = self._capture.handshake(one.id)
        if shake is None:
            return []
        lines = [*fact_lines(one, shake), [], *block_lines(shake), *body_lines(shake)]
        asked = [self._asked(each) for each in asked_of(self._capture.events(one.id))]
        lines = [*near_lines(asked, one, UNICODE.arrow, is_before=True), *([[]] if asked else []), *lines]
        lines += near_lines(asked, one, UNICODE.arrow, is_before=False)
        return [self._line(line) for line in lines]

    def _asked(self, one: Asked) -> Asked:
        """A request whose URL is masked while it is whole: a path alone is not known for one."""
        return one._replace(facts=replace(one.facts, url=self._masker.url(one.facts.url or "")))

    def _line(self, line: Line) -> Line:
        """A line whose secrets are masked, also one that is cut into pieces."""
        return [(self._masker.text(text), style) for text, style in line]

    # -- frames

    def _frames(self, one: Connection) -> None:
        room = MAX_FRAMES - sum(len(lane.times) for lane in self._made.lanes.values())
        if room <= 0 or not one.c2s_frames + one.s2c_frames:
            return
        lane = self._made.lanes[one.id] = Lane()
        kinds: Counter[str] = Counter()
        start_ns = self._made.start_ns
        for page in read_pages(self._capture, one.id):
            for frame in page.frames[:room]:
                record = page.record(frame)
                said = summary_of(record, one)
                if said is not None:
                    kinds[said.split("(")[0].split(":")[0].split("{")[0].strip()[:40]] += 1
                self._add(lane, frame, start_ns, bool(page.findings.get(frame.id)), self._words(record, said))
            room -= len(page.frames)
            if room <= 0:
                break
        self._made.end_us = max(self._made.end_us, lane.last_us)
        if kinds:
            text = self._masker.payload
            self._made.protocols[one.id] = [
                (escape(text(name)) or "-", count) for name, count in kinds.most_common(_MOST_MESSAGES)
            ]

    def _add(self, lane: Lane, frame: FrameRow, start_ns: int, is_found: bool, words: str) -> None:
        time_us = (frame.time_ns - start_ns) // 1000
        bits = frame.opcode | (S2C if frame.direction else 0) | (FIN if frame.fin else 0)
        bits |= COMPRESSED if frame.rsv1 else 0
        bits |= MARKED if frame.violation or is_found else 0
        bits |= FAULTED if frame.fault_event_id is not None or frame.sent_ns is None else 0
        lane.times.append(time_us - lane.last_us)
        lane.ids.append(frame.id - lane.last_id)
        lane.bits.append(bits)
        lane.lengths.append(frame.length)
        lane.texts.append(self._place(words))
        lane.last_us, lane.last_id = time_us, frame.id

    def _place(self, words: str) -> int:
        place = self._places.get(words)
        if place is None:
            place = self._places[words] = len(self._made.texts)
            self._made.texts.append(words)
        return place

    def _words(self, record: Any, said: str | None) -> str:
        """What is said of a frame: what is wrong with it, and how it begins."""
        frame = record.frame
        parts = [] if frame.violation is None else [frame.violation]
        if frame.opcode == Opcode.CLOSE:
            parts.append(close_words(*parse_close(frame.payload)))
        elif self._with_payload:
            words = escape(said) if said is not None else preview(record)
            parts.append(self._masker.payload(words[: 4 * _TEXT])[:_TEXT])
        for event in record.faults:
            parts.append(escape(f"fault {event.rule}: {event.kind}"))
        return "; ".join(part for part in parts if part)

    def _faults(self) -> None:
        after = 0
        while rows := faults(self._capture, after, _PAGE):
            for number, time_ns, connection, frame, rule, kind, _, detail in rows:
                after = number
                if len(self._made.faults) >= MAX_FAULTS:
                    self._made.faults_left_out += 1
                    continue
                facts = fault_facts(detail)
                said = str(detail or "") if facts is None else ", ".join(facts)
                text = [escape(self._masker.text(str(one or ""))) for one in (rule, kind)]
                text.append(self._masker.payload(escape(self._masker.text(said))))
                time_us = (time_ns - self._made.start_ns) // 1000 if isinstance(time_ns, int) else 0
                self._made.faults.append((time_us, connection, frame, *text))


def opcode_names() -> list[str]:
    """The names of all opcodes by number."""
    return [opcode_name(number) for number in range(16)]
