"""What a connection with something held has said so far, for `findings.patience`: few, bounded statements."""

from __future__ import annotations

from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import FrameRow
from wsinspect.findings.patience import Patience, Spoken, Talk, patience_of
from wsinspect.handshake.heads import RawHead
from wsinspect.wire.opcodes import Opcode

_FIRST_MESSAGES: Final = 8
_FIRST_BYTES: Final = 16 * 1024
#: Pings are looked for among so many of the newest frames.
_LAST_FRAMES: Final = 300
#: A ping is shorter.
_LAST_BYTES: Final = 16


def patience_in(capture: Capture, connection: int, *, is_open: bool) -> tuple[Patience, ...]:
    """What both sides of a connection are known to wait for; empty where the capture has no such connection.

    Args:
        is_open: a message is held, and not the opening handshake.

    Raises:
        CaptureError: the capture is damaged.
    """
    one = capture.connection(connection)
    if one is None:
        return ()
    shake = capture.handshake(connection)
    request = None if shake is None else shake.request_in or shake.request_out
    response = None if shake is None else shake.response_in or shake.response_out
    talk = Talk(
        request=None if request is None else RawHead.parse(request),
        response=None if response is None else RawHead.parse(response),
        path=one.path or "",
        subprotocol=one.subprotocol or "",
        is_open=is_open,
        attempt_ns=one.attempt_ns,
        open_ns=one.open_ns,
    )
    if not is_open:
        return patience_of(talk)
    return patience_of(talk._replace(first=_first(capture, connection), last=_last(capture, connection)))


def _first(capture: Capture, connection: int) -> list[Spoken]:
    """How the first messages begin, inflated."""
    messages = capture.messages(connection, limit=_FIRST_MESSAGES, data_limit=_FIRST_BYTES)
    frames = {
        one.id: one for one in capture.frames_of([one.first_frame for one in messages], payload_limit=0)
    }
    return [
        _spoken(frame, capture.message_payload(message, _FIRST_BYTES))
        for message in messages
        if (frame := frames.get(message.first_frame)) is not None
    ]


def _last(capture: Capture, connection: int) -> list[Spoken]:
    """How the last messages and control frames begin; what is no first frame of a message is left out."""
    frames = capture.last_frames(connection, _LAST_FRAMES, payload_limit=_LAST_BYTES)
    deflated = [one.message_id for one in frames if one.rsv1 and one.message_id is not None]
    inflated = {one.id: one.data for one in capture.messages_of(deflated, data_limit=_LAST_BYTES)}
    return [
        _spoken(frame, (inflated.get(frame.message_id or 0) if frame.rsv1 else frame.payload) or b"")
        for frame in frames
        if frame.opcode != Opcode.CONTINUATION
    ]


def _spoken(frame: FrameRow, data: bytes) -> Spoken:
    return Spoken(frame.direction, frame.opcode, data, frame.time_ns, frame.sent_ns)


__all__ = ["patience_in"]
