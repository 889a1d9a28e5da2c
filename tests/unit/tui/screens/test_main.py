"""The main page in front of attempts that never opened, and of findings about them and about ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.tui_captures import START_NS, CaptureBuilder, at, connect, hold_engine_lock, many_frames
from tests.support.tui_pilot import Screen, filtered, opened
from wsinspect.tui.app import InspectApp
from wsinspect.tui.reading import Reading
from wsinspect.tui.screens.findings import FindingsPane
from wsinspect.units import QuantityError

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def failures(tmp_path: Path) -> Path:
    """Two refused attempts around a connection that has a finding on a frame and one about its end."""
    path = tmp_path / "failures.db"
    builder = CaptureBuilder(path)
    builder.refused(1, 0, path="/first")
    builder.connection(
        2, 1_000, state="closed", closed_ns=at(3_000), ended_by="server", how="fin", js_code=1006
    )
    builder.handshake(2, 1_000)
    bad = builder.frame(2, 1_100, 1, b"x")
    builder.frame(2, 1_200, 1, b"y")
    builder.refused(3, 5_000, status=404, path="/last")
    fix = [{"for": "nginx", "text": "proxy_set_header Upgrade $http_upgrade;"}]
    builder.finding("WS-HS-004", "error", 1, None, title="it refuses", fixes=fix)
    builder.finding("WS-FR-003", "warning", 2, bad, title="a bad frame")
    builder.finding("WS-DROP-006", "error", 2, None, title="no CLOSE at the end")
    builder.finding("WS-HS-005", "error", 3, None, title="not found")
    builder.close()
    return path


def place(screen: Screen) -> tuple[int | None, str]:
    """The selected connection, and the finding in the inspector."""
    titles = ("it refuses", "a bad frame", "no CLOSE at the end", "not found")
    shown = "\n".join(screen.pane("inspector"))
    return screen.main.selection.connection, " ".join(title for title in titles if title in shown)


@pytest.mark.parametrize("size", [(80, 24), (120, 44)])
async def test_a_refused_attempt_shows_its_answer_its_finding_and_the_fix(failures, size):
    async with opened(failures, size=size) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.settle()
        frames = "\n".join(screen.pane("frames"))
        assert "HTTP/1.1 403 Forbidden" in frames
        assert "note, preview" not in frames  # no names of columns above what is no table
        if size[0] > 80:
            await screen.press("4")
            inspector = "\n".join(screen.pane("inspector"))
            assert "it refuses" in inspector
            assert "proxy_set_header Upgrade $http_upgrade;" in inspector
            assert "Origin: http://localhost:3000" in frames


async def test_keys_reach_every_finding_in_the_order_of_time(failures):
    async with opened(failures, size=(120, 44)) as screen:
        await screen.press("g", "N")
        await screen.settle()
        seen = [place(screen)]
        for _ in range(4):
            await screen.press("n")
            await screen.settle()
            seen.append(place(screen))
        assert seen == [
            (1, "it refuses"),
            (2, "a bad frame no CLOSE at the end"),
            (2, "no CLOSE at the end"),
            (3, "not found"),
            (1, "it refuses"),
        ]
        assert "from the other end again" in screen.line("keys")
        await screen.press("N")
        await screen.settle()
        assert place(screen) == (3, "not found")
        back = []
        for _ in range(3):
            await screen.press("N")
            await screen.settle()
            back.append(place(screen))
        assert back[0] == (2, "no CLOSE at the end")
        assert back[-1] == (1, "it refuses")


async def test_the_last_frame_followed_leads_to_the_first_finding(failures):
    """Nothing comes after the newest frame: whoever presses n there wants the findings all the same."""
    async with opened(failures, size=(120, 44)) as screen:
        await screen.press("3", "G")
        seen = []
        for _ in range(3):
            await screen.press("n")
            await screen.settle()
            seen.append(place(screen))
        assert seen == [(2, "no CLOSE at the end"), (3, "not found"), (1, "it refuses")]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        (("n", "n"), (3, "not found")),
        (("colon", *"2", "enter"), (None, 1_200)),
        (("colon", *"conn", "space", "2", "enter"), (2, 1_100)),
        (("colon", "t", "space", *"1.15", "enter"), (None, 1_200)),
        (("right_curly_bracket",), (None, 4_900)),
    ],
    ids=["findings", "frame", "connection", "time", "gap"],
)
async def test_keys_that_come_before_the_capture_is_read_act_once_it_is(failures, monkeypatch, keys, where):
    """Nothing is answered from a part of the capture: no finding, no frame, no gap."""
    database = connect(failures)
    database.execute(
        "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
        "wire_length, payload) VALUES (3, 2, 1, 33026, ?, 0, 0, x'8102', 4, x'6869')",
        (at(4_900),),
    )
    database.close()
    app = InspectApp(failures)
    start = app.feed.start
    monkeypatch.setattr(app.feed, "start", lambda: None)
    async with app.run_test(size=(120, 44)) as pilot:
        screen = Screen(app, pilot)
        await screen.press(*keys)
        assert "the capture is still being read" in screen.line("keys")
        start()
        await screen.settle()
        await screen.until(lambda: screen.main.reading.is_done and not screen.app.is_painting)
        connection, there = where
        await screen.until(lambda: screen.selection.connection == connection)
        if isinstance(there, str):
            assert place(screen) == where
        else:
            await screen.until(lambda: screen.main.frames.selected_time_ns() == at(there))


async def test_a_step_in_time_is_from_the_frame_that_was_chosen_when_it_was_typed(failures, monkeypatch):
    """Not from the one that is chosen once the capture is read, and none may be then."""
    async with opened(failures, size=(120, 44)) as screen:
        screen.main.going.to_frame(1)
        is_read = False
        monkeypatch.setattr(Reading, "is_done", property(lambda _self: is_read))
        await screen.press("colon", "t", "space", "plus", *"50", "m", "s", "enter")
        assert "the capture is still being read" in screen.line("keys")
        screen.main.frames.move_to(1)
        assert screen.main.frames.selected_time_ns() == at(1_200)
        is_read = True
        screen.main.reading.tick()
        assert "the first frame at or after 1.150 s" in screen.line("keys")
        is_read = False
        await screen.press("colon", "t", "space", "minus", *"10", "s", "enter")
        await filtered(screen, "len>1MiB")
        assert screen.main.frames.selected_time_ns() is None
        is_read = True
        screen.main.reading.tick()
        assert "no frame to go to at -8.800 s" in screen.line("keys")


async def test_a_time_outside_of_what_is_listed_is_said_to_be_that(failures):
    """The last frame is not "at or after" a time that comes later."""
    async with opened(failures, size=(120, 44)) as screen:
        screen.main.show_connection(2)
        await screen.until(lambda: screen.selection.connection == 2)
        await screen.settle()
        for typed, expected in (
            ("t 30 s", "nothing at or after 30.000 s: the last frame came at 0.200 s"),
            ("t 50ms", "nothing before 0.100 s: 0.050 s is before the first frame"),
            ("t 100ms", "the first frame at or after 0.100 s"),
            ("t 150ms", "the first frame at or after 0.150 s"),
            ("t 200ms", "the first frame at or after 0.200 s"),
        ):
            assert screen.main.going.to(typed) is None
            assert screen.app.workspace.said() == expected


async def test_a_time_of_day_needs_no_letter_and_another_place_ends_what_was_said(failures):
    async with opened(failures, size=(120, 44)) as screen:
        await screen.settle()
        workspace = screen.app.workspace
        for typed in ("00:00", "23:59:59.5", "t 12:00"):
            assert screen.main.going.to(typed) is None
            assert typed.removeprefix("t ") in workspace.said()
            assert not workspace.said().endswith(" s"), "a time of day is answered by one"
        with pytest.raises(QuantityError):
            screen.main.going.to("24:00")
        screen.main.going.to("99")
        assert "there is no frame 99" in workspace.said()
        screen.main.going.to("conn 2")
        assert workspace.said() == ""


async def test_a_time_of_day_that_no_clock_shows_is_refused_as_one(failures):
    async with opened(failures, size=(120, 44)) as screen:
        of_day = "a time of day from 00:00 to 23:59:59"
        for typed, expected in (
            ("t 24:00", of_day),
            ("t  9:60", of_day),
            ("t 5 parsecs", "one of the units"),
        ):
            with pytest.raises(QuantityError) as caught:
                screen.main.going.to(typed)
            assert caught.value.expected.startswith(expected)
            assert typed.endswith(caught.value.text)


async def test_a_capture_without_findings_says_so(tmp_path):
    async with opened(many_frames(tmp_path / "fine.db", 20)) as screen:
        await screen.press("3", "n")
        assert "no finding or violation to go to" in screen.line("keys")
        await screen.press("N")
        assert "no finding or violation to go to" in screen.line("keys")


async def test_keys_of_the_findings_page_are_about_the_chosen_finding(failures):
    async with opened(failures, size=(120, 44)) as screen:
        await screen.press("i")
        pane = screen.widget("findings", FindingsPane)
        for place_of, finding in enumerate(pane.sorted()):
            pane.move_to(place_of)
            assert screen.app.page.connection_in_view() == finding.connection_id
        await screen.press("g", "h")
        wanted = pane.sorted()[0].connection_id
        assert f"conn {wanted}" in screen.line("handshake")


async def test_enter_on_a_finding_about_an_end_goes_to_the_end(failures):
    async with opened(failures, size=(120, 44)) as screen:
        await screen.press("i")
        titles = [str(one.rule) for one in screen.widget("findings", FindingsPane).sorted()]
        await screen.press(*["down"] * titles.index("WS-DROP-006"), "enter")
        await screen.settle()
        assert place(screen) == (2, "no CLOSE at the end")
        position = screen.main.frames.selected_position()
        assert position is not None
        assert screen.model.index.columns.ids[position] == 2


async def test_a_connection_without_a_finding_says_so(failures, tmp_path):
    path = tmp_path / "healthy.db"
    builder = CaptureBuilder(path)
    builder.refused(1, 0)
    builder.close()
    async with opened(path, size=(120, 44)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.settle()
        assert "No finding about connection 1" in "\n".join(screen.pane("inspector"))


async def test_the_keys_at_the_bottom_are_those_of_the_pane_with_the_focus(failures):
    async with opened(failures, size=(120, 36)) as screen:
        await screen.press("3")
        assert "space pause" in screen.line("keys")
        await screen.press("space")
        assert "space resume" in screen.line("keys")
        assert "space pause" not in screen.line("keys")
        await screen.press("space")
        assert "space pause" in screen.line("keys")
        await screen.press("4")
        assert "ctrl+f find" in screen.line("keys")
        assert "D compare" in screen.line("keys")
        await screen.press("2")
        assert "+ zoom in" in screen.line("keys")
        await screen.pilot.click("#keys", offset=(screen.line("keys").index("+ zoom in") + 1, 0))
        await screen.pilot.pause()
        assert screen.main.overview.span_ns is not None
        await screen.press("1")
        assert "as client" not in screen.line("keys"), "all connections have no URL"
        await screen.press("down")
        assert "ctrl+y as client" in screen.line("keys")


async def test_what_is_said_is_whole_however_long_a_path_in_it(failures):
    async with opened(failures, size=(80, 24)) as screen:
        before = screen.main.key_line.size.height
        path = "/" + "a-long-folder-name/" * 7 + "copied.txt"
        screen.app.workspace.say(f"copied the payload (5 bytes); also in {path}")
        await screen.pilot.pause()
        assert screen.main.key_line.size.height == 3
        said = "".join(screen.main.key_line.render_line(y).text.strip() for y in range(3))
        assert said.endswith(path)
        assert len(screen.pane("inspector")) > 2
        screen.app.workspace.say("")
        await screen.until(lambda: screen.main.key_line.size.height == before)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A page and a token before a connection, a poll soon after it; a refused attempt with a failed token."""
    path = tmp_path / "asked.db"
    builder = CaptureBuilder(path)
    builder.connection(1, 1_000)
    builder.handshake(1, 1_000)
    for number, (t_ms, facts) in enumerate(
        [
            (200, {"method": "GET", "url": "http://app.test/", "what": "page", "status": 200, "ms": 3}),
            (600, {"method": "POST", "url": "http://app.test/token", "status": 200, "ms": 12.5}),
            (1_150, {"method": "GET", "url": "http://app.test/poll", "status": 204, "ms": 1}),
        ],
        1,
    ):
        builder.event(t_ms, 1, "http", {"number": number, **facts})
    for t_ms in (1_100, 1_200, 1_300):
        builder.frame(1, t_ms, 1, b"hello")
    builder.refused(2, 5_000, path="/late")
    facts = {"number": 4, "method": "POST", "url": "http://app.test/token", "status": 500, "ms": 2}
    builder.event(4_990, 2, "http", facts)
    builder.close()
    return path


