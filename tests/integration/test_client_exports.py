"""Exports that play recorded clients, run by the real programs against a real server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.chats import SECRET_REQUEST, Chat, store
from tests.support.client_scripts import TRICKY, written
from tests.support.recorder_rig import wait_for
from wsinspect.formats.clients_writer import write_k6, write_websocat

BESIDE = str(Path(sys.executable).parent)
TEXTS = [*TRICKY, "two\nlines", "\n", "x" * 5_000, "é" * 32_768]

pytestmark = pytest.mark.lab


def program(name: str) -> str:
    found = shutil.which(name, path=BESIDE)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class Heard(NamedTuple):
    """A connection: its request, what it said, and its close code."""

    request: Any
    said: list[str | bytes]
    code: list[int | None]


@pytest.fixture
def server() -> Iterator[tuple[int, list[Heard]]]:
    """Takes whoever comes, and writes down what each client says."""
    heard: list[Heard] = []
    loop = asyncio.new_event_loop()
    started: list[Server] = []

    async def talk(socket: ServerConnection) -> None:
        one = Heard(socket.request, [], [])
        heard.append(one)
        try:
            async for message in socket:
                one.said.append(message)
        except ConnectionClosed:
            pass
        one.code.append(socket.close_code)

    async def start() -> None:
        started.append(await serve(talk, "127.0.0.1", 0))

    async def stop() -> None:
        started[0].close()
        await started[0].wait_closed()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    (listener,) = started[0].sockets
    yield listener.getsockname()[1], heard
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def recorded(path: Path) -> Path:
    """A client that talks, one that was refused, and one without an end."""
    script = Chat()
    script.accept(1)
    for text in TEXTS:
        script.tick(20)
        script.client(1, text.encode())
    script.client(1, bytes(range(256)), opcode=2)
    script.client(1, b"")
    script.end(1, "client")
    script.begin(2, SECRET_REQUEST, "/later")
    script.answer(2, b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    script.event(2, "refused", status=503)
    script.event(2, "closed")
    script.accept(3)
    script.client(3, b"still here")
    return store(path, script)


def run(folder: Path, text: str, port: int, name: str, *command: str) -> subprocess.CompletedProcess[str]:
    file = folder / name
    file.write_text(text.replace("chat.example:80", f"127.0.0.1:{port}"), "utf-8")
    environment = {"PATH": f"{BESIDE}:/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        [*command, str(file)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_k6_says_what_the_clients_said_and_ends(server, tmp_path):
    port, heard = server
    text = written(write_k6, recorded(tmp_path / "a.db"))[1]
    k6 = program("k6")
    ran = run(tmp_path, text, port, "a.js", k6, "run", "--no-usage-report", "--no-color", "--quiet")
    wait_for(lambda: len(heard) == 3 and all(one.code for one in heard), "all three ended")
    refused, endless, talking = sorted(heard, key=lambda one: len(one.said))
    assert talking.said == [*TEXTS, bytes(range(256)), ""]
    assert endless.said == ["still here"]
    assert [one.code for one in (talking, refused, endless)] == [[1000], [1000], [1000]]
    # The one that was refused then opens now, and is told so.
    assert "opened as recorded" in ran.stdout
    assert "66.66%" in ran.stdout


def test_websocat_sends_each_text_as_it_was(server, tmp_path):
    port, heard = server
    result, text = written(write_websocat, recorded(tmp_path / "a.db"))
    program("websocat")
    run(tmp_path, text, port, "a.sh", "sh")
    assert (result.messages, result.left_out) == (len(TEXTS) + 1, 2)
    wait_for(lambda: len(heard) == 3 and all(one.code for one in heard), "all three ended")
    assert [one.said for one in heard] == [TEXTS, [], ["still here"]]
