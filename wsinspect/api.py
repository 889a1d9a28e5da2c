"""The Python API: captures as typed objects and iterators. docs/python-api.md has examples, which are run as
tests.

Everything is read page by page while it is iterated, so a capture of any size, also one that an engine is
writing, can be walked through in little memory. Times are epoch nanoseconds.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from wsinspect.capture.damage import find_damage
from wsinspect.capture.missing import Gap, Lacks, Missing, lacks, missing
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection as ConnectionRow
from wsinspect.capture.records import Event, Handshake, Opaque, Ping
from wsinspect.capture.records import FrameRow as Frame
from wsinspect.capture.story import Acted, Step, Story, story
from wsinspect.clients.facts import Attempt
from wsinspect.clients.grading import Client, Grade, Reason
from wsinspect.closing import Closing
from wsinspect.diagnosis.clients import judged_clients
from wsinspect.diagnosis.facts import diagnose
from wsinspect.errors import CaptureError, UsageError, WsinspectError
from wsinspect.faults.sessions import SessionBy
from wsinspect.findings.model import Finding
from wsinspect.formats import transcript
from wsinspect.formats.importing import import_file, sniff
from wsinspect.handshake.heads import RawHead
from wsinspect.recorder.opening import open_capture as _open_capture
from wsinspect.wire.messages import INFLATE_FAILED, NOT_INFLATED, OVER_CAP
from wsinspect.wire.opcodes import Direction, Opcode

__all__ = [
    "Acted",
    "Attempt",
    "CaptureError",
    "CaptureFile",
    "Client",
    "Connection",
    "Direction",
    "Event",
    "Finding",
    "Frame",
    "Gap",
    "Grade",
    "Handshake",
    "Lacks",
    "Message",
    "Missing",
    "Opaque",
    "Opcode",
    "Ping",
    "Reason",
    "Step",
    "Story",
    "WsinspectError",
    "open_capture",
]

_PAGE = 500
#: Frames read at a time where payloads are large.
_LARGE_PAGE = 16
_LARGE_BYTES = 4 * 1024 * 1024


P = ParamSpec("P")
T = TypeVar("T")
#: What values of wrong types raise; our own bugs pass through.
_MISREAD = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


def _blaming_damage(read: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Of a reading method: where what it read cannot be right, it is the file's damage that is said."""

    @functools.wraps(read)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        try:
            yield from read(*args, **kwargs)
        except _MISREAD as error:
            damage = _damage_of(args[0], error)
            raise damage from (None if damage is error else error)

    return guarded


def _damage_of(reading: Any, error: Exception) -> Exception:
    capture = reading._capture if isinstance(reading, Connection) else reading
    damage = find_damage(capture.reader.path)
    return error if damage is None else CaptureError(f"{capture.path} is damaged: {damage}")


class Message(NamedTuple):
    """What one or more data frames say together.

    Attributes:
        id: of its first frame.
        connection_id: whose.
        direction: `Direction.CLIENT_TO_SERVER` or `SERVER_TO_CLIENT`.
        opcode: `Opcode.TEXT` or `BINARY`.
        time_ns: when its last byte came.
        data: what it says, inflated.
        is_cut: whether `data` is not all of it (`--snaplen`, `--max-capture-size`, a failed inflate).
        problem: `inflate-failed`, `over-cap`, `unfinished` and so on; None when all is well.
    """

    id: int
    connection_id: int
    direction: Direction
    opcode: int
    time_ns: int
    data: bytes
    is_cut: bool
    problem: str | None

    @property
    def is_text(self) -> bool:
        """Whether it is a text message."""
        return self.opcode == Opcode.TEXT

    @property
    def text(self) -> str:
        """Its data as text; what is not UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")

    def json(self) -> Any:
        """Its data as JSON.

        Raises:
            ValueError: they are not.
        """
        return json.loads(self.data)


class Connection(ConnectionRow):
    """One WebSocket from its opening handshake, also a refused one, to its end.

    Its fields are those of docs/capture-format.md's `connection`: `connection.ended_by`.
    """

    _capture: CaptureFile

    @classmethod
    def _of(cls, capture: CaptureFile, row: ConnectionRow) -> Connection:
        self = cls(*row)
        self._capture = capture
        return self

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.state} {self.url}>"

    @property
    def handshake(self) -> Handshake | None:
        """Its opening handshake: the heads byte for byte, and the times."""
        found = self._capture.reader.handshake(self.id)
        if found is not None and not all(isinstance(head, bytes | None) for head in found[1:7]):
            raise CaptureError(f"{self._capture.path} is damaged: its header blocks are not bytes")
        return found

    @property
    def request(self) -> RawHead:
        """The request's head as the client sent it: `request.get("origin")`."""
        found = self.handshake
        return RawHead.parse((found.request_in or b"") if found else b"")

    @property
    def response(self) -> RawHead:
        """The response's head as the server sent it."""
        found = self.handshake
        return RawHead.parse((found.response_in or b"") if found else b"")

    @_blaming_damage
    def frames(self) -> Iterator[Frame]:
        """Its frames of both directions, in order."""
        return self._capture.frames(self.id)

    @_blaming_damage
    def messages(self) -> Iterator[Message]:
        """Its messages of both directions, in the order in which they were complete."""
        return _messages(self._capture.reader, self.id)

    @_blaming_damage
    def pings(self) -> Iterator[Ping]:
        """Its pings with their pongs."""
        after = 0
        while page := self._capture.reader.pings(self.id, after=after, limit=_PAGE):
            yield from page
            after = page[-1].ping_frame

    @_blaming_damage
    def opaque(self) -> Iterator[Opaque]:
        """Its bytes of which no frames could be made."""
        after = 0
        while page := self._capture.reader.opaque(self.id, after=after, limit=_LARGE_PAGE):
            yield from page
            after = page[-1].id

    @_blaming_damage
    def events(self) -> Iterator[Event]:
        """What else happened to it."""
        return self._capture.events(self.id)

    @property
    def missing(self) -> Lacks | None:
        """What the capture lacks of it; None where it has everything.

        Where `missing.gaps` names a direction, bytes of it could not be stored: silence, and what did not
        come, prove nothing there.
        """
        return lacks(self)

    @_blaming_damage
    def findings(self) -> Iterator[Finding]:
        """What was diagnosed of it."""
        return self._capture.findings(self.id)


