"""What is known of the capture that is open: frames in columns, connections, events, findings, faults.

Contract: only `take` changes it, in the event loop; it counts everything, and keeps of unbounded things no
more than screens can show.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any, Final, NamedTuple

from wsinspect.capture.records import Connection, Event, FaultRow, FindingRow
from wsinspect.present.requests import Asked, once
from wsinspect.tui.feed import Batch
from wsinspect.tui.index import FrameIndex
from wsinspect.vocabulary import State

#: Of connections that nothing has ended yet.
_ALIVE: Final = frozenset({State.CONNECTING, State.OPEN})
_KEPT_FAULTS: Final = 5_000
_KEPT_EVENTS: Final = 1_000
_KEPT_ASKED: Final = 4_000
_RATE_SECONDS: Final = 2.0
STARTING, LIVE, RECORDED, DISCONNECTED, UNREADABLE = (
    "STARTING",
    "LIVE",
    "RECORDED",
    "DISCONNECTED",
    "UNREADABLE",
)


class FaultSummary(NamedTuple):
    """What one rule has done so far."""

    rule: str
    kind: str
    hits: int
    last_ns: int


class Model:
    """The open capture.

    Attributes:
        connections: by id, in order.
        version: changes with every batch.
        asked_count: how many requests near attempts have come.
        finding_changes: how often `findings` have become others.
        lag_ns: how old the newest frame of a live capture was when it was read.
        unstored_bytes: what could not be recorded, by the engine's own word.
        error: why the capture cannot be read any further.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = FrameIndex()
        self.connections: dict[int, Connection] = {}
        self.meta: dict[str, Any] = {}
        self.start_ns: int | None = None
        self.events: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        #: By name, each rule as it was armed or disarmed last.
        self.rule_events: dict[str, dict[str, Any]] = {}
        #: Plain requests near attempts, as they came; a request may be near to several.
        self.asked: deque[Asked] = deque(maxlen=_KEPT_ASKED)
        self.asked_count = 0
        self.findings: list[FindingRow] = []
        self.finding_changes = 0
        self.version = 0
        self.findings_of_frame: dict[int, list[FindingRow]] = {}
        #: Under 0 those about no connection: pages, requests and TLS that never became one.
        self.findings_of_connection: dict[int, list[FindingRow]] = {}
        self.faults: deque[FaultRow] = deque(maxlen=_KEPT_FAULTS)
        self.fault_rules: dict[str, FaultSummary] = {}
        self.faults_of_connection: dict[int, int] = {}
        self.unstored_bytes = 0
        self.newest_id = 0
        self.lag_ns: int | None = None
        self._since_ns = time.time_ns()
        self.is_live = False
        self.was_live = False
        self.has_begun = False
        self._is_engine_gone = False
        self._alive: set[int] = set()
        self.error: str | None = None
        self.taps: list[dict[str, Any]] = []
        self.listeners: list[dict[str, Any]] = []
        self._counts: deque[tuple[float, int]] = deque()

    def take(self, batch: Batch) -> None:
        """Add what is new."""
        self.has_begun = True
        self.version += 1
        if batch.error is not None:
            self.error, self.is_live = batch.error, False
            return
        if batch.meta is not None:
            self.meta = batch.meta
            self.taps = [tap for tap in _list(batch.meta.get("taps")) if isinstance(tap, dict)]
        self.start_ns = batch.start_ns if batch.start_ns is not None else self.start_ns
        for connection in batch.connections:
            self.connections[connection.id] = connection
            if connection.state in _ALIVE:
                self._alive.add(connection.id)
            else:
                self._alive.discard(connection.id)
        if batch.columns is not None:
            self.index.append(batch.columns)
        self.newest_id = max(batch.newest_id, self.index.last_id)
        self._measure_lag(batch)
        self._take_events(batch.events)
        self.asked.extend(batch.asked)
        self.asked_count += len(batch.asked)
        if batch.are_findings_anew:
            self._forget_findings()
        self._take_findings(batch.findings)
        self._take_faults(batch.faults)
        self.is_live = batch.is_live
        self.was_live = self.was_live or batch.is_live
        self._lose_open_ones()

    def _lose_open_ones(self) -> None:
        """Without its proxy no connection is open: where the recorder died too, nobody else says so."""
        if self._alive and self.state == DISCONNECTED:
            for number in self._alive:
                self.connections[number] = self.connections[number]._replace(state=State.LOST.value)
            self._alive.clear()
            self.version += 1

    @property
    def is_engine_gone(self) -> bool:
        """Whether the engine's process ended without having been asked to, as its parent saw it."""
        return self._is_engine_gone

    @is_engine_gone.setter
    def is_engine_gone(self, is_gone: bool) -> None:
        self._is_engine_gone = is_gone
        self._lose_open_ones()

    def _take_events(self, events: list[Event]) -> None:
        self.events.extend(events)
        for event in events:
            if event.kind == "unstored":
                size = event.detail.get("bytes")
                self.unstored_bytes += size if isinstance(size, int) else 0
            elif event.kind == "rule":
                self.rule_events[str(event.detail.get("rule"))] = event.detail
            elif event.kind == "listening":
                self.listeners = [
                    one for one in _list(event.detail.get("listeners")) if isinstance(one, dict)
                ]

    def asked_near(self, connection: int | None) -> list[Asked]:
        """The plain requests near a connection's attempt, or near all attempts, in order of time."""
        return once(one for one in self.asked if connection in (None, one.connection))

    def _forget_findings(self) -> None:
        self.findings.clear()
        self.findings_of_frame.clear()
        self.findings_of_connection.clear()
        self.index.finding_frames.clear()
        self.finding_changes += 1

    def _take_findings(self, findings: list[FindingRow]) -> None:
        self.findings += findings
        self.finding_changes += bool(findings)
        for finding in findings:
            if finding.frame_id is not None:
                self.findings_of_frame.setdefault(finding.frame_id, []).append(finding)
                self.index.finding_frames.add(finding.frame_id)
            self.findings_of_connection.setdefault(finding.connection_id or 0, []).append(finding)

    def _take_faults(self, faults: list[FaultRow]) -> None:
        self.faults.extend(faults)
        for event in faults:
            known = self.fault_rules.get(event.rule)
            hits = known.hits + 1 if known else 1
            self.fault_rules[event.rule] = FaultSummary(event.rule, event.kind, hits, event.time_ns)
            if event.connection_id is not None:
                count = self.faults_of_connection.get(event.connection_id, 0)
                self.faults_of_connection[event.connection_id] = count + 1

    @property
    def state(self) -> str:
        """The mode word of the header line."""
        if self.error is not None:
            return UNREADABLE
        if self.is_engine_gone or self.has_engine_died:
            return DISCONNECTED
        if self.is_live:
            return LIVE
        return RECORDED if self.has_begun else STARTING

    @property
    def has_engine_died(self) -> bool:
        """Whether we saw the engine at work and it ended without saying so."""
        return self.was_live and not self.is_live and "stopped_ns" not in self.meta

    @property
    def is_loading(self) -> bool:
        """Whether frames of the capture are still to be read."""
        return self.index.last_id < self.newest_id and self.error is None

    @property
    def zero_ns(self) -> int:
        """The time that counts as zero where no connection is selected."""
        if self.start_ns is not None:
            return self.start_ns
        times = self.index.columns.times_ns
        return times[0] if times else 0

    @property
    def end_ns(self) -> int:
        """The newest time in the capture."""
        times = [one.closed_ns for one in self.connections.values() if one.closed_ns is not None]
        frames = self.index.columns.times_ns
        return max([*times, frames[-1] if frames else 0, self.zero_ns])

    @property
    def recorded_until(self) -> str:
        """The local time of the newest frame or end, as `14:03:22`; empty where nothing is recorded."""
        if not self.connections:
            return ""
        return time.strftime("%H:%M:%S", time.localtime(self.end_ns / 1e9))

    def count_rate(self, now: float | None = None) -> None:
        """To be called now and then: remember how many frames there are."""
        now = time.monotonic() if now is None else now
        self._counts.append((now, self.newest_id))
        while now - self._counts[0][0] > _RATE_SECONDS:
            self._counts.popleft()

    @property
    def frames_per_s(self) -> float:
        """Frames that came in a second, lately."""
        if len(self._counts) < 2 or not self.is_live:
            return 0.0
        (first, before), (last, after) = self._counts[0], self._counts[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def _measure_lag(self, batch: Batch) -> None:
        """How old the newest frame was when it got here; one from before the start was nobody's to read."""
        if batch.columns is not None and batch.is_live and not self.is_loading:
            newest_ns = self.index.columns.times_ns[-1]
            if newest_ns >= self._since_ns:
                self.lag_ns = max(time.time_ns() - newest_ns, 0)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
