"""`wsinspect show --follow` beside a running recorder."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support import warm
from tests.unit.cli.maker import C2S, S2C, CaptureMaker, home
from wsinspect.recorder.following import looks
from wsinspect.wire.opcodes import Opcode


class Live:
    """An engine's part of a live capture, its recorder, and followers of it."""

    def __init__(self, tmp_path):
        self.environment = home(tmp_path)
        self.maker = CaptureMaker(tmp_path / "live.db")
        read_end, self.wake = os.pipe()
        with os.fdopen(read_end, "rb") as wakes:
            self.recorder = warm.start_text(
                [str(self.maker.path)],
                environment=self.environment,
                stdin=wakes,
                module="wsinspect.recorder.process",
            )
        self.maker.writer.set_wake_fd(self.wake)
        self.followers = []
        self.is_over = False

    def follow(self, *args):
        words = ["show", str(self.maker.path), *args, "--follow"]
        follower = warm.start_text(words, environment=self.environment)
        self.followers.append(follower)
        return follower

    def end(self):
        if self.is_over:
            return
        self.is_over = True
        self.maker.writer.set_wake_fd(None)
        self.maker.finish()
        os.close(self.wake)
        self.recorder.communicate(30)
        assert self.recorder.returncode == 0


@pytest.fixture
def live(tmp_path):
    made = Live(tmp_path)
    yield made
    made.end()
    for follower in made.followers:
        follower.kill()
        follower.wait(30)
        follower.stdout.close()
        follower.stderr.close()


def read_until(follower, words):
    """The lines up to the one that has `words`; the test's time limit is the only clock."""
    lines = []
    for line in follower.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} did not come: {lines} {follower.stderr.read()}")


def test_connections_appear_and_change(live):
    live.maker.attempt(1)
    live.maker.open(1)
    live.maker.flush()
    wait_for_row(live)
    follower = live.follow()
    assert len(read_until(follower, "open")) == 2
    live.maker.attempt(2)
    live.maker.refuse(2, b"no")
    read_until(follower, "HTTP 403")
    live.maker.closed(1, 40, side="client", how="fin")
    read_until(follower, "FIN by client")
    live.end()
    assert follower.wait(30) == 0
    assert "it is still being written" in follower.stderr.read()


def test_a_follower_lets_the_capture_become_a_single_file(live):
    live.maker.attempt(1)
    live.maker.flush()
    wait_for_row(live)
    follower = live.follow()
    read_until(follower, "connecting")
    live.end()
    assert follower.wait(30) == 0
    assert [path.name for path in live.maker.path.parent.glob("live.db*")] == ["live.db"]


@pytest.mark.parametrize(
    "args", [[], *(pytest.param(args, marks=pytest.mark.slow) for args in (["1"], ["--json"]))]
)
def test_an_interrupted_follower_ends_quietly(live, args):
    live.maker.attempt(1)
    live.maker.open(1)
    live.maker.flush()
    wait_for_row(live)
    follower = live.follow(*args)
    read_until(follower, "open" if args != ["1"] else "Response")
    follower.send_signal(signal.SIGINT)
    assert follower.wait(30) == 130
    assert "Traceback" not in follower.stderr.read()


def test_a_reader_that_closes_its_pipe_ends_a_follower(live):
    live.maker.attempt(1)
    live.maker.flush()
    wait_for_row(live)
    follower = live.follow()
    read_until(follower, "connecting")
    follower.stdout.close()
    live.maker.attempt(2)
    assert follower.wait(30) == 0
    assert "Broken" not in follower.stderr.read()


def test_frames_appear_and_the_end_is_shown(live):
    live.maker.attempt(1)
    live.maker.open(1)
    live.maker.frame(1, C2S, Opcode.TEXT, b"first", 10)
    live.maker.flush()
    wait_for_row(live)
    follower = live.follow("1")
    read_until(follower, "first")
    live.maker.frame(1, S2C, Opcode.PING, b"x", 20)
    assert "no pong" not in read_until(follower, "PING")[-1]
    live.maker.frame(1, C2S, Opcode.PONG, b"x", 23)
    read_until(follower, "rtt 3 ms")
    live.maker.closed(1, 40, side="server", how="fin")
    read_until(follower, "Ended by the server after 40 ms: FIN")
    assert follower.wait(30) == 0


def test_json_lines_come_as_frames_do(live):
    live.maker.attempt(1)
    live.maker.flush()
    wait_for_row(live)
    follower = live.follow("1", "--json", "--payload")
    live.maker.open(1)
    live.maker.frame(1, C2S, Opcode.TEXT, b"first", 10)
    lines = [json.loads(line) for line in read_until(follower, '"message"')]
    lines += [json.loads(line) for line in read_until(follower, '"event": "message"')] * (
        lines[-1]["event"] != "message"
    )
    assert [line["event"] for line in lines] == ["connection", "handshake", "frame", "message"]
    assert lines[2]["payload"] == {"text": "first"}
    live.maker.closed(1, 20, side="client", how="rst")
    assert json.loads(read_until(follower, '"closed"')[-1])["how"] == "rst"
    assert follower.wait(30) == 0


def wait_for_row(live):
    """Returns when the first connection can be read."""
    for capture, _ in looks(live.maker.path, follow=True):
        if capture.connection(1) is not None:
            return
    raise AssertionError("the recorder ended without a row")
