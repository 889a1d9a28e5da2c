"""Transports of asyncio that are still open when their event loop is closed: nobody can close them any more.

Python warns of each when it is collected as garbage, which is at any time later, and pytest then fails
whatever test runs at that moment on the same worker. So each transport is noted when it is made, and after
each test those are asked for whose loop is closed.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from asyncio import base_subprocess, selector_events, sslproto, unix_events
from pathlib import Path
from types import FrameType
from typing import Any

_HERE = Path(__file__).resolve()
_OURS = tuple(str(_HERE.parents[2] / folder) for folder in ("tests", "wsinspect"))
#: Each class with what its `__del__` looks at, and the value that means closed.
_CLASSES: dict[type, tuple[str, Any]] = {
    selector_events._SelectorTransport: ("_sock", None),  # type: ignore[attr-defined]
    sslproto._SSLProtocolTransport: ("_closed", True),
    unix_events._UnixReadPipeTransport: ("_pipe", None),  # type: ignore[attr-defined]
    unix_events._UnixWritePipeTransport: ("_pipe", None),  # type: ignore[attr-defined]
    base_subprocess.BaseSubprocessTransport: ("_closed", True),
}
#: Where each transport was made; the lock is for loops in other threads.
_made: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def watch() -> None:
    """Note transports from now on; to be called once."""
    for kind in _CLASSES:
        _watch(kind)


def _watch(kind: Any) -> None:
    begin = kind.__init__

    @functools.wraps(begin)
    def __init__(transport: Any, *args: Any, **options: Any) -> None:
        with _lock:
            _made[transport] = _maker()
        begin(transport, *args, **options)

    kind.__init__ = __init__


def _maker() -> str:
    """The line of ours that waits for the transport; empty where a server of asyncio's made it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def left_open() -> list[str]:
    """What nobody closed, in words.

    Whatever is open and cannot be closed any more is closed here: what is named, so that it is named once,
    and what somebody did close, which still waited to write or for the other end's last word in TLS.
    """
    with _lock:
        stuck = [(one, where) for one, where in _made.items() if _is_stuck(one)]
    found = []
    for transport, where in stuck:
        protocol = transport.get_protocol()
        if not _is_being_closed(transport, protocol):
            server = getattr(protocol, "_client_connected_cb", None)
            found.append(f"{transport!r} {server or where or protocol!r}")
    for transport, _ in stuck:
        _close(transport)
    return found


def _is_stuck(transport: Any) -> bool:
    loop = getattr(transport, "_loop", None)
    name, closed = _state(transport)
    return loop is not None and loop.is_closed() and getattr(transport, name, closed) is not closed


def _is_being_closed(transport: Any, protocol: Any) -> bool:
    if isinstance(protocol, sslproto.SSLProtocol) and protocol._app_transport is not None:
        transport = protocol._app_transport
    return bool(transport.is_closing())


def _state(transport: Any) -> tuple[str, Any]:
    return next(state for kind, state in _CLASSES.items() if isinstance(transport, kind))


def _close(transport: Any) -> None:
    """Without its loop: the descriptor alone."""
    name, closed = _state(transport)
    held = getattr(transport, name)
    if closed is None:
        transport._closing = True  # what a StreamWriter asks for
        held.close()
    setattr(transport, name, closed)
