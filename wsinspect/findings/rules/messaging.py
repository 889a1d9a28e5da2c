"""Rules about STOMP and MQTT: what the messages say where the connection shows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.decoders import mqtt
from wsinspect.findings.evidence import JS_STATUS, end_line, js_sees, seconds, status_line
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.drops import is_cut
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.wire.opcodes import Opcode

rules = Rules()


@rules(
    "WS-APP-050",
    "warning",
    "client",
    "STOMP: heart-beats are off, and the connection was cut after a silence",
    meaning="By CONNECT and CONNECTED neither side sends heart-beats (0, or no heart-beat header), so nothing"
    " keeps the connection alive, and a hop with an idle timeout ends it. Switch them on, on both sides.",
    js=JS_SEE_EVIDENCE,
    topic="keepalive",
    rows="5",
)
def stomp_silent(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_cut(facts) or (facts.silence_ns() or 0) < 10 * SECOND_NS:
        return
    asked = next((one for one in facts.first if one.direction == C2S and _ASKS.match(one.text)), None)
    answered = next((one for one in facts.first if one.direction == S2C and _ANSWERS.match(one.text)), None)
    ours, theirs = _beats(asked), _beats(answered)
    if asked is None or ours is None:
        return
    if any(ours) and (theirs is None or (ours[0] and theirs[1]) or (theirs[0] and ours[1])):
        return
    yield Found(
        evidence=(
            *(
                f"{one.direction.arrow} heart-beat:{beats[0]},{beats[1]}"
                for one, beats in ((asked, ours), (answered, theirs))
                if one is not None and beats is not None
            ),
            end_line(facts),
        ),
        frame=asked.id,
    )


_ASKS: Final = re.compile(r"[\r\n]*(?:CONNECT|STOMP)\r?\n")
_ANSWERS: Final = re.compile(r"[\r\n]*CONNECTED\r?\n")
_HEAD: Final = re.compile(r"[\r\n]*(.*?)\r?\n\r?\n", re.S)
_BEATS: Final = re.compile(r"^heart-beat: ?(\d+), ?(\d+)\r?$", re.M)


def _beats(message: MessageFact | None) -> tuple[int, int] | None:
    """How often a side can send and wants to hear, in ms; a header that is not there says 0,0 (STOMP 1.2).

    None where the frame is not there, or its headers are cut.
    """
    head = _HEAD.match(message.text) if message is not None else None
    if head is None:
        return None
    if "\nheart-beat:" not in head[1]:
        return 0, 0
    found = _BEATS.search(head[1])
    return (int(found[1]), int(found[2])) if found else None


_MQTT: Final = (
    "Brokers want 'Sec-WebSocket-Protocol: mqtt' (MQTT 5.0, section 6). Without it they refuse or close."
)


def _begins(facts: ConnectionFacts) -> bytes:
    """How what the client sends begins: a packet may be spread over several messages (MQTT 5.0, 6.0.0-3)."""
    data = b""
    for one in facts.first:
        if one.direction == C2S:
            if one.opcode != Opcode.BINARY:
                break
            data += one.data
            if one.length != len(one.data):
                break
    return data


def _lacks_mqtt(facts: ConnectionFacts) -> bool:
    return not any(one.startswith("mqtt") for one in facts.negotiation.subprotocols_offered)


@rules(
    "WS-APP-060",
    "error",
    "client",
    "MQTT: refused, and the subprotocol 'mqtt' is missing",
    meaning=_MQTT,
    js=JS_STATUS,
    topic="subprotocol",
    rows="H21",
    group="attempt",
)
def mqtt_refused(facts: ConnectionFacts) -> Iterator[Found]:
    is_path = facts.path.partition("?")[0].rstrip("/").endswith("/mqtt")
    if is_refused(facts) and is_path and facts.status == 400 and _lacks_mqtt(facts):
        yield Found(evidence=(facts.request_line("Sec-WebSocket-Protocol"), status_line(facts)))


@rules(
    "WS-APP-062",
    "error",
    "client",
    "MQTT: the broker ended the connection after one and a half times the keep alive",
    meaning="The client promised to send a packet at least once per keep alive interval and sent none. The"
    " broker waits one and a half times as long, then closes (MQTT 3.1.2.10).",
    js=JS_SEE_EVIDENCE,
    topic="keepalive",
    rows="5 T7",
    group="end",
)
def mqtt_silent(facts: ConnectionFacts) -> Iterator[Found]:
    silence = facts.silence_ns(C2S) if facts.was_open and facts.is_over else None
    if silence is None or facts.ended_by != "server":
        return
    promised = mqtt.keep_alive(_begins(facts))
    if promised and 1.4 <= silence / SECOND_NS / promised <= 1.7:
        yield Found(
            evidence=(
                f"keep alive of {promised} s; no packet c>s for {seconds(silence)}",
                end_line(facts),
                js_sees(facts),
            ),
            js=js_sees(facts),
        )


@rules(
    "WS-APP-061",
    "error",
    "client",
    "MQTT: closed, and the subprotocol 'mqtt' is missing",
    meaning=_MQTT,
    js=JS_SEE_EVIDENCE,
    topic="subprotocol",
    rows="H21",
    group="end",
)
def mqtt_closed(facts: ConnectionFacts) -> Iterator[Found]:
    first = next((message for message in facts.first if message.direction == C2S), None)
    if first is None or not facts.is_over or facts.ended_by != "server" or not _lacks_mqtt(facts):
        return
    if mqtt.is_connect(_begins(facts)):
        yield Found(
            evidence=(facts.request_line("Sec-WebSocket-Protocol"), "MQTT CONNECT c>s", end_line(facts)),
            frame=first.id,
            js=js_sees(facts),
        )
