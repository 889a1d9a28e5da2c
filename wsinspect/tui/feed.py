"""The thread that tails a capture and hands over what is new, a batch at a time.

Contract: batches come in order and none is lost; the next one is read once the last one was taken, so a slow
screen makes batches larger, not more. Reading happens in SQLite's library, outside of the interpreter lock.
A capture that cannot be read any more is a batch with `error`, not an exception.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wsinspect.capture.columns import Columns
from wsinspect.capture.records import Connection, Event, FaultRow, FindingRow
from wsinspect.errors import CaptureError
from wsinspect.present.requests import Asked
from wsinspect.tui.source import EVENTS, PAGE, Source

POLL_SECONDS: Final = 0.05
#: How often locks are checked: whether an engine or a recorder is running.
_LIVE_ROUNDS: Final = 10
#: The first batches are small, so that the first screen comes at once.
FIRST_FRAMES: Final = 4_000
#: Of larger ones the pieces that reading needs for a moment are so large that the allocator keeps room for
#: them among the columns, which grow meanwhile: a million frames took 10 MB more with 25,000.
MORE_FRAMES: Final = 8_000
_CONNECTIONS: Final = 1_000
_FINAL: Final = frozenset({"closed", "refused", "failed", "lost"})


@dataclass
class Batch:
    """What is new.

    Attributes:
        columns: frames.
        connections: new rows, and those that may have changed.
        meta: of the newest run; None when unchanged.
        events: of the engine, not of a connection.
        are_findings_anew: `findings` are all from the first on: some that were known have gone.
        asked: plain requests near attempts.
        newest_id: the last frame's id in the capture, which may be further than what was read.
        is_live: an engine or a recorder is at work.
        error: why nothing more can be read.
    """

    columns: Columns | None = None
    connections: list[Connection] = field(default_factory=list)
    meta: dict[str, Any] | None = None
    start_ns: int | None = None
    events: list[Event] = field(default_factory=list)
    findings: list[FindingRow] = field(default_factory=list)
    are_findings_anew: bool = False
    faults: list[FaultRow] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    newest_id: int = 0
    is_live: bool = False
    error: str | None = None


class Feed(threading.Thread):
    """Reads until `stop`.

    Args:
        path: the capture.
        deliver: called in this thread with each batch; whoever takes it calls `taken` afterwards.
    """

    def __init__(self, path: Path, deliver: Callable[[Batch], None]) -> None:
        super().__init__(name="capture-feed", daemon=True)
        self.path = path
        self._deliver = deliver
        self._stopping = threading.Event()
        self._taken = threading.Event()
        self._last_frame = 0
        self._last_connection = 0
        self._last_event = 0
        self._last_asked = 0
        self._is_asked_out = True
        self._last_finding = 0
        self._findings_mark = (0, 0)
        self._last_fault = 0
        self._open_connections: set[int] = set()
        self._meta: dict[str, Any] | None = None

    def taken(self) -> None:
        """The last batch has been used: read on."""
        self._taken.set()

    def stop(self) -> None:
        """Ask the thread to end, without waiting for it."""
        self._stopping.set()
        self._taken.set()

    def run(self) -> None:
        """Read until stopped, or until the file is unreadable."""
        try:
            source = Source(self.path)
        except CaptureError as error:
            self._deliver(Batch(error=str(error)))
            return
        try:
            self._follow(source)
        except CaptureError as error:
            self._deliver(Batch(error=str(error)))
        finally:
            source.close()

    def _follow(self, source: Source) -> None:
        rounds, version, was_live, is_live = 0, -1, None, False
        has_more = True
        while not self._stopping.is_set():
            if rounds % _LIVE_ROUNDS == 0:
                is_live = source.capture.is_live
            rounds += 1
            now = source.capture.version()
            if has_more or now != version or is_live != was_live:
                version, was_live = now, is_live
                batch = self._read(source)
                batch.is_live = is_live
                has_more = self._has_more(batch)
                self._taken.clear()
                self._deliver(batch)
                self._taken.wait()
            if not has_more:
                self._stopping.wait(POLL_SECONDS)

    def _has_more(self, batch: Batch) -> bool:
        """Whether a page came back full, so that the next one is to be asked for at once."""
        if batch.columns is not None and self._last_frame < batch.newest_id:
            return True
        if not self._is_asked_out:
            return True
        return max(len(batch.events), len(batch.findings), len(batch.faults)) >= PAGE

    def _read(self, source: Source) -> Batch:
        batch = Batch(newest_id=source.newest_id())
        meta = source.capture.meta
        if meta != self._meta:
            self._meta = batch.meta = meta
        batch.start_ns = source.capture.start_ns
        batch.connections = self._connections(source)
        read = source.columns(self._last_frame, MORE_FRAMES if self._last_frame else FIRST_FRAMES)
        if read is not None:
            self._last_frame, batch.columns = read
        batch.events = self._events(source)
        before = self._last_asked
        self._last_asked, batch.asked = source.asked(before)
        self._is_asked_out = self._last_asked - before < EVENTS
        self._read_findings(source, batch)
        batch.faults = source.fault_events(self._last_fault)
        if batch.faults:
            self._last_fault = batch.faults[-1].id
        return batch

    def _read_findings(self, source: Source, batch: Batch) -> None:
        """New ones; all of them where the recorder took some back for a better one."""
        if source.findings_mark(self._last_finding) != self._findings_mark:
            self._last_finding, batch.are_findings_anew = 0, True
        batch.findings = source.findings(self._last_finding)
        if batch.findings:
            self._last_finding = batch.findings[-1].id
        self._findings_mark = source.findings_mark(self._last_finding)

    def _connections(self, source: Source) -> list[Connection]:
        """Rows not seen before, and those that were not at their end when last seen."""
        again = [source.capture.connection(number) for number in sorted(self._open_connections)]
        changed = [connection for connection in again if connection is not None]
        while more := source.capture.connections(after=self._last_connection, limit=_CONNECTIONS):
            changed += more
            self._last_connection = more[-1].id
        for connection in changed:
            if connection.state in _FINAL:
                self._open_connections.discard(connection.id)
            else:
                self._open_connections.add(connection.id)
        return changed

    def _events(self, source: Source) -> list[Event]:
        events = source.engine_events(self._last_event)
        if events:
            self._last_event = events[-1].id
        return events
