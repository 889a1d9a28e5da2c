"""The raw bytes of what is unfinished, handed out once each, for a reader that is restarted there."""

from __future__ import annotations


class PendingLog:
    """Bytes since an anchor, up to a limit.

    Attributes:
        is_used: whether anything was logged or handed out since the anchor went away last.
        is_over: whether bytes that a restart needs were left out.
    """

    __slots__ = ("_parts", "_replace", "_total", "is_over", "is_used")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._total = 0
        self._replace = False
        self.is_over = False
        self.is_used = False

    def start(self, data: bytes) -> None:
        """Set the anchor at the first byte of `data`; b"" when nothing is unfinished."""
        self._parts = [data] if data else []
        self._total = len(data)
        self._replace = True
        self.is_over = False
        self.is_used = bool(data)

    def add(self, data: bytes, limit: int, *, is_whole_needed: bool) -> None:
        """Continue, keeping no more than `limit` bytes since the anchor."""
        room = limit - self._total
        if len(data) > room:
            data = data[: max(room, 0)]
            if is_whole_needed:
                self.is_over = True
                self._parts = []
        if data and not self.is_over:
            self._parts.append(data)
            self._total += len(data)
            self.is_used = True

    def take(self) -> tuple[bool, bytes]:
        """What was not handed out yet, and whether it replaces what was."""
        out = self._replace, b"".join(self._parts)
        self._parts = []
        self._replace = False
        return out
