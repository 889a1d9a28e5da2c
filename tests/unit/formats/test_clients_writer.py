"""Recorded clients for other tools: each script is run, or read, by something that is not ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.chats import Chat, chat_capture, store
from tests.support.client_scripts import TRICKY, written
from wsinspect.formats import clients_writer
from wsinspect.formats.clients_writer import write_k6, write_postman, write_websocat


def tricky(path: Path) -> Path:
    script = Chat()
    script.accept(1)
    for text in TRICKY:
        script.tick(20)
        script.client(1, text.encode())
    script.client(1, b"two\nlines")
    script.client(1, bytes(range(256)), opcode=2)
    script.server(1, b"an answer")
    script.end(1, "client")
    return store(path, script)


def test_the_shell_hands_each_text_on_as_it_was(tmp_path: Path) -> None:
    """The shell itself plays it, with a websocat that writes down what it is told and gets."""
    result, text = written(write_websocat, tricky(tmp_path / "a.db"), include_secrets=True)
    assert (result.messages, result.left_out) == (5, 1)
    fake = tmp_path / "websocat"
    fake.write_text(
        '#!/bin/sh\nfor one; do printf "%s\\0" "$one"; last=$one; done > args\n'
        'sh -c "${last#sh-c:}" < /dev/null > said\n'
    )
    fake.chmod(0o755)
    (tmp_path / "a.sh").write_text(text)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/nowhere"}
    subprocess.run(["sh", "a.sh"], cwd=tmp_path, env=environment, check=True, timeout=30)
    assert (tmp_path / "said").read_text() == "".join([*TRICKY, "two\nlines"])
    arguments = (tmp_path / "args").read_text().split("\0")
    assert "-H=Authorization: Bearer t0k3n" in arguments
    assert "msg2line:ws://chat.example:80/room?id=7&token=abc123" in arguments


def test_postman_gets_a_request_and_the_texts(tmp_path: Path) -> None:
    result, text = written(write_postman, tricky(tmp_path / "a.db"))
    assert (result.connections, result.messages, result.left_out) == (1, 5, 1)
    collection = json.loads(text)
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    [item] = collection["item"]
    assert item["request"]["url"]["raw"] == "ws://chat.example:80/room?id=7&token=***"
    assert item["request"]["url"]["query"] == [{"key": "id", "value": "7"}, {"key": "token", "value": "***"}]
    assert {"key": "Cookie", "value": "sid=***; theme=***"} in item["request"]["header"]
    assert all(one in item["request"]["description"] for one in TRICKY if "`" not in one)
    assert "no WebSocket requests" in collection["info"]["description"]


def test_secrets_are_masked_unless_asked(tmp_path: Path) -> None:
    path = chat_capture(tmp_path / "a.db")
    for write in (write_k6, write_postman, write_websocat):
        masked, plain = written(write, path)[1], written(write, path, include_secrets=True)[1]
        for secret in ("s3cr3t", "t0k3n", "abc123"):
            assert secret in plain
            assert secret not in masked


def test_scripts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_writer, "_MOST_MESSAGES", 2)
    for write in (write_k6, write_postman, write_websocat):
        assert written(write, tricky(tmp_path / f"{write.__name__}.db"))[0].messages <= 2


def test_a_capture_without_connections(tmp_path: Path) -> None:
    path = store(tmp_path / "a.db", Chat())
    assert json.loads(written(write_postman, path)[1])["item"] == []
    assert written(write_k6, path)[0].connections == 0
