"""MQTT 3.1, 3.1.1 and 5 over WebSocket: control packets, several in a message or one over several.

A packet does not say which version it is of; only CONNECT does. What differs (the properties of version 5) is
read where nothing else makes sense of the bytes. Source: OASIS MQTT 3.1.1 and 5.0, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.decoders.model import Decoder, Malformed, Payload, field, show_bytes

TYPES: Final = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP",
    8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP",
    14: "DISCONNECT", 15: "AUTH",
}  # fmt: skip
_LEVELS: Final = {3: "3.1", 4: "3.1.1", 5: "5"}
_REFUSED: Final = {
    1: "unacceptable protocol version", 2: "client id rejected", 3: "server unavailable",
    4: "bad user name or password", 5: "not authorised",
    0x84: "unsupported protocol version", 0x85: "client id not valid", 0x86: "bad user name or password",
    0x87: "not authorised", 0x88: "server unavailable", 0x8A: "banned", 0x8C: "bad authentication method",
}  # fmt: skip
_SUBPROTOCOLS: Final = ("mqtt", "mqttv3.1", "mqttv5")
_LENGTH_BYTES: Final = 4
_WITH_ID: Final = (4, 5, 6, 7, 9, 11)
_SERVER_KEEP_ALIVE: Final = 0x13
_USER_PROPERTY: Final = 0x26
#: A CONNACK's properties that are numbers, and their bytes; the others have their length in front (2.2.2.2).
_SIZES: Final = {0x11: 4, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}


class Body:
    """What follows a packet's fixed header."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            Malformed: there are not as many.
        """
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise Malformed(f"the packet ends {size - len(piece)} bytes before one of its fields does")
        self.at += size
        return piece

    def number(self, size: int = 2) -> int:
        """The next `size` bytes as one big-endian number; raises as `take` does."""
        return int.from_bytes(self.take(size))

    def binary(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.number())

    def text(self) -> str:
        """UTF-8 behind its length."""
        return self.binary().decode("utf-8", "backslashreplace")

    def properties(self) -> bytes:
        """The undecoded properties of an MQTT 5 packet, without their length (MQTT 5 section 2.2.2)."""
        length, self.at = variable_length(self.data, self.at)
        return self.take(length)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.data)


def variable_length(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends.

    Raises:
        Malformed: it has no end within four bytes.
    """
    value = 0
    for number in range(_LENGTH_BYTES):
        if at >= len(data):
            raise Malformed("the message ends within a length")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at
    raise Malformed("a length of more than four bytes")


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """First byte and body of each packet of a message.

    Raises:
        Malformed: the last one is cut; it may continue in the next message.
    """
    at = 0
    while at < len(data):
        first = data[at]
        length, begin = variable_length(data, at + 1)
        at = begin + length
        if at > len(data):
            name = TYPES.get(first >> 4, "packet")
            raise Malformed(f"{name} of {length} bytes, of which {len(data) - begin} are in this message")
        yield first, data[begin:at]


def keep_alive(data: bytes) -> int | None:
    """The keep alive of a CONNECT, in seconds; 0 for none, None where a message begins with another packet.

    The message may be cut behind it.
    """
    if data[:1] != b"\x10":
        return None
    try:
        _, begin = variable_length(data, 1)
        body = Body(data[begin:])
        if body.text() not in ("MQTT", "MQIsdp"):
            return None
        body.take(2)
        return body.number()
    except Malformed:
        return None


def server_keep_alive(data: bytes) -> int | None:
    """What the CONNACK of an MQTT 5 broker puts in the place of the keep alive (3.2.2.3.14), in seconds."""
    if data[:1] != b"\x20":
        return None
    try:
        _, begin = variable_length(data, 1)
        body = Body(data[begin:])
        body.take(2)
        properties = Body(body.properties())
        while not properties.is_done:
            kind = properties.number(1)
            if kind == _SERVER_KEEP_ALIVE:
                return properties.number()
            for _ in range(2 if kind == _USER_PROPERTY else 1):
                properties.take(_SIZES[kind]) if kind in _SIZES else properties.binary()
    except Malformed:
        return None
    return None