def http_rows(screen: Screen) -> list[str]:
    """What was asked for, in the order of the rows; a frame is its number."""
    view = screen.main.frames.view
    return [
        f"{one.facts.method} {(one.facts.url or '').removeprefix('http://app.test')}"
        if (one := view.asked_at(y)) is not None
        else str(view.index.columns.ids[view.position(y)])
        for y in range(len(view.rows))
        if not view.is_gap(y)
    ]


async def test_requests_near_an_attempt_are_dim_rows_among_frames(asked: Path) -> None:
    async with opened(asked) as screen:
        assert http_rows(screen) == ["GET /", "POST /token", "1", "GET /poll", "2", "3", "POST /token"]
        shown = "\n".join(screen.pane("frames"))
        assert "HTTP  GET http://app.test/ → 200 in 3 ms  the page" in shown
        # The first frame is chosen, as without them, and they are above it on the screen.
        assert (screen.main.frames.top, screen.main.frames.cursor) == (0, 2)
        assert "hello" in "\n".join(screen.pane("inspector"))
        assert "[Payload]" in screen.pane("inspector")[0]
        await screen.press("3", "k")
        assert "[" not in screen.pane("inspector")[0]
        inspector = "\n".join(screen.pane("inspector"))
        assert "POST http://app.test/token" in inspector
        assert "12.5 ms" in inspector
        await screen.press("y")
        assert "copied the URL" in screen.app.workspace.said()


