"""`run --replay`: recorded handshakes are answered from the recording, all else passes."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from contextlib import closing

import pytest
import websockets

from tests.support.chats import store
from tests.support.engine import Engine
from tests.support.h2_lab import frame
from tests.support.h2_peers import ENABLE_CONNECT, h2_client
from tests.support.replay_lab import ASKS, asking, converse
from tests.support.replay_peers import Server, echo


@pytest.fixture
def recording(tmp_path):
    return store(tmp_path / "recorded.db", asking(connections=2))


def test_a_reverse_proxy_answers_recorded_paths_and_passes_the_others(tmp_path, recording):
    with Server(echo) as origin:
        engine = Engine.start(
            *("--reverse", f"http://127.0.0.1:{origin.port}", "--listen", "127.0.0.1:0"),
            *("--replay", str(recording)),
            folder=tmp_path / "engine",
        )
        url = f"ws://127.0.0.1:{engine.port('reverse')}"
        for _ in range(3):
            assert asyncio.run(converse(url + "/room?id=8", ASKS))[0] == '{"n":0}'
        assert asyncio.run(converse(url + "/live", ["hello"], expects=1)) == ["hello"]
        assert [head.split(b" ")[1] for head in origin.heads] == [b"/live"]
        engine.stop()
    assert "2 recorded connections" in engine.stderr
    assert "played 3 connections" in engine.stderr
    with closing(sqlite3.connect(engine.capture)) as database:
        assert database.execute("SELECT count(*) FROM connection WHERE state = 'closed'").fetchone() == (4,)
        (changes,) = database.execute("SELECT value FROM meta WHERE key = 'changes'").fetchone()
    assert any("handshakes are answered from " in change for change in json.loads(changes))


def test_a_regular_proxy_answers_the_recorded_host_without_any_server(tmp_path, recording):
    engine = Engine.start("--listen", "127.0.0.1:0", "--replay", str(recording), folder=tmp_path / "engine")
    proxy = f"http://127.0.0.1:{engine.port('regular')}"
    got = asyncio.run(converse("ws://chat.example/room?id=7", ASKS, proxy=proxy))
    assert got[:2] == ['{"n":0}', '{"push":1}']
    with pytest.raises((websockets.InvalidStatus, websockets.InvalidProxyStatus, ConnectionError)):
        asyncio.run(converse("ws://other.invalid/room", ASKS, proxy=proxy))
    engine.stop()


def test_divergences_are_printed_as_they_happen(tmp_path, recording):
    engine = Engine.start("--listen", "127.0.0.1:0", "--replay", str(recording), folder=tmp_path / "engine")
    proxy = f"http://127.0.0.1:{engine.port('regular')}"
    says = [ASKS[0], '{"op":"get","n":55}', ASKS[2]]
    asyncio.run(converse("ws://chat.example/room", says, proxy=proxy))
    engine.wait_for_stderr("a message differs from the recorded one")
    engine.stop()


def test_nobody_but_the_proxy_may_ask_the_server_behind_it(tmp_path, recording):
    engine = Engine.start("--listen", "127.0.0.1:0", "--replay", str(recording), folder=tmp_path / "engine")
    ports = {engine.port("regular"), *_control_ports(engine)}
    others = _listening_ports(engine.pid) - ports
    assert len(others) == 1
    with pytest.raises(websockets.InvalidStatus) as caught:
        asyncio.run(converse(f"ws://127.0.0.1:{others.pop()}/room", ASKS))
    assert caught.value.response.status_code == 403
    engine.stop()


def test_a_recording_that_cannot_be_read_is_exit_code_2(tmp_path):
    from tests.support.engine import EngineFailedError

    with pytest.raises(EngineFailedError, match=r"exit code 2.*there is no capture"):
        Engine.start("--listen", "127.0.0.1:0", "--replay", "missing.db", folder=tmp_path / "engine")


def _control_ports(engine) -> set[int]:
    control = engine.ready.get("control")
    return {int(control["url"].rpartition(":")[2].partition("/")[0])} if control else set()


def _listening_ports(pid: int) -> set[int]:
    """From /proc: sockets of the process that listen on IPv4."""
    from pathlib import Path

    inodes = {link.readlink().name[8:-1] for link in Path(f"/proc/{pid}/fd").iterdir() if _is_socket(link)}
    ports = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            ports.add(int(fields[1].partition(":")[2], 16))
    return ports


def _is_socket(link) -> bool:
    try:
        return link.readlink().name.startswith("socket:")
    except OSError:
        return False


def test_a_client_of_http2_gets_the_recording_too(tmp_path, recording):
    """Its server is down: the recording takes its place, and the offer of extended CONNECT with it."""
    ask = ASKS[0].encode()

    async def play(port):
        client = await h2_client(port)
        await client.wait(lambda: client.settings)
        mine = client.connect("/room?id=8")
        assert await client.answered(mine) == "200"
        client.send(mine, frame(ask, mask=b"abcd"))
        await client.wait(lambda: b'{"n":0}' in client.streams[mine].data)
        await client.close()
        return client.settings[0]

    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    engine = Engine.start(
        *("--reverse", f"https://127.0.0.1:{port}", "--listen", "127.0.0.1:0", "--replay", str(recording)),
        folder=tmp_path / "engine",
    )
    settings = asyncio.run(play(engine.port("reverse")))
    engine.stop()
    assert settings[ENABLE_CONNECT] == 1
    with closing(sqlite3.connect(engine.capture)) as database:
        found = database.execute(
            "SELECT http_version, server_http_version, status FROM connection"
        ).fetchall()
    assert found == [("HTTP/2.0", "HTTP/1.1", 101)]
