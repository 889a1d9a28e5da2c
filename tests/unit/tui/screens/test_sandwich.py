"""The sandwich page: both sides of a hop next to one another."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, chat_capture
from tests.support.tui_pilot import Screen, opened
from wsinspect.tui.screens.sandwich import SandwichScreen

pytestmark = pytest.mark.asyncio


def build(builder: CaptureBuilder) -> None:
    """A hop that changes the request, loses a message of the client and makes a PING of its own."""
    builder.taps("edge", "origin")
    builder.connection(1, 0, tap="edge")
    builder.handshake(1, 0)
    builder.connection(2, 2, tap="origin")
    builder.handshake(2, 2)
    builder.database.execute(
        "UPDATE handshake SET request_in = replace(cast(request_in as text), "
        "'Origin: http://localhost:3000', 'X-Forwarded-For: 10.0.0.1') WHERE connection_id = 2"
    )
    builder.database.execute(
        "UPDATE handshake SET request_in = cast(request_in as blob) WHERE connection_id = 2"
    )
    builder.frame(1, 10, 1, b"hello")
    builder.frame(2, 11, 1, b"hello")
    builder.frame(1, 20, 1, b"lost on the way")
    builder.frame(2, 30, 9, b"hop")
    builder.frame(2, 40, 1, b"answer", s2c=True)
    builder.frame(1, 43, 1, b"answer", s2c=True)


@pytest.fixture
def hop(tmp_path: Path) -> Path:
    path = tmp_path / "hop.db"
    with CaptureBuilder(path) as builder:
        build(builder)
    return path


async def sandwich(screen: Screen) -> SandwichScreen:
    page = screen.app.page
    assert isinstance(page, SandwichScreen)
    await screen.until(lambda: page.sandwich.view is not None or bool(page.sandwich.words))
    return page


async def test_at_80_columns_frames_show_how_their_payload_begins(hop):
    async with opened(hop, size=(80, 40)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("W")
        await sandwich(screen)
        rows = [line for line in screen.pane("sandwich") if " > TEXT " in line or " < TEXT " in line]
        begins = [" hello ", " lost on ", " answer "]
        assert all(begin in line for begin, line in zip(begins, rows, strict=True)), rows


async def test_names_in_another_letter_case_are_not_counted_as_changes(tmp_path):
    """HAProxy and Envoy write all of them in lower case, and nothing else may have happened."""
    path = tmp_path / "hop.db"
    with CaptureBuilder(path) as builder:
        build(builder)
        builder.database.execute(
            "UPDATE handshake SET request_in = cast(replace(replace(cast(request_in as text), "
            "'Upgrade: ', 'upgrade: '), 'Sec-WebSocket-Key: ', 'sec-websocket-key: ') as blob) "
            "WHERE connection_id = 2"
        )
    async with opened(path, size=(160, 50)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("W")
        await sandwich(screen)
        [request] = [line for line in screen.pane("sandwich") if "Request" in line]
        assert "changed by the hop: 3, 2 names in another letter case" in request


async def test_frames_that_come_while_it_is_shown_are_compared_too(tmp_path):
    with CaptureBuilder(tmp_path / "hop.db") as builder:
        build(builder)
        builder.commit()
        async with opened(tmp_path / "hop.db", size=(160, 50)) as screen:
            screen.main.show_connection(1)
            await screen.until(lambda: screen.selection.connection == 1)
            await screen.press("W")
            await sandwich(screen)
            assert "came later" not in "\n".join(screen.pane("sandwich"))
            builder.frame(1, 60, 1, b"came later")
            builder.frame(2, 61, 1, b"came later")
            builder.commit()
            await screen.until(lambda: "came later" in "\n".join(screen.pane("sandwich")))


async def test_both_sides_of_a_connection_and_what_the_hop_did(hop):
    async with opened(hop, size=(160, 50)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("W")
        page = await sandwich(screen)
        text = "\n".join(screen.pane("sandwich"))
        assert "edge  #1" in text
        assert "origin  #2" in text
        assert "changed by the hop: 3" in text or "changed by the hop: 2" in text
        assert "X-Forwarded-For: 10.0.0.1" in text
        assert "on one side only: 2" in text
        lost = next(line for line in text.splitlines() if "lost on the way" in line)
        assert lost.strip().startswith("-")
        made = next(line for line in text.splitlines() if "PING" in line and "hop" in line)
        half = made.index("│", 5)
        assert not made[1:half].strip()
        assert made[half:].startswith("│ + #"), "the sign is where the frame is"
        assert "->" not in text, "one arrow on one page"
        assert "in the hop 1.0 ms" in text
        assert "in the hop 3.0 ms" in text
        await screen.press("d")
        text = "\n".join(screen.pane("sandwich"))
        assert "hello" not in text
        assert "lost on the way" in text
        assert "Host: " in text
        assert page.connection_in_view() == 1


async def test_one_key_goes_to_the_partner_and_back(hop):
    async with opened(hop, size=(160, 50)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("W")
        await sandwich(screen)
        await screen.press("p")
        await screen.until(lambda: screen.selection.connection == 2)
        assert screen.app.page is screen.main
        await screen.press("W")
        await sandwich(screen)
        await screen.press("p")
        await screen.until(lambda: screen.selection.connection == 1)


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_without_a_hop_it_says_what_a_sandwich_needs(tmp_path, width):
    async with opened(chat_capture(tmp_path / "chat.db"), size=(width, 36)) as screen:
        await screen.press("1", "down", "down", "W")
        await sandwich(screen)
        lines = screen.pane("sandwich")
        assert "two taps in one" in "\n".join(lines)
        # The command to copy is on lines of its own, and a shell reads them as one.
        begin = next(at for at, line in enumerate(lines) if line.startswith("    wsinspect run"))
        command = "\n".join(lines[begin:]).strip().replace("\\\n", " ")
        assert shlex.split(command) == [
            "wsinspect", "run", "--tap", "edge=8081=URL-OF-THE-HOP", "--tap", "origin=3001=URL-OF-THE-SERVER",
        ]  # fmt: skip
        await screen.press("p")
        assert "no partner" in screen.line("keys")


async def test_a_connection_of_one_side_says_which_have_both(tmp_path):
    path = tmp_path / "three.db"
    with CaptureBuilder(path) as builder:
        build(builder)
        builder.connection(3, 5000, tap="origin", path="/health")
        builder.handshake(3, 5000)
    async with opened(path, size=(100, 30)) as screen:
        screen.main.show_connection(3)
        await screen.until(lambda: screen.selection.connection == 3)
        await screen.press("W")
        await sandwich(screen)
        words = " ".join(" ".join(screen.pane("sandwich")).split())
        assert "Connection 3 was seen on one side of the hop only. Seen on both sides: 1." in words
        assert "two taps" not in words
