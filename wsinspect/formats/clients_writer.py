"""Recorded clients for other tools: a k6 script, a Postman collection, websocat in a shell script.

Each says what the client said, and where it can, when. What a target cannot say is counted by the writer,
and named in the file itself. Payloads are never masked; header fields are.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.formats.choice import EVERYTHING, Choice, hops_own
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.secrets import mask_head, mask_url
from wsinspect.formats.transcript import Said, messages
from wsinspect.handshake.heads import RawHead
from wsinspect.present.client_commands import OpeningRequest, opening_request, websocat
from wsinspect.version import __version__
from wsinspect.wire.opcodes import Opcode

#: Scripts are read whole by what runs them.
_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_MESSAGES: Final = 50_000
_PAGE: Final = 200
_SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


class ClientsWritten(NamedTuple):
    """What was written.

    Attributes:
        connections, messages: how many; messages are the client's.
        left_out: messages that the target cannot say, or that are too many.
        truncated: messages of which the capture holds only the beginning.
        of_hops: connections left out because a hop opened them for a client that is in the file.
    """

    connections: int
    messages: int
    left_out: int
    truncated: int
    of_hops: int


class _Reading:
    """The chosen connections, each with what its client said."""

    def __init__(self, capture: Capture, choice: Choice, include_secrets: bool, progress: Progress) -> None:
        self._capture = capture
        self._choice = choice
        self._masks = not include_secrets
        self._progress = progress
        self._bytes = 0
        self._of_hops = hops_own(capture, choice.connections)
        self.connections = self.messages = self.left_out = self.truncated = 0

    def each(self) -> Iterator[tuple[Connection, OpeningRequest]]:
        after = 0
        while batch := self._capture.connections(after=after, limit=_PAGE):
            for one in batch:
                is_chosen = self._choice.connections is None or one.id in self._choice.connections
                if is_chosen and one.id not in self._of_hops:
                    self.connections += 1
                    yield one, self._request(one)
            after = batch[-1].id

    def _request(self, one: Connection) -> OpeningRequest:
        shake = self._capture.handshake(one.id)
        raw = None if shake is None else shake.request_in or shake.request_out
        path = one.path or "/"
        if self._masks:
            raw, path = None if raw is None else mask_head(raw), mask_url(path)
        return opening_request(
            one.scheme, one.host, one.port, path, None if raw is None else RawHead.parse(raw)
        )

    def said(self, one: Connection, *, with_binary: bool) -> Iterator[Said]:
        """What the client said, as far as there is room and the target can say it."""
        if one.open_ns is None:
            return
        for said in messages(self._capture, one.id):
            if said.direction or not self._choice.has("message", said.id):
                continue
            self._bytes += len(said.data)
            is_unsayable = said.problem is not None or (said.opcode != Opcode.TEXT and not with_binary)
            if is_unsayable or self._bytes > _MOST_BYTES or self.messages >= _MOST_MESSAGES:
                self.left_out += 1
                continue
            self.messages += 1
            self.truncated += said.is_cut
            self._progress(self.messages)
            yield said

    def written(self) -> ClientsWritten:
        return ClientsWritten(
            self.connections, self.messages, self.left_out, self.truncated, len(self._of_hops)
        )


# -- k6


def write_k6(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> ClientsWritten:
    """Write a script for `k6 run`: each recorded client, with its times, one after the other's start.

    It uses k6/websockets (grafana.com/docs/k6/latest/javascript-api/k6-websockets). PING, PONG, fragments and
    compression are k6's own affair.

    Raises:
        CaptureError: the capture is damaged.
    """
    reading = _Reading(capture, choice, include_secrets, progress)
    out.write(_K6_HEAD.encode())
    start_ns: int | None = None
    for one, request in reading.each():
        begun_ns = one.attempt_ns or 0
        start_ns = begun_ns if start_ns is None else min(start_ns, begun_ns)
        fields = dict(request.fields)
        if request.origin is not None:
            fields["Origin"] = request.origin
        facts = {
            "connection": one.id,
            "after": round((begun_ns - start_ns) / 1e6, 3),
            "url": request.url,
            "protocols": list(request.subprotocols),
            "headers": fields,
            "expect": one.status,
            "lasts": _milliseconds(one.open_ns, one.closed_ns),
            "code": one.client_close_code if one.ended_by == "client" else None,
        }
        out.write(f"  {{\n    ...{_js(facts)},\n    messages: [\n".encode())
        for said in reading.said(one, with_binary=True):
            at = max(0.0, _milliseconds(one.open_ns, said.time_ns) or 0.0)
            out.write(f"      [{at}, {_k6_data(said)}],\n".encode())
        out.write(b"    ],\n  },\n")
    out.write(_K6_TAIL.encode())
    return reading.written()


_K6_HEAD: Final = f"""// WebSocket clients that wsinspect {__version__} recorded: k6 run FILE
// Not in here: PING and PONG, fragments, compression, and what the server said (k6 counts what it says).
import {{ b64decode }} from "k6/encoding";
import {{ setTimeout }} from "k6/timers";
import {{ check }} from "k6";

