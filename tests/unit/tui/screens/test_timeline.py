"""Stories of clients on the timeline page: they unfold, and lead to what they name."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.chats import Chat, store
from tests.support.svg import assert_same_screen
from tests.support.tui_captures import CaptureBuilder, at, hold_engine_lock
from tests.support.tui_pilot import Screen, opened
from wsinspect.clients.grading import Client
from wsinspect.present.clients import StoryLine
from wsinspect.tui.screens import timeline as timeline_module
from wsinspect.tui.screens.timeline import TimelinePane, TimelineScreen

pytestmark = pytest.mark.asyncio
TRIES = 23
CLOSED = {"state": "closed", "closed_ns": at(5_000), "js_code": 1000, "js_was_clean": 1, "how": "close-frame"}


class FailedEngine:
    """An engine that was started from here."""

    def __init__(self, capture: Path) -> None:
        self.capture, self.has_failed = capture, False

    def last_words(self) -> str:
        return "killed by SIGKILL" if self.has_failed else ""

    def warning(self) -> str:
        return ""

    def stop(self) -> bool:
        return False

    def restart(self) -> None:
        raise AssertionError("nobody asked for it")


def request(cookie: str) -> bytes:
    return (
        b"GET /room HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nCookie: sid=" + cookie.encode() + b"\r\n\r\n"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ann is cut off, refused 23 times at equal distances, and comes back; Bob stays."""
    script = Chat()
    script.accept(1, request("ann"), "/room")
    script.accept(2, request("bob"), "/room")
    script.client(1, b'{"type":"join"}')
    script.tick(5000)
    script.client(1, b'{"id":7,"text":"said into the void"}')
    script.event(1, "end", side="server", how="rst")
    script.event(1, "closed")
    for number in range(3, 3 + TRIES):
        script.tick(2000)
        script.begin(number, request("ann"), "/room")
        script.answer(number, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        script.event(number, "refused", status=503)
        script.event(number, "closed")
    script.tick(2000)
    script.accept(3 + TRIES, request("ann"), "/room")
    script.client(3 + TRIES, b'{"type":"join"}')
    script.tick(3000)
    return store(tmp_path / "chat.db", script)


def rows(screen: Screen) -> list[str]:
    return [line for line in screen.pane("timeline")[3:] if line.strip()]


def pane(screen: Screen) -> TimelinePane:
    page = screen.app.page
    assert isinstance(page, TimelineScreen)
    return page.timeline


async def go_to(screen: Screen, words: str) -> None:
    """The cursor on the row with these words."""
    timeline = pane(screen)

    def places() -> list[int]:
        return [number for number in range(timeline.row_count()) if words in timeline.row_text(number)]

    await screen.until(lambda: bool(places()))
    timeline.move_to(places()[0])
    await screen.press()


async def test_attempts_of_one_client_are_one_line_that_unfolds(path: Path):
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("t")
        folded = rows(screen)
        assert len(folded) == 2
        assert folded[0].split()[:2] == ["B", "#1-26"]
        await screen.press("space")
        unfolded = "\n".join(rows(screen))
        assert "lost by the server, rst (#1)" in unfolded
        assert f"{TRIES} times 503 (#3-25), #26 101" in unfolded
        assert "backoff fixed without jitter" in unfolded
        assert "connected again (#26 101)" in unfolded
        assert "grade" in unfolded
        assert "Backs off" in unfolded
        await go_to(screen, "tried again")
        await screen.press("space")
        assert len([line for line in rows(screen) if "503, 2 s after the one before" in line]) == TRIES
        await screen.press("space")
        assert "\n".join(rows(screen)) == unfolded
        await go_to(screen, "Backs off")
        await screen.press("space")
        assert rows(screen) == folded


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.snapshot
async def test_a_story(path: Path, tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    async with opened(path, size=size) as screen:
        await screen.press("t", "space")
        picture = screen.app.export_screenshot(title="wsinspect")
        known = Path(__file__).parents[1] / "snapshots" / f"story-{size[0]}x{size[1]}.svg"
        assert_same_screen(picture, known, tmp_path)


async def test_a_line_of_the_story_leads_to_its_connection(path: Path):
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("t", "space")
        await go_to(screen, "tried again")
        await screen.press("space")
        await go_to(screen, "#9 503")
        await screen.press("enter")
        assert screen.app.page.page == "main"
        await screen.until(lambda: screen.selection.connection == 9)


async def test_a_reason_leads_to_the_frame_that_shows_it(path: Path):
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("t", "space")
        timeline = pane(screen)

        def stories():
            return [row.story for row in timeline.rows if row.story and row.story.frame]

        await screen.until(lambda: bool(stories()))
        story = stories()[0]
        await go_to(screen, "first message")
        await screen.press("enter")
        assert screen.app.page.page == "main"
        position = screen.main.frames.selected_position()
        assert position is not None
        assert screen.model.index.columns.ids[position] == story.frame


async def test_nothing_is_read_of_clients_before_the_page_is_opened(path: Path):
    async with opened(path) as screen:
        await screen.press("t", "t")
        assert screen.app.page.page == "main"
        await screen.press("t")
        first = pane(screen).stories.client_of(1)
        assert first is not None
        assert pane(screen).stories.client_of(26) is first
        assert pane(screen).stories.client_of(2) is not first


async def test_a_client_that_nothing_disturbed_has_a_story_too(path: Path):
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("t", "down", "space")
        assert "connected (#2)" in "\n".join(rows(screen))
        assert "no grade: too little was tested" in "\n".join(rows(screen))
        await screen.press("up", "space")
        assert "lost by the server" in "\n".join(rows(screen))


async def test_a_story_is_told_once_however_often_rows_are_laid(path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a thousand stories unfolded, one more key does not tell them all again."""
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("t", "space")
        told: list[object] = []
        tell = timeline_module._story

        def counted(client: Client) -> list[StoryLine]:
            told.append(client)
            return tell(client)

        monkeypatch.setattr(timeline_module, "_story", counted)
        await go_to(screen, "tried again")
        await screen.press("space", "space", "down")
        assert told == []
        pane(screen).stories._by_attempt.update(
            {number: replace(one) for number, one in pane(screen).stories._by_attempt.items()}
        )
        pane(screen).reload()  # the clients were read again
        assert len(told) == 1


@pytest.mark.slow
async def test_a_story_is_whole_at_any_width_and_unfolds_from_every_row_of_a_line(path: Path):
    async with opened(path, size=(70, 50)) as screen:
        await screen.press("t", "space")
        timeline = pane(screen)
        story = [row for row in timeline.rows if row.story is not None]
        assert any(row.number < 0 for row in story)
        assert not any("…" in "".join(text for text, _ in row.story.line) for row in story if row.story)
        tries = next(at for at, row in enumerate(timeline.rows) if row.story and row.story.more)
        assert timeline.rows[tries + 1].number < 0
        folded = len(timeline.rows)
        timeline.move_to(tries + 1)
        await screen.press("space")
        assert len(timeline.rows) > folded
        assert timeline.cursor == tries
        assert timeline.row_text(tries).lstrip().startswith("-")
        await screen.press("space")
        assert len(timeline.rows) == folded
        assert timeline.row_text(tries).lstrip().startswith("+")
        wide = len(timeline.rows)
        await screen.pilot.resize_terminal(200, 50)
        await screen.until(lambda: len(timeline.rows) < wide)
        assert not any(row.number < 0 for row in timeline.rows if row.story and row.story.more)


@pytest.mark.slow
async def test_what_is_unfolded_is_told_again_by_the_thread_that_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A live capture is read every few seconds: with a thousand stories unfolded, no key waits for it."""
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("t", "space")
        stories = pane(screen).stories
        before, rows_before = stories.client_of(1), rows(screen)
        tellers: list[str] = []
        tell = timeline_module._story

        def noted(client: Client) -> list[StoryLine]:
            tellers.append(threading.current_thread().name)
            return tell(client)

        monkeypatch.setattr(timeline_module, "_story", noted)
        stories._version, stories._next = -1, 0.0
        stories.refresh()
        await screen.until(lambda: stories.client_of(1) is not before)
        assert tellers == ["client-stories"]
        assert rows(screen) == rows_before


@pytest.mark.parametrize(("width", "is_named"), [(80, False), (160, True)])
async def test_a_client_s_address_is_whole_or_not_there(tmp_path: Path, width: int, is_named: bool):
    with CaptureBuilder(tmp_path / "two.db") as builder:
        builder.connection(1, client="10.11.12.13:50000", state="closed", closed_ns=at(5_000))
    async with opened(tmp_path / "two.db", size=(width, 24)) as screen:
        await screen.press("t")
        line = next(one for one in screen.pane("timeline") if "#1" in one)
        assert ("10.11.12.13" in line) == is_named
        assert "/chat?room=1 " in line
        assert "…" not in line


@pytest.mark.parametrize(
    ("width", "note"), [(80, "lasted 900 ms  failed"), (120, "lasted 900 ms  connection refused")]
)
@pytest.mark.asyncio
async def test_a_failure_whose_cause_has_no_room_is_a_failure(tmp_path, width, note):
    error = "cannot connect to localhost:8765: connection refused"
    with CaptureBuilder(tmp_path / "a.db") as builder:
        builder.connection(1, 0, state="failed", error=error, status=None, open_ns=None, closed_ns=at(900))
    async with opened(tmp_path / "a.db", size=(width, 24)) as screen:
        await screen.press("t")
        line = screen.pane("timeline")[3]
        assert line.endswith(note), line


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.asyncio
async def test_how_they_ended_is_a_column(tmp_path: Path, width: int):
    """However long each lasted."""
    with CaptureBuilder(tmp_path / "a.db") as builder:
        for number, (lasted_ms, code) in enumerate([(4, 4401), (900, 1001), (20_000, 4402)], 1):
            end = {"ended_by": "server", "how": "close-frame", "js_code": code, "server_close_code": code}
            client = f"10.0.0.{number}:1"
            builder.connection(number, 0, client=client, state="closed", closed_ns=at(lasted_ms), **end)
    async with opened(tmp_path / "a.db", size=(width, 24)) as screen:
        await screen.press("t")
        lines = rows(screen)
        assert all("lasted" in line for line in lines)
        assert (
            len({line.index(code) for line, code in zip(lines, ("4401", "1001", "4402"), strict=True)}) == 1
        )


def open_ones(path: Path) -> Path:
    """An open connection whose last frame is old, one that was about to open, and one that was closed."""
    builder = CaptureBuilder(path)
    builder.connection(1, 0)
    builder.frame(1, 4_000, 1, b"the last one")
    builder.connection(2, 2_000, state="connecting", open_ns=None, status=None, client="10.0.0.9:1")
    builder.connection(3, 3_000, client="10.0.0.8:1", **CLOSED)
    builder.close(clean=False)
    return path


async def assert_nothing_is_open(screen: Screen) -> None:
    """Neither in the list nor on the timeline."""
    await screen.until(lambda: screen.line("header").startswith(" DISCONNECTED "))
    listed = "\n".join(screen.pane("connections"))
    assert ("OPEN" in listed, "CONNECTING" in listed, listed.count("LOST")) == (False, False, 2)
    await screen.press("t")
    first, second, third = rows(screen)
    assert "━━x " in first, "it was seen last where its bar ends"
    assert "lasted 4 s" in first
    assert "✕" in second
    assert third.count("┫") == 1


async def test_what_was_open_ends_with_a_proxy_and_its_recorder(tmp_path: Path):
    """Nobody is left who could write that down."""
    path = open_ones(tmp_path / "open.db")
    lock = hold_engine_lock(path)
    async with opened(path, size=(160, 40)) as screen:
        assert "OPEN" in "\n".join(screen.pane("connections"))
        lock.release()
        await assert_nothing_is_open(screen)


async def test_what_was_open_ends_with_a_proxy_that_was_started_here(tmp_path: Path):
    """Its parent sees that it has failed before anything is read of it."""
    path = open_ones(tmp_path / "open.db")
    lock = hold_engine_lock(path)
    engine = FailedEngine(path)
    async with opened(path, size=(160, 40), engine=engine) as screen:
        assert "OPEN" in "\n".join(screen.pane("connections"))
        engine.has_failed = True
        await assert_nothing_is_open(screen)
    lock.release()


async def test_of_a_recording_nothing_is_open_until_now(tmp_path: Path):
    """Its last moment is all that is known of what was open then."""
    async with opened(open_ones(tmp_path / "open.db"), size=(160, 40), is_plain=True) as screen:
        await screen.press("t")
        assert "to the end of the recording" in rows(screen)[0]
        assert "until now" not in "\n".join(rows(screen))
