"""File descriptors: a proxy needs two for each connection, and a shell's usual limit is 1024.

`raise_limit` takes all that the system allows. `DescriptorWatch` says it, once, when that is used up. asyncio
then stops accepting for a second at a time; connections that are open continue, those that wait are taken as
soon as others have ended, and one that was accepted but finds no descriptor for its server gets a 502.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from typing import Any

from mitmproxy.proxy import server_hooks

#: Errors of `accept` and `connect` when the process or the system is out of descriptors.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
_TEXTS = tuple(os.strerror(code) for code in _EXHAUSTED)


def raise_limit() -> int:
    """Raise this process's soft limit to its hard one; returns the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS reports "no limit" as its hard limit, and refuses it.
            return soft
    return hard


class DescriptorWatch:
    """A mitmproxy addon, and the part of the loop's exception handler that is about descriptors.

    Args:
        limit: how many there are.
        warn: tells the user one line.
    """

    def __init__(self, limit: int, warn: Callable[[str], None]) -> None:
        self._limit = limit
        self._warn = warn
        self._has_warned = False

    def is_exhausted(self, context: dict[str, Any]) -> bool:
        """Whether the event loop reports just that: it is said here, once."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _EXHAUSTED:
            return False
        self._say()
        return True

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        if any(text in (data.server.error or "") for text in _TEXTS):
            self._say()

    def _say(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(
                f"out of file descriptors ({self._limit}): new connections wait or fail until others close; "
                "ulimit -n raises the limit"
            )
