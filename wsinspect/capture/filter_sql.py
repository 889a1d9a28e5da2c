"""A filter as SQL over `frame`: what the database can decide of it, so that Python looks at few frames.

`condition` gives an expression that is true for every frame that passes (a superset), and whether it is true
for no other. What it cannot say is left to the filter's own predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.filters.ast import And, Everything, Node, Not, Or, Test
from wsinspect.filters.fields import Scope
from wsinspect.filters.jsonvalue import path_steps
from wsinspect.filters.kinds import ANY, COMPARISONS, HAS, ChoiceKind
from wsinspect.filters.regex import Pattern
from wsinspect.filters.values import text_bytes

#: With more ids than this, rows are checked one by one instead of listed in the statement.
MAX_LISTED: Final = 500
_PREVIOUS: Final = (
    "(time_ns - (SELECT p.time_ns FROM frame AS p WHERE p.connection_id = frame.connection_id{same} "
    "AND p.id < frame.id ORDER BY p.id DESC LIMIT 1))"
)
GAP: Final = _PREVIOUS.format(same=" AND p.is_s2c = frame.is_s2c")
DELTA: Final = _PREVIOUS.format(same="")
RTT: Final = (
    "(SELECT rtt_ns FROM ping WHERE ping_frame = frame.id UNION ALL "
    "SELECT rtt_ns FROM ping WHERE pong_frame = frame.id LIMIT 1)"
)
_NUMBERS: Final = {
    "len": "(wire_length - length(header))",
    "wire": "wire_length",
    "msg": "message_id",
    "rtt": RTT,
    "gap": GAP,
    "delta": DELTA,
}
_BITS: Final = {"fin": 15, "rsv1": 14, "rsv2": 13, "rsv3": 12, "masked": 7}
_IS_CLOSE: Final = "((bits >> 8) & 15) = 8"
_IN_MESSAGE: Final = "(bits >> 15 = 0 OR ((bits >> 8) & 15) = 0)"


class Condition(NamedTuple):
    """An SQL expression with its parameters; `is_exact` says whether nothing else passes it."""

    sql: str
    parameters: tuple[Any, ...] = ()
    is_exact: bool = True


ALL: Final = Condition("1", (), False)


class Translator:
    """Conditions for one capture.

    Args:
        base: SQL of the time that `t` counts from.
        connections: the ids of connections that a test lets pass; None where there are too many.
    """

    def __init__(self, base: str, connections: Callable[[Test], Sequence[int] | None]) -> None:
        self._base = base
        self._connections = connections

    def condition(self, node: Node) -> Condition:
        """What SQL can say of a tree."""
        if isinstance(node, Everything):
            return Condition("1")
        if isinstance(node, Test):
            return self._test(node)
        if isinstance(node, Not):
            operand = self.condition(node.operand)
            if not operand.is_exact:
                return ALL
            return Condition(f"NOT coalesce({operand.sql}, 0)", operand.parameters)
        parts = [self.condition(one) for one in node.operands]
        return _joined(parts, " AND " if isinstance(node, And) else " OR ", is_or=isinstance(node, Or))

    def _test(self, test: Test) -> Condition:
        if test.field.scope is Scope.CONNECTION:
            return self._connection_test(test)
        name = test.field.name
        if name in _NUMBERS or name == "t":
            return _number(f"(time_ns - {self._base})" if name == "t" else _NUMBERS[name], test)
        if name in _BITS:
            bit = f"((bits >> {_BITS[name]}) & 1)"
            return Condition("1") if test.operator == ANY else Condition(f"{bit} = {int(test.value)}")
        if name in ("dir", "op"):
            return _choice("is_s2c" if name == "dir" else "((bits >> 8) & 15)", test)
        if name in ("code", "reason"):
            return Condition(_IS_CLOSE, is_exact=False)
        if name == "frag":
            return Condition(_IN_MESSAGE, is_exact=False)
        return self._content(name, test)

    def _content(self, name: str, test: Test) -> Condition:
        if name == "body" and test.operator != ANY and not isinstance(test.value, Pattern):
            return _holding(text_bytes(test.value))
        if name == "json":
            names = [step for step in path_steps(test.argument) if isinstance(step, str)]
            if names and names[-1].isascii() and names[-1].isalnum():
                return _holding(names[-1].encode(), or_escapes=True)
        table = {"fault": "fault_event", "finding": "finding", "sev": "finding"}.get(name)
        if table:
            listed = f"id IN (SELECT frame_id FROM {table} WHERE frame_id IS NOT NULL)"  # noqa: S608
            if name == "fault":
                listed = f"(fault_event_id IS NOT NULL OR {listed})"
            return Condition(listed, is_exact=False)
        return ALL

    def _connection_test(self, test: Test) -> Condition:
        ids = self._connections(test)
        if ids is None or len(ids) > MAX_LISTED:
            return ALL
        return Condition(f"connection_id IN ({','.join(map(str, ids))})")


def _joined(parts: Sequence[Condition], word: str, *, is_or: bool) -> Condition:
    if is_or and any(part.sql == "1" and not part.is_exact for part in parts):
        return ALL
    parameters = tuple(value for part in parts for value in part.parameters)
    sql = "(" + word.join(part.sql for part in parts) + ")"
    return Condition(sql, parameters, all(part.is_exact for part in parts))


def _number(expression: str, test: Test) -> Condition:
    if test.operator == ANY:
        return Condition(f"{expression} IS NOT NULL")
    if test.operator in COMPARISONS:
        return Condition(f"{expression} {test.operator} ?", (test.value,))
    return Condition(f"{expression} IN ({','.join('?' * len(test.value))})", tuple(test.value))


def _choice(expression: str, test: Test) -> Condition:
    kind = test.field.kind
    if test.operator != HAS or not isinstance(kind, ChoiceKind):
        return Condition("1") if test.operator == ANY else ALL
    members = sorted(int(member) for member in kind.members(test.value))
    return Condition(f"{expression} IN ({','.join(map(str, members))})")


def _holding(text: bytes, *, or_escapes: bool = False) -> Condition:
    """Frames whose payload may hold the text: their own, or that of a message that is kept apart."""
    inside = ["instr(payload, ?) > 0", "message_id IN (SELECT id FROM stored_message)"]
    parameters = [text]
    if or_escapes:
        inside.append("instr(payload, ?) > 0")
        parameters.append(b"\\u")
    return Condition(f"({' OR '.join(inside)})", tuple(parameters), is_exact=False)
