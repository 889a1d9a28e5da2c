"""Each ready scenario around two real clients: what it expects holds for the good one and not for the bad.

    python -m tests.ready_scenarios [NAME...] [--at-once 3]

They are played faster than in life, and the expectations in time are shortened alike. The exit code is 0 if
each has told the two clients apart, else 1. On a machine that is very busy a client may come too late for
what was shortened.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support import ready_clients
from tests.support.engine import private_environment
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.faults.scenarios import scenario_names, scenario_path

#: How much faster than in life each is played, and by what its expectations are shortened.
SCALES = {
    "duplicate-delivery": (0.1, 1.0),
    "half-open": (0.3, 0.3),
    "idle-limit": (0.02, 1.0),
    "laptop-sleep": (0.1, 0.4),
    "lost-message": (0.15, 1.0),
    "rolling-restart": (0.6, 1.0),
    "server-deploy": (0.4, 0.5),
    "slow-consumer": (0.15, 1.0),
    "token-expired": (0.15, 1.0),
    "train-tunnel": (0.2, 1.0),
    "wifi-to-mobile": (0.3, 0.3),
}
#: What does not hold for the bad one.
FAILS = {
    "duplicate-delivery": {"no_duplicates"},
    "half-open": {"notices_half_open_within"},
    "idle-limit": {"attempts_at_most"},
    "laptop-sleep": {"reconnects_within"},
    "lost-message": {"no_message_lost"},
    "rolling-restart": {"backoff"},
    "server-deploy": {"obeys_retry_after"},
    "slow-consumer": {"attempts_at_most"},
    "token-expired": {"attempts_at_most"},
    "train-tunnel": {"no_second_socket"},
    "wifi-to-mobile": {"notices_half_open_within"},
}


async def server(socket: ServerConnection) -> None:
    """Acknowledges orders, and sends what a hello asks for: bytes, then items."""
    with contextlib.suppress(ConnectionClosed):
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


def play(name: str, folder: Path, port: int) -> list[str]:
    """Play a scenario; what is wrong with what it says of the two."""
    file = folder / f"{name}.yaml"
    file.write_text(shortened(name))
    command = [sys.executable, "-m", "wsinspect", "check", str(file), f"--reverse=http://127.0.0.1:{port}"]
    command += ["--json", f"--time-scale={SCALES[name][0]}", "--"]
    command += [sys.executable, ready_clients.__file__, name, "{url}"]
    done = subprocess.run(
        command, cwd=folder, env=private_environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode != 1:
        return [f"exit code {done.returncode}, not 1: {done.stderr.strip()[-300:]}"]
    found = json.loads(done.stdout)
    who = {one["session"]: Path(one["url"]).name for one in found["sessions"]}
    if sorted(who.values()) != ["bad", "good"]:
        return [f"the clients are {sorted(who.values())}"]
    results: list[tuple[str, dict[str, Any]]] = [(who[one["session"]], one) for one in found["results"]]
    wrong = [
        f"good: {one['result']} {one['expectation']}: {one['seen']}"
        for kind, one in results
        if kind == "good" and one["result"] != "held"
    ]
    failed = {
        one["expectation"].partition(":")[0]
        for kind, one in results
        if kind == "bad" and one["result"] == "failed"
    }
    return [*wrong, *(f"bad: {key} did not fail" for key in FAILS[name] - failed)]


def main() -> int:
    """Play them, and print what each said."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=scenario_names(), metavar="NAME")
    parser.add_argument("--at-once", type=int, default=3)
    arguments = parser.parse_args()
    is_right = True
    with ThreadedLoop() as loop, tempfile.TemporaryDirectory(prefix="ready-") as folder:
        listening = loop.run(started())
        port = next(iter(listening.sockets)).getsockname()[1]
        with ThreadPoolExecutor(arguments.at_once) as pool:
            asked = partial(play, folder=Path(folder), port=port)
            for name, wrong in zip(arguments.names, pool.map(asked, arguments.names), strict=True):
                print(f"{name}: {'; '.join(wrong) or 'told apart'}", flush=True)
                is_right = is_right and not wrong
        loop.run(ended(listening))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
