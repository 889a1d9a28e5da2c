"""Rules about STOMP and MQTT: what the messages say where the connection shows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.decoders import mqtt
from wsinspect.findings.evidence import JS_STATUS, end_line, js_sees, seconds, status_line
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.findings.failures import is_about_login
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, messages, shown_masked
from wsinspect.findings.model import FaultOf, Found
from wsinspect.findings.quotes import without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.drops import is_cut
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.wire.opcodes import Direction, Opcode

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


#: Peers wait at least twice as long as was promised (stomp.js, RabbitMQ), or three times (Spring). Times are
#: those at this tap, so what was twice there may be a little less here.
_LATE: Final = 1.95
#: A side that waited this much longer than was promised ended the connection for another reason, perhaps.
_LONG_AFTER: Final = 5
#: Codes that servers give a session without heart-beats, also without a reason: Spring's and RabbitMQ's.
_BEAT_CODES: Final = (1002, 4500)
_BEAT_WORDS: Final = re.compile(r"heart-?\s?beat|session closed|no messages? received", re.I)
_TIMEOUT: Final = re.compile(r"time(?:d )?-?out", re.I)
#: What else has a timeout: not the silence of a side.
_OF_LOGIN: Final = re.compile(r"token|login|session|lifetime|auth|subscri", re.I)
#: stomp.js looks once in each interval whether two of them have passed in silence.
_BY_STOMP_JS: Final = 3.2


@rules(
    "WS-APP-051",
    "error",
    "client",
    "STOMP: the heart-beats that were promised did not come, and the other side ended the session",
    meaning="By CONNECT and CONNECTED a side sends a frame or a line feed in each interval (STOMP 1.2,"
    " heart-beating), and it did not. PINGs of the WebSocket do not count: a STOMP heart-beat is a message"
    " with a line feed in it.",
    js=JS_SEE_EVIDENCE,
    topic="stomp-beats",
    rows="5",
    group="end",
)
def stomp_beats_missing(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.was_open or not facts.is_over or facts.end_ns is None or facts.has_gap or facts.violations:
        return
    asked = next((one for one in facts.first if one.direction == C2S and _ASKS.match(one.text)), None)
    answered = next((one for one in facts.first if one.direction == S2C and _ANSWERS.match(one.text)), None)
    ours, theirs = _beats(asked), _beats(answered)
    if not ours or not theirs:
        return
    if not _may_be_about_beats(facts):
        return
    ways: tuple[tuple[Direction, FaultOf, int, int], ...] = (
        (C2S, "client", ours[0], theirs[1]),
        (S2C, "server", theirs[0], ours[1]),
    )
    for side, sender, sends, wants in ways:
        receiver = "server" if side == C2S else "client"
        if not (sends and wants) or facts.ended_by != receiver:
            continue
        last_ns = _last_said_ns(facts, side)
        interval = max(sends, wants) / 1000
        waited = facts.certain_ns(last_ns, facts.end_ns) / SECOND_NS
        is_bare = _is_bare(facts)
        if waited < _LATE * interval or (is_bare and waited > _BY_STOMP_JS * interval):
            continue
        pinged = any(one.opcode == Opcode.PING and one.direction == side for one in facts.last_frames)
        error = _error_frame(facts)
        yield Found(
            evidence=(
                f"c>s heart-beat:{ours[0]},{ours[1]}; s>c heart-beat:{theirs[0]},{theirs[1]}",
                f"so the {sender} sends something every {seconds(round(interval * SECOND_NS))}",
                f"no STOMP frame and no line feed {side.arrow} for {seconds(facts.end_ns - last_ns)}",
                f"the {sender}'s PING frames are no heart-beats" if pinged else "",
                shown_masked(error) if error is not None else "",
                end_line(facts),
                js_sees(facts),
            ),
            fault_of=sender,
            severity="warning" if is_bare else None,
            title=f"STOMP: the {sender} promised heart-beats and sent none, and the {receiver} ended the"
            " session",
            confidence="high" if waited <= _LONG_AFTER * interval and not is_bare else "medium",
            js=js_sees(facts),
        )
        return


def _may_be_about_beats(facts: ConnectionFacts) -> bool:
    """Whether an end may be about heart-beats: one without a CLOSE frame, or whose words are about them."""
    is_servers = facts.ended_by == "server"
    code = facts.server_close_code if is_servers else facts.client_close_code
    reason = facts.server_close_reason if is_servers else facts.client_close_reason
    if (code is None and reason is None) or _is_bare(facts):
        return True
    if reason:
        return _is_of_beats(reason)
    error = _error_frame(facts)
    return is_servers and (code in _BEAT_CODES or (error is not None and _is_of_beats(error.text[:_READ])))


def _is_bare(facts: ConnectionFacts) -> bool:
    """Whether a STOMP client closed without a code: stomp.js does when beats are missing, and so does a page
    that is left. Other ends of that kind are not looked at (`queries.facts.eventful`)."""
    said = (facts.client_close_code, facts.client_close_reason)
    is_stomp = "stomp" in (facts.negotiation.subprotocol or "").lower()
    return facts.ended_by == "client" and said == (None, "") and is_stomp


def _is_of_beats(words: str) -> bool:
    return bool(_BEAT_WORDS.search(words) or (_TIMEOUT.search(words) and not _OF_LOGIN.search(words)))


def _last_said_ns(facts: ConnectionFacts, side: Direction) -> int:
    """When the last message of a direction came, at the latest: of the middle of a long connection only the
    time of the last messages is known."""
    mine = [one.time_ns for one in facts.last if one.direction == side]
    if mine:
        return mine[-1]
    if facts.last:
        return facts.last[0].time_ns
    return facts.open_ns or facts.attempt_ns


_ERROR: Final = re.compile(r"[\r\n]*ERROR\r?\n")
_MESSAGE: Final = re.compile(r"^message: ?([^\r\n]+)", re.M)
#: Characters of a frame in which its words are looked for.
_READ: Final = 2000
#: A server has to close right after an ERROR (STOMP 1.2, ERROR).
_SOON_NS: Final = 5 * SECOND_NS


def _error_frame(facts: ConnectionFacts) -> MessageFact | None:
    """The server's ERROR, where it is the last thing that the server said."""
    theirs = [one for one in messages(facts) if one.direction == S2C]
    return theirs[-1] if theirs and _ERROR.match(theirs[-1].text) else None


