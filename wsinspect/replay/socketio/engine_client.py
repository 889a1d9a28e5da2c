"""Engine.IO and Socket.IO on a played client: sessions and heartbeats are those of the live server.

Sans-I/O. The transport's own packets are left out on both sides. The server's session ids are taken for the
recorded ones wherever they stand. A session that began with long-polling begins with the WebSocket now; a
connect that nobody recorded is sent first.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.formats.transcript import messages
from wsinspect.replay.common.script import Send
from wsinspect.replay.socketio.engineio import (
    LOOKED_AT,
    PING,
    PONG,
    Facts,
    connects_to,
    facts_of,
    id_in,
    is_transports,
    milliseconds,
    packet_object,
    version_of,
)
from wsinspect.replay.socketio.polled import polled
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Opcode

_NO_KEY: Final = b"\0\0\0\0"
_SID: Final = re.compile(r"([?&])sid=[^&#]*&?")
_TRANSPORT: Final = re.compile(r"([?&]transport=)\w+")
_CONNECT: Final = b"40"


def upgraded_path(path: str) -> str:
    """The path of a new session that is a WebSocket from the start."""
    return _TRANSPORT.sub(r"\1websocket", _SID.sub(r"\1", path).rstrip("?&"))


class EngineClient:
    """One connection's session.

    Attributes:
        is_ready: whether the server has opened it, and all was said that the recording takes for granted.
        interval_s: between two pings of the client; None in version 4, where the server pings.
    """

    def __init__(self, version: int, facts: Facts) -> None:
        self.is_ready = False
        self.interval_s: float | None = None
        self._version = version
        self._facts = facts
        self._ids: dict[bytes, bytes] = {}
        if version < 4:
            self.interval_s = facts.interval_ms / 1000

    @classmethod
    def of(cls, capture: Capture, one: Connection) -> EngineClient | None:
        """The session of a recorded connection; None where it is not Engine.IO."""
        version = version_of(one.path or "")
        if version is None:
            return None
        said = [*polled(capture, one), *islice(messages(capture, one.id), LOOKED_AT)]
        return cls(version, facts_of(one.path or "", said))

    def outgoing(self, step: Send) -> Send:
        """A recorded message of the client as it is sent now."""
        data = step.data
        for recorded, live in self._ids.items():
            data = data.replace(recorded, live)
        if data == step.data:
            return step
        return step._replace(wire=serialize_frame(Opcode.TEXT, data, key=_NO_KEY), data=data)

    def incoming(self, data: bytes) -> tuple[bytes | None, list[bytes]]:
        """A live text message from the server: what to compare (None: nothing), and what to answer."""
        if data.startswith(b"0{"):
            return None, self._open(data)
        if is_transports(data):
            return None, [PONG + data[1:]] if data.startswith(PING) and self._version >= 4 else []
        namespace, live = connects_to(data), id_in(data)
        if namespace is not None:
            if self._facts.is_begun and namespace not in self._facts.sids:
                self.is_ready = True
                return None, []
            self._know(self._facts.sids.get(namespace), live)
        for recorded, found in self._ids.items():
            data = data.replace(found, recorded)
        return data, []

    def _open(self, data: bytes) -> list[bytes]:
        sid = packet_object(data[1:]).get("sid")
        self._know(self._facts.sid, sid if isinstance(sid, str) else None)
        if self.interval_s is not None:
            packet = packet_object(data[1:])
            self.interval_s = milliseconds(packet.get("pingInterval"), self._facts.interval_ms) / 1000
        if self._facts.is_begun and self._version >= 4:
            return [_CONNECT]
        self.is_ready = True
        return []

    def _know(self, recorded: str | None, live: str | None) -> None:
        if recorded and live and len(live) >= 4 and recorded.isascii() and live.isascii():
            self._ids[recorded.encode()] = live.encode()
