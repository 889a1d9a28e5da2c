"""The operations of the control API, without HTTP: a method, a path and JSON in, a status and JSON out.

Contract: whatever is sent, the answer is one of the statuses of its operation, and an error is
`{"error": {"message", "field"}}` that says what was expected.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.control import reading
from wsinspect.control.client import TIMELINE_AGENT
from wsinspect.control.engine import ConnectionGoneError, ControlledEngine
from wsinspect.control.metrics import metrics_text
from wsinspect.control.openapi import OPERATIONS, Operation, document
from wsinspect.faults.errors import FaultError
from wsinspect.faults.held import Decision, Held
from wsinspect.faults.idle import never_acts
from wsinspect.faults.kinds import connections, frames
from wsinspect.faults.rule import Rule
from wsinspect.faults.scenario import load_object, load_text

#: Our clients send no larger request.
MAX_BODY: Final = 2 * 1024 * 1024
#: Nesting of a request's values.
MAX_DEPTH: Final = 64
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)
_MAX_ID: Final = (1 << 32) - 1
#: Operations that change rules: the capture records who did it.
_ON_RECORD: Final = frozenset(("add_fault", "change_fault", "remove_fault", "reset", "put_scenario"))


@dataclass(frozen=True)
class Reply:
    """What goes back; `body` is JSON, or text where `media_type` says so."""

    status: int
    body: Any
    media_type: str = "application/json"


class RequestError(Exception):
    """The request cannot be done."""

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field

    def reply(self) -> Reply:
        """As it goes back."""
        return Reply(self.status, {"error": {"message": str(self), "field": self.field}})


Query = Mapping[str, str]
Body = Any


class Api:
    """The operations on one engine."""

    def __init__(self, engine: ControlledEngine) -> None:
        self._engine = engine
        self._routes = [(operation, re.compile(operation.pattern)) for operation in OPERATIONS]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation that a request means.

        Raises:
            RequestError: 404 or 405.
        """
        allowed: list[str] = []
        for operation, pattern in self._routes:
            match = pattern.fullmatch(path)
            if match and operation.method == method:
                return operation, match.groupdict()
            if match:
                allowed.append(operation.method)
        if allowed:
            raise RequestError(405, f"expected {' or '.join(allowed)} here")
        raise RequestError(404, "unknown path; GET /openapi.json lists all paths")

    async def call(
        self, method: str, path: str, query: Query, body: bytes, media_type: str, agent: str = ""
    ) -> Reply:
        """Do what a request asks for.

        Args:
            agent: the `User-Agent`; the timeline's is `TIMELINE_AGENT`.
        """
        try:
            operation, names = self.find(method, path)
            content = _content(operation, body, media_type)
            _check_query(operation, query)
            act: Callable[..., Any] = getattr(self, operation.id)
            if operation.id in _ON_RECORD:
                names["by"] = "timeline" if agent == TIMELINE_AGENT else "API"
            result = act(content, query, **names)
            if hasattr(result, "__await__"):
                result = await result
            if operation.id in _ON_RECORD:
                await self._engine.rules_in_effect()
        except RequestError as error:
            return error.reply()
        except FaultError as error:
            return RequestError(400, _in_one(error), error.field).reply()
        except ConnectionGoneError as error:
            return RequestError(409, str(error)).reply()
        return result if isinstance(result, Reply) else Reply(operation.status, result)

    # Looking

    def status(self, _body: Body, _query: Query) -> Any:
        board = self._engine.board
        armed = [entry.rule.name for entry in board.entries if entry.is_armed]
        scenario = None
        if board.scenario is not None:
            phases = len(board.scenario.phases)
            scenario = {"name": board.scenario.name, "phases": phases, "phase": board.phase}
        facts = {"seed": board.seed, "faults_armed": armed, "scenario": scenario}
        facts["breakpoints_hold"] = len(self._engine.held())
        return {"schema": 1, **self._engine.status(), **facts}

    async def connections(self, _body: Body, query: Query) -> Any:
        after, limit = _page(query)
        found = await reading.connections(self._engine.capture, after, limit)
        for one in found:
            one["is_open"] = self._engine.is_open(one["id"])
        return {"schema": 1, "connections": found}

    async def frames(self, _body: Body, query: Query, id: str) -> Any:
        after, limit = _page(query)
        number = _connection_id(id)
        found = await reading.frames(self._engine.capture, number, after, limit)
        if found is None:
            raise RequestError(404, f"there is no connection {number}")
        return {"schema": 1, "frames": found}

    async def metrics(self, _body: Body, _query: Query) -> Reply:
        totals = await reading.totals(self._engine.capture)
        text = metrics_text(totals, self._engine.status(), self._engine.board, self._engine.unwritten_bytes())
        return Reply(200, text, "text/plain; version=0.0.4; charset=utf-8")

    def openapi(self, _body: Body, _query: Query) -> Any:
        return document()

    # Faults

    def faults(self, _body: Body, _query: Query) -> Any:
        board = self._engine.board
        return {"schema": 1, "seed": board.seed, "faults": [entry.facts() for entry in board.entries]}

    def add_fault(self, body: Body, _query: Query, by: str) -> Any:
        board = self._engine.board
        rule = Rule.parse(body)
        if "name" in body and board.get(rule.name) is not None:
            raise RequestError(409, f"rule {rule.name!r} exists already: expected another name", "name")
        entry = board.add(board.unique(rule), by)
        reason = never_acts(rule) or self._no_such_tap(rule)
        return {**entry.facts(), **({"warning": f"it can never act: {reason}"} if reason else {})}

    def _no_such_tap(self, rule: Rule) -> str:
        taps = [str(listener["tap"]) for listener in self._engine.status()["listeners"]]
        if rule.tap is None or rule.tap in taps:
            return ""
        return f"there is no tap {rule.tap!r} ({', '.join(taps)})"

    def change_fault(self, body: Body, _query: Query, name: str, by: str) -> Any:
        board = self._engine.board
        entry = board.get(name)
        if entry is None:
            raise RequestError(404, f"there is no rule {name!r}")
        if set(body) == {"armed"} and isinstance(body["armed"], bool):
            (board.arm if body["armed"] else board.disarm)(name, by)
            return entry.facts()
        settings = {**entry.rule.settings(), "armed": entry.is_armed}
        if "kind" in body and body["kind"] != settings["kind"]:
            settings = {"name": name, "armed": entry.is_armed}
        merged = {key: value for key, value in {**settings, **body}.items() if value is not None}
        rule = Rule.parse(merged, name=name)
        if rule.name != name and board.get(rule.name) is not None:
            raise RequestError(409, f"rule {rule.name!r} exists already: expected another name", "name")
        return board.change(name, rule, by).facts()

    def remove_fault(self, _body: Body, _query: Query, name: str, by: str) -> Any:
        if self._engine.board.get(name) is None:
            raise RequestError(404, f"there is no rule {name!r}")
        self._engine.board.remove(name, by)
        return {"removed": name}

    def reset(self, _body: Body, _query: Query, by: str) -> Any:
        names = self._engine.board.order
        self._engine.board.reset(by)
        return {"removed": names}

    async def put_scenario(self, body: Body, _query: Query, by: str) -> Any:
        # A long file takes seconds to read; the event loop belongs to traffic.
        if isinstance(body, str):
            scenario = await asyncio.to_thread(load_text, body, "scenario")
        else:
            scenario = await asyncio.to_thread(load_object, body)
        self._engine.load(scenario, by)
        warnings = [str(remark) for remark in scenario.warnings]
        reasons = ((rule.name, self._no_such_tap(rule)) for rule in scenario.rules)
        warnings += [f"{name} can never act: {reason}" for name, reason in reasons if reason]
        return {
            "rules": [rule.name for rule in scenario.rules],
            "phases": len(scenario.phases),
            "warnings": warnings,
        }

    # One connection, by hand

    def close(self, body: Body, _query: Query, id: str) -> Any:
        _known(body, "code", "reason", "to")
        fault = connections.Close.parse(body)
        assert isinstance(fault, connections.Close)
        self._engine.close(_connection_id(id), to=fault.to, code=fault.code, reason=fault.reason)
        return {"connection": int(id), "done": "close"}

    def abort(self, body: Body, _query: Query, id: str) -> Any:
        _known(body, "how", "to")
        fault = connections.Abort.parse(body)
        assert isinstance(fault, connections.Abort)
        self._engine.abort(_connection_id(id), to=fault.to, how=fault.how)
        return {"connection": int(id), "done": "abort"}

    def inject(self, body: Body, _query: Query, id: str) -> Any:
        _known(body, "direction", "opcode", "payload", "raw")
        direction = body.get("direction")
        if direction not in ("c2s", "s2c"):
            raise RequestError(400, f"expected c2s or s2c, found {direction!r}", "direction")
        fault = frames.Inject.parse(body)
        assert isinstance(fault, frames.Inject)
        self._engine.inject(
            _connection_id(id), direction=direction, opcode=fault.opcode, payload=fault.payload, raw=fault.raw
        )
        return {"connection": int(id), "done": "inject"}

    # What breakpoints hold

    async def held(self, _body: Body, _query: Query) -> Any:
        return {"schema": 1, "held": await self._held(self._engine.held(), whole=False)}

    async def held_one(self, _body: Body, _query: Query, name: str) -> Any:
        found = [one for one in self._engine.held() if one.name == name]
        if not found:
            raise RequestError(404, f"nothing held is called {name!r}")
        (whole,) = await self._held(found, whole=True)
        return {"schema": 1, **whole}

    async def _held(self, found: list[Held], *, whole: bool) -> list[Any]:
        """What is held, and what both sides of its connection wait for meanwhile."""
        known = await reading.patience(
            self._engine.capture, {one.connection: one.what == "message" for one in found}
        )
        now = self._engine.now_ns()
        answer = []
        for one in found:
            heard = {"client": one.client_heard_ns, "server": one.server_heard_ns}
            waits = [
                each.as_json(now, heard[each.side])
                for each in known.get(one.connection, ())
                if each.side not in one.gone
            ]
            waits.sort(key=lambda wait: (wait["left_ms"] is None, wait["left_ms"], wait["side"]))
            answer.append({**one.as_json(now, whole=whole), "waits": waits})
        return answer

    def decide(self, body: Body, _query: Query, name: str) -> Any:
        decision = Decision.parse(body)
        if not self._engine.decide(name, decision):
            raise RequestError(
                404, f"nothing held is called {name!r}: it may have passed, or its client left"
            )
        return {"name": name, "did": decision.action}

    def pass_all(self, _body: Body, _query: Query) -> Any:
        return {"passed": self._engine.pass_all()}

    def shutdown(self, _body: Body, _query: Query) -> Any:
        self._engine.shut_down()
        return {"stopping": True}


