"""wsinspect: see what really happens on a WebSocket, learn why it fails, and break it on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsinspect.version import __version__

if TYPE_CHECKING:
    from wsinspect.api import open_capture as open_capture

__all__ = ["__version__", "open_capture"]


def __getattr__(name: str) -> Any:
    """`open_capture`, imported when it is asked for: the command line must start fast."""
    if name == "open_capture":
        from wsinspect.api import open_capture

        return open_capture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
