"""The intercept page, driven by keys against a real control API."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.control_lab import ControlLab, control_lab
from tests.support.tui_captures import chat_capture, hold_engine_lock
from tests.support.tui_pilot import Screen, opened
from wsinspect.faults.held import Decision, Held
from wsinspect.tui.dialogs.held import HeldDialog
from wsinspect.tui.dialogs.rule import RuleDialog
from wsinspect.tui.screens.intercept import HeldPane

pytestmark = pytest.mark.asyncio


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[ControlLab]:
    path = chat_capture(tmp_path / "chat.db", clean=False)
    lock = hold_engine_lock(path)
    with control_lab(path) as made:
        made.engine.capture = path
        yield made
    lock.release()


def hold(
    lab: ControlLab, name: str, what: str = "message", data: bytes = b'{"type":"order"}', **more
) -> None:
    facts = {"opcode": 1 if what == "message" else None, "direction": "c2s", "until_ns": None} | more
    lab.engine.waiting[name] = Held(
        name=name, rule="break", connection=1, what=what, since_ns=10**9, data=data, **facts
    )


def pane(screen: Screen) -> HeldPane:
    return screen.app.page.query_one(HeldPane)


async def intercepting(screen: Screen, count: int) -> None:
    await screen.press("B")
    await screen.until(lambda: len(pane(screen).held) == count)


async def decided(screen: Screen, lab: ControlLab) -> tuple[str, Decision]:
    await screen.until(lambda: bool(lab.engine.decisions))
    return lab.engine.decisions.pop()


async def test_nothing_held_says_what_to_do(lab):
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await screen.press("B")
        text = "\n".join(screen.pane("intercept"))
        assert "payload" not in text
        assert "a add" in screen.line("keys")
        assert "Nothing is held" in text
        assert "--break FILTER" in text
        await screen.press("a")
        await screen.until(lambda: isinstance(screen.app.screen, RuleDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, RuleDialog)
        assert dialog.heading == "Add a breakpoint"
        about = dialog.words("rule-about")
        lines = [about.render_line(y).text.rstrip() for y in range(about.size.height)]
        assert lines[-1].endswith("(docs/intercept.md).")
        assert len(lines) == 2


async def test_what_is_held_has_clocks_and_both_sides_silences(lab):
    hold(lab, "m1-c2s-4", client_heard_ns=3 * 10**9, until_ns=9 * 10**9, behind=2)
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        text = "\n".join(screen.pane("intercept"))
        assert "1 held" in text
        assert re.search(r" 4(\.\d+)? s ", text)
        assert re.search(r"  silence to client  to server  payload", text)
        assert re.search(r"  2(\.\d+)? s          -  passes in ", text)
        assert "passes in " in text
        assert "2 behind" in text
        assert '{"type":"order"}' in text


def held_lines(screen: Screen) -> list[str]:
    """What is shown of the chosen one: the title, and its lines."""
    return screen.pane("held-payload") if screen.app.page.query_one("#held-payload").display else []


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=str)
async def test_what_the_chosen_one_says_is_below_the_list(lab, size):
    hold(lab, "m1-c2s-4", data=b'{"type": "order", "id": 7}')
    hold(lab, "m1-s2c-5", data=b"\xff\x00", opcode=2, direction="s2c")
    hold(lab, "h2-request", "request", b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n")
    async with opened(lab.engine.capture, size=size) as screen:
        await intercepting(screen, 3)
        assert [line.strip() for line in held_lines(screen)[1:5]] == ["{", '"type": "order",', '"id": 7', "}"]
        assert "c>s TEXT of connection 1" in held_lines(screen)[0]
        assert held_lines(screen)[0].rstrip("━─ ").endswith("26 B")
        await screen.press("j")
        assert "s>c BIN" in held_lines(screen)[0]
        assert "ff 00" in held_lines(screen)[1]
        await screen.press("j")
        assert "GET /chat HTTP/1.1" in held_lines(screen)[1]
        assert "Host: a" in held_lines(screen)[2]
        assert "GET /chat HTTP/1.1" in screen.app.page.document_text(), "o has it, too"


async def test_a_long_one_is_scrolled_and_says_what_it_lacks(lab):
    hold(lab, "m1-c2s-4", data=b"\n".join(b"line %d" % number for number in range(900)))
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await intercepting(screen, 1)
        assert "the beginning of 7.8 KiB: E opens all of it" in held_lines(screen)[0]
        assert held_lines(screen)[1].startswith(" line 0 ")
        await screen.press("pagedown")
        assert not held_lines(screen)[1].startswith(" line 0 ")
        await screen.press("pageup")
        assert held_lines(screen)[1].startswith(" line 0 ")


async def test_a_low_terminal_has_few_rows_and_what_the_chosen_one_says(lab):
    for number in range(20):
        hold(lab, f"m1-c2s-{number}", data=b'{"type": "order", "id": %d}' % number)
    async with opened(lab.engine.capture, size=(60, 15)) as screen:
        await intercepting(screen, 20)
        assert len(pane(screen).text()) == 6
        assert "payload" in pane(screen).text()[1]
        assert [line.strip() for line in held_lines(screen)[1:5]] == ["{", '"type": "order",', '"id": 0', "}"]
        await screen.press("j")
        assert '"id": 1' in held_lines(screen)[3]


async def test_on_a_low_terminal_what_is_urgent_stands_in_place_of_the_names(lab):
    hold(lab, "m1-c2s-1", gone=("client",))
    hold(lab, "m1-c2s-2")
    hold(lab, "m1-c2s-3")
    async with opened(lab.engine.capture, size=(60, 15)) as screen:
        await intercepting(screen, 3)
        assert "client has ended the connection" in pane(screen).text()[1]
        assert "client gone" in pane(screen).text()[2]
        await screen.press("j")
        assert "payload" in pane(screen).text()[1]
        assert "gone" not in pane(screen).text()[3]


async def test_the_lines_of_a_held_handshake_stand_in_one_row(lab):
    hold(lab, "h2-request", "request", b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n")
    async with opened(lab.engine.capture, size=(120, 36)) as screen:
        await intercepting(screen, 1)
        assert any(line.rstrip().endswith("GET /chat HTTP/1.1  Host: a") for line in pane(screen).text())


async def test_typing_replaces_the_filter_that_was_proposed(lab):
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await screen.press("B", "a")
        await screen.until(lambda: isinstance(screen.app.screen, RuleDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, RuleDialog)
        assert dialog.input("rule-line").value == "break,match=op:text"
        await screen.press(*"bin")
        assert dialog.input("rule-line").value == "break,match=bin"


@pytest.mark.parametrize(("key", "action"), [("enter", "pass"), ("d", "drop")], ids=["pass", "drop"])
async def test_one_key_decides_about_the_chosen_one(lab, key, action):
    hold(lab, "m1-c2s-4")
    hold(lab, "m1-c2s-5")
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 2)
        await screen.press("j", key)
        assert await decided(screen, lab) == ("m1-c2s-5", Decision(action=action))
        await screen.until(lambda: len(pane(screen).held) == 1)


async def test_a_message_is_edited_in_place(lab):
    hold(lab, "m1-c2s-4")
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        await screen.press("e")
        await screen.until(lambda: isinstance(screen.app.screen, HeldDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, HeldDialog)
        assert dialog.input("held-text").value == '{"type":"order"}'
        assert " enter send  esc cancel " in dialog.query_one("#dialog-title").render_line(0).text
        dialog.input("held-text").value = "edited"
        await screen.press("enter")
        assert await decided(screen, lab) == ("m1-c2s-4", Decision(action="edit", payload=b"edited"))


async def test_a_binary_message_begins_as_hex(lab):
    hold(lab, "m1-c2s-4", data=b"\xff\x00")
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        assert any(line.rstrip().endswith("ff 00") for line in screen.pane("intercept"))
        await screen.press("e")
        await screen.until(lambda: isinstance(screen.app.screen, HeldDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, HeldDialog)
        assert dialog.input("held-text").value == "ff 00"
        dialog.input("held-text").value = "f"
        await screen.press("enter")
        assert isinstance(screen.app.screen, HeldDialog), "an odd digit is not sent"


async def test_a_text_of_several_lines_says_where_it_is_edited_as_text(lab):
    hold(lab, "m1-c2s-4", data=b'{\n  "type": "order"\n}')
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        await screen.press("e")
        await screen.until(lambda: isinstance(screen.app.screen, HeldDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, HeldDialog)
        said = dialog.words("dialog-verdict").render_line(0).text
        assert "to edit it as a text of several lines: esc, E" in said


@pytest.mark.parametrize(
    ("what", "key", "words"),
    [("message", "E", "e edits in place"), ("request", "e", "r answers instead")],
)
async def test_where_no_editor_can_run_it_says_what_can_be_done(lab, what, key, words):
    hold(lab, "m1-c2s-4", what)
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        await screen.press(key)
        await screen.until(lambda: words in screen.line("keys"))


async def test_a_handshake_is_answered_with_a_status(lab):
    hold(lab, "h2-request", "request", b"GET / HTTP/1.1")
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        await screen.press("r")
        await screen.until(lambda: isinstance(screen.app.screen, HeldDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, HeldDialog)
        dialog.input("held-text").value = "429 later"
        await screen.press("enter")
        expected = Decision(action="answer", status=429, body="later")
        assert await decided(screen, lab) == ("h2-request", expected)


async def test_an_editor_changes_it(lab, tmp_path, monkeypatch):
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nprintf edited > "$1"\n')
    script.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(script))
    hold(lab, "m1-c2s-4")
    async with opened(lab.engine.capture) as screen:
        monkeypatch.setattr(type(screen.app), "suspend", lambda _app: __import__("contextlib").nullcontext())
        await intercepting(screen, 1)
        await screen.press("E")
        assert await decided(screen, lab) == ("m1-c2s-4", Decision(action="edit", payload=b"edited"))


async def test_all_pass_at_once(lab):
    hold(lab, "m1-c2s-4")
    hold(lab, "h2-request", "request", b"GET / HTTP/1.1")
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 2)
        await screen.press("A")
        await screen.until(lambda: not pane(screen).held)
    assert not lab.engine.waiting


async def test_how_long_each_side_is_known_to_wait_is_shown(lab):
    with closing(sqlite3.connect(lab.engine.capture)) as database, database:
        database.execute(
            "UPDATE handshake SET response_in = ? WHERE connection_id = 1",
            (b"HTTP/1.1 101 Switching Protocols\r\nServer: nginx/1.22.1\r\n\r\n",),
        )
    now_ns = lab.engine.now_ns()
    hold(lab, "m1", server_heard_ns=now_ns - 50 * 10**9, client_heard_ns=now_ns)
    async with opened(lab.engine.capture, size=(140, 30)) as screen:
        await intercepting(screen, 1)
        shown = screen.pane("intercept")[1]
        assert re.search(r"server \S+ s left of 60 s by default without any bytes \(nginx", shown), shown
        lab.engine.waiting["m1"] = replace(lab.engine.waiting["m1"], server_heard_ns=now_ns - 70 * 10**9)
        await screen.until(lambda: "server may have given up after 60 s" in screen.pane("intercept")[1])


@pytest.mark.slow
async def test_both_sides_patience_is_whole_on_lines_of_its_own(lab):
    with closing(sqlite3.connect(lab.engine.capture)) as database, database:
        database.execute(
            "UPDATE handshake SET request_in = ?, response_in = ? WHERE connection_id = 1",
            (
                b"GET / HTTP/1.1\r\nUser-Agent: Python/3.13 websockets/15.0\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nServer: Python/3.13 websockets/15.0\r\n\r\n",
            ),
        )
    now_ns = lab.engine.now_ns()
    hold(lab, "m1", server_heard_ns=now_ns, client_heard_ns=now_ns)
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await intercepting(screen, 1)
        one, other, _, row = screen.pane("intercept")[1:5]
        assert {one.split()[0], other.split()[0]} == {"client", "server"}
        assert " left of 40 s by default without " in one
        assert " left of 40 s by default without " in other
        assert '{"type":"order"}' in row


async def test_where_no_proxy_runs_nothing_is_asked_for_that_cannot_be_done(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db"), size=(80, 24)) as screen:
        await screen.press("B")
        text = " ".join(" ".join(screen.pane("intercept")[1:]).split())
        assert text.startswith("Nothing can be held here (")
        assert "wsinspect run --break op:text" in text
        assert "Press a" not in text


async def test_of_a_client_that_has_gone_no_time_is_left(lab):
    hold(lab, "m1", client_heard_ns=10**9, gone=("client",))
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await intercepting(screen, 1)
        assert screen.pane("intercept")[1] == " client has ended the connection"
        assert " left " not in "\n".join(screen.pane("intercept"))


@pytest.mark.parametrize(("width", "shown"), [(80, 38), (120, 45)])
async def test_what_is_held_has_room(lab, width, shown):
    text = '{"type":"order","lines":[{"sku":"A-1","count":2}],"paid":false}'
    hold(lab, "m1", data=text.encode(), client_heard_ns=10**9)
    async with opened(lab.engine.capture, size=(width, 24)) as screen:
        await intercepting(screen, 1)
        lines = screen.pane("intercept")
        assert text[:shown] in lines[4]
        # How long each side has heard nothing stands in the list, or above it.
        assert ("silence" in lines[3]) == (width >= 100)
        assert ("; the client has heard nothing for " in lines[1]) == (width < 100)


@pytest.mark.parametrize("width", [99, 100])
@pytest.mark.parametrize("count", [1, 40])
async def test_names_are_above_their_columns_with_and_without_a_scroll_bar(lab, width, count):
    for number in range(count):
        hold(lab, f"m{number}", data=b"payload", client_heard_ns=10**9)
    async with opened(lab.engine.capture, size=(width, 24)) as screen:
        await intercepting(screen, count)
        lines = screen.pane("intercept")
        assert lines[3].index("payload") == lines[4].index("payload")
        assert ("silence" in lines[3]) == (" s          -  " in lines[4]) == (width >= 100)
        assert ("; the client has heard nothing for " in lines[1]) == (width < 100)


async def test_each_page_says_that_something_is_held(lab):
    hold(lab, "m1-c2s-4")
    hold(lab, "h2-request", "request", b"GET / HTTP/1.1")
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await screen.until(lambda: "2 HELD: press B" in screen.line("header"))
        for key in ("t", "f"):
            await screen.press(key)
            assert "2 HELD: press B" in screen.line("header")
        await intercepting(screen, 2)
        await screen.press("A")
        await screen.until(lambda: "HELD" not in screen.line("header"))


async def test_where_nothing_is_known_of_that_it_says_so(lab):
    hold(lab, "m1", client_heard_ns=10**9)
    async with opened(lab.engine.capture) as screen:
        await intercepting(screen, 1)
        assert screen.pane("intercept")[1] == " no timeout known for either side"


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_a_dialog_s_title_keeps_the_keys_that_confirm_and_leave(lab, width):
    hold(lab, "m1-c2s-4")
    async with opened(lab.engine.capture, size=(width, 24)) as screen:
        await intercepting(screen, 1)
        await screen.press("r")
        await screen.until(lambda: isinstance(screen.app.screen, HeldDialog))
        title = screen.app.screen.query_one("#dialog-title").render_line(0).text
        assert title.startswith(f"{screen.app.workspace.glyphs.heavy} Answer the client instead")
        assert " enter answer  esc cancel " in title
        assert ("instead, conn 1 " in title) == (width >= 80)
        assert ("arrows select" in title) == (width >= 80)


@pytest.mark.parametrize("width", [80, 120])
async def test_what_is_held_is_named_whole(lab, width):
    hold(lab, "h1", "handshake", b"GET /chat HTTP/1.1\r\n\r\n")
    async with opened(lab.engine.capture, size=(width, 24)) as screen:
        await intercepting(screen, 1)
        rows = screen.pane("intercept")
        (row,) = [one for one in rows if "GET /chat" in one]
        assert " handshake " in row
        (names,) = [one for one in rows if "payload" in one]
        assert names.index("payload") == row.index("GET /chat")


async def test_rows_keep_their_columns_however_long_they_wait(lab):
    """`119 s`, `2 min 22 s` and `59 min 59 s` take as many cells."""
    hold(lab, "m1-c2s-4")
    async with opened(lab.engine.capture, size=(80, 24)) as screen:
        await intercepting(screen, 1)
        held = pane(screen)
        (one,) = held.held
        held.held = [one | {"held_ms": seconds * 1000} for seconds in (1, 119, 142, 3595, 7300)]
        rows = ["".join(text for text, _ in held.row(number, 80)) for number in range(5)]
        assert len({row.index("c>s") for row in rows}) == 1
