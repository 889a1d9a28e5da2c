"""The inspector on a screen: JSON as a tree, finding, hex values, CLOSE, what is packed, comparisons."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, hold_engine_lock, many_frames, many_more
from tests.support.tui_pilot import Screen, opened, shown_ids
from wsinspect.tui.documents import TEXT_WINDOW_BYTES
from wsinspect.tui.widgets.inspector import InspectorPane

pytestmark = pytest.mark.asyncio

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4)


@pytest.fixture
def payloads(tmp_path: Path) -> Path:
    path = tmp_path / "payloads.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, b'{"type":"tick","ts":1764438590123,"list":[1,2],"name":"needle"}', s2c=True)
        builder.frame(1, 20, 1, b'{"type":"order","id":7}')
        builder.frame(1, 30, 1, b'{"type":"tick","ts":1764438590124,"list":[1,3],"name":"needle"}', s2c=True)
        builder.frame(1, 40, 2, PNG)
        builder.frame(1, 50, 2, gzip.compress(b'{"inside":true}', mtime=0))
        builder.frame(1, 60, 1, b"<a b='c'>needle</a>")
        builder.frame(1, 70, 8, b"\x03\xe9deploy")
    return path


def lines(screen: Screen) -> str:
    return "\n".join(screen.pane("inspector"))


async def at_frame(screen: Screen, number: int) -> InspectorPane:
    screen.main.going.to_frame(number)
    await screen.press("4")
    return screen.main.inspector


async def test_json_is_a_tree_whose_values_are_copied_and_filtered_by(payloads):
    async with opened(payloads) as screen:
        pane = await at_frame(screen, 1)
        assert "2025-11-29 17:49:50.123 UTC" in lines(screen)
        await screen.press("down", "down", "down", "enter")
        assert '"list": [ 2 elements ],' in lines(screen)
        await screen.press("enter", "down", "p")
        assert screen.app.clipboard == "$.list[0]"
        await screen.press("w")
        assert screen.app.clipboard == "1"
        await screen.press("z")
        assert '"list": [ 2 elements ]' in lines(screen)
        await screen.press("down", "asterisk")
        await screen.until(
            lambda: screen.selection.filter is not None and screen.selection.scan_share is None
        )
        assert screen.selection.filter is not None
        assert str(screen.selection.filter) == "json:$.type=tick"
        assert shown_ids(screen) == [1, 3]
        assert pane.has_cursor
        await screen.press("U")
        assert screen.selection.filter is None


async def test_a_chosen_view_is_not_kept_for_payloads_that_it_cannot_show(payloads):
    """JSON that was chosen once must not put "not JSON" in place of an image, of XML or of gzip."""
    async with opened(payloads) as screen:
        pane = await at_frame(screen, 1)
        while "[json]" not in lines(screen) or pane.view is None:
            await screen.press("v")
        assert pane.view == "json"
        for number in (4, 5, 6, 7):
            await at_frame(screen, number)
            assert "not JSON" not in lines(screen)
        await at_frame(screen, 2)
        assert '"id": 7' in lines(screen)
        # Asked for on this very frame, it says why there is none.
        await at_frame(screen, 6)
        while pane.view != "json" or "not JSON" not in lines(screen):
            await screen.press("v")
        # Text that was chosen is of text, and not of an image's bytes; hex is of all.
        pane.choose_view("text")
        await at_frame(screen, 1)
        assert '{"type":"tick"' in lines(screen)
        await at_frame(screen, 4)
        assert "89 50 4e 47" in lines(screen)
        pane.choose_view("hex")
        await at_frame(screen, 2)
        assert "7b 22 74 79" in lines(screen)


async def test_text_is_found_in_the_payload_and_every_match_is_marked(payloads):
    async with opened(payloads) as screen:
        pane = await at_frame(screen, 1)
        await screen.press("ctrl+f")
        await screen.type("tick")
        await screen.press("enter")
        assert "1 match for tick" in lines(screen)
        assert pane.cursor == 1
        await screen.press("ctrl+f")
        screen.main.bar.input.value = "e"
        await screen.press("enter")
        assert "5 matches for e" in lines(screen)
        await screen.press("n")
        assert pane.cursor == 7
        await screen.press("N")
        assert pane.cursor == 1
        await screen.press("escape")
        assert pane.needle == ""
        pane = await at_frame(screen, 6)
        pane.find("needle")
        assert any(style == "match" for _, style in pane.row(0, 80))
        assert any(style == "name" for _, style in pane.row(0, 80))


async def test_a_long_text_is_searched_in_all_its_windows(tmp_path):
    path = tmp_path / "long.db"
    begin, far = b"needle " + b"x" * 70_000, 200_000
    text = begin + b" Needle " + b"\xc3\xa4" * far + b" needle y"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, text, s2c=True)
        builder.frame(1, 20, 1, b"a\nneedle", s2c=True)
    async with opened(path) as screen:
        pane = await at_frame(screen, 1)
        pane.find("needle")
        assert "3 matches for needle" in lines(screen)
        assert pane.window == 0
        windows = []
        for key in ("n", "n", "n", "N", "N"):
            await screen.press(key)
            windows.append(pane.window)
        assert windows == [1, 7, 7, 1, 0]
        assert "needle xxx" in lines(screen)
        pane.find("needle y")
        assert pane.window == 7
        assert "needle y" in lines(screen)
        pane.find("nothing like it")
        assert "no match for nothing like it in this payload" in screen.app.workspace.said()
        await at_frame(screen, 2)
        pane.find("needle")
        await screen.press("n")
        assert "no match for needle after this line" in screen.app.workspace.said()


async def test_a_match_that_is_cut_by_the_end_of_a_window_is_gone_to(tmp_path):
    path = tmp_path / "long.db"
    text = b"needle" + b"a" * (TEXT_WINDOW_BYTES - 9) + b"needle" + b"b" * 9_000 + b"needle"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, text, s2c=True)
    async with opened(path) as screen:
        pane = await at_frame(screen, 1)
        pane.find("needle")
        assert "3 matches for needle" in lines(screen)
        places = []
        for key in ("n", "n", "n", "N", "N", "N"):
            await screen.press(key)
            places.append((pane.window, pane._match_line == pane.row_count() - 1))
        assert places == [(0, True), (1, True), (1, True), (0, True), (0, False), (0, False)]
        assert "no match for needle before this line" in screen.app.workspace.said()


async def test_a_match_that_a_break_cuts_is_stopped_at_once(tmp_path):
    """A header that continues below, and a long string of JSON: n never stops where nothing begins."""
    path = tmp_path / "cut.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.handshake(1)
        builder.frame(1, 10, 1, b'"' + b"-" * 90 + b"needle" + b"-" * 90 + b'needle"', s2c=True)
        builder.frame(1, 20, 1, b"-" * 93 + b"needle" + b"-" * 92 + b"needle", s2c=True)
    async with opened(path, size=(98, 36)) as screen:
        for number in (1, 2):
            pane = await at_frame(screen, number)
            pane.find("needle")
            assert pane.matches == 2
            stops = [pane.cursor if pane.has_cursor else pane._match_line]
            await screen.press("n")
            stops.append(pane.cursor if pane.has_cursor else pane._match_line)
            assert len(set(stops)) == 2
            await screen.press("n")
            assert "no match for needle after this line" in screen.app.workspace.said()
            assert sum(
                len(text)
                for row in range(pane.row_count())
                for text, style in pane.row(row, 98)
                if style == "match"
            ) == 2 * len("needle")


async def test_finding_begins_at_the_top_of_what_is_shown_now(payloads):
    async with opened(payloads, size=(80, 36)) as screen:
        pane = await at_frame(screen, 6)
        pane.choose_tab(1)
        pane.find("mask")
        assert (place := pane._match_line) > 0
        pane.choose_tab(0)
        pane.choose_tab(1)
        await screen.press("n")
        assert pane._match_line == place
        await screen.pilot.resize_terminal(200, 50)
        await screen.pilot.pause()
        assert pane._match_line == pane.top - 1


async def test_in_json_too_long_to_be_laid_out_at_once_a_match_and_both_ends_are_one_key_away(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("wsinspect.tui.jsontree.MOST_ROWS", 2_000)
    path = tmp_path / "long.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, json.dumps([*range(90_000), "needle", *range(9)]).encode(), s2c=True)
    async with opened(path) as screen:
        pane = await at_frame(screen, 1)
        pane.find("needle")
        await screen.until(lambda: not pane.is_working)
        assert "1 match for needle" in lines(screen)
        assert '"needle",' in lines(screen)
        assert screen.app.workspace.said() == ""
        await screen.press("p")
        assert screen.app.clipboard == "$[90000]"
        await screen.press("home")
        assert pane.cursor == 0
        assert "   0," in lines(screen)
        await screen.press("end")
        await screen.until(lambda: not pane.is_working)
        assert lines(screen).splitlines()[-1].startswith(" ]")
        assert "more" not in screen.app.workspace.said()
        await screen.press("home", "n")
        await screen.until(lambda: not pane.is_working)
        assert '"needle",' in lines(screen)


async def test_while_a_far_place_is_looked_for_keys_act_and_the_screen_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("wsinspect.tui.widgets.inspector._SLICE_SECONDS", 1e-9)
    monkeypatch.setattr("wsinspect.tui.widgets.inspector._PAUSE_SECONDS", 0.05)
    path = tmp_path / "long.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, json.dumps([*range(90_000)]).encode(), s2c=True)
        builder.frame(1, 20, 2, b"[1]", s2c=True)
    async with opened(path) as screen:
        pane = await at_frame(screen, 1)

        def is_working() -> bool:
            return pane.is_working

        await screen.press("end")
        assert is_working()
        assert "looking…" in lines(screen)
        await screen.press("down", "down")
        assert pane.cursor == 2
        assert is_working()
        # Home, and another frame, give it up.
        await screen.press("home")
        assert not is_working()
        assert "looking…" not in lines(screen)
        await screen.press("end")
        assert is_working()
        await at_frame(screen, 2)
        assert not is_working()
        assert pane.cursor == 0


async def test_hex_shows_the_values_under_the_cursor(payloads):
    async with opened(payloads, size=(120, 50)) as screen:
        pane = await at_frame(screen, 4)
        assert "PNG image, 640 x 480" in lines(screen)
        await screen.press("down", *["full_stop"] * 3)
        assert " 00000013  u8 128" in lines(screen)
        assert "u16 le 128 be 32768" in lines(screen)
        await screen.press("comma")
        assert " 00000012  u8 2 " in lines(screen)
        pane.find("49 48 44 52")
        assert pane.matches == 1
        await screen.press("3")
        assert "u8" not in lines(screen)


async def test_what_is_packed_is_unpacked_and_a_close_is_words(payloads):
    async with opened(payloads) as screen:
        await at_frame(screen, 5)
        assert '"inside": true' in lines(screen)
        assert "gzip;" in lines(screen)
        await at_frame(screen, 7)
        assert "code    1001 " in lines(screen)
        assert "reason  deploy" in lines(screen)


async def test_a_message_is_compared_with_the_last_of_its_shape_and_with_marks(payloads):
    async with opened(payloads) as screen:
        await at_frame(screen, 2)
        await screen.press("3", "m")
        pane = await at_frame(screen, 3)
        await screen.press("D")
        text = lines(screen)
        assert "3 compared with 1 (same shape): 2 lines differ  D next  esc back" in text
        assert '-   "ts": 1764438590123,' in text
        assert "+     3" in text
        await screen.press("D")
        assert "compared with 2 (marked)" in lines(screen)
        await screen.press("escape")
        assert pane.compared is None
        await at_frame(screen, 1)
        screen.selection.marks.clear()
        await screen.press("D")
        assert "nothing to compare" in screen.line("keys")


@pytest.mark.slow
async def test_a_payload_of_ten_megabytes_is_there_at_once(tmp_path):
    text = json.dumps({"data": [{"id": number, "tags": ["a", "b"]} for number in range(300_000)]}).encode()
    path = tmp_path / "large.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, text)
    async with opened(path) as screen:
        pane = await at_frame(screen, 1)
        assert '"data": [' in lines(screen)
        await screen.press("end")
        await screen.until(lambda: not pane.is_working)
        assert lines(screen).splitlines()[-1].startswith(" }")
        await screen.press("home")
        assert '"data": [' in lines(screen)


async def test_under_traffic_what_is_compared_or_looked_through_stays(tmp_path):
    path = many_frames(tmp_path / "live.db", 50, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await screen.press("3", "end", "D")
        assert screen.main.inspector.compared is not None
        many_more(path, 50, 10)
        await screen.until(lambda: screen.model.index.last_id == 60)
        assert screen.main.inspector.compared is not None
        await screen.press("end", "4", "ctrl+f")
        await screen.type("hi")
        await screen.press("enter")
        assert not screen.main.frames.is_following
        assert screen.main.inspector.matches == 1
    lock.release()


async def test_the_keys_at_the_bottom_are_those_of_what_is_shown(payloads):
    async with opened(payloads, size=(160, 36)) as screen:
        await at_frame(screen, 1)
        await screen.until(lambda: "enter fold" in screen.line("keys"))
        assert "* filter by it" in screen.line("keys")
        assert "next byte" not in screen.line("keys")
        await screen.press("v")
        await screen.until(lambda: "> next byte" in screen.line("keys"))
        assert "fold" not in screen.line("keys")
        await screen.press("right")
        await screen.until(lambda: "byte" not in screen.line("keys"))
        assert "value" not in screen.line("keys")
        assert "[ ] mate" in screen.line("keys")


async def test_the_byte_under_the_cursor_stays_at_another_width(tmp_path):
    path = tmp_path / "bytes.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 2, bytes(range(256)) * 8)
    async with opened(path, size=(120, 40)) as screen:
        pane = await at_frame(screen, 1)
        await screen.press("backslash", *["down"] * 30, *["greater_than_sign"] * 3)
        assert "000001e3" in lines(screen), lines(screen)
        await screen.pilot.resize_terminal(200, 40)
        assert "000001e3" in lines(screen)
        assert pane.cursor == 0x1E3 // 32
        await screen.pilot.resize_terminal(70, 40)
        assert "000001e3" in lines(screen)
        assert pane.cursor == 0x1E3 // 8


async def test_no_text_touches_the_scroll_bar(tmp_path):
    path = tmp_path / "long.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        for number in range(60):
            builder.frame(1, 10 + number, 1, b"words " * 200)
    async with opened(path, size=(120, 30)) as screen:
        await at_frame(screen, 1)
        for name in ("frames", "inspector"):
            barred = [line for line in screen.pane(name) if line[-1:] in ("│", "█")]
            assert barred, name
            assert all(line[-2] == " " for line in barred), name


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "received 0.010 s  not compressed"),
        (4, "received 0.040 s  PNG image"),
        (5, "received 0.050 s  gzip"),
    ],
)
async def test_what_is_said_of_a_frame_ends_with_a_whole_part_where_it_is_narrow(payloads, number, words):
    async with opened(payloads, size=(80, 24)) as screen:
        await at_frame(screen, number)
        assert screen.pane("inspector")[1].endswith(words)


async def test_no_cell_of_a_line_is_chosen_while_another_pane_has_the_focus(payloads):
    async with opened(payloads, size=(80, 24)) as screen:
        pane = await at_frame(screen, 1)
        await screen.press("3")
        assert len({one.style.bgcolor for one in pane.render_line(2) if one.style}) == 1


@pytest.mark.parametrize(("width", "shown"), [(200, "[unpacked]"), (80, "[unpacked]"), (66, "[unpacked] +3")])
async def test_the_views_names_fit_the_title_whatever_the_payload(payloads, width, shown):
    """Where there is no room for all of them, the one that is shown and how many others there are."""
    async with opened(payloads, size=(width, 24)) as screen:
        await at_frame(screen, 5)
        title = screen.line("inspector")
        assert shown in title
        assert all(name in title for name in ("Payload", "Header", "Handshake", "Findings", "Raw"))
        assert ("hex" in title) == ("+" not in shown)
        x = title.index("Header")
        await screen.pilot.click("#inspector", offset=(x, 0))
        await screen.press()
        assert "[Header]" in screen.line("inspector")


@pytest.mark.parametrize("size", [(80, 24), (60, 15), (120, 40), (200, 50)])
async def test_every_value_of_a_byte_is_on_the_screen_or_one_key_away(payloads, size):
    async with opened(payloads, size=size) as screen:
        await at_frame(screen, 4)
        await screen.press("backslash")
        _, words = screen.main.inspector._value_words()
        assert len(words) > 10
        shown = lines(screen)
        left = [word for word in words if word not in shown]
        if left:
            assert f"{len(left)} more values: o opens all" in shown
        assert bool(left) == (size == (60, 15))
        assert all(word in screen.main.document_text() for word in words)
        assert " 00000000  89 50" in shown
