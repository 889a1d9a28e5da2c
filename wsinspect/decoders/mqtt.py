"""MQTT 3.1, 3.1.1 and 5 over WebSocket: control packets, several in a message or one over several.

A packet does not say which version it is of; only CONNECT does. What differs (the properties of version 5) is
read where nothing else makes sense of the bytes. Packets are not aligned with messages (3.1.1 section 6):
mqtt.js sends each field as a message of its own. A message is looked at alone here, so a packet is named only
where its sender, its flags and all of its fields are those of its type. Source: OASIS MQTT 3.1.1 and 5.0,
sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from wsinspect.decoders.model import Decoder, Malformed, Payload, field, show_bytes

TYPES: Final = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP",
    8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP",
    14: "DISCONNECT", 15: "AUTH",
}  # fmt: skip
_LEVELS: Final = {3: "3.1", 4: "3.1.1", 5: "5"}
#: What a CONNACK's code means (3.1.1 table 3.1; 5.0 section 3.2.2.2).
_REFUSED: Final = {
    1: "unacceptable protocol version", 2: "client id rejected", 3: "server unavailable",
    4: "bad user name or password", 5: "not authorised",
    0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error",
    0x83: "implementation specific error", 0x84: "unsupported protocol version",
    0x85: "client id not valid", 0x86: "bad user name or password", 0x87: "not authorised",
    0x88: "server unavailable", 0x89: "server busy", 0x8A: "banned", 0x8C: "bad authentication method",
    0x90: "topic name invalid", 0x95: "packet too large", 0x97: "quota exceeded",
    0x99: "payload format invalid", 0x9A: "retain not supported", 0x9B: "QoS not supported",
    0x9C: "use another server", 0x9D: "server moved", 0x9F: "connection rate exceeded",
}  # fmt: skip
#: Those with which a server speaks of itself, its state and its limits, and not of what the client sent.
_OF_THE_SERVER: Final = frozenset((3, 0x80, 0x83, 0x88, 0x89, 0x97, 0x9C, 0x9D, 0x9F))
_SUBPROTOCOLS: Final = ("mqtt", "mqttv3.1", "mqttv5")
_STREAM: Final = "MQTT is a stream: this may be a piece of a packet that began in an earlier message"
_LENGTH_BYTES: Final = 4
_WITH_ID: Final = (4, 5, 6, 7, 9, 11)
#: Only a client sends these, and only a server those (2.2.1).
_OF_CLIENTS: Final = (1, 8, 10, 12)
_OF_SERVERS: Final = (2, 9, 11, 13)
#: These have the flags 0010, in 3.1 with the mark of one that is sent again; others but PUBLISH have none.
_WITH_FLAG: Final = (6, 8, 10)
_SENT_AGAIN: Final = 8
_NAMES: Final = ("MQTT", "MQIsdp")
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
            raise Malformed(
                f"as a packet: {name} of {length} bytes, of which {len(data) - begin} are in this message"
            )
        yield first, data[begin:at]


def is_connect(data: bytes) -> bool:
    """Whether what a client sends begins with a CONNECT; it may be cut behind the protocol's name."""
    try:
        return data[:1] == b"\x10" and Body(data[variable_length(data, 1)[1] :]).text() in _NAMES
    except Malformed:
        return False


def keep_alive(data: bytes) -> int | None:
    """The keep alive of a CONNECT, in seconds; 0 for none, None where a message begins with another packet.

    The message may be cut behind it.
    """
    if not is_connect(data):
        return None
    try:
        _, begin = variable_length(data, 1)
        body = Body(data[begin:])
        body.text()
        body.take(2)
        return body.number()
    except Malformed:
        return None


class Refusal(NamedTuple):
    """Why a CONNACK refuses: the code with what it means, and whether it is about the server itself."""

    words: str
    is_servers: bool


def refusal(data: bytes) -> Refusal | None:
    """Why a CONNACK refuses the client.

    None where it accepts, or where the message begins with another packet. It may be cut behind the code.
    """
    if data[:1] != b"\x20":
        return None
    try:
        body = Body(data[variable_length(data, 1)[1] :])
        body.take(1)
        code = body.number(1)
    except Malformed:
        return None
    return Refusal(_reason(code), code in _OF_THE_SERVER) if code else None


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


