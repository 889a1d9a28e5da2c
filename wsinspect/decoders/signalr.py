"""SignalR (ASP.NET Core): JSON records that each end with 0x1e, or MessagePack behind its length.

Source: https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsinspect.decoders.json_text import (
    NotJson,
    json_lines,
    json_text,
    parse_json,
    scalar_member,
    string_member,
)
from wsinspect.decoders.messagepack import Reader, scalar, value_lines
from wsinspect.decoders.model import Decoder, Malformed, Payload, field

SEPARATOR: Final = b"\x1e"
TYPES: Final = {
    1: "Invocation",
    2: "StreamItem",
    3: "Completion",
    4: "StreamInvocation",
    5: "CancelInvocation",
    6: "Ping",
    7: "Close",
    8: "Ack",
    9: "Sequence",
}
#: What a MessagePack message's elements are, by its type.
_ELEMENTS: Final = {
    1: ("headers", "invocationId", "target", "arguments", "streamIds"),
    2: ("headers", "invocationId", "item"),
    3: ("headers", "invocationId", "resultKind", "result"),
    4: ("headers", "invocationId", "target", "arguments", "streamIds"),
    5: ("headers", "invocationId"),
    7: ("error", "allowReconnect"),
    8: ("sequenceId",),
    9: ("sequenceId",),
}
_LENGTH_BYTES: Final = 5


def records(data: bytes) -> list[bytes]:
    """The records of a message; what follows the last separator is a record that is not whole."""
    pieces = data.split(SEPARATOR)
    return pieces if pieces[-1] else pieces[:-1]


def _fits(payload: Payload) -> bool:
    data = payload.data
    if payload.is_text:
        if payload.is_whole or data.endswith(SEPARATOR):
            return data.endswith(SEPARATOR) and data[:1] == b"{"
        return data[:1] == b"{" and (SEPARATOR + b"{" in data or _begins_a_call(payload.text))
    if "id=" not in payload.path:
        return False
    try:
        message = next(_packed(data))
    except (Malformed, StopIteration):
        return False
    return isinstance(message, list) and bool(message) and message[0] in TYPES


def _begins_a_call(text: str) -> bool:
    """Whether a cut text begins as a call does: with a type, and what is called."""
    return scalar_member(text[:60], "type") in _NUMBERS and string_member(text, "target") is not None


_NUMBERS: Final = frozenset(map(str, TYPES))


def _lines(payload: Payload) -> Iterator[str]:
    if not payload.is_text:
        for message in _packed(payload.data):
            yield from _packed_lines(message)
        return
    for number, record in enumerate(records(payload.data)):
        if number:
            yield ""
        yield from _record_lines(record.decode("utf-8", "backslashreplace"))
    if not payload.data.endswith(SEPARATOR):
        raise Malformed("the last record does not end with 0x1e: the other side waits for the rest")


def _record_lines(text: str) -> Iterator[str]:
    value = parse_json(text)
    if not isinstance(value, dict):
        raise Malformed("a SignalR record is an object")
    yield field("record", _title(value))
    for name, one in value.items():
        if name == "type":
            continue
        text = json_text(one)
        if isinstance(one, dict | list) and one:
            yield name
            yield from json_lines(text, 2)
        else:
            yield field(name, text)


def _title(value: dict[str, Any]) -> str:
    if "type" in value:
        number = str(value["type"])
        kind = TYPES.get(int(number)) if number in _NUMBERS else None
        return f"{number} {kind}" if kind else f"type {number}, which is not defined in SignalR"
    if "protocol" in value:
        return "the handshake's request"
    return "the handshake's answer" + (", an error" if value.get("error") else "")


def _is_handshake(text: str) -> bool:
    """Whether the first record is the handshake's request or answer; pieces of messages may look alike."""
    try:
        value = parse_json(text.partition("\x1e")[0])
    except NotJson:
        return False
    return value == {} or (isinstance(value, dict) and {"protocol", "version"} <= value.keys())


def _packed(data: bytes) -> Iterator[Any]:
    """MessagePack messages, each behind its length in seven bits a byte, the lowest first."""
    at = 0
    while at < len(data):
        length = 0
        for number in range(_LENGTH_BYTES):
            if at >= len(data):
                raise Malformed("it ends within a length")
            byte, at = data[at], at + 1
            length |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                break
        if length > len(data) - at or not length:
            raise Malformed(f"a message of {length} bytes, and {len(data) - at} are there")
        yield Reader(data[at : at + length]).value()
        at += length


def _packed_lines(message: Any) -> Iterator[str]:
    if not isinstance(message, list) or not message or message[0] not in TYPES:
        raise Malformed("a SignalR message is an array that begins with its type")
    yield field("message", f"{message[0]} {TYPES[message[0]]}")
    names = _ELEMENTS.get(message[0], ())
    for number, one in enumerate(message[1:]):
        yield from value_lines(one, 0, names[number] if number < len(names) else f"element {number + 1}")


def _summary(payload: Payload) -> str | None:
    if not payload.is_text:
        message = next(_packed(payload.data), None)
        if not isinstance(message, list) or not message or message[0] not in TYPES:
            return None
        target = message[3] if message[0] in (1, 4) and len(message) > 3 else ""
        return f"{TYPES[message[0]]} {scalar(target) if target else ''}"
    text = payload.text
    kind = scalar_member(text, "type")
    if kind is None or kind not in _NUMBERS:
        return "handshake" if _is_handshake(text) else None
    target = string_member(text, "target") if kind in ("1", "4") else None
    number = string_member(text, "invocationId")
    more = text.count("\x1e") - 1
    words = [
        TYPES[int(kind)],
        target or "",
        f"#{number}" if number else "",
        f"+{more} more" if more > 0 else "",
    ]
    return " ".join(word for word in words if word)


DECODER: Final = Decoder(
    "signalr",
    _fits,
    _lines,
    _summary,
    is_named=lambda _, path: "id=" in path,
    begins=b"{",
    signs=(SEPARATOR, b"target"),
)
