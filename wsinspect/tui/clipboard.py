"""The clipboard by its own program, where there is one: many terminals ignore OSC 52, or cut what is long.

In the order in which they are tried: Wayland's, X11's, macOS's, that of Windows under WSL, and tmux, which
keeps programs' OSC 52 from the terminal by default.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

#: A display that does not answer must not be waited for.
_SECONDS: Final = 3.0


class Program(NamedTuple):
    """What takes a text on its stdin.

    Attributes:
        needs: the variable that says that there is something to copy to; empty for none.
        command: its name and arguments.
    """

    needs: str
    command: tuple[str, ...]


PROGRAMS: Final = (
    Program("WAYLAND_DISPLAY", ("wl-copy",)),
    Program("DISPLAY", ("xclip", "-selection", "clipboard")),
    Program("DISPLAY", ("xsel", "--clipboard", "--input")),
    Program("", ("pbcopy",)),
    Program("WSL_DISTRO_NAME", ("clip.exe",)),
    Program("TMUX", ("tmux", "load-buffer", "-w", "-")),
)


def programs(
    environment: Mapping[str, str], which: Callable[[str], str | None] = shutil.which
) -> list[tuple[str, ...]]:
    """The commands that can work here, the likeliest first."""
    return [
        one.command
        for one in PROGRAMS
        if (not one.needs or environment.get(one.needs)) and which(one.command[0]) is not None
    ]


def copy(data: bytes, commands: list[tuple[str, ...]], seconds: float = _SECONDS) -> str | None:
    """Give it to the first program that takes it.

    Args:
        seconds: how long each may take; the clipboards' own programs stay in the background afterwards.

    Returns:
        The program's name; None where none took it.
    """
    for command in commands:
        try:
            done = subprocess.run(
                command,
                input=data,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command[0]
    return None
