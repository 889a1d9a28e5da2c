"""Recorded clients for other tools: each script is run, or read, by something that is not ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest

from tests.support.chats import Chat, chat_capture, sandwich_capture, store
from tests.support.client_scripts import TRICKY, written
from wsinspect.capture.reader import Capture
from wsinspect.formats import clients_writer
from wsinspect.formats.choice import Choice, hops_own, words_of_hops_own
from wsinspect.formats.clients_writer import write_k6, write_postman, write_websocat
from wsinspect.formats.importing import import_file


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


#: What a collection of version 2.1 is, as far as ours go (github.com/postmanlabs/schemas, draft-07).
#: There keys may have any name, so that misspelled ones are only found where all are listed, as here.
_TEXT = {"type": "string"}
_PAIR = {
    "type": "object",
    "properties": {"key": _TEXT, "value": {"type": ["string", "null"]}},
    "required": ["key", "value"],
    "additionalProperties": False,
}
_FIELD = {**_PAIR, "properties": {"key": _TEXT, "value": _TEXT}}
_URL = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("raw", "protocol", "port"), _TEXT),
        "host": {"type": "array", "items": _TEXT},
        "path": {"type": "array", "items": _TEXT},
        "query": {"type": "array", "items": _PAIR},
    },
    "additionalProperties": False,
}
_REQUEST = {
    "type": "object",
    "properties": {
        "method": {"const": "GET"},
        "url": _URL,
        "header": {"type": "array", "items": _FIELD},
        "description": _TEXT,
    },
    "additionalProperties": False,
}
_ITEM = {
    "type": "object",
    "properties": {"name": _TEXT, "request": _REQUEST, "response": {"type": "array"}},
    "required": ["request"],
    "additionalProperties": False,
}
COLLECTION = {
    "type": "object",
    "properties": {
        "info": {
            "type": "object",
            "properties": dict.fromkeys(("name", "schema", "description"), _TEXT),
            "required": ["name", "schema"],
            "additionalProperties": False,
        },
        "item": {"type": "array", "items": _ITEM},
    },
    "required": ["info", "item"],
    "additionalProperties": False,
}


def test_a_postman_collection_is_one(tmp_path: Path) -> None:
    for path in (
        tricky(tmp_path / "a.db"),
        sandwich_capture(tmp_path / "b.db"),
        chat_capture(tmp_path / "c.db"),
    ):
        collection = json.loads(written(write_postman, path)[1])
        assert collection["item"]
        assert [one.message for one in jsonschema_rs.validator_for(COLLECTION).iter_errors(collection)] == []


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/", "/a//b/", "/a?", "/a?x&y=&z=1=2", "/?u=http://other/?q", "/a?&x=1"]
)
@pytest.mark.parametrize("place", ["chat.example", "chat.example:81", "[::1]", "[::1]:81"])
def test_postman_makes_the_same_url_of_its_parts(tmp_path: Path, place: str, path: str) -> None:
    host, _, port = place.rpartition(":") if not place.endswith("]") and ":" in place else (place, "", "")
    line = {"type": "connection", "state": "closed", "scheme": "ws", "host": host.strip("[]"), "path": path}
    source = tmp_path / "a.jsonl"
    lines = [{"type": "capture", "schema": 1, "format": 1}, line | ({"port": int(port)} if port else {})]
    source.write_text("".join(json.dumps(one) + "\n" for one in lines))
    import_file(source, tmp_path / "a.db")
    [item] = json.loads(written(write_postman, tmp_path / "a.db")[1])["item"]
    url = item["request"]["url"]
    pairs = [
        one["key"] + ("" if one["value"] is None else "=" + one["value"]) for one in url.get("query", ())
    ]
    again = f"{url['protocol']}://{'.'.join(url['host'])}{':' + url['port'] if 'port' in url else ''}"
    again += "/" + "/".join(url["path"]) + ("?" + "&".join(pairs) if "query" in url else "")
    assert again == url["raw"] == f"ws://{place}{path}"


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