def _content(operation: Operation, body: bytes, media_type: str) -> Body:
    """The body, read as the operation wants it."""
    if not operation.has_body:
        return {}
    if len(body) > MAX_BODY:
        raise RequestError(413, f"expected at most {MAX_BODY} bytes")
    kind = media_type.partition(";")[0].strip().lower()
    if not body and not operation.needs_body:
        return {}
    if operation.id == "put_scenario" and kind in ("application/yaml", "text/yaml", "text/plain"):
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise RequestError(400, "expected UTF-8") from None
    if kind != "application/json":
        raise RequestError(415, f"expected Content-Type application/json, found {kind or 'none'}")
    _check_depth(body)
    try:
        content = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise RequestError(400, f"expected a JSON object, found {type(content).__name__}")
    return content


def _check_depth(body: bytes) -> None:
    """Refuse deep nesting before anything is built of it; no request needs more than a scenario has."""
    depth = 0
    for match in _BRACKETS.finditer(body):
        if match[0] in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise RequestError(400, f"expected values nested at most {MAX_DEPTH} deep")
        elif match[0] in (b"}", b"]"):
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 section 4 leaves open which of two equal names counts: so neither does."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"{twice[:64]!r} is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_query(operation: Operation, query: Query) -> None:
    for name in query:
        if name not in operation.query:
            known = ", ".join(operation.query) or "none"
            raise RequestError(400, f"expected no parameter {name!r}; known here: {known}", name)


def _known(body: Mapping[str, Any], *names: str) -> None:
    for key in body:
        if key not in names:
            raise RequestError(400, f"unknown: expected one of {', '.join(names)}", key)


def number(query: Query, name: str, default: int, most: int, least: int = 0) -> int:
    """A whole number of the query.

    Raises:
        RequestError: it is not one.
    """
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
        raise RequestError(400, f"expected a whole number from {least} to {most}, found {text!r}", name)
    return int(text)


def _page(query: Query) -> tuple[int, int]:
    return number(query, "after", 0, (1 << 53) - 1), number(query, "limit", 100, 1000, 1)


def _connection_id(text: str) -> int:
    value = int(text)
    if value > _MAX_ID:
        raise RequestError(404, f"there is no connection {text}")
    return value


def _in_one(error: FaultError) -> str:
    return f"{error.field}: {error.problem}" if error.field else error.problem
