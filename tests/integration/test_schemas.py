"""docs/schemas/ against a running engine: every event of every kind, `ps`, `stop`, and replays."""

import asyncio
import json

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine, private_environment, wsinspect_json
from tests.support.replay_lab import Serving
from tests.support.schemas import problems
from tests.support.warm import run
from wsinspect.capture.reader import Capture

LOOPBACK = "127.0.0.1"


async def talk(url):
    """A message each way, and the end that the path names."""
    try:
        async with connect(url, proxy=None) as socket:
            await socket.send("hello")
            await socket.recv()
            await socket.send("bye")
            await socket.wait_closed()
    except WebSocketException:
        return


async def answer(socket):
    async for message in socket:
        if message == "bye":
            await socket.close(1008, "policy")
        else:
            await socket.send(message)


async def refuse(connection, request):
    return connection.respond(404, "no") if request.path == "/no" else None


def test_all_that_an_engine_says(tmp_path):
    async def main():
        async with serve(answer, LOOPBACK, 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            options = ["--reverse", f"http://{LOOPBACK}:{port}", "--listen", f"{LOOPBACK}:0", "--frames"]
            options += ["--capture", str(tmp_path / "a.db"), "--fault", "latency:s2c,latency=1ms"]
            engine = await asyncio.to_thread(Engine.start, *options, folder=tmp_path)
            for path in ("/chat", "/no"):
                await talk(f"ws://{LOOPBACK}:{engine.port('reverse')}{path}")
            await asyncio.to_thread(engine.wait_for_event, "finding", id="WS-HS-011")
            await asyncio.to_thread(engine.wait_for_event, "close")
            return engine, port

    engine, port = asyncio.run(main())
    code, engines = wsinspect_json(tmp_path, "ps")
    assert (code, problems("ps", engines)) == (0, [])
    assert len(engines["engines"]) == 1
    code, stopped = wsinspect_json(tmp_path, "stop")
    assert (code, problems("stop", stopped)) == (0, [])
    engine.stop()
    kinds = {event["event"] for event in engine.events}
    assert kinds >= {"ready", "attempt", "open", "refused", "frame", "fault", "close", "finding", "rule"}
    for event in engine.events:
        assert problems("run", event) == [], event
    with Capture.open(tmp_path / "a.db") as capture:
        assert len(capture.connections()) == 2
    replays(tmp_path, port)


def replays(folder, port):
    """As the client: the server is gone, so it diverges. As the server: a client comes."""
    path = folder / "a.db"
    command = ["replay", str(path), "--to", f"ws://{LOOPBACK}:{port}", "--speed", "max", "--json"]
    done = run(command, folder=folder, environment=private_environment(folder))
    assert done.returncode == 1
    assert problems("replay", json.loads(done.stdout)) == []
    serving = Serving(path)
    assert problems("replay", serving.ready) == []
    asyncio.run(talk(f"{serving.url}/chat"))
    _, lines = serving.finish(stop=True)
    assert lines
    for one in lines:
        assert problems("replay", one) == [], one
    serving.close()
