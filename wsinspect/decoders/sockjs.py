"""SockJS: `o` opens, `h` is a heartbeat, `a[...]` carries messages, `c[code,"reason"]` closes.

Source: https://github.com/sockjs/sockjs-protocol, section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.decoders.json_text import NotJson, Number, json_lines, json_text, parse_json
from wsinspect.decoders.model import Decoder, Malformed, Payload, field

_PATH: Final = re.compile(r"/[^/.]+/[^/.]+/websocket(?:\?|$)")
_KINDS: Final = {"o": "open", "h": "heartbeat", "a": "messages", "m": "message", "c": "close"}


def _fits(payload: Payload) -> bool:
    """The path has a server's and a session's name; a client's messages are bare arrays."""
    if not payload.is_text or "/websocket" not in payload.path or _PATH.search(payload.path) is None:
        return False
    begin = payload.text[:2]
    return begin in ("o", "h", "a[", "c[", 'm"', '["') or begin[:1] == "["


def _lines(payload: Payload) -> Iterator[str]:
    text = payload.text
    kind, rest = (text[:1], text[1:]) if text[:1] in _KINDS else ("", text)
    if kind:
        yield field("SockJS", f"{kind} {_KINDS[kind]}")
    if not rest:
        return
    value = parse_json(rest)
    if kind == "c" and isinstance(value, list) and len(value) == 2:
        yield field("code", value[0])
        yield field("reason", value[1])
        return
    messages = value if isinstance(value, list) else [value]
    for number, message in enumerate(messages, 1):
        if not isinstance(message, str) or isinstance(message, Number):
            raise Malformed("a SockJS message is a string")
        yield f"message {number}"
        yield from _message(message)


def _message(text: str) -> Iterator[str]:
    """Most applications put JSON into the string."""
    try:
        parse_json(text)
    except NotJson:
        for line in text.split("\n"):
            yield f"  {line}"
    else:
        yield from json_lines(text, 2)


def _summary(payload: Payload) -> str | None:
    text = payload.text
    if text[:1] in ("o", "h") and len(text) == 1:
        return _KINDS[text]
    if text[:1] == "c":
        value = parse_json(text[1:])
        return f"close {json_text(value)}"
    return None


DECODER: Final = Decoder(
    "sockjs", _fits, _lines, _summary, is_named=lambda _, path: "/websocket" in path, begins=b""
)
