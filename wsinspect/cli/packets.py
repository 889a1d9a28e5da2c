"""Options of commands that read packets, and how a trace that grows is ended: by Ctrl-C, without losing
any."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from wsinspect.formats.importing import PacketOptions
    from wsinspect.formats.packets.trace import Found


def packet_reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--keylog` and `--tap`."""
    for option in (
        click.option(
            "--tap",
            "taps",
            multiple=True,
            metavar="NAME=[HOST:]PORT",
            help="Name for connections to this server in a trace; edge and origin are the sides of a hop.",
        ),
        click.option(
            "--keylog",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TLS secrets for packets, as clients write them to SSLKEYLOGFILE.",
        ),
    ):
        command = option(command)
    return command


def read_taps(taps: Sequence[str]) -> dict[str, str]:
    """Names by port, or by address, of options like `edge=443` and `origin=10.0.0.5:3000`.

    Raises:
        click.UsageError: one is not like that.
    """
    from wsinspect.net import parse_address

    found = {}
    for tap in taps:
        name, equals, where = tap.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--tap {tap}: write NAME=[HOST:]PORT, as in edge=443")
        try:
            address = parse_address(where)
        except ValueError as error:
            raise click.UsageError(f"--tap {tap}: {error}") from None
        found[str(address) if ":" in where else str(address.port)] = name
    return found


@contextmanager
def packet_options(
    file: Path, keylog: Path | None, taps: Sequence[str], follow: bool
) -> Iterator[PacketOptions | None]:
    """The options; None where none was given.

    In the block, a first SIGINT or SIGTERM asks for an end after what is on its way, a second one for an end
    now: what was read by then is kept.
    """
    from wsinspect.formats.importing import PacketOptions
    from wsinspect.formats.packets.trace import is_stream

    asked = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1

    def has_been_asked() -> int:
        return asked

    names = read_taps(taps)
    is_live = follow or is_stream(file)
    if not is_live and keylog is None and not names:
        yield None
        return
    before = (
        {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)} if is_live else {}
    )
    try:
        yield PacketOptions(key_log=keylog, taps=names, follow=follow, stop=has_been_asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def telling(*, is_live: bool) -> Iterator[Found]:
    """Where findings go while packets come in: stdout, a line each, as `run --headless` prints them.

    Of a file they are only stored: `diagnose` says them.
    """
    if not is_live:
        yield lambda notes: None
        return
    from wsinspect.recorder.narrator import Narrator

    narrator = Narrator()
    try:
        yield narrator.narrate
    finally:
        narrator.close()
