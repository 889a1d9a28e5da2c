"""The README says what is true: its picture is there, its keys are the timeline's, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from wsinspect.cli.main import COMMANDS
from wsinspect.tui.keys import markdown

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_table_of_keys_is_the_timeline_s() -> None:
    assert markdown().strip() in README, "python -m wsinspect.tui.keys prints the table"


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_command_is_named() -> None:
    assert [
        name for name in COMMANDS if f"`{name}`" not in README and f"wsinspect {name}" not in README
    ] == []


def test_every_command_that_is_shown_exists() -> None:
    shown = set(re.findall(r"^(?:\$ )?wsinspect ([a-z]+)", README, re.MULTILINE))
    assert shown <= set(COMMANDS)
