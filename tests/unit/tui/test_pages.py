"""The pictures in docs/pictures are those of the pages as they are."""

from __future__ import annotations

import re
import time
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

from tests.support.svg import text_of
from tests.support.tui_pages import FOLDER, PAGES, draw, lines_of
from tests.support.tui_states import CAPTURES, STATES, Scene, png
from wsinspect.tui import dialogs, screens
from wsinspect.tui.dialogs.overlay import Overlay
from wsinspect.tui.keys import FOOTER
from wsinspect.tui.screens.page import Page

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


def classes_in(package: ModuleType) -> set[type]:
    """All classes of the modules of a package."""
    modules = (import_module(one.name) for one in iter_modules(package.__path__, f"{package.__name__}."))
    return {one for module in modules for one in vars(module).values() if isinstance(one, type)}


def test_every_page_and_every_dialog_has_a_state_to_look_at():
    """Those that others are made of are not shown themselves."""
    shown = {
        one
        for one in classes_in(screens) | classes_in(dialogs)
        if issubclass(one, Page | Overlay) and one.__module__.startswith("wsinspect.tui")
    }
    whole = {one for one in shown if not any(one in other.__mro__[1:] for other in shown)}
    assert {one.__name__ for one in whole} <= {state.shows for state in STATES.values()}
    assert {f"empty-{page}" for page in set(FOOTER) - {"main"}} <= set(STATES)
    assert {state.capture for state in STATES.values()} == set(CAPTURES)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
@pytest.mark.asyncio
async def test_a_state_is_reached(scene, name):
    drawn = await scene.draw(name, (80, 24), ["light"])
    assert len(text_of(drawn["light"])) >= 23  # the line below a dialog is empty


def test_a_png_is_as_large_as_its_picture(tmp_path, monkeypatch):
    chromium = tmp_path / "chromium"
    chromium.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    chromium.chmod(0o700)
    monkeypatch.setenv("CHROMIUM", str(chromium))
    picture = tmp_path / "main.svg"
    picture.write_text('<svg viewBox="0 0 994.4 635.6"></svg>')
    png(picture)
    asked = (tmp_path / "asked").read_text()
    assert f"--window-size=994,636 --screenshot={tmp_path}/main.png" in asked
    assert picture.as_uri() in asked
