"""The README says what is true: its picture is there, its keys are the timeline's, its commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.every_case import every_case
from wsinspect.cli.main import COMMANDS, cli
from wsinspect.tui.keys import markdown

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_the_table_of_keys_is_the_timelines() -> None:
    keys = (ROOT / "docs" / "keys.md").read_text("utf-8")
    assert markdown().strip() in keys, "python -m wsinspect.tui.keys prints the table"


def test_it_has_fewer_than_120_lines() -> None:
    assert len(README.splitlines()) < 120


def test_it_says_how_to_install_with_each_tool() -> None:
    assert all(f"\n{line} " in README for line in ("pipx install", "uv tool install", "pip install"))


def test_every_page_of_the_documentation_is_linked() -> None:
    assert [page for page in PAGES if f"(docs/{page})" not in README] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", *(f"docs/{page}" for page in PAGES)])
def test_links_between_pages_lead_to_files(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_command_is_named() -> None:
    assert [
        name for name in COMMANDS if f"`{name}`" not in README and f"wsinspect {name}" not in README
    ] == []


def test_every_command_that_is_shown_exists() -> None:
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    shown = set(re.findall(r"^wsinspect ([a-z]+)", blocks, re.MULTILINE))
    assert shown
    assert shown <= set(COMMANDS)


#: Parts of a sentence, not commands: a span's name, an option that is named without its value.
FRAGMENTS = {"wsinspect finding ...", "wsinspect replay --serve", "wsinspect replay --to"}


def command_lines(text: str) -> Iterator[str]:
    """Commands in blocks and in sentences."""
    yield from re.findall(r"`(wsinspect [a-z][^`\n]*)`", text)
    for block in text.split("```")[1::2]:
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        yield from (line.strip() for line in lines if re.match(r"\s*wsinspect [a-z]", line))


def parse(line: str) -> None:
    """Look up the command and its options, up to a pipe or a redirection.

    Raises:
        click.UsageError: there is no such command or option, or a value is missing.
    """
    words = shlex.split(line, comments=True)
    end = next((at for at, word in enumerate(words) if re.match(r"(\||&|2?>|<)", word)), len(words))
    words = words[1:end]
    command: click.Command = cli
    context = click.Context(cli, info_name="wsinspect")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"there is no command {words[0]}")
        command, context = found, click.Context(found, info_name=words.pop(0), parent=context)
    command.make_parser(context).parse_args(words)


def test_commands_on_every_page_have_options_that_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "examples" / "README.md"]
    pages.append(ROOT / "wsinspect" / "agents" / "SKILL.md")
    with every_case(least=140) as case:
        for page in pages:
            for line in command_lines(page.read_text("utf-8")):
                if line not in FRAGMENTS:
                    with case(page.name, line):
                        parse(line)


@pytest.mark.parametrize("line", ["wsinspect nothing", "wsinspect show --no-such", "wsinspect run --listen"])
def test_a_command_that_is_wrong_is_refused(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)
