"""The goodbyes of protocols that run on a WebSocket: after one, the server may end TCP as it likes."""

from __future__ import annotations

from wsinspect.findings.facts import C2S, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.wire.opcodes import Opcode

#: A server that still does something after the goodbye ends the connection within this.
_SOON_NS = 10 * SECOND_NS
#: A packet may be spread over several messages (MQTT 5.0, 6.0.0-3): mqtt.js sends its parts one by one.
_MOST_PARTS = 8
_DISCONNECT = 0xE0


def said_goodbye(facts: ConnectionFacts) -> bool:
    """Whether the last thing that the client said was its protocol's goodbye, and the server ended it then.

    MQTT's DISCONNECT (3.1.1 section 3.14.4: the server closes the network connection), STOMP's (1.2: the
    server closes after its RECEIPT).
    """
    if facts.ended_by != "server" or facts.end_ns is None:
        return False
    mine = [one for one in facts.last if one.direction == C2S]
    if not mine or facts.end_ns - mine[-1].time_ns > _SOON_NS:
        return False
    spoken = facts.negotiation.subprotocol or ""
    if spoken.startswith("mqtt"):
        return _ends_with_disconnect(mine)
    return "stomp" in spoken and mine[-1].text.lstrip("\r\n").startswith("DISCONNECT\n")


def _ends_with_disconnect(mine: list[MessageFact]) -> bool:
    packet = b""
    for one in reversed(mine[-_MOST_PARTS:]):
        if one.opcode != Opcode.BINARY or one.length != len(one.data):
            return False
        packet = one.data + packet
        # Its fixed header is one byte of type and one of length: a reason and properties are short.
        if packet[0] == _DISCONNECT and len(packet) >= 2 and packet[1] == len(packet) - 2:
            return True
    return False
