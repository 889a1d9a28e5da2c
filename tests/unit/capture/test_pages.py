"""Tables in pages that are bounded in bytes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder
from wsinspect.capture import pages
from wsinspect.capture.pages import PAGE_BYTES, Span, WholeTable, frames_of, rows, spans
from wsinspect.capture.reader import Capture
from wsinspect.recorder.opening import open_capture

FRAMES = WholeTable("frame", blob="payload")
#: Small ones, some that fill a page together, one that is larger than a page, and small ones again.
SIZES = (*[3] * 50, *[PAGE_BYTES // 3] * 10, PAGE_BYTES + 5, *[0] * 40, PAGE_BYTES, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with CaptureBuilder(path) as builder:
        for connection in (1, 2):
            builder.connection(connection)
        for number, size in enumerate(SIZES):
            for connection in (1, 2):
                builder.frame(connection, number, 2, bytes(size))
    return path


def spans_of(capture: Capture, table: WholeTable) -> list[Span]:
    return list(spans(capture, table))


@pytest.mark.parametrize("most", [pages.PAGE_ROWS, 7])
@pytest.mark.parametrize("connections", [None, {2}])
def test_pages_have_each_row_once_and_are_bounded(path, monkeypatch, most, connections):
    monkeypatch.setattr(pages, "PAGE_ROWS", most)
    table = FRAMES._replace(connections=connections)
    with open_capture(path) as capture:
        found = spans_of(capture, table)
        read = [rows(capture, table, ("id", "payload"), span) for span in found]
        wanted = [row[0] for row in capture.query("SELECT id FROM frame ORDER BY id")]
    sizes = [sum(len(payload) for _, payload in page) for page in read]
    assert sizes == [span.size for span in found]
    assert all(size <= PAGE_BYTES or len(page) == 1 for size, page in zip(sizes, read, strict=True))
    assert [number for page in read for number, _ in page] == (wanted[1::2] if connections else wanted)
    assert all(one.last == other.after for one, other in pairwise(found))


def test_what_comes_after_a_full_page_is_not_measured_again(path, monkeypatch):
    asked: list[str] = []
    page = Capture.page

    def counted(capture, sql, *rest, **more):
        asked.append(sql)
        return page(capture, sql, *rest, **more)

    monkeypatch.setattr(Capture, "page", counted)
    with open_capture(path) as capture:
        assert len(spans_of(capture, FRAMES)) > 10
    assert len(asked) == 2  # all sizes, and that there are no more


def test_the_frames_of_a_connection_come_in_order_whatever_their_sizes(path):
    with open_capture(path) as capture:
        assert [len(frame.payload or b"") for frame in frames_of(capture, 1)] == list(SIZES)
