"""One zero point: `show`, its JSON, `diagnose` and the screens give the same times of the same events."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support import warm
from tests.support.engine import Engine
from tests.support.small_servers import echo_server
from tests.support.tui_pilot import opened

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

#: A frame's line in `show` and on the screen: its number, and seconds since the attempt.
FRAME = re.compile(r"^ +(\d+) +(\d+\.\d+) ")


def seconds_in(lines: Sequence[str]) -> dict[int, str]:
    return {int(one[1]): one[2] for one in map(FRAME.match, lines) if one}


def run(*arguments: str | Path) -> str:
    return warm.run([*map(str, arguments)], folder=Path.cwd(), environment=os.environ).stdout


def record(capture: Path, port: int, folder: Path, *options: str) -> None:
    """One run of an engine, and in it one connection that ends with a code of its own."""
    tap = f"app=127.0.0.1:0=http://127.0.0.1:{port}"
    engine = Engine.start("--tap", tap, "--capture", str(capture), *options, folder=folder)
    with connect(f"ws://127.0.0.1:{engine.port('app')}/{folder.name}", proxy=None) as socket:
        for number in range(3):
            socket.send(f"{number}")
            assert socket.recv(timeout=20) == f"{number}"
        socket.close(4321)
    assert engine.stop() == 0


@pytest.mark.parametrize("runs", [1, 2], ids=["one run", "a second run appended"])
async def test_every_view_of_a_capture_counts_from_the_attempt(tmp_path, monkeypatch, runs):
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    capture = tmp_path / "x.db"
    with echo_server() as port:
        for number in range(runs):
            record(capture, port, tmp_path / f"run{number}", *(["--append"] if number else []))
    found = {one["connection"]: one for one in json.loads(run("diagnose", capture, "--json"))["findings"]}
    async with opened(capture, size=(160, 50)) as screen:
        zeros = {screen.selection.zero_ns}  # of all connections together
        await screen.press("1")
        for number in range(runs, 0, -1):  # the newest is at the top
            whole: dict[str, Any] = json.loads(run("show", capture, str(number), "--json"))
            zero_ns = whole["connection"]["attempt_ns"]
            times = {frame["id"]: frame["time_ns"] - zero_ns for frame in whole["frames"]}
            assert len(times) == 8
            text = run("show", capture, str(number))
            assert seconds_in(text.splitlines()) == {
                each: f"{passed / 1e9:.6f}" for each, passed in times.items()
            }
            (closing,) = (frame for frame in whole["frames"] if frame["id"] == found[number]["frame"])
            assert (closing["op"], closing["direction"]) == ("CLOSE", "c2s")
            await screen.press("down")
            await screen.settle()
            assert screen.selection.connection == number
            assert screen.selection.zero_ns == zero_ns
            assert seconds_in(screen.pane("frames")) == {
                each: f"{passed / 1e9:.3f}" for each, passed in times.items()
            }
            assert max(zeros) < zero_ns, "before any attempt"
    assert screen.model.error is None
