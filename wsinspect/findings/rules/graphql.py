"""GraphQL over WebSocket: two subprotocols with nearly the same name, and their close codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import js_told
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.messages_read import JS_TOLD, messages, read_json
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

_GRAPHQL: Final = ("graphql-transport-ws", "graphql-ws")
_GRAPHQL_CODES: Final = {
    4400: "a message does not follow the protocol",
    4401: "a subscription came before the connection was acknowledged",
    4403: "the server refused connection_init",
    4406: "the server does not speak the subprotocol",
    4408: "connection_init did not come in time",
    4409: "a subscription's id is already in use",
    4429: "connection_init came twice",
    4500: "the server failed",
    4504: "connection_ack did not come in time",
}


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
    js=JS_TOLD,
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
    is_told = facts.server_close_code in (4406, 1002)
    if is_told or (foreign and facts.server_close_code not in (None, 1000, 1001)):
        used = [
            f"message type {name!r} belongs to the other subprotocol" for name in sorted(map(str, foreign))
        ]
        yield Found(
            evidence=(
                f"offered {', '.join(facts.negotiation.subprotocols_offered)}; chosen {chosen}",
                *used,
                f"server closed with {facts.server_close_code} {facts.server_close_reason or ''}",
                js_told(facts),
            ),
            js=js_told(facts),
        )


@rules(
    "WS-APP-011",
    "error",
    "client",
    "GraphQL: the server closed with a code of the GraphQL protocol",
    meaning="The GraphQL over WebSocket protocol defines this code; the evidence says what it means. 4408 is"
    " a missing connection_init; 4401 and 4403 are missing or refused credentials.",
    js=JS_TOLD,
    topic="graphql",
    rows="5",
    group="end",
)
def graphql_code(facts: ConnectionFacts) -> Iterator[Found]:
    code = facts.server_close_code
    if is_graphql(facts) and code in _GRAPHQL_CODES:
        yield Found(
            evidence=(
                f"server closed with {code}: {_GRAPHQL_CODES[code]}",
                f"reason: {facts.server_close_reason or 'none'}",
                js_told(facts),
            ),
            js=js_told(facts),
            topic="app-auth" if code in (4401, 4403) else None,
        )
