"""docs/faults.md is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from wsinspect.faults.documentation import renewed
from wsinspect.faults.scenario import load_text

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert renewed(text) == text, "run: python -m wsinspect.faults.documentation docs/faults.md"


def test_the_scenario_on_the_page_is_one() -> None:
    found = re.findall(r"```yaml\n(version.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert [load_text(each).warnings for each in found] == [()]
