"""Recorded clients for other tools: each script is run, or read, by something that is not ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.chats import Chat, chat_capture, sandwich_capture, store
from tests.support.client_scripts import TRICKY, written
from wsinspect.capture.reader import Capture
from wsinspect.formats import clients_writer
from wsinspect.formats.choice import Choice, hops_own, words_of_hops_own
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


@pytest.mark.parametrize("taps", [("edge", "origin"), ("edge", "middle", "origin")])
@pytest.mark.parametrize("write", [write_k6, write_postman, write_websocat])
def test_connections_that_a_hop_opened_are_not_played(tmp_path: Path, write, taps) -> None:
    result, text = written(write, sandwich_capture(tmp_path / "a.db", taps))
    assert (result.connections, result.messages) == (3, 2)
    assert result.of_hops == 2 * (len(taps) - 1)
    assert text.count("from a browser") == text.count("from inside") == 1


@pytest.mark.parametrize("write", [write_k6, write_postman, write_websocat])
def test_a_connection_of_a_hop_is_played_where_it_is_chosen_alone(tmp_path: Path, write) -> None:
    path = sandwich_capture(tmp_path / "a.db")
    assert written(write, path, choice=Choice(frozenset({2})))[0][:2] == (1, 1)
    assert written(write, path, choice=Choice(frozenset({1, 2})))[0][:2] == (1, 1)


def test_of_a_chain_only_what_is_behind_a_chosen_one_is_left_out(tmp_path: Path) -> None:
    with Capture.open(sandwich_capture(tmp_path / "a.db", ("edge", "middle", "origin"))) as capture:
        assert hops_own(capture) == {2, 3, 5, 6}
        assert hops_own(capture, {1, 3}) == {3}
        assert hops_own(capture, {2, 3}) == {3}
        assert hops_own(capture, {3, 7}) == frozenset()
    with Capture.open(sandwich_capture(tmp_path / "b.db", ("edge",))) as capture:
        assert hops_own(capture) == frozenset()


def test_how_many_were_left_out_is_said() -> None:
    assert words_of_hops_own(0) is None
    assert words_of_hops_own(1) == (
        "left out: 1 connection that the hop opened itself, seen at the tap behind it: -c chooses it"
    )
    assert str(words_of_hops_own(2)).startswith("left out: 2 connections that the hop opened itself")


def test_scripts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_writer, "_MOST_MESSAGES", 2)
    for write in (write_k6, write_postman, write_websocat):
        assert written(write, tricky(tmp_path / f"{write.__name__}.db"))[0].messages <= 2


def test_a_capture_without_connections(tmp_path: Path) -> None:
    path = store(tmp_path / "a.db", Chat())
    assert json.loads(written(write_postman, path)[1])["item"] == []
    assert written(write_k6, path)[0].connections == 0
