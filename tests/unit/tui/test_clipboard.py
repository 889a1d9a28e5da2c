"""The clipboard's own programs: which are tried, in which order, and what if one fails or hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.tui_captures import chat_capture
from tests.support.tui_pilot import opened
from wsinspect.tui.clipboard import copy, programs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the tests come first on PATH."""
    made = tmp_path / "programs"
    made.mkdir()
    monkeypatch.setenv("PATH", f"{made}:{os.environ['PATH']}")
    return made


def program(folder: Path, name: str, script: str) -> Path:
    """A real executable; what it is given goes to a file next to it."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script.format(out=folder / f'{name}.got')}\n")
    path.chmod(0o755)
    return folder / f"{name}.got"


TAKE = 'cat > "{out}"; echo "$@" > "{out}.arguments"'


def there(*names: str):
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_what_can_work_here_in_its_order() -> None:
    everything = {"WAYLAND_DISPLAY": "w", "DISPLAY": ":0", "TMUX": "t", "WSL_DISTRO_NAME": "d"}
    all_of_them = there("wl-copy", "xclip", "xsel", "pbcopy", "clip.exe", "tmux")
    assert [command[0] for command in programs(everything, all_of_them)] == [
        *("wl-copy", "xclip", "xsel", "pbcopy", "clip.exe", "tmux")
    ]
    assert programs({}, there("wl-copy", "xclip", "xsel", "clip.exe", "tmux")) == []
    assert programs({"DISPLAY": ""}, there("xclip")) == []
    assert programs({"DISPLAY": ":0"}, there("xsel")) == [("xsel", "--clipboard", "--input")]
    assert programs({"TMUX": "t"}, there("tmux")) == [("tmux", "load-buffer", "-w", "-")]
    assert programs({}, there("pbcopy")) == [("pbcopy",)]


def test_the_first_program_that_takes_it_gets_all_of_it(folder: Path) -> None:
    program(folder, "wl-copy", "exit 1")
    got = program(folder, "xclip", TAKE)
    data = "grün\n".encode() * 100_000
    commands = programs({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"})
    assert copy(data, commands) == "xclip"
    assert got.read_bytes() == data
    assert Path(f"{got}.arguments").read_text().split() == ["-selection", "clipboard"]


def test_a_program_that_hangs_or_does_not_read_is_left(folder: Path) -> None:
    program(folder, "xclip", "exec sleep 60")
    program(folder, "xsel", "exec 0<&-; exit 1")
    assert copy(b"x" * 1_000_000, programs({"DISPLAY": ":0"}), seconds=0.2) is None
    assert copy(b"x", [("no-such-program",)]) is None


def test_a_program_that_stays_in_the_background_does_not_hold_anybody_up(folder: Path) -> None:
    got = program(folder, "xclip", TAKE + '; sleep 60 & echo $! > "{out}.pid"')
    try:
        assert copy(b"text", programs({"DISPLAY": ":0"}), seconds=50) == "xclip"
    finally:
        os.kill(int(Path(f"{got}.pid").read_text()), 9)
    assert got.read_bytes() == b"text"


@pytest.mark.asyncio
async def test_the_timeline_copies_by_it_and_by_the_terminal_where_it_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":7")
    got = program(folder, "xclip", TAKE)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        said = screen.app.workspace.said
        await screen.press("3", "j", "y")
        await screen.until(lambda: "by xclip; also in " in said())
        assert got.read_bytes() == b'{"op":"sub","ch":"x"}'
        before = screen.app.clipboard
        program(folder, "xclip", "exit 1")
        program(folder, "xsel", "exit 1")
        await screen.press("Y")
        await screen.until(lambda: "copied the curl command" in said())
        assert "by x" not in said()
        assert screen.app.clipboard != before
        assert screen.app.clipboard.startswith("curl ")
