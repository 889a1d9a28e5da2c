"""Every screen at every size, as pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.svg import assert_same_screen
from tests.support.tui_captures import CaptureBuilder, at, chat_capture, many_frames
from tests.support.tui_pilot import Screen, opened

pytestmark = [pytest.mark.asyncio, pytest.mark.snapshot]

KNOWN = Path(__file__).parent / "snapshots"
SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]
SCREENS = {
    "main": ("3", "g"),
    "handshake": ("1", "down", "h"),
    "timeline": ("t",),
    "findings": ("i",),
    "faults": ("f",),
    "scrubber": ("3", "g", "s", "greater_than_sign", "m", "greater_than_sign", "m", "full_stop"),
    "help": ("2", "question_mark"),
    "go": ("colon",),
}


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


def compare(screen: Screen, name: str, scratch: Path) -> None:
    assert_same_screen(screen.app.export_screenshot(title="wsinspect"), KNOWN / f"{name}.svg", scratch)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
async def test_screen(chat, tmp_path, name, size):
    async with opened(chat, size=size) as screen:
        await screen.press(*SCREENS[name])
        compare(screen, f"{name}-{size[0]}x{size[1]}", tmp_path)


async def test_without_colour(chat, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(chat, size=(80, 24)) as screen:
        await screen.press("3", "g")
        compare(screen, "no-colour", tmp_path)


async def test_light(chat, tmp_path):
    async with opened(chat) as screen:
        screen.app.theme = "textual-light"
        await screen.press("3", "g")
        compare(screen, "light", tmp_path)


async def test_ascii(chat, tmp_path):
    async with opened(chat, is_ascii=True) as screen:
        await screen.press("3", "g")
        compare(screen, "ascii", tmp_path)


async def test_empty(tmp_path):
    with CaptureBuilder(tmp_path / "empty.db"):
        pass
    async with opened(tmp_path / "empty.db") as screen:
        compare(screen, "empty", tmp_path)


async def test_error(tmp_path):
    path = chat_capture(tmp_path / "chat.db", clean=False)
    async with opened(path) as screen:
        screen.app.model.was_live = True
        await screen.until(lambda: "The engine is gone" in screen.line("banner"))
        await screen.press("3", "g")
        compare(screen, "error", tmp_path)


async def test_frozen(chat, tmp_path):
    async with opened(chat) as screen:
        await screen.press("3", "g", "space")
        compare(screen, "frozen", tmp_path)


async def test_100_000_frames(tmp_path):
    async with opened(many_frames(tmp_path / "many.db", 100_000)) as screen:
        await screen.press("3", "end")
        compare(screen, "100k", tmp_path)


async def test_a_reconnect_storm_on_the_timeline(tmp_path):
    with CaptureBuilder(tmp_path / "storm.db") as builder:
        for number in range(1, 61):
            begin = number * 60_000
            builder.connection(
                number,
                begin,
                client=f"10.0.0.7:{40000 + number}",
                state="closed",
                closed_ns=at(begin + 59_900),
                js_code=1006,
                js_was_clean=0,
                ended_by="server",
                how="fin",
                path="/feed",
            )
        for number in range(61, 201):
            builder.refused(number, (number - 60) * 25_000, status=502, client=f"10.0.0.8:{number}")
    async with opened(tmp_path / "storm.db", size=(160, 30)) as screen:
        await screen.press("t")
        text = "\n".join(screen.pane("timeline"))
        assert "60 attempts, one every 1 min 00 s" in text
        assert "140 attempts, one every 25.000 s" in text
        compare(screen, "storm", tmp_path)
