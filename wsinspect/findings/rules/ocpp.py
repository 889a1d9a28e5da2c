"""Rules about OCPP over WebSocket (OCPP-J): what a charging station and its central system say of each other.

A CALL is `[2, id, action, payload]`, its answer `[3, id, payload]` or `[4, id, code, description, details]`
(OCPP 1.6-J and 2.0.1 part 4, section 4.2). The WebSocket shows nothing of an answer that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from wsinspect.findings.evidence import end_line, js_sees
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, MessageFact
from wsinspect.findings.messages_read import messages, read_json, shown_masked
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.quotes import without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.text import counted
from wsinspect.wire.opcodes import Direction

rules = Rules()

_CALL, _RESULT, _ERROR = 2, 3, 4
#: Codes with which a side speaks of itself; the others are about the CALL that it got.
_OF_ITSELF: Final = frozenset(("InternalError", "GenericError", "NotImplemented", "NotSupported"))
_CODES: Final = _OF_ITSELF | {
    *("FormationViolation", "FormatViolation", "PropertyConstraintViolation", "ProtocolError"),
    *("OccurenceConstraintViolation", "OccurrenceConstraintViolation", "TypeConstraintViolation"),
    *("SecurityError", "MessageTypeNotSupported", "RpcFrameworkError"),
}
_SIDE: Final[dict[Direction, FaultOf]] = {C2S: "client", S2C: "server"}
_NAME: Final = {C2S: "charging station", S2C: "central system"}
_SEE_LOG: Final = "No change: the WebSocket stays as it is. The error is in a message."


def _calls(facts: ConnectionFacts) -> list[tuple[MessageFact, list[Any]]]:
    """The messages of OCPP among the first and last ones; none where something else is spoken."""
    found = [(one, value) for one in messages(facts) if _is_ocpp(value := read_json(one))]
    spoken = (facts.negotiation.subprotocol or "").lower()
    is_known = spoken.startswith("ocpp") or any(_boots(one, value) for one, value in found[:1])
    return found if is_known else []


def _is_ocpp(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 5
        and type(value[0]) is int
        and value[0] in (_CALL, _RESULT, _ERROR)
        and isinstance(value[1], str)
    )


def _boots(message: MessageFact, value: list[Any]) -> bool:
    return message.direction == C2S and value[0] == _CALL and value[2] == "BootNotification"


def _asked(calls: Sequence[tuple[MessageFact, list[Any]]], answer: MessageFact, value: list[Any]) -> str:
    """The action of the CALL that is answered; "" where it is not among the messages that are known."""
    for one, call in calls:
        if one.direction != answer.direction and call[0] == _CALL and call[1] == value[1]:
            return str(call[2])[:60]
    return ""


@rules(
    "WS-APP-055",
    "warning",
    "client",
    "OCPP: a call was answered with an error",
    meaning="A CALLERROR says why a side could not do what it was asked. Its code tells whether the call was"
    " wrong (FormationViolation, a constraint, SecurityError) or the side that answers cannot do it"
    " (NotImplemented, NotSupported, InternalError).",
    js=_SEE_LOG,
    topic="ocpp",
    rows="5",
)
def call_error(facts: ConnectionFacts) -> Iterator[Found]:
    calls = _calls(facts)
    errors = [
        (one, value) for one, value in calls if value[0] == _ERROR and isinstance(value[2], str) and value[2]
    ]
    if not errors:
        return
    message, value = errors[0]
    code = str(value[2])[:60]
    about = str(value[3])[:200] if len(value) > 3 else ""
    action = _asked(calls, message, value)
    side = message.direction
    # A code of the vendor's own says nothing of whose the fault is: the call is what it is about.
    at = side if code in _OF_ITSELF else side.other
    words = f" ({without_secrets(about)[:100]!r})" if about else ""
    yield Found(
        evidence=(
            shown_masked(message),
            f"the call was {action}" if action else "",
            f"{counted(len(errors), 'such answer')} among the messages that are kept" if errors[1:] else "",
            js_sees(facts) if facts.is_over else "",
        ),
        frame=message.id,
        fault_of=_SIDE[at],
        title=f"OCPP: the {_NAME[side]} answered {action or 'a call'} with '{code}'{words}",
        confidence=None if code in _CODES else "medium",
    )


@rules(
    "WS-APP-056",
    "warning",
    "client",
    "OCPP: the central system does not accept the charging station",
    meaning="The BootNotification was answered with 'Rejected'. Until it is accepted a station may send"
    " nothing else, and tries again after the interval in the answer.",
    js=_SEE_LOG,
    topic="ocpp",
    rows="5",
)
def boot_rejected(facts: ConnectionFacts) -> Iterator[Found]:
    calls = _calls(facts)
    for message, value in calls:
        said = value[2]
        if message.direction != S2C or value[0] != _RESULT or not isinstance(said, dict):
            continue
        if said.get("status") != "Rejected" or _asked(calls, message, value) != "BootNotification":
            continue
        path = facts.path.partition("?")[0]
        yield Found(
            evidence=(
                shown_masked(message),
                f"the station's identity in the URL: {path.rpartition('/')[2][:80]}",
                js_sees(facts) if facts.is_over else "",
            ),
            frame=message.id,
            causes=(
                Cause(
                    "the central system does not know this station, or it is not enabled there",
                    "its list of stations has the identity at the end of the URL",
                ),
                Cause(
                    "what the BootNotification says (vendor, model, serial number) is not what is registered",
                    "the same fields in the central system",
                ),
            ),
        )
        return


@rules(
    "WS-APP-057",
    "warning",
    "client",
    "OCPP: nothing answers the station, and no OCPP subprotocol was agreed",
    meaning="A station has to offer its versions as subprotocols ('ocpp1.6', 'ocpp2.0.1'), and the central"
    " system chooses one (OCPP-J, section 3.1.2). Without one it cannot know which version is spoken.",
    js="See the last line of the evidence.",
    topic="subprotocol",
    rows="5 H26",
    group="end",
)
def no_version(facts: ConnectionFacts) -> Iterator[Found]:
    calls = _calls(facts)
    spoken = (facts.negotiation.subprotocol or "").lower()
    if not facts.was_open or not facts.is_over or not calls or spoken.startswith("ocpp") or facts.has_gap:
        return
    if any(one.direction == S2C for one in messages(facts)):
        return
    yield Found(
        evidence=(
            facts.request_line("Sec-WebSocket-Protocol"),
            shown_masked(calls[0][0]),
            "no answer came",
            end_line(facts),
            js_sees(facts),
        ),
        frame=calls[0][0].id,
        js=js_sees(facts),
    )
