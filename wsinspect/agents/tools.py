"""What an agent can ask for: captures that are read here, questions that our commands answer, an engine.

Contract: each tool takes plain values and returns a small JSON object (`agents.answers`). It raises
`WsinspectError` with a line that says what to do instead. Captures are only read. A tool that asks over the
network, or reads a configuration, is a process of its own that ends with its answer, or with its time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, Literal

from wsinspect.agents.answers import (
    Json,
    bounded,
    connection_answer,
    diagnosis_answer,
    doctor_answer,
    explanation_answer,
    finding_answer,
    frame_answer,
    only,
    payload_text,
    requests_answer,
)
from wsinspect.capture import queries
from wsinspect.capture.filtering import FrameScan, matching_connections
from wsinspect.capture.reader import Capture, json_object
from wsinspect.capture.records import Connection, FrameRow
from wsinspect.control.client import ControlClient
from wsinspect.errors import LocalError, UsageError, WsinspectError
from wsinspect.explain.explaining import explain
from wsinspect.explain.reading import read_lines
from wsinspect.faults.spec import parse_spec
from wsinspect.filters import parse
from wsinspect.findings.model import Finding
from wsinspect.formats.masking import Masker
from wsinspect.launch.captures import resolve_capture
from wsinspect.launch.engines import choose_engine
from wsinspect.present.objects import connection_object, frame_object
from wsinspect.present.pages import page_of
from wsinspect.present.records import PREVIEW_BYTES
from wsinspect.present.requests import asked_of, request_object
from wsinspect.recorder.opening import open_capture
from wsinspect.units import SECOND, QuantityError, format_duration, parse_duration
from wsinspect.wire.opcodes import Opcode

#: Longest waits, whatever is asked for: a client of ours waits for each answer.
MAX_WAIT_SECONDS: Final = 120.0
#: A doctor's own bounds end it long before.
COMMAND_SECONDS: Final = 180.0
#: Most items of an answer, and most characters of a payload.
MAX_ITEMS: Final = 200
MAX_CHARACTERS: Final = 4000
_LOOK_SECONDS: Final = 0.2
#: Requests before a refused attempt, the last ones.
_MOST_REQUESTS: Final = 5

Kind = Literal["connection", "frame", "close", "finding"]
#: What an item of `frames` may have.
Field = Literal[
    "id",
    "connection",
    "direction",
    "op",
    "seconds",
    "bytes",
    "violations",
    "rtt_ms",
    "touched_by_a_fault",
    "close_code",
    "untrusted",
    "payload",
]


def connections(capture: str = "last", filter: str = "", limit: int = 20, after: int = 0) -> Json:
    """Connections and refused attempts, newest first."""
    with _opened(capture) as opened:
        # A filter without keys about frames; `lists_connections` is false of an empty one.
        rows = _passing(opened, filter) if filter else opened.connections()
        rows = [one for one in rows if not after or one.id < after][::-1]
        items = [_connection_item(opened, one) for one in rows[: _most(limit)]]
        answer: Json = {"capture": str(opened.path), "live": opened.is_live}
    answer |= bounded("connections", items, len(items))
    if len(rows) > len(items):
        answer |= {"left_out": len(rows) - len(items), "more": {"after": items[-1]["id"]}}
    return answer


def _connection_item(opened: Capture, one: Connection) -> Json:
    """A connection; of an attempt that failed also what its client asked for just before."""
    item = connection_answer(connection_object(one))
    if "untrusted" in item:
        masker = _masker(opened, one.id)
        item["untrusted"] = {side: masker.payload(words) for side, words in item["untrusted"].items()}
    if one.open_ns is None and one.attempt_ns is not None:
        near = [request_object(each, one.attempt_ns) for each in asked_of(opened.events(one.id))]
        item |= requests_answer(near, _MOST_REQUESTS)
    return item


def frames(
    connection: int | None = None,
    capture: str = "last",
    filter: str = "",
    limit: int = 50,
    after: int = 0,
    characters: int = 200,
    fields: Sequence[Field] | None = None,
) -> Json:
    """Frames of one connection, or of all, in order; messages inflated, secrets masked."""
    limit, characters = _most(limit), min(max(characters, 0), MAX_CHARACTERS)
    with _opened(capture) as opened:
        if connection is not None and opened.connection(connection) is None:
            raise UsageError(f"{opened.path} has no connection {connection}")
        scan = FrameScan(opened, parse(filter), connection_id=connection)
        found = list(islice((one for batch in scan.batches(after) for one in batch.ids), limit + 1))
        items = list(_frame_items(opened, found[:limit], scan.base_ns, characters))
        name = str(opened.path)
    answer: Json = {"capture": name, "frames": only(items, fields)}
    if len(found) > limit:
        answer["more"] = {"after": found[limit - 1]}
    return answer


def _frame_items(
    opened: Capture, ids: Sequence[int], since_ns: int | None, characters: int
) -> Iterator[Json]:
    page = page_of(opened, ids, with_payload=False)
    pings = {frame.id: ping for frame in page.frames if (ping := page.pings.get(frame.id))}
    maskers: dict[int, Masker] = {}
    for frame in page.frames:
        masker = maskers.get(frame.connection_id)
        if masker is None:
            masker = maskers[frame.connection_id] = _masker(opened, frame.connection_id)
        said = _said(opened, frame, characters)
        shown = frame_object(frame, pings.get(frame.id), False)
        if "close" in shown and shown["close"]["reason"]:
            shown["close"]["reason"] = masker.payload(shown["close"]["reason"])
        item = frame_answer(shown, said and masker.payload(said), since_ns, characters)
        yield {"id": item.pop("id"), "connection": frame.connection_id, **item}


def _masker(opened: Capture, connection: int) -> Masker:
    """Knows what is secret in a connection's handshake; names that say so it knows anyway."""
    shake = opened.handshake(connection)
    return Masker(() if shake is None else shake.heads)


