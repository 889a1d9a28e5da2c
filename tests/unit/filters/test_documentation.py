"""docs/filters.md is what the keys say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from wsinspect.filters import FIELDS, help_lines
from wsinspect.filters.documentation import page


def test_the_page_of_the_docs_is_whole() -> None:
    written = Path(__file__).parents[3] / "docs" / "filters.md"
    assert written.read_text("utf-8") == page(), "python -m wsinspect.filters.documentation > docs/filters.md"
    assert len(help_lines()) > len(FIELDS)


def test_the_module_prints_the_page(capsys, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "wsinspect.filters.documentation")
    runpy.run_module("wsinspect.filters.documentation", run_name="__main__")
    assert capsys.readouterr().out == page()
