"""GraphQL over WebSocket: `graphql-transport-ws`, and `graphql-ws`, the older one of Apollo.

Both are JSON objects with `type`, `id` and `payload`; the words for subscribing, results and ends differ.
Source: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md and
https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.decoders.json_text import json_lines, json_text, parse_json, string_member
from wsinspect.decoders.model import Decoder, Malformed, Payload, field

NEW, OLD = "graphql-transport-ws", "graphql-ws"
#: Message types that only one of the two protocols knows.
ONLY_NEW: Final = frozenset({"subscribe", "next", "ping", "pong"})
ONLY_OLD: Final = frozenset({"start", "stop", "data", "ka", "connection_error", "connection_terminate"})
_BOTH: Final = frozenset({"connection_init", "connection_ack", "error", "complete"})
_MEANINGS: Final = {
    "connection_init": "the client asks to be let in",
    "connection_ack": "the server lets it in",
    "connection_error": "the server does not let it in",
    "connection_terminate": "the client ends the connection",
    "ka": "keepalive",
    "subscribe": "run this operation",
    "start": "run this operation",
    "next": "a result",
    "data": "a result",
    "error": "the operation was refused",
    "complete": "the operation is over",
    "stop": "end the operation",
    "ping": "are you there",
    "pong": "here",
}


def _fits(payload: Payload) -> bool:
    if not payload.is_text:
        return False
    if payload.subprotocol in (NEW, OLD):
        return True
    if payload.data[:1] != b"{" or b"connection_" not in payload.data:
        return False
    begin = payload.text[:200]
    return begin.startswith("{") and string_member(begin, "type") in ("connection_init", "connection_ack")


def _lines(payload: Payload) -> Iterator[str]:
    value = parse_json(payload.text)
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise Malformed("a GraphQL message is an object with a type")
    kind = value["type"]
    yield field("type", f"{kind}, {_meaning(kind, payload.subprotocol)}")
    if "id" in value:
        yield field("id", value["id"])
    body = value.get("payload")
    if kind in ("subscribe", "start") and isinstance(body, dict):
        yield from _operation(body)
    elif "payload" in value:
        yield "payload"
        yield from json_lines(json_text(body), 2)
    others = {name: one for name, one in value.items() if name not in ("type", "id", "payload")}
    if others:
        yield "more"
        yield from json_lines(json_text(others), 2)


def _meaning(kind: str, subprotocol: str | None) -> str:
    if kind not in ONLY_NEW | ONLY_OLD | _BOTH:
        return "not in either GraphQL subprotocol"
    words = _MEANINGS[kind]
    foreign = ONLY_OLD if subprotocol == NEW else ONLY_NEW if subprotocol == OLD else frozenset()
    return f"{words}; {subprotocol} does not have it" if kind in foreign else words


def _operation(body: dict[str, Any]) -> Iterator[str]:
    if body.get("operationName") is not None:
        yield field("operation", body["operationName"])
    query = body.get("query")
    if isinstance(query, str):
        yield "query"
        for line in query.strip("\n").split("\n"):
            yield f"  {line}"
    for name in (name for name in body if name not in ("operationName", "query")):
        yield name
        yield from json_lines(json_text(body[name]), 2)


def _summary(payload: Payload) -> str | None:
    text = payload.text
    kind = string_member(text, "type")
    if kind is None:
        return None
    number = string_member(text, "id") if kind not in ("ka", "ping", "pong") else None
    name = string_member(text, "operationName") if kind in ("subscribe", "start") else None
    return " ".join(word for word in (kind, number and f"#{_plain(number)}", name and _plain(name)) if word)


def _plain(text: str) -> str:
    """A JSON string's text without its escapes, where they are whole."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


DECODER: Final = Decoder(
    "graphql",
    _fits,
    _lines,
    _summary,
    is_named=lambda subprotocol, _: subprotocol in (NEW, OLD),
    begins=b"{",
    signs=(b"connection_",),
)
