"""GraphQL over WebSocket: two subprotocols with nearly the same name, and their close codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.close_codes import known_code
from wsinspect.findings.comparison import compared_late
from wsinspect.findings.evidence import js_sees
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, messages, read_json, shown_masked
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.closing import closed_with, late_causes

rules = Rules()

_GRAPHQL: Final = ("graphql-transport-ws", "graphql-ws")


def is_graphql(facts: ConnectionFacts) -> bool:
    """Whether a GraphQL subprotocol was offered or chosen."""
    agreed = facts.negotiation
    return bool({agreed.subprotocol, *agreed.subprotocols_offered} & set(_GRAPHQL))


@rules(
    "WS-APP-010",
    "error",
    "client",
    "GraphQL: client and server speak different subprotocols",
    meaning="There are two: 'graphql-transport-ws' and the older 'graphql-ws', with different message types."
    " Client and server have to use the same one.",
    js=JS_SEE_EVIDENCE,
    topic="graphql",
    rows="5",
    group="end",
)
def graphql_mismatch(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_graphql(facts) or not facts.is_over:
        return
    types = {
        value.get("type"): message
        for message in messages(facts)
        if isinstance(value := read_json(message), dict)
    }
    chosen = facts.negotiation.subprotocol
    old, new = {"start", "stop", "connection_terminate"}, {"subscribe"}
    foreign = (old if chosen == "graphql-transport-ws" else new if chosen == "graphql-ws" else set()) & set(
        types
    )
    is_named = facts.server_close_code in (4406, 1002)
    if is_named or (foreign and facts.server_close_code not in (None, 1000, 1001)):
        used = [
            f"message type {name!r} belongs to the other subprotocol" for name in sorted(map(str, foreign))
        ]
        yield Found(
            evidence=(
                f"offered {', '.join(facts.negotiation.subprotocols_offered)}; chosen {chosen or 'none'}",
                "" if chosen else "the 101 names none of them: a browser ends the connection at that already",
                *used,
                f"server closed with {facts.server_close_code} {facts.server_close_reason or ''}",
                js_sees(facts),
            ),
            js=js_sees(facts),
            # A client of another subprotocol: not a server that forgot to choose one.
            covers=((facts.id, "WS-HS-026"),),
        )


@rules(
    "WS-APP-011",
    "error",
    "client",
    "GraphQL: the server closed with a code of the GraphQL protocol",
    meaning="The GraphQL over WebSocket protocol defines this code; the evidence says what it means. 4408 is"
    " a missing connection_init; 4401 and 4403 are missing or refused credentials.",
    js=JS_SEE_EVIDENCE,
    topic="graphql",
    rows="5",
    group="end",
)
def graphql_code(facts: ConnectionFacts) -> Iterator[Found]:
    closed = closed_with(facts, *range(4000, 5000)) if is_graphql(facts) else None
    if closed is None:
        return
    who, code, reason = closed
    known = known_code(code, subprotocols=["graphql-transport-ws"], place="", reason=reason)
    if known is None or known.is_general:
        return
    sender = "client" if who == C2S else "server"
    other = compared_late(facts) if who != C2S else None
    yield Found(
        evidence=(
            f"{sender} closed with {code} ({known.name}): {known.meaning}",
            f"reason: {reason or 'none'}",
            *(other.lines if other else ()),
            js_sees(facts),
        ),
        fault_of=known.who,
        title=f"GraphQL: the {sender} closed with {code}: {known.name}",
        title_more=other.suffix if other else "",
        causes=late_causes(facts, other),
        js=js_sees(facts),
        topic="app-auth" if code in (4401, 4403) else None,
    )


@rules(
    "WS-APP-018",
    "warning",
    "client",
    "GraphQL: the server refused an operation",
    meaning="The server answered a subscription with a message of type 'error': the operation does not fit"
    " the schema, or a resolver refused it. The socket stays open, and this operation is over.",
    js="The operation's error callback; the socket stays open.",
    topic="graphql-operation",
    rows="5",
)
def operation_refused(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_graphql(facts):
        return
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if isinstance(value, dict) and value.get("type") == "error" and "id" in value:
            yield Found(evidence=(shown_masked(message),), frame=message.id)
            return