def _said(opened: Capture, frame: FrameRow, characters: int) -> str | None:
    """What the frame's message says, at its first frame; of a control frame, its payload."""
    if frame.opcode == Opcode.CLOSE or frame.is_evicted or not characters:
        return None
    limit = 4 * characters
    if frame.message_id is not None and (frame.rsv1 or frame.is_fragment):
        message = opened.message(frame.message_id)
        if message is None or message.first_frame != frame.id:
            return None
        payload, size = opened.message_payload(message, limit), message.length or 0
        is_cut = len(payload) == limit
    else:
        payload, size = frame.payload, frame.length
        if len(payload) < size and characters > PREVIEW_BYTES // 4:
            whole = opened.frame(frame.id)
            payload = frame.payload if whole is None else whole.payload[:limit]
        is_cut = len(payload) < size
    if not payload:
        return None
    text = payload_text(payload, size, is_cut=is_cut, is_binary=frame.opcode == Opcode.BINARY)
    return text + "..." if is_cut and len(text) <= characters else text


def diagnose(
    capture: str = "last",
    connection: int | None = None,
    config: Sequence[str] = (),
    origin: str | None = None,
    limit: int = 5,
) -> Json:
    """The findings of a capture, or of a HAR file, mitmproxy flows or a packet trace."""
    arguments = ["diagnose", *_options("--config", config)]
    arguments += ["--connection", str(connection)] if connection is not None else []
    arguments += ["--origin", origin] if origin else []
    return diagnosis_answer(_ask([*arguments, "--", str(resolve_capture(capture))]), _most(limit))


def doctor(
    url: str,
    config: Sequence[str] = (),
    direct: Sequence[str] = (),
    header: Sequence[str] = (),
    insecure: bool = False,
    limit: int = 3,
) -> Json:
    """Asks a WebSocket URL itself: at most some twenty requests, one at a time."""
    arguments = ["doctor", *_options("--config", config), *_options("--direct", direct)]
    arguments += [*_options("--header", header), *(["--insecure"] if insecure else [])]
    return doctor_answer(_ask([*arguments, "--", url]), _most(limit))


def explained(text: str, limit: int = 3) -> Json:
    """What lines of a console or a log mean."""
    reading = read_lines(text.encode("utf-8", "surrogateescape"))
    if not reading.lines:
        raise UsageError("no text to explain")
    return explanation_answer(explain(reading).as_json(), _most(limit))


def wait_for(
    kind: Kind,
    filter: str = "",
    within: str = "30s",
    after: int = 0,
    capture: str = "last",
) -> Json:
    """Waits until the engine's capture has one: a connection, a frame, an end, or a finding.

    Args:
        filter: of what is waited for; of a finding, its id or the beginning of it.
        within: at most two minutes.
        after: the id behind which it counts; what was there before does not.
    """
    try:
        seconds = min(parse_duration(within) / SECOND, MAX_WAIT_SECONDS)
    except QuantityError as error:
        raise UsageError(f"within: {error}") from None
    until = time.monotonic() + seconds
    while True:
        name = str(resolve_capture(capture or "last"))  # an engine may start meanwhile: the answer says which
        found = _newest(kind, filter, after, name)
        if found is not None:
            return {"came": True, "capture": name, kind if kind != "close" else "connection": found}
        if time.monotonic() >= until:
            waited = format_duration(round(seconds * SECOND))
            return {
                "came": False,
                "capture": name,
                "waited": waited,
                "hint": "connections and frames say what did come; is a client using the proxy?",
            }
        time.sleep(_LOOK_SECONDS)


