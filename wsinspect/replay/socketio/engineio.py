"""Engine.IO and Socket.IO on a played server: the transport's packets are made live, all else is recorded.

Sans-I/O. A packet whose type is not 4 (message) belongs to the transport: the open packet, heartbeats (in
Engine.IO 4 the server pings with `2`, the client answers `3`; in version 3 the other way round), the
upgrade from long-polling (`2probe`, `3probe`, `5`, `6`). Recorded ones would come at the wrong times, so they
are left out on both sides and made again. Session ids in the open packet (`0{...}`) and in Socket.IO's answer
to a connect (`40{...}`) are new ones for each connection, wherever they stand.

A connection that began with long-polling has its open packet and its connects in no frame. Where the capture
does not tell of them either (`polled`), they are answered as any server would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from wsinspect.formats.transcript import Said
from wsinspect.wire.opcodes import Direction, Opcode

_VERSION: Final = re.compile(r"[?&]EIO=(\d)")
_SID: Final = re.compile(r"[?&]sid=([^&#]{4,200})")
_PACKET: Final = re.compile(rb"(?:0|40(?:/[^,\[{]{0,100},)?)(\{.*\})", re.DOTALL)
_CONNECT: Final = re.compile(rb"40(/[^,\[{]{0,100})?(?:,.*|\{.*)?", re.DOTALL)
PING: Final = b"2"
PONG: Final = b"3"
NOOP: Final = b"6"
UPGRADE: Final = b"5"
_MESSAGE: Final = b"4"
_INTERVAL_MS: Final = 25_000
_TIMEOUT_MS: Final = 20_000
_LEAST_MS: Final = 100
_MOST_MS: Final = 3_600_000
#: How many messages of a recording are searched for the facts of its session.
LOOKED_AT: Final = 1000
#: The largest body a server accepts, by its open packet.
MAX_BODY: Final = 1_000_000


def version_of(path: str) -> int | None:
    """The version of Engine.IO that a path such as `/socket.io/?EIO=4&transport=websocket` asks for."""
    match = _VERSION.search(path)
    return int(match[1]) if match else None


def session_of(path: str) -> str | None:
    """The session id in a path: the connection continues one of long-polling."""
    match = _SID.search(path)
    return match[1] if match else None


def is_transports(data: bytes) -> bool:
    """Whether a text message is the transport's own: a heartbeat, the open packet, a part of an upgrade."""
    return not data.startswith(_MESSAGE)


class Facts(NamedTuple):
    """What a recording says about its session.

    Attributes:
        open: the members of its open packet; empty where nobody recorded it.
        sid: the session id of Engine.IO.
        namespaces: those that the recorded client connected to; empty bytes are the default one.
        sids: the session ids that the server gave them, by namespace.
        is_begun: the recording continues from a connect that is not in it.
        interval_ms: between two pings.
    """

    open: dict[str, Any]
    sid: str | None
    namespaces: frozenset[bytes]
    sids: Mapping[bytes, str]
    is_begun: bool
    interval_ms: float


def facts_of(path: str, said: Iterable[Said]) -> Facts:
    """Look at the beginning of a recording."""
    opened: dict[str, Any] = {}
    namespaces: set[bytes] = set()
    sids: dict[bytes, str] = {}
    first: bytes | None = None
    pings: list[int] = []
    for one in said:
        if one.opcode != Opcode.TEXT:
            continue
        if one.direction is Direction.SERVER_TO_CLIENT and one.data == PING:
            pings.append(one.time_ns)
        elif one.direction is Direction.SERVER_TO_CLIENT and one.data.startswith(b"0{") and not opened:
            opened = packet_object(one.data[1:])
        elif one.data.startswith(_MESSAGE):
            first = one.data if first is None else first
            namespace = connects_to(one.data)
            if namespace is not None and one.direction is Direction.CLIENT_TO_SERVER:
                namespaces.add(namespace)
            elif namespace is not None:
                sids.setdefault(namespace, id_in(one.data) or "")
    seen = (pings[1] - pings[0]) / 1e6 if len(pings) > 1 else _INTERVAL_MS
    sid = opened.get("sid")
    return Facts(
        opened,
        sid if isinstance(sid, str) else session_of(path),
        frozenset(namespaces),
        sids,
        first is not None and connects_to(first) is None,
        milliseconds(opened.get("pingInterval"), seen),
    )


