"""wsinspect: see what really happens on a WebSocket, learn why it fails, and break it on purpose."""

from __future__ import annotations

from wsinspect.version import __version__

# The program imports this before it can take an interrupt (wsinspect/__main__.py): `typing` would be 10 ms
# more in which Ctrl-C prints a traceback. Type checkers take the name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wsinspect.api import open_capture as open_capture

__all__ = ["__version__", "open_capture"]


def __getattr__(name: str) -> Any:
    """`open_capture`, imported when it is asked for: the command line must start fast."""
    if name == "open_capture":
        from wsinspect.api import open_capture

        return open_capture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
