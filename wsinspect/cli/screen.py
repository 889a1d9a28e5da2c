"""Commands that open the timeline where there is a terminal: what they share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from wsinspect.cli.options import DURATION

F = TypeVar("F", bound=Callable[..., Any])
_TEXTS = "wsinspect.texts"


class HandsOn(click.Command):
    """A command that hands its options to a child process as they were given (`options_for_child`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse them, and keep the text of each value next to what it was converted to."""
        texts, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        rest = super().parse_args(ctx, args)
        ctx.meta[_TEXTS] = texts
        return rest


def options_for_child(*without: str) -> list[str]:
    """The options of the command that runs, but for those named; one argument each."""
    context = click.get_current_context()
    texts = context.meta[_TEXTS]
    found: list[str] = []
    for parameter in context.command.params:
        if not isinstance(parameter, click.Option) or parameter.name in without:
            continue
        name, value = max(parameter.opts, key=len), texts.get(parameter.name)
        if value is None or value is False:
            continue
        if parameter.is_flag:
            found.append(name)
        else:
            values = value if parameter.multiple else [value]
            found += [f"{name}={one}" for one in values]
    return found


def screen_options(command: F) -> F:
    """Add `--gap`, `--ascii` and `--plain`, which all commands share that open the timeline."""
    gap = click.option(
        "--gap", type=DURATION, help="Show a silence longer than this as its own row; 1s by default."
    )
    ascii_ = click.option("--ascii", "is_ascii", is_flag=True, help="Draw with ASCII only.")
    plain = click.option(
        "--plain", "is_plain", is_flag=True, help="Lines of words, nothing drawn: for screen readers."
    )
    return gap(ascii_(plain(command)))


def is_terminal() -> bool:
    """Whether a terminal program can be shown: both ends are a terminal that can do more than print."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


#: The `ready` event as JSON, for the process that started this one (`wsinspect.launch.child`).
ready_option = click.option("--ready-fd", type=click.IntRange(0), hidden=True)


def write_ready(descriptor: int, line: str) -> None:
    """Write the event and close the pipe; it does not matter if the parent has exited.

    Raises:
        OSError: it is not an open file.
    """
    with open(descriptor, "w", encoding="ascii") as pipe:
        try:
            pipe.write(line + "\n")
            pipe.flush()
        except BrokenPipeError:
            return