@pytest.mark.slow
async def test_requests_are_hidden_and_that_is_remembered(asked: Path) -> None:
    async with opened(asked) as screen:
        await screen.press("3", "j", "H")
        assert http_rows(screen) == ["1", "2", "3"]
        assert screen.main.frames.selected_position() == 0 or screen.main.frames.selected_position() == 1
        assert "4 HTTP requests near an attempt: hidden" in screen.app.workspace.said()
    async with opened(asked) as screen:
        assert http_rows(screen) == ["1", "2", "3"]
        screen.main.show_connection(2)
        await screen.until(lambda: screen.selection.connection == 2)
        assert "1 HTTP request is hidden: H shows them." in "\n".join(screen.pane("frames"))
        await screen.press("H")
        assert "is hidden" not in "\n".join(screen.pane("frames"))
        assert "/token" in "\n".join(screen.pane("frames"))
        await screen.press("a")
        await screen.until(lambda: len(http_rows(screen)) == 7)


async def test_the_inspector_follows_where_a_chosen_request_is_hidden(asked: Path) -> None:
    async with opened(asked) as screen:
        await screen.press("3", "k")
        assert "POST http://app.test/token" in "\n".join(screen.pane("inspector"))
        await screen.press("H")
        await screen.settle()
        assert screen.main.frames.selected_position() == 0
        assert "hello" in "\n".join(screen.pane("inspector"))


