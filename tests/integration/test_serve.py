"""`wsinspect serve`: who may come and who may not; a timeline that is a process and ends with its visit."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support import warm_command
from tests.support.engine import private_environment
from tests.support.schemas import fits
from tests.support.tui_captures import chat_capture
from wsinspect.errors import LocalError
from wsinspect.launch import serving
from wsinspect.launch.serving import TimelineServer
from wsinspect.net import Address

pytestmark = pytest.mark.asyncio
LOOPBACK = "127.0.0.1"


class Visit:
    """A server, and a client of it."""

    def __init__(self, server: TimelineServer, url: str, session: aiohttp.ClientSession) -> None:
        self.server, self.url, self.session = server, url, session

    async def status(self, path: str = "", *, url: str = "", **headers: str) -> int:
        async with self.session.get(url or self.url + path, headers=headers) as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def served(folder: Path, host: str = LOOPBACK) -> AsyncIterator[Visit]:
    server = TimelineServer(chat_capture(folder / "chat.db"), Address(host, 0), folder / "token")
    url = await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Visit(server, url.replace("0.0.0.0", LOOPBACK), session)
    finally:
        await server.close()


async def test_only_with_the_token_and_for_this_address(tmp_path: Path) -> None:
    async with served(tmp_path) as visit:
        base = visit.url.rsplit("/", 2)[0]
        assert visit.url.split("/")[3] == (tmp_path / "token").read_text().strip()
        assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
        assert await visit.status() == 200
        for path in (
            "/",
            "/static/js/textual.js",
            "/wrong/",
            "/wrong/ws",
            "/wrong/static/js/textual.js",
            "//",
            "/%00/",
        ):
            assert await visit.status(url=base + path) == 403, path
        assert await visit.status(Host="evil.example") == 403
        assert await visit.status(Host=f"evil.example:{visit.server.port}") == 403
        assert await visit.status(Host=f"localhost:{visit.server.port}") == 200
    assert not (tmp_path / "token").exists()


async def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with served(tmp_path) as visit:
        async with visit.session.get(visit.url) as answer:
            text, headers = await answer.text(), answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "http://" not in text
        assert "https://" not in text
        for path in ("static/js/textual.js", "static/css/xterm.css", "focus.js"):
            assert path in text
            assert await visit.status(path) == 200
        for path in (
            "static/../server.py",
            "static/%2e%2e/server.py",
            "static//etc/passwd",
            "static/js/none.js",
        ):
            assert await visit.status(path) in (403, 404), path


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://127.0.0.1:1"])
async def test_no_other_page_opens_a_timeline(tmp_path: Path, origin: str | None) -> None:
    async with served(tmp_path) as visit:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await visit.session.ws_connect(visit.url + "ws", origin=origin)
        assert refused.value.status == 403
        assert visit.server.visitors == 0


async def test_there_is_a_limit_to_visitors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_VISITORS", 0)
    async with served(tmp_path) as visit:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await visit.session.ws_connect(visit.url + "ws", origin=visit.url.rsplit("/", 2)[0])
        assert refused.value.status == 503


async def test_beyond_loopback_any_name_is_taken_but_not_without_the_token(tmp_path: Path) -> None:
    async with served(tmp_path, "0.0.0.0") as visit:
        assert not visit.server.is_private
        assert await visit.status(Host=f"build.example:{visit.server.port}") == 200
        assert await visit.status(url=visit.url.rsplit("/", 2)[0] + "/") == 403


async def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    async with served(tmp_path) as visit:
        other = TimelineServer(Path("x.db"), Address(LOOPBACK, visit.server.port), tmp_path / "other")
        with pytest.raises(LocalError, match="cannot listen on"):
            await other.start()
        assert not (tmp_path / "other").exists()


async def until(text: str, socket: aiohttp.ClientWebSocketResponse) -> str:
    """What the timeline draws, up to a text."""
    drawn = ""
    async with asyncio.timeout(60):
        while text not in drawn:
            message = await socket.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
            drawn += (
                message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
            )
    return drawn


@pytest.mark.slow
async def test_a_visitor_has_a_timeline_with_keys_and_it_ends_with_the_visit(tmp_path: Path) -> None:
    environment = private_environment(tmp_path)
    capture = chat_capture(tmp_path / "chat.db")
    process = subprocess.Popen(
        [str(warm_command.program()), "serve", str(capture), "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    try:
        [ready] = fits("serve", await asyncio.to_thread(process.stdout.readline))
        assert (ready["event"], ready["host"]) == ("listening", LOOPBACK)
        async with aiohttp.ClientSession() as session:
            origin = ready["url"].rsplit("/", 2)[0]
            async with session.ws_connect(ready["url"] + "ws?width=100&height=30", origin=origin) as socket:
                assert "/chat?room=1" in await until("/chat?room=1", socket)
                await socket.send_json(["stdin", "i"])
                await until("confidence", socket)  # the findings page
                await socket.send_json(["stdin", "q"])
                async with asyncio.timeout(60):
                    while not socket.closed:
                        await socket.receive()
            async with session.ws_connect(ready["url"] + "ws", origin=origin) as socket:
                await until("/chat?room=1", socket)
                await socket.send_str("not the page's")
                await socket.send_json(["resize", {"width": 80, "height": 24}])
                await socket.send_json(["ping", 7])
                await until('["pong", 7]', socket)
                process.send_signal(signal.SIGINT)
                said = await asyncio.to_thread(process.communicate, timeout=30)
                assert (process.returncode, *said) == (0, "", ""), "no pipe is left to complain of"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert not list(Path(environment["XDG_RUNTIME_DIR"]).rglob("serve-*.token"))


@pytest.mark.slow
async def test_a_killed_server_leaves_no_timeline(tmp_path: Path) -> None:
    capture = chat_capture(tmp_path / "chat.db")
    process = subprocess.Popen(
        [sys.executable, "-m", "wsinspect", "serve", str(capture), "--json"],
        env=private_environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        ready = json.loads(await asyncio.to_thread(process.stdout.readline))
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(ready["url"] + "ws", origin=ready["url"].rsplit("/", 2)[0]) as socket,
        ):
            await until("/chat?room=1", socket)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert children
            process.kill()
            async with asyncio.timeout(60):
                while any(Path(f"/proc/{child}").exists() for child in children):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
