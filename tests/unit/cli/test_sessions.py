"""`show --sessions`: a client's story and grade, as lines and as JSON; secrets are never printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.chats import Chat, store
from wsinspect.api import open_capture
from wsinspect.cli.main import cli

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"


def request(cookie: str) -> bytes:
    return (
        b"GET /room HTTP/1.1\r\nHost: chat.example\r\nUser-Agent: Firefox\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nCookie: sid=" + cookie.encode() + b"\r\n\r\n"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ann is cut off, refused four times at equal distances, and comes back; Bob stays."""
    script = Chat()
    script.accept(1, request("s3cr3t-ann"), "/room")
    script.accept(2, request("s3cr3t-bob"), "/room")
    script.client(1, b'{"type":"join"}')
    script.tick(5000)
    script.event(1, "end", side="server", how="rst")
    script.event(1, "closed")
    for number in range(3, 7):
        script.tick(2000)
        script.begin(number, request("s3cr3t-ann"), "/room")
        script.answer(number, REFUSAL)
        script.event(number, "refused", status=503)
        script.event(number, "closed")
    script.tick(2000)
    script.accept(7, request("s3cr3t-ann"), "/room")
    script.client(7, b'{"type":"join"}')
    script.tick(3000)
    return store(tmp_path / "chat.db", script)


def show(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["show", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_story_and_the_grade(path):
    lines = show(str(path), "--sessions")
    ann, _, bob = lines.partition("Client 2")
    assert "grade" in ann.splitlines()[0]
    assert "lost by the server, rst (#1)" in ann
    assert "tried again: 4 times 503 (#3-6), #7 101; after 2 s, 2 s, 2 s, 2 s, 2 s" in ann
    assert "backoff fixed without jitter" in ann
    assert "sent 1 of its 1 first message again" in ann
    assert "Obeys Retry-After: 4 of 4 tries came too early" in ann
    assert "nothing disturbed it" in bob
    assert "s3cr3t" not in lines


def test_json(path):
    text = show(str(path), "--sessions", "--json")
    found = json.loads(text)
    assert found["schema"] == 1
    ann, bob = found["sessions"]
    assert (ann["session"], bob["session"]) == (1, 2)
    assert ann["confidence"] == "high"
    assert "cookie sid" in ann["known_by"]
    [outage] = ann["outages"]
    assert outage["tries"] == [3, 4, 5, 6, 7]
    assert outage["backoff"]["shape"] == "fixed"
    assert outage["ended"] == "resumed"
    assert bob["grade"] is None
    keys = {one["key"] for one in ann["reasons"]}
    assert {"returns", "jitter", "retry-after"} <= keys
    assert "s3cr3t" not in text


def test_one_client_alone(path):
    assert show(str(path), "5", "--sessions").startswith("Client 1 ")
    result = CliRunner().invoke(cli, ["show", str(path), "99", "--sessions"])
    assert "has no connection 99" in str(result.exception)


def test_the_users_choice(path):
    found = json.loads(show(str(path), "--sessions", "--json", "--session-by", "header:Host"))
    assert len(found["sessions"]) == 1
    assert found["sessions"][0]["known_by"][0] == "the chosen part of its requests"


@pytest.mark.parametrize(
    "options", [("--session-by", "header:X"), ("--sessions", "--follow"), ("--sessions", "--payload")]
)
def test_options_that_do_not_go_together(path, options):
    assert CliRunner().invoke(cli, ["show", str(path), *options]).exit_code == 2


def test_diagnose_and_the_python_api_give_the_same_grade(path):
    shown = json.loads(show(str(path), "--sessions", "--json"))["sessions"][0]["grade"]
    result = CliRunner().invoke(cli, ["diagnose", str(path), "--json"])
    [client] = json.loads(result.stdout)["sessions"]
    assert client["grade"] == shown
    with open_capture(path) as capture:
        [ann, bob] = capture.sessions()
        assert ann.grade.letter == shown
        assert bob.grade.letter is None
        assert len(list(capture.sessions("header:Host"))) == 1
    assert "Backs off: fixed" in CliRunner().invoke(cli, ["diagnose", str(path)]).stdout


def test_a_capture_without_connections(tmp_path):
    assert (
        show(str(store(tmp_path / "empty.db", Chat())), "--sessions") == "No client has tried to connect.\n"
    )


@pytest.mark.parametrize("comes_back", [False, True])
def test_who_is_not_connected_at_first_is_said_to_be_so_once(tmp_path, comes_back):
    """No line says that it was never connected, and the next one that it was not connected."""
    script = Chat()
    for number in range(1, 5):
        script.begin(number, request("ann"), "/room")
        script.answer(number, REFUSAL)
        script.event(number, "refused", status=503)
        script.event(number, "closed")
        script.tick(2000)
    if comes_back:
        script.accept(5, request("ann"), "/room")
        script.client(5, b'{"type":"join"}')
        script.tick(3000)
    story = show(str(store(tmp_path / "first.db", script)), "--sessions").splitlines()
    words = [line.strip() for line in story]
    told = [line for line in words if "connected" in line and "after 1 outage" not in line]
    if comes_back:
        assert ["not connected at first" in told[0], "connected (#5 101)" in told[1]] == [True, True]
        assert "connected again" not in " ".join(told)
    else:
        assert [line.partition("  ")[2] for line in told] == ["never connected"]
    assert len(told) == 1 + comes_back
    assert any(line.startswith("tried: 4 times 503 (#1-4)") for line in words)


def test_a_first_connection_that_ended_at_once_was_connected(tmp_path):
    script = Chat()
    script.accept(1, request("ann"), "/room")
    script.server(1, b"\x0f\xa1bye", opcode=8)
    script.client(1, b"\x0f\xa1bye", opcode=8)
    script.event(1, "closed")
    script.tick(20_000)
    script.accept(2, request("bob"), "/room")
    ann = show(str(store(tmp_path / "first.db", script)), "--sessions").partition("Client 2")[0]
    assert "the first connection did not last" in ann
    assert "tried: #1 101, then 4001" in ann
    assert "not connected" not in ann
    assert "connected (#1)" not in ann
