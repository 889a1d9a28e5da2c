"""What an import has to say beside its result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class ImportNotes:
    """Counts of what a file held and what could not be taken as it is.

    Attributes:
        entries: entries, or flows, of any kind.
        connections: those that are WebSockets.
        frames: what was stored of them.
        without_messages: WebSockets of which the file has the opening handshake alone.
        unreadable: messages that say neither direction nor opcode.
        not_base64: binary messages that are no base64; taken as text.
        truncated: messages that were cut when they were exported.
    """

    entries: int = 0
    connections: int = 0
    frames: int = 0
    without_messages: int = 0
    unreadable: int = 0
    not_base64: int = 0
    truncated: int = 0

    def lines(self) -> Iterator[str]:
        """For a person, one sentence each."""
        if self.without_messages:
            yield f"{self.without_messages} WebSockets have no messages in it (Firefox exports none)"
        if self.unreadable:
            yield f"{self.unreadable} messages left out: they say neither direction nor opcode"
        if self.not_base64:
            yield f"{self.not_base64} binary messages are no base64 and were taken as text"
        if self.truncated:
            yield f"{self.truncated} messages were cut before they were exported"
