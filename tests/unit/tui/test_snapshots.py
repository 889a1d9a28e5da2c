"""Every screen at every size, as pictures."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.svg import assert_same_screen
from tests.support.tui_captures import CaptureBuilder, at, chat_capture, many_frames
from tests.support.tui_pilot import Screen, opened

pytestmark = [pytest.mark.asyncio, pytest.mark.snapshot]

KNOWN = Path(__file__).parent / "snapshots"
#: The quick tests draw each screen on the usual terminal, and the main one where less fits: the rows of the
#: others are laid out by the same code, which tests/unit/present tries at many widths.
SMALL, USUAL, *LARGE = (60, 20), (80, 24), (120, 36), (200, 50)
SIZES = [USUAL, *(pytest.param(size, marks=pytest.mark.slow) for size in (SMALL, *LARGE))]
SCREENS = {
    "main": ("3", "g"),
    "handshake": ("1", "down", "h"),
    "timeline": ("t",),
    "findings": ("i",),
    "faults": ("f",),
    "playback": ("3", "g", "s", "greater_than_sign", "m", "greater_than_sign", "m", "full_stop"),
    "help": ("2", "question_mark"),
    "go": ("colon",),
    "jump": ("3", "g", "ctrl+o"),
    "header": ("3", "g", "down", "4", "right"),
}
#: What is shown of a capture with nothing in it.
EMPTY = ("main", "handshake", "timeline", "findings", "faults")
at_every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


def compare(screen: Screen, name: str, scratch: Path) -> None:
    assert_same_screen(screen.app.export_screenshot(title="wsinspect"), KNOWN / f"{name}.svg", scratch)


def named(name: str, size: tuple[int, int]) -> str:
    return f"{name}-{size[0]}x{size[1]}"


async def test_the_main_screen_on_a_small_terminal(chat, tmp_path):
    async with opened(chat, size=SMALL) as screen:
        await screen.press(*SCREENS["main"])
        compare(screen, named("main", SMALL), tmp_path)


@at_every_size
@pytest.mark.parametrize("name", SCREENS)
async def test_screen(chat, tmp_path, name, size):
    async with opened(chat, size=size) as screen:
        await screen.press(*SCREENS[name])
        compare(screen, named(name, size), tmp_path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "jump" else pytest.mark.slow) for name in SCREENS]
)
async def test_screen_without_colour(chat, tmp_path, monkeypatch, name):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(chat, size=(80, 24)) as screen:
        await screen.press(*SCREENS[name])
        compare(screen, f"no-colour-{name}", tmp_path)


@at_every_size
async def test_without_colour(chat, tmp_path, monkeypatch, size):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(chat, size=size) as screen:
        await screen.press("3", "g")
        compare(screen, named("no-colour", size), tmp_path)


@at_every_size
async def test_light(chat, tmp_path, size):
    async with opened(chat, size=size) as screen:
        screen.app.theme = "textual-light"
        await screen.press("3", "g")
        compare(screen, named("light", size), tmp_path)


@at_every_size
async def test_ascii(chat, tmp_path, size):
    async with opened(chat, size=size, is_ascii=True) as screen:
        await screen.press("3", "g")
        compare(screen, named("ascii", size), tmp_path)


@at_every_size
@pytest.mark.parametrize("name", EMPTY)
async def test_empty(tmp_path, name, size):
    with CaptureBuilder(tmp_path / "empty.db"):
        pass
    async with opened(tmp_path / "empty.db", size=size) as screen:
        await screen.press(*(SCREENS[name] if name != "main" else ()))
        if name == "main" and size != (60, 20):  # too small for two panes
            await screen.until(lambda: "No connection was" in "".join(screen.pane("connections")))
        compare(screen, named(f"empty-{name}", size), tmp_path)


@at_every_size
async def test_error(tmp_path, monkeypatch, size):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    path = chat_capture(tmp_path / "chat.db", clean=False)
    async with opened(path, size=size) as screen:
        screen.model.was_live = True
        await screen.until(lambda: "The proxy has exited" in screen.line("banner"))
        await screen.press("3", "g")
        compare(screen, named("error", size), tmp_path)


@at_every_size
async def test_paused(chat, tmp_path, size):
    async with opened(chat, size=size) as screen:
        await screen.press("3", "g", "space")
        compare(screen, named("paused", size), tmp_path)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many_frames(tmp_path_factory.mktemp("many") / "many.db", 100_000)


@pytest.mark.slow
@at_every_size
async def test_100_000_frames(many, tmp_path, size):
    async with opened(many, size=size) as screen:
        await screen.press("3", "end")
        compare(screen, named("100k", size), tmp_path)


@at_every_size
async def test_a_filter_that_is_wrong(chat, tmp_path, size):
    async with opened(chat, size=size) as screen:
        await screen.press("3", "g", "slash")
        screen.main.bar.input.value = "op:nonsense"
        await screen.until(lambda: screen.main.bar.error is not None)
        compare(screen, named("filter-error", size), tmp_path)


@at_every_size
async def test_decoded_payloads(tmp_path, size):
    path = tmp_path / "socketio.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, path="/socket.io/?EIO=4&transport=websocket")
        builder.frame(1, 10, 1, b'0{"sid":"lv_VI97","pingInterval":25000}', s2c=True)
        builder.frame(1, 12, 1, b"40/chat,")
        builder.frame(1, 20, 1, b'42/chat,12["say",{"room":"a","text":"hello"}]')
        builder.frame(1, 30, 1, b'451-["upload",{"_placeholder":true,"num":0}]')
        builder.frame(1, 31, 2, b"\x89PNG\r\n\x1a\n" + bytes(20))
        builder.frame(1, 40, 1, b'43/chat,12["ok"]', s2c=True)
    async with opened(path, size=size) as screen:
        await screen.press("3", "g", "down", "down")
        compare(screen, named("decoded", size), tmp_path)


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
        assert "60 attempts, one every 60 s" in text
        assert "140 attempts, each 502" in text
        compare(screen, "storm", tmp_path)