@rules(
    "WS-APP-052",
    "error",
    "server",
    "STOMP: the server answered with ERROR and ended the session",
    meaning="After an ERROR frame the server has to close (STOMP 1.2, ERROR). Its message header says what"
    " was wrong; the close code, mostly 1002, says nothing more.",
    js=JS_SEE_EVIDENCE,
    topic="app",
    rows="5",
    group="end",
)
def stomp_error(facts: ConnectionFacts) -> Iterator[Found]:
    error = _error_frame(facts) if facts.was_open and facts.is_over else None
    if error is None or facts.ended_by not in ("server", "client", "both") or not _is_stomp(facts):
        return
    if facts.end_ns is None or facts.end_ns - error.time_ns > _SOON_NS or facts.violations:
        return
    if (
        facts.ended_by != "client"
        and facts.server_close_reason
        and facts.server_close_code not in (1000, 1002)
    ):
        return  # a code with a reason is explained with its code
    words = _error_words(error)
    is_login = is_about_login(words)
    ended = ", and the client left" if facts.ended_by == "client" else " and ended the session"
    quoted = f" {without_secrets(words[:200])[:100]!r}" if words else ""
    yield Found(
        evidence=(shown_masked(error), end_line(facts), js_sees(facts)),
        frame=error.id,
        fault_of="client" if is_login else None,
        title=f"STOMP: the server answered with ERROR{quoted}{ended}",
        topic="app-auth" if is_login else None,
        js=js_sees(facts),
    )


