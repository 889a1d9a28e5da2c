"""docs/faults.md is what the code says."""

from __future__ import annotations

import re
import runpy
import sys
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


def test_the_module_renews_the_page_in_its_place(tmp_path, monkeypatch) -> None:
    page = tmp_path / "faults.md"
    text = PAGE.read_text("utf-8")
    page.write_text(re.sub(r"\| `drop` .*\n", "", text), "utf-8")
    monkeypatch.setattr(sys, "argv", ["documentation", str(page)])
    monkeypatch.delitem(sys.modules, "wsinspect.faults.documentation")
    runpy.run_module("wsinspect.faults.documentation", run_name="__main__")
    assert page.read_text("utf-8") == text
