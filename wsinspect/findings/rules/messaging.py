"""Rules about STOMP and MQTT: what the messages say where the connection shows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.decoders import mqtt
from wsinspect.findings.evidence import end_line, js_sees, seconds, status_line
from wsinspect.findings.facts import C2S, SECOND_NS, ConnectionFacts
from wsinspect.findings.messages_read import JS_REFUSED, JS_SEE_EVIDENCE
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.wire.opcodes import Opcode

rules = Rules()


@rules(
    "WS-APP-050",
    "warning",
    "client",
    "STOMP: heart-beats are off, and the connection was cut after a silence",
    meaning="CONNECT or CONNECTED says 'heart-beat:0,0', so nothing keeps the connection alive, and a hop"
    " with an idle timeout ends it. Switch heart-beats on.",
    js=JS_SEE_EVIDENCE,
    topic="keepalive",
    rows="5",
)
def stomp_silent(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.has_close or not facts.is_over or (facts.silence_ns() or 0) < 10 * SECOND_NS:
        return
    if facts.ended_by == "proxy":
        return  # this proxy was stopped: no hop's timeout
    for message in facts.first:
        if message.text.startswith(("CONNECT", "STOMP")) and re.search(
            r"^heart-beat: ?0,0", message.text, re.M
        ):
            yield Found(
                evidence=(f"{message.direction.arrow} heart-beat:0,0", end_line(facts)), frame=message.id
            )
            return


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
    js=JS_REFUSED,
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
