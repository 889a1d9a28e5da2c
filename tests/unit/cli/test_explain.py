"""`wsinspect explain`: input, exit codes, what is printed, and the capture."""

import json
import tempfile

import pytest

from tests.support import warm
from tests.unit.cli.maker import CaptureMaker, home

LINE = "WebSocket connection to 'ws://example.org/chat' failed: Error during WebSocket handshake: "


def explain(folder, *arguments, code=0):
    done = warm.run(["explain", *map(str, arguments)], folder=folder, environment=home(folder))
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def piped(folder, data, *arguments):
    with tempfile.TemporaryFile() as stdin:
        stdin.write(data)
        stdin.seek(0)
        return warm.run(["explain", *arguments], folder=folder, environment=home(folder), stdin=stdin)


def test_a_line_with_its_causes_the_fix_and_what_to_run(tmp_path):
    out, err = explain(tmp_path, LINE + "Unexpected response code: 403")
    assert out.startswith(
        "The server refuses this client, Origin or path (403)\n  Chrome: WebSocket connection"
    )
    assert "\n  1. The server refuses the page's Origin  [WS-HS-050, WS-HS-010]\n" in out
    assert "\n     fix       any software: Put the page's origin on" in out
    assert out.endswith(
        "  run         wsinspect doctor ws://example.org/chat\n"
        "  or          wsinspect run --tap app=8081=http://example.org\n"
    )
    assert err == ""


def test_words_that_were_not_quoted(tmp_path):
    assert explain(tmp_path, "closed", "code", "1011")[0].startswith("Closed with 1011: the server failed\n")


def test_what_is_unknown_says_so_and_what_to_try(tmp_path):
    out, _ = explain(tmp_path, "all is \x1b]0;well\x07 \x9b31m", code=1)
    assert out.startswith("Not recognised: all is")
    assert "wsinspect doctor URL" in out
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert json.loads(explain(tmp_path, "all is well", "--json", code=1)[0])["recognised"] is False


@pytest.mark.parametrize("arguments", [[""], ["   "], ["\x1b[31m"]])
def test_nothing_is_wrong_usage(tmp_path, arguments):
    out, err = explain(tmp_path, *arguments, code=2)
    assert out == ""
    assert "no text to explain" in err


def test_lines_from_stdin(tmp_path):
    for arguments in ([], ["-"]):
        done = piped(
            tmp_path, b"x\n" + LINE.encode() + b"Unexpected response code: 404\nCode: 1006\n", *arguments
        )
        assert done.returncode == 0
        assert done.stdout.startswith("No WebSocket at this path (404)\n")
    assert piped(tmp_path, b"").returncode == 2
    assert piped(tmp_path, b"\xff\xfe\x00").returncode == 1


def test_control_characters_of_a_line_are_visible(tmp_path):
    line = (
        b"ws://a/\x9b31m\x07 Error during WebSocket handshake: Unexpected response code: 404 \xe2\x80\xae\x7f"
    )
    out = piped(tmp_path, line).stdout
    assert "␇" in out
    assert "\\u202e" in out
    assert not any(ord(char) < 32 and char != "\n" for char in out)


def test_json(tmp_path):
    content = json.loads(explain(tmp_path, "1006", "--json")[0])
    assert content["schema"] == 1
    assert content["explanations"][0]["situation"] == "abnormal"
    assert content["capture"] is None


def capture(path):
    maker = CaptureMaker(path)
    maker.attempt(1)
    maker.refuse(1, b"no")
    maker.attempt(2, 50)
    maker.open(2, 55)
    maker.closed(2, 90, side="server", how="fin")
    return maker.finish()


def test_the_capture_shows_it(tmp_path):
    path = capture(tmp_path / "a.db")
    out, _ = explain(tmp_path, LINE + "Unexpected response code: 403", "--capture", path)
    assert f"In {path}: The server refuses this client, Origin or path (403)\n" in out
    assert "  1 connection (1): the same host and path and status\n" in out
    assert "WS-HS-010" in out.partition("\nIn ")[2]
    out, _ = explain(tmp_path, LINE + "Unexpected response code: 404", "--capture", path)
    assert "no connection shows it" in out
    content = json.loads(explain(tmp_path, "1006", "--capture", path, "--json")[0])
    [found] = content["capture"]
    assert found["connections"] == [2, 1]
    assert {one["connection"] for one in found["findings"]} <= {1, 2}
    assert found["findings"]


def test_a_capture_that_cannot_be_read(tmp_path):
    (tmp_path / "b.db").write_text("no capture")
    assert "b.db" in explain(tmp_path, "1006", "--capture", tmp_path / "b.db", code=2)[1]
    assert "no capture yet" in explain(tmp_path, "1006", "--capture", "last", code=2)[1]
