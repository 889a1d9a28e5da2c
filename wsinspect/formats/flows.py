"""WebSockets of a mitmproxy flow file (`mitmdump -w FILE`).

mitmproxy keeps messages, not frames, and who closed with what code; 1006 stands for an end of TCP, and the
file does not say whether that was a FIN, a RST or a timeout of mitmproxy's own. Its own reader is used,
behind a look at each flow's announced length: a flow is read as a whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, Final, cast

from wsinspect.clients.nearby import MAX_URL, Header, body_length, counts, media_type, what_for, whose
from wsinspect.clients.openings import MAX_BODY, Openings, opening_of
from wsinspect.errors import CaptureError
from wsinspect.formats.flows_writer import ATTEMPT, METADATA
from wsinspect.formats.heads import (
    UrlParts,
    asks_for_websocket,
    connect_head,
    http2_head,
    request_head,
    response_head,
)
from wsinspect.formats.notes import ImportNotes
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.staging import Imported, Stage, to_ns
from wsinspect.handshake.codings import decoded
from wsinspect.net import Address, authority_of
from wsinspect.units import format_size
from wsinspect.vocabulary import Lack
from wsinspect.vocabulary.events import HttpRequest

#: mitmproxy reads a flow whole, which takes about six times its size in memory.
MAX_FLOW_BYTES: Final = 256 * 1024 * 1024
_LENGTH_DIGITS: Final = 12
_FIN: Final = 0x80
_CLOSE: Final = 8
#: Close codes that are never on the wire: no status, abnormal, TLS.
_NO_CODE: Final = 1005
_ABNORMAL: Final = frozenset({1006, 1015})
#: The host of a Host header, without the port.
_HOST: Final = re.compile(r"\[[^\]]*\]|[^:\[]+")
_BODY_BYTES: Final = 64 * 1024
_OWN_CHARACTERS: Final = 400
#: mitmproxy reads frames with wsproto. Where a peer breaks the protocol, wsproto makes a CLOSE of its own,
#: with one of these codes and its own words (wsproto/frame_protocol.py), and mitmproxy says the peer sent it.
_OWN_CODES: Final = frozenset({1002, 1007})
_OWN_WORDS: Final = re.compile(
    r"unexpected CONTINUATION|expected CONTINUATION, got |error in extension|Invalid opcode 0x|"
    r"Invalid attempt to fragment control frame|(client|server) received unexpected (un)?masked frame|"
    r"Control frame with payload len > 125|Payload length used [28] bytes when |8-byte payload length with |"
    r"Reserved bit set unexpectedly|CLOSE with (1 byte payload|invalid code|unknown reserved code)|"
    r"remote CLOSE with local-only reason|Error decoding CLOSE reason: |'utf-?8' codec can't decode "
)


def is_flow_file(start: bytes) -> bool:
    """Whether a file begins as a tnetstring of a dictionary or list does: `LENGTH:`."""
    length, colon, _ = start[: _LENGTH_DIGITS + 1].partition(b":")
    return bool(colon) and length.isdigit()


def read_flows(source: IO[bytes], stage: Stage, name: str, progress: Progress = nobody) -> ImportNotes:
    """Stage the WebSockets of a flow file.

    Raises:
        CaptureError: it is not a flow file, is cut off, or a flow is too large.
    """
    notes, openings = ImportNotes(), Openings()
    for state in _states(source, name):
        notes.entries += 1
        progress(source.tell())
        try:
            _stage_flow(notes.entries, state, stage, notes, openings)
        except CaptureError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"flow {notes.entries} is not what mitmproxy writes ({type(error).__name__})"
            raise CaptureError(f"{name} is damaged: {problem}") from None
    return notes


def _states(source: IO[bytes], name: str) -> Iterator[Any]:
    """The flows, each as the dictionary that mitmproxy makes a flow of."""
    from mitmproxy.io import compat, tnetstring

    size = os.fstat(source.fileno()).st_size
    number = 0
    while source.tell() < size:
        number += 1
        _check_length(source, size, name, number)
        try:
            state: Any = tnetstring.load(cast(BinaryIO, source))
            yield compat.migrate_flow(state)
        except Exception as error:  # a foreign parser on hostile bytes
            raise CaptureError(
                f"{name}: flow {number} cannot be read ({type(error).__name__}: {str(error)[:80]})"
            ) from None


def _check_length(source: IO[bytes], size: int, name: str, number: int) -> None:
    start = source.tell()
    head = source.read(_LENGTH_DIGITS + 2)
    source.seek(start)
    digits, colon, _ = head.partition(b":")
    if not colon or not digits.isdigit():
        raise CaptureError(f"{name} is not a mitmproxy flow file")
    length = int(digits)
    if length > size - start:
        raise CaptureError(f"{name} is cut off in flow {number}")
    if length > MAX_FLOW_BYTES:
        raise CaptureError(f"{name}: flow {number} is larger than {format_size(MAX_FLOW_BYTES)}")


def _stage_flow(number: int, state: Any, stage: Stage, notes: ImportNotes, openings: Openings) -> None:
    if state.get("type") != "http":
        return
    if not _is_websocket(state):
        _ask(state, stage, openings)
        return
    websocket = state.get("websocket") or {}
    if not websocket:
        notes.without_messages += 1
    for opcode, from_client, content, time, *_ in websocket.get("messages", ()):
        data = content if isinstance(content, bytes) else str(content).encode()
        stage.add(number, 0 if from_client else 1, _FIN | int(opcode) & 15, data, to_ns(time, "a message"))
    end = websocket.get("timestamp_end")
    closed_ns = None if end is None else to_ns(end, "the end of a WebSocket")
    _stage_close(number, websocket, closed_ns, stage)
    stage.describe(number, _imported(state, closed_ns, websocket))


def _ask(state: Any, stage: Stage, openings: Openings) -> None:
    """A plain request: of all of them, those near an attempt are recorded."""
    request, response, error = state["request"], state.get("response"), state.get("error")
    method, path = _text(request["method"]), _text(request["path"])
    asked, answered = _header(request["headers"]), _header(response["headers"] if response else ())
    status = int(response["status_code"]) if response else None
    ours = _ours(state)
    scheme = _text(request["scheme"]) or "http"
    named = _HOST.match(asked("host") or _text(request["authority"]))
    host = named[0] if named else _text(request["host"])
    place = authority_of(scheme, host, int(request["port"]) or None)  # as `pretty_url` of mitmproxy
    if (opening := opening_of(method, path, asked)) is not None and response:
        content = response.get("content")
        coding = (answered("content-encoding") or "").encode("latin-1", "replace")
        body = decoded(content[:MAX_BODY], coding, MAX_BODY) if isinstance(content, bytes) else None
        said = openings.report(opening, method, f"{scheme}://{place}{path}", asked, status, answered, body)
        if said is not None:
            stage.report(to_ns(request["timestamp_start"], "the start of a request"), said)
    if not ours and not counts(method, path, asked, status):
        return
    began_ns = to_ns(request["timestamp_start"], "the start of a request")
    ms = None
    if response and response.get("timestamp_start") is not None:
        ms = round(max(0, to_ns(response["timestamp_start"], "the start of a response") - began_ns) / 1e6, 3)
    event = HttpRequest(
        method=method,
        url=f"{scheme}://{place}{path}"[:MAX_URL],
        what=_words(ours.get("what")) if ours else what_for(method, path, asked),
        status=status,
        ms=ms,
        length=body_length(answered),
        media_type=media_type(answered),
        error=str(error["msg"]) if isinstance(error, dict) and error.get("msg") and not response else None,
    )
    stage.ask(_whose(state, asked), began_ns, event)


def _header(fields: Any) -> Header:
    """The value of a field, whatever the case of its name."""
    known = {name.lower(): value for name, value in _pairs(fields)}
    return known.get


def _ours(state: Any) -> dict[str, Any]:
    """What `flows_writer` has put into a flow's metadata."""
    metadata = state.get("metadata")
    ours = metadata.get(METADATA) if isinstance(metadata, dict) else None
    return ours if isinstance(ours, dict) else {}


