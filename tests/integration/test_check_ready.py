"""Each ready scenario around two real clients: what it expects holds for the good one and not for the bad."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from tests.support import ready_clients, warm
from tests.support.engine import private_environment
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.faults.scenarios import scenario_names, scenario_path

pytestmark = pytest.mark.slow
#: How much faster than in life each is played, and by what its expectations are shortened.
SCALES = {
    "duplicate-delivery": (0.1, 1.0),
    "half-open": (0.05, 0.05),
    "idle-limit": (0.02, 1.0),
    "laptop-sleep": (0.1, 0.4),
    "lost-message": (0.15, 1.0),
    "rolling-restart": (0.3, 1.0),
    "server-deploy": (0.4, 0.5),
    "slow-consumer": (0.15, 1.0),
    "token-expired": (0.15, 1.0),
    "train-tunnel": (0.2, 1.0),
    "wifi-to-mobile": (0.06, 0.06),
}
#: What does not hold for the bad one.
FAILS = {
    "duplicate-delivery": {"no_duplicates"},
    "half-open": {"notices_half_open_within"},
    "idle-limit": {"attempts_at_most"},
    "laptop-sleep": {"reconnects_within"},
    "lost-message": {"no_message_lost"},
    "rolling-restart": {"backoff", "jitter"},
    "server-deploy": {"obeys_retry_after"},
    "slow-consumer": {"attempts_at_most"},
    "token-expired": {"attempts_at_most"},
    "train-tunnel": {"no_second_socket"},
    "wifi-to-mobile": {"notices_half_open_within"},
}


async def server(socket: ServerConnection) -> None:
    """Acknowledges orders, and sends what a hello asks for: bytes, then items."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "order":
            await socket.send(json.dumps({"type": "ack", "id": message["id"]}))
        elif message["type"] == "hello":
            await socket.send(json.dumps({"type": "bytes", "text": "x" * message["bytes"]}))
            for number in range(1, 7):
                await socket.send(json.dumps({"type": "item", "id": number}))


async def started() -> Server:
    return await serve(server, "127.0.0.1", 0, ping_interval=None, compression=None)


async def ended(listening: Server) -> None:
    listening.close()
    await listening.wait_closed()


def shortened(name: str) -> str:
    """The scenario, its expectations in time with `--time-scale`, which leaves them alone."""
    text, factor = scenario_path(name).read_text("utf-8"), SCALES[name][1]
    return re.sub(
        r"(_within: )(\d+)s", lambda found: f"{found[1]}{float(found[2]) * factor * 1000:.0f}ms", text
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Any]]]:
    """All scenarios, some at a time: most of each is waiting."""
    folder = tmp_path_factory.mktemp("ready")
    environment = private_environment(folder)
    with ThreadedLoop() as loop:
        listening = loop.run(started())
        port = next(iter(listening.sockets)).getsockname()[1]

        def play(name: str) -> Any:
            file = folder / f"{name}.yaml"
            file.write_text(shortened(name))
            words = ["check", str(file), f"--reverse=http://127.0.0.1:{port}", "--json"]
            words += [
                f"--time-scale={SCALES[name][0]}",
                "--",
                sys.executable,
                ready_clients.__file__,
                name,
                "{url}",
            ]
            return warm.run(words, folder=folder, environment=environment)

        with ThreadPoolExecutor(4) as pool:
            yield {name: pool.submit(play, name) for name in scenario_names()}
        loop.run(ended(listening))


@pytest.mark.parametrize("name", scenario_names())
def test_a_good_and_a_bad_client(name: str, played: dict[str, Future[Any]]) -> None:
    done = played[name].result()
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    who = {one["session"]: Path(one["url"]).name for one in found["sessions"]}
    assert sorted(who.values()) == ["bad", "good"]
    told = [(who[one["session"]], one["expectation"].partition(":")[0], one) for one in found["results"]]
    assert [one for kind, _, one in told if kind == "good" and one["result"] != "held"] == []
    assert {key for kind, key, one in told if kind == "bad" and one["result"] == "failed"} >= FAILS[name]