@pytest.mark.slow
async def test_a_filter_shows_frames_alone_and_undoing_it_brings_requests_back(asked: Path) -> None:
    async with opened(asked) as screen:
        await filtered(screen, "op:text")
        assert http_rows(screen) == ["1", "2", "3"]
        await screen.press("escape")
        await screen.settle()
        await screen.until(lambda: len(http_rows(screen)) == 7)


async def test_a_refused_attempt_says_what_was_asked_for_before_it(asked: Path) -> None:
    async with opened(asked, size=(120, 50)) as screen:
        screen.main.show_connection(2)
        screen.main.select_now(2)
        await screen.settle()
        shown = "\n".join(screen.pane("frames"))
        assert "HTTP requests from the same client near this attempt" in shown
        assert "-0.010 s  POST http://app.test/token → 500 in 2 ms" in shown
        await screen.press("H")
        assert "POST http://app.test/token" not in "\n".join(screen.pane("frames"))


@pytest.mark.slow
async def test_keys_that_go_to_frames_pass_over_requests(asked: Path) -> None:
    async with opened(asked) as screen:
        frames = screen.main.frames
        await screen.press("colon")
        await screen.type("t 0.5")
        await screen.press("enter")
        assert frames.selected_position() == 0
        await screen.press("3", "end", "k", "k")
        assert frames.selected_position() == 1
        await screen.press("s", "comma")
        assert screen.app.workspace.playback is not None
        assert frames.selected_position() == 0
        await screen.press("full_stop", "full_stop", "escape")
        assert frames.selected_position() == 2


