"""Engine.IO 3 and 4, and Socket.IO inside of it.

An Engine.IO packet is a digit and its data; that of a message (4) is a Socket.IO packet: a digit, the number
of binary attachments and `-`, a namespace and `,`, an acknowledgement's number, and JSON. Attachments are the
binary messages that follow, raw in version 4, behind a byte 4 in version 3.
Source: the protocols' documents, https://socket.io/docs/v4/engine-io-protocol/ and
https://socket.io/docs/v4/socket-io-protocol/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from wsinspect.decoders.json_text import json_lines, json_text, parse_json
from wsinspect.decoders.model import Decoder, Malformed, Payload, field, show_bytes

ENGINE_TYPES: Final = ("open", "close", "ping", "pong", "message", "upgrade", "noop")
SOCKET_TYPES: Final = ("CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK")
_EVENT, _ACK, _BINARY_EVENT, _BINARY_ACK = 2, 3, 5, 6
_PACKET: Final = re.compile(
    r"(?P<type>[0-6])(?:(?P<attachments>\d{1,9})-)?(?:(?P<namespace>/[^,]*),?)?(?P<ack>\d{1,20})?"
)
#: A Socket.IO event or acknowledgement with its JSON, or Engine.IO's open packet: nothing else looks like
#: that.
_TELLING: Final = re.compile(r'4[2356](?:\d+-)?(?:/[^,"\[{]*,)?\d*\[|0\{"sid":')
_MESSAGE_BYTE: Final = 4
#: Without looking back to the "?": a hostile target would make that slow.
_VERSION: Final = re.compile(r"[?&]EIO=\d(?:[&#]|$)")
_POLLING: Final = re.compile(r"[?&]transport=polling(?:[&#]|$)")


class SocketPacket(NamedTuple):
    """A Socket.IO packet.

    Attributes:
        type: index into `SOCKET_TYPES`.
        attachments: binary messages that belong to it and follow.
        namespace: `/` where none is named.
        ack: the number that the answer will carry, or carries.
        data: its JSON; empty without one.
    """

    type: int
    attachments: int
    namespace: str
    ack: str | None
    data: str


def is_engineio_path(path: str) -> bool:
    """Whether a request's target is Engine.IO's: `EIO=` and `transport=`."""
    return "EIO=" in path and "transport=" in path


def is_polling_path(path: str) -> bool:
    """Whether a request's target is that of Engine.IO's long-polling: `EIO=DIGIT` and `transport=polling`."""
    return bool(_VERSION.search(path) and _POLLING.search(path))


def parse_socket_packet(text: str) -> SocketPacket:
    """What follows Engine.IO's digit.

    Raises:
        Malformed: it is not a Socket.IO packet.
    """
    found = _PACKET.match(text)
    if found is None:
        raise Malformed("not a Socket.IO packet: those begin with a digit from 0 to 6")
    kind = int(found["type"])
    if found["attachments"] is not None and kind not in (_BINARY_EVENT, _BINARY_ACK):
        # In a type without attachments, `412-...` would be an acknowledgement's number without JSON.
        raise Malformed(f"{SOCKET_TYPES[kind]} has no attachments")
    return SocketPacket(
        kind,
        int(found["attachments"] or 0),
        found["namespace"] or "/",
        found["ack"],
        text[found.end() :],
    )


def _fits(payload: Payload) -> bool:
    if is_engineio_path(payload.path):
        return True
    is_likely = payload.is_text and payload.data[:1] in (b"4", b"0")
    return is_likely and _TELLING.match(payload.text[:200]) is not None


def _lines(payload: Payload) -> Iterator[str]:
    if not payload.is_text:
        yield from _binary(payload)
        return
    text = payload.text
    kind = text[:1]
    if kind not in set("0123456") or not kind:
        raise Malformed("not an Engine.IO packet: those begin with a digit from 0 to 6")
    yield field("Engine.IO", f"{kind} {ENGINE_TYPES[int(kind)]}")
    if kind == "4":
        yield from _socket_lines(text[1:])
    elif text[1:2] == "{":
        yield from json_lines(text[1:])
    elif text[1:]:
        yield field("data", text[1:])


def _binary(payload: Payload) -> Iterator[str]:
    data = payload.data
    is_old = "EIO=3" in payload.path
    if is_old and data[:1] != bytes([_MESSAGE_BYTE]):
        raise Malformed("not an Engine.IO 3 packet: binary ones begin with byte 4")
    if is_old:
        data = data[1:]
    yield field("Engine.IO", "binary message")
    yield field("Socket.IO", "an attachment of the BINARY_EVENT or BINARY_ACK before it")
    yield field("length", f"{len(data)} bytes")
    yield field("data", show_bytes(data))


def _socket_lines(text: str) -> Iterator[str]:
    packet = parse_socket_packet(text)
    yield field("Socket.IO", f"{packet.type} {SOCKET_TYPES[packet.type]}")
    yield field("namespace", packet.namespace)
    if packet.ack is not None:
        answers = packet.type in (_ACK, _BINARY_ACK)
        yield field("ack", f"{packet.ack}, {'answers the event of that number' if answers else 'is wanted'}")
    if packet.attachments:
        yield field("attachments", f"{packet.attachments} binary messages follow; _placeholder says where")
    if not packet.data:
        return
    value = parse_json(packet.data)
    if packet.type in (_EVENT, _BINARY_EVENT):
        if not isinstance(value, list) or not value:
            raise Malformed("an event's data is an array that begins with its name")
        yield field("event", value[0])
        for number, argument in enumerate(value[1:], 1):
            yield f"argument {number}"
            yield from json_lines(json_text(argument), 2)
    else:
        yield "data"
        yield from json_lines(packet.data, 2)


def _summary(payload: Payload) -> str | None:
    if not payload.is_text:
        return "attachment"
    text = payload.text
    kind = text[:1]
    if not kind or kind not in "0123456":
        return None
    if kind != "4":
        return ENGINE_TYPES[int(kind)] + (" probe" if text[1:] == "probe" else "")
    packet = parse_socket_packet(text[1:])
    words = SOCKET_TYPES[packet.type]
    if packet.namespace != "/":
        words += f" {packet.namespace}"
    name = re.match(r'\["((?:[^"\\]|\\.){0,60})"', packet.data)
    if name is not None and packet.type in (_EVENT, _BINARY_EVENT):
        words += f" {name[1]}"
    if packet.ack is not None:
        words += f" ack {packet.ack}"
    return words + (f" +{packet.attachments} binary" if packet.attachments else "")


DECODER: Final = Decoder(
    "socket.io", _fits, _lines, _summary, is_named=lambda _, path: is_engineio_path(path), begins=b"04"
)