// Before k6 1.6 the module is an experimental one.
let sockets;
try {{
  sockets = require("k6/websockets");
}} catch (error) {{
  sockets = require("k6/experimental/websockets");
}}
const text = (data) => data;
const binary = (data) => b64decode(data, "std");
const clients = [
"""
_K6_TAIL: Final = """];

export default function () {
  for (const client of clients) setTimeout(() => play(client), client.after);
}

function play(client) {
  const expected = client.expect === 101 || client.expect === 200;
  const socket = new sockets.WebSocket(client.url, client.protocols, { headers: client.headers });
  let opened = false;
  const say = (data) => { if (socket.readyState === 1) socket.send(data); };
  socket.onopen = () => {
    opened = true;
    for (const [at, data] of client.messages) setTimeout(() => say(data), at);
    // One that did not open then, or had no end in the capture, is closed once all is said.
    const said = client.messages.length ? client.messages[client.messages.length - 1][0] : 0;
    setTimeout(() => socket.close(client.code ?? 1000), client.lasts ?? said);
  };
  socket.onerror = () => {};
  socket.onclose = () => check(client, { "opened as recorded": () => opened === expected });
}
"""


def _k6_data(said: Said) -> str:
    if said.opcode == Opcode.TEXT:
        return f"text({_js(said.data.decode('utf-8', 'replace'))})"
    return f"binary({_js(base64.b64encode(said.data).decode())})"


def _js(value: Any) -> str:
    """JSON is JavaScript (ECMA-262 since 2019), and ASCII has none of its line separators."""
    return json.dumps(value)


def _milliseconds(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else round((end_ns - start_ns) / 1e6, 3)


# -- Postman


def write_postman(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> ClientsWritten:
    """Write a collection of version 2.1, an item for each connection.

    The format has HTTP requests alone: a WebSocket's handshake is one, and what was said goes into its
    description.

    Raises:
        CaptureError: the capture is damaged.
    """
    reading = _Reading(capture, choice, include_secrets, progress)
    about = (
        f"Recorded by wsinspect {__version__}. Collections of version 2.1 have no WebSocket requests: copy "
        "URL and headers into one (New > WebSocket), and the messages from the description."
    )
    info = {"name": f"WebSockets of {capture.path.name}", "description": about, "schema": _SCHEMA}
    out.write(b'{"info":' + json.dumps(info).encode() + b',"item":[')
    for number, (one, request) in enumerate(reading.each()):
        headers = [{"key": name, "value": value} for name, value in request.fields]
        if request.origin is not None:
            headers.append({"key": "Origin", "value": request.origin})
        if request.subprotocols:
            headers.append({"key": "Sec-WebSocket-Protocol", "value": ", ".join(request.subprotocols)})
        said = [
            f"- `{_milliseconds(one.open_ns, one_said.time_ns)} ms`\n\n```\n"
            f"{one_said.data.decode('utf-8', 'replace').replace('```', '` ` `')}\n```"
            for one_said in reading.said(one, with_binary=False)
        ]
        words = "\n".join(["The client sent:", *said]) if said else "The client sent no text."
        url = _postman_url(request.url)
        item = {
            "name": f"{one.id}: {one.path or '/'} ({one.status or one.state})",
            "request": {"method": "GET", "header": headers, "url": url, "description": words},
            "response": [],
        }
        if not include_secrets:
            item["name"] = mask_url(str(item["name"]))
        out.write((b"," if number else b"") + b"\n" + json.dumps(item).encode())
    out.write(b"\n]}\n")
    return reading.written()


def _postman_url(url: str) -> dict[str, Any]:
    """A URL in the parts of which Postman makes it again: empty segments and a missing `=` count."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    path, question, query = path.partition("?")
    made: dict[str, Any] = {
        "raw": url,
        "protocol": scheme,
        "host": [host if colon else place],
        "path": path.split("/"),
    }
    if colon:
        made["port"] = port
    if question:
        pairs = (part.partition("=") for part in query.split("&"))
        made["query"] = [{"key": name, "value": value if equals else None} for name, equals, value in pairs]
    return made


