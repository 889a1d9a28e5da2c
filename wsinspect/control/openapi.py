"""The control API's operations and its OpenAPI document; the server routes by the same table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from wsinspect.faults import held, schema
from wsinspect.faults.kinds import connections, frames
from wsinspect.version import __version__

Json = dict[str, Any]
_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1}
_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": 1000}
_PAGE: Final = {"after": _NUMBER, "limit": _LIMIT}


@dataclass(frozen=True)
class Operation:
    """One method on one path.

    Attributes:
        id: the method of `api.Api`.
        path: with `{name}` for its parameters.
        body: the schema of the request's body; None without one.
        status: of success.
        errors: statuses that it may answer, in addition to those of every operation.
        is_open: whether it needs no token.
        answer: the schema of a success; any object without one.
    """

    id: str
    method: str
    path: str
    summary: str
    query: Mapping[str, Json] = field(default_factory=dict)
    body: Json | None = None
    needs_body: bool = True
    status: int = 200
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
    answer: Json | None = None

    @property
    def has_body(self) -> bool:
        return self.body is not None

    @property
    def pattern(self) -> str:
        """As a regular expression."""
        return self.path.replace("{id}", r"(?P<id>[0-9]{1,10})").replace(
            "{name}", r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.:-]{0,63})"
        )


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


OPERATIONS: Final = (
    Operation("status", "GET", "/v1/status", "What is running, and which faults are armed"),
    Operation("connections", "GET", "/v1/connections", "Connections, oldest first", query=_PAGE),
    Operation(
        "frames", "GET", "/v1/connections/{id}/frames", "Frames of a connection", query=_PAGE, errors=(404,)
    ),
    Operation(
        "events",
        "GET",
        "/v1/events",
        "Events as they happen, one JSON object per line",
        query={"follow": {"type": "boolean"}},
        media_type="application/x-ndjson",
    ),
    Operation("faults", "GET", "/v1/faults", "All rules, in the order in which they apply"),
    Operation("add_fault", "POST", "/v1/faults", "Add a rule", body=_ref("Rule"), status=201, errors=(409,)),
    Operation(
        "change_fault",
        "PATCH",
        "/v1/faults/{name}",
        "Change a rule, arm or disarm it",
        body=_ref("RuleChange"),
        errors=(404, 409),
    ),
    Operation("remove_fault", "DELETE", "/v1/faults/{name}", "Remove a rule", errors=(404,)),
    Operation("reset", "POST", "/v1/reset", "Remove all rules and stop the scenario"),
    Operation(
        "put_scenario",
        "PUT",
        "/v1/scenario",
        "Replace all rules with a scenario",
        body=_ref("Scenario"),
    ),
    Operation(
        "close",
        "POST",
        "/v1/connections/{id}/close",
        "Close a connection in a closing handshake",
        body=_ref("Close"),
        needs_body=False,
        errors=(404, 409),
    ),
    Operation(
        "abort",
        "POST",
        "/v1/connections/{id}/abort",
        "End a connection without a close frame",
        body=_ref("Abort"),
        needs_body=False,
        errors=(404, 409),
    ),
    Operation(
        "inject",
        "POST",
        "/v1/connections/{id}/inject",
        "Send a frame",
        body=_ref("Inject"),
        errors=(404, 409),
    ),
    Operation("held", "GET", "/v1/held", "What breakpoints hold, oldest first", answer=_ref("HeldList")),
    Operation(
        "held_one", "GET", "/v1/held/{name}", "Something held, whole", errors=(404,), answer=_ref("Held")
    ),
    Operation(
        "decide",
        "POST",
        "/v1/held/{name}",
        "Pass, edit, drop or answer something held",
        body=_ref("Decision"),
        errors=(404,),
    ),
    Operation("pass_all", "POST", "/v1/pass", "Pass everything that is held"),
    Operation("shutdown", "POST", "/v1/shutdown", "Stop the engine cleanly"),
    Operation("metrics", "GET", "/metrics", "Prometheus' text format", media_type="text/plain"),
    Operation("openapi", "GET", "/openapi.json", "This document"),
)


@cache
def document() -> Json:
    """The OpenAPI 3.1 document."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wsinspect control API",
            "version": __version__,
            "license": {"name": "MIT"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _error(),
                "Rule": schema.rule_schema(),
                "RuleChange": schema.change_schema(),
                "Scenario": schema.scenario_schema(with_header=False),
                "Close": schema.fault_schema(
                    connections.Close, only=("code", "reason", "to"), takes_null=True
                ),
                "Abort": schema.fault_schema(connections.Abort, takes_null=True),
                "Inject": _inject(),
                "Decision": held.schema(),
                "HeldList": {
                    "type": "object",
                    "properties": {"schema": {"const": 1}, "held": {"type": "array", "items": _ref("Held")}},
                    "required": ["schema", "held"],
                },
                "Held": _held(),
                "Wait": _wait(),
            },
        },
        "security": [{"token": []}],
    }


