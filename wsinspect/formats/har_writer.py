"""A capture as HAR (HTTP Archive 1.2) with Chrome's `_webSocketMessages`.

One entry a connection, and one a plain request near an attempt. What HAR has no place for is in the entry's
own key `_wsinspect` (control frames, how it ended); what is lost all the same is listed in docs/formats.md. A
message that is not whole says so itself (`_truncated`, `_problem`), text that is not UTF-8 has its bytes in
`_base64`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from json.encoder import encode_basestring_ascii
from typing import IO, Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from wsinspect.capture.pages import frames_of
from wsinspect.capture.queries import har_entries
from wsinspect.capture.reader import Capture, json_object
from wsinspect.capture.records import Connection, Event, Handshake
from wsinspect.clients.nearby import Asked
from wsinspect.errors import CaptureError
from wsinspect.formats.choice import EVERYTHING, Choice
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.requests_near import COMMENT, OnceEach, client_of
from wsinspect.formats.secrets import mask_head, mask_json, mask_url
from wsinspect.formats.transcript import Said, messages
from wsinspect.handshake.heads import RawHead
from wsinspect.net import host_of
from wsinspect.version import __version__
from wsinspect.vocabulary import FILTERED, Lack
from wsinspect.wire.messages import INFLATE_FAILED, NOT_INFLATED, OVER_CAP

_TYPES: Final = ("send", "receive")
_NOT_INFLATED: Final = frozenset({INFLATE_FAILED, NOT_INFLATED, OVER_CAP})
#: Longer data is written in pieces, a multiple of three bytes each.
_PIECE: Final = 3 * 256 * 1024
_BATCH: Final = 256 * 1024


class HarResult(NamedTuple):
    """What was written, and what of it is not whole."""

    connections: int
    messages: int
    truncated: int
    not_inflated: int
    requests: int = 0
    #: Entries of an imported HAR that are no WebSockets, as they were.
    kept: int = 0


def write_har(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> HarResult:
    """Write an entry for each connection, and for each plain request near one.

    Args:
        capture: what to export.
        out: where to.
        choice: which connections, and which of their frames; a message goes with any of its frames.
        include_secrets: leave cookies, credentials and tokens in.
        progress: called with the number of messages.

    Raises:
        CaptureError: the capture is damaged.
    """
    writer = _Writer(capture, out, choice, include_secrets, progress)
    log: dict[str, Any] = {"version": "1.2", "creator": {"name": "wsinspect", "version": __version__}}
    if choice.source is not None:
        log["comment"] = f"{choice.left_out}: {choice.source}"
    out.write(b'{"log":' + json.dumps(log | {"pages": []})[:-1].encode() + b',"entries":[')
    count = 0
    after = 0
    while batch := capture.connections(after=after, limit=200):
        for one in batch:
            if choice.connections is None or one.id in choice.connections:
                count += writer.write(one, is_first=not count)
        after = batch[-1].id
    kept = 0
    for entry in _kept(capture) if choice.connections is None else ():
        out.write(b",\n" if count + kept else b"\n")
        out.write(json.dumps(entry if include_secrets else mask_json(entry), separators=(",", ":")).encode())
        kept += 1
    out.write(b"\n]}}\n")
    return HarResult(
        count - writer.requests,
        writer.messages,
        writer.truncated,
        writer.not_inflated,
        writer.requests,
        kept,
    )


def _kept(capture: Capture) -> Iterator[dict[str, Any]]:
    """Entries that an imported HAR had apart from WebSockets."""
    after = 0
    while found := har_entries(capture, after, 10):
        after = found[-1][0]
        for _, detail in found:
            entry = (json_object(detail) or {}).get("entry")
            if isinstance(entry, dict):
                yield entry


class _Writer:
    def __init__(
        self, capture: Capture, out: IO[bytes], choice: Choice, include_secrets: bool, progress: Progress
    ) -> None:
        self._capture = capture
        self._choice = choice
        self._out = out
        self._masks = not include_secrets
        self._progress = progress
        self._once = OnceEach()
        self.messages = self.truncated = self.not_inflated = self.requests = 0

    def write(self, one: Connection, *, is_first: bool) -> int:
        """Write a connection and the requests near it, in the order of time.

        Args:
            is_first: nothing was written before.

        Returns:
            How many entries that made.
        """
        handshake = self._capture.handshake(one.id)
        events = self._capture.events(one.id)
        client = client_of(one, self._head(handshake.request_in if handshake else None))
        asked = self._once.of(events)
        self.requests += len(asked)
        before = [each for each in asked if each.began_ns < (one.attempt_ns or 0)]
        for each in before:
            is_first = self._separate(is_first)
            self._write_request(each, client)
        is_first = self._separate(is_first)
        self._write_connection(one, handshake, events)
        for each in asked[len(before) :]:
            self._separate(is_first)
            self._write_request(each, client)
        return 1 + len(asked)

    def _separate(self, is_first: bool) -> bool:
        self._out.write(b"\n" if is_first else b",\n")
        return False

    def _write_request(self, asked: Asked, client: str) -> None:
        entry = _request_entry(asked, client)
        entry = mask_json(entry) if self._masks else entry
        entry["request"]["url"] = _uri(entry["request"]["url"])
        entry["request"]["queryString"] = _query(entry["request"]["url"])
        self._out.write(json.dumps(entry, separators=(",", ":")).encode())

    def _write_connection(self, one: Connection, handshake: Handshake | None, events: list[Event]) -> None:
        """Its messages page by page, so that memory is bounded."""
        entry = json.dumps(self._entry(one, handshake), separators=(",", ":"))
        ours = self._ours(one, events)
        self._out.write(entry[:-1].encode() + b',"_wsinspect":' + ours[:-1].encode())
        self._out.write(b',"control":[')
        self._write_items(self._control(one.id))
        self._out.write(b']},"_webSocketMessages":[')
        self._write_items(self._messages(one.id))
        self._out.write(b"]}")

    def _write_items(self, items: Iterator[list[str]]) -> None:
        parts: list[str] = []
        size = 0
        separator = ""
        for item in items:
            parts.append(separator)
            parts += item
            separator = ","
            size += sum(map(len, item))
            if size > _BATCH:
                self._out.write("".join(parts).encode())
                parts, size = [], 0
        self._out.write("".join(parts).encode())

    def _messages(self, connection_id: int) -> Iterator[list[str]]:
        for said in messages(self._capture, connection_id):
            if not self._choice.has("message", said.id):
                continue
            self.messages += 1
            if not self.messages % 4096:
                self._progress(self.messages)
            self.truncated += said.is_cut
            yield self._item(said)

    def _item(self, said: Said) -> list[str]:
        begin = (
            f'{{"type":"{_TYPES[said.direction]}","time":{_seconds(said.time_ns)},'
            f'"opcode":{said.opcode},"data":'
        )
        if said.problem is None and not said.is_cut and len(said.data) <= _PIECE:
            data = base64.b64encode(said.data) if said.opcode == 2 else said.data
            try:
                return [begin, encode_basestring_ascii(data.decode()), "}"]
            except UnicodeDecodeError:
                pass
        return [begin, *self._exact(said), "}"]

    def _exact(self, said: Said) -> Iterator[str]:
        """Data that is long, cut or no text, and what there is to say of it."""
        is_inflated = said.problem not in _NOT_INFLATED
        self.not_inflated += not is_inflated
        is_text = said.opcode == 1 and is_inflated
        try:
            text = said.data.decode() if is_text else ""
            yield '"'
            if is_text:
                for at in range(0, len(text), _PIECE):
                    yield encode_basestring_ascii(text[at : at + _PIECE])[1:-1]
            elif is_inflated:
                yield from _base64_pieces(said.data)
            yield '"'
            exact = not is_inflated
        except UnicodeDecodeError:
            yield encode_basestring_ascii(said.data.decode("utf-8", "replace"))
            exact = True
        if exact:
            yield ',"_base64":"'
            yield from _base64_pieces(said.data)
            yield '"'
        if said.is_cut:
            yield f',"_truncated":true,"_length":{said.length}'
        if said.problem is not None:
            yield f',"_problem":{encode_basestring_ascii(said.problem)}'

    def _control(self, connection_id: int) -> Iterator[list[str]]:
        for frame in frames_of(self._capture, connection_id, only_control=True):
            if not self._choice.has("frame", frame.id):
                continue
            data = base64.b64encode(frame.payload or b"").decode("ascii")
            length = frame.wire_length - len(frame.header)
            cut = f',"_truncated":true,"_length":{length}' if frame.missing > 0 else ""
            yield [
                f'{{"type":"{_TYPES[bool(frame.side)]}","time":{_seconds(frame.time_ns)},'
                f'"opcode":{frame.bits >> 8 & 15},"_base64":"{data}"{cut}}}'
            ]

    def _ours(self, one: Connection, events: list[Event]) -> str:
        ends = [event.detail for event in events if event.kind == "end"]
        lacks = {str(item) for event in events if event.kind == "imported" for item in event.detail["lacks"]}
        if self._choice.frames is not None:
            lacks |= {*FILTERED, Lack.END}  # CLOSE frames are among the frames that are left out
        found: dict[str, Any] = {
            "connection": one.id,
            "tap": one.tap,
            "client": one.client,
            "state": one.state,
            "ended_by": one.ended_by,
            "how": one.how,
            "js_code": one.js_code,
            "js_was_clean": one.js_was_clean,
            "end": {"side": ends[0].get("side"), "how": ends[0].get("how")} if ends else None,
        }
        if lacks:
            found["lacks"] = sorted(lacks)
        if one.evicted_frames:
            found["evicted_frames"] = one.evicted_frames
        return json.dumps(found, separators=(",", ":"))

    def _entry(self, one: Connection, handshake: Handshake | None) -> dict[str, Any]:
        request = self._head(handshake.request_in or handshake.request_out if handshake else None)
        response = self._head(handshake.response_in or handshake.response_out if handshake else None)
        start_ns = one.attempt_ns or 0
        wait_ns = max(0, (one.open_ns or one.closed_ns or start_ns) - start_ns)
        length_ns = max(wait_ns, (one.closed_ns or self._last_ns(one) or start_ns) - start_ns)
        url = _uri(mask_url(one.url) if self._masks else one.url)
        entry: dict[str, Any] = {
            "startedDateTime": _date(start_ns),
            "time": length_ns / 1e6,
            "request": {
                "method": _latin(request.method) or "GET",
                "url": url,
                "httpVersion": _version(one.http_version or _latin(request.http_version)),
                "cookies": _cookies(request),
                "headers": _fields(request),
                "queryString": _query(url),
                "headersSize": len(request.head) or -1,
                "bodySize": 0,
            },
            "response": _response(one, response, handshake),
            "cache": {},
            "timings": {"send": 0, "wait": wait_ns / 1e6, "receive": (length_ns - wait_ns) / 1e6},
            "_resourceType": "websocket",
        }
        address = host_of(one.server)
        if _is_address(address):
            entry["serverIPAddress"] = address
        return entry

    def _head(self, raw: bytes | None) -> RawHead:
        return RawHead.parse(mask_head(raw) if raw and self._masks else raw or b"")

    def _last_ns(self, one: Connection) -> int | None:
        last = self._capture.last_frames(one.id, 1, payload_limit=0)
        return last[0].time_ns if last else one.open_ns


def _request_entry(asked: Asked, client: str) -> dict[str, Any]:
    """A plain request: what is recorded of it, and nothing that is not."""
    facts = asked.event
    fields = {"Content-Type": facts.media_type, "Content-Length": facts.length}
    response = {
        "status": facts.status or 0,
        "statusText": "",
        "httpVersion": "",
        "cookies": [],
        "headers": [
            {"name": name, "value": str(value)} for name, value in fields.items() if value is not None
        ],
        "content": {"size": facts.length or 0, "mimeType": facts.media_type or "x-unknown"},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1 if facts.length is None else facts.length,
    }
    return {
        "startedDateTime": _date(asked.began_ns),
        "time": facts.ms or 0,
        "request": {
            "method": facts.method or "GET",
            "url": facts.url or "",
            "httpVersion": "",
            "cookies": [],
            "headers": [],
            "queryString": [],
            "headersSize": -1,
            "bodySize": -1,
        },
        "response": response | ({"_error": facts.error} if facts.error else {}),
        "cache": {},
        "timings": {"send": 0, "wait": facts.ms or 0, "receive": 0},
        "comment": COMMENT,
        "_wsinspect": {"whose": client, "what": facts.what, "ms": facts.ms},
    }


def _response(one: Connection, head: RawHead, handshake: Handshake | None) -> dict[str, Any]:
    body = handshake.body if handshake and handshake.body else b""
    mime = head.get("content-type")
    content: dict[str, Any] = {"size": len(body), "mimeType": _latin(mime) if mime else "x-unknown"}
    if body:
        try:
            content["text"] = body.decode()
        except UnicodeDecodeError:
            content |= {"text": base64.b64encode(body).decode("ascii"), "encoding": "base64"}
    found = {
        "status": head.status or one.status or 0,
        "statusText": _latin(head.reason),
        "httpVersion": _version(_latin(head.http_version) or one.server_http_version),
        "cookies": _set_cookies(head),
        "headers": _fields(head),
        "content": content,
        "redirectURL": _latin(head.get("location") or b""),
        "headersSize": len(head.head) or -1,
        "bodySize": len(body),
    }
    return found | ({"_error": one.error} if one.error else {})


def _version(version: str | None) -> str:
    """As Chrome's DevTools write it."""
    return "http/2.0" if version and version.startswith("HTTP/2") else version or "HTTP/1.1"