def _words(value: Any) -> str | None:
    """A text of our own, of a length that we write."""
    return value[:_OWN_CHARACTERS] if isinstance(value, str) else None


def _whose(state: Any, header: Header) -> str:
    if ours := _ours(state):
        return _words(ours.get("client")) or ""
    client = state.get("client_conn")
    peer = client.get("peername") if isinstance(client, dict) else None
    return whose(str(peer[0]) if isinstance(peer, list | tuple) and peer else "", header)


def _is_websocket(state: Any) -> bool:
    if state.get("websocket") or ATTEMPT in _ours(state):
        return True
    return asks_for_websocket(_pairs(state["request"]["headers"]))


def _stage_close(number: int, websocket: Any, closed_ns: int | None, stage: Stage) -> None:
    """The CLOSE frame that mitmproxy reports, with its sender, code and reason."""
    code = websocket.get("close_code")
    if not isinstance(code, int) or code in _ABNORMAL or _is_own_close(websocket):
        return
    reason = str(websocket.get("close_reason") or "").encode()[:123]
    body = b"" if code == _NO_CODE or not 0 <= code <= 65535 else code.to_bytes(2, "big") + reason
    at_ns = closed_ns if closed_ns is not None else stage.last_ns(number) or 0
    stage.add(number, 0 if websocket.get("closed_by_client") else 1, _FIN | _CLOSE, body, at_ns)


