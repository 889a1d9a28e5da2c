"""Action Cable, Slack's Socket Mode, Phoenix channels, AWS API Gateway, websockify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsinspect.findings.evidence import JS_STATUS, body_line, end_line, js_sees, seconds, status_line
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.findings.limits import matching
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, messages, read_json, shown
from wsinspect.findings.model import Cause, FaultOf, Fix, Found, Severity
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()


def _is_cable(facts: ConnectionFacts) -> bool:
    """Whether Action Cable's subprotocol was chosen."""
    return (facts.negotiation.subprotocol or "").startswith("actioncable")


@rules(
    "WS-APP-030",
    "error",
    "client",
    "Action Cable: the server disconnected the client",
    meaning="The server sent a 'disconnect' message, which says why, and closed. 'unauthorized' means that"
    " ApplicationCable::Connection rejected the client.",
    js=JS_SEE_EVIDENCE,
    topic="app-auth",
    rows="5",
    group="end",
)
def cable_disconnect(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if (
            isinstance(value, dict)
            and value.get("type") == "disconnect"
            and value.get("reason") != "server_restart"
            # Others have such messages, too: Slack's Socket Mode asks its clients so to reconnect.
            and (_is_cable(facts) or isinstance(value.get("reconnect"), bool))
        ):
            yield Found(
                evidence=(shown(message), js_sees(facts)),
                frame=message.id,
                js=js_sees(facts),
                software=("rails",),
            )
            return


#: Reasons of Slack's Socket Mode: title, whose it is, severity and what to do.
_SLACKS: Final[dict[str, tuple[str, FaultOf, Severity, str]]] = {
    "warning": (
        "Slack: this connection is about to be renewed",
        "server",
        "note",
        "Nothing is wrong: open a new connection with apps.connections.open, as Slack's libraries do.",
    ),
    "refresh_requested": (
        "Slack: this connection is being renewed",
        "server",
        "note",
        "Nothing is wrong: open a new connection with apps.connections.open, as Slack's libraries do.",
    ),
    "link_disabled": (
        "Slack: Socket Mode is switched off for this app",
        "client",
        "error",
        "Switch Socket Mode on in the app's settings at api.slack.com, or stop the client.",
    ),
    "too_many_websockets": (
        "Slack: too many connections are open for this app",
        "client",
        "error",
        "Close connections of other instances and of earlier attempts (Slack allows 10 an app), and wait"
        " longer before each new one.",
    ),
}


@rules(
    "WS-APP-033",
    "error",
    "client",
    "Slack: the server asked the client to disconnect",
    meaning="Slack sends a 'disconnect' message whose reason says why. For renewals the client opens another"
    " connection; too many connections and a disabled app are for you to change.",
    js=JS_SEE_EVIDENCE,
    topic="app",
    rows="5",
    group="end",
)
def slack_disconnect(facts: ConnectionFacts) -> Iterator[Found]:
    if _is_cable(facts):
        return
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if not isinstance(value, dict) or value.get("type") != "disconnect" or "reconnect" in value:
            continue
        reason = value.get("reason")
        # "warning" is anybody's word; Slack says which of its hosts it was.
        if (
            not isinstance(reason, str)
            or reason not in _SLACKS
            or (reason == "warning" and not _has_host(value))
        ):
            continue
        title, fault_of, severity, advice = _SLACKS[reason]
        yield Found(
            evidence=(shown(message), js_sees(facts)),
            frame=message.id,
            js=js_sees(facts),
            title=title,
            fault_of=fault_of,
            severity=severity,
            fixes=(Fix("general", advice),),
        )
        return


def _has_host(value: dict[str, Any]) -> bool:
    debug = value.get("debug_info")
    return isinstance(debug, dict) and "host" in debug


@rules(
    "WS-APP-031",
    "warning",
    "server",
    "Action Cable: the server's pings stopped",
    meaning='Action Cable sends {"type":"ping"} every 3 s, and its client reopens the socket after 6 s'
    " without one. A hop that holds frames back, or a busy server, does this.",
    js="The client closes by itself, then opens a new socket.",
    topic="buffering",
    rows="5",
)
def cable_stale(facts: ConnectionFacts) -> Iterator[Found]:
    subprotocol = facts.negotiation.subprotocol
    silence = facts.silence_ns(S2C)
    if _is_cable(facts) and facts.ended_by == "client" and silence and silence > 6 * SECOND_NS:
        yield Found(
            evidence=(
                f"{subprotocol}: nothing from the server for {seconds(silence)} before the client closed",
            ),
            js=js_sees(facts),
            software=("rails",),
        )


@rules(
    "WS-APP-032",
    "error",
    "client",
    "Action Cable: the server rejected a subscription",
    meaning="The channel's subscribed method called reject. The socket stays open, and this channel gets no"
    " messages.",
    js="The subscription's rejected() callback; the socket stays open.",
    topic="app-auth",
    rows="5",
)
def cable_rejection(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if not isinstance(value, dict) or value.get("type") != "reject_subscription":
            continue
        # What was subscribed to comes back as the text of a JSON object.
        if _is_cable(facts) or str(value.get("identifier")).startswith("{"):
            yield Found(evidence=(shown(message),), frame=message.id, software=("rails",))
            return


def _phoenix_reply(message: MessageFact) -> dict[str, Any] | None:
    """The payload of a phx_reply, in both serialisations."""
    value = read_json(message)
    if isinstance(value, list) and len(value) == 5 and value[3] == "phx_reply":
        return value[4] if isinstance(value[4], dict) else None
    if isinstance(value, dict) and value.get("event") == "phx_reply":
        payload = value.get("payload")
        return payload if isinstance(payload, dict) else None
    return None


@rules(
    "WS-APP-040",
    "error",
    "client",
    "Phoenix: joining a channel failed",
    meaning="The reply to phx_join has status 'error'. The channel's join/3 refused, or no channel "
    "matches the topic.",
    js="The channel's receive('error') callback; the socket stays open.",
    topic="app-auth",
    rows="5",
)
def phoenix_join(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts):
        reply = _phoenix_reply(message) if message.direction == S2C else None
        if reply is not None and reply.get("status") == "error":
            yield Found(evidence=(shown(message),), frame=message.id, software=("phoenix",))
            return


@rules(
    "WS-APP-042",
    "warning",
    "server",
    "Phoenix: a channel crashed",
    meaning="The server sent phx_error: the channel's process ended abnormally, mostly by an exception. The"
    " client joins again by itself.",
    js="The channel's onError callback; the socket stays open.",
    topic="server-error",
    rows="5",
)
def phoenix_error(facts: ConnectionFacts) -> Iterator[Found]:
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if isinstance(value, dict) and "payload" in value:
            topic, event = value.get("topic"), value.get("event")
        else:
            topic, event = value[2:4] if isinstance(value, list) and len(value) == 5 else (None, None)
        if isinstance(topic, str) and event == "phx_error":
            yield Found(evidence=(shown(message),), frame=message.id, software=("phoenix",))
            return


@rules(
    "WS-APP-041",
    "error",
    "client",
    "Phoenix: the client's heartbeat did not come in time",
    meaning="Phoenix's client sends a heartbeat every 30 s, and the server closes after 60 s without a"
    " frame. A background tab sends it once a minute, which is too late.",
    js=JS_SEE_EVIDENCE,
    topic="keepalive",
    rows="5 T7",
    group="end",
)
def phoenix_heartbeat(facts: ConnectionFacts) -> Iterator[Found]:
    if (
        not facts.is_over
        or facts.ended_by != "server"
        or not any('"phx_join"' in message.text for message in facts.first)
    ):
        return
    silence = facts.silence_ns(C2S)
    if silence is not None and any(limit.software == "phoenix" for limit in matching(silence / 1e9, "idle")):
        yield Found(
            evidence=(f"nothing from the client for {seconds(silence)}", end_line(facts)),
            js=js_sees(facts),
            software=("phoenix",),
        )


#: What the gateway itself answers to a message, and why.
_GATEWAY_SAYS: Final = {
    "Forbidden": (
        Cause(
            "no route matches the message: the field that the route selection expression names is missing, or"
            " has another value than a route's key, and there is no $default route",
            "the expression in the API's settings ($request.body.action) and the routes' keys, next to the"
            " message",
        ),
        Cause("the route is not deployed yet", "deploy the API to this stage again: is it answered then?"),
    ),
    "Internal server error": (
        Cause(
            "the route's integration failed: its Lambda function raised an error, or the API may not call it",
            "the function's log for this requestId; without an entry the permission is missing",
        ),
        Cause(
            "the integration's answer is not what the gateway expects: a statusCode is missing",
            "the API's execution log for this requestId",
        ),
    ),
}


@rules(
    "WS-APP-090",
    "error",
    "server",
    "AWS API Gateway could not deliver a message",
    meaning="The gateway, and not the application, answered the message: no route took it, or the integration"
    " behind the route failed. The WebSocket itself stays open.",
    js="onmessage gets the gateway's answer; the socket stays open.",
    topic="api-gateway",
    rows="5",
)
def gateway_answers(facts: ConnectionFacts) -> Iterator[Found]:
    known = messages(facts)
    for place, message in enumerate(known):
        value = read_json(message) if message.direction == S2C else None
        if not isinstance(value, dict) or not {"connectionId", "requestId"} <= value.keys():
            continue
        said = value.get("message")
        # Other words with these keys are an application's own.
        if len(value) != 3 or not isinstance(said, str) or said not in _GATEWAY_SAYS:
            continue
        before = next((one for one in reversed(known[:place]) if one.direction == C2S), None)
        yield Found(
            evidence=(shown(message), _keys_line(before) if before is not None else ""),
            frame=message.id,
            title=f"AWS API Gateway answered a message itself: {said!r}",
            causes=_GATEWAY_SAYS[said],
            software=("aws",),
        )
        return


def _keys_line(message: MessageFact) -> str:
    """The client's message as what its route is selected by; its values may be credentials."""
    value = read_json(message)
    keys = ", ".join(str(key)[:40] for key in list(value)[:8]) if isinstance(value, dict) else ""
    what = f"a JSON object with {keys} (values not shown)" if keys else "not shown"
    return f"before it: message {message.id} {message.direction.arrow}, {what}"


#: A target that refuses does it at once; later the target itself may have ended it.
_TARGET_NS: Final = 5 * SECOND_NS


@rules(
    "WS-APP-091",
    "error",
    "server",
    "websockify: the TCP server behind it could not be reached",
    meaning="websockify accepts the WebSocket first and then connects to its target, a VNC server mostly."
    " That failed, so it ended the connection before it had passed on a byte.",
    js=JS_SEE_EVIDENCE,
    topic="websockify",
    rows="5 H24",
    group="end",
)
def websockify_target(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.was_open or not facts.is_over or facts.ended_by != "server":
        return
    answer = facts.response_in
    is_known = answer is not None and (answer.get("server") or b"").lower().startswith(b"websockify")
    says = (facts.server_close_reason or "").startswith("Failed to connect to downstream server")
    has_passed = any(one.direction == S2C for one in messages(facts))
    is_at_once = facts.frames[1] == 0 and facts.age_ns is not None and facts.age_ns <= _TARGET_NS
    if has_passed or not (says or (is_known and is_at_once and not facts.has_close)):
        return
    yield Found(
        evidence=(
            facts.response_line("Server") if is_known else "",
            f"the server closed with {facts.server_close_code}: {facts.server_close_reason}" if says else "",
            "no byte of the target's came",
            end_line(facts),
            js_sees(facts),
        ),
        confidence="high" if says else "medium",
        js=js_sees(facts),
    )


#: Behind websockify a session that lasted for longer ended as sessions do.
_SESSION_NS: Final = 10 * SECOND_NS


@rules(
    "WS-APP-059",
    "warning",
    "server",
    "websockify: the TCP server behind it closed its connection",
    meaning="websockify says 1000 'Target closed' when its target, a VNC server mostly, ends TCP. One that"
    " refuses the client, or crashes, looks like one that is done.",
    js=JS_SEE_EVIDENCE,
    topic="websockify-target",
    rows="5",
    group="end",
)
def websockify_target_closed(facts: ConnectionFacts) -> Iterator[Found]:
    is_said = (facts.server_close_reason or "").strip().lower() == "target closed"
    if not facts.was_open or facts.ended_by != "server" or not is_said:
        return
    has_passed = any(one.direction == S2C for one in messages(facts))
    is_session = has_passed and (facts.age_ns or 0) > _SESSION_NS
    yield Found(
        evidence=(
            f"the server closed with {facts.server_close_code}: {facts.server_close_reason}",
            f"{seconds(facts.age_ns or 0)} after the 101",
            "" if has_passed else "no byte of the target's came",
            end_line(facts),
            js_sees(facts),
        ),
        severity="note" if is_session else None,
        title=None if has_passed else "websockify: the TCP server behind it closed its connection unasked",
        causes=()
        if is_session
        else (
            Cause("the target turns this client away: its access list or a limit", "the target's own log"),
            Cause(
                "the target got bytes that it does not understand: another protocol than VNC, or TLS",
                "the first message of the client; the port that websockify was given",
            ),
            Cause("the target crashed, or was stopped", "does the next connection work?"),
        ),
        js=js_sees(facts),
    )


@rules(
    "WS-APP-092",
    "error",
    "server",
    "AWS API Gateway itself refuses the connection",
    meaning="The gateway wrote this answer and did not run the $connect route: its authorizer or a policy"
    " refuses the client, or there is no such stage. It says 'Forbidden' to all of these.",
    js=JS_STATUS,
    topic="api-gateway-403",
    rows="H18 H16",
    group="attempt",
)
def gateway_refuses(facts: ConnectionFacts) -> Iterator[Found]:
    answer = facts.response_in
    kind = (answer.get("x-amzn-errortype") or b"").decode("latin-1") if answer is not None else ""
    if not is_refused(facts) or facts.status not in (401, 403) or not kind.endswith("Exception"):
        return
    if answer is None or not (answer.get("x-amz-apigw-id") or answer.get("apigw-requestid")):
        return
    yield Found(
        evidence=(
            status_line(facts),
            *body_line(facts),
            f"X-Amzn-ErrorType: {kind[:80]}",
            f"path {facts.path.partition('?')[0][:120]}",
        ),
        title=f"{facts.status}: AWS API Gateway itself refuses the connection ({kind[:60]})",
        causes=(
            Cause(
                "the $connect route's authorizer denies it, or its identity source (a header or query"
                " parameter) did not come",
                "the stage's access log with $context.authorizer.error; the authorizer's own log",
            ),
            Cause(
                "the URL has no stage or a wrong one: it has to end with its name, /prod",
                "the WebSocket URL that the console shows for the stage",
            ),
            Cause(
                "a resource policy, or an API key that is required, refuses it",
                "the API's resource policy; whether $connect requires a key",
            ),
        ),
        software=("aws",),
    )
