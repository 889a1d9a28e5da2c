"""kill -9 of engine, recorder or both: what was relayed until 250 ms before is in the capture, once."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.engine import Engine, private_environment
from tests.support.processes import children, wait_until_gone
from tests.support.socket_echo import HEAD, KEY, EchoServer, read_head, server
from wsinspect.recorder.opening import open_capture

__all__ = ["server"]

#: The promise: what was relayed this long ago is in the capture, or in the journal.
GRACE_SECONDS = 0.25
#: Moments at which something is killed.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


class Talker:
    """A client that sends numbered frames and waits for each echo; knows when each number had come back."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.sendall(HEAD)
        read_head(self.sock)
        self.echoed: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        try:
            while not self._stop.is_set():
                frame = b"\x82\x88" + KEY + len(self.echoed).to_bytes(8, "big")
                self.sock.sendall(frame)
                got = b""
                while len(got) < len(frame):
                    data = self.sock.recv(len(frame) - len(got))
                    if not data:
                        return
                    got += data
                self.echoed.append(time.monotonic())
        except OSError:
            return

    def wait_for(self, count: int) -> None:
        while len(self.echoed) < count and self._thread.is_alive():
            self._thread.join(0.01)
        assert len(self.echoed) >= count

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.sock.close()


def recorder_of(engine: Engine, not_pid: int | None = None) -> int:
    """The recorder's process, once it is there; another one than `not_pid`. An engine starts nothing else."""
    deadline = time.monotonic() + 20
    while True:
        found = [pid for pid in children(engine.process.pid) if pid != not_pid]
        if len(found) == 1:
            return found[0]
        assert time.monotonic() < deadline, f"recorders: {found}; {engine.stderr}"
        time.sleep(0.02)


def assert_complete(capture: Path, talker: Talker, until: float) -> None:
    """Everything echoed before `until` is there, in order, once; the file is whole."""
    with open_capture(capture) as recorded:
        numbers: dict[int, list[int]] = {0: [], 1: []}
        after = 0
        while frames := recorded.frames(1, after=after, limit=5000):
            for frame in frames:
                numbers[int(frame.direction)].append(int.from_bytes(frame.payload, "big"))
            after = frames[-1].id
    for direction in (0, 1):
        assert numbers[direction] == list(range(len(numbers[direction])))
        assert len(numbers[direction]) >= sum(1 for at in talker.echoed if at < until - GRACE_SECONDS)
    database = sqlite3.connect(capture)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_is_killed(seed: int, server: EchoServer, tmp_path: Path) -> None:
    engine = Engine.start("--reverse", f"http://127.0.0.1:{server.port}", "--listen", "0", folder=tmp_path)
    recorder = recorder_of(engine)
    talker = Talker(engine.port("reverse"))
    talker.wait_for(random.Random(seed).randrange(1, 3000))
    killed = time.monotonic()
    engine.kill()
    talker.close()
    wait_until_gone(recorder)
    assert_complete(engine.capture, talker, killed)
    assert not Path(f"{engine.capture}.journal").exists()


@pytest.mark.parametrize("seed", SEEDS)
def test_both_are_killed(seed: int, server: EchoServer, tmp_path: Path) -> None:
    engine = Engine.start("--reverse", f"http://127.0.0.1:{server.port}", "--listen", "0", folder=tmp_path)
    recorder = recorder_of(engine)
    talker = Talker(engine.port("reverse"))
    talker.wait_for(random.Random(seed).randrange(1, 3000))
    killed = time.monotonic()
    os.kill(recorder, signal.SIGKILL)
    engine.kill()
    talker.close()
    wait_until_gone(recorder)
    words = ["show", str(engine.capture), "--json"]
    show = warm.run(words, folder=tmp_path, environment=private_environment(tmp_path))
    assert show.returncode == 0, show.stderr
    assert_complete(engine.capture, talker, killed)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_recorder_is_killed(seed: int, server: EchoServer, tmp_path: Path) -> None:
    """Traffic goes on, another recorder is started, and nothing at all is missing."""
    engine = Engine.start("--reverse", f"http://127.0.0.1:{server.port}", "--listen", "0", folder=tmp_path)
    talker = Talker(engine.port("reverse"))
    chance = random.Random(seed)
    for _ in range(2):
        recorder = recorder_of(engine)
        talker.wait_for(len(talker.echoed) + chance.randrange(1, 1500))
        os.kill(recorder, signal.SIGKILL)
        wait_until_gone(recorder)
        talker.wait_for(len(talker.echoed) + 100)

        recorder_of(engine, not_pid=recorder)
    talker.close()
    assert engine.stop() == 0
    assert engine.stderr.count("the recorder exited") == 2
    assert_complete(engine.capture, talker, time.monotonic() + GRACE_SECONDS)


def test_frames_can_be_read_while_the_connection_is_open(server: EchoServer, tmp_path: Path) -> None:
    with Engine.start(
        "--reverse", f"http://127.0.0.1:{server.port}", "--listen", "0", folder=tmp_path
    ) as engine:
        talker = Talker(engine.port("reverse"))
        talker.wait_for(200)
        talker.close()
        relayed = time.monotonic()
        with open_capture(engine.capture) as recorded:
            while len(recorded.frames(1, limit=100_000)) < 2 * len(talker.echoed):
                assert time.monotonic() - relayed < 60, "the frames never came"