@pytest.mark.parametrize("size", [(80, 24), pytest.param((120, 40), marks=pytest.mark.slow)])
async def test_a_refused_certificate_is_on_the_screen_with_its_remedy(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "page.db"
    builder = CaptureBuilder(path)
    fix = [{"for": "general", "text": "run with --insecure to accept any certificate"}]
    seen = ["GET https://localhost:5173/: self-signed certificate"]
    builder.finding(
        "WS-TOOL-007", "warning", None, None, title="The certificate is refused", fixes=fix, evidence=seen
    )
    for number in range(5):  # what a browser asks its maker's servers for takes no room here
        builder.finding("WS-TOOL-008", "note", None, None, title=f"Not reached {number}")
    builder.close()
    async with opened(path, size=size) as screen:
        frames = "\n".join(screen.pane("frames"))
        assert "The certificate is refused" in frames
        assert "https://localhost:5173/" in frames
        assert "--insecure" in frames
        assert "WS-TOOL-007" in "\n".join(screen.pane("inspector"))
        await screen.press("n")
        await screen.until(lambda: screen.app.page.page == "findings")
        chosen = screen.widget("findings", FindingsPane).chosen()
        assert chosen is not None
        assert chosen.rule == "WS-TOOL-007"


async def test_what_is_surer_is_shown_above_a_guess_of_the_same_severity(tmp_path: Path) -> None:
    path = tmp_path / "page.db"
    builder = CaptureBuilder(path)
    # A browser opens connections in advance, and drops them once it does not trust the first one.
    for number in range(3):
        builder.finding("WS-TLS-003", "warning", None, None, title=f"Guess {number}", confidence="low")
    builder.finding("WS-TOOL-007", "warning", None, None, title="It is refused", confidence="high")
    for number in range(3, 6):
        builder.finding("WS-TLS-003", "warning", None, None, title=f"Guess {number}", confidence="low")
    builder.close()
    async with opened(path, size=(80, 24)) as screen:
        inspector = [line for line in screen.pane("inspector") if "WS-T" in line]
        assert "WS-TOOL-007" in inspector[0]
        frames = [line for line in screen.pane("frames") if "Guess" in line or "refused" in line]
        assert "It is refused" in frames[0]


@pytest.mark.slow
async def test_a_finding_about_no_connection_is_the_first_one_that_is_reached(
    tmp_path: Path,
) -> None:
    path = tmp_path / "both.db"
    builder = CaptureBuilder(path)
    builder.connection(1, 0, state="closed", closed_ns=at(3_000), ended_by="server", how="fin")
    builder.frame(1, 100, 1, b"x")
    builder.finding("WS-PAGE-001", "warning", None, None, title="no attempt")
    builder.finding("WS-DROP-006", "error", 1, None, title="no CLOSE at the end")
    builder.close()
    async with opened(path, size=(120, 44)) as screen:
        assert "no attempt" not in "\n".join(screen.pane("frames"))
        await screen.press("n")
        assert place(screen) == (1, "no CLOSE at the end")
        await screen.press("a", "N")
        await screen.until(lambda: screen.app.page.page == "findings")
        chosen = screen.widget("findings", FindingsPane).chosen()
        assert chosen is not None
        assert chosen.rule == "WS-PAGE-001"
        await screen.press("n")
        await screen.until(lambda: screen.app.page is screen.main)
        assert place(screen) == (1, "no CLOSE at the end")


async def test_what_was_said_does_not_cover_the_keys_of_the_next_page(failures):
    async with opened(failures, size=(120, 36)) as screen:
        await screen.press("3")
        screen.app.workspace.say("copied the payload (5 bytes)")
        await screen.until(lambda: "copied the payload" in screen.line("keys"))
        await screen.press("t")
        assert "space story" in screen.line("keys")
        screen.app.workspace.say("times: UTC")
        await screen.until(lambda: "times: UTC" in screen.line("keys"))
        await screen.press("escape")
        assert "space pause" in screen.line("keys")


async def test_an_attempt_that_has_no_room_says_how_much_is_left_out(failures):
    async with opened(failures, size=(80, 24)) as screen:
        screen.main.show_connection(3)
        await screen.until(lambda: screen.selection.connection == 3)
        await screen.settle()
        await screen.press("3")
        lines = screen.pane("frames")
        assert "FOLLOW" not in lines[0]
        whole = screen.main.frames.document_text().splitlines()
        left = int(lines[-1].split()[1])
        assert lines[-1] == f"  … {left} more lines: o opens all"
        assert [line.rstrip() for line in whole[: len(whole) - left]] == lines[1:-1]
        await screen.press("backslash")
        assert "more line" not in "\n".join(screen.pane("frames"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_pane_without_a_height_yet_does_not_scroll_away_from_its_cursor(asked: Path, size) -> None:
    """The capture may be read before the screen is laid out, or after: the same rows are on it."""
    async with opened(asked, size=size) as screen:
        frames = screen.main.frames
        await screen.press("3", "g")
        top, cursor = frames.top, frames.cursor
        frames.display = False
        await screen.press()
        assert frames.visible_rows == 0
        frames.cursor = frames.row_count() - 1
        frames.show_cursor()
        assert frames.top == top
        frames.cursor = cursor
        frames.display = True
        await screen.press()
        assert (frames.top, frames.cursor) == (top, cursor)


async def test_frames_from_before_the_start_are_no_lag_and_those_from_after_it_are(tmp_path: Path) -> None:
    builder = CaptureBuilder(tmp_path / "live.db")
    builder.connection(1)
    builder.frame(1, 100, 1, b"long ago")
    builder.commit()
    lock = hold_engine_lock(tmp_path / "live.db")
    async with opened(tmp_path / "live.db") as screen:
        await screen.until(lambda: screen.model.is_live and len(screen.model.index) == 1)
        assert not [one for one in (screen.model.lag_ns,) if one is not None]
        builder.frame(1, (time.time_ns() - START_NS) / 1e6, 1, b"now")
        builder.commit()
        await screen.until(lambda: screen.model.lag_ns is not None)
        assert (screen.model.lag_ns or 0) < 60e9
    lock.release()
    builder.close(clean=False)
