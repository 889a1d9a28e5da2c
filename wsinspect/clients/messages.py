"""What a payload says apart from its values: its kind, its id, and the texts in it.

Read tolerantly: JSON as it is, and JSON after Engine.IO's digits or before SignalR's record separator. What
is not JSON is known by its whole content, STOMP by its command and destination.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.decoders import engineio_payload

_DIGITS: Final = re.compile(rb"^\d{1,3}(?:/[^,]{1,100},)?\d*(?=[\[{\"])")
_STOMP: Final = re.compile(rb"^([A-Z]{3,12})\n")
_DESTINATION: Final = re.compile(rb"^(?:destination|id):(.*)$", re.M)
#: Keys whose values say what a message is for.
_NAMING: Final = (
    "type",
    "event",
    "op",
    "action",
    "cmd",
    "command",
    "method",
    "target",
    "channel",
    "topic",
    "stream",
)
#: Keys whose values identify a message.
_IDS: Final = (
    *("id", "messageId", "message_id", "msgId", "msg_id", "uuid", "_id", "clientId", "client_id", "nonce"),
    *("requestId", "request_id", "seq", "invocationId"),
)
#: SignalR ends each message with it.
_RECORD: Final = "\x1e"
#: `splitlines` would split at the separator of records, too.
_LINE_ENDS: Final = re.compile("\r\n|\n|\r")
_LENGTH: Final = re.compile(r"\d{1,9}:")
_MOST_TEXTS: Final = 200
_LEAST_TEXT: Final = 8


def value_of(data: bytes) -> Any:
    """The JSON in a payload; None without one."""
    text = data.removesuffix(b"\x1e")
    if (digits := _DIGITS.match(text)) is not None:
        text = text[digits.end() :]
    if text[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def polled(body: str, *, is_signalr: bool) -> list[bytes]:
    """The messages in a body of long-polling or Server-Sent Events, each as a WebSocket would have it."""
    if is_signalr:
        lines = [line for line in _LINE_ENDS.split(body) if not line.startswith(":")]
        text = "".join(line.removeprefix("data:").lstrip(" ") for line in lines)
        return [f"{one}{_RECORD}".encode() for one in text.split(_RECORD) if one]
    version = 3 if _LENGTH.match(body) else 4
    try:
        return [one.data for one in engineio_payload.decode(body.encode("utf-8", "replace"), version)]
    except ValueError:
        return []


def kind_of(data: bytes) -> str:
    """What a message is, equal for two that differ in values only."""
    value = value_of(data)
    prefix = (digits[0].decode() if (digits := _DIGITS.match(data)) is not None else "")[:2]
    if isinstance(value, dict):
        return f"{prefix}{{{','.join(sorted(map(str, value)))}}} {' '.join(_names(value))}"
    if isinstance(value, list):
        return f"{prefix}[{len(value)}] {' '.join(_names(value))}"
    if (command := _STOMP.match(data)) is not None:
        where = _DESTINATION.search(data)
        return f"{command[1].decode()} {where[1].decode('utf-8', 'replace') if where else ''}"
    return data[:500].decode("utf-8", "replace")


def id_of(data: bytes) -> str | None:
    """The id in a message, as text: a message and the answer to it may have the same; None without one."""
    return _id_in(value_of(data))


def identity_of(data: bytes) -> str | None:
    """What tells the message from all others of its side: what it is for, and its id; None without an id."""
    value = value_of(data)
    found = _id_in(value)
    return None if found is None else " ".join([*_names(value), found])


def _id_in(value: Any) -> str | None:
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, dict)), None)
    if not isinstance(value, dict):
        return None
    for key in _IDS:
        found = value.get(key)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return f"{key}={found}"
    return None


def _names(value: Any) -> list[str]:
    """What says what a message is for."""
    if isinstance(value, dict):
        return [f"{key}={value[key]}" for key in _NAMING if isinstance(value.get(key), str | int)]
    # Phoenix has references first, Socket.IO and WAMP the name of an event.
    return [one for one in value if isinstance(one, str) and not one.isdigit()][:2]


def texts_of(data: bytes) -> Iterator[str]:
    """The longer texts in a JSON payload: one of them may be a token to resume with."""
    left = _MOST_TEXTS
    stack = [value_of(data)]
    while stack and left:
        one = stack.pop()
        left -= 1
        if isinstance(one, dict):
            stack += list(one.values())[:_MOST_TEXTS]
        elif isinstance(one, list):
            stack += one[:_MOST_TEXTS]
        elif isinstance(one, str) and len(one) >= _LEAST_TEXT:
            yield one


def is_greeting(data: bytes) -> bool:
    """Whether it is a protocol's own: Engine.IO's open packet and probe, SignalR's handshake answer."""
    return data[:1] == b"0" or data[:6] in (b"3probe", b"2probe") or data in (b"{}\x1e", b"6", b"2", b"3")


def is_heartbeat(data: bytes) -> bool:
    """Whether it is a heartbeat of Engine.IO, SignalR, Phoenix, graphql-ws, and alike."""
    if data in (b"2", b"3", b"ping", b"pong", b"\n", b"h"):
        return True
    value = value_of(data) if len(data) < 300 else None
    if isinstance(value, dict):
        kind = value.get("type", value.get("op", value.get("event")))
        is_named = isinstance(kind, str) and kind.lower() in ("ping", "pong", "heartbeat", "ka", "keepalive")
        return is_named or (kind == 6 and data.endswith(b"\x1e"))
    return isinstance(value, list) and "heartbeat" in value
