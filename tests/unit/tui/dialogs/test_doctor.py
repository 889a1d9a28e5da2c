"""The doctor in the timeline: driven by keys, on a server of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.doctor_lab import http, is_upgrade, replies, serving, switching
from tests.support.threaded_loop import ThreadedLoop
from tests.support.tui_captures import CaptureBuilder
from tests.support.tui_pilot import Screen, opened
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.handshake.heads import RawHead
from wsinspect.tui.dialogs.doctor import DoctorPane, DoctorScreen

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def loop() -> Iterator[ThreadedLoop]:
    with ThreadedLoop() as loop:
        yield loop


@contextlib.contextmanager
def server(loop: ThreadedLoop, play) -> Iterator[int]:
    started = serving(play)
    port = loop.run(started.__aenter__())
    try:
        yield port
    finally:
        loop.run(started.__aexit__(None, None, None))


def capture(path: Path, port: int) -> Path:
    """One attempt that was refused behind a reverse tap, to a server on this port."""
    with CaptureBuilder(path) as builder:
        builder.handshake(1, status=403, server_address=f"127.0.0.1:{port}")
        builder.connection(
            1, 0, state="refused", status=403, open_ns=None, closed_ns=1, ended_by="server", how="refused"
        )
    return path


def shown(screen: Screen) -> str:
    pane = screen.app.screen.query_one(DoctorPane)
    return "\n".join(pane.row_text(number) for number in range(pane.row_count()))


async def choose(screen: Screen) -> None:
    await screen.settle()
    await screen.press("1")
    screen.main.connections.choose(1)
    await screen.until(lambda: screen.selection.connection == 1)


def without_origin(head: RawHead) -> bytes:
    if is_upgrade(head) and head.get("origin") is None:
        return switching(head, Sec_WebSocket_Protocol="chat.v2" if head.get("sec-websocket-protocol") else "")
    return http("403 Forbidden", b"origin not allowed") if is_upgrade(head) else http("404 Not Found")


async def test_the_selected_connections_server_is_asked(tmp_path, loop):
    with server(loop, replies(without_origin)) as port:
        async with opened(capture(tmp_path / "x.db", port)) as screen:
            await choose(screen)
            await screen.press("P")
            top = screen.app.screen
            assert isinstance(top, DoctorScreen)
            await screen.until(lambda: top.pane.found is not None)
            words = shown(screen)
            assert "The server refuses this Origin" in words
            assert "WS-HS-050" in words
            assert "without Origin" in words
            assert top.pane.found is not None
            # The server itself, not the tap, and with what the client sent.
            assert top.pane.found.target.port == port
            assert top.pane.found.answers[0].question.value("Origin") == "http://localhost:3000"
            assert top.pane.found.answers[0].question.value("Host") == "localhost:8765"
            await screen.press("escape")
            assert screen.app.screen is screen.main


@asynccontextmanager
async def asking_in_vain(tmp_path: Path, loop: ThreadedLoop) -> AsyncIterator[Screen]:
    """The doctor was asked for and waits for a server that never answers."""
    asked = threading.Event()

    async def silent(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    with server(loop, silent) as port:
        async with opened(capture(tmp_path / "x.db", port)) as screen:
            await choose(screen)
            await screen.press("P")
            await asyncio.to_thread(asked.wait, 20)
            yield screen


async def test_a_configuration_that_was_read_names_the_line(tmp_path, loop):
    place = tmp_path / "app.conf"
    place.write_text("server {\n    listen 80;\n    location / {\n        return 403;\n    }\n}\n")
    page = b"<h1>403 Forbidden</h1><hr><center>nginx</center>"
    with server(loop, replies(lambda head: http("403 Forbidden", page))) as port:
        async with opened(capture(tmp_path / "x.db", port), size=(120, 50)) as screen:
            screen.app.workspace.places.take([str(place)], read_configurations([str(place)]))
            await choose(screen)
            await screen.press("P")
            top = screen.app.screen
            assert isinstance(top, DoctorScreen)
            await screen.until(lambda: top.pane.found is not None)
            words = " ".join(shown(screen).split())
            assert f"location / in {place}:3: 'return 403'" in words
            await screen.press("escape")


async def test_escape_stops_it(tmp_path, loop):
    async with asking_in_vain(tmp_path, loop) as screen:
        assert "handshake of a browser" in shown(screen)
        top = screen.app.screen
        assert isinstance(top, DoctorScreen)
        assert "".join(text for text, _ in top.pane.title()[1]) == "esc stop"
        await screen.press("escape")
        assert screen.app.screen is screen.main
        await screen.until(lambda: not any(one.name == "doctor" for one in threading.enumerate()))
        assert top.pane.found is None


async def test_the_program_ends_while_it_asks(tmp_path, loop):
    async with asking_in_vain(tmp_path, loop):
        pass
    for one in [one for one in threading.enumerate() if one.name == "doctor"]:
        await asyncio.to_thread(one.join, 20)
        assert not one.is_alive()


async def test_without_a_connection_it_says_what_to_do(tmp_path):
    path = tmp_path / "empty.db"
    CaptureBuilder(path).close()
    async with opened(path) as screen:
        await screen.settle()
        await screen.press("P")
        assert screen.app.screen is screen.main
        assert "choose a connection first" in screen.app.workspace.said()


async def test_the_screen_fits_a_small_terminal(tmp_path, loop):
    with server(loop, replies(without_origin)) as port:
        async with opened(capture(tmp_path / "x.db", port), size=(80, 24)) as screen:
            await choose(screen)
            await screen.press("P")
            top = screen.app.screen
            assert isinstance(top, DoctorScreen)
            await screen.until(lambda: top.pane.found is not None)
            assert all(len(top.pane.row_text(n)) <= top.pane.size.width for n in range(top.pane.row_count()))
            await screen.press("end")
            await screen.press("q")
            assert screen.app.screen is screen.main
