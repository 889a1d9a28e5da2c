"""The options of `run` that arm faults."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.options import ADDRESS, Factor, Once, Parsed
from wsinspect.faults.sessions import SessionBy
from wsinspect.net import LOOPBACK, Address

if TYPE_CHECKING:
    from wsinspect.faults.board import Board
    from wsinspect.proxy.controlled import ControlOptions

#: Seeds that we choose are short, so that they can be typed again.
_SEEDS = 1_000_000


def fault_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of faults and of the control API."""
    for option in reversed(
        (
            click.option(
                "--faults",
                "scenario",
                cls=Once,
                instead="a scenario has rules and phases; --fault adds single rules",
                type=click.Path(path_type=Path),
                help="A scenario file: rules and phases (docs/faults.md).",
            ),
            click.option(
                "--fault",
                "specs",
                multiple=True,
                metavar="SPEC",
                help="A rule, such as 'latency:s2c,latency=300ms' (wsinspect faults list); repeatable.",
            ),
            click.option(
                "--break",
                "breakpoints",
                multiple=True,
                metavar="FILTER",
                help="Hold matching messages or handshakes until you decide (docs/intercept.md).",
            ),
            click.option(
                "--like",
                "preset",
                cls=Once,
                instead="only one preset fits into a run; --fault adds single rules",
                metavar="PRESET",
                help="Behave like a real hop or network, such as aws-alb.",
            ),
            click.option(
                "--seed",
                type=click.IntRange(0, (1 << 63) - 1),
                help="Random seed, to repeat an earlier run.",
            ),
            click.option(
                "--time-scale",
                type=Factor(1e-6, 1e6),
                default=1.0,
                help="Multiply all fault times by this: 0.1 is ten times as fast.",
            ),
            click.option(
                "--session-by",
                type=Parsed("part:name", SessionBy.parse),
                help="Tell clients apart by header:NAME, cookie:NAME or query:NAME (for attempts in faults).",
            ),
            click.option(
                "--control",
                cls=Once,
                type=ADDRESS,
                help="Address of the control API; any free port by default.",
            ),
            click.option(
                "--control-token-file",
                type=click.Path(path_type=Path),
                help="File for the control API's token; next to the run file by default.",
            ),
        )
    ):
        command = option(command)
    return command


def control_options(where: Address | None, token_file: Path | None) -> ControlOptions:
    """Where the control API listens: a free port of loopback by default."""
    from wsinspect.launch.paths import ensure_private_dir, run_dir
    from wsinspect.proxy.controlled import ControlOptions

    host, port = where or (LOOPBACK, 0)
    file = token_file.absolute() if token_file else ensure_private_dir(run_dir()) / f"{os.getpid()}.token"
    return ControlOptions(host, port, file)


def make_board(
    scenario: Path | None,
    specs: tuple[str, ...],
    preset: str | None,
    seed: int | None,
    time_scale: float,
    taps: Collection[str],
    warn: Callable[[str], None],
    session_by: SessionBy | None = None,
    breakpoints: tuple[str, ...] = (),
) -> Board:
    """The rules that the options ask for.

    Args:
        taps: the names of those there are.

    Raises:
        FaultError: a rule, a preset or the scenario has a mistake, or both of them have phases.
    """
    from wsinspect.faults.board import Board
    from wsinspect.faults.breakpoints import breakpoint_rule
    from wsinspect.faults.presets import load_preset
    from wsinspect.faults.scenario import load_file
    from wsinspect.faults.spec import parse_spec

    board = Board(secrets.randbelow(_SEEDS), time_scale)
    board.session_by = session_by
    if scenario is not None:
        loaded = load_file(scenario)
        for remark in loaded.warnings:
            warn(f"{scenario}: {remark}")
        board.load(loaded, str(scenario))
    if preset is not None:
        board.extend(load_preset(preset), f"--like {preset}")
    for spec in specs:
        board.add(board.unique(parse_spec(spec)), "--fault")
    for text in breakpoints:
        board.add(board.unique(breakpoint_rule(text)), "--break")
    if seed is not None:
        board.seed = seed
    for entry in board.entries:
        if entry.rule.tap is not None and entry.rule.tap not in taps:
            known = ", ".join(taps)
            warn(
                f"fault rule {entry.rule.name} can never act: unknown tap {entry.rule.tap!r} (known: {known})"
            )
    return board
