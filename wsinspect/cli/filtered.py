"""`show --filter`: the connections that pass, or the frames, of one connection or of all.

Frames are printed in blocks as they are found, so the first ones are on the screen at once however large the
capture is; memory holds one batch. Of ordinary frames the text is made of what SQL gives (`render.plain`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wsinspect.capture.filtering import FrameScan, matching_connections
from wsinspect.capture.queries.plain_rows import OBJECT_COLUMNS
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import FrameRow
from wsinspect.cli.listing import NO_STATE, capture_state
from wsinspect.cli.output import columns, echo, echo_json, prose_columns
from wsinspect.errors import CaptureError
from wsinspect.filters import Filter
from wsinspect.present.clock import RELATIVE, Clock
from wsinspect.present.connection_table import ConnectionTable
from wsinspect.present.frame_table import FrameTable, Page
from wsinspect.present.objects import connection_object, frame_object
from wsinspect.present.pages import page_of
from wsinspect.present.plain import LINE_COLUMNS, ObjectBlocks, line_block
from wsinspect.present.terminal import Palette, json_line, json_text
from wsinspect.recorder.following import looks
from wsinspect.recorder.opening import open_capture

#: Frames read as objects at a time, and rows written at a time.
_PAGE_FRAMES = 500
_BLOCK_ROWS = 2000
#: The connection's column, when frames of several are shown.
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
    clock: str = RELATIVE,
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
        frames.print_lines(Palette.choose(color), Clock(clock))
    elif follow:
        frames.print_json_lines()
    else:
        frames.print_json()


def _show_connections(path: Path, flt: Filter, *, follow: bool, as_json: bool) -> None:
    printed: set[int] = set()
    table: ConnectionTable | None = None
    for capture, _ in looks(path, follow=follow):
        found = [one for one in matching_connections(capture, flt) if one.id not in printed]
        printed.update(one.id for one in found)
        if as_json and not follow:
            objects = [connection_object(one) for one in found]
            echo_json(
                {"capture": str(path), "filter": str(flt), **capture_state(capture), "connections": objects}
            )
        elif as_json:
            for one in found:
                echo_json({"event": "connection", "connection": one.id, **connection_object(one)})
        elif table is None:
            with_tap = len({one.tap for one in found}) > 1
            table = ConnectionTable(found, with_tap, prose_columns())
            for line in table.lines():
                echo(line)
        else:
            for one in found:
                echo(table.line(one))


class Frames:
    """Frames that pass, a block of rows at a time."""

    def __init__(
        self, path: Path, flt: Filter, number: int | None, *, with_payload: bool, follow: bool
    ) -> None:
        self._path, self._filter, self._number = path, flt, number
        self._with_payload = with_payload
        self._follow = follow
        self._after = 0
        self._capture: Capture

    def print_lines(self, palette: Palette, clock: Clock) -> None:
        """Rows for people, each with its connection where there are several."""
        tables: dict[int, FrameTable] = {}
        width = columns() - (0 if self._number else _CONNECTION_CELLS + 2)
        header = FrameTable(None, width, palette, clock=clock).header()
        echo(header if self._number else f"{palette.bold('CONN'.rjust(_CONNECTION_CELLS))}  {header}")
        prefix = "" if self._number else f"%{_CONNECTION_CELLS}d  "

        def table_of(number: int) -> FrameTable:
            table = tables.get(number)
            if table is None:
                connection = self._capture.connection(number)
                is_open = connection is not None and connection.closed_ns is None
                is_live = is_open and self._capture.is_live
                table = tables[number] = FrameTable(connection, width, palette, is_live, clock)
                if not self._number and self._capture.start_ns is not None:
                    table.start_ns = self._capture.start_ns  # one zero for all
            return table

        for rows in self._blocks(LINE_COLUMNS):
            lines = {
                frame.id: partial(_lines, frame, page) for page in self._odd(rows) for frame in page.frames
            }
            sys.stdout.write(line_block(rows, table_of, lines, palette, with_connection=prefix))
            sys.stdout.flush()

    def print_json_lines(self) -> None:
        """One object a frame."""
        blocks = ObjectBlocks(json_line({"event": "frame"})[1:-1] + ", ")
        for rows in self._blocks(OBJECT_COLUMNS):
            odd = {
                frame.id: json_line({"event": "frame", **self._object(frame, page)})
                for page in self._odd(rows)
                for frame in page.frames
            }
            sys.stdout.write("\n".join([*blocks.texts(rows, odd), ""]))
            sys.stdout.flush()

    def print_json(self) -> None:
        """One object, written as it is found; of a damaged capture with what could be read, and `damaged`."""
        failure: Exception | None = None
        state = NO_STATE
        try:
            with open_capture(self._path) as capture:
                state = capture_state(capture)
        except CaptureError as error:
            failure = error
        content = {"capture": str(self._path), "filter": str(self._filter), **state}
        begin = json_line(content).removesuffix("}") + ', "frames": ['
        texts = self._json_texts()
        while True:
            try:
                text = next(texts, None)
            except Exception as error:  # a damaged file holds any value anywhere; reported below
                if begin:
                    raise  # nothing is written yet
                failure = error
                break
            if text is None:
                break
            sys.stdout.write((begin or ", ") + text)
            begin = ""
        sys.stdout.write(f'{begin}], "damaged": {json_text(failure is not None)}}}\n')
        sys.stdout.flush()
        if failure is not None:
            raise failure

    def _json_texts(self) -> Iterator[str]:
        """Frames as JSON, a block at a time."""
        blocks = ObjectBlocks()
        for rows in self._blocks(OBJECT_COLUMNS):
            odd = {
                frame.id: json_text(self._object(frame, page))
                for page in self._odd(rows)
                for frame in page.frames
            }
            yield ", ".join(blocks.texts(rows, odd))

    def _object(self, frame: FrameRow, page: Page) -> dict[str, object]:
        if self._with_payload and len(frame.payload) < frame.length:
            frame = self._capture.frame(frame.id) or frame
        content = frame_object(frame, page.pings.get(frame.id), self._with_payload)
        return {"connection": frame.connection_id, **content}

    def _blocks(self, wanted: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of an id and the wanted columns, of which the fifth tells whether a frame is ordinary."""
        if self._with_payload:
            wanted = [*wanted[:4], "0", *wanted[5:]]
        for capture, _ in looks(self._path, follow=self._follow):
            self._capture = capture
            if self._number is not None and capture.connection(self._number) is None:
                raise CaptureError(f"{self._path} has no connection {self._number}")
            scan = FrameScan(capture, self._filter, connection_id=self._number, columns=wanted)
            for batch in scan.batches(self._after):
                self._after = batch.scanned_to
                for at in range(0, len(batch.rows), _BLOCK_ROWS):
                    yield batch.rows[at : at + _BLOCK_ROWS]

    def _odd(self, rows: list[tuple[Any, ...]]) -> Iterator[Page]:
        """The frames among these that need more than their row; all, with whole payloads."""
        ids = [row[0] for row in rows if not row[5]]
        for at in range(0, len(ids), _PAGE_FRAMES):
            yield page_of(self._capture, ids[at : at + _PAGE_FRAMES], with_payload=self._with_payload)


def _lines(frame: FrameRow, page: Page, table: FrameTable) -> list[str]:
    return list(table.frame_lines(frame, page))