def _fits(payload: Payload) -> bool:
    if payload.is_text:
        return False
    if payload.subprotocol in _SUBPROTOCOLS:
        return True
    return payload.data[:1] == b"\x10" and b"\x00\x04MQTT" in payload.data[1:11]


def _lines(payload: Payload) -> Iterator[str]:
    for number, (first, data) in enumerate(packets(payload.data)):
        if number:
            yield ""
        kind = first >> 4
        if kind not in TYPES:
            raise Malformed("packet type 0 is reserved")
        yield field("packet", f"{TYPES[kind]}, {len(data)} bytes")
        yield from _packet(kind, first & 15, Body(data))


def _packet(kind: int, flags: int, body: Body) -> Iterator[str]:
    if kind == 1:
        yield from _connect(body)
    elif kind == 2:
        yield field("session", "present" if body.number(1) & 1 else "new")
        yield field("answer", _reason(body.number(1)))
    elif kind == 3:
        yield from _publish(flags, body)
    elif kind == 8:
        yield from _subscribe(body, with_options=True)
    elif kind == 10:
        yield from _subscribe(body, with_options=False)
    elif kind in _WITH_ID:
        yield field("packet id", body.number())
    if not body.is_done:
        yield field("more", show_bytes(body.rest()))


def _reason(code: int) -> str:
    return "0 accepted" if code == 0 else f"{code} {_REFUSED.get(code, 'refused')}"


def _connect(body: Body) -> Iterator[str]:
    name, level, flags = body.text(), body.number(1), body.number(1)
    yield field("protocol", f"{name} {_LEVELS.get(level, f'level {level}')}")
    yield field("keep alive", f"{body.number()} s")
    yield field("clean start", "yes" if flags & 2 else "no")
    if level == 5 and (properties := body.properties()):
        yield field("properties", properties.hex(" "))
    yield field("client id", body.text() or "(the server is to choose one)")
    if flags & 4:
        if level == 5:
            body.properties()
        yield field("will topic", body.text())
        yield field("will", show_bytes(body.binary()))
    if flags & 0x80:
        yield field("user name", body.text())
    if flags & 0x40:
        yield field("password", show_bytes(body.binary()))


def _publish(flags: int, body: Body) -> Iterator[str]:
    quality = flags >> 1 & 3
    yield field("topic", body.text())
    if quality:
        yield field("packet id", body.number())
    extra = (", retained" if flags & 1 else "") + (", sent again" if flags & 8 else "")
    yield field("QoS", f"{quality}{extra}")
    payload = body.rest()
    yield field("payload", f"{len(payload)} bytes; of MQTT 5 they begin with properties")
    yield f"  {show_bytes(payload)}"


def _subscribe(body: Body, *, with_options: bool) -> Iterator[str]:
    yield field("packet id", body.number())
    begin = body.at
    try:
        topics = _topics(body, with_options)
    except Malformed:
        body.at = begin
        yield field("properties", body.properties().hex(" ") or "none")
        topics = _topics(body, with_options)
    for topic, options in topics:
        yield field("topic", topic + (f", QoS {options & 3}" if with_options else ""))


def _topics(body: Body, with_options: bool) -> list[tuple[str, int]]:
    found = []
    while not body.is_done:
        topic = body.text()
        options = body.number(1) if with_options else 0
        if not topic or options & 3 == 3:
            raise Malformed("no topic")
        found.append((topic, options))
    if not found:
        raise Malformed("no topic")
    return found


def _summary(payload: Payload) -> str | None:
    words = []
    try:
        for first, data in packets(payload.data):
            name = TYPES.get(first >> 4)
            if name is None:
                return None
            words.append(f"{name} {Body(data).text()}" if name == "PUBLISH" else name)
    except Malformed:
        name = TYPES.get(payload.data[0] >> 4) if payload.data else None
        return " ".join(words) or name
    return " ".join(words[:3]) + (f" +{len(words) - 3} more" if len(words) > 3 else "")


DECODER: Final = Decoder(
    "mqtt",
    _fits,
    _lines,
    _summary,
    is_named=lambda subprotocol, _: subprotocol in _SUBPROTOCOLS,
    begins=b"\x10",
)
