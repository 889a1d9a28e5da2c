"""Commands that open the terminal program where there is a terminal: what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from wsinspect.cli.options import DURATION

F = TypeVar("F", bound=Callable[..., Any])
_ARGUMENTS = "wsinspect.arguments"


class KeepsArguments(click.Command):
    """A command that remembers its arguments as they were typed, to give them to a child process."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse them, after having kept them."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def screen_options(command: F) -> F:
    """`--gap` and `--ascii`."""
    gap = click.option("--gap", type=DURATION, help="A silence that gets a row of its own; 1s by default.")
    ascii_ = click.option("--ascii", "is_ascii", is_flag=True, help="Draw with ASCII alone.")
    return gap(ascii_(command))


def typed_arguments() -> list[str]:
    """The arguments of the command that runs, without those of the screen."""
    return without_screen_options(click.get_current_context().meta.get(_ARGUMENTS, ()))


def without_screen_options(arguments: Sequence[str]) -> list[str]:
    """Without `--gap` and `--ascii`."""
    kept: list[str] = []
    is_value = False
    for argument in arguments:
        if is_value:
            is_value = False
        elif argument == "--gap":
            is_value = True
        elif argument != "--ascii" and not argument.startswith("--gap="):
            kept.append(argument)
    return kept
