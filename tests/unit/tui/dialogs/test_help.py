"""Help: the keys of the pane and of its page, and of the others those that do something there."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.geometry import Region

from tests.support.svg import text_of
from tests.support.tui_captures import chat_capture
from tests.support.tui_pilot import Screen, opened
from wsinspect.tui.dialogs.help import HelpPane

pytestmark = pytest.mark.asyncio


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


def parts(screen: Screen) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of the pane, and the others, each with what it does."""
    pane = screen.app.screen.query_one(HelpPane)
    lines = [pane.row_text(number) for number in range(pane.row_count())]
    own, others = lines.index(" Keys of this pane"), lines.index(" Other keys")
    rows = [(line[1:23].strip(), line[23:]) for line in lines]
    return dict(rows[own + 1 : others - 1]), dict(row for row in rows[others + 1 :] if row[0])


async def test_the_main_page_has_all_of_its_keys(chat):
    async with opened(chat) as screen:
        await screen.press("3", "question_mark")
        own, others = parts(screen)
        title = screen.app.screen.query_one(HelpPane).title()[1]
        assert "".join(text for text, _ in title) == "esc back", "the key is the one that leaves a page"
        assert own["enter"] == "inspect"
        assert {"tab", "space", "/", "e", "x", "ctrl+z", "q"} <= set(others)


@pytest.mark.parametrize(
    ("page", "key", "words", "gone"),
    [
        ("B", "e", "edit it in place", "export"),
        ("f", "a", "add a rule", "frames from all connections"),
        ("t", "y", "copy the URL", "copy what is selected"),
        ("i", "r", "read the proxy's configuration: the file, the line and the diff", "maximise"),
    ],
)
async def test_a_page_has_its_own_keys_and_none_that_do_something_else_there(chat, page, key, words, gone):
    async with opened(chat) as screen:
        await screen.press(page, "question_mark")
        own, others = parts(screen)
        assert own[key] == words
        assert key not in others
        assert not any(gone in text for text in others.values())
        assert "tab" not in others  # of the main page alone
        assert {"/", "n", "q"} <= set(others)


async def test_long_words_continue_below_and_a_key_is_said_once(chat):
    async with opened(chat, size=(80, 24)) as screen:
        await screen.press("i", "question_mark")
        pane = screen.app.screen.query_one(HelpPane)
        lines = [pane.row_text(number) for number in range(pane.row_count())]
        assert max(map(len, lines)) < pane.size.width
        assert "and the diff" in " ".join(" ".join(lines).split())
        assert [line.split(maxsplit=1)[1] for line in lines if line.startswith(" pagedown")] == [
            "scroll the details"
        ]


async def test_keys_that_the_user_has_changed_are_shown(chat, tmp_path):
    keymap = tmp_path / "XDG_CONFIG_HOME" / "wsinspect" / "keys.toml"
    keymap.parent.mkdir(parents=True)
    keymap.write_text('[keys]\n"page.timeline" = "f9"\n"frames.inspect" = "f8"\n"faults.add" = "f7"\n')
    async with opened(chat) as screen:
        await screen.press("3", "question_mark")
        own, others = parts(screen)
        assert own["f8"] == "inspect"
        assert others["f9"].startswith("timeline")
        await screen.press("escape", "f", "question_mark")
        assert parts(screen)[0]["f7"] == "add a rule"


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=str)
async def test_it_takes_all_of_the_screen_but_the_line_that_says_what_is_armed(chat, size):
    async with opened(chat, size=size) as screen:
        header = screen.line("header")
        await screen.press("3", "question_mark")
        pane = screen.app.screen.query_one(HelpPane)
        assert pane.region == Region(0, 1, size[0], size[1] - 1)
        assert text_of(screen.app.export_screenshot())[0].split()[:4] == header.split()[:4]


async def test_on_a_wide_screen_other_keys_stand_next_to_those_of_the_pane(chat):
    async with opened(chat, size=(200, 50)) as screen:
        await screen.press("3", "question_mark")
        pane = screen.app.screen.query_one(HelpPane)
        lines = [pane.row_text(number) for number in range(pane.row_count())]
        [title] = [line for line in lines if "Keys of this pane" in line]
        at = title.index("Other keys")
        shown = {line[at : at + 22].strip(): line[at + 22 :] for line in lines if len(line) > at}
        assert shown["tab"] == "next pane"
        assert any(line.startswith(" enter ") and "inspect" in line[:at] for line in lines)
        assert any(line.startswith(" Filters") for line in lines)
