"""The screens as a user drives them: what panes say after keys, clicks and events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widget import Widget

from tests.support.chats import Chat, store
from tests.support.tui_captures import (
    CaptureBuilder,
    chat_capture,
    chat_frames,
    hold_engine_lock,
    many_frames,
    many_more,
)
from tests.support.tui_pilot import Screen, opened
from wsinspect.text import counted
from wsinspect.tui.app import InspectApp
from wsinspect.tui.screens.sandwich import SandwichScreen

pytestmark = pytest.mark.asyncio


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


# -- the main screen


async def test_the_panes_say_what_the_capture_holds(chat):
    async with opened(chat, size=(120, 44)) as screen:
        assert screen.line("header").startswith(
            " RECORDED  chat.db  3 conn  13 frames  ↯ 2 faults  ! 1 finding"
        )
        assert screen.line("header").endswith("127.0.0.1:8080 → http://localhost:8765")
        connections = screen.pane("connections")
        assert "3 CLOSED     /chat?room=1" in connections[3]
        assert "deflate" in connections[3]
        assert "5.1 ms" in connections[3]
        assert "↯2 ✖1 1001 by server" in connections[3]
        assert "1006: FIN by server" in connections[4]
        assert "REFUSED" in connections[5]
        assert "HTTP 403" in connections[5]
        frames = screen.pane("frames")
        assert any("┊ gap 2.309 s  ┊" in line for line in frames)
        assert any("├──↯ +250 ms──▶┤" in line for line in frames)
        assert "! ├◀─────────────┤ 0x3" in "\n".join(frames)
        overview = screen.pane("overview")
        assert overview[1].startswith(" c>s ")
        assert {"p", "x", "!"} <= set(overview[3])


async def test_a_connection_under_the_cursor_is_what_the_others_show(chat):
    async with opened(chat) as screen:
        await screen.press("1", "down")
        await screen.until(lambda: screen.selection.connection == 3)
        await screen.settle()
        frames = screen.pane("frames")
        assert "conn 3" in frames[0]
        assert " 2.000 " in frames[2]
        await screen.press("1", "down", "down")
        await screen.until(lambda: screen.selection.connection == 1)
        assert "This attempt never opened: HTTP 403. h shows both sides" in "\n".join(screen.pane("frames"))
        await screen.press("a")
        await screen.until(lambda: screen.selection.connection is None)
        assert "all connections" in screen.pane("frames")[0]


async def test_the_inspector_follows_the_cursor_through_its_tabs(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g", "down")
        assert "2 c>s TEXT FIN=1 RSV=000 MASK=1 len=21, received 12.000 s" in screen.pane("inspector")[1]
        assert screen.pane("inspector")[2:6] == [" {", '   "op": "sub",', '   "ch": "x"', " }"]
        await screen.press("v")
        assert screen.pane("inspector")[2].startswith(" 00000000  7b 22 6f 70")
        await screen.press("u", "u")
        assert "as on the wire, masked" in screen.pane("inspector")[1]
        await screen.press("4", "right")
        header = "\n".join(screen.pane("inspector"))
        assert "bytes   81 95 37 fa 21 3d" in header
        assert "opcode  0x1        TEXT, data" in header
        await screen.press("right")
        assert "ws://localhost:8080/chat?room=1" in "\n".join(screen.pane("inspector"))
        await screen.press("right")
        assert "Nothing to report about this frame" in "\n".join(screen.pane("inspector"))
        await screen.press("right")
        assert "[Raw]" in screen.pane("inspector")[0]
        assert screen.pane("inspector")[2].startswith(" 00000000  81 95 37 fa")


async def test_fragments_are_joined_in_the_inspector(chat):
    async with opened(chat) as screen:
        screen.main.going.to_frame(5)
        await screen.press("v", "v")
        assert "message 90, 3 fragments joined" in screen.pane("inspector")[1]
        assert '{"items":[1,2,3]}' in "\n".join(screen.pane("inspector"))


# -- following, freezing, jumping


async def test_following_ends_when_one_moves_up_and_the_view_does_not_jump(tmp_path):
    path = many_frames(tmp_path / "many.db", 200, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        frames = screen.main.frames
        assert screen.line("header").startswith(" LIVE ")
        assert follows(screen)
        assert "FOLLOW" in screen.pane("frames")[0]
        await screen.press("3", "up", "pageup")
        assert not follows(screen)
        before = screen.pane("frames")[1:]
        more = many_more(path, 200, 100)
        await screen.until(lambda: len(frames.view.rows) == 300)
        assert screen.pane("frames")[1:] == before or [line[:-1] for line in screen.pane("frames")[1:]] == [
            line[:-1] for line in before
        ]
        assert "↓ end" in screen.pane("frames")[0]
        await screen.press("end")
        assert follows(screen)
        assert " 300 " in screen.pane("frames")[-1]
        assert more == 300
    lock.release()


async def test_a_paused_view_stands_still_while_counters_continue(tmp_path):
    path = many_frames(tmp_path / "many.db", 100, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await screen.press("3", "space")
        assert screen.line("header").startswith(" PAUSED ")
        before = screen.pane("frames")[1:]
        many_more(path, 100, 50)
        await screen.until(lambda: screen.model.newest_id == 150)
        await screen.until(lambda: "PAUSED  +50" in screen.pane("frames")[0])
        assert screen.pane("frames")[1:] == before
        assert "150 frames" in screen.line("header")
        await screen.press("space")
        assert screen.line("header").startswith(" LIVE ")
        assert " 150 " in screen.pane("frames")[-1]
    lock.release()


async def chosen_after(screen: Screen, *keys: str) -> int | None:
    await screen.press(*keys)
    position = screen.main.frames.selected_position()
    return None if position is None else screen.model.index.columns.ids[position]


async def test_jumps_go_where_they_say(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g")
        assert await chosen_after(screen, "n") == 9
        assert await chosen_after(screen, "n") == 10
        assert await chosen_after(screen, "n") == 11
        assert await chosen_after(screen, "n") == 9
        assert "from the other end again" in screen.line("keys")
        assert await chosen_after(screen, "N") == 11
        assert await chosen_after(screen, "N", "N") == 9
        await screen.press("g")
        assert await chosen_after(screen, "}") == 2
        assert await chosen_after(screen, "}") == 9
        assert await chosen_after(screen, "{") == 2
        screen.main.going.to_frame(4)
        assert await chosen_after(screen, "]") == 6
        assert await chosen_after(screen, "[") == 4
        screen.main.going.to_frame(3)
        assert await chosen_after(screen, "]") == 5
        assert await chosen_after(screen, "]") == 7
        assert await chosen_after(screen, "]") == 3
        screen.main.going.to_frame(12)
        assert await chosen_after(screen, "]") == 13
        screen.main.going.to_frame(2)
        await screen.press("]")
        assert "no matching frame" in screen.line("keys")


async def test_marks_are_jumped_to(chat):
    async with opened(chat) as screen:
        screen.main.going.to_frame(4)
        await screen.press("m")
        screen.main.going.to_frame(9)
        await screen.press("m")
        assert await chosen_after(screen, "'") == 4
        assert await chosen_after(screen, "'") == 9
        await screen.press("m")
        assert "no longer marked" in screen.line("keys")


@pytest.mark.parametrize(
    ("typed", "frame"),
    [("7", 7), ("#12", 12), ("t 14.32", 10), ("conn 2", 1)],
    ids=["id", "hash", "time", "conn"],
)
async def test_the_go_bar_goes_to_frames_times_and_connections(chat, typed, frame):
    async with opened(chat) as screen:
        await screen.press(":")
        await screen.type(typed)
        await screen.press("enter")
        await screen.until(lambda: screen.selection.view.is_complete)

        def chosen() -> int | None:
            position = screen.main.frames.selected_position()
            return None if position is None else screen.model.index.columns.ids[position]

        await screen.until(lambda: chosen() == frame)


async def test_the_go_bar_says_what_it_does_not_understand(chat):
    async with opened(chat) as screen:
        await screen.press(":")
        await screen.type("elsewhere")
        await screen.press("enter")
        hints = screen.main.bar.hints
        assert "a frame number, conn NUMBER, or t TIME" in hints.render_line(0).text
        await screen.press("escape")
        assert not screen.main.bar.is_open


# -- pages


@pytest.mark.slow
async def test_a_websocket_over_http2_is_shown_like_any_other(tmp_path):
    script = Chat()
    head = b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n:path: /room\r\n"
    script.begin(
        1, head + b":authority: chat.example\r\nsec-websocket-version: 13\r\n\r\n", "/room", "HTTP/2.0"
    )
    script.answer(1, b":status: 200\r\nserver: x\r\n\r\n")
    script.event(1, "open")
    script.client(1, b"hello over HTTP/2")
    script.end(1, "server")
    async with opened(store(tmp_path / "h2.db", script)) as screen:
        await screen.settle()
        assert "hello over HTTP/2" in screen.text()
        await screen.app.action_page("handshake")
        text = "\n".join(screen.pane("handshake"))
        assert ":protocol: websocket" in text
        assert ":status: 200" in text


async def test_the_handshake_page_has_both_sides(chat):
    async with opened(chat) as screen:
        await screen.press("1", "down", "h")
        text = "\n".join(screen.pane("handshake"))
        assert "101 in 3.8 ms; key of 16 bytes, Sec-WebSocket-Accept correct" in text
        assert "chat.v2 (offered: chat.v2, chat.v1)" in text
        assert "~ Host: localhost:8080" in text
        assert "│   Host: localhost:8765" in text
        assert "request sent on" in text
        await screen.press("d")
        text = "\n".join(screen.pane("handshake"))
        assert "Sec-WebSocket-Version" not in text
        assert "Response (unchanged)" in text
        await screen.press("escape")
        assert screen.app.page.page == "main"


async def test_the_timeline_page_leads_to_frames(chat):
    async with opened(chat) as screen:
        await screen.press("t")
        text = "\n".join(screen.pane("timeline"))
        assert "3 connections, 1 refused or failed" in text
        assert "✕" in text
        assert "┣" in text
        await screen.press("down", "down", "enter")
        assert screen.app.page.page == "main"
        await screen.until(lambda: screen.selection.connection == 3)


async def test_findings_and_faults_show_what_there_is(chat):
    async with opened(chat) as screen:
        await screen.press("i")
        text = "\n".join(screen.pane("findings"))
        assert "✖ WS-FR-003    conn 3 #11   14.340 s         reserved opcode 0x3" in text
        assert "fix        the server: send 0x1 or 0x2" in text
        await screen.press("enter")
        assert screen.app.page.page == "main"
        assert screen.model.index.columns.ids[screen.main.frames.selected_position() or 0] == 11
        await screen.press("f")
        text = "\n".join(screen.pane("faults"))
        assert "latency_c2s" in text
        assert "drop_c2s" in text


async def test_empty_panes_say_what_would_be_there(tmp_path):
    with CaptureBuilder(tmp_path / "empty.db"):
        pass
    async with opened(tmp_path / "empty.db") as screen:
        assert "No connection was recorded in this capture" in "\n".join(screen.pane("connections"))
        await screen.press("i")
        assert "No findings in this capture" in "\n".join(screen.pane("findings"))
        await screen.press("f")
        assert "No fault has acted in this capture" in "\n".join(screen.pane("faults"))
        for page, pane in (("t", "timeline"), ("h", "handshake"), ("W", "sandwich")):
            await screen.press(page)
            assert "No connection was recorded in this capture." in "\n".join(screen.pane(pane))
        await screen.press("escape", "escape", "escape")
        assert "No frame was recorded in this capture." in "\n".join(screen.pane("frames"))
        await screen.press("s")
        assert "nothing to play" in screen.line("keys")


async def test_before_the_first_connection_it_says_where_to_point_a_client(tmp_path):
    path = tmp_path / "live.db"
    builder = CaptureBuilder(path)
    builder.commit()
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        text = "\n".join(screen.pane("connections"))
        assert "No connections yet." in text
        assert "Frames will be listed here" in "\n".join(screen.pane("frames"))
        assert "Listening on 127.0.0.1:8080 → http://localhost:8765." in text
        assert "ws://127.0.0.1:8080/" in text
        builder.connection(1)
        chat_frames(builder, 1, 10)
        builder.commit()
        await screen.until(lambda: len(screen.model.index) == 12)
        assert "OPEN" in screen.pane("connections")[3]
    lock.release()
    builder.close()


# -- playing


async def test_playing_ends_the_table_at_the_play_head(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g", "s")
        assert screen.line("header").startswith(" PLAYBACK ")
        assert screen.main.frames.row_count() == 1
        assert "space play  , back  . forward" in screen.line("keys")
        await screen.press(".")
        assert screen.main.frames.row_count() == 3
        await screen.press(",")
        assert screen.main.frames.row_count() == 1
        for _ in range(7):
            await screen.press("greater_than_sign")
        assert "00:07.0 / 00:09.4" in screen.pane("playback")[0]
        await screen.press("m")
        for _ in range(2):
            await screen.press("greater_than_sign")
        await screen.press("m", "l", *["plus"] * 6)
        assert "100x" in screen.pane("playback")[0]
        assert "[7.0 to 9.0 s]  loop" in screen.pane("playback")[0]
        await screen.press("space")
        play = screen.app.workspace.playback
        assert play is not None
        head = play.at_ns
        await screen.until(lambda: play.at_ns != head)
        await screen.press("space", "s")
        assert screen.app.workspace.playback is None
        assert len(screen.main.frames.view.rows) == screen.main.frames.row_count()


# -- keys, help, copies


async def test_keys_that_need_an_engine_say_so(chat):
    async with opened(chat, size=(200, 50)) as screen:
        assert " e export " in screen.line("keys")
        assert "(x inject)" in screen.line("keys")
        for key in ("x", "X", "F"):
            await screen.press(key)
            assert f"{key}: this is a recording: no proxy is running on it" in screen.line("keys")


async def test_help_is_of_the_focused_pane(chat):
    async with opened(chat) as screen:
        for key, title in (("1", "Connections"), ("2", "Overview"), ("3", "Frames"), ("4", "Inspector")):
            await screen.press(key, "question_mark")
            pane = screen.app.screen.query_one("#help")
            assert title in pane.render_line(0).text
            await screen.press("escape")
        await screen.press("2", "question_mark")
        text = "\n".join(screen.app.screen.query_one("#help").text())  # type: ignore[attr-defined]
        assert "pan left" in text
        await screen.press("escape")


async def test_the_palette_lists_actions_and_views(chat):
    async with opened(chat) as screen:
        titles = [command.title for command in screen.app.get_system_commands(screen.app.screen)]
        assert "view: hex" in titles
        assert any(title.startswith("page: handshake") for title in titles)
        assert {"export: HAR", "fault: add latency", "connection: close with a closing handshake"} <= set(
            titles
        )
        commands = {
            command.title: command.callback for command in screen.app.get_system_commands(screen.app.screen)
        }
        await screen.press("3", "g", "down")
        commands["view: hex"]()
        await screen.press("3")
        assert screen.pane("inspector")[2].startswith(" 00000000  7b 22")


async def test_copies_go_to_clipboard_and_file(chat, tmp_path):
    folder = tmp_path / "XDG_STATE_HOME" / "wsinspect" / "copies"
    async with opened(chat) as screen:
        screen.main.going.to_frame(2)
        await screen.press("4", "y")
        assert screen.app.clipboard == '{"op":"sub","ch":"x"}'
        assert (folder / "copied.bin").read_bytes() == b'{"op":"sub","ch":"x"}'
        assert "copied the payload of frame 2" in screen.line("keys")
        await screen.press("right", "y")
        assert "opcode" in screen.app.clipboard
        screen.main.going.to_frame(4)
        await screen.press("3", "y")
        assert "copied the " in screen.line("keys")
        assert screen.app.clipboard == "p1"
        await screen.press("Y")
        assert screen.app.clipboard.startswith("curl --http1.1 ")
        await screen.press("i", "y")
        assert screen.app.clipboard.startswith("✖  WS-FR-003  ")
        assert "confidence" in screen.app.clipboard
        await screen.press("i", "1", "h", "y")
        assert (folder / "copied.txt").read_bytes().startswith(b"GET /chat?room=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("size", [(80, 24), (120, 44)])
async def test_a_pager_gets_all_of_what_is_shown_unwrapped(tmp_path, size):
    path = tmp_path / "long.db"
    builder = CaptureBuilder(path)
    builder.connection(1)
    builder.handshake(1)
    builder.frame(1, 10, 1, b"word " * 40_000)
    builder.frame(1, 20, 2, bytes(range(256)) * 4)
    builder.refused(2, 100)
    builder.close()
    async with opened(path, size=size) as screen:
        screen.main.going.to_frame(1)
        await screen.press("1")
        table = screen.app.page.document_text().splitlines()
        assert "/chat?room=1" in table[-1]
        assert len(table) == 4
        await screen.press("3")
        rows = screen.app.page.document_text().splitlines()
        assert len(rows) == 3
        assert rows[1].count("word") > 50
        await screen.press("4")
        assert screen.app.page.document_text() == "word " * 40_000
        screen.main.going.to_frame(2)
        await screen.press("4")
        dump = screen.app.page.document_text().splitlines()
        assert dump[0] == "values at 00000000:"
        assert len(dump[dump.index("") + 1 :]) == 64, "all lines follow the values of the byte"
        assert dump[-1].startswith("000003f0  f0 f1")
        screen.main.show_connection(2)
        await screen.until(lambda: screen.selection.connection == 2)
        await screen.press("3")
        assert "HTTP/1.1 403 Forbidden" in screen.app.page.document_text()
        assert "Sec-WebSocket-Version: 13" in screen.app.page.document_text()
        await screen.press("h")
        assert "Sec-WebSocket-Version: 13" in screen.app.page.document_text()


async def test_a_pager_gets_every_row_also_those_above_the_screen(tmp_path):
    path = many_frames(tmp_path / "rows.db", 300)
    async with opened(path, size=(80, 24)) as screen:
        await screen.press("3", "G")
        rows = screen.app.page.document_text().splitlines()
        assert [row.split()[0] for row in rows] == ["#", *map(str, range(1, 301))]


@pytest.mark.slow
async def test_a_pager_gets_a_part_of_very_many_rows_and_says_what_is_left_out(tmp_path):
    path = many_frames(tmp_path / "rows.db", 20_100)
    async with opened(path, size=(80, 24)) as screen:
        screen.main.going.to_frame(10_050)
        rows = screen.app.page.document_text().splitlines()
        top = screen.main.frames.top
        assert rows[1] == f"({counted(top, 'row')} before these)"
        assert [int(row.split()[0]) for row in rows[2:10_002]] == list(range(top + 1, top + 10_001))
        assert rows[-1] == f"({counted(20_100 - top - 10_000, 'more row')})"


async def test_a_pager_gets_long_json_and_long_header_lines_whole(tmp_path):
    """A tree lays out some rows at a time, and a page with two sides breaks lines at half the screen."""
    path, long = tmp_path / "long.db", "x" * 30_000
    cookie = f"Cookie: id={'c' * 300}"
    with CaptureBuilder(path) as builder:
        for number, tap in ((1, "edge"), (2, "origin")):
            builder.connection(number, number, tap=tap)
            builder.handshake(number, number)
        builder.taps("edge", "origin")
        for column in ("request_in", "request_out"):
            builder.database.execute(
                f"UPDATE handshake SET {column} = CAST(replace(CAST({column} AS TEXT), ?, ?) AS BLOB)",
                ("Origin: ", f"{cookie}\r\nOrigin: "),
            )
        builder.refused(3, 100, tap="edge", path="/" + "p" * 200)
        builder.frame(1, 10, 1, json.dumps({"long": long, "items": list(range(9_000))}).encode())
    async with opened(path, size=(80, 24)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("3", "g", "4")
        lines = screen.app.page.document_text().splitlines()
        assert f'  "long": "{long}",' in lines
        assert lines[-3:] == ["    8999", "  ]", "}"]
        await screen.press("h")
        assert any(cookie in line for line in screen.app.page.document_text().splitlines())
        await screen.press("escape", "W")
        page = screen.app.page
        assert isinstance(page, SandwichScreen)
        await screen.until(lambda: page.sandwich.view is not None)
        assert any(cookie in line for line in page.document_text().splitlines())
        await screen.press("escape", "i")
        assert "No findings in this capture" in screen.app.page.document_text()


async def test_a_users_key_map_is_used_and_shown(chat, tmp_path):
    folder = tmp_path / "XDG_CONFIG_HOME" / "wsinspect"
    folder.mkdir(parents=True)
    (folder / "keys.toml").write_text('[keys]\n"page.timeline" = "f9"\n')
    async with opened(chat) as screen:
        assert "f9 timeline" in screen.line("keys")
        await screen.press("f9")
        assert screen.app.page.page == "timeline"
    (folder / "keys.toml").write_text('[keys]\n"page.nowhere" = "f9"\n')
    async with opened(chat) as screen:
        assert "unknown key binding 'page.nowhere'" in screen.line("keys")


async def test_the_mouse_chooses_rows_tabs_times_and_keys(chat):
    async with opened(chat) as screen:
        frames = screen.main.frames
        await screen.pilot.click("#frames", offset=(10, 3))
        assert frames.cursor == 2
        await screen.pilot.click("#inspector", offset=(screen.line("inspector").index("Header"), 0))
        await screen.until(lambda: "[Header]" in screen.line("inspector"))
        await screen.pilot.click("#overview", offset=(5, 1))
        await screen.until(lambda: frames.cursor == 0)
        await screen.pilot.click("#keys", offset=(screen.line("keys").index("timeline"), 0))
        await screen.until(lambda: screen.app.page.page == "timeline")


def focused(screen: Screen) -> str | None:
    return screen.app.focused.id if screen.app.focused is not None else None


def follows(screen: Screen) -> bool:
    return screen.main.frames.is_following


def is_shown(screen: Screen, pane: str) -> bool:
    return bool(screen.widget(pane, Widget).display)


async def test_panes_are_maximised_resized_and_gone_through(chat):
    async with opened(chat, size=(80, 24)) as screen:
        assert screen.main.frames.size.height == 7
        await screen.press("plus")
        assert screen.main.inspector.size.height == 8
        await screen.press("minus", "backslash")
        assert screen.main.frames.size.height == 22
        await screen.press("backslash", "tab")
        assert focused(screen) == "inspector"
        await screen.press("tab")
        assert focused(screen) == "connections"
        await screen.press("shift+tab")
        assert focused(screen) == "inspector"


async def test_zoom_and_pan(chat):
    async with opened(chat) as screen:
        await screen.press("2", "plus", "plus")
        assert "zoom 2.475 s" in screen.line("overview")
        before = screen.line("overview")
        await screen.press("right")
        assert screen.line("overview") != before
        await screen.press("0")
        assert "zoom" not in screen.line("overview")


# -- sizes and colours


async def test_narrow_screens_have_one_pane_and_tabs(chat):
    async with opened(chat, size=(60, 20)) as screen:
        assert "[Frames]" in screen.line("tabs")
        assert not is_shown(screen, "connections")
        await screen.press("1")
        assert "[Connections]" in screen.line("tabs")
        assert is_shown(screen, "connections")
        assert "REFUSED" in screen.text()


async def test_too_small_a_terminal_gets_one_line(chat):
    async with opened(chat, size=(59, 15)) as screen:
        assert screen.line("too-small") == "wsinspect needs 60x15, this terminal has 59x15"
        assert not is_shown(screen, "main")
        await screen.pilot.resize_terminal(120, 36)
        await screen.until(lambda: screen.main.frames.display and screen.main.frames.size.height > 0)
        assert "OPEN" not in screen.line("too-small")


async def test_ascii_is_ascii_everywhere(tmp_path):
    path = tmp_path / "odd.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, path="/世界/\x1b[31m")
        builder.handshake(1)
        chat_frames(builder, 1, 10)
        builder.frame(1, 3000, 1, "世界 ‮ é".encode())
    async with opened(path, is_ascii=True) as screen:
        for keys in ((), ("h",), ("t",), ("i",), ("f",), ("t", "s")):
            await screen.press(*keys)
            for widget in screen.app.screen.query("LinePane, OneLine"):
                if widget.display and widget.size.height:
                    for y in range(widget.size.height):
                        assert widget.render_line(y).text.isascii()


async def test_without_colour_there_are_only_attributes(chat, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(chat) as screen:
        assert screen.app.theme == "ansi-dark"
        styles = [
            segment.style
            for widget in screen.app.screen.query("LinePane, OneLine")
            for y in range(widget.size.height)
            for segment in widget.render_line(y)
        ]
        assert all(style is None or (style.color is None and style.bgcolor is None) for style in styles)
        assert any(style is not None and style.reverse for style in styles)


async def test_light_themes_have_darker_colours(chat):
    async with opened(chat) as screen:
        dark = screen.app.workspace.palette["c2s"]
        screen.app.theme = "textual-light"
        await screen.pilot.pause()
        assert screen.app.workspace.palette["c2s"] != dark


# -- states


async def test_a_dead_engine_is_reported_and_its_data_stays(tmp_path):
    path = chat_capture(tmp_path / "chat.db", clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        assert screen.line("header").startswith(" LIVE ")
        lock.release()
        await screen.until(lambda: screen.line("header").startswith(" DISCONNECTED "))
        await screen.until(lambda: "The proxy has exited" in screen.line("banner"))
        assert len(screen.model.index) == 13
        await screen.press("R")
        assert "was not started from here" in screen.line("keys")


async def test_what_could_not_be_stored_is_shown(tmp_path):
    path = tmp_path / "full.db"
    with CaptureBuilder(path) as builder:
        builder.event(
            5, None, "unstored", {"bytes": 123456, "records": 3, "reason": "No space left on device"}
        )
    async with opened(path) as screen:
        await screen.until(lambda: "121 KiB could not be stored" in screen.line("banner"))


async def test_a_damaged_file_is_a_state(tmp_path):
    path = many_frames(tmp_path / "many.db", 20_000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 4))
    async with opened(path) as screen:
        await screen.until(lambda: screen.app.workspace.trouble() is not None)
        assert "cannot read" in (screen.app.workspace.trouble() or "")


async def _crash(app: InspectApp) -> None:
    async with app.run_test() as pilot:
        app.call_later(lambda: 1 // 0)
        await pilot.pause()


async def test_a_bug_of_ours_leaves_by_the_border_and_not_as_a_traceback(chat):
    app = InspectApp(chat)
    with pytest.raises(ZeroDivisionError):
        await _crash(app)
    assert isinstance(app.failure, ZeroDivisionError)
    assert app._exit_renderables == []
