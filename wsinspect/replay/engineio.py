"""Engine.IO and Socket.IO on a played server: heartbeats and session ids are of today, all else is recorded.

Sans-I/O. Engine.IO 4: the server pings with `2`, the client answers `3`; in version 3 the other way round. A
recording's heartbeats would come at the wrong times, so they are left out on both sides and made anew.
Session ids in the open packet (`0{...}`) and in Socket.IO's answer to a connect (`40{...}`) are new ones for
each connection, wherever they stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

_VERSION: Final = re.compile(r"[?&]EIO=(\d)")
_PACKET: Final = re.compile(rb"(?:0|40(?:/[^,\[{]{0,100},)?)(\{.*\})", re.DOTALL)
_PING: Final = b"2"
_PONG: Final = b"3"
_INTERVAL_MS: Final = 25_000
_LEAST_MS: Final = 100


class EngineIo:
    """One connection's session.

    Args:
        version: of Engine.IO.
        new_id: makes a session id.

    Attributes:
        interval_s: between two pings, once the open packet was sent; None before, and in version 3.
    """

    def __init__(self, version: int, new_id: Callable[[], str]) -> None:
        self.interval_s: float | None = None
        self._version = version
        self._new_id = new_id
        self._ids: dict[bytes, bytes] = {}

    @classmethod
    def of(cls, path: str, new_id: Callable[[], str]) -> EngineIo | None:
        """The session of a path such as `/socket.io/?EIO=4&transport=websocket`; None for any other."""
        match = _VERSION.search(path)
        return cls(int(match[1]), new_id) if match else None

    @staticmethod
    def is_heartbeat(data: bytes) -> bool:
        """Whether a text message is one."""
        return data in (_PING, _PONG)

    @property
    def ping(self) -> bytes:
        """What to send every `interval_s`."""
        return _PING

    def outgoing(self, data: bytes) -> bytes:
        """A recorded text message of the server as it is sent now."""
        if match := _PACKET.fullmatch(data):
            self._note(_object(match[1]), is_open=data.startswith(b"0"))
        for recorded, new in self._ids.items():
            if recorded in data:
                data = data.replace(recorded, new)
        return data

    def incoming(self, data: bytes) -> tuple[bytes | None, bytes | None]:
        """A live text message of the client: what to compare, and what to answer at once; None for
        nothing."""
        if data == _PONG:
            return None, None
        if data == _PING:
            return None, _PONG
        for recorded, new in self._ids.items():
            if new in data:
                data = data.replace(new, recorded)
        return data, None

    def _note(self, packet: dict[str, Any], *, is_open: bool) -> None:
        recorded = packet.get("sid")
        if isinstance(recorded, str) and len(recorded) >= 4 and recorded.isascii():
            self._ids.setdefault(recorded.encode(), self._new_id().encode())
        if is_open and self._version >= 4:
            interval = packet.get("pingInterval")
            milliseconds = interval if isinstance(interval, int | float) else _INTERVAL_MS
            self.interval_s = max(_LEAST_MS, milliseconds) / 1000


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
