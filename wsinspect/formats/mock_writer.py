"""A script for `wsinspect mock` from one recorded connection: what its server said, and when.

Contract: each line of the YAML is one step, its payload as JSON in YAML's flow style, so that a person can
edit it. A message of the client becomes a step that waits for one like it: the same `type`, where it has one.
"""

from __future__ import annotations

import json
import re
from typing import IO, Any, Final, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import UsageError
from wsinspect.formats.choice import Choice, hops_own
from wsinspect.formats.progress import Progress
from wsinspect.formats.transcript import Said, messages
from wsinspect.handshake.heads import RawHead
from wsinspect.units import DURATION
from wsinspect.wire.close_codes import is_legal_on_wire
from wsinspect.wire.opcodes import Opcode

#: A script is for people: what is beyond this is left out.
_MOST_BYTES: Final = 200 * 1024
_MOST_STEPS: Final = 5_000
#: Shorter pauses are not worth a step.
_PAUSE_NS: Final = 5_000_000
_MILLISECOND: Final = 10**6
#: Members that usually say what a message is.
_NAMES: Final = ("type", "event", "op", "action", "method", "command", "cmd", "kind")
_SIMPLE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}")
#: What YAML does not admit in a quoted text (YAML 1.2 section 5.1), and its line breaks.
_UNSAFE: Final = re.compile(
    r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


class MockWritten(NamedTuple):
    """What was written.

    Attributes:
        connection: the one that the script plays.
        others: how many more there were to choose from.
        steps: in the script.
        left_out: messages that are not in it.
        of_hops: connections not to choose from because a hop opened them for a client whose own is.
    """

    connection: int
    others: int
    steps: int
    left_out: int
    of_hops: int


def write_mock(capture: Capture, out: IO[bytes], *, choice: Choice, progress: Progress) -> MockWritten:
    """Write the script of the first chosen connection.

    Raises:
        UsageError: there is none.
        OSError: `out` cannot be written.
    """
    of_hops = hops_own(capture, choice.connections)
    chosen = [
        one
        for one in capture.connections()
        if (choice.connections is None or one.id in choice.connections) and one.id not in of_hops
    ]
    played = [one for one in chosen if one.open_ns is not None] or [one for one in chosen if one.status]
    if not played:
        raise UsageError(f"{capture.path} has no connection that a server answered")
    one = played[0]
    lines = [*_handshake(capture, one)]
    if one.open_ns is None:
        out.write("\n".join([*lines, ""]).encode())
        return MockWritten(one.id, len(played) - 1, 0, 0, len(of_hops))
    steps, left_out = _steps(capture, one, choice, progress)
    steps += _end(one)
    if not steps:
        steps.append("  - expect: message")
    out.write("\n".join([*lines, "script:", *steps, ""]).encode())
    return MockWritten(one.id, len(played) - 1, len(steps), left_out, len(of_hops))


def _handshake(capture: Capture, one: Connection) -> list[str]:
    path = (one.path or "/").partition("?")[0].partition("#")[0]
    lines = ["# wsinspect mock SCRIPT plays this; docs/mock.md says how to change it.", "version: 1"]
    lines.append(f"path: {_flow(path if path.startswith('/') else '/')}")
    if one.subprotocol:
        lines.append(f"subprotocols: [{_flow(one.subprotocol)}]")
    if "permessage-deflate" in (one.extensions or ""):
        lines.append("compress: true")
    if one.open_ns is None:
        shake = capture.handshake(one.id)
        head = RawHead.parse((shake.response_in or b"") if shake is not None else b"")
        facts: dict[str, Any] = {"status": one.status}
        for name in ("Retry-After", "WWW-Authenticate", "Location"):
            if (value := head.get(name.lower())) is not None:
                facts.setdefault("headers", {})[name] = value.decode("latin-1")
        body = ((shake.body or b"") if shake is not None else b"")[:2000].decode("utf-8", "replace")
        if body:
            facts["body"] = body
        lines.append(f"refuse: {_flow(facts)}")
    return lines


def _steps(capture: Capture, one: Connection, choice: Choice, progress: Progress) -> tuple[list[str], int]:
    steps: list[str] = []
    left_out = size = count = 0
    before_ns: int | None = None
    for said in messages(capture, one.id):
        progress(count := count + 1)
        if said.is_cut or said.problem or not choice.has("message", said.id):
            left_out += 1
            continue
        lines = _step(said, before_ns)
        size += sum(len(line.encode()) + 1 for line in lines)
        if size > _MOST_BYTES or len(steps) > _MOST_STEPS:
            left_out += 1
            continue
        steps += lines
        before_ns = said.time_ns
    return steps, left_out


def _step(said: Said, before_ns: int | None) -> list[str]:
    if not said.direction:
        return [f"  - expect: {_flow(_filter(said))}"]
    lines = []
    if before_ns is not None and said.time_ns - before_ns >= _PAUSE_NS:
        pause = DURATION.exact((said.time_ns - before_ns) // _MILLISECOND * _MILLISECOND)
        lines.append(f"  - wait: {pause}")
    if said.opcode != Opcode.TEXT:
        return [*lines, f"  - binary: {_flow(said.data.hex(' '))}"]
    return [*lines, f"  - send: {_flow(_document(said.data))}"]


def _filter(said: Said) -> str:
    """What such a message of the client passes."""
    if said.opcode != Opcode.TEXT:
        return "op:binary"
    try:
        document = json.loads(said.data)
    except (ValueError, RecursionError):
        return "op:text"
    if isinstance(document, dict):
        for name in _NAMES:
            value = document.get(name)
            if isinstance(value, str) and _SIMPLE.fullmatch(value) and value not in ("true", "false", "null"):
                return f"json:$.{name}={value}"
    return "op:text"


def _document(data: bytes) -> Any:
    """Text as it is; JSON as a value where writing it again gives the same bytes."""
    text = data.decode("utf-8", "replace")
    if text[:1] in ("{", "["):
        try:
            document = json.loads(text)
            if json.dumps(document, separators=(",", ":"), ensure_ascii=False) == text:
                return _escaped(document)
        except (ValueError, RecursionError):
            return _escaped(text)
    return _escaped(text)


def _escaped(document: Any) -> Any:
    """The same document; what looks like a placeholder stands for itself."""
    if isinstance(document, str):
        return document.replace("{{", "\\{{")
    if isinstance(document, dict):
        return {_escaped(key): _escaped(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_escaped(value) for value in document]
    return document


def _flow(value: Any) -> str:
    """JSON, which YAML's flow style reads, with what YAML does not admit as escapes."""
    return _UNSAFE.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _end(one: Connection) -> list[str]:
    """How the server ended it; nothing where the client did."""
    if one.ended_by != "server":
        return []
    if one.how in ("rst", "fin"):
        return [f"  - abort: {one.how}"]
    code, reason = one.server_close_code, one.server_close_reason
    if code is None:
        return ["  - close: none"] if reason is not None else []
    if not is_legal_on_wire(code):
        return []
    return [f"  - close: {_flow({'code': code, 'reason': reason or ''})}"]
