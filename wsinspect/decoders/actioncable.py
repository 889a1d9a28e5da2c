"""Action Cable, of Ruby on Rails: JSON objects, some of whose strings are JSON again.

Source: https://docs.anycable.io/misc/action_cable_protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.decoders.json_text import NotJson, json_lines, json_text, parse_json, string_member
from wsinspect.decoders.model import Decoder, Malformed, Payload, field

_TYPES: Final = {
    "welcome": "the server lets the client in",
    "ping": "the server's beat, with its clock",
    "confirm_subscription": "the subscription stands",
    "reject_subscription": "the subscription was refused",
    "disconnect": "the server ends the connection",
}
_COMMANDS: Final = ("subscribe", "unsubscribe", "message")
#: Members whose value is a string with JSON in it.
_NESTED: Final = ("identifier", "data")


def _fits(payload: Payload) -> bool:
    if not payload.is_text:
        return False
    if (payload.subprotocol or "").startswith("actioncable"):
        return True
    if payload.data[:1] != b"{" or b"channel" not in payload.data:
        return False
    begin = payload.text[:300]
    return begin.startswith("{") and '"identifier":"{\\"channel\\"' in begin.replace(" ", "")


def _lines(payload: Payload) -> Iterator[str]:
    value = parse_json(payload.text)
    if not isinstance(value, dict):
        raise Malformed("an Action Cable message is an object")
    kind, command = value.get("type"), value.get("command")
    if isinstance(kind, str):
        yield field("type", f"{kind}, {_TYPES.get(kind, 'which Action Cable does not have')}")
    elif isinstance(command, str):
        known = "" if command in _COMMANDS else ", which Action Cable does not have"
        yield field("command", command + known)
    elif "message" in value:
        yield field("type", "a broadcast to a subscription")
    for name, one in value.items():
        if name in ("type", "command"):
            continue
        yield from _member(name, one)


def _member(name: str, value: Any) -> Iterator[str]:
    text = json_text(value)
    if name in _NESTED and isinstance(value, str):
        try:
            parse_json(value)
            text = value
        except NotJson:
            pass  # shown as the string that it is
    if len(text) < 60 and text[:1] not in ("{", "["):
        yield field(name, text)
        return
    yield name
    yield from json_lines(text, 2)


def _summary(payload: Payload) -> str | None:
    text = payload.text
    kind = string_member(text, "type") or string_member(text, "command")
    channel = re.search(r'\\"channel\\"\s*:\s*\\"(\w{1,60})', text)
    if kind is None and channel is None:
        return None
    return f"{kind or 'broadcast'}{' ' + channel[1] if channel else ''}"


DECODER: Final = Decoder(
    "actioncable",
    _fits,
    _lines,
    _summary,
    is_named=lambda subprotocol, _: (subprotocol or "").startswith("actioncable"),
    begins=b"{",
    signs=(b"channel",),
)
