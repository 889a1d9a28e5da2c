"""`show` with a connection: its handshake, its frames and its end, at once or as they come."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from wsinspect.capture.queries.timeline import findings_about
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection, Event, FrameRow, Message, Opaque
from wsinspect.cli.listing import NO_STATE, capture_state, is_final
from wsinspect.cli.output import columns, echo, echo_json, prose_columns
from wsinspect.diagnosis.facts import FactReader
from wsinspect.errors import CaptureError
from wsinspect.findings.provenance import Card
from wsinspect.launch.paths import spoken
from wsinspect.present import objects
from wsinspect.present.cells import Line
from wsinspect.present.clock import RELATIVE_CLOCK, Clock
from wsinspect.present.findings import finding_of
from wsinspect.present.frame_table import FrameTable, Page, opaque_lines
from wsinspect.present.glyphs import UNICODE
from wsinspect.present.handshakes import block_lines, body_lines, fact_lines
from wsinspect.present.notes import severity_sign, worst_style
from wsinspect.present.pages import message_payload, read_pages
from wsinspect.present.records import PREVIEW_BYTES
from wsinspect.present.requests import asked_of, near_lines, request_object
from wsinspect.present.terminal import Palette, json_line, json_text
from wsinspect.present.words import end_lines
from wsinspect.recorder.following import looks
from wsinspect.text import escape
from wsinspect.vocabulary import EventKind

_ROWS = 1000
#: Messages whose frames are looked up together.
_TIMED_AT_ONCE: Final = 200
#: A damaged stream may have thousands; a screen has room for few.
_MOST_FINDINGS = 12
#: Events whose facts are columns of the connection and its handshake.
_SHOWN_ELSEWHERE = frozenset({"attempt", "server", "open", "refused", "failed", "closed", "end"})


class Detail:
    """One connection, look by look.

    Args:
        path: of the capture.
        number: the connection's id.
        with_payload: whole payloads are wanted.
        follow: look again until the connection or its capture is over.

    Attributes:
        capture, connection: as they are during a look.
        is_last: this look is the last one.
    """

    def __init__(self, path: Path, number: int, *, with_payload: bool = False, follow: bool = False) -> None:
        self.number = number
        self.with_payload = with_payload
        self.is_last = False
        self.capture: Capture
        self.connection: Connection
        self._path = path
        self._follow = follow
        self._after = 0

    def looks(self) -> Iterator[Connection]:
        """The connection as it is at each look.

        Raises:
            CaptureError: the capture has no such connection.
        """
        for capture, is_last in looks(self._path, follow=self._follow):
            self.capture = capture
            connection = capture.connection(self.number)
            if connection is None:
                known = [one.id for one in capture.connections()]
                hint = f"it has {known[0]} to {known[-1]}" if known else "it has none yet"
                raise CaptureError(f"{self._path} has no connection {self.number}", hint=hint)
            self.connection = connection
            self.is_last = is_last or is_final(connection)
            yield connection
            if self.is_last:
                return

    def new_pages(self) -> Iterator[Page]:
        """The frames that were not read before."""
        for page in read_pages(self.capture, self.number, after=self._after, with_payload=self.with_payload):
            self._after = page.frames[-1].id
            yield page

    def messages(self) -> Iterator[Message]:
        """All messages; content is fetched one by one."""
        return _all(lambda after: self.capture.messages(self.number, after=after, limit=_ROWS, data_limit=0))

    def opaque(self) -> Iterator[Opaque]:
        """All bytes that belong to no frame."""
        limit = None if self.with_payload else PREVIEW_BYTES
        return _all(
            lambda after: self.capture.opaque(self.number, after=after, limit=_ROWS, data_limit=limit)
        )

    def events(self) -> Iterator[Event]:
        """What happened apart from the frames."""
        return _all(lambda after: self.capture.events(self.number, after=after, limit=_ROWS))


class _Row(Protocol):
    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=_Row)


def _all(read: Callable[[int], list[R]]) -> Iterator[R]:
    """All rows of a table, read by pages."""
    after = 0
    while rows := read(after):
        yield from rows
        after = rows[-1].id


def show_connection(detail: Detail, palette: Palette, clock: Clock = RELATIVE_CLOCK) -> None:
    """Lines for people: the handshake when it is over, frames, and at the last look how it ended."""
    table: FrameTable | None = None
    is_begun = False
    cells = prose_columns()
    for connection in detail.looks():
        if table is None:
            if connection.state == "connecting" and not detail.is_last:
                continue
            _print(palette.folded(_handshake_lines(detail, connection), cells))
            _print(palette.folded(_asked_lines(detail, connection, is_before=True), cells))
            table = FrameTable(connection, columns(), palette, clock=clock)
        # What a breakpoint holds may still be sent.
        is_open = connection.state == "open"
        table.is_live = not detail.is_last or (is_open and detail.capture.is_live)
        for page in detail.new_pages():
            if not is_begun:
                _print(["", table.header()])
                is_begun = True
            _print(table.lines(page))
        if detail.is_last:
            echo()
            _print(table.legend())
            _print(opaque_lines(detail.opaque(), detail.with_payload))
            _print(palette.folded(_asked_lines(detail, connection, is_before=False), cells))
            _print(palette.folded(_event_lines(detail, connection), cells))
            title, *facts = end_lines(connection, _card(detail))
            _print(palette.folded([title, *_indented(facts)], cells))
            _print(palette.folded(_finding_lines(detail), cells))


def _event_lines(detail: Detail, connection: Connection) -> Iterator[Line]:
    for event in detail.events():
        if event.kind not in _SHOWN_ELSEWHERE and event.kind != EventKind.HTTP:
            at_ns = event.time_ns - (connection.attempt_ns or event.time_ns)
            known = ((name, value) for name, value in event.detail.items() if value is not None)
            facts = "".join(f", {name} {value}" for name, value in known)
            yield [(escape(f"At {at_ns / 1e9:.6f} s: {event.kind}{facts}"), "")]


def _finding_lines(detail: Detail) -> Iterator[Line]:
    """The findings about this connection, the worst first, each in a line, and what prints them in full."""
    found = findings_about(detail.capture, detail.number, _MOST_FINDINGS + 1)
    if not found:
        return
    yield []
    yield [("Findings", "title")]
    for row in sorted(found[:_MOST_FINDINGS], key=lambda row: finding_of(row).rank):
        one = finding_of(row)
        style = worst_style([row.severity])
        frame = f" (frame {row.frame_id})" if row.frame_id is not None else ""
        sign = severity_sign(row.severity, UNICODE)
        yield [(f"  {sign} {escape(one.id)}  ", style), (escape(f"{one.title}{frame}"), "")]
    if len(found) > _MOST_FINDINGS:
        yield [("  and more", "muted")]
    file = escape(shlex.quote(spoken(detail.capture.path)))
    yield [(f"  what to do about it: wsinspect diagnose {file} --connection {detail.number}", "muted")]


def _asked_lines(detail: Detail, connection: Connection, *, is_before: bool) -> Iterator[Line]:
    """What the same client asked for just before the attempt, or soon after it."""
    return near_lines(asked_of(detail.events()), connection, UNICODE.arrow, is_before=is_before)


def _handshake_lines(detail: Detail, connection: Connection) -> Iterator[Line]:
    """Everything about an attempt up to its first frame."""
    tap = f"  tap {escape(connection.tap)}" if connection.tap else ""
    state = f"{escape(connection.url)}{tap}  {escape(connection.state)}"
    yield [(f"Connection {connection.id}  {state}", "title")]
    handshake = detail.capture.handshake(detail.number)
    yield from _indented(fact_lines(connection, handshake))
    if handshake is not None:
        yield []
        yield from block_lines(handshake)
        yield from body_lines(handshake, whole=detail.with_payload, hint="; --payload shows them")


def _indented(lines: Iterable[Line]) -> Iterator[Line]:
    return ([("  ", ""), *line] for line in lines)


def _card(detail: Detail) -> Card | None:
    return FactReader(detail.capture.query).card(detail.number)


def _provenance(detail: Detail) -> dict[str, Any] | None:
    card = _card(detail)
    return None if card is None else card.as_json()


def _print(lines: Iterable[str]) -> None:
    """Lines without a flush for each: a page is many."""
    write = sys.stdout.write
    for line in lines:
        write(line + "\n")
    sys.stdout.flush()


def follow_json(detail: Detail) -> None:
    """One object a line: connection, handshake, frames and messages as they come, the connection again."""
    is_printed = False
    for connection in detail.looks():
        if not is_printed and (connection.state != "connecting" or detail.is_last):
            _print_object(detail, "connection", objects.connection_object(connection))
            _print_handshake(detail)
            is_printed = True
        for page in detail.new_pages():
            for frame in page.frames:
                _print_object(detail, "frame", _frame(detail, frame, page))
                message = page.messages.get(frame.message_id or 0)
                if message is not None and message.last_frame == frame.id:
                    for one in _messages(detail, [message]):
                        _print_object(detail, "message", one)
        if detail.is_last:
            for one in _requests(detail):
                _print_object(detail, "request", one)
            _print_object(detail, "connection", objects.connection_object(connection))


def _print_object(detail: Detail, event: str, content: dict[str, Any]) -> None:
    echo_json({"event": event, "connection": detail.number, **content})


def _print_handshake(detail: Detail) -> None:
    handshake = detail.capture.handshake(detail.number)
    if handshake is not None:
        _print_object(detail, "handshake", objects.handshake_object(handshake))


def print_connection_json(detail: Detail) -> None:
    """One object, written as it is read: a connection may have more frames than fit into memory.

    Of a damaged capture it is completed with what could be read: half an object is not JSON, and whoever
    asked could not tell it from what a killed command leaves. `damaged` says so, and then the error is
    raised.
    """
    for connection in detail.looks():
        handshake = detail.capture.handshake(detail.number)
        content = {
            "capture": str(detail.capture.path),
            "connection": objects.connection_object(connection),
            "handshake": None if handshake is None else objects.handshake_object(handshake),
        }
        sys.stdout.write(json_line(content).removesuffix("}"))
        arrays: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
            "events": lambda: map(objects.event_object, detail.events()),
            "requests": lambda: _requests(detail),
            "frames": lambda: (
                _frame(detail, frame, page) for page in detail.new_pages() for frame in page.frames
            ),
            "messages": lambda: _messages(detail, detail.messages()),
            "opaque": lambda: (objects.opaque_object(one, detail.with_payload) for one in detail.opaque()),
        }
        failures = [_write_array(name, read) for name, read in arrays.items()]
        failures += [
            _write_provenance(detail),
            _write_state(detail.capture),
            _structural_damage(detail.capture),
        ]
        failure = next((one for one in failures if one is not None), None)
        sys.stdout.write(f', "damaged": {json.dumps(failure is not None)}}}\n')
        sys.stdout.flush()
        if failure is not None:
            raise failure


def _requests(detail: Detail) -> Iterator[dict[str, Any]]:
    """Plain requests of the same client near the attempt, in order."""
    attempt_ns = detail.connection.attempt_ns
    return (request_object(one, attempt_ns) for one in asked_of(detail.events()))


def _write_provenance(detail: Detail) -> Exception | None:
    card, failure = json_text(None), None
    try:
        card = json_text(_provenance(detail))
    except Exception as error:  # as in `_write_array`
        failure = error
    sys.stdout.write(f', "provenance": {card}')
    return failure


def _write_state(capture: Capture) -> Exception | None:
    state, failure = NO_STATE, None
    try:
        state = capture_state(capture)
    except Exception as error:  # as in `_write_array`
        failure = error
    sys.stdout.write(f", {json_text(state)[1:-1]}")
    return failure


def _structural_damage(capture: Capture) -> CaptureError | None:
    try:
        capture.check_structure()
    except CaptureError as error:
        return error
    return None


def _frame(detail: Detail, frame: FrameRow, page: Page) -> dict[str, Any]:
    if detail.with_payload and len(frame.payload) < frame.length:
        frame = detail.capture.frame(frame.id) or frame
    return objects.frame_object(frame, page.pings.get(frame.id), detail.with_payload)


def _messages(detail: Detail, messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Messages in order; the frames that have their times are read for many at once."""
    left = iter(messages)
    while page := list(islice(left, _TIMED_AT_ONCE)):
        ids = {one for message in page for one in (message.first_frame, message.last_frame) if one}
        frames = {one.id: one for one in detail.capture.frames_of(sorted(ids), payload_limit=0)}
        for message in page:
            first, last = frames.get(message.first_frame), frames.get(message.last_frame or 0)
            times = (None if first is None else first.first_ns, None if last is None else last.time_ns)
            yield _message(detail, message, times)


def _message(detail: Detail, message: Message, times: tuple[int | None, int | None]) -> dict[str, Any]:
    if not detail.with_payload:
        return objects.message_object(message, None, times=times)
    payload = message_payload(detail.capture, message)
    return objects.message_object(
        message,
        payload,
        times=times,
        is_evicted=detail.capture.is_evicted(message),
        connection=detail.connection,
    )


def _write_array(name: str, read: Callable[[], Iterable[dict[str, Any]]]) -> Exception | None:
    """One more member of the object that is being written.

    Returns:
        What kept it from being read to its end.
    """
    sys.stdout.write(f", {json.dumps(name)}: [")
    separator = ""
    failure: Exception | None = None
    items: Iterator[dict[str, Any]] | None = None
    while True:
        try:
            items = iter(read()) if items is None else items
            text = json_text(next(items))
        except StopIteration:
            break
        except Exception as error:  # a damaged file holds any value; the caller says whose fault it is
            failure = error
            break
        sys.stdout.write(separator + text)
        separator = ", "
    sys.stdout.write("]")
    return failure
