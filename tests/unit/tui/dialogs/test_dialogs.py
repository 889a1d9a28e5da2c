"""A frame by hand, the end of a connection, quitting while frames are held, and export: driven by keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Input

from tests.support.control_lab import ControlLab, control_lab
from tests.support.svg import assert_same_screen
from tests.support.tui_captures import CaptureBuilder, chat_capture, hold_engine_lock, many_frames
from tests.support.tui_pilot import Screen, opened
from wsinspect.formats.exporting import EXPORTERS
from wsinspect.launch.child import EngineChild
from wsinspect.tui import leaving
from wsinspect.tui.dialogs.connect import ConnectDialog
from wsinspect.tui.dialogs.sheet import Dialog, Pick, Question
from wsinspect.tui.dialogs.typed_frame import frame_bytes, oddities, typed_payload
from wsinspect.tui.exporting import Export
from wsinspect.wire.frame import serialize_frame

pytestmark = pytest.mark.asyncio
KNOWN = Path(__file__).parents[1] / "snapshots"
SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in ((120, 36), (200, 50)))]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """A capture that an engine writes: connection 1 was closed, 2 is open."""
    path = tmp_path / "live.db"
    builder = CaptureBuilder(path)
    builder.connection(1, 0, state="closed", path="/old", closed_ns=builder.connection(2, 10, path="/chat"))
    builder.frame(2, 20, 1, b"hello")
    builder.frame(2, 21, 1, b"hello yourself", s2c=True)
    builder.close(clean=False)
    lock = hold_engine_lock(path)
    yield path
    lock.release()


@pytest.fixture
def lab(live: Path) -> Iterator[ControlLab]:
    with control_lab(live) as made:
        made.engine.open = {2}
        yield made


def said(screen: Screen) -> str:
    """What the dialog or question on top says."""
    top = screen.app.screen
    lines = [
        widget.render_line(y).text.rstrip()
        for widget in top.query("Words, Pick")
        for y in range(widget.size.height)
    ]
    return "\n".join(lines)


def is_asked(screen: Screen) -> bool:
    return isinstance(screen.app.screen, Question)


async def choose_connection(screen: Screen, number: int) -> None:
    await screen.press("1")
    screen.main.connections.choose(number)
    await screen.until(lambda: screen.selection.connection == number)
    await screen.settle()


# -- a frame by hand


@pytest.mark.parametrize(
    ("opcode", "form", "text", "payload"),
    [
        ("text", "text", "héllo", "héllo".encode()),
        ("text", "json", '{"a": 1}', b'{"a": 1}'),
        ("binary", "hex", "de ad BE ef", b"\xde\xad\xbe\xef"),
        ("binary", "base64", "3q2+7w==", b"\xde\xad\xbe\xef"),
        ("ping", "text", "", b""),
        ("close", "text", "1001 going away", b"\x03\xe9going away"),
        ("close", "text", "4000", b"\x0f\xa0"),
        ("close", "text", "", b""),
        ("close", "hex", "03", b"\x03"),
    ],
)
async def test_what_was_typed_becomes_bytes(opcode, form, text, payload):
    assert typed_payload(opcode, form, text) == payload


@pytest.mark.parametrize(
    ("opcode", "form", "text", "words"),
    [
        ("text", "json", '{"a": }', "not JSON: Expecting value: line 1 column 7"),
        ("text", "hex", "abc", "expected pairs of hexadecimal digits"),
        ("text", "base64", "a", "expected base64"),
        ("close", "text", "bye", "expected a close code"),
        ("close", "text", "70000", "expected a close code"),
    ],
)
async def test_what_cannot_be_bytes_says_what_was_expected(opcode, form, text, words):
    with pytest.raises(ValueError) as caught:
        typed_payload(opcode, form, text)
    assert words in str(caught.value)


async def test_what_is_odd_is_said_and_sent_all_the_same():
    assert oddities("text", b"ok", fin=True) == []
    assert "at most 125 bytes" in oddities("ping", bytes(126), fin=True)[0]
    assert oddities("pong", b"", fin=False) == ["control frames cannot be fragments"]
    assert "two bytes" in oddities("close", b"x", fin=True)[0]
    assert "1006 must not be sent" in oddities("close", b"\x03\xee", fin=True)[0]
    assert "UTF-8" in oddities("text", b"\xff", fin=True)[0]
    assert "stays open" in oddities("text", b"\xff", fin=False)[0]
    assert "continuation" in oddities("cont", b"", fin=True)[0]
    assert frame_bytes("s2c", "cont", b"x", fin=False, key=b"abcd") == b"\x00\x01x"


async def test_a_frame_is_shown_byte_for_byte_asked_about_and_sent(lab, live):
    async with opened(live) as screen:
        await choose_connection(screen, 2)
        await screen.press("x")
        assert "Inject a frame, conn 2 /chat" in said(screen)
        await screen.press(*"hi")
        await screen.press("up", "up", "up", "up")
        assert "[s>c, to the client]" in said(screen)
        assert "4 B: 81 02 68 69" in said(screen)
        await screen.press("right")
        assert "[c>s, to the server]" in said(screen)
        shown = said(screen).split(" B: ")[1].splitlines()[0].strip()
        await screen.press("enter")
        assert is_asked(screen)
        assert f"Send these 8 B to the server on connection 2? They cannot be taken back: {shown}" in said(
            screen
        )
        await screen.press("enter")
        assert is_asked(screen), "Enter is no answer"
        await screen.press("escape")
        assert lab.engine.done == []
        await screen.press("enter", "y")
        await screen.until(lambda: not isinstance(screen.app.screen, Dialog))
        assert "injected 8 B to the server on connection 2" in screen.line("keys")
        raw = bytes.fromhex(shown)
        assert lab.engine.done == [(2, "inject", "c2s", raw)]
        assert raw == serialize_frame(1, b"hi", key=raw[2:6])


async def test_fragments_and_close_frames_can_be_made(lab, live):
    async with opened(live) as screen:
        await choose_connection(screen, 2)
        await screen.press("x", "up", "right")  # FIN
        assert "[0, a fragment]" in said(screen)
        assert "▲ the message stays open" in said(screen)
        await screen.press("left", "up", "up", "right", "right", "right", "right")
        assert "[close]" in said(screen)
        assert "code, reason" in said(screen)
        top: Any = screen.app.screen
        top.input("inject-payload").value = "bye"
        await screen.pilot.pause()
        assert "✗ expected a close code" in said(screen)
        await screen.press("enter")
        assert not is_asked(screen)
        top.input("inject-payload").value = "1006 x"
        await screen.pilot.pause()
        assert "▲ 1006 must not be sent. It is sent as it is." in said(screen)
        await screen.pilot.click("#inject-form", offset=(14 + 16, 0))
        assert "[hex]" in said(screen)
        await screen.press("escape")
        assert not isinstance(screen.app.screen, Dialog)


async def test_it_is_refused_where_the_connection_is_not_open(lab, live):
    async with opened(live, size=(200, 50)) as screen:
        await choose_connection(screen, 1)
        assert "(x inject)" in screen.line("keys")
        await screen.press("x")
        assert "x: connection 1 is closed, not open" in screen.line("keys")
        await screen.press("X")
        assert "X: connection 1 is closed, not open" in screen.line("keys")


async def test_what_the_engine_refuses_is_said_and_what_was_typed_stays(lab, live):
    lab.engine.open = set()
    async with opened(live) as screen:
        await choose_connection(screen, 2)
        await screen.press("x", *"hi", "enter", "y")
        await screen.until(lambda: "✗ connection 2 is not open" in said(screen))
        top: Any = screen.app.screen
        assert top.input("inject-payload").value == "hi"


# -- the end of a connection


async def test_a_connection_is_closed_with_a_code_or_aborted(lab, live):
    async with opened(live) as screen:
        await choose_connection(screen, 2)
        await screen.press("X")
        assert "✓ CLOSE 1001 to both sides, as a closing handshake" in said(screen)
        top: Any = screen.app.screen
        top.input("end-code").value = "4001 go away"
        await screen.press("enter")
        assert "End connection 2 with a closing handshake?" in said(screen)
        asked, question = screen.app.screen_stack[-2:]
        assert isinstance(asked, Dialog)
        assert isinstance(question, Question)
        assert "End conn 2" in asked.heading
        assert asked.heading != question.heading, "both are in sight"
        await screen.press("y")
        await screen.until(lambda: lab.engine.done == [(2, "close", "both", 4001, "go away")])
        await screen.until(lambda: "you closed connection 2" in screen.line("keys"))
        await screen.press("X", "right", "right", "down", "right")
        assert "✓ RST to the client without a CLOSE frame: JavaScript sees 1006" in said(screen)
        await screen.press("enter", "y")
        await screen.until(lambda: lab.engine.done[1:] == [(2, "abort", "client", "rst")])


async def test_the_palette_ends_a_connection_and_a_wrong_code_is_refused(lab, live):
    async with opened(live) as screen:
        await choose_connection(screen, 2)
        commands = {one.title: one for one in screen.app.get_system_commands(screen.app.screen)}
        commands["connection: end with a FIN, without CLOSE"].callback()
        await screen.pilot.pause()
        assert "FIN to both sides without a CLOSE frame" in said(screen)
        top: Any = screen.app.screen
        await screen.press("left")
        top.input("end-code").value = "x"
        await screen.press("enter")
        assert "✗ expected a close code" in said(screen)
        assert not is_asked(screen)


# -- quitting


async def test_quitting_with_frames_held_asks_and_escape_stays(lab, live):
    lab.arm(kind="hold", count=10)
    lab.engine.held_count = 2
    async with opened(live, size=(80, 24)) as screen:
        await screen.press("q")
        await screen.until(lambda: is_asked(screen))
        assert "Frames are held by a fault: 2 connections hold back frames." in said(screen)
        assert "it keeps running, and keeps holding" in " ".join(said(screen).split())
        await screen.press("escape")
        assert not is_asked(screen)
        assert screen.app.is_running
        assert lab.engine.held_count == 2


async def test_the_answer_releases_what_is_held(lab, live):
    lab.arm(kind="hold", count=10)
    lab.engine.held_count = 2
    async with opened(live) as screen:
        await screen.press("q")
        await screen.until(lambda: is_asked(screen))
        await screen.press("r")
        await screen.until(lambda: screen.app._exit)
    assert lab.rules() == []
    assert lab.engine.held_count == 0


@pytest.mark.parametrize("keys", [("q", "q"), ("q", "ctrl+c"), ("ctrl+q", "ctrl+q"), ("ctrl+c", "q")])
async def test_a_second_q_always_quits(lab, live, keys):
    lab.arm(kind="hold", count=10)
    lab.engine.held_count = 1
    async with opened(live) as screen:
        await screen.press(keys[0])
        await screen.until(lambda: is_asked(screen))
        await screen.pilot.press(keys[1])
        await screen.until(lambda: screen.app._exit)
    assert lab.rules() != []


async def test_with_an_engine_of_our_own_it_says_that_they_are_lost(lab, live):
    engine = EngineChild([], live)
    lab.engine.held_count = 1
    async with opened(live, engine=engine) as screen:
        await screen.press("q")
        await screen.until(lambda: is_asked(screen))
        assert "Quitting stops the proxy, and held frames are lost." in said(screen)


async def test_nothing_held_quits_at_once(lab, live):
    async with opened(live) as screen:
        await screen.pilot.press("q")
        await screen.until(lambda: screen.app._exit)


async def test_an_engine_that_does_not_answer_is_not_waited_for(lab, live, monkeypatch):
    monkeypatch.setattr(leaving, "PATIENCE_SECONDS", 0.1)
    stuck = asyncio.Event()
    async with opened(live) as screen:
        # Whatever is asked from now on is never answered.
        monkeypatch.setattr(screen.app.workspace.link, "ask", lambda work, done: stuck.set())
        await screen.pilot.press("q")
        await screen.until(lambda: screen.app._exit)
    assert stuck.is_set()


# -- export


async def exported(screen: Screen, name: str) -> None:
    top: Any = screen.app.screen
    top.input("export-file").value = name
    await screen.press("enter")
    await screen.until(lambda: not isinstance(screen.app.screen, Dialog))


async def test_a_capture_is_exported_as_har_with_secrets_masked(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e")
        assert "[HAR]" in said(screen)
        assert "✓ cookies, credentials and tokens in URLs are masked" in said(screen)
        top: Any = screen.app.screen
        assert top.input("export-file").value == str(tmp_path / "chat.har")
        await screen.press("enter")
        await screen.until(lambda: not isinstance(screen.app.screen, Dialog))
        assert "exported 3 connections, 5 messages, secrets masked, to" in screen.line("keys")
    log = json.loads((tmp_path / "chat.har").read_text())["log"]
    assert len(log["entries"]) == 3
    assert (tmp_path / "chat.har").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.part"))


async def test_the_format_and_the_name_s_ending_go_together(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e", "up", "up", "up", "right")
        top: Any = screen.app.screen
        assert top.input("export-file").value.endswith("chat.jsonl")
        top.input("export-file").value = "other.har"
        await screen.pilot.pause()
        assert "[HAR]" in said(screen)
        await exported(screen, "all.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert lines[0]["secrets"] is False
    assert sum(line["type"] == "frame" for line in lines) == 13


def in_one_stroke(screen: Screen, *keys: str) -> None:
    """Keys as they come of one read of a terminal."""
    for key in keys:
        screen.app.post_message(events.Key(key, key if len(key) == 1 else None))


@pytest.mark.parametrize("place", ["slash", "e"])
async def test_keys_that_edit_take_effect_in_the_order_in_which_they_were_typed(tmp_path, place):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("3", place)
        line = screen.app.focused
        assert isinstance(line, Input)
        in_one_stroke(
            screen, *"lost", "ctrl+u", *"abX", "backspace", *"dZ", "left", "c", "delete", "home", "_"
        )
        await screen.until(lambda: line.value.startswith("_"))
        assert line.value == "_abdc"


async def test_a_key_behind_one_that_left_the_line_is_not_the_lines(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("3", "e")
        line = screen.app.focused
        assert isinstance(line, Input)
        before, cursor = line.value, line.cursor_position
        above = screen.app.screen.query(Pick).last()
        chosen = above.value
        in_one_stroke(screen, "up", "right")
        await screen.until(lambda: above.value != chosen)
        assert (line.cursor_position, screen.app.focused) == (cursor, above)
        assert line.value.partition(".")[0] == before.partition(".")[0]


async def test_every_choice_of_a_long_line_is_in_sight(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db"), size=(60, 20)) as screen:
        await screen.press("e", "up", "up", "up")
        seen = []
        for _ in EXPORTERS:
            told = said(screen).partition("format")[2]
            seen.append(told.partition("[")[2].partition("]")[0])
            assert all(one.label in told for one in EXPORTERS.values()), told
            await screen.press("right")
    assert seen == [one.label for one in EXPORTERS.values()]


async def test_what_passes_the_filter_is_exported(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("slash")
        screen.main.bar.input.value = "op:text"
        await screen.press("enter")
        await screen.until(
            lambda: screen.selection.filter is not None and screen.selection.scan_share is None
        )
        await screen.press("e")
        assert "[what passes the filter] its connections" in said(screen)
        await exported(screen, "texts.jsonl")
        await screen.press("e", "up", "up", "right")
        assert "[its connections]" in said(screen)
        await exported(screen, "talks.jsonl")
    counts = []
    for name in ("texts.jsonl", "talks.jsonl"):
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        counts.append(
            (
                sum(line["type"] == "frame" for line in lines),
                {line["id"] for line in lines if line["type"] == "connection"},
            )
        )
    assert counts == [(3, {3}), (12, {3})]


async def test_one_connection_is_exported_with_secrets_where_asked(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await choose_connection(screen, 2)
        await screen.press("e")
        assert "whole capture [connection 2]" in said(screen)
        await screen.press("up", "right")
        assert "▲ cookies, credentials and tokens are included" in said(screen)
        await exported(screen, "two.jsonl")
        assert "exported 1 frame, secrets left in, to" in screen.line("keys")
    assert json.loads((tmp_path / "two.jsonl").read_text().splitlines()[0])["secrets"] is True


async def test_a_file_is_overwritten_only_when_asked(tmp_path):
    (tmp_path / "chat.har").write_text("precious")
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e", "enter")
        assert "chat.har exists." in said(screen)
        await screen.press("enter", "escape")
        assert (tmp_path / "chat.har").read_text() == "precious"
        await screen.press("enter", "o")
        await screen.until(lambda: not isinstance(screen.app.screen, Dialog))
    assert json.loads((tmp_path / "chat.har").read_text())["log"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "expected a file name"),
        ("nowhere/x.har", "there is no folder nowhere"),
        (".", "is a folder"),
        ("chat.db", "that is the capture itself"),
    ],
)
async def test_where_nothing_can_be_written_it_says_why(tmp_path, name, words):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e")
        top: Any = screen.app.screen
        top.input("export-file").value = name
        await screen.press("enter")
        assert f"✗ {words}" in said(screen) or words in said(screen)
        assert isinstance(screen.app.screen, Dialog)


async def test_a_folder_that_cannot_be_written_is_named_and_the_dialog_stays(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e")
        top: Any = screen.app.screen
        top.input("export-file").value = "/proc/x.har"
        await screen.press("enter")
        await screen.until(lambda: "✗ cannot write /proc/x.har" in said(screen))


async def test_escape_stops_an_export_and_nothing_is_left(tmp_path):
    async with opened(many_frames(tmp_path / "many.db", 60_000)) as screen:
        await screen.press("e")
        top: Any = screen.app.screen
        top.input("export-file").value = "many.jsonl"
        top.submit()
        top.action_leave()
        await screen.until(lambda: "the export was stopped; nothing was written" in said(screen))
    assert not list(tmp_path.glob("many.jsonl*"))


async def test_how_far_an_export_is_stands_in_the_dialog(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e")
        top: Any = screen.app.screen
        top._export = Export(top._order, screen.app.deliver, top._moved, top._done)
        top._export._moved(6)
        await screen.pilot.pause()
        assert "exporting: 46%, 6 so far; esc stops it" in said(screen)


# -- pictures


@pytest.mark.snapshot
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["inject", "end", "export"])
async def test_picture(lab, live, tmp_path, monkeypatch, name, size):
    from wsinspect.tui.widgets import connections

    monkeypatch.setattr(connections, "ago", lambda _ns: "1.0 s")
    monkeypatch.setattr("secrets.token_bytes", lambda _count: b"\x11\x22\x33\x44")
    async with opened(live, size=size) as screen:
        await choose_connection(screen, 2)
        await screen.press({"inject": "x", "end": "X", "export": "e"}[name])
        top: Any = screen.app.screen
        if name == "inject":
            await screen.press(*"hi", "up", "up", "up", "up", "right")
        elif name == "export":
            top.input("export-file").value = "live.har"
        screen.model.lag_ns = None
        screen.app.page.refresh_lines()
        await screen.pilot.pause()
        assert_same_screen(
            screen.app.export_screenshot(title="wsinspect"),
            KNOWN / f"dialog-{name}-{size[0]}x{size[1]}.svg",
            tmp_path,
        )


async def test_a_url_that_is_not_typed_yet_is_no_mistake(lab, live):
    async with opened(live, size=(80, 24)) as screen:
        await screen.until(lambda: screen.app.workspace.engine_view.is_up)
        await screen.press("C")
        await screen.until(lambda: isinstance(screen.app.screen, ConnectDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, ConnectDialog)
        dialog.input("connect-url").value = ""
        await screen.until(lambda: "a URL, such as localhost:3000/chat" in said(screen))
        assert "✗" not in said(screen)
        await screen.press("enter")
        assert "✗ expected a URL, such as localhost:3000/chat" in said(screen)
        dialog.input("connect-url").value = "ws://localhost/#part"
        await screen.until(lambda: "✗" in said(screen))
        await screen.press("escape")
        assert not isinstance(screen.app.screen, ConnectDialog)