def _is_stomp(facts: ConnectionFacts) -> bool:
    """Whether it is a session of STOMP; other messages begin with ERROR, too."""
    if "stomp" in (facts.negotiation.subprotocol or "").lower():
        return True
    # A page that is left ends so, too, and by what was sent alone it is not looked at.
    polite = (None, 1000, 1001)
    if facts.ended_by == "client" and facts.js_was_clean and facts.client_close_code in polite:
        return False
    return any(one.direction == C2S and _ASKS.match(one.text) for one in facts.first)


def _error_words(error: MessageFact) -> str:
    """What an ERROR says: its message header, and the first line of its body, which may have the cause alone:
    RabbitMQ's `Bad CONNECT` stands above `Access refused for user 'guest'`."""
    text = error.text[:_READ]
    head = _HEAD.match(text)
    said = _MESSAGE.search(head[1] if head else text)
    short = said[1].strip() if said else ""
    more = text[head.end() :].strip("\0\r\n ").partition("\n")[0].strip() if head else ""
    return ": ".join(dict.fromkeys(filter(None, (short, more))))


_ASKS: Final = re.compile(r"[\r\n]*(?:CONNECT|STOMP)\r?\n")
_ANSWERS: Final = re.compile(r"[\r\n]*CONNECTED\r?\n")
_HEAD: Final = re.compile(r"[\r\n]*(.*?)\r?\n\r?\n", re.S)
_BEATS: Final = re.compile(r"^heart-beat: ?([0-9]{1,9}), ?([0-9]{1,9})\r?$", re.M)


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
    "WS-APP-063",
    "error",
    "client",
    "MQTT: the client's packets are in text messages",
    meaning="MQTT goes in binary messages alone, and who gets another kind has to end the connection (MQTT"
    " 3.1.1, MQTT-6.0.0-1). Some brokers ignore such a message instead, so the client waits for its CONNACK.",
    js=JS_SEE_EVIDENCE,
    topic="mqtt-binary",
    rows="5",
    group="end",
)
def mqtt_as_text(facts: ConnectionFacts) -> Iterator[Found]:
    first = next((one for one in facts.first if one.direction == C2S), None)
    if first is None or not facts.was_open or not facts.is_over or first.opcode != Opcode.TEXT:
        return
    # Over a subprotocol of its own any text is none; else only what is certainly a CONNECT.
    is_packet = mqtt.is_connect(first.data) or (
        first.data[:1] == b"\x10" and (facts.negotiation.subprotocol or "").startswith("mqtt")
    )
    is_answered = any(one.direction == S2C for one in messages(facts))
    if not is_packet or is_answered or facts.ended_by not in ("server", "client"):
        return
    reaction = "ended the connection" if facts.ended_by == "server" else "did not answer"
    yield Found(
        evidence=(
            f"message {first.id} c>s: MQTT CONNECT in a TEXT frame",
            "nothing but frames of the WebSocket came from the broker",
            end_line(facts),
            js_sees(facts),
        ),
        frame=first.id,
        title=f"MQTT: the client's packets are in text messages, and the broker {reaction}",
        js=js_sees(facts),
    )


@rules(
    "WS-APP-064",
    "error",
    "client",
    "MQTT: the broker refused the client",
    meaning="The broker's CONNACK says why it does not take this client, and it then has to end the"
    " connection (MQTT 3.1.1, 3.2.2.3). The WebSocket itself was opened as it should be.",
    js=JS_SEE_EVIDENCE,
    topic="mqtt-refused",
    rows="5",
    group="end",
)
def mqtt_connack(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.was_open or not facts.is_over:
        return
    answer = next((one for one in facts.first if one.direction == S2C), None)
    if answer is None or answer.opcode != Opcode.BINARY or not mqtt.is_connect(_begins(facts)):
        return
    if (said := mqtt.refusal(answer.data)) is not None:
        yield Found(
            evidence=(f"message {answer.id} s>c: CONNACK {said.words}", end_line(facts), js_sees(facts)),
            frame=answer.id,
            fault_of="server" if said.is_servers else None,
            title=f"MQTT: the broker refused the client: {said.words}",
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
