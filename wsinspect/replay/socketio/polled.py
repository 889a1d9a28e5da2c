"""What a recorded Engine.IO session said by long-polling before its WebSocket, from the capture's events.

An event `polling` is one request with its answer (docs/capture-format.md). It belongs to the connection that
has its session id in the path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from wsinspect.capture.queries import polling_events
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.decoders.engineio_payload import Packet, decode
from wsinspect.formats.transcript import Said
from wsinspect.replay.socketio.engineio import session_of, version_of
from wsinspect.wire.opcodes import Direction, Opcode


def polled(capture: Capture, one: Connection) -> list[Said]:
    """The packets, in order; none where the connection did not begin with polling, or it was not recorded."""
    path = one.path or ""
    version, sid = version_of(path), session_of(path)
    if version is None or sid is None:
        return []
    found: list[Said] = []
    for time_ns, detail in polling_events(capture, sid):
        event = _object(detail)
        if event.get("sid") != sid:
            continue
        for side, key in ((Direction.CLIENT_TO_SERVER, "request"), (Direction.SERVER_TO_CLIENT, "response")):
            found += [_said(side, packet, time_ns) for packet in _packets(event.get(key), version)]
    return found


def _packets(body: Any, version: int) -> Iterator[Packet]:
    if isinstance(body, str) and body != "ok":
        try:
            yield from decode(body.encode("utf-8", "replace"), version)
        except ValueError:
            return


def _said(side: Direction, packet: Packet, time_ns: int) -> Said:
    opcode = Opcode.BINARY if packet.is_binary else Opcode.TEXT
    return Said(0, side, opcode, time_ns, packet.data, False, len(packet.data), None, 0)


def _object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
