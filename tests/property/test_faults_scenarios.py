"""Scenario files that nobody would write: each is read, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.examples import examples
from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import KINDS
from wsinspect.faults.rule import Rule
from wsinspect.faults.scenario import load_object, load_text

WORDS = (
    *("version: 1\n", "rules:", "phases:", "\n  - ", "{", "}", "[", "]", ", ", ": ", "kind: drop", "for: 1s"),
    *(
        "&a ",
        "*a",
        "<<: ",
        "!!set ",
        "!!binary ",
        "!x ",
        "? ",
        "| ",
        "> ",
        "'",
        '"',
        "\t",
        "~",
        "-1",
        "1e999",
    ),
    *(
        "0x10",
        "2026-01-01",
        ".nan",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "#",
        "when: ",
        "nth: ",
        "match: ",
        "\x00",
    ),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5s", "64KiB", "1-3", "op:text", "c2s", "drop", "latency", "1KiB/s", "both"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def refusal(act: Callable[[], object]) -> str:
    """What is said against it; nothing where it is fine."""
    try:
        act()
    except FaultError as error:
        return str(error) or "\n"
    return ""


def is_one_line(said: str) -> bool:
    return "\n" not in said and len(said) < 3000


@examples(400)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map("".join))
@example("version: 1\nrules:\n  - &x {<<: *x, kind: drop}\n")
def test_any_text_is_a_scenario_or_a_mistake(text: str) -> None:
    assert is_one_line(refusal(lambda: load_text(text)))


@given(
    st.fixed_dictionaries(
        {"version": st.just(1)}, optional={"rules": VALUES, "phases": VALUES, "expect": VALUES}
    ),
)
@example({"version": 1, "phases": [{"\n": None}]})
def test_any_object_is_a_scenario_or_a_mistake(raw: dict[str, Any]) -> None:
    assert is_one_line(refusal(lambda: load_object(raw)))


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_values_are_a_rule_that_survives_json_or_a_mistake(kind: str, data: st.DataObject) -> None:
    names = [spec.name for spec in KINDS[kind].fields()]
    fields = data.draw(
        st.dictionaries(st.sampled_from([*names, "match", "when", "direction"]), VALUES, max_size=4)
    )
    made: list[Rule] = []
    assert is_one_line(refusal(lambda: made.append(Rule.parse({"kind": kind, **fields}))))
    for rule in made:
        assert Rule.parse(rule.settings()) == rule
        assert rule.scaled(0.001).kind == kind
