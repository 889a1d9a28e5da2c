"""The README says what is true: its picture is there, its keys are the timeline's, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsinspect.cli.main import COMMANDS
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
