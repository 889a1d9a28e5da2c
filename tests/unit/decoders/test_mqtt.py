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
    ("connack", binary(b"\x20\x02\x00\x05", subprotocol="mqtt"), "mqtt",
     ["packet      CONNACK, 2 bytes", "session     new", "answer      5 not authorised"], "CONNACK"),
    ("subscribe of 3", binary(b"\x82\x08\x00\x01" + mqtt_text("a/#") + b"\x01", subprotocol="mqtt"), "mqtt",
     ["packet      SUBSCRIBE, 8 bytes", "packet id   1", "topic       a/#, QoS 1"], "SUBSCRIBE"),
    ("subscribe of 5",
     binary(b"\x82\x0b\x00\x01\x02\x0b\x01" + mqtt_text("a/#") + b"\x01", subprotocol="mqtt"),
     "mqtt",
     ["packet      SUBSCRIBE, 11 bytes", "packet id   1", "properties  0b 01", "topic       a/#, QoS 1"],
     "SUBSCRIBE"),
    ("ping", binary(b"\xc0\x00\xd0\x00", subprotocol="mqtt"), "mqtt",
     ["packet      PINGREQ, 0 bytes", "", "packet      PINGRESP, 0 bytes"], "PINGREQ PINGRESP"),
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
