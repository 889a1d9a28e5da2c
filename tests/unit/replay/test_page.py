"""docs/replay.md names every option of `wsinspect replay`, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from wsinspect.cli.export import export
from wsinspect.cli.import_ import import_
from wsinspect.cli.merge import merge
from wsinspect.cli.replay import replay

DOCS = Path(__file__).parents[3] / "docs"
SHARED = {"--help", "--format", "--output", "--force", "--capture"}


def options(command):
    return {one for parameter in command.params for one in parameter.opts if one.startswith("--")}


def test_every_option_of_replay_is_described():
    page = (DOCS / "replay.md").read_text("utf-8")
    assert [one for one in sorted(options(replay)) if one not in page] == []


def test_every_option_of_the_formats_is_described():
    page = (DOCS / "formats.md").read_text("utf-8")
    wanted = options(export) | options(import_) | options(merge)
    assert [one for one in sorted(wanted - SHARED) if one not in page] == []


def test_no_option_is_described_that_is_not_there():
    text = (DOCS / "replay.md").read_text("utf-8")
    known = options(replay) | {"--replay", "--snaplen", "--max-capture-size"}
    assert set(re.findall(r"--[a-z][a-z-]+", text)) <= known
