"""Jump mode: labels on panes and rows."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from textual.geometry import Region

from tests.support.tui_captures import chat_capture, hold_engine_lock, many_frames, many_more
from tests.support.tui_pilot import Screen, opened
from wsinspect.tui.dialogs.jump import LETTERS, JumpScreen, labels
from wsinspect.tui.widgets.base import LinePane


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


@pytest.mark.parametrize("count", [0, 1, 25, 26, 27, 51, 52, 100, 676])
def test_no_label_begins_another_and_the_first_are_the_shortest(count):
    made = labels(count)
    assert len(made) == len(set(made)) == count
    assert not any(b.startswith(a) for a, b in itertools.permutations(made, 2))
    assert [len(one) for one in made] == sorted(len(one) for one in made)
    assert all(len(one) == 1 for one in made) == (count <= len(LETTERS))


def jumping(screen: Screen) -> JumpScreen:
    top = screen.app.screen
    assert isinstance(top, JumpScreen)
    return top


def label_at(screen: Screen, pane: str, line: int) -> str:
    """The label that stands on a line of a pane."""
    region: Region = screen.widget(pane, LinePane).region
    for text, label in jumping(screen).choices.items():
        if (label.target.x, label.target.y) == (region.x, region.y + line):
            assert label.region.offset == (label.target.x, label.target.y)
            return text
    raise AssertionError(f"no label on line {line} of {pane}")


def focused(screen: Screen) -> str | None:
    return screen.app.focused.id if screen.app.focused is not None else None


async def is_focused(screen: Screen, name: str) -> None:
    await screen.until(lambda: focused(screen) == name)


async def is_over(screen: Screen) -> bool:
    await screen.until(lambda: len(screen.app.screen_stack) == 1)
    return True


@pytest.mark.asyncio
async def test_a_letter_goes_to_a_pane(chat):
    async with opened(chat) as screen:
        for name in ("inspector", "connections", "overview", "frames"):
            await screen.press("ctrl+o")
            await screen.press(*label_at(screen, name, 0))
            assert await is_over(screen)
            await is_focused(screen, name)


@pytest.mark.asyncio
async def test_a_label_goes_to_a_row(chat):
    async with opened(chat, size=(120, 50)) as screen:
        await screen.press("3", "g", "ctrl+o")
        line = next(at for at, text in enumerate(screen.pane("frames")) if " 0x3 " in text)
        await screen.press(*label_at(screen, "frames", line))
        await is_over(screen)
        assert screen.main.frames.selected_position() == 10  # frame 11
        await screen.press("ctrl+o")
        await screen.press(*label_at(screen, "connections", 3))
        await screen.until(lambda: screen.selection.connection == 3)
        assert focused(screen) == "connections"


@pytest.mark.asyncio
async def test_a_gap_has_no_label_and_every_frame_on_the_screen_has_one(chat):
    async with opened(chat, size=(200, 50)) as screen:
        await screen.press("3", "g", "ctrl+o")
        frames = screen.pane("frames")
        for line, text in enumerate(frames[2:], 2):
            if "┊ gap" in text:
                with pytest.raises(AssertionError, match="no label"):
                    label_at(screen, "frames", line)
            elif text:
                assert label_at(screen, "frames", line)
        await screen.press("escape")
        assert await is_over(screen)


@pytest.mark.asyncio
async def test_the_first_of_two_letters_leaves_its_labels_and_another_key_leaves(chat):
    async with opened(chat, size=(200, 50)) as screen:
        await screen.press("3", "g", "ctrl+o")
        choices = jumping(screen).choices
        double = [text for text in choices if len(text) == 2]
        if double:
            await screen.press(double[0][0])
            assert {text for text, label in choices.items() if label.display} == {
                text for text in choices if text.startswith(double[0][0])
            }
        await screen.press("exclamation_mark")
        assert await is_over(screen)
        await screen.press("ctrl+o", "ctrl+o")
        assert await is_over(screen)


@pytest.mark.asyncio
async def test_frames_that_arrive_move_rows_and_not_the_aim(tmp_path):
    path = many_frames(tmp_path / "many.db", 200, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await screen.press("3", "ctrl+o")
        line = next(at for at, text in enumerate(screen.pane("frames")) if " 195 " in text)
        label = label_at(screen, "frames", line)
        many_more(path, 200, 50)
        await screen.until(lambda: len(screen.main.frames.view.rows) == 250)
        await screen.press(*label)
        await is_over(screen)
        assert screen.main.frames.selected_position() == 194
    lock.release()


@pytest.mark.asyncio
async def test_where_one_pane_fits_the_tabs_have_labels(chat):
    async with opened(chat, size=(70, 20)) as screen:
        await screen.press("3", "ctrl+o")
        tabs = screen.main.tabs
        found = [text for text, label in jumping(screen).choices.items() if label.target.y == tabs.region.y]
        assert len(found) == 4
        await screen.press(*found[3])
        await is_over(screen)
        await screen.until(lambda: screen.main.pane_number == 4)


@pytest.mark.asyncio
async def test_pages_have_labels_too_and_the_bar_keeps_its_keys(chat):
    async with opened(chat) as screen:
        await screen.press("i", "ctrl+o")
        assert len(jumping(screen).choices) == 2  # the pane, and its one finding
        await screen.press("escape", "escape", "slash", "ctrl+o")
        assert len(screen.app.screen_stack) == 1