def _is_own_close(websocket: Any) -> bool:
    """Whether mitmproxy itself made the CLOSE frame that it reports."""
    reason = str(websocket.get("close_reason") or "")
    return websocket.get("close_code") in _OWN_CODES and _OWN_WORDS.match(reason) is not None


def _imported(state: Any, closed_ns: int | None, websocket: Any) -> Imported:
    request, response, error = state["request"], state.get("response"), state.get("error")
    version = _text(request["http_version"])
    path = _text(request["path"]) or "/"
    scheme = "wss" if _text(request["scheme"]) in ("https", "wss") else "ws"
    asked = answer = None
    if version.startswith("HTTP/2") and (websocket or _ours(state).get(ATTEMPT) == "CONNECT"):
        # A flow has no pseudo-header fields, and says GET.
        target = UrlParts(scheme, _text(request["host"]) or None, int(request["port"]) or None, path)
        asked = connect_head(target, _pairs(request["headers"]))
    if response and asked:
        fields = [{"name": name, "value": value} for name, value in _pairs(response["headers"])]
        answer = http2_head(fields, int(response["status_code"]))
    elif response:
        answer = response_head(
            _text(response["http_version"]),
            int(response["status_code"]),
            _text(response["reason"]),
            _pairs(response["headers"]),
        )
    code = websocket.get("close_code")
    side = "client" if websocket.get("closed_by_client") else "server"
    message = str(error["msg"]) if isinstance(error, dict) and error.get("msg") else None
    ended: tuple[str, str] | None = None
    reported = {"code": None, "reason": None, "side": side} if code in _ABNORMAL else None
    if _is_own_close(websocket):
        ended = ("proxy", "fin")
        message = f"mitmproxy closed it with {code} ({websocket['close_reason']}) for what the {side} sent"
    return Imported(
        scheme=scheme,
        host=_text(request["host"]) or None,
        port=int(request["port"]) or None,
        path=path,
        http_version=version,
        attempt_ns=to_ns(request["timestamp_start"], "the start of a request"),
        closed_ns=closed_ns,
        status=int(response["status_code"]) if response else None,
        request=asked or request_head(_text(request["method"]), path, version, _pairs(request["headers"])),
        response=answer,
        body=((response or {}).get("content") or b"")[:_BODY_BYTES] if not websocket else b"",
        error=message,
        server=_address(state.get("server_conn"), "peername"),
        client=_address(state.get("client_conn"), "peername"),
        ended=ended,
        reported=reported,
        lacks=(Lack.PINGS, Lack.TRANSPORT, *(() if websocket else (Lack.MESSAGES,))),
        who=_whose(state, _header(request["headers"])),
    )


def _pairs(fields: Any) -> list[tuple[str, str]]:
    return [(_text(name), _text(value)) for name, value in fields]


def _address(side: Any, key: str) -> str | None:
    value = side.get(key) if isinstance(side, dict) else None
    return (
        str(Address(str(value[0]), value[1])) if isinstance(value, list | tuple) and len(value) >= 2 else None
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
