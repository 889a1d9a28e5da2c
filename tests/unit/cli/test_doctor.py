"""`wsinspect doctor`: what it prints, its exit codes, and what is wrong with what the user wrote."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.doctor_lab import http, is_upgrade, replies, serving, switching
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.cli.main import cli, execute


def doctor(capsys, *arguments: str) -> tuple[int, str, str]:
    """In this process: exit code, stdout, stderr."""
    code = execute(lambda: cli.main(["doctor", *arguments], prog_name="wsinspect", standalone_mode=False))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def loop():
    with ThreadedLoop() as running:
        yield running


@pytest.fixture(scope="module")
def port(loop):
    """A server: `/chat` accepts, `/origin` refuses any Origin, `/key` refuses any key, all else is 404."""

    def reply(head):
        path = head.target.partition(b"?")[0]
        if path == b"/chat" and is_upgrade(head):
            return switching(head)
        if path == b"/origin" and head.get("origin") is None and is_upgrade(head):
            return switching(head)
        if path == b"/origin":
            return http("403 Forbidden", b"\x1b[31mno\x1b[0m")
        if path == b"/key":
            key = head.get("x-api-key") or head.target.partition(b"token=")[2]
            return http("403 Forbidden", b"not this key: " + key) if key else switching(head)
        return http("404 Not Found")

    started = serving(replies(reply))
    yield loop.run(started.__aenter__())
    loop.run(started.__aexit__(None, None, None))


def test_it_says_first_what_is_wrong(capsys, port) -> None:
    code, out, _ = doctor(capsys, f"ws://127.0.0.1:{port}/origin", "-v")
    lines = out.splitlines()
    assert code == 1
    assert lines[0] == "The server refuses this Origin: without it, the same handshake is accepted"
    assert lines[1] == f"failing  ws://127.0.0.1:{port}/origin"
    assert lines[3].startswith("error  WS-HS-050  ")
    assert lines[4].startswith("  probe 1; fault of the server")
    assert f"             Origin: http://127.0.0.1:{port}" in lines
    assert "Asked" in lines
    assert lines[lines.index("As curl") + 1].startswith(
        "  curl --http1.1 --include --no-buffer -H 'Connection: Upgrade'"
    )
    assert "  > GET /origin HTTP/1.1" in lines
    assert "  < HTTP/1.1 403 Forbidden" in lines
    assert "\x1b" not in out


def test_json_masks_secrets_and_has_what_was_asked(capsys, port) -> None:
    url = f"ws://127.0.0.1:{port}/chat?token=hidden"
    options = ("--cookie", "session=hidden", "-H", "Authorization: Bearer hidden", "--query", "sid=hidden")
    code, out, _ = doctor(capsys, url, "--json", *options)
    found = json.loads(out)
    assert (code, found["schema"], found["verdict"]) == (0, 1, "degraded")
    assert "hidden" not in out
    assert [one["kind"] for one in found["probes"]][:2] == ["handshake", "origin:foreign"]
    assert found["probes"][0]["request"].startswith("GET /chat?token=***&sid=*** HTTP/1.1\r\n")
    assert found["findings"][0]["id"] == "WS-HS-055"
    assert found["findings"][0]["probe"] == 1
    assert found["addresses"][0]["error"] is None
    assert "-H 'Cookie: session=***'" in found["curl"]
    _, out, _ = doctor(capsys, url, "--json", "--include-secrets", *options)
    assert "Bearer hidden" in json.loads(out)["probes"][0]["request"]


@pytest.mark.parametrize("options", [(), ("--json",), ("-v",)])
def test_a_secret_that_decides_is_not_printed(capsys, port, options) -> None:
    """Neither where the doctor quotes the request, nor where the server does."""
    for given in (("-H", "X-Api-Key: opensesame"), ("--query", "token=opensesame")):
        url = f"ws://127.0.0.1:{port}/key"
        code, out, _ = doctor(capsys, url, *given, *options)
        assert code == 1
        assert "opensesame" not in out, out
        assert "***" in out
    code, out, _ = doctor(capsys, url, "-H", "X-Api-Key: opensesame", "--include-secrets", *options)
    assert "X-Api-Key: opensesame" in out


def test_a_scheme_is_assumed_and_said(capsys) -> None:
    closed = free_port()
    code, out, err = doctor(capsys, f"127.0.0.1:{closed}/x")
    assert code == 1
    assert f"ws://127.0.0.1:{closed}/x is assumed" in err
    assert out.splitlines()[1] == f"unreachable  ws://127.0.0.1:{closed}/x"
    assert "connection refused" in out


def test_a_name_that_does_not_exist_and_no_network(capsys, monkeypatch) -> None:
    import socket

    def fail(number: int):
        async def resolve(*_: object, **__: object) -> object:
            raise socket.gaierror(number, "made up")

        monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolve)

    fail(socket.EAI_NONAME)
    code, out, _ = doctor(capsys, "ws://nowhere.example/")
    assert code == 1
    assert out.startswith("The server's name does not resolve\nunreachable  ws://nowhere.example/\n")
    fail(socket.EAI_AGAIN)
    code, out, _ = doctor(capsys, "ws://nowhere.example/")
    assert code == 3
    assert out.splitlines()[1].startswith("unreachable")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ftp://example.org/a",), "write one like wss://example.org/socket"),
        (("https://",), "no host"),
        (("https://example.org/a", "--direct", "http://localhost:1"), "not with a page"),
        (("ws://example.org", "-H", "nothing"), "not a header"),
        (("ws://example.org", "--cookie", "x"), "not a cookie"),
        (("ws://example.org", "--subprotocol", "a b"), "not a subprotocol"),
        (("ws://example.org", "--timeout", "0s"), "--timeout"),
        (("ws://example.org", "--ca", "/nowhere.pem"), "/nowhere.pem"),
        ((), "missing argument"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, words) -> None:
    code, out, err = doctor(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_file_that_is_not_a_certificate(capsys, tmp_path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    code, _, err = doctor(capsys, "ws://example.org", "--ca", str(file))
    assert code == 2
    assert "no certificate" in err


def test_what_is_being_asked_is_shown_on_a_terminal_alone(capsys, monkeypatch, port) -> None:
    url = f"ws://127.0.0.1:{port}/nowhere"
    assert doctor(capsys, url)[2] == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    _, _, err = doctor(capsys, url)
    assert "an ordinary GET of the same path ..." in err
    assert err.endswith("\r\x1b[K")
    assert doctor(capsys, url, "--json")[2] == ""