def connects_to(data: bytes) -> bytes | None:
    """The namespace that a packet connects to; None where it does not."""
    match = _CONNECT.fullmatch(data)
    return None if match is None else match[1] or b""


def id_in(data: bytes) -> str | None:
    """The session id that an open packet, or an answer to a connect, gives."""
    match = _PACKET.fullmatch(data)
    sid = packet_object(match[1]).get("sid") if match else None
    return sid if isinstance(sid, str) and len(sid) >= 4 and sid.isascii() else None


class EngineIo:
    """One connection's session.

    Args:
        version: of Engine.IO.
        new_id: makes a session id.
        facts: of the recording.

    Attributes:
        sid: its id.
        is_ready: whether all was said that the recording takes for granted.
    """

    def __init__(self, version: int, new_id: Callable[[], str], facts: Facts) -> None:
        self.version = version
        self.sid = new_id()
        self.is_ready = not facts.is_begun or version < 4
        self._facts = facts
        self._new_id = new_id
        self._ids: dict[bytes, bytes] = {}
        if facts.sid is not None and len(facts.sid) >= 4 and facts.sid.isascii():
            self._ids[facts.sid.encode()] = self.sid.encode()

    @property
    def interval_s(self) -> float | None:
        """Between two pings of the server; None in version 3, where the client pings."""
        return self._facts.interval_ms / 1000 if self.version >= 4 else None

    @property
    def patience_s(self) -> float:
        """How long a client may be silent."""
        timeout = milliseconds(self._facts.open.get("pingTimeout"), _TIMEOUT_MS)
        return (self._facts.interval_ms + max(timeout, _LEAST_MS * 10)) / 1000

    def greeting(self, *, may_upgrade: bool) -> list[bytes]:
        """The server's first packets: the open packet, and in version 3 an unasked connect."""
        recorded = self._facts.open
        packet = {
            "pingInterval": round(self._facts.interval_ms),
            "pingTimeout": _TIMEOUT_MS,
            "maxPayload": MAX_BODY,
            **recorded,
            "sid": self.sid,
            "upgrades": ["websocket"] if may_upgrade else [],
        }
        said = [b"0" + json.dumps(packet, separators=(",", ":")).encode()]
        if self.version < 4 and self._facts.is_begun:
            said.append(b"40")
        return said

    def outgoing(self, data: bytes) -> bytes:
        """A recorded text message of the server as it is sent now."""
        recorded_id = id_in(data)
        if recorded_id is not None:
            self._ids.setdefault(recorded_id.encode(), self._new_id().encode())
        for recorded, new in self._ids.items():
            if recorded in data:
                data = data.replace(recorded, new)
        return data

    def incoming(self, data: bytes) -> tuple[bytes | None, bytes | None]:
        """A live text message of the client: what to compare, and what to answer at once; None for
        nothing."""
        if data.startswith(PING):
            return None, PONG + data[1:]
        if is_transports(data):
            return None, None
        namespace = connects_to(data)
        if namespace is not None and self._facts.is_begun and namespace not in self._facts.namespaces:
            self.is_ready = True
            return None, self._connected(namespace)
        for recorded, new in self._ids.items():
            if new in data:
                data = data.replace(new, recorded)
        return data, None

    def _connected(self, namespace: bytes) -> bytes:
        """A connect that is in no recording, answered."""
        packet = b"40" + (namespace + b"," if namespace else b"")
        if self.version < 4:
            return packet.rstrip(b",")
        return packet + json.dumps({"sid": self._new_id()}, separators=(",", ":")).encode()


def milliseconds(value: object, otherwise: float) -> float:
    """An interval that a packet names, within sensible bounds."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
    return min(max(_LEAST_MS, number), _MOST_MS)


def packet_object(text: bytes) -> dict[str, Any]:
    """The JSON object in a packet; empty without one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
