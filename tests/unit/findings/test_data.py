"""The tables in findings/data: whole, consistent with each other, and shipped."""

import re
from typing import get_args

import pytest

from wsinspect.findings.data import table
from wsinspect.findings.limits import Kind
from wsinspect.findings.software import NAMES, PROXIES

FIXES, LIMITS, SOFTWARE, CATALOGUE = map(table, ("fixes", "limits", "software", "catalogue"))


@pytest.mark.parametrize("topic", FIXES)
def test_a_topic_has_texts_for_known_software_and_ends_with_one_for_any(topic):
    texts = FIXES[topic]
    assert list(texts)[-1] == "general"
    assert set(texts) <= set(NAMES)
    assert all(isinstance(text, str) and text.strip() == text != "" for text in texts.values())


@pytest.mark.parametrize("limit", LIMITS["limit"], ids=lambda one: f"{one['who']}: {one['setting']}")
def test_a_limit_is_whole(limit):
    assert set(limit) == {"software", "who", "setting", "seconds", "kind"}
    assert limit["software"] in NAMES
    assert limit["seconds"] > 0
    assert limit["kind"] in get_args(Kind)


def test_no_limit_is_there_twice():
    seen = [(one["who"], one["setting"], one["kind"]) for one in LIMITS["limit"]]
    assert len(seen) == len(set(seen))


def test_fingerprints_are_patterns_of_known_software():
    for name, pattern, software in SOFTWARE["fields"]:
        assert name == name.lower()
        re.compile(pattern)
        assert software in NAMES
    for pattern, software in SOFTWARE["bodies"]:
        re.compile(pattern.encode())
        assert software in NAMES
    assert set(NAMES) >= PROXIES
    assert all(NAMES.values())


def test_the_catalogue_is_whole():
    assert set(CATALOGUE) == {"introduction", "rows", "traps"}
    assert all(set(row) <= {"cause", "beyond"} and row["cause"] for row in CATALOGUE["rows"].values())
    assert all(set(trap) == {"advice", "instead"} for trap in CATALOGUE["traps"])
