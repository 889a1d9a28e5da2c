"""`show --filter`: the connections that pass, or the frames, of one connection or of all.

Frames are printed batch by batch as they are found, so the first ones are on the screen at once however large
the capture is; memory holds one batch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

from wsinspect.capture.filtering import FrameScan, matching_connections
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Frame, Message
from wsinspect.cli.follow import looks
from wsinspect.cli.output import Palette, columns, echo, echo_json, json_line, json_text
from wsinspect.cli.render.connections import ConnectionTable
from wsinspect.cli.render.frames import PREVIEW_BYTES, FrameTable, Page
from wsinspect.cli.render.objects import connection_object, frame_object
from wsinspect.cli.render.pages import pings_of, whole_payload
from wsinspect.errors import CaptureError
from wsinspect.filters import Filter

_PAGE_FRAMES = 500
#: The column for the connection, where frames of several are shown.
_CONNECTION_CELLS = 5


def show_filtered(
    path: Path,
    flt: Filter,
    number: int | None,
    *,
    with_payload: bool,
    follow: bool,
    as_json: bool,
    color: str,
) -> None:
    """Print what passes.

    Raises:
        CaptureError: the capture has no such connection.
    """
    if flt.lists_connections and number is None:
        _show_connections(path, flt, follow=follow, as_json=as_json)
        return
    frames = Frames(path, flt, number, with_payload=with_payload, follow=follow)
    if not as_json:
        frames.print_lines(Palette.choose(color))
    elif follow:
        frames.print_json_lines()
    else:
        frames.print_json()


def _show_connections(path: Path, flt: Filter, *, follow: bool, as_json: bool) -> None:
    told: set[int] = set()
    table: ConnectionTable | None = None
    for capture, _ in looks(path, follow=follow):
        found = [one for one in matching_connections(capture, flt) if one.id not in told]
        told.update(one.id for one in found)
        if as_json and not follow:
            objects = [connection_object(one) for one in found]
            echo_json({"capture": str(path), "filter": str(flt), "connections": objects})
        elif as_json:
            for one in found:
                echo_json({"event": "connection", "connection": one.id, **connection_object(one)})
        elif table is None:
            table = ConnectionTable(found, with_tap=len({one.tap for one in found}) > 1)
            for line in table.lines():
                echo(line)
        else:
            for one in found:
                echo(table.line(one))


class Frames:
    """Frames that pass, page by page."""

    def __init__(
        self, path: Path, flt: Filter, number: int | None, *, with_payload: bool, follow: bool
    ) -> None:
        self._path, self._filter, self._number = path, flt, number
        self._with_payload = with_payload
        self._follow = follow
        self._after = 0
        self._capture: Capture

    def print_lines(self, palette: Palette) -> None:
        """Rows for people, each with its connection where there are several."""
        tables: dict[int, FrameTable] = {}
        width = columns() - (0 if self._number else _CONNECTION_CELLS + 2)
        header = FrameTable(None, width, palette).header()
        echo(header if self._number else f"{palette.bold('CONN'.rjust(_CONNECTION_CELLS))}  {header}")
        for page in self._pages():
            connection_id = page.frames[0].connection_id
            table = tables.get(connection_id)
            if table is None:
                connection = self._capture.connection(connection_id)
                start_ns = connection.attempt_ns if connection else None
                table = tables[connection_id] = FrameTable(start_ns, width, palette)
            prefix = "" if self._number else f"{connection_id:>{_CONNECTION_CELLS}}  "
            sys.stdout.write("".join(f"{prefix}{line}\n" for line in table.lines(page)))
            sys.stdout.flush()

    def print_json_lines(self) -> None:
        """One object a frame."""
        for page in self._pages():
            for frame in page.frames:
                content = self._object(frame, page)
                echo_json({"event": "frame", "connection": frame.connection_id, **content})

    def print_json(self) -> None:
        """One object, written as it is found."""
        content = {"capture": str(self._path), "filter": str(self._filter)}
        sys.stdout.write(json_line(content).removesuffix("}") + ', "frames": [')
        separator = ""
        for page in self._pages():
            for frame in page.frames:
                row = {"connection": frame.connection_id, **self._object(frame, page)}
                sys.stdout.write(separator + json_text(row))
                separator = ", "
        sys.stdout.write("]}\n")
        sys.stdout.flush()

    def _object(self, frame: Frame, page: Page) -> dict[str, object]:
        if self._with_payload and len(frame.payload) < frame.length:
            frame = self._capture.frame(frame.id) or frame
        return frame_object(frame, page.pings.get(frame.id), self._with_payload)

    def _pages(self) -> Iterator[Page]:
        for capture, _ in looks(self._path, follow=self._follow):
            self._capture = capture
            if self._number is not None and capture.connection(self._number) is None:
                raise CaptureError(f"{self._path} has no connection {self._number}")
            scan = FrameScan(capture, self._filter, connection_id=self._number)
            for batch in scan.batches(self._after):
                self._after = batch.scanned_to
                for at in range(0, len(batch.ids), _PAGE_FRAMES):
                    yield from self._read(batch.ids[at : at + _PAGE_FRAMES])

    def _read(self, ids: list[int]) -> Iterator[Page]:
        """Pages of frames in order, each of one connection."""
        frames = self._capture.frames_of(ids, payload_limit=PREVIEW_BYTES)
        for connection_id, run in groupby(frames, key=lambda frame: frame.connection_id):
            some = list(run)
            page = Page(some, self._messages(some), pings_of(self._capture, connection_id, some))
            if self._with_payload:
                page.whole = partial(whole_payload, self._capture, page.messages)
            yield page

    def _messages(self, frames: list[Frame]) -> dict[int, Message]:
        """Those that a frame alone does not tell: compressed, or in fragments."""
        wanted = {
            frame.message_id
            for frame in frames
            if frame.message_id is not None and (frame.rsv1 or not frame.fin or frame.opcode == 0)
        }
        found = (self._capture.message(one) for one in wanted)
        return {message.id: message for message in found if message is not None}
