"""The keys of the filter language: one object each, and everything that is said of a key is in it.

Parser, completion, `?`, docs/filters.md and the tests of each key come from `FIELDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from wsinspect import units
from wsinspect.filters.facts import ConnectionFacts, FrameFacts
from wsinspect.filters.jsonvalue import JsonKind, load, path_steps, places
from wsinspect.filters.kinds import (
    ANY,
    HAS,
    BytesKind,
    ChoiceKind,
    FlagKind,
    Kind,
    NumberKind,
    QuantityKind,
    Tester,
    TextKind,
)
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.opcodes import Opcode


class Scope(Enum):
    """What a key asks about."""

    CONNECTION = "connection"
    FRAME = "frame"
    EITHER = "either"


@dataclass(frozen=True, eq=False)
class Field:
    """One key.

    Attributes:
        name: as it is written.
        kind: of its values.
        help: one line.
        examples: whole filters.
        scope: whether it is about frames, connections, or fits both.
        fact: looks it up in `FrameFacts`; for a key of connections in `ConnectionFacts`.
        argument: what comes between key and operator: "" for nothing, "path" (json) or "name" (header).
        is_late: the fact may come, or change, after the frame.
        cost: the dearer, the later it is tested.
    """

    name: str
    kind: Kind
    help: str
    examples: tuple[str, ...]
    scope: Scope
    fact: Callable[[Any], Any]
    argument: str = ""
    is_late: bool = False
    cost: int = 1

    @property
    def type(self) -> str:
        """The name of its kind."""
        return self.kind.name

    @property
    def operators(self) -> Sequence[str]:
        """What may stand between key and value."""
        return self.kind.operators

    @property
    def values(self) -> Sequence[tuple[str, str]]:
        """Values that have a name, and what they mean."""
        return self.kind.words()

    def write(self, operator: str, value: Any, argument: str) -> str:
        """A test of this key (the attributes of `ast.Test`) as a filter has it."""
        if self.argument:
            rest = "" if operator == ANY else operator + self.kind.write(value)
            return f"{self.name}:{argument}{rest}"
        if operator == ANY:
            return f"{self.name}:*"
        return f"{self.name}{operator}{self.kind.write(value)}"

    def predicate(self, operator: str, value: Any, argument: str) -> Tester:
        """What a test of this key asks of the facts that the key is about."""
        compare = self._compare(operator, value, argument)
        fact = self.fact
        if self.argument == "name":
            return lambda facts: compare(facts.header_values(argument))
        return lambda facts: compare(fact(facts))

    def _compare(self, operator: str, value: Any, argument: str) -> Tester:
        if isinstance(self.kind, JsonKind):
            if operator == ANY:
                steps = path_steps(argument)
                return lambda body: any(True for one in load(body) for _ in places(one, steps))
            return self.kind.document_tester(argument, self.kind.tester(operator, value))
        if operator == ANY:
            return _is_there
        return self.kind.tester(operator, value)


def _is_there(fact: Any) -> bool:
    return fact is not None and (not isinstance(fact, bytes | str | tuple | list) or len(fact) > 0)


def _texts(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _code(frame: FrameFacts) -> int | None:
    return parse_close(frame.payload)[0] if frame.opcode == Opcode.CLOSE else None


def _reason(frame: FrameFacts) -> tuple[str, ...]:
    return _texts(parse_close(frame.payload)[1] or None) if frame.opcode == Opcode.CLOSE else ()


def _host(connection: ConnectionFacts) -> tuple[str, ...]:
    host, port = connection.host, connection.port
    return () if host is None else (host,) if port is None else (host, f"{host}:{port}")


def _ends(connection: ConnectionFacts) -> tuple[int | str, ...]:
    if not connection.is_closed:
        return ()
    clean = {True: "clean", False: "unclean", None: None}[connection.js_was_clean]
    facts = (
        connection.client_close_code,
        connection.server_close_code,
        connection.js_code,
        connection.how,
        connection.ended_by,
        clean,
    )
    return tuple(fact for fact in facts if fact is not None)


def _ids(facts: FrameFacts | ConnectionFacts) -> tuple[str, ...]:
    return tuple(rule for rule, _ in facts.findings)


def _severities(facts: FrameFacts | ConnectionFacts) -> tuple[str, ...]:
    return tuple(severity for _, severity in facts.findings)


_OPCODES: Final = {
    "text": (1,),
    "bin": (2,),
    "cont": (0,),
    "close": (8,),
    "ping": (9,),
    "pong": (10,),
    "ctl": tuple(range(8, 16)),
    "data": tuple(range(8)),
}
_OPCODE_WORDS: Final = {
    "text": "TEXT",
    "bin": "BINARY",
    "cont": "CONTINUATION",
    "close": "CLOSE",
    "ping": "PING",
    "pong": "PONG",
    "ctl": "any control frame",
    "data": "any data frame",
}
_ENDS: Final = {
    "clean": "JavaScript sees wasClean true",
    "unclean": "JavaScript sees wasClean false",
    "close-frame": "a CLOSE frame came first",
    "fin": "a FIN came first",
    "rst": "a RST came first",
    "timeout": "TCP gave up",
    "refused": "the handshake failed",
    "client": "the client ended it",
    "server": "the server ended it",
    "both": "CLOSE frames crossed",
    "proxy": "this proxy ended it",
    "fault": "a fault ended it",
    "unknown": "not known",
}
_SIZE: Final = QuantityKind(units.SIZE, "B")
_MS: Final = QuantityKind(units.DURATION, "ms")
_SECONDS: Final = QuantityKind(units.DURATION, "s")
_FLAG: Final = FlagKind()
_NUMBER: Final = NumberKind()
_TEXT: Final = TextKind()


def _frame(
    name: str, kind: Kind, fact: Callable[[FrameFacts], Any], text: str, *examples: str, **more: Any
) -> Field:
    return Field(name, kind, text, examples, Scope.FRAME, fact, **more)


def _connection(
    name: str, kind: Kind, fact: Callable[[ConnectionFacts], Any], text: str, *examples: str, **more: Any
) -> Field:
    return Field(name, kind, text, examples, Scope.CONNECTION, fact, **more)


def _either(
    name: str, kind: Kind, fact: Callable[[Any], Any], text: str, *examples: str, **more: Any
) -> Field:
    return Field(name, kind, text, examples, Scope.EITHER, fact, **more)


_DIRECTIONS: Final = ChoiceKind(
    {"c2s": "from client to server", "s2c": "from server to client"},
    {"c2s": (0,), "s2c": (1,)},
    aliases={"upstream": "c2s", "downstream": "s2c"},
)

_ALL: Final = (
    _frame("dir", _DIRECTIONS, lambda f: f.direction, "direction", "dir:c2s", "dir:s2c"),
    _frame(
        "op",
        ChoiceKind(
            _OPCODE_WORDS,
            _OPCODES,
            aliases={"binary": "bin", "continuation": "cont", "control": "ctl"},
            numbers=16,
            hexadecimal=True,
        ),
        lambda f: f.opcode,
        "opcode, by name or number",
        "op:text",
        "op:ping,pong",
        "op:0x3",
    ),
    _frame("fin", _FLAG, lambda f: f.fin, "FIN bit", "fin:0"),
    _frame("rsv1", _FLAG, lambda f: f.rsv1, "RSV1 bit: compressed, with permessage-deflate", "rsv1:1"),
    _frame("rsv2", _FLAG, lambda f: f.rsv2, "RSV2 bit", "rsv2:1"),
    _frame("rsv3", _FLAG, lambda f: f.rsv3, "RSV3 bit", "rsv3:1"),
    _frame("masked", _FLAG, lambda f: f.masked, "MASK bit", "masked:0 dir:c2s"),
    _frame("len", _SIZE, lambda f: f.length, "payload's length on the wire", "len>64 KiB", "len:0"),
    _frame("wire", _SIZE, lambda f: f.wire_length, "length with the header", "wire>=64KiB"),
    _frame("msg", _NUMBER, lambda f: f.message_id, "number of its message", "msg:12"),
    _frame(
        "frag",
        _NUMBER,
        lambda f: f.fragment,
        "place in a message of several frames",
        "frag:*",
        "frag:1",
        cost=5,
    ),
    _frame("code", _NUMBER, _code, "close code in a CLOSE frame", "code:1006", "code>=4000", cost=3),
    _frame(
        "reason", _TEXT, _reason, "close reason in a CLOSE frame", "reason:deploy", "reason~/^go/i", cost=3
    ),
    _frame(
        "body",
        BytesKind(),
        lambda f: f.body,
        "payload, inflated; the last frame of a message matches on the whole message; a bare word means this",
        "body:subscribe",
        "subscribe",
        'body~/"id": ?\\d+/',
        "'{\"op\"'",
        cost=8,
    ),
    _frame(
        "json",
        JsonKind(),
        lambda f: f.body,
        "value at a path of a JSON payload",
        "json:$.op=sub",
        "json:$.items[0].id>5",
        "json:error",
        "json:$.name~/^A/",
        argument="path",
        cost=9,
    ),
    _frame(
        "rtt",
        _MS,
        lambda f: f.rtt_ns,
        "round trip of PING and PONG",
        "rtt>50ms",
        is_late=True,
        cost=4,
    ),
    _frame("gap", _SECONDS, lambda f: f.gap_ns, "silence before it in its direction", "gap>10s", cost=6),
    _frame(
        "delta",
        _MS,
        lambda f: f.delta_ns,
        "time since the previous frame",
        "delta>100ms",
        cost=6,
    ),
    _frame(
        "t",
        _SECONDS,
        lambda f: f.t_ns,
        "time since the attempt; since the capture's start where no connection is chosen",
        "t>12 t<20",
    ),
    _connection("conn", _NUMBER, lambda c: c.id, "number of the connection", "conn:3", "conn:1,3"),
    _connection("tap", _TEXT, lambda c: _texts(c.tap), "tap that saw it", "tap=edge"),
    _connection("host", TextKind(folds=True), _host, "host, or host:port", "host=example.org", "host:local"),
    _connection(
        "path", _TEXT, lambda c: _texts(c.path), "path with its query", "path:/chat", "path~/room=\\d+/"
    ),
    _connection("proto", _TEXT, lambda c: _texts(c.subprotocol), "subprotocol", "proto=chat.v2", "proto:*"),
    _connection(
        "header",
        TextKind(folds=True),
        lambda c: (),
        "request or response header of the handshake, on either side",
        "header:Origin",
        "header:Server:nginx",
        "header:Upgrade=websocket",
        argument="name",
        cost=4,
    ),
    _connection(
        "close",
        ChoiceKind(_ENDS, numbers=65536, is_many=True),
        _ends,
        "how it ended: a code of either side or of JavaScript, or a word",
        "close:1006",
        "close:rst",
        "close>=4000",
        "close:unclean",
        is_late=True,
    ),
    _either(
        "fault",
        _TEXT,
        lambda x: tuple(x.faults),
        "fault that acted on it: rule or kind",
        "fault:*",
        "fault:drop",
        is_late=True,
        cost=4,
    ),
    _either("finding", _TEXT, _ids, "finding about it", "finding:WS-FR", "finding:*", is_late=True, cost=4),
    _either(
        "sev",
        ChoiceKind(
            {"note": "worth knowing", "warning": "may hurt", "error": "it broke"},
            ranks=("note", "warning", "error"),
            is_many=True,
        ),
        _severities,
        "severity of a finding about it",
        "sev:error",
        "sev>=warning",
        is_late=True,
        cost=4,
    ),
)

#: All keys, in the order of the docs.
FIELDS: Final[Mapping[str, Field]] = {field.name: field for field in _ALL}
BODY: Final = FIELDS["body"]
BARE_OPERATOR: Final = HAS
