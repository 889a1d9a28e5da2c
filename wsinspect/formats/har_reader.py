"""WebSockets of a HAR (HTTP Archive 1.2 with Chrome's `_webSocketMessages`), as Chrome, Playwright,
mitmproxy, HTTP Toolkit and wsinspect write it. Firefox and Safari list the handshakes without messages.

The file is read once, message by message; what is not a WebSocket is passed over, but for Engine.IO's
refusals. What differs: Playwright has message times in milliseconds and failures in `response._failureText`;
Chrome has failures as messages of opcode -1; both list an extended CONNECT (RFC 8441) as an upgrade of
HTTP/1.1, without a key (`_is_connect`); HTTP Toolkit has `_webSocketClose`, a code and a reason or "aborted".
None but wsinspect records PING, PONG and CLOSE frames or how the transport ended, and Chrome leaves Cookie
and Authorization out unless asked for them (`_lacks`).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, Final

from wsinspect.clients.nearby import MAX_URL, Header, body_length, counts, media_type, what_for, whose
from wsinspect.clients.openings import Openings, opening_of
from wsinspect.errors import CaptureError
from wsinspect.formats.heads import (
    UrlParts,
    asks_for_websocket,
    connect_head,
    fields_of,
    http2_head,
    http_version,
    parse_url,
    request_head,
    response_head,
)
from wsinspect.formats.jsonstream import Digits, JsonStream
from wsinspect.formats.notes import ImportNotes
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.staging import Imported, Stage, to_ns
from wsinspect.net import Address, host_of
from wsinspect.vocabulary import Lack
from wsinspect.vocabulary.events import HttpRequest

_WANTED: Final = frozenset(
    {
        "startedDateTime",
        "time",
        "request",
        "_resourceType",
        "serverIPAddress",
        "connection",
        "_wsinspect",
        "_error",
        "_webSocketClose",
    }
)
#: Numbers of seconds below this are not a date of a WebSocket (1980), and above the other no date at all
#: (5138).
_FIRST_SECOND: Final = 315_532_800
_LAST_SECOND: Final = 100_000_000_000
#: A message this long after the end of its connection has its time in another unit.
_SLACK_SECONDS: Final = 2.0
_ENGINE_ERROR: Final = re.compile(rb'^\s*\{[^{}]{0,200}"code"\s*:\s*[0-9]')
_BODY_LIMIT: Final = 256 * 1024
_BODY_BYTES: Final = 64 * 1024
_SIDES: Final = {"send": 0, "receive": 1}
_FIN: Final = 0x80
_RSV1: Final = 0x40
#: What is kept of an entry with Server-Sent Events: the events, and any other value of its own.
_EVENTS: Final = "_eventSourceMessages"
_EVENTS_LIMIT: Final = 16 * 1024 * 1024
_OTHER_LIMIT: Final = 64 * 1024
_DATE: Final = re.compile(r"(.*?:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)?", re.DOTALL)
_PROGRESS_ITEMS: Final = 4096
_FAILURE_CHARS: Final = 300
_METHOD_CHARACTERS: Final = 40
_MOST_MS: Final = 1e12
#: What Chrome calls the things that a page is drawn with; they count where they failed.
_ASSETS: Final = frozenset(("stylesheet", "image", "media", "font", "script", "manifest", "texttrack"))
_REFUSAL: Final = re.compile(r"Unexpected response code: ([1-9]\d\d)\b")


def read_har(source: IO[bytes], stage: Stage, name: str, progress: Progress = nobody) -> ImportNotes:
    """Stage the WebSockets of a HAR.

    Args:
        source: the file.
        stage: where to.
        name: what to call the file in an error.
        progress: called with the number of bytes read.

    Returns:
        What else there is to say of the file.

    Raises:
        CaptureError: it is not a HAR, is cut off, or one of its values is too large.
    """
    reader = _Reader(JsonStream(source, name), stage, lambda: progress(source.tell()))
    if not reader.read():
        raise CaptureError(f"{name} is not a HAR: it has no log.entries")
    return reader.notes


class _Reader:
    def __init__(self, stream: JsonStream, stage: Stage, tick: Callable[[], None]) -> None:
        self._stream = stream
        self._stage = stage
        self._tick = tick
        self._items = 0
        self._is_relative = False
        self._farthest = 0
        self._latest_start_ns = 0
        self._openings = Openings(is_seen_by_browser=True)
        self.notes = ImportNotes()

    def read(self) -> bool:
        """Whether there were any entries, WebSocket or not."""
        found = False
        for key in self._stream.members():
            if key != "log" or self._stream.peek() != "{":
                self._stream.skip()
                continue
            for part in self._stream.members():
                if part == "creator":
                    creator = str(_object(self._stream.small_value(_OTHER_LIMIT)).get("name"))
                    self.notes.exporter = _WITHOUT_MESSAGES.get(creator.casefold(), "")
                    continue
                if part != "entries" or self._stream.peek() != "[":
                    self._stream.skip()
                    continue
                found = True
                for _ in self._stream.elements():
                    self._entry()
        return found

    def _entry(self) -> None:
        self.notes.entries += 1
        number = self.notes.entries
        facts: dict[str, Any] = {}
        others: dict[str, Any] = {}
        self._is_relative, self._farthest = False, 0
        if self._stream.peek() != "{":
            self._stream.skip()
            return
        for key in self._stream.members():
            if key == "_webSocketMessages" and self._stream.peek() == "[":
                facts["messages"] = True
                start_ns = _date_ns(facts.get("startedDateTime"))
                for _ in self._stream.elements():
                    item = self._stream.value()
                    if isinstance(item, dict) and item.get("type") == "error":
                        facts.setdefault("failure", str(item.get("data"))[:_FAILURE_CHARS])
                    else:
                        self._message(number, item, start_ns)
            elif key == "response" and self._stream.peek() == "{":
                facts["response"] = self._response()
            elif key in _WANTED:
                facts[key] = self._stream.value()
            else:
                limit = _EVENTS_LIMIT if key == _EVENTS else _OTHER_LIMIT
                others[key] = self._stream.small_value(limit)
        self._finish(number, facts, others)

    def _response(self) -> dict[str, Any]:
        """A response without its body where that is large."""
        found: dict[str, Any] = {}
        for key in self._stream.members():
            if key == "content":
                found[key] = self._stream.small_value(_BODY_LIMIT)
            elif key in ("status", "statusText", "httpVersion", "headers", "_error", "_failureText"):
                found[key] = self._stream.value()
            else:
                found[key] = self._stream.small_value(_OTHER_LIMIT)
        return found

    def _keep(self, facts: dict[str, Any], others: dict[str, Any]) -> None:
        """An entry with Server-Sent Events, which are nothing for a capture, on its way to another HAR."""
        whole = {**others, **{name: value for name, value in facts.items() if name != "messages"}}
        entry = _numbers(whole)
        start_ns = _date_ns(facts.get("startedDateTime")) or self._latest_start_ns
        size = len(json.dumps(entry))
        if others[_EVENTS] is not None and self._stage.keep(start_ns, entry, size):
            self.notes.event_sources += 1
        else:
            self.notes.large_event_sources += 1

    def _ask(self, facts: dict[str, Any], others: dict[str, Any]) -> None:
        """A plain request: of all of them, those near an attempt are recorded."""
        request, response = _object(facts.get("request")), _object(facts.get("response"))
        url, method = request.get("url"), request.get("method")
        start_ns = _date_ns(facts.get("startedDateTime"))
        if not isinstance(url, str) or not isinstance(method, str) or start_ns is None:
            return
        path = url.partition("://")[2].partition("/")[2]
        asked, answered = (_header(one.get("headers")) for one in (request, response))
        status = response.get("status")
        status = status if type(status) is int and 100 <= status <= 999 else None
        error = response.get("_error") or response.get("_failureText") or facts.get("_error")
        if (opening := opening_of(method, f"/{path}", asked)) is not None and (status or error):
            body = _body(response.get("content")) or None
            said = str(error) if error else None
            noted = self._openings.report(*(opening, method, url, asked, status, answered, body), error=said)
            if noted is not None:
                self._stage.report(start_ns, noted)
        ours = _object(facts.get("_wsinspect"))
        is_asset = str(facts.get("_resourceType")) in _ASSETS
        if not ours and not counts(method, f"/{path}", asked, status, is_asset=is_asset):
            return
        event = HttpRequest(
            method=method[:_METHOD_CHARACTERS],
            url=url[:MAX_URL],
            what=_words(ours.get("what")) if ours else what_for(method, f"/{path}", asked),
            status=status,
            ms=_head_ms(ours.get("ms") if ours else facts.get("time"), _object(others.get("timings"))),
            length=body_length(answered),
            media_type=media_type(answered),
            error=str(error)[:_FAILURE_CHARS] if error and status is None else None,
        )
        self._stage.ask(_words(ours.get("whose")) or "", start_ns, event)

    def _finish(self, number: int, facts: dict[str, Any], others: dict[str, Any]) -> None:
        request = _object(facts.get("request"))
        url = request.get("url")
        target = parse_url(url) if isinstance(url, str) else None
        fields = fields_of(request.get("headers"))
        is_poll = not _is_websocket(facts, url, fields)
        if is_poll and not _is_engine_refusal(url, facts):
            if _EVENTS in others:
                self._keep(facts, others)
            self._ask(facts, others)
            return
        if target is None:
            raise CaptureError(f"entry {number} of the HAR is a WebSocket without a URL")
        start_ns = self._start_ns(number, facts)
        if self._is_relative:
            self._mend(number, start_ns, facts.get("time"))
        imported = _imported(facts, request, target, fields, start_ns)
        if "messages" not in facts and not is_poll and imported.status == 101:
            self.notes.without_messages += 1
        ours = _object(facts.get("_wsinspect"))
        if not ours:
            imported = imported._replace(lacks=_lacks(facts, fields, imported))
        elif isinstance(ours.get("lacks"), list):
            imported = imported._replace(lacks=tuple(one for one in Lack if one in ours["lacks"]))
        if (client := _words(ours.get("client"))) and Address.read(client) is not None:
            who = whose(host_of(client), _header(request.get("headers")))
            imported = imported._replace(client=client, who=who)
        end = _object(ours.get("end"))
        if (
            Lack.END not in imported.lacks
            and end.get("side") in ("client", "server", "proxy")
            and str(end.get("how")) in _ENDS
        ):
            imported = imported._replace(ended=(end["side"], end["how"]))
        for item in ours["control"] if isinstance(ours.get("control"), list) else ():
            self._message(number, item, start_ns, in_order=False)
        self._stage.describe(number, imported)

    def _start_ns(self, number: int, facts: dict[str, Any]) -> int:
        """When the attempt was made; without a time, when its first message or the entry before it was."""
        start_ns = _date_ns(facts.get("startedDateTime"))
        if start_ns is None:
            self.notes.without_times += 1
            first_ns = None if self._is_relative else self._stage.first_ns(number)
            start_ns = self._latest_start_ns if first_ns is None else first_ns
        self._latest_start_ns = start_ns
        return start_ns

    def _mend(self, number: int, start_ns: int, milliseconds: Any) -> None:
        """Message times that count from the start of their connection: in seconds, or milliseconds."""
        self.notes.relative_times += 1
        length = _number(milliseconds)
        seconds = self._farthest / 1e9
        is_ms = length is not None and seconds > length / 1000 + _SLACK_SECONDS
        self._stage.rebase(number, start_ns, 1000 if is_ms else 1)

    def _message(self, number: int, item: Any, start_ns: int | None, *, in_order: bool = True) -> None:
        self._items += 1
        if not self._items % _PROGRESS_ITEMS:
            self._tick()
        if not isinstance(item, dict):
            self.notes.unreadable += 1
            return
        side = _SIDES.get(str(item.get("type")))
        opcode = item.get("opcode", 1)
        if side is None or type(opcode) is not int or not 0 <= opcode <= 15:
            self.notes.unreadable += 1
            return
        data = self._data(item, opcode)
        time = item.get("time")
        time_ns = self._stage.last_ns(number) or start_ns or 0 if time is None else self._time_ns(time)
        problem = item.get("_problem")
        first = opcode | (0 if problem in ("unfinished", "interrupted") else _FIN)
        if problem in ("inflate-failed", "not-inflated", "over-cap"):
            first |= _RSV1
        self.notes.truncated += bool(item.get("_truncated"))
        self._stage.add(number, side, first, data, time_ns, in_order=in_order)

    def _time_ns(self, time: Any) -> int:
        """A message's time: epoch seconds, or whatever finer unit the number can only be of."""
        value = _number(time)
        if value is None or 0 < value < _LAST_SECOND:
            time_ns = to_ns(time, "time of a message")
        else:
            time_ns = to_ns(_as_seconds(value, str(time)), "time of a message")
        if 0 <= time_ns < _FIRST_SECOND * 10**9:
            self._is_relative = True
            self._farthest = max(self._farthest, time_ns)
        return time_ns

    def _data(self, item: dict[str, Any], opcode: int) -> bytes:
        exact = item.get("_base64")
        text = exact if isinstance(exact, str) else item.get("data")
        if not isinstance(text, str):
            return b""
        if opcode == 2 or exact is not None:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                self.notes.not_base64 += 1
        # Half of a surrogate pair is no text: browsers send U+FFFD in its place (WebIDL, USVString).
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _header(listed: Any) -> Header:
    """The value of a field in a HAR's list, whatever the case of its name."""
    fields = {name.lower(): value for name, value in fields_of(listed)}
    return fields.get