def check_packet(first: int, data: bytes, *, is_s2c: bool) -> None:
    """Whether bytes can be a packet: its sender, flags and fields are those of its type (2.1.3, 2.2.1, 3).

    Args:
        first: its first byte.
        data: its body.
        is_s2c: the server sent it.

    Raises:
        Malformed: they are none; its words say why.
    """
    kind, flags, body = first >> 4, first & 15, Body(data)
    _check_header(kind, flags, is_s2c)
    if kind == 1:
        _check(body.text() in _NAMES, "the protocol's name is missing")
        _read(_connect(Body(data)))
    elif kind == 2:
        _check(body.number(1) <= 1, "reserved flags are set")
        _check(not body.is_done, "no answer")
        _check_reason(body)
    elif kind == 3:
        _published(flags, body)
    elif kind in (12, 13):
        _check(not data, f"{TYPES[kind]} has no body")
    elif kind in (14, 15):
        _check_reason(body)
    else:
        _check(body.number() > 0, "packet id 0")
        if kind in (8, 10):
            _read(_subscribe(Body(data), with_options=kind == 8))
        elif kind in (4, 5, 6, 7):
            _check_reason(body)
        elif kind == 9:
            _check(not body.is_done, "no answer to a topic")


def _read(fields: Iterator[str]) -> None:
    """Read all fields: that raises where one is missing."""
    for _ in fields:
        pass


def _check_header(kind: int, flags: int, is_s2c: bool) -> None:
    _check(kind in TYPES, "packet type 0 is reserved")
    _check(
        kind not in (_OF_CLIENTS if is_s2c else _OF_SERVERS),
        f"{TYPES.get(kind)} is not sent by a {'server' if is_s2c else 'client'}",
    )
    if kind in _WITH_FLAG:
        _check(flags & ~_SENT_AGAIN == 2, f"flags {flags:04b} of {TYPES[kind]}")
    elif kind != 3:
        _check(flags == 0, f"flags {flags:04b} of {TYPES.get(kind)}")


def _check_reason(body: Body) -> None:
    """Nothing, or in version 5 a reason and perhaps properties."""
    if not body.is_done:
        body.number(1)
    if not body.is_done:
        body.properties()
    _check(body.is_done, "more than its properties")


def _published(flags: int, body: Body) -> str:
    """The topic of a PUBLISH, whose payload may be cut; an empty one stands for an alias (5.0, 3.3.2.1)."""
    _check(flags & 6 != 6, "QoS 3 is reserved")
    try:
        topic = body.binary().decode()
    except UnicodeDecodeError:
        raise Malformed("a topic that is not UTF-8") from None
    _check(not any(sign in topic for sign in "\0#+"), "a topic that nobody may publish to")
    if flags & 6:
        _check(body.number() > 0, "packet id 0")
    return topic


def _check(is_so: bool, words: str) -> None:
    if not is_so:
        raise Malformed(words)


def _lines(payload: Payload) -> Iterator[str]:
    number = 0
    try:
        for first, data in packets(payload.data):
            check_packet(first, data, is_s2c=payload.is_s2c)
            if number:
                yield ""
            number += 1
            yield field("packet", f"{TYPES[first >> 4]}, {len(data)} bytes")
            yield from _packet(first >> 4, first & 15, Body(data))
    except Malformed as error:
        if number:
            raise
        raise Malformed(f"{error}. {_STREAM}") from None


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
    """Nothing of a message that may as well be a piece of a packet."""
    words: list[str] = []
    try:
        for first, data in packets(payload.data):
            check_packet(first, data, is_s2c=payload.is_s2c)
            words.append(_words(first, Body(data)))
    except Malformed:
        return " ".join(words[:3]) or _begun(payload)
    return " ".join(words[:3]) + (f" +{len(words) - 3} more" if len(words) > 3 else "")


def _words(first: int, body: Body) -> str:
    name = TYPES[first >> 4]
    return f"{name} {_published(first & 15, body)}".rstrip() if name == "PUBLISH" else name


def _begun(payload: Payload) -> str | None:
    """What a message begins of which only the beginning is here: a CONNECT or PUBLISH with its name."""
    data = payload.data
    if not data:
        return None
    first = data[0]
    try:
        length, begin = variable_length(data, 1)
        body = Body(data[begin:])
        if length <= len(body.data):
            return None  # all of it is here, and it is none
        _check_header(first >> 4, first & 15, payload.is_s2c)
        if first >> 4 == 1:
            return TYPES[1] if body.text() in _NAMES else None
        if first >> 4 != 3:
            return None
        words = _words(first, body)
    except Malformed:
        return None
    return words if body.at <= length else None


DECODER: Final = Decoder(
    "mqtt",
    _fits,
    _lines,
    _summary,
    is_named=lambda subprotocol, _: subprotocol in _SUBPROTOCOLS,
    begins=b"\x10",
)
