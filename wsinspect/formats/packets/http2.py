"""Opening handshakes over HTTP/2 (RFC 8441), among all streams of a connection, and what follows them.

Frames are hyperframe's to read, header blocks hpack's. A header block is needed even where its stream is
not: the table of the next ones depends on it, so a gap ends the reading.
"""

from __future__ import annotations

from typing import Any, Final

from h2.errors import ErrorCodes
from hpack import Decoder
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from wsinspect.formats.packets.http1 import NotHttpError, Story

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER: Final = 9
#: What a receiver's SETTINGS_MAX_FRAME_SIZE allows at most is 2**24 - 1; nobody sends more than this in one.
_MAX_FRAME: Final = 1 << 20
_MAX_BLOCK: Final = 1 << 18
_MAX_STREAMS: Final = 10_000
#: SETTINGS_HEADER_TABLE_SIZE of a receiver that the trace may not have; Chrome's and Firefox's are 64 KiB.
_TABLE: Final = 1 << 20


def may_be_settings(start: bytes | bytearray) -> bool:
    """Whether bytes begin as a server's connection preface does: a SETTINGS frame that acknowledges nothing.

    RFC 9113 sections 3.4 and 6.5; fewer than a frame's header may be the beginning of one.
    """
    if len(start) >= 3 and int.from_bytes(start[:3], "big") % 6:
        return False
    return start[:1] in (b"", b"\0") and b"\4\0\0\0\0\0".startswith(bytes(start[3:_HEADER]))


