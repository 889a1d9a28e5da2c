"""STOMP 1.0 to 1.2: a command, headers, an empty line, a body, NUL; a lone newline is a heartbeat.

Source: https://stomp.github.io/stomp-specification-1.2.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from wsinspect.decoders.json_text import NotJson, json_lines, parse_json
from wsinspect.decoders.model import Decoder, Malformed, Payload, field, show_bytes

_CLIENT: Final = (
    "CONNECT", "STOMP", "SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT",
    "DISCONNECT",
)  # fmt: skip
_SERVER: Final = ("CONNECTED", "MESSAGE", "RECEIPT", "ERROR")
_COMMANDS: Final = frozenset(word.encode() for word in (*_CLIENT, *_SERVER))
_SUBPROTOCOLS: Final = ("v10.stomp", "v11.stomp", "v12.stomp", "stomp")
_ESCAPES: Final = {"\\n": "\n", "\\r": "\r", "\\c": ":", "\\\\": "\\"}
#: The 1.0 and 1.2 documents say that CONNECT and CONNECTED are not escaped.
_UNESCAPED: Final = ("CONNECT", "CONNECTED")
_BEATS: Final = b"\r\n"
#: stomp.js does so by `splitLargeFrames`, and some servers by the size of their buffer.
_PIECES: Final = "This may be a piece of a frame that began in an earlier message, or goes on in the next"


class StompFrame(NamedTuple):
    """A frame; of a header that comes twice the first counts."""

    command: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of that name, exactly as spelled; None without such a header."""
        return next((value for key, value in self.headers if key == name), None)


def _fits(payload: Payload) -> bool:
    if payload.subprotocol in _SUBPROTOCOLS:
        return True
    command, newline, _ = payload.data[:64].partition(b"\n")
    return bool(newline) and command.rstrip(b"\r") in _COMMANDS


def parse_frame(data: bytes, at: int) -> tuple[StompFrame, int]:
    """The frame that begins at a byte, and where it ends.

    Raises:
        Malformed: it is cut, or no frame.
    """
    end = re.compile(rb"\r?\n\r?\n").search(data, at)
    if end is None:
        raise Malformed(f"the headers that begin at byte {at} have no end")
    first, *lines = data[at : end.start()].decode("utf-8", "backslashreplace").split("\n")
    command = first.rstrip("\r")
    if command.encode() not in _COMMANDS:
        raise Malformed(f"{command[:40]!r} is not a STOMP command")
    headers = []
    for line in lines:
        name, colon, value = line.rstrip("\r").partition(":")
        if not colon:
            raise Malformed(f"the header {line[:40]!r} has no colon")
        headers.append((_plain(name, command), _plain(value, command)))
    frame = StompFrame(command, tuple(headers), b"")
    begin = end.end()
    stop = _body_end(data, begin, frame.header("content-length"))
    return frame._replace(body=data[begin:stop]), stop + 1


def _plain(text: str, command: str) -> str:
    if command in _UNESCAPED or "\\" not in text:
        return text
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), text)


def _body_end(data: bytes, begin: int, length: str | None) -> int:
    """Where the NUL stands: at the length where one is given, else the first one."""
    if length is not None and length.isascii() and length.isdigit() and len(length) < 10:
        end = begin + int(length)
        if end >= len(data):
            raise Malformed(f"content-length is {length}, of which {len(data) - begin} are in this message")
        if data[end : end + 1] != b"\0":
            raise Malformed(f"content-length is {length}, and there is no NUL at that position")
        return end
    end = data.find(b"\0", begin)
    if end < 0:
        raise Malformed("the frame does not end with NUL")
    return end


def _lines(payload: Payload) -> Iterator[str]:
    data, at, number = payload.data, 0, 0
    while at < len(data):
        if data[at] in _BEATS:
            end = at + 1
            while end < len(data) and data[end] in _BEATS:
                end += 1
            if number == 0:
                yield field("heartbeat", f"{end - at} bytes")
            at = end
            continue
        try:
            frame, at = parse_frame(data, at)
        except Malformed as error:
            raise Malformed(str(error) if number else f"{error}. {_PIECES}") from None
        if number:
            yield ""
        number += 1
        yield from _frame_lines(frame)


def _frame_lines(frame: StompFrame) -> Iterator[str]:
    yield field("command", frame.command)
    for name, value in frame.headers:
        yield f"  {name}: {value}"
    if not frame.body:
        return
    yield field("body", f"{len(frame.body)} bytes")
    text = frame.body.decode("utf-8", "backslashreplace")
    try:
        parse_json(text)
    except NotJson:
        for line in text.split("\n") if text.isprintable() or "\n" in text else [show_bytes(frame.body)]:
            yield f"  {line}"
    else:
        yield from json_lines(text, 2)


def _summary(payload: Payload) -> str | None:
    data = payload.data.lstrip(_BEATS)
    if not data:
        return "heartbeat"
    command, _, rest = data.partition(b"\n")
    if command.rstrip(b"\r") not in _COMMANDS:
        return None
    where = re.search(rb"^destination:([^\r\n]{1,80})", rest, re.MULTILINE)
    words = command.rstrip(b"\r").decode()
    return f"{words} {where[1].decode('utf-8', 'replace')}" if where else words


DECODER: Final = Decoder(
    "stomp",
    _fits,
    _lines,
    _summary,
    is_named=lambda subprotocol, _: subprotocol in _SUBPROTOCOLS,
    begins=bytes({command[0] for command in _COMMANDS}),
)
