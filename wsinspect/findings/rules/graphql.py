"""GraphQL over WebSocket: two subprotocols with nearly the same name, and their close codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from wsinspect.findings.close_codes import known_code
from wsinspect.findings.closed import closed_with, late_causes
from wsinspect.findings.comparison import compared_late
from wsinspect.findings.evidence import js_sees
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, messages, read_json, shown_masked
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

_GRAPHQL: Final = ("graphql-transport-ws", "graphql-ws")
#: What GraphQL's libraries say where the query does not fit the schema, or its variables the query.
_MISFIT: Final = re.compile(
    r"GRAPHQL_(?:VALIDATION|PARSE)_FAILED|BAD_USER_INPUT|Cannot query field"
    r"|Unknown (?:argument|type|directive|fragment|operation)|Variable \\?[\"']?\$"
    r"|Syntax Error|cannot represent|selection of subfields"
    r"|Validation error (?:of type|\()|argument \\?[\"']\w+\\?[\"'] of type",
)
_AUTH: Final = re.compile(
    r"unauthori[sz]ed|unauthenticated|forbidden|not (?:logged|signed) in|permission|access denied"
    r"|not (?:authori[sz]ed|authenticated|allowed)|(?:invalid|expired|missing|no) (?:jwt|token)\b"
    r"|\b(?:jwt|token) (?:is )?(?:invalid|expired|missing)",
    re.I,
)


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
    meaning="The server answered an operation with errors and without any data: it does not fit the schema,"
    " or the code behind it failed or refused. The socket stays open, and this operation is over.",
    js="The operation's error callback; the socket stays open.",
    topic="graphql-operation",
    rows="5",
)
def operation_refused(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_graphql(facts):
        return
    for message in messages(facts):
        value = read_json(message) if message.direction == S2C else None
        if not isinstance(value, dict) or "id" not in value or not _is_refusal(value):
            continue
        is_misfit = _MISFIT.search(message.text) is not None
        is_auth = not is_misfit and _AUTH.search(message.text) is not None
        yield Found(
            evidence=(shown_masked(message),),
            frame=message.id,
            title=None
            if is_misfit
            else f"GraphQL: an operation {'was refused' if is_auth else 'failed'} at the server",
            fault_of=None if is_misfit or is_auth else "server",
            # The connection is well, and the client's query was right.
            severity=None if is_misfit or is_auth else "note",
            topic=None if is_misfit else "app-auth" if is_auth else "app",
            confidence="high" if is_misfit else "medium",
        )
        return


def _is_refusal(value: Mapping[str, Any]) -> bool:
    """Whether a message has an operation's errors, and no data with them."""
    payload = value.get("payload")
    if value.get("type") == "error":
        return True
    # With `data`, errors are about some of its fields.
    if value.get("type") not in ("next", "data") or not isinstance(payload, dict):
        return False
    return "data" not in payload and bool(payload.get("errors"))