def _head_ms(whole: Any, timings: dict[str, Any]) -> float | None:
    """Milliseconds until the header block of an answer: the body is another question."""
    length, receive = _number(whole), _number(timings.get("receive"))
    if length is None or not 0 <= length < _MOST_MS:
        return None
    return round(max(0.0, length - max(receive or 0.0, 0.0)), 3)


def _lacks(facts: dict[str, Any], fields: list[tuple[str, str]], imported: Imported) -> tuple[Lack, ...]:
    """What is not in an entry, and is for that reason no evidence."""
    found = [Lack.PINGS, Lack.END]
    if "messages" not in facts:
        found.append(Lack.MESSAGES)
    if _date_ns(facts.get("startedDateTime")) is None:
        found.append(Lack.TIMES)
    if not any(name.lower() in ("cookie", "authorization") for name, _ in fields):
        found.append(Lack.CREDENTIALS)
    response = _object(facts.get("response"))
    content = _object(response.get("content"))
    status = imported.status
    if not fields:
        found.append(Lack.REQUEST)
    has_words = fields_of(response.get("headers")) if status is not None else imported.error
    if not has_words:
        found.append(Lack.ANSWER)  # also of no answer: the attempt may have been cancelled
    is_refusal = status is not None and status != 101
    if is_refusal and not isinstance(content.get("text"), str) and content.get("size") != 0:
        found.append(Lack.BODY)
    return tuple(found)


