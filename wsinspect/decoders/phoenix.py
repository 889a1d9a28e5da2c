"""Phoenix channels: version 2 is an array of five, version 1 an object; pushes with binary data are packed.

Source: https://hexdocs.pm/phoenix/writing_a_channels_client.html and Phoenix.Socket.V2.JSONSerializer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.decoders.json_text import json_lines, json_text, parse_json
from wsinspect.decoders.model import Decoder, Malformed, Payload, field, show_bytes

_EVENTS: Final = {
    "phx_join": "join the topic",
    "phx_leave": "leave the topic",
    "phx_reply": "the answer to the message of that ref",
    "phx_error": "the channel crashed, or was never joined",
    "phx_close": "the channel was closed",
    "heartbeat": "the client's beat",
    "presence_state": "who is there",
    "presence_diff": "who came and went",
}
_V2: Final = re.compile(
    r'\[\s*(?:null|"(?P<join>[^"\\]{0,40})")\s*,\s*(?:null|"(?P<ref>[^"\\]{0,40})")\s*,\s*'
    r'"(?P<topic>(?:[^"\\]|\\.){0,200})"\s*,\s*"(?P<event>(?:[^"\\]|\\.){0,100})"\s*,'
)
_PUSH, _REPLY, _BROADCAST = 0, 1, 2
#: The names of the sizes at the start of a packed message, by its kind.
_PACKED: Final = {
    _PUSH: ("push", ("join ref", "ref", "topic", "event")),
    _REPLY: ("reply", ("join ref", "ref", "topic", "status")),
    _BROADCAST: ("broadcast", ("topic", "event")),
}


def is_phoenix_path(path: str) -> bool:
    """Whether a request's target is that of Phoenix' client: `/websocket` and `vsn=`."""
    target, _, query = path.partition("?")
    return target.endswith("/websocket") and "vsn=" in query


def _fits(payload: Payload) -> bool:
    if is_phoenix_path(payload.path):
        return True
    is_likely = payload.is_text and payload.data[:1] == b"["
    return is_likely and _V2.match(payload.text[:500]) is not None


def _lines(payload: Payload) -> Iterator[str]:
    if not payload.is_text:
        yield from _packed(payload)
        return
    value = parse_json(payload.text)
    if isinstance(value, list) and len(value) == 5:
        join_ref, ref, topic, event, body = value
    elif isinstance(value, dict) and "event" in value:
        join_ref, ref, topic = value.get("join_ref"), value.get("ref"), value.get("topic")
        event, body = value["event"], value.get("payload")
    else:
        raise Malformed("a Phoenix message is an array of five, or an object with an event")
    known = _EVENTS.get(event) if isinstance(event, str) else None
    yield field("event", f"{event}, {known}" if known else event)
    yield field("topic", topic)
    yield field("ref", _word(ref))
    yield field("join ref", _word(join_ref))
    if event == "phx_reply" and isinstance(body, dict):
        yield field("status", body.get("status"))
    yield "payload"
    yield from json_lines(json_text(body), 2)


def _word(value: Any) -> str:
    return "none" if value is None else str(value)


def _packed(payload: Payload) -> Iterator[str]:
    data = payload.data
    kind, names = _PACKED.get(data[0] if data else -1, ("", ()))
    if not kind:
        raise Malformed("not a packed Phoenix message: those begin with 0, 1 or 2")
    if kind == "push" and payload.is_s2c:
        names = ("join ref", "topic", "event")  # a server's push has no ref
    sizes, at = data[1 : 1 + len(names)], 1 + len(names)
    if len(sizes) < len(names) or len(data) < at + sum(sizes):
        raise Malformed("the message ends within its header")
    yield field("kind", kind)
    for name, size in zip(names, sizes, strict=True):
        yield field(name, show_bytes(data[at : at + size]))
        at += size
    yield field("payload", f"{len(data) - at} bytes")
    yield f"  {show_bytes(data[at:])}"


def _summary(payload: Payload) -> str | None:
    if not payload.is_text:
        return None
    found = _V2.match(payload.text)
    if found is None:
        return None
    ref = f" ref {found['ref']}" if found["ref"] else ""
    return f"{found['event']} {found['topic']}{ref}"


DECODER: Final = Decoder(
    "phoenix", _fits, _lines, _summary, is_named=lambda _, path: is_phoenix_path(path), begins=b"["
)
