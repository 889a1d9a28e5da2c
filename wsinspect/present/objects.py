"""The rows of a capture as JSON objects: names and shapes are stable for `"schema": 1`.

Contract: times are epoch nanoseconds (`*_ns`), directions `c2s` and `s2c`. Heads are strings with one
character a byte (Latin-1), so that nothing of them is lost; payloads are `text` where they are UTF-8, else
`base64`; those of BINARY frames and messages have `base64` in any case.
"""

from __future__ import annotations

from typing import Any

from wsinspect.capture.missing import lacks
from wsinspect.capture.records import Connection, Event, FrameRow, Handshake, Message, Opaque, Ping
from wsinspect.decoders.as_json import content, json_members
from wsinspect.handshake.diff import Change, changed_fields
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import negotiate
from wsinspect.present.handshakes import STEPS, head_of
from wsinspect.present.notes import summary_words
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.opcodes import Opcode, opcode_name

_HEADS = ("request_in", "request_out", "response_in", "response_out", "informational")


def connection_object(one: Connection) -> dict[str, Any]:
    """A connection: who, what was agreed, how it ended, and counts."""
    js = None if one.js_code is None else {"code": one.js_code, "wasClean": bool(one.js_was_clean)}
    return {
        **{
            name: getattr(one, name) for name in ("id", "tap", "state", "url", "client", "listener", "server")
        },
        **{name: getattr(one, name) for name in ("http_version", "server_http_version", "client_alpn")},
        **{
            name: getattr(one, name)
            for name in ("server_alpn", "status", "subprotocol", "extensions", "error")
        },
        **{name: getattr(one, name) for name in ("attempt_ns", "open_ns", "closed_ns", "ended_by", "how")},
        "rule": one.rule,
        "client_code": one.client_close_code,
        "client_reason": one.client_close_reason,
        "server_code": one.server_close_code,
        "server_reason": one.server_close_reason,
        "js": js,
        "frames": {"c2s": one.c2s_frames, "s2c": one.s2c_frames},
        "bytes": {"c2s": one.c2s_bytes, "s2c": one.s2c_bytes},
        "evicted": _evicted(one),
        "missing": gone.as_json() if (gone := lacks(one)) else None,
    }


def handshake_object(one: Handshake) -> dict[str, Any]:
    """An opening handshake as both sides saw it, with what the proxy changed as its own doing."""
    request_in, request_out = head_of(one.request_in), head_of(one.request_out)
    response_in, response_out = head_of(one.response_in), head_of(one.response_out)
    agreed = negotiate(request_in, response_in)
    return {
        "heads": {name: _latin(getattr(one, name)) for name in _HEADS},
        "body": None if one.body is None else content(one.body),
        "changed_by_proxy": {
            "request": _changes(request_in, request_out),
            "response": _changes(response_in, response_out),
        },
        "subprotocols_offered": list(agreed.subprotocols_offered),
        "subprotocol": agreed.subprotocol,
        "extensions_offered": [str(extension) for extension in agreed.extensions_offered],
        "extensions": [str(extension) for extension in agreed.extensions],
        "problems": list(one.problems),
        "steps": {name: getattr(one, name) for name, _ in STEPS},
        "server_address": one.server_address,
        "server_sockname": one.server_sockname,
        "server_reused": one.server_reused,
        "client_tls": one.client_tls,
        "server_tls": one.server_tls,
    }


def frame_object(frame: FrameRow, ping: Ping | None, with_payload: bool) -> dict[str, Any]:
    """A frame; `ping` is the pair it belongs to."""
    found: dict[str, Any] = {
        "id": frame.id,
        "direction": frame.direction.short,
        "first_ns": frame.first_ns,
        "time_ns": frame.time_ns,
        "sent_ns": frame.sent_ns,
        "opcode": frame.opcode,
        "op": opcode_name(frame.opcode),
        **{name: bool(getattr(frame, name)) for name in ("fin", "rsv1", "rsv2", "rsv3", "masked")},
        "length": frame.length,
        "wire_length": frame.wire_length,
        "header": frame.header.hex(),
        "message": frame.message_id,
        "violations": frame.violation.split(",") if frame.violation else [],
        "fault_event": frame.fault_event_id,
    }
    if frame.opcode == Opcode.CLOSE and not frame.is_evicted:
        code, reason = parse_close(frame.payload)
        found["close"] = {"code": code, "reason": reason}
    if ping is not None:
        found["ping"] = {
            "frame": ping.ping_frame,
            "pong": ping.pong_frame,
            "leg": ping.leg,
            "rtt_ns": ping.rtt_ns,
        }
    if frame.is_evicted:
        found["evicted"] = True
    if with_payload:
        is_binary = frame.opcode == Opcode.BINARY
        found["payload"] = None if frame.is_evicted else content(frame.payload, is_binary=is_binary)
    return found


def message_object(
    message: Message,
    payload: bytes | None,
    *,
    times: tuple[int | None, int | None],
    is_evicted: bool = False,
    connection: Connection | None = None,
) -> dict[str, Any]:
    """A message.

    Args:
        times: when its first byte came, and when it was whole, in nanoseconds since 1970; None where its
            frames are gone, and while it continues.
        payload: its inflated content, where that is wanted: as text or base64, text that is JSON as a value
            too, and what a decoder of the connection's subprotocol says of it.
        is_evicted: its content is gone.
        connection: whose message it is; without it no decoder is asked.
    """
    found: dict[str, Any] = {
        "id": message.id,
        "direction": message.direction.short,
        "first_ns": times[0],
        "time_ns": times[1],
        "opcode": message.opcode,
        "op": opcode_name(message.opcode),
        "first_frame": message.first_frame,
        "last_frame": message.last_frame,
        "compressed": bool(message.compressed),
        "length": message.length,
        "problem": message.problem,
    }
    if is_evicted:
        found |= {"evicted": True, "payload": None}
    elif payload is not None:
        found["payload"] = content(payload, is_binary=message.opcode == Opcode.BINARY)
        found |= json_members(payload)
        if connection is not None:
            is_s2c = bool(message.direction)
            found["summary"] = summary_words(payload, message.opcode, is_s2c, connection, is_whole=True)
    return found


def opaque_object(opaque: Opaque, with_payload: bool) -> dict[str, Any]:
    """Bytes that belong to no frame."""
    found: dict[str, Any] = {
        "direction": opaque.direction.short,
        "time_ns": opaque.time_ns,
        "after_frame": opaque.after_frame,
        "length": opaque.length,
        "reason": opaque.reason,
    }
    if opaque.is_evicted:
        found["evicted"] = True
    if with_payload:
        found["payload"] = None if opaque.is_evicted else content(opaque.data)
    return found


def event_object(event: Event) -> dict[str, Any]:
    """Something that happened apart from the frames."""
    return {"time_ns": event.time_ns, "kind": event.kind, "detail": event.detail}


def _changes(before: RawHead | None, after: RawHead | None) -> list[dict[str, Any]]:
    if before is None or after is None:
        return []
    return [_change(change) for change in changed_fields(before, after)]


def _change(change: Change) -> dict[str, Any]:
    lines = {"before": _latin(change.before), "after": _latin(change.after)}
    return {"kind": str(change.kind), "name": _latin(change.name), **lines}


def _evicted(one: Connection) -> dict[str, int] | None:
    if not (one.evicted_payloads or one.evicted_frames):
        return None
    return {"payloads": one.evicted_payloads, "bytes": one.evicted_bytes, "frames": one.evicted_frames}


def _latin(data: bytes | None) -> str | None:
    return None if data is None else data.decode("latin-1")
