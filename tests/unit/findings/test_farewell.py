"""Goodbyes of protocols on a WebSocket: which last words let a server end TCP without a CLOSE."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import HELLO, cut, frame, request, switching
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.farewell import said_goodbye


def left(subprotocol, *said, at=0.63, by="server"):
    """A connection on which these came last: (direction, opcode, payload)."""
    frames = [frame(n, d, 0.5 + n / 100, opcode, data) for n, (d, opcode, data) in enumerate(said, 3)]
    answer = switching(Sec_WebSocket_Protocol=subprotocol)
    head = request(Sec_WebSocket_Protocol=subprotocol)
    return replace(cut(*HELLO, *frames, at=at, by=by), raw_request_in=head, raw_response_in=answer)


BYE = (C2S, 2, b"\xe0\x00")


@pytest.mark.parametrize("subprotocol", ["mqtt", "mqttv3.1"])
@pytest.mark.parametrize(
    "said",
    [
        [BYE],
        [(C2S, 2, b"\xe0"), (C2S, 2, b"\x00")],  # as mqtt.js sends it
        [(C2S, 2, b"\xe0\x02\x04\x00")],  # MQTT 5.0: a reason, no properties
        [(C2S, 2, b"\x30\x03\x00\x01a"), BYE],
        [BYE, (S2C, 2, b"\xd0\x00")],  # a PINGRESP that was on its way
    ],
)
def test_mqtt_s_disconnect_is_a_goodbye(subprotocol, said):
    assert said_goodbye(left(subprotocol, *said))


@pytest.mark.parametrize(
    "said",
    [
        [(C2S, 2, b"\xc0\x00")],
        [BYE, (C2S, 2, b"\xc0\x00")],
        [(C2S, 2, b"\x30\x04\x00\x00\xe0\x00")],
        [(C2S, 2, b"\xe0")],
        [(C2S, 1, b"\x7f\x00")],
        [(S2C, 2, b"\xe0\x00")],
        [],
    ],
)
def test_what_is_no_goodbye(said):
    assert not said_goodbye(left("mqtt", *said))


def test_who_ended_it_when_and_in_which_protocol_counts():
    assert not said_goodbye(left("mqtt", BYE, at=20.0))
    assert not said_goodbye(left("mqtt", BYE, by="client"))
    assert not said_goodbye(left("binary", BYE))


def test_stomp_s_disconnect_is_a_goodbye():
    assert said_goodbye(left("v12.stomp", (C2S, 1, b"DISCONNECT\nreceipt:77\n\n\0")))
    assert said_goodbye(left("v12.stomp", (C2S, 1, b"\nDISCONNECT\n\n\0")))
    assert not said_goodbye(left("v12.stomp", (C2S, 1, b"SEND\ndestination:/q\n\nDISCONNECT\n\0")))
    assert not said_goodbye(left("chat", (C2S, 1, b"DISCONNECT\n\n\0")))