def _inject() -> Json:
    found = schema.fault_schema(frames.Inject, only=("opcode", "payload", "raw"), takes_null=True)
    found["properties"]["direction"] = {"enum": ["c2s", "s2c"]}
    found["required"] = ["direction"]
    return found


def _held() -> Json:
    """Something that a breakpoint holds, and what both sides wait for meanwhile."""
    maybe = {"type": ["integer", "null"]}
    properties: Json = {
        "name": {"type": "string", "description": "what a decision refers to"},
        "rule": {"type": "string", "description": "the breakpoint"},
        "connection": _NUMBER,
        "what": {"enum": ["message", "request", "response"]},
        "direction": {"enum": ["c2s", "s2c"]},
        "op": {"type": ["string", "null"]},
        "length": _NUMBER,
        "payload": {"type": "object", "description": "`text`, `json` or `base64`; in a list its beginning"},
        "cut": {"type": "boolean"},
        "held_ms": {"type": "integer"},
        "left_ms": {**maybe, "description": "until it passes by itself; null for never"},
        "silent_ms": {
            "type": "object",
            "description": "how long each side has heard nothing",
            "properties": {"client": maybe, "server": maybe},
            "required": ["client", "server"],
        },
        "behind": {**_NUMBER, "description": "frames that wait behind it"},
        "gone": {
            "type": "array",
            "items": {"enum": ["client", "server"]},
            "description": "sides that have ended the connection meanwhile",
        },
        "waits": {"type": "array", "items": _ref("Wait"), "description": "what ends first in front"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _wait() -> Json:
    """What a side of a connection is known to wait for."""
    maybe = {"type": ["integer", "null"]}
    properties: Json = {
        "side": {"enum": ["client", "server"], "description": "hops count for the server"},
        "for": {"type": "string", "description": "what it waits for"},
        "waited_ms": {**maybe, "description": "how long it has waited; null where nobody knows"},
        "limit_ms": {**maybe, "description": "when it gives up; null where nobody knows"},
        "left_ms": {**maybe, "description": "until then; 0 where it may have given up"},
        "who": {"type": "string", "description": "whose limit it is"},
        "default": {"type": "boolean", "description": "what the software does unless configured otherwise"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _error() -> Json:
    inner = {
        "type": "object",
        "properties": {"message": {"type": "string"}, "field": {"type": "string"}},
        "required": ["message", "field"],
    }
    return {"type": "object", "properties": {"error": inner}, "required": ["error"]}


def _operation(operation: Operation) -> Json:
    parameters: list[Json] = []
    if "{id}" in operation.path:
        ids = {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": ids})
    if "{name}" in operation.path:
        names = {"type": "string", "pattern": schema.NAME_PATTERN}
        parameters.append({"name": "name", "in": "path", "required": True, "schema": names})
    parameters += [{"name": name, "in": "query", "schema": kind} for name, kind in operation.query.items()]
    content: Json = {"schema": {"type": "string"}}
    if operation.media_type == "application/json":
        content = {"schema": operation.answer or {"type": "object"}}
    found: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            str(operation.status): {
                "description": operation.summary,
                "content": {operation.media_type: content},
            }
        },
    }
    statuses = {400, 401, 403, *operation.errors, *((413, 415) if operation.has_body else ())}
    for status in sorted(statuses):
        reply = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        found["responses"][str(status)] = {"description": _MEANINGS[status], "content": reply}
    if operation.body is not None:
        body = {"application/json": {"schema": operation.body}}
        found["requestBody"] = {"required": operation.needs_body, "content": body}
    return found


_MEANINGS: Final = {
    400: "The request is invalid",
    401: "The token is missing or wrong",
    403: "A foreign Host or Origin",
    404: "No such rule or connection",
    409: "The name is taken, or the connection is not open",
    413: "The body is too large",
    415: "The body is not JSON",
}
