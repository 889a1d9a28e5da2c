"""Lines as they are typed, keys in one stroke: what is completed, and what is sent."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import pytest


@contextmanager
def prompting(keyboard: TextIO | None = None) -> Iterator[Any]:
    """Input of prompt_toolkit's; from keys that are sent to it where no terminal is given.

    Its import is one of the largest, and of no use to the workers that run other tests.
    """
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_input, create_pipe_input
    from prompt_toolkit.output import DummyOutput

    pipe = create_pipe_input() if keyboard is None else nullcontext(create_input(keyboard))
    with pipe as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


def lines_in(folder: Path) -> AsyncIterator[str]:
    """What is typed, with a history in a folder."""
    from wsinspect.peers.prompt import typed_lines

    return typed_lines(folder / "history")


def typed(stroke: str, folder: Path) -> list[str]:
    """The lines that come of keys which are all there at once; Ctrl-D ends them."""

    async def read() -> list[str]:
        with prompting() as keys:
            keys.send_text(stroke + "\x04")
            return [line async for line in lines_in(folder)]

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("stroke", "line"),
    [
        ("/pi\t\r", "/ping"),
        ("/pi\t x\r", "/ping x"),
        ("/p\t\r", "/p"),
        ("/p\t\t\r", "/ping"),
        ("/p\t\t\t\r", "/pong"),
        ("/p\t\t\x1b[Z\r", "/p"),
        ("say {{se\t\r", "say {{seq}}"),
        ("/expect o\t\r", "/expect op:"),
        ("hello\t\r", "hello"),
        ("//pi\t\r", "//pi"),
    ],
)
def test_enter_in_the_stroke_of_tab_sends_what_was_completed(stroke: str, line: str, tmp_path: Path) -> None:
    assert typed(stroke, tmp_path) == [line]


def test_a_path_is_completed_as_far_as_it_is_common(tmp_path: Path) -> None:
    for name in ("message-1.json", "message-2.json"):
        (tmp_path / name).touch()
    assert typed(f"@{tmp_path}/mes\t\r", tmp_path) == [f"@{tmp_path}/message-"]
    assert typed(f"@{tmp_path}/message-2\t\r", tmp_path) == [f"@{tmp_path}/message-2.json"]
    assert typed(f"/file {tmp_path}/mes\t\t\r", tmp_path) == [f"/file {tmp_path}/message-1.json"]


def test_lines_are_remembered_in_order(tmp_path: Path) -> None:
    assert typed("one\rtwo\r", tmp_path) == ["one", "two"]
    assert typed("\x1b[A\x1b[A\r", tmp_path) == ["one"]


@pytest.mark.parametrize(
    ("stroke", "lines"), [("\x04", []), ("two\r\x04", ["two"]), ("\x1b[A\r\x04", ["one"])]
)
def test_what_is_typed_between_two_prompts_waits_for_the_next(
    stroke: str, lines: list[str], tmp_path: Path
) -> None:
    keyboard, terminal = os.openpty()
    before = termios.tcgetattr(terminal)

    async def read() -> list[str]:
        with open(terminal, closefd=False, encoding="utf-8") as stdin, prompting(stdin):
            found = lines_in(tmp_path)
            os.write(keyboard, b"one\r")
            assert await anext(found) == "one"
            os.write(keyboard, stroke.encode())
            async with asyncio.timeout(60):
                return [line async for line in found]

    try:
        assert asyncio.run(read()) == lines
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(keyboard)
        os.close(terminal)
