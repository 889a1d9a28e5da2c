"""Reading a connection's frames from a capture, a page at a time, with the messages and pings they belong to.

Contract: a page is a few short read transactions, so that a live capture's WAL stays small however slowly the
lines are printed. Payloads are cut to a preview; whole ones are fetched one by one when they are printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from wsinspect.capture import queries
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import FrameRow, Message, Ping
from wsinspect.present.frame_table import PREVIEW_BYTES, Page
from wsinspect.wire.opcodes import Opcode

_PAGE_FRAMES = 1000
#: Messages that were begun before a page's first frame: one a direction.
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
        page = Page(
            frames, _messages(capture, connection_id, frames), pings_of(capture, connection_id, frames)
        )
        if with_payload:
            page.whole = partial(whole_payload, capture, page.messages)
        yield page


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


def pings_of(capture: Capture, connection_id: int, frames: list[FrameRow]) -> dict[int, Ping]:
    """The pairs that a page's PING and PONG frames belong to, by the id of either."""
    return queries.pings_between(capture, connection_id, frames[0].id, frames[-1].id)


def page_of(capture: Capture, ids: Sequence[int], *, with_payload: bool) -> Page:
    """These frames, of any connections, with all that belongs to them."""
    frames = capture.frames_of(ids, payload_limit=PREVIEW_BYTES)
    # Those that a frame alone does not tell: compressed, or in fragments.
    wanted = {
        frame.message_id
        for frame in frames
        if frame.message_id is not None and (frame.rsv1 or not frame.fin or frame.opcode == 0)
    }
    found = capture.messages_of(sorted(wanted), data_limit=PREVIEW_BYTES) if wanted else []
    pings = [frame.id for frame in frames if frame.opcode in (Opcode.PING, Opcode.PONG)]
    pairs = queries.pings_of(capture, pings)
    page = Page(frames, {message.id: message for message in found}, pairs)
    if with_payload:
        page.whole = partial(whole_payload, capture, page.messages)
    return page
