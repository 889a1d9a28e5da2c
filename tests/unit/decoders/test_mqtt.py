"""MQTT: what its document says, cut payloads, and payloads that were made to harm."""

from __future__ import annotations

import struct

import pytest

from tests.support.decoding import (
    binary,
    for_each,
    is_bounded,
    read,
    reads,
    reads_cuts,
)
from wsinspect import decoders


def mqtt_packet(first: int, body: bytes) -> bytes:
    return bytes([first, len(body)]) + body


def mqtt_text(word: str) -> bytes:
    return struct.pack(">H", len(word)) + word.encode()


CONNECT = mqtt_packet(
    0x10,
    mqtt_text("MQTT")
    + b"\x04\xc6\x00\x3c"
    + mqtt_text("me")
    + mqtt_text("gone")
    + mqtt_text("bye")
    + mqtt_text("user")
    + mqtt_text("secret"),
)


PUBLISH = mqtt_packet(0x32, mqtt_text("a/b") + b"\x00\x07" + b"hello")


CASES = [
    ("mqtt", binary(CONNECT + PUBLISH), "mqtt",
     ["packet      CONNECT, 39 bytes", "protocol    MQTT 3.1.1", "keep alive  60 s", "clean start yes",
      "client id   me", "will topic  gone", "will        bye", "user name   user", "password    secret", "",
      "packet      PUBLISH, 12 bytes", "topic       a/b", "packet id   7", "QoS         1",
      "payload     5 bytes; of MQTT 5 they begin with properties", "  hello"], "CONNECT PUBLISH a/b"),
    ("connack", binary(b"\x20\x02\x00\x05", subprotocol="mqtt", is_s2c=True), "mqtt",
     ["packet      CONNACK, 2 bytes", "session     new", "answer      5 not authorised"], "CONNACK"),
    ("subscribe of 3", binary(b"\x82\x08\x00\x01" + mqtt_text("a/#") + b"\x01", subprotocol="mqtt"), "mqtt",
     ["packet      SUBSCRIBE, 8 bytes", "packet id   1", "topic       a/#, QoS 1"], "SUBSCRIBE"),
    ("subscribe of 5",
     binary(b"\x82\x0b\x00\x01\x02\x0b\x01" + mqtt_text("a/#") + b"\x01", subprotocol="mqtt"),
     "mqtt",
     ["packet      SUBSCRIBE, 11 bytes", "packet id   1", "properties  0b 01", "topic       a/#, QoS 1"],
     "SUBSCRIBE"),
    ("ping", binary(b"\xc0\x00\xe0\x00", subprotocol="mqtt"), "mqtt",
     ["packet      PINGREQ, 0 bytes", "", "packet      DISCONNECT, 0 bytes"], "PINGREQ DISCONNECT"),
    ("pong", binary(b"\xd0\x00", subprotocol="mqtt", is_s2c=True), "mqtt",
     ["packet      PINGRESP, 0 bytes"], "PINGRESP"),
]  # fmt: skip


@for_each(CASES)
def test_what_its_document_says(case):
    reads(case)


@for_each(CASES)
def test_every_cut_is_read_as_far_as_it_goes(case):
    reads_cuts(case)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (binary(b"\xe2\x00"), "flags 0010 of DISCONNECT. MQTT is a stream: this may be a piece"),
        (binary(b"\xd0\x00"), "PINGRESP is not sent by a client"),
        (binary(b"\x30\x09\x00"), "PUBLISH of 9 bytes, of which 1 are in this message"),
        (binary(b"\x30\xff\xff\xff\xff\xff"), "a length of more than four bytes"),
        (binary(b"\x30\x80"), "ends within a length"),
        (binary(b"\x00\x00"), "packet type 0 is reserved"),
        (binary(b"\x30\x01\x00"), "ends 1 bytes before one of its fields does"),
        (binary(b"\x82\x02\x00\x01"), "within a length"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("mqtt", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        binary(b"\xc0\x00" * 100_000),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "mqtt")


#: What mqtt.js 5.16 and Aedes 1.2 sent one another, a message each: CONNECT, SUBSCRIBE, PUBLISH of QoS 1
#: and 2 both ways, a ping, UNSUBSCRIBE and DISCONNECT. Only the pings were packets by themselves.
PIECES_C2S = """
    10 21 0004 4d515454 04 c2 000f 6d7174746a735f6435386338643636 0001 75 0001 70 82 08 fee2 0003 612f23 01
    32 0c 612f62 fee3 68656c6c6f 34 0b 612f63 fee4 40 02 e3d8 50 e3d9 62 c000 a2 07 fee5 e0 00
"""
PIECES_S2C = "20 02 00 90 03 fee2 01 40 fee3 32 0c 0003 612f62 e3d8 68656c6c6f 50 62 70 d000 b0"


@pytest.mark.parametrize(
    ("piece", "is_s2c"),
    [*((one, False) for one in PIECES_C2S.split()), *((one, True) for one in PIECES_S2C.split())],
)
def test_a_piece_of_a_packet_is_not_named_a_packet(piece, is_s2c):
    payload = binary(bytes.fromhex(piece), subprotocol="mqtt", is_s2c=is_s2c)
    assert decoders.summary(payload) == {"c000": "PINGREQ", "d000": "PINGRESP"}.get(piece)
    decoded = read("mqtt", payload)
    assert bool(decoded.lines) == (piece in ("c000", "d000"))
    assert decoded.lines or "MQTT is a stream" in (decoded.problem or "")


@pytest.mark.parametrize(
    "packet",
    [
        b"\x40\x02\x00\x07",
        b"\x40\x03\x00\x07\x10",
        b"\x40\x04\x00\x07\x00\x00",
        b"\x62\x02\x00\x07",
        b"\x6a\x02\x00\x07",
        b"\xa2\x07\x00\x07\x00\x03a/#",
        b"\xe0\x02\x04\x00",
        b"\xf0\x02\x18\x00",
        b"\x30\x05\x00\x03a/b",
        b"\x30\x06\x00\x00\x03\x23\x00\x01",
    ],
)
def test_well_formed_packets_are_named_and_what_is_nearly_one_is_not(packet):
    def words(data):
        return decoders.summary(binary(data, subprotocol="mqtt")) or ""

    assert words(packet)
    for size in range(len(packet)):
        assert words(packet[:size]) in ("", "PUBLISH a/b", "PUBLISH")
    assert words(packet[:1] + bytes([packet[1] - 1]) + packet[2:]) in ("", "PUBLISH a/b", words(packet))


def test_the_beginning_of_a_long_packet_is_named_where_its_name_is_there():
    topic = b"\x00\x03a/b"
    publish = b"\x30" + b"\x88\x27" + topic + b"x" * 995
    assert decoders.summary(binary(publish, subprotocol="mqtt")) == "PUBLISH a/b"
    assert decoders.summary(binary(publish[:6], subprotocol="mqtt")) is None
    assert decoders.summary(binary(b"\x10\x7f\x00\x04MQTT\x05", subprotocol="mqtt")) == "CONNECT"
    assert decoders.summary(binary(b"\x10\x7f\x00\x04MQT", subprotocol="mqtt")) is None
    assert decoders.summary(binary(b"0123456789 is a payload", subprotocol="mqtt")) is None