#: Who exports handshakes alone, by `log.creator.name`.
_WITHOUT_MESSAGES: Final = {"firefox": "Firefox", "webkit web inspector": "Safari"}
_ENDS: Final = frozenset({"fin", "rst", "close_notify", "timeout"})


def _imported(
    facts: dict[str, Any],
    request: dict[str, Any],
    target: UrlParts,
    fields: list[tuple[str, str]],
    start_ns: int,
) -> Imported:
    response = _object(facts.get("response"))
    status = response.get("status")
    status = status if type(status) is int and 100 <= status <= 999 else None
    version = http_version(request.get("httpVersion"))
    answer = None
    # Chrome and Playwright export no response for a refused handshake, only what the console says about it.
    failed = response.get("_failureText")
    failure = facts.get("failure") or (failed if isinstance(failed, str) else None)
    refusal = _REFUSAL.search(failure) if failure and status is None else None
    if refusal:
        status, response = int(refusal[1]), {}
    # An extended CONNECT (RFC 8441) is one only with its pseudo-header fields.
    asked = http2_head(request.get("headers")) if version == "HTTP/2.0" else None
    is_http2 = asked is not None and http_version(response.get("httpVersion")) == version
    if asked is None and _is_connect(facts, fields, failure):
        asked, version, is_http2 = connect_head(target, fields), "HTTP/2.0", True
    if status is not None and is_http2:
        answer = http2_head(response.get("headers"), status)
    elif status is not None:
        reason = response.get("statusText")
        answer = response_head(
            http_version(response.get("httpVersion")),
            status,
            reason if isinstance(reason, str) else "",
            fields_of(response.get("headers")),
        )
    error = failure or response.get("_error", facts.get("_error"))
    close = facts.get("_webSocketClose")
    reported: dict[str, Any] | None = None
    if isinstance(close, dict) and type(close.get("code")) is int:
        reported = {"code": close["code"], "reason": str(close.get("reason") or "")[:123]}
    elif close == "aborted":
        reported = {"code": None, "reason": None}
    address = facts.get("serverIPAddress")
    return Imported(
        scheme=target.scheme,
        host=target.host,
        port=target.port,
        path=target.path,
        http_version=version,
        attempt_ns=start_ns,
        closed_ns=None if _has_odd_date(facts) else _end_ns(start_ns, facts.get("time")),
        status=status,
        request=asked or request_head(str(request.get("method") or "GET"), target.path, version, fields),
        response=answer,
        body=_body(response.get("content")),
        error=error if isinstance(error, str) and error else None,
        server=f"{address}:{target.port}" if isinstance(address, str) and address else None,
        reported=reported,
    )


