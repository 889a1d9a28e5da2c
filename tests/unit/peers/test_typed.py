"""Lines that are typed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.errors import UsageError
from wsinspect.peers.typed import HELP, Abort, Close, Expect, Help, Say, SayFile, Wait, parse_line
from wsinspect.wire.opcodes import Opcode


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", None),
        ("hello", Say(Opcode.TEXT, "hello")),
        (" /ping", Say(Opcode.TEXT, " /ping")),
        ("//ping", Say(Opcode.TEXT, "/ping")),
        ("@@all", Say(Opcode.TEXT, "@all")),
        ("@a b.json", SayFile(Path("a b.json"))),
        ("/file a.bin", SayFile(Path("a.bin"))),
        ("/binary @a.bin", SayFile(Path("a.bin"), is_binary=True)),
        ("/ping", Say(Opcode.PING, "")),
        ("/ping a b", Say(Opcode.PING, "a b")),
        ("/pong x", Say(Opcode.PONG, "x")),
        ("/binary 00 01ff", Say(Opcode.BINARY, data=b"\0\1\xff")),
        ("/binary", Say(Opcode.BINARY)),
        ('/json {"a": 1}', Say(Opcode.TEXT, '{"a": 1}', must_be_json=True)),
        ("/wait 500ms", Wait(500_000_000)),
        ("/close", Close(1000, "")),
        ("/close 1001 going away", Close(1001, "going away")),
        ("/close -", Close(None)),
        ("/quit", Close(1000, "")),
        ("/abort", Abort()),
        ("/help", Help()),
    ],
)
def test_a_line_is_a_command(line, command):
    assert parse_line(line) == command


def test_an_expectation_is_a_filter():
    command = parse_line("/expect op:text json:$.type=login")
    assert isinstance(command, Expect)
    assert command.filter.keys == {"op", "json"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/pign", "did you mean /ping"),
        ("/nothing", "//nothing sends it"),
        ("/binary 0", "hexadecimal"),
        ("/wait soon", "soon"),
        ("/close 1005", "not a close code"),
        ("/close abc", "not a close code"),
        (f"/close 1000 {'x' * 124}", "at most 123 bytes"),
        ("/expect", "nothing to expect"),
        ("/expect rtt>5ms", "not known yet"),
        ("/expect op:nope", "nope"),
        ("/abort now", "takes nothing"),
        ("/file", "needs a path"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(line, words):
    with pytest.raises(UsageError) as caught:
        parse_line(line)
    assert words in f"{caught.value.message} {caught.value.hint}"


@given(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=40))
def test_any_line_is_read_or_refused(line):
    with contextlib.suppress(UsageError):
        assert (parse_line(line) is None) == (line == "")


@pytest.mark.parametrize("written", HELP)
def test_each_command_of_the_help_is_known(written):
    examples = {"FILTER": "op:text", "DURATION": "1s", "HEX": "00", "PATH": "a", "JSON": "{}"}
    words = [examples.get(word, word) for word in written.split() if not word.startswith("[")]
    assert parse_line(" ".join(word for word in words if "]" not in word)) is not None
