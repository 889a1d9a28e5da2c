"""docs/python-api.md is true: its examples run and print what it says; the names it promises are there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import wsinspect
from tests.support.chats import chat_capture, random_capture, said
from tests.support.flows import websocket_flow, written
from wsinspect import api
from wsinspect.capture.reader import Capture

PAGE = (Path(__file__).parents[3] / "docs" / "python-api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", PAGE, re.DOTALL)
PLAIN_REQUEST = b"GET /room?id=7 HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("example", range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_says(tmp_path, monkeypatch, example):
    code, wanted = EXAMPLES[example]
    chat_capture(tmp_path / "chat.db", request=PLAIN_REQUEST, target="/room?id=7")
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "docs/python-api.md", "exec"), {"__name__": "example", "wsinspect": wsinspect})
    assert out.getvalue().splitlines() == [line[4:] for line in wanted.splitlines()]


def test_every_example_of_the_page_is_run():
    assert len(EXAMPLES) == PAGE.count("```python") >= 7


def test_the_public_names():
    assert wsinspect.__all__ == ["__version__", "open_capture"]
    assert wsinspect.open_capture is api.open_capture
    assert all(hasattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wsinspect.nothing


def test_messages_are_those_of_the_reader(tmp_path):
    path = random_capture(tmp_path / "a.db", 7)
    with wsinspect.open_capture(path) as capture:
        for connection in capture:
            found = [(m.direction.short, m.opcode, m.data) for m in connection.messages()]
            assert sorted(found) == sorted(
                (way, opcode, data) for way, opcode, _, data in said(path, connection.id)
            )
        assert len(list(capture.messages())) == len(capture.reader.messages(limit=100_000))


def test_frames_come_in_pages_and_whole(tmp_path):
    path = random_capture(tmp_path / "a.db", 7)
    with wsinspect.open_capture(path) as capture, Capture.open(path) as reader:
        assert list(capture.frames()) == reader.frames(limit=100_000)


def test_other_formats_open_too(tmp_path):
    (tmp_path / "x.flows").write_bytes(written(websocket_flow()))
    with wsinspect.open_capture(tmp_path / "x.flows") as capture:
        assert [message.text for message in capture.messages()] == ["hello binary", "hello text", "it's me"]
        folder = capture.reader.path.parent
        assert folder.is_dir()
    assert not folder.exists()


def test_what_is_nothing_is_a_capture_error(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    for name in ("x.txt", "missing.db"):
        with pytest.raises(api.CaptureError):
            wsinspect.open_capture(tmp_path / name)
    with (
        wsinspect.open_capture(chat_capture(tmp_path / "a.db")) as capture,
        pytest.raises(api.WsinspectError),
    ):
        capture.connection(99)
