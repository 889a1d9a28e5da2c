"""`wsinspect skill`: what an agent should know of us."""

from __future__ import annotations

import click

from wsinspect.cli.options import examples


@click.command(
    epilog=examples(
        "wsinspect skill > .claude/skills/wsinspect/SKILL.md",
        "wsinspect skill | less",
    )
)
def skill() -> None:
    """Print a SKILL.md: which command answers which question, exit codes, limits."""
    from importlib.resources import files

    click.echo(files("wsinspect.agents").joinpath("SKILL.md").read_text("utf-8"), nl=False)