def _has_odd_date(facts: dict[str, Any]) -> bool:
    """Whether the start is no date of a WebSocket, and the length counts from it."""
    date = facts.get("startedDateTime")
    return isinstance(date, str) and _date_ns(date) is None


def _is_connect(facts: dict[str, Any], fields: list[tuple[str, str]], failure: Any) -> bool:
    """Whether an upgrade is how Chromium lists its extended CONNECT: without a key, which it has in HTTP/1.1.

    Of another client's upgrade without one there is a refusal, with its status and its body.
    """
    names = {name.lower() for name, _ in fields}
    if facts.get("_resourceType") != "websocket" or "upgrade" not in names or "sec-websocket-key" in names:
        return False
    response = _object(facts.get("response"))
    status = response.get("status")
    if type(status) is not int or not 100 <= status <= 999:
        return bool(failure)
    return 200 <= status <= 299 and not _body(response.get("content"))


def _is_engine_refusal(url: Any, facts: dict[str, Any]) -> bool:
    """Whether Engine.IO refused a request of its long-polling with its error as JSON."""
    response = _object(facts.get("response"))
    status = response.get("status")
    if not isinstance(url, str) or type(status) is not int or not 400 <= status <= 599:
        return False
    return "EIO=" in url and _ENGINE_ERROR.match(_body(response.get("content"))) is not None


