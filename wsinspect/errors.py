"""The errors that are ours to raise.

What a peer does wrong is data (a violation, a finding) and never one of these. Each error is one line for a
person that says what failed, where, and what to do next (`hint`), and knows the exit code of the command it
ends (1 the thing checked failed, 2 wrong usage or unreadable input, 3 a local reason).
"""

from __future__ import annotations

from typing import ClassVar


class WsinspectError(Exception):
    """Base class; `str()` is the message, followed by the hint where there is one.

    Args:
        message: what failed, where, and whose doing it is; one line, no trailing full stop.
        hint: what to try next; may be empty.

    Attributes:
        excerpt: lines to show above the message: what was typed, and a caret below the place.
    """

    exit_code: ClassVar[int] = 1
    excerpt: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UpstreamError(WsinspectError):
    """The other side could not be reached, or refused."""

    exit_code = 1


class UsageError(WsinspectError):
    """The command was called wrongly."""

    exit_code = 2


class CaptureError(WsinspectError):
    """An input file cannot be read: not a capture, a newer version, damaged."""

    exit_code = 2


class LocalError(WsinspectError):
    """This machine does not allow it: port taken, disk full or read-only, program not found."""

    exit_code = 3
