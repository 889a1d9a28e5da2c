"""The tables in findings/data: whole, consistent with each other, and shipped."""

import re
from pathlib import Path
from typing import get_args

import pytest

import wsinspect.findings.data as data
from tests.support.every_case import every_case
from wsinspect.findings.data import table
from wsinspect.findings.limits import Kind
from wsinspect.findings.software import NAMES, PROXIES

NAMES_OF_FILES = ("fixes", "limits", "software", "catalogue", "close_codes", "close_reasons")
FIXES, LIMITS, SOFTWARE, CATALOGUE, CLOSE_CODES, CLOSE_REASONS = map(table, NAMES_OF_FILES)


def test_every_file_is_looked_at_here():
    assert {path.stem for path in Path(data.__file__).parent.glob("*.toml")} == set(NAMES_OF_FILES)


def is_pattern(text):
    """A pattern that compiles, and that does not fit everything."""
    return re.compile(text, re.I).search("") is None


def test_a_topic_has_texts_for_known_software_and_ends_with_one_for_any():
    with every_case(100) as case:
        for topic, texts in FIXES.items():
            with case(topic):
                assert list(texts)[-1] == "general"
                assert set(texts) <= set(NAMES)
                assert all(isinstance(text, str) and text.strip() == text != "" for text in texts.values())


def test_a_limit_is_whole():
    with every_case(30) as case:
        for limit in LIMITS["limit"]:
            with case(limit["who"], limit["setting"]):
                assert set(limit) == {"software", "who", "setting", "seconds", "kind"}
                assert limit["software"] in NAMES
                assert limit["seconds"] > 0
                assert limit["kind"] in get_args(Kind)


def test_a_size_is_whole():
    with every_case(15) as case:
        for size in LIMITS["size"]:
            with case(size["who"], size["setting"]):
                assert set(size) == {"software", "who", "setting", "bytes", "of"}
                assert size["software"] in NAMES
                assert size["bytes"] > 1000
                assert size["of"] in ("frame", "message", "URL")


def test_no_limit_is_there_twice():
    assert set(LIMITS) == {"limit", "size"}
    seen = [(one["who"], one["setting"], one["kind"]) for one in LIMITS["limit"]]
    seen += [(one["who"], one["setting"], one["of"]) for one in LIMITS["size"]]
    assert len(seen) == len(set(seen))


def test_fingerprints_are_patterns_of_known_software():
    assert set(SOFTWARE) == {"proxies", "fields", "bodies", "reasons", "names"}
    fields = [tuple(one) for one in SOFTWARE["fields"]]
    bodies = [tuple(one) for one in SOFTWARE["bodies"]]
    for name, pattern, software in fields:
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert is_pattern(pattern)
        assert software in NAMES
    for pattern, software in bodies:
        assert is_pattern(pattern)
        assert software in NAMES
    reasons = {(status, reason): software for status, reason, software in SOFTWARE["reasons"]}
    assert len(reasons) == len(SOFTWARE["reasons"])
    assert all(400 <= status < 600 and reason for status, reason in reasons)
    assert set(reasons.values()) <= set(NAMES)
    assert len(fields) == len(set(fields))
    assert len(bodies) == len(set(bodies))


def test_software_has_a_name_and_is_named_somewhere():
    assert len(SOFTWARE["proxies"]) == len(PROXIES)
    assert set(NAMES) >= PROXIES
    assert all(NAMES.values())
    used = {one[-1] for one in (*SOFTWARE["fields"], *SOFTWARE["bodies"])}
    used |= {software for texts in FIXES.values() for software in texts}
    used |= {limit["software"] for limit in LIMITS["limit"]}
    assert set(NAMES) <= used


def test_the_catalogue_is_whole():
    assert set(CATALOGUE) == {"introduction", "rows", "traps"}
    assert all(set(row) <= {"cause", "beyond"} and row["cause"] for row in CATALOGUE["rows"].values())
    assert all(set(trap) == {"advice", "instead"} for trap in CATALOGUE["traps"])
    causes = [row["cause"] for row in CATALOGUE["rows"].values()]
    assert len(causes) == len(set(causes))


@pytest.mark.parametrize("one", CLOSE_CODES["set"], ids=lambda one: one["name"])
def test_a_set_of_close_codes_is_whole(one):
    assert set(CLOSE_CODES) == {"set"}
    assert set(one) <= {"name", "source", "subprotocols", "places", "reasons", "codes"}
    assert one["name"]
    assert re.search(r"\w\.\w+/|\w/\w", one["source"]), "where it is documented"
    assert all(re.fullmatch(r"[!-~]+", name) for name in one.get("subprotocols", ["x"]))
    assert all(is_pattern(one[key]) for key in ("places", "reasons") if key in one)
    codes = [code for code, *_ in one["codes"]]
    assert codes == sorted(set(codes))
    for code, name, meaning, who in one["codes"]:
        assert 3000 <= code < 5000
        assert name
        assert meaning
        assert meaning[-1].isalnum(), "the sentence around it has the point"
        assert who in ("client", "server")


def test_sets_of_close_codes_have_different_names_and_one_alone_holds_always():
    names = [one["name"] for one in CLOSE_CODES["set"]]
    assert len(names) == len(set(names))
    general = [one for one in CLOSE_CODES["set"] if not set(one) & {"subprotocols", "places", "reasons"}]
    codes = [code for one in general for code, *_ in one["codes"]]
    assert len(codes) == len(set(codes)), "of two only the first would be said"


def test_a_remark_in_a_fix_of_apache_is_on_a_line_of_its_own():
    """httpd has no comments behind a directive (docs/2.4/configuring.html)."""
    commands = ("apachectl ", "remove ")
    lines = [(topic, line) for topic, texts in FIXES.items() for line in texts.get("apache", "").splitlines()]
    assert lines
    assert [
        (topic, line)
        for topic, line in lines
        if not line.startswith(("#", "</", *commands)) and re.search(r"\s#", line)
    ] == []


def test_a_kind_of_close_reasons_is_whole():
    with every_case(10) as case:
        for kind in CLOSE_REASONS["kind"]:
            with case(kind["name"]):
                assert {"name", "source", "who", "cause", "tell_apart", "topic"} <= set(kind)
                assert set(kind) - {"match", "needs_content"} == {
                    *("name", "source", "who", "cause", "tell_apart", "topic")
                }
                assert kind["who"] in ("closer", "other")
                assert kind["topic"] in FIXES
                assert all(is_pattern(shape) for shape in kind.get("match", ()))
    names = [kind["name"] for kind in CLOSE_REASONS["kind"]]
    assert len(names) == len(set(names))
