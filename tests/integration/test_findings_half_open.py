"""A client's FIN that nobody answers, and then the proxy's end: a clean stop is no crash, at one tap and two.

The server stays as it is, so the connection is half-open when the engine ends; the client's FIN is on record.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm
from tests.support.bytes_of_frames import KEY, TEXT, frame
from tests.support.engine import Engine, private_environment
from tests.support.hop_taps import attempts, each_hop
from tests.support.hops import LOOPBACK
from tests.support.processes import children, wait_until_gone
from tests.support.recorder_rig import wait_for
from tests.support.sandwich_lab import afterwards, stored
from tests.support.small_servers import free_port
from tests.support.socket_echo import ACCEPTED, HEAD
from wsinspect.recorder.opening import open_capture

pytestmark = pytest.mark.lab


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, says a word, and never ends its side."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ACCEPTED + frame(TEXT, b"hello"))
        await asyncio.get_running_loop().create_future()  # until the loop ends


def ends_in(capture: Path) -> list[tuple[str | None, str]]:
    """The client's ends that the journal or the capture has, by tap."""
    with open_capture(capture) as opened:
        taps = {one.id: one.tap for one in opened.connections()}
        return [
            (taps[one.connection_id], str(one.detail["how"]))
            for one in opened.events(limit=1000)
            if one.kind == "end" and one.detail.get("side") == "client" and one.connection_id is not None
        ]


async def _play(folder: Path, hop: Any, how: str) -> Engine:
    async with contextlib.AsyncExitStack() as running:
        server = await asyncio.start_server(deaf, LOOPBACK, 0)
        running.callback(server.close)
        app = server.sockets[0].getsockname()[1]
        taps = [f"edge={LOOPBACK}:0=http://{LOOPBACK}:{app}"]
        if hop is not None:
            origin = free_port()
            started = await asyncio.to_thread(hop, folder / "hop", origin)
            running.callback(started.stop)
            taps = [
                f"edge={LOOPBACK}:0=http://{LOOPBACK}:{started.port}",
                f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}",
            ]
        options = [part for tap in taps for part in ("--tap", tap)]
        engine = await asyncio.to_thread(lambda: Engine.start(*options, folder=folder / "engine"))
        (recorder,) = children(engine.process.pid)
        reader, writer = await asyncio.open_connection(LOOPBACK, engine.port("edge"))
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(7)
        writer.write(frame(TEXT, b"bye", key=KEY))
        writer.write_eof()
        await asyncio.to_thread(wait_for, lambda: ("edge", "fin") in ends_in(engine.capture), "the FIN")
        if how == "stop":
            await asyncio.to_thread(engine.stop)
        else:
            await asyncio.to_thread(engine.kill)
            await asyncio.to_thread(wait_until_gone, recorder)
        writer.close()
    return engine


def show(engine: Engine, folder: Path, *words: str) -> str:
    done = warm.run(
        ["show", str(engine.capture), *words], folder=folder, environment=private_environment(folder)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@each_hop
def test_after_a_clean_stop_the_client_ended_it_and_the_engine_did_not_die(tmp_path, hop):
    engine = asyncio.run(_play(tmp_path, hop, "stop"))
    rows = json.loads(show(engine, tmp_path, "--json"))["connections"]
    assert {one["state"] for one in rows} == {"closed"}
    (edge,) = [one for one in rows if one["tap"] == "edge"]
    assert (edge["ended_by"], edge["how"]) == ("client", "fin")
    for one in rows:
        text = show(engine, tmp_path, str(one["id"]))
        assert "died" not in text
        assert "Lost" not in text
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        assert [one.fault_of for one in found if one.severity != "note"] == []
        assert {one.id for one in found} <= {"WS-DROP-007"}
    assert stored(engine.capture) == afterwards(engine.capture)


@each_hop
def test_after_a_crash_the_end_is_lost_and_nobody_is_blamed(tmp_path, hop):
    engine = asyncio.run(_play(tmp_path, hop, "kill"))
    rows = json.loads(show(engine, tmp_path, "--json"))["connections"]
    (edge,) = [one for one in rows if one["tap"] == "edge"]
    if hop is None:
        assert edge["state"] == "lost"
        assert "the proxy exited" in show(engine, tmp_path, str(edge["id"]))
    (attempt,) = attempts(engine.capture)
    for found in (attempt.one, attempt.all):
        assert [one.id for one in found if one.severity != "note"] == []
    assert stored(engine.capture) == afterwards(engine.capture)