class CaptureFile(Closing):
    """An open capture; a context manager. `open_capture` makes it.

    Attributes:
        path: the file that was opened.
        reader: the page-wise reader below this API.
    """

    def __init__(
        self, path: Path, reader: Capture, imported: tempfile.TemporaryDirectory[str] | None
    ) -> None:
        self.path = path
        self.reader = reader
        self._imported = imported

    def close(self) -> None:
        """Close the capture and delete the temporary copy of an imported file."""
        self.reader.close()
        if self._imported is not None:
            self._imported.cleanup()

    def __iter__(self) -> Iterator[Connection]:
        return self.connections()

    @property
    def meta(self) -> dict[str, Any]:
        """What its newest run noted of itself."""
        return self.reader.meta

    @property
    def missing(self) -> Missing | None:
        """What could not be stored, and what was deleted to make room; None where that is nothing."""
        return missing(self.reader)

    @property
    def is_live(self) -> bool:
        """Whether an engine is writing it."""
        return self.reader.is_live

    @property
    def story(self) -> Story | None:
        """What was done on purpose: rules, phases, and how often each rule acted; None where nothing was."""
        return story(self.reader)

    @_blaming_damage
    def connections(self) -> Iterator[Connection]:
        """All connections, in order."""
        after = 0
        while page := self.reader.connections(after=after, limit=_PAGE):
            for row in page:
                yield Connection._of(self, row)
            after = page[-1].id
        self.reader.check_structure()

    def connection(self, connection_id: int) -> Connection:
        """One connection.

        Raises:
            UsageError: there is none of that number.
        """
        row = self.reader.connection(connection_id)
        if row is None:
            raise UsageError(f"{self.path} has no connection {connection_id}")
        return Connection._of(self, row)

    @_blaming_damage
    def frames(self, connection_id: int | None = None) -> Iterator[Frame]:
        """The frames of all connections, in order, or those of one."""
        after = 0
        limit = _LARGE_PAGE
        while page := self.reader.frames(connection_id, after=after, limit=limit):
            yield from page
            after = page[-1].id
            size = sum(len(frame.payload) for frame in page) // len(page)
            limit = _PAGE if size * _PAGE < _LARGE_BYTES else _LARGE_PAGE
        self.reader.check_structure()

    @_blaming_damage
    def messages(self) -> Iterator[Message]:
        """The messages of all connections, one connection after the other."""
        for connection in self.connections():
            yield from connection.messages()

    @_blaming_damage
    def events(self, connection_id: int | None = None) -> Iterator[Event]:
        """What else happened, to one connection or at all."""
        after = 0
        while page := self.reader.events(connection_id, after=after, limit=_PAGE):
            yield from page
            after = page[-1].id

    @_blaming_damage
    def findings(self, connection_id: int | None = None) -> Iterator[Finding]:
        """What `wsinspect diagnose` finds, about one connection or all; worked out now."""
        for finding in diagnose(self.reader.query):
            if connection_id is None or finding.connection == connection_id:
                yield finding

    @_blaming_damage
    def sessions(self, session_by: str | None = None) -> Iterator[Client]:
        """The clients across their reconnects: `client.session`, `client.measures`, `client.grade`.

        Args:
            session_by: what tells clients apart, such as `header:X-User`, `cookie:sid` or `query:user`.

        Raises:
            ValueError: `session_by` is none of these.
        """
        by = None if session_by is None else SessionBy.parse(session_by)
        yield from judged_clients(self.reader, by)


def open_capture(path: str | Path) -> CaptureFile:
    """Open a capture: one that was recorded, or what `import` reads (HAR, JSONL, mitmproxy flows, packets).

    Raises:
        CaptureError: it is missing or none of these.
    """
    path = Path(path)
    if not path.is_file():
        raise CaptureError(f"there is no capture {path}")
    if sniff(path) == "capture":
        return CaptureFile(path, _open_capture(path), None)
    folder = tempfile.TemporaryDirectory(prefix="wsinspect-")
    try:
        target = Path(folder.name) / "imported.db"
        import_file(path, target)
        return CaptureFile(path, _open_capture(target), folder)
    except BaseException:
        folder.cleanup()
        raise


def _messages(reader: Capture, connection_id: int) -> Iterator[Message]:
    for said in transcript.messages(reader, connection_id):
        is_cut = said.is_cut or said.problem in (INFLATE_FAILED, NOT_INFLATED, OVER_CAP)
        yield Message(
            said.id,
            connection_id,
            said.direction,
            said.opcode,
            said.time_ns,
            said.data,
            is_cut,
            said.problem,
        )
