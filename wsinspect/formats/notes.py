"""What an import reports in addition to its result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class ImportNotes:
    """Counts of what a file held and what could not be taken as it is.

    Attributes:
        entries: entries, or flows, of any kind.
        connections: those that are WebSockets.
        frames: what was stored of them.
        without_messages: WebSockets of which the file has the opening handshake alone.
        exporter: the program that made the file, where it is known to export no messages.
        unreadable: messages that say neither direction nor opcode.
        not_base64: binary messages that are not base64; taken as text.
        truncated: messages that were cut when they were exported.
        without_times: WebSockets without a time of their own.
        relative_times: WebSockets whose message times count from their start.
        event_sources: entries with Server-Sent Events, kept as they are.
        large_event_sources: those that are too large to keep.
        said: sentences of the format's own.
    """

    entries: int = 0
    connections: int = 0
    frames: int = 0
    without_messages: int = 0
    exporter: str = ""
    unreadable: int = 0
    not_base64: int = 0
    truncated: int = 0
    without_times: int = 0
    relative_times: int = 0
    event_sources: int = 0
    large_event_sources: int = 0
    said: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For a person, one sentence each."""
        yield from self.said
        if self.event_sources:
            yield f"{_entries(self.event_sources)} with Server-Sent Events kept for export as HAR"
        if self.large_event_sources:
            yield f"{_entries(self.large_event_sources)} with Server-Sent Events left out: too large"
        if self.without_messages:
            why = f" ({self.exporter} exports none)" if self.exporter else ""
            yield f"{_sockets(self.without_messages)} without messages{why}"
        if self.unreadable:
            yield f"{_messages(self.unreadable)} left out: no direction or no opcode"
        if self.not_base64:
            yield f"{_messages(self.not_base64, 'binary ')} not in base64, imported as text"
        if self.truncated:
            yield f"{_messages(self.truncated)} cut before the export"
        if self.without_times:
            yield f"{_sockets(self.without_times)} without a start time: placed by the entries around them"
        if self.relative_times:
            yield f"{_sockets(self.relative_times)} with relative message times: counted from the start time"


def _sockets(number: int) -> str:
    return f"{number} WebSocket" if number == 1 else f"{number} WebSockets"


def _entries(number: int) -> str:
    return f"{number} entry" if number == 1 else f"{number} entries"


def _messages(number: int, kind: str = "") -> str:
    return f"{number} {kind}message" if number == 1 else f"{number} {kind}messages"
