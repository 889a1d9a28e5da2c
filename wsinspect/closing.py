"""What is closed at the end of a `with` block, and transports that are closed at once."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self


class Abortable(Protocol):
    """A transport of asyncio."""

    def abort(self) -> None:
        """Close it at once; what is not yet written is lost."""


def abort(transport: Abortable) -> None:
    """Abort a transport, also one of TLS that has ended.

    There Python 3.11.2, which Debian 12 has, raises an AttributeError; 3.11.7 does nothing.
    """
    with contextlib.suppress(AttributeError):
        transport.abort()


class Closing(ABC):
    """Base of what has a `close` that is to be called however the block ends."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