def _base64_pieces(data: bytes) -> Iterator[str]:
    for at in range(0, len(data), _PIECE):
        yield base64.b64encode(data[at : at + _PIECE]).decode("ascii")


def _fields(head: RawHead) -> list[dict[str, str]]:
    return [
        {"name": _latin(field.name.strip()), "value": _text(field.value)}
        for field in head.fields
        if field.name
    ]


def _cookies(head: RawHead) -> list[dict[str, str]]:
    pairs = [part.strip().partition(b"=") for value in head.get_all("cookie") for part in value.split(b";")]
    return [{"name": _text(name), "value": _text(value)} for name, _, value in pairs if name]


def _set_cookies(head: RawHead) -> list[dict[str, str]]:
    pairs = [value.partition(b";")[0].partition(b"=") for value in head.get_all("set-cookie")]
    return [{"name": _text(name.strip()), "value": _text(value.strip())} for name, _, value in pairs]


def _query(url: str) -> list[dict[str, str]]:
    try:
        query = urlsplit(url).query
    except ValueError:  # an address in brackets that is none
        return []
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=None)
    return [{"name": name, "value": value} for name, value in pairs]


def _uri(url: str) -> str:
    """As a URI must be written; what is not a URI character is percent-encoded."""
    return quote(url, safe="%:/?#[]@!$&'()*+,;=-._~", errors="surrogateescape")


def _date(time_ns: int) -> str:
    """ISO 8601 with all nine digits."""
    seconds, rest = divmod(time_ns, 10**9)
    try:
        whole = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise CaptureError(f"the capture is damaged: {time_ns} ns is not a valid time") from None
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _seconds(time_ns: int) -> str:
    """Epoch seconds as a JSON number with all digits."""
    sign = "-" if time_ns < 0 else ""
    whole, rest = divmod(abs(time_ns), 10**9)
    return f"{sign}{whole}.{rest:09d}"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
