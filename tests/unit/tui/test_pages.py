"""The pictures in docs/pictures are those of the pages as they are."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.tui_pages import FOLDER, PAGES, draw, lines_of
from wsinspect.tui.keys import FOOTER

pytestmark = pytest.mark.snapshot


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) for name in PAGES if name != "sandwich"] + ["sandwich"],
)
@pytest.mark.asyncio
async def test_a_picture_shows_its_page(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = await draw(name, tmp_path)
    known = (FOLDER / f"{name}.svg").read_text("utf-8")
    assert lines_of(name, known) == lines_of(name, now), "python -m tests.support.tui_pages writes them again"


def test_every_page_of_the_docs_has_its_picture():
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(PAGES)
    named = set(re.findall(r"pictures/([a-z-]+)\.svg", (FOLDER.parent / "keys.md").read_text("utf-8")))
    assert named == set(PAGES)


def test_every_page_of_the_timeline_has_a_picture():
    assert set(FOOTER) <= set(PAGES)
