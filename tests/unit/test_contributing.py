"""CONTRIBUTING.md is true: the code of its examples runs, and so do the tests in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wsinspect.faults.kinds import KINDS
from wsinspect.faults.scenario import load_text

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### ([^\n]+)\n(.*?)(?=^###? |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def run(section: str) -> dict[str, Any]:
    """The names that the code of a section defines."""
    names: dict[str, Any] = {"__name__": "example"}
    for block in re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL):
        exec(compile(block, f"CONTRIBUTING.md: {section}", "exec"), names)
    return names


@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_passes_its_own_tests(section: str, request: pytest.FixtureRequest) -> None:
    tests = [value for name, value in run(section).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        wanted = [name for name in test.__code__.co_varnames[: test.__code__.co_argcount]]
        test(*(request.getfixturevalue(name) for name in wanted))


def test_the_fault_s_own_examples_are_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    blank = run("A fault")["Blank"]
    monkeypatch.setitem(KINDS, blank.name, blank)
    assert [load_text(f"version: 1\nrules: [{one}]").rules[0].kind for one in blank.examples] == ["blank"]


def test_there_is_one_example_for_each_thing_to_add() -> None:
    assert set(SECTIONS) == {"A finding", "A fault", "A decoder", "A format", "A screen"}