# -- websocat

#: What websocat reads at once (its --buffer-size), what a shell surely writes at once, and the seconds
#: between two writes.
_WEBSOCAT_BUFFER: Final = 65_536
_SHELL_WRITE: Final = 4_000
_WEBSOCAT_PAUSE: Final = 0.1
#: What the server says goes to stderr.
_WEBSOCAT_TAIL: Final = """
case ${1-} in say_*)
  exec 3<&0
  cat <&3 >&2 &
  "$1"
  exit
esac
self=$0
export self
"""


def write_websocat(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> ClientsWritten:
    """Write a shell script that plays each client with websocat 1.x, one after the other.

    Tried with 1.13: what one read gives is one message (`--no-line`; lines would keep their line feed, and
    `--linemode-strip-newlines` sends that apart where a read gives two lines). So each text is one write of
    at most `_WEBSOCAT_BUFFER` bytes, with a pause between two; pauses are otherwise those of the recording.
    websocat starts `sh-c:` once the WebSocket is open.

    Raises:
        CaptureError: the capture is damaged.
    """
    reading = _Reading(capture, choice, include_secrets, progress)
    about = (
        f"#!/bin/sh\n# WebSocket clients that wsinspect {__version__} recorded, for websocat 1.x.\n"
        "# Not in here: binary messages, PING and PONG; texts that are empty, over 64 KiB or with a NUL.\n"
    )
    out.write(about.encode())
    clients: list[str] = []
    for one, request in reading.each():
        out.write(f"\nsay_{one.id}() {{\n".encode())
        last_ns = one.open_ns or 0
        for number, said in enumerate(reading.said(one, with_binary=False)):
            text = said.data.decode("utf-8", "replace")
            size = len(text.encode())
            if not 0 < size <= _WEBSOCAT_BUFFER or "\0" in text:
                reading.messages -= 1
                reading.left_out += 1
                continue
            pause = max(_WEBSOCAT_PAUSE if number else 0.0, (said.time_ns - last_ns) / 1e9)
            last_ns = said.time_ns
            if pause >= 0.01:
                out.write(f"sleep {pause:.2f}\n".encode())
            whole = " | dd obs=65536 2>/dev/null" if size > _SHELL_WRITE else ""
            out.write(f"printf %s {shlex.quote(text)}{whole}\n".encode())
        ended_ns = one.closed_ns if one.open_ns is not None else None
        rest = max(_WEBSOCAT_PAUSE, 0.0 if ended_ns is None else (ended_ns - last_ns) / 1e9)
        out.write(f"sleep {rest:.2f}\n}}\n".encode())
        clients.append(f"{websocat(request, is_typed=False)} 'sh-c:sh \"$self\" say_{one.id}'\n")
    out.write(_WEBSOCAT_TAIL.encode())
    out.write("".join(clients).encode())
    return reading.written()
