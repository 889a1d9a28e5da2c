"""Numbers about a span, plots, and the page that shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tui_captures import chat_capture, many_frames
from tests.support.tui_pilot import Screen, opened
from wsinspect.present.cells import text_of, width_of
from wsinspect.present.glyphs import ASCII, UNICODE
from wsinspect.text import grouped
from wsinspect.tui.screens.statistics import StatisticsScreen
from wsinspect.tui.statistics import (
    BUCKETS,
    Statistics,
    count,
    grouped_shapes,
    percentiles,
    plot,
    statistics_lines,
)

SECOND = 10**9


def test_frames_are_counted_by_direction_opcode_and_time():
    found = count(
        [0, SECOND, 2 * SECOND], [5, 7, 9], [0x8100, 0x8900, 0x8200], [0, 1, 1], range(3), (0, 2 * SECOND)
    )
    c2s, s2c = found.sides
    assert (c2s.frames, c2s.bytes, s2c.frames, s2c.bytes) == (1, 5, 2, 16)
    assert s2c.opcodes == {9: 1, 2: 1}
    assert c2s.frame_buckets[0] == 1
    assert s2c.frame_buckets[BUCKETS // 2] == 1
    assert s2c.byte_buckets[-1] == 9


def test_percentiles_are_nearest_ranks():
    assert percentiles([], 50) == []
    assert percentiles(range(1, 101), 0, 50, 95, 99, 100) == [1, 50, 95, 99, 100]
    assert percentiles([7], 0, 50, 100) == [7, 7, 7]


def test_a_plot_is_as_high_as_its_values():
    assert plot([0, 1, 8], 3, UNICODE, 1) == [" ▁█"]
    assert plot([0, 8, 16], 3, UNICODE, 2) == ["  █", " ██"]
    assert plot([0, 0], 2, ASCII, 1) == ["  "]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=80), st.integers(1, 120), st.integers(1, 4))
def test_any_values_are_a_plot(values, width, rows):
    drawn = plot(values, width, UNICODE, rows)
    assert [len(line) for line in drawn] == [width] * rows


@given(
    st.lists(
        st.tuples(st.integers(0, 10), st.integers(0, 2**31), st.integers(0, 15), st.integers(0, 1)),
        max_size=20,
    ),
    st.integers(20, 200),
)
def test_any_frames_have_lines(frames, width):
    times, lengths, opcodes, flags = (
        (list(part) for part in zip(*frames, strict=True)) if frames else ([], [], [], [])
    )
    found = count(times, lengths, [opcode << 8 for opcode in opcodes], flags, range(len(frames)), (0, 10))
    found.round_trips = [(time_ns, length) for time_ns, length, _, _ in frames]
    found.add_shape(0, "x" * 300, 5)
    lines = statistics_lines(found, width, ASCII)
    assert all(text_of(line).isascii() for line in lines if "…" not in text_of(line))
    assert sum(side.frames for side in found.sides) == len(frames)


def test_an_empty_span_says_so():
    lines = statistics_lines(Statistics(0, 1), 80, UNICODE)
    assert text_of(lines[-1]) == "No frames in this span."
    assert text_of(statistics_lines(Statistics(0, 1), 80, UNICODE, is_span=False)[-1]) == "No frames."
    assert all(width_of(line) <= 80 for line in lines)


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


async def counted_text(screen: Screen) -> str:
    page = screen.app.page
    assert isinstance(page, StatisticsScreen)
    await screen.until(lambda: page.statistics.found is not None and not page._asker.is_asking)
    return page.statistics.document_text()


@pytest.mark.asyncio
async def test_the_page_counts_what_is_selected_and_the_span_of_the_overview(chat):
    async with opened(chat) as screen:
        await screen.press("S")
        text = await counted_text(screen)
        assert "c>s  6 frames" in text
        assert "Round trips  1 PING" in text
        assert "{op=sub, ch}" in text
        await screen.press("y")
        assert "c>s  6 frames" in screen.app.clipboard
        await screen.press("S", "2", *["plus"] * 3, "S", "r")
        text = await counted_text(screen)
        assert "c>s  6 frames" not in text
        assert "span of the overview" in screen.pane("statistics")[0]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_one_connection_and_many_frames(tmp_path):
    async with opened(many_frames(tmp_path / "many.db", 10_000), size=(120, 60)) as screen:
        await screen.press("1", "down")
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("S")
        text = await counted_text(screen)
        assert "conn 1" in screen.pane("statistics")[0]
        assert f"c>s  {grouped(5000)} frames" in text
        assert "of the newest" in text


def test_random_bytes_are_joined_by_size_and_types_of_messages_stay():
    shapes = {(0, f"binary {number:02x} 01 02 03"): [1, 40 + number] for number in range(100)}
    shapes |= {(1, "binary 08 96 01 12"): [7, 700], (1, "binary ff"): [1, 9], (0, "text hello"): [1, 5]}
    found = grouped_shapes(shapes)
    assert found[(0, "binary below 64 B")] == [24, sum(range(40, 64))]
    assert found[(0, "binary below 256 B")] == [76, sum(range(64, 140))]
    # What begins alike, what is alone of its size, and text.
    assert found[(1, "binary 08 96 01 12")] == [7, 700]
    assert found[(1, "binary ff")] == [1, 9]
    assert found[(0, "text hello")] == [1, 5]
    assert len(found) == 5
