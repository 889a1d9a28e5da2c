"""Reading a connection's frames from a capture, a page at a time, with the messages and pings they belong to.

Contract: a page is a few short read transactions, so that a live capture's WAL stays small however slowly the
lines are printed. Payloads are cut to a preview; whole ones are fetched one by one when they are printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from wsinspect.capture import queries
from wsinspect.capture.queries import timeline
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import FrameRow, Message, Ping
from wsinspect.present.frame_table import Page
from wsinspect.present.records import PREVIEW_BYTES, Fragment
from wsinspect.wire.opcodes import Opcode

_PAGE_FRAMES = 1000
#: Messages that began before a page's first frame: one for each direction.
_OPEN_BEFORE = 2


def read_pages(
    capture: Capture, connection_id: int, *, after: int = 0, with_payload: bool = False
) -> Iterator[Page]:
    """The frames with ids above `after` that are in the capture now."""
    while True:
        frames = capture.frames(connection_id, after=after, limit=_PAGE_FRAMES, payload_limit=PREVIEW_BYTES)
        if not frames:
            return
        after = frames[-1].id
        messages = _messages(capture, connection_id, frames)
        pings = queries.pings_between(capture, connection_id, frames[0].id, frames[-1].id)
        yield _page(capture, frames, messages, pings, with_payload=with_payload)


def whole_payload(capture: Capture, messages: Mapping[int, Message], frame: FrameRow) -> bytes:
    """What is worth printing of a frame: its payload, inflated where it ends a compressed message."""
    message = None if frame.message_id is None else messages.get(frame.message_id)
    if (
        message is not None
        and message.compressed
        and message.data is not None
        and message.last_frame == frame.id
    ):
        return message_payload(capture, message)
    if frame.length <= PREVIEW_BYTES:
        return frame.payload
    whole = capture.frame(frame.id)
    return frame.payload if whole is None else whole.payload


def message_payload(capture: Capture, message: Message) -> bytes:
    """All that a message says, also where `message` was read with its data cut."""
    return capture.message_payload(capture.message(message.id) or message)


def _messages(capture: Capture, connection_id: int, frames: list[FrameRow]) -> dict[int, Message]:
    wanted = {frame.message_id for frame in frames if frame.message_id is not None}
    if not wanted:
        return {}
    limit = len(frames) + _OPEN_BEFORE
    found = capture.messages(connection_id, after=min(wanted) - 1, limit=limit, data_limit=PREVIEW_BYTES)
    return {message.id: message for message in found if message.id in wanted}


def page_of(capture: Capture, ids: Sequence[int], *, with_payload: bool) -> Page:
    """These frames, of any connections, with all that belongs to them."""
    frames = capture.frames_of(ids, payload_limit=PREVIEW_BYTES)
    # Messages that a single frame does not show: compressed, or fragmented.
    wanted = {
        frame.message_id
        for frame in frames
        if frame.message_id is not None and (frame.rsv1 or frame.is_fragment)
    }
    found = capture.messages_of(sorted(wanted), data_limit=PREVIEW_BYTES) if wanted else []
    pings = queries.pings_of(
        capture, [frame.id for frame in frames if frame.opcode in (Opcode.PING, Opcode.PONG)]
    )
    return _page(
        capture, frames, {message.id: message for message in found}, pings, with_payload=with_payload
    )


def _page(
    capture: Capture,
    frames: list[FrameRow],
    messages: Mapping[int, Message],
    pings: Mapping[int, Ping],
    *,
    with_payload: bool,
) -> Page:
    return Page(
        frames,
        messages,
        pings,
        timeline.faults_of(capture, [frame.id for frame in frames if frame.fault_event_id is not None]),
        timeline.findings_of(capture, [frame.id for frame in frames]),
        _fragments(capture, frames, messages),
        partial(whole_payload, capture, messages) if with_payload else None,
    )


def _fragments(
    capture: Capture, frames: Sequence[FrameRow], messages: Mapping[int, Message]
) -> dict[int, Fragment]:
    """The places of the frames that are one of several of a message, by their ids."""
    found: dict[int, Fragment] = {}
    places: dict[int, tuple[dict[int, int], int]] = {}
    for frame in frames:
        if not frame.is_fragment:
            continue
        message = messages.get(frame.message_id) if frame.message_id is not None else None
        if message is None:
            found[frame.id] = Fragment(0, 0, 0)
            continue
        if message.id not in places:
            whole = timeline.fragments_of(capture, message)
            numbers = {number: at for at, (number, _) in enumerate(whole, 1)}
            places[message.id] = numbers, sum(length for _, length in whole)
        numbers, size = places[message.id]
        found[frame.id] = Fragment(numbers.get(frame.id, 0), len(numbers), size)
    return found