def _newest(kind: Kind, filter: str, after: int, capture: str) -> Json | None:
    if kind == "frame":
        came: list[Json] = frames(capture=capture, filter=filter, after=after, limit=1)["frames"]
        return came[0] if came else None
    if kind == "finding":
        # Of what the engine's recorder has found so far; `diagnose` looks at the capture as a whole.
        with _opened(capture) as opened:
            stored = queries.findings(opened, after)
        for number, detail in stored:
            said = json_object(detail)
            found = None if said is None else Finding.from_json(said)
            if found is not None and found.id.startswith(filter):
                finding = finding_answer(found.as_json())
                return {"number": number, **finding}
        return None
    with _opened(capture) as opened:
        rows = _passing(opened, filter) if filter else opened.connections()
        for one in rows:
            is_over = one.closed_ns is not None
            if one.id > after and (kind == "connection" or is_over):
                return _connection_item(opened, one)
    return None


def fault(
    action: Literal["list", "add", "remove", "remove_all"],
    rule: str = "",
    engine: int | None = None,
) -> Json:
    """Lists, adds or removes rules of a running engine.

    Args:
        rule: to add, as `run --fault` has it (`latency=300ms,direction=s2c`); to remove, its name.
        engine: its process id, where several run.
    """
    settings = parse_spec(rule, source="rule").settings() if action == "add" else None
    with _control(engine) as control:
        if action == "add":
            return {"added": control.post("/v1/faults", settings)}
        if action == "remove":
            control.delete(f"/v1/faults/{rule}")
        elif action == "remove_all":
            control.post("/v1/reset")
        return {"rules": control.get("/v1/faults")}


def inject(
    connection: int,
    direction: Literal["c2s", "s2c"],
    text: str | None = None,
    hex: str | None = None,
    op: Literal["text", "binary", "ping", "pong"] = "text",
    engine: int | None = None,
) -> Json:
    """Sends a frame into an open connection, as if the other side had."""
    if (text is None) == (hex is None):
        raise UsageError("give either text or hex")
    payload = {"hex": hex} if hex is not None else text
    body: Json = {"direction": direction, "opcode": op, "payload": payload}
    with _control(engine) as control:
        sent: Json = control.post(f"/v1/connections/{connection}/inject", body)
    return {"sent": sent}


@contextmanager
def _control(engine: int | None) -> Iterator[ControlClient]:
    info = choose_engine(engine)
    if info.control is None:
        raise UsageError(f"engine {info.pid} has no control API", hint="start it without --no-control")
    with ControlClient.open(info.control, agent="wsinspect/mcp") as control:
        yield control


@contextmanager
def _opened(name: str) -> Iterator[Capture]:
    path = resolve_capture(name or "last")
    with open_capture(path) as capture:
        yield capture


def _passing(opened: Capture, text: str) -> list[Connection]:
    flt = parse(text)
    if not flt.lists_connections:
        raise UsageError(
            f"{text}: this filter is about frames; ask frames, or use keys of connections",
            hint="keys of connections: conn, tap, host, path, proto, header, close, fault, finding",
        )
    return matching_connections(opened, flt)


def _most(limit: int) -> int:
    if limit < 1:
        raise UsageError(f"limit {limit}: expected 1 or more")
    return min(limit, MAX_ITEMS)


def _options(name: str, values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield f"{name}={value}"


def _ask(arguments: Sequence[str]) -> Json:
    """The JSON of one of our commands.

    Raises:
        WsinspectError: with its words, where it says what is wrong; where it does not end in time.
    """
    command = [sys.executable, "-m", "wsinspect", arguments[0], "--json", *arguments[1:]]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired:
        limit = format_duration(round(COMMAND_SECONDS * SECOND))
        raise LocalError(f"wsinspect {arguments[0]} did not end within {limit}") from None
    try:
        found: Json = json.loads(done.stdout)
    except ValueError:
        raise _error_of(done.stderr, arguments[0]) from None
    return found


def _error_of(stderr: bytes, command: str) -> WsinspectError:
    for line in reversed(stderr.decode("utf-8", "replace").splitlines()):
        try:
            said = json.loads(line)
            return UsageError(str(said["error"]), hint=str(said.get("fix") or ""))
        except (ValueError, TypeError, KeyError):
            continue
    return LocalError(f"wsinspect {command} gave no answer")


__all__ = ["connections", "diagnose", "doctor", "explained", "fault", "frames", "inject", "wait_for"]
