"""The ready scenarios: each is valid, says where its numbers come from, and is on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsinspect.clients.expectations import read_expectations
from wsinspect.faults.scenarios import load_scenario, scenario_names, scenario_path

PAGE = Path(__file__).parents[3] / "docs" / "check.md"


@pytest.mark.parametrize("name", scenario_names())
def test_a_ready_scenario_is_whole(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name
    assert scenario.source
    assert scenario.warnings == ()
    assert read_expectations(scenario)
    assert scenario.phases, "it would not end by itself"
    assert f"| `{name}` | {scenario.name} |" in PAGE.read_text("utf-8")
    assert scenario_path(name).is_file()


def test_the_questions_that_people_have_are_there() -> None:
    assert {"server-deploy", "laptop-sleep", "half-open", "token-expired", "rolling-restart"} <= set(
        scenario_names()
    )
