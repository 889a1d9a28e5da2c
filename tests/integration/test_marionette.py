"""Firefox's start, when it fails: a second one, and nothing that is left behind."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from tests.support import marionette
from tests.support.marionette import Marionette

#: A program that listens as Firefox does, and then does what `{then}` says.
LISTENS = """
import pathlib, socket, sys
profile = pathlib.Path(sys.argv[sys.argv.index("--profile") + 1])
(profile.parent / "starts").open("a").write(profile.name + "\\n")
{before}
listener = socket.create_server(("127.0.0.1", 0))
(profile / "MarionetteActivePort").write_text(str(listener.getsockname()[1]))
peer, _ = listener.accept()
{then}
"""
ANSWERS = """
peer.sendall(b'2:{}')
peer.recv(1 << 16)
peer.sendall(b'14:[1,1,null, {}]')
peer.recv(1)
"""
FIRST_FAILS = "if profile.name == 'profile': sys.exit(3)"
FIRST_HANGS = "if profile.name == 'profile': import time; time.sleep(600)"


@pytest.fixture
def firefox(tmp_path, monkeypatch):
    def be(before: str = "", then: str = "") -> Path:
        program = tmp_path / "firefox"
        program.write_text(
            f"#!{sys.executable}\n" + LISTENS.replace("{before}", before).replace("{then}", then)
        )
        program.chmod(0o755)
        monkeypatch.setattr(marionette, "firefox_program", lambda: str(program))
        return tmp_path / "starts"

    yield be
    # What was not closed would be reported here.
    gc.collect()


def test_a_start_that_ends_is_made_once_more(tmp_path, firefox):
    starts = firefox(FIRST_FAILS, ANSWERS)
    with Marionette(tmp_path):
        assert starts.read_text().splitlines() == ["profile", "second profile"]


def test_a_start_that_hangs_is_made_once_more(tmp_path, firefox, monkeypatch):
    starts = firefox(FIRST_HANGS, ANSWERS)
    monkeypatch.setattr(marionette, "_START_SECONDS", 5.0)
    with Marionette(tmp_path):
        assert starts.read_text().splitlines() == ["profile", "second profile"]


def test_a_second_start_that_ends_says_how(tmp_path, firefox):
    firefox("sys.exit(3)")
    with pytest.raises(ChildProcessError, match="Firefox ended with 3"):
        Marionette(tmp_path)


def test_nothing_is_left_of_one_that_hangs_up(tmp_path, firefox):
    starts = firefox()
    with pytest.raises(EOFError, match="Firefox has ended"):
        Marionette(tmp_path)
    assert starts.read_text().splitlines() == ["profile"]
