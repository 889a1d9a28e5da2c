"""`wsinspect demo` as a user starts it: everything real, nothing left running afterwards."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import warm
from wsinspect.capture.reader import Capture

ROOT = Path(__file__).parents[2]
SECONDS = 3


@pytest.fixture
def environment(tmp_path):
    """A user whose data, state and run files lie in a temporary place."""
    places = {name: str(tmp_path / name.lower()) for name in ("XDG_DATA_HOME", "XDG_STATE_HOME")}
    return {**os.environ, **places, "XDG_RUNTIME_DIR": "", "PYTHONPATH": str(ROOT)}


def demo(environment, *options):
    words = ["demo", "--headless", *options]
    return warm.run(words, folder=ROOT, environment=environment, timeout=110)


def test_demo_when_it_runs_for_a_few_seconds_and_its_capture_is_read(environment, tmp_path):
    ended = demo(environment, "--seconds", str(SECONDS))
    assert (ended.returncode, ended.stderr) == (0, "")
    for part in (
        "refused: 426 Upgrade Required; the request left the proxy with Upgrade: websocket",
        "the answer says: This is a WebSocket endpoint, and the request that arrived here had no Upgrade",
        "101 with permessage-deflate",
        "1000 by client; JavaScript sees code 1000 (normal closure), wasClean true",
        "1006: FIN by server, no CLOSE; JavaScript sees code 1006 (abnormal closure), wasClean false",
        "error  WS-DROP-006  The server's side ended TCP without a CLOSE frame",
        "error  WS-HS-101  The hop removes the Upgrade headers  [the hop between edge and origin]",
        "2 errors; 4 connections looked at",
        "wsinspect show last",
    ):
        assert part in ended.stdout
    assert len(re.findall(r"pings to the client and back: p50 [\d.]+ [mu]s", ended.stdout)) == 2
    assert len(re.findall(r"pings to the server and back: p50 [\d.]+ [mu]s", ended.stdout)) == 2
    (capture,) = (tmp_path / "xdg_data_home" / "wsinspect" / "captures").iterdir()
    assert f"recorded in {capture}" in ended.stdout
    assert list((tmp_path / "xdg_state_home" / "wsinspect" / "run").glob("*")) == []
    with Capture.open(capture) as read:
        assert not read.is_live
        connections = read.connections()
        assert sorted(one.tap or "" for one in connections) == ["chat", "chat", "edge", "origin"]
        ends = sorted((one.state, one.js_code) for one in connections)
        assert ends == [("closed", 1000), ("closed", 1006), ("refused", 1006), ("refused", 1006)]


def ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize(
    "is_job", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "job of a script"]
)
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_demo_when_it_is_interrupted(environment, tmp_path, number, is_job):
    """A shell script starts its jobs with SIGINT ignored."""
    path = tmp_path / "demo.db"
    words = ["demo", "--seconds", "60", "--capture", str(path)]
    with (tmp_path / "stderr").open("wb+") as stderr:
        child: subprocess.Popen[bytes] | warm.WarmProcess
        if is_job:
            command = [sys.executable, "-m", "wsinspect", *words]
            child = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=stderr, preexec_fn=ignore_interrupts
            )
        else:
            child = warm.start(words, folder=tmp_path, environment=environment, stderr=stderr)
        assert child.stdout is not None
        with child.stdout as stdout:
            assert stdout.readline().startswith(b"proxy: port")
            child.send_signal(number)
            child.send_signal(number)
            stdout.read()
        code = child.wait(30)
        stderr.seek(0)
        errors = stderr.read()
    assert (code, errors.strip()) == (130, b"")
    assert list((tmp_path / "xdg_state_home" / "wsinspect" / "run").glob("*")) == []
    with Capture.open(path) as capture:
        assert capture.meta["closed_cleanly"] is True


def test_demo_when_the_capture_exists(environment, tmp_path):
    path = tmp_path / "demo.db"
    path.write_text("mine")
    ended = demo(environment, "--capture", str(path))
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "the demo's engine did not start" in ended.stderr
    assert str(path) in ended.stderr
    assert path.read_text() == "mine"