class _Stream:
    __slots__ = ("ended", "is_answered", "is_open", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_answered = self.is_open = False
        self.ended = [False, False]


class Http2:
    """The streams of a connection, from the client's preface on."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._buffers = (bytearray(), bytearray())
        self._decoders = (_decoder(), _decoder())
        self._blocks: list[tuple[Any, bytearray] | None] = [None, None]
        self._streams: dict[int, _Stream] = {}
        self._has_preface = False

    def feed(self, side: int, data: bytes, time_ns: int) -> None:
        """What a side sent.

        Raises:
            NotHttpError: it is not HTTP/2.
        """
        buffer = self._buffers[side]
        buffer += data
        if side == 0 and not self._has_preface:
            if len(buffer) < len(PREFACE):
                return
            del buffer[: len(PREFACE)]
            self._has_preface = True
        while len(buffer) >= _HEADER:
            size = int.from_bytes(buffer[:3], "big")
            if size > _MAX_FRAME:
                raise NotHttpError("a frame that is larger than anybody sends")
            if len(buffer) < _HEADER + size:
                return
            raw = bytes(buffer[: _HEADER + size])
            del buffer[: _HEADER + size]
            try:
                frame, _ = Frame.parse_frame_header(memoryview(raw)[:_HEADER])
                frame.parse_body(memoryview(raw)[_HEADER:])
                self._take(side, frame, time_ns)
            except (HyperframeError, HPACKError, ValueError, IndexError) as error:
                raise NotHttpError(f"HTTP/2 that cannot be read ({type(error).__name__})") from None

    def gap(self, side: int, size: int, time_ns: int) -> None:
        """Bytes of a side are missing.

        Raises:
            NotHttpError: nothing can be read after that.
        """
        for stream in self._streams.values():
            self._story.hole(stream.number, side, size, time_ns)
        raise NotHttpError("bytes of its frames are missing in the trace")

    def waiting(self) -> list[int]:
        """The attempts that have not been answered."""
        return [one.number for one in self._streams.values() if not one.is_answered]

    def alive(self) -> list[int]:
        """The WebSockets that have not ended, and refusals whose body is not over."""
        return [one.number for one in self._streams.values() if one.is_answered]

    def _take(self, side: int, frame: Frame, time_ns: int) -> None:
        if isinstance(frame, DataFrame):
            self._data(side, frame, time_ns)
        elif isinstance(frame, HeadersFrame | PushPromiseFrame):
            self._blocks[side] = frame, bytearray(frame.data)
            self._finish_block(side, frame, time_ns)
        elif isinstance(frame, ContinuationFrame):
            block = self._blocks[side]
            if block is not None:
                block[1].extend(frame.data)
                if len(block[1]) > _MAX_BLOCK:
                    raise NotHttpError("a header block without an end")
                self._finish_block(side, frame, time_ns)
        elif isinstance(frame, RstStreamFrame):
            stream = self._streams.get(frame.stream_id)
            if stream is not None:
                self._end(
                    frame.stream_id, stream, side, "rst", f"RST_STREAM {_code(frame.error_code)}", time_ns
                )
        elif isinstance(frame, SettingsFrame | GoAwayFrame):
            return

    def _finish_block(self, side: int, last: Frame, time_ns: int) -> None:
        block = self._blocks[side]
        if block is None or "END_HEADERS" not in last.flags:
            return
        self._blocks[side] = None
        frame, data = block
        fields = [
            (bytes(name), bytes(value)) for name, value in self._decoders[side].decode(bytes(data), raw=True)
        ]
        if not isinstance(frame, HeadersFrame):
            return
        is_end = "END_STREAM" in frame.flags
        stream = self._streams.get(frame.stream_id)
        if side == 0 and stream is None:
            stream = self._request(frame.stream_id, fields, time_ns)
        elif side == 1 and stream is not None and not stream.is_answered:
            self._answer(stream, fields, time_ns)
        if is_end and stream is not None:
            self._end(frame.stream_id, stream, side, "fin", "END_STREAM", time_ns)

    def _request(self, stream_id: int, fields: list[tuple[bytes, bytes]], time_ns: int) -> _Stream | None:
        pseudo = {name: value for name, value in fields if name[:1] == b":"}
        if pseudo.get(b":protocol", b"").lower() != b"websocket" or pseudo.get(b":method") != b"CONNECT":
            return None
        if len(self._streams) >= _MAX_STREAMS:
            raise NotHttpError("more WebSockets at once than anybody opens")
        stream = _Stream(self._story.attempt(head_text(fields), time_ns, stream_id))
        self._streams[stream_id] = stream
        return stream

    def _answer(self, stream: _Stream, fields: list[tuple[bytes, bytes]], time_ns: int) -> None:
        status = dict(fields).get(b":status", b"")
        head = head_text(fields)
        if status[:1] == b"1":
            self._story.informational(stream.number, head, time_ns)
            return
        stream.is_answered = True
        stream.is_open = status[:1] == b"2"
        self._story.answer(stream.number, head, time_ns, is_open=stream.is_open)

    def _data(self, side: int, frame: DataFrame, time_ns: int) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        data = bytes(frame.data)
        if data:
            if stream.is_answered and not stream.is_open:
                if side:
                    self._story.body(stream.number, data, time_ns)
            else:
                self._story.message(stream.number, side, data, time_ns)
        if "END_STREAM" in frame.flags:
            self._end(frame.stream_id, stream, side, "fin", "END_STREAM", time_ns)

    def _end(self, stream_id: int, stream: _Stream, side: int, how: str, http2: str, time_ns: int) -> None:
        if not stream.is_answered:
            if how == "fin" and side == 0:
                stream.ended[0] = True
                return
            del self._streams[stream_id]
            self._story.ended(stream.number, side, how, time_ns, http2)
            self._story.failed(stream.number, "the stream ended without an answer", time_ns)
            self._story.closed(stream.number, time_ns)
            return
        if stream.is_open:
            self._story.ended(stream.number, side, how, time_ns, http2)
        stream.ended[side] = True
        if how == "rst" or all(stream.ended) or (side == 1 and not stream.is_open):
            del self._streams[stream_id]
            self._story.closed(stream.number, time_ns)


def head_text(fields: list[tuple[bytes, bytes]]) -> bytes:
    """A header block as lines, as the engine records it: pseudo-header fields as they came."""
    lines = [name + b": " + value for name, value in fields]
    # HTTP/2 can carry line breaks inside of values, which are not allowed (RFC 9113 section 8.2.1).
    return b"".join(line.replace(b"\r", b"\\r").replace(b"\n", b"\\n") + b"\r\n" for line in lines) + b"\r\n"


def _decoder() -> Decoder:
    decoder = Decoder(max_header_list_size=_MAX_BLOCK)
    decoder.max_allowed_table_size = _TABLE
    return decoder


def _code(number: int) -> str:
    try:
        return ErrorCodes(number).name
    except ValueError:
        return f"0x{number:x}"