def _number(value: Any) -> float | None:
    """A number, also as text; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _as_seconds(value: float, text: str) -> str:
    """Milliseconds, microseconds or nanoseconds as seconds, exactly."""
    places = 3 if value < _LAST_SECOND * 1e3 else 6 if value < _LAST_SECOND * 1e6 else 9
    try:
        return format(Decimal(text).scaleb(-places), "f")
    except ArithmeticError:
        return text


def _is_websocket(facts: dict[str, Any], url: Any, fields: list[tuple[str, str]]) -> bool:
    if facts.get("_resourceType") == "websocket" or facts.get("messages"):
        return True
    if isinstance(url, str) and url[:3].lower() in ("ws:", "wss"):
        return True
    return asks_for_websocket(fields)


def _numbers(value: Any) -> Any:
    """JSON with floats again where the stream has their digits; one that is too large stays text."""
    if isinstance(value, dict):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    if isinstance(value, Digits) and math.isfinite(found := float(value)):
        return found
    return value


def _words(value: Any) -> str | None:
    """A text of our own, of a length that we write."""
    return value[:_FAILURE_CHARS] if isinstance(value, str) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _body(content: Any) -> bytes:
    text = _object(content).get("text")
    if not isinstance(text, str):
        return b""
    if _object(content).get("encoding") == "base64":
        try:
            return base64.b64decode(text, validate=True)[:_BODY_BYTES]
        except (binascii.Error, ValueError):
            return text.encode("utf-8", "surrogatepass")[:_BODY_BYTES]
    return text.encode("utf-8", "surrogatepass")[:_BODY_BYTES]


def _end_ns(start_ns: int, milliseconds: Any) -> int | None:
    try:
        length_ns = round(float(milliseconds) * 1e6)
    except (TypeError, ValueError, OverflowError):
        return None
    return start_ns + length_ns if 0 <= length_ns < 1 << 60 else None


def _date_ns(text: Any) -> int | None:
    """Epoch nanoseconds of an ISO 8601 date; digits beyond microseconds count."""
    match = _DATE.fullmatch(text) if isinstance(text, str) and len(text) < 64 else None
    if not match:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + (match[3] or "Z"))
        seconds = round(whole.timestamp())
    except (ValueError, OverflowError):
        return None
    # Chrome dates a WebSocket of which nothing left the browser one second before 1970.
    if seconds < _FIRST_SECOND:
        return None
    return seconds * 10**9 + int(((match[2] or "") + "0" * 9)[:9])
