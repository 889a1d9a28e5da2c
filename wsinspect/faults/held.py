"""What a breakpoint holds until somebody decides, and what can be decided.

Sans-I/O: a decision is read from JSON as the control API has it; whoever holds the message does what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.decoders.as_json import content
from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds.frames import MAX_CONTROL
from wsinspect.faults.texts import HEADERS, PAYLOAD
from wsinspect.faults.values import Choice, Number, shown
from wsinspect.wire.opcodes import opcode_name

#: `pass` it as it came, `edit` what it says, `drop` it, or `answer` its sender instead.
ACTIONS: Final = ("pass", "edit", "drop", "answer")
_ACTION: Final = Choice(ACTIONS)
_OPCODE: Final = Choice(("text", "binary", "ping", "pong", "close"))
#: How much of a held message a list shows; all of it is there when it is asked for by itself.
SHOWN_BYTES: Final = 1024
_KEYS: Final = ("action", "payload", "opcode", "head", "status", "headers", "body")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do with something that is held.

    Attributes:
        payload: the new content of a message, or what is said to its sender.
        opcode: of an answer.
        head: the new header block of a handshake.
        status, headers, body: of the answer to a handshake.
    """

    action: str = "pass"
    payload: bytes | None = None
    opcode: str = "text"
    head: str | None = None
    status: int = 403
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Decision:
        """Read a decision.

        Raises:
            FaultError: naming the field.
        """
        for key in raw:
            if key not in _KEYS:
                raise FaultError(str(key), f"unknown: expected one of {', '.join(_KEYS)}")
        found: dict[str, Any] = {}
        for name, kind in (
            ("action", _ACTION),
            ("payload", PAYLOAD),
            ("opcode", _OPCODE),
            ("status", Number(200, 599)),
            ("headers", HEADERS),
        ):
            if raw.get(name) is not None:
                try:
                    found[name] = kind.parse(raw[name])
                except ValueError as error:
                    raise FaultError.of(name, error) from None
        for name in ("head", "body"):
            value = raw.get(name)
            if value is not None and not isinstance(value, str):
                raise FaultError(name, f"expected a text, found {shown(value)}")
            if value is not None:
                found[name] = value
        decision = cls(**found)
        if decision.action == "edit" and decision.payload is None and decision.head is None:
            raise FaultError("payload", "edit needs the new `payload`, or the new `head` of a handshake")
        is_control = decision.opcode in ("ping", "pong", "close")
        if is_control and len(decision.payload or b"") > MAX_CONTROL:
            raise FaultError("payload", f"expected at most {MAX_CONTROL} bytes in a control frame")
        return decision


def schema() -> dict[str, Any]:
    """JSON Schema of a decision."""
    return {
        "type": "object",
        "properties": {
            "action": _ACTION.schema(),
            "payload": PAYLOAD.schema(),
            "opcode": _OPCODE.schema(),
            "head": {"type": "string"},
            "status": Number(200, 599).schema(),
            "headers": HEADERS.schema(),
            "body": {"type": "string"},
        },
        "required": ["action"],
        "additionalProperties": False,
    }


@dataclass(frozen=True, kw_only=True)
class Held:
    """A message or a handshake that waits.

    Attributes:
        name: what a decision refers to.
        rule: that holds it.
        what: `message`, `request` or `response`.
        direction: `c2s` or `s2c`.
        since_ns: when it came.
        until_ns: when it passes by itself; None for never.
        opcode: of a message.
        data: what the message says, inflated; or the header block.
        client_heard_ns, server_heard_ns: when each side got its last bytes; None where it got none yet.
        behind: how many frames wait behind it in its direction.
        gone: the sides that have ended the connection meanwhile, of `client` and `server`.
    """

    name: str
    rule: str
    connection: int
    what: str
    direction: str
    since_ns: int
    until_ns: int | None
    opcode: int | None
    data: bytes
    client_heard_ns: int | None = None
    server_heard_ns: int | None = None
    behind: int = 0
    gone: tuple[str, ...] = ()

    def as_json(self, now_ns: int, *, whole: bool = False) -> dict[str, Any]:
        """For the control API; times are milliseconds."""
        data = self.data if whole else self.data[:SHOWN_BYTES]
        heard = {"client": self.client_heard_ns, "server": self.server_heard_ns}
        return {
            "name": self.name,
            "rule": self.rule,
            "connection": self.connection,
            "what": self.what,
            "direction": self.direction,
            "op": None if self.opcode is None else opcode_name(self.opcode),
            "length": len(self.data),
            "payload": content(data, is_cut=len(data) < len(self.data)),
            "cut": len(data) < len(self.data),
            "held_ms": (now_ns - self.since_ns) // 10**6,
            "left_ms": None if self.until_ns is None else max(0, self.until_ns - now_ns) // 10**6,
            "silent_ms": {side: None if at is None else (now_ns - at) // 10**6 for side, at in heard.items()},
            "behind": self.behind,
            "gone": list(self.gone),
        }
