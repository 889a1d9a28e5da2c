"""`wsinspect connect` on a real terminal, alone and from the timeline."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.small_servers import echo_server
from tests.support.tmux import Tmux, private, run_command, wsinspect

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def ends_with(line: str, text: str) -> bool:
    """Whether it is the last line of a screen."""
    return text.rstrip().endswith(line)


def test_lines_are_typed_completed_and_remembered(tmp_path):
    with (
        echo_server() as port,
        Tmux(wsinspect("connect", f"localhost:{port}/chat"), private(tmp_path)) as terminal,
    ):
        terminal.wait_for("connected to", "/help for commands", "\n>")
        terminal.type("hello {{seq}}")
        terminal.press("Enter")
        terminal.wait_for("<  hello 1")
        terminal.type("/pi\t\r")  # one stroke: what Tab completes is what Enter sends
        terminal.wait_for("<  PONG", "rtt ")
        terminal.type("/pign")
        terminal.press("Enter")
        terminal.wait_for("did you mean /ping?")
        for line in ("/pign", "/ping", "hello {{seq}}"):
            terminal.press("Up")
            terminal.wait_until(partial(ends_with, f"> {line}"), line)
        terminal.press("Enter")
        terminal.wait_for("<  hello 2")
        terminal.press("C-d")
        terminal.wait_for("closed by you: 1000", "recorded in", "ended with 0", " icanon")


def test_what_is_said_is_broken_between_words_and_our_reset_is_ours(tmp_path):
    with (
        echo_server() as port,
        Tmux(wsinspect("connect", f"localhost:{port}/chat"), private(tmp_path), (70, 150)) as terminal,
    ):
        terminal.wait_for("connected to", "\n>")
        terminal.type("/help\r")
        text = terminal.wait_for("{{$.id}}", "as it is")
        assert "part of the message that was received\n" + " " * 28 + "last, as JSON" in text
        terminal.type("/abort\r")
        text = terminal.wait_for("ended with 0")
        assert "wsinspect: you ended the connection with an RST, without a closing\n  handshake\n" in text


def test_the_timeline_lends_its_terminal(tmp_path):
    with echo_server() as origin, Tmux(run_command(origin, tmp_path / "a.db"), private(tmp_path)) as terminal:
        terminal.wait_for("No connections yet.", "LIVE", f":{origin}")
        terminal.press("C")
        terminal.wait_for("a client to type into", "this proxy records it", f":{origin}")
        terminal.type("/chat")
        terminal.press("Enter")
        terminal.wait_for("connected to", "\n>")
        terminal.type("from the timeline")
        terminal.press("Enter")
        terminal.wait_for("<  from the timeline")
        terminal.press("C-d")
        terminal.wait_for("enter goes back")
        terminal.press("Enter")
        terminal.wait_for("LIVE", "/chat", "from the timeline")
