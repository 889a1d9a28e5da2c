"""JSON as a tree: laid out as it is read, folded, copied, searched."""

from __future__ import annotations

import gc
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.decoders.json_text import NotJson, parse_json
from wsinspect.filters.jsonvalue import path_steps
from wsinspect.present.cells import text_of, width_of
from wsinspect.present.numbers import time_words
from wsinspect.tui.jsontree import STEP_ROWS, JsonTree, run_whole

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=20,
)
TEXT = '{"op":"sub","list":[1,{"x":"a\\n"}],"empty":{},"n":1.00}'


def shown(tree: JsonTree, width: int = 80) -> list[str]:
    return [text_of(tree.line(number, width)) for number in range(tree.line_count(width))]


def test_a_container_folds_and_unfolds():
    tree = JsonTree(TEXT)
    before = shown(tree)
    assert before[2] == '  "list": ['
    assert tree.fold(2) == 2
    assert shown(tree) == [
        "{",
        '  "op": "sub",',
        '  "list": [ 2 elements ],',
        '  "empty": {},',
        '  "n": 1.00',
        "}",
    ]
    assert tree.fold(2) == 2
    assert shown(tree) == before
    assert tree.fold(5) == 4  # of a scalar, what contains it
    assert shown(tree)[4] == "    { 1 member }"


def test_all_is_folded_but_the_outermost_members():
    tree = JsonTree(TEXT)
    before = shown(tree)
    tree.fold_all(False)
    assert len(shown(tree)) == 6
    tree.fold_all(True)
    assert shown(tree) == before


def test_each_line_has_a_path_and_a_value():
    tree = JsonTree(TEXT)
    shown(tree)
    node = tree.node_at(5)
    assert node is not None
    assert (tree.path(node), tree.value(node), tree.raw(node)) == ("$.list[1].x", "a\n", '"a\\n"')
    whole = tree.node_at(0)
    assert whole is not None
    assert (tree.path(whole), tree.value(whole), tree.is_scalar(whole)) == ("$", TEXT, False)


@given(VALUES)
def test_paths_lead_to_the_values(value):
    tree = JsonTree(json.dumps(value))
    for number in range(tree.line_count(10**6)):
        node = tree.node_at(number)
        assert node is not None
        found = value
        for step in path_steps(tree.path(node)):
            found = found[step]
        assert json.loads(tree.raw(node)) == found


@given(VALUES, st.lists(st.integers(0, 40), max_size=6), st.integers(12, 60))
def test_folding_anything_anywhere_keeps_what_is_not_folded(value, places, width):
    tree = JsonTree(json.dumps(value, indent=1))
    before = shown(tree, width)
    for place in places:
        tree.fold(place % tree.line_count(width))
        assert all(width_of(tree.line(at, width)) <= width for at in range(tree.line_count(width)))
    tree.fold_all(True)
    if len(places) % 2 == 0 or not places:
        tree.fold_all(True)
    root = tree.node_at(0)
    if root is not None and not root.is_open:
        tree.fold(0)
    assert shown(tree, width) == before


def test_ten_megabytes_are_read_as_they_are_shown():
    text = json.dumps({"data": [{"id": number, "tags": ["a", "b"]} for number in range(300_000)], "end": 1})
    assert len(text) > 9_000_000
    tree = JsonTree(text)
    assert tree.line_count(80) == STEP_ROWS
    assert not tree.is_whole
    assert text_of(tree.line(3, 80)) == '      "id": 0,'
    tree.line(STEP_ROWS - 1, 80)  # the last that is known: more are made
    assert tree.line_count(80) == 2 * STEP_ROWS
    tree.fold(1)  # the end of it is skipped
    assert shown(tree)[-2:] == ['  "end": 1', "}"]
    assert tree.is_whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":1,}', "not JSON from character 8 on: a name in double quotes is expected"),
        ("[1,2", "not JSON from character 5 on: a comma or ] is expected"),
        ('{"a" 1}', "not JSON from character 6 on: a colon is expected"),
        ("[1] x", "not JSON from character 5 on: nothing more is expected"),
        ("", "not JSON from character 1 on: it ends here"),
        ("[01]", "not JSON from character 2 on: a value is expected"),
        ('["\x01"]', "not JSON from character 2 on: a value is expected"),
    ],
)
def test_where_it_stops_being_json(text, words):
    assert shown(JsonTree(text))[-1] == words


@given(st.text(alphabet='{}[]",:1ae\\ \n-.', max_size=60))
def test_it_is_json_for_us_where_it_is_for_python(text):
    tree = JsonTree(text)
    lines = shown(tree)
    try:
        parse_json(text)
    except NotJson:
        assert lines[-1].startswith("not JSON")
    else:
        assert not lines[-1].startswith("not JSON")


def test_deep_nesting_ends():
    tree = JsonTree("[" * 5_000 + "]" * 5_000)
    assert tree.line_count(80) == STEP_ROWS
    assert tree.fold(0) == 0
    assert shown(tree) == ["[ 10 000 characters ]"]


def test_matches_are_marked_and_found_in_what_was_folded():
    tree = JsonTree('{"a":{"needle":1},"b":["x Needle y"]}')
    shown(tree)
    tree.fold(1)
    assert tree.find("needle") == 2
    assert tree.next_match(-1, 1, 80) == 2
    assert ("needle", "match") in tree.line(2, 80)
    assert tree.next_match(2, 1, 80) == 5
    assert tree.next_match(5, 1, 80) is None
    assert tree.next_match(5, -1, 80) == 2
    assert tree.find("") == 0
    assert not any(style == "match" for number in range(8) for _, style in tree.line(number, 80))


@pytest.mark.parametrize("is_whole_folded", [True, False])
def test_finding_and_unfolding_open_the_whole_too(is_whole_folded):
    tree = JsonTree('{"a":{"needle":1}}')
    shown(tree)
    tree.fold(1)
    if is_whole_folded:
        tree.fold(0)
        assert shown(tree) == ["{ 1 member }"]
    assert tree.find("needle") == 1
    assert tree.next_match(-1, 1, 80) == 2
    tree.find("")
    tree.fold(0)
    tree.fold_all(False)
    assert shown(tree) == ["{", '  "a": { 1 member }', "}"]
    tree.fold(0)
    tree.fold_all(True)
    assert len(shown(tree)) == 5


def test_numbers_that_are_times_say_so():
    tree = JsonTree('{"ts":1764438590123,"id":1764438590}', time_words)
    assert shown(tree)[1:3] == ['  "ts": 1764438590123,  2025-11-29 17:49:50.123 UTC', '  "id": 1764438590']


def laid_out(tree: JsonTree, width: int = 80) -> list[str]:
    """Every line from where the tree begins now, without the note that something is left out."""
    tree.line_count(width)
    tree.read_all()
    lines = [text_of(tree.line(number, width)) for number in range(tree.line_count(width))]
    return lines[1:] if tree.is_partial else lines


@given(VALUES, st.data())
def test_what_is_laid_out_around_a_place_is_an_end_of_the_whole(value, data):
    text = json.dumps(value)
    text = text[: data.draw(st.sampled_from([len(text), len(text) // 2]))]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("wsinspect.tui.jsontree._BEFORE_CHARS", data.draw(st.integers(0, 9)))
        whole = laid_out(JsonTree(text))
        tree = JsonTree(text)
        tree.line_count(80)
        line = tree.seek(data.draw(st.integers(0, len(text))))
        assert 0 <= line < tree.line_count(80)
        end = laid_out(tree)
        assert end == whole[len(whole) - len(end) :]
        tree.begin()
        assert laid_out(tree) == whole


def match(tree: JsonTree, line: int, step: int) -> int:
    """The line of the next match, which there is."""
    found = tree.next_match(line, step, 80)
    assert found is not None
    return found


def path_at(tree: JsonTree, line: int) -> str:
    node = tree.node_at(line)
    assert node is not None
    return tree.path(node)


def test_a_match_far_down_is_gone_to_in_both_directions_and_the_end_is_there():
    """No line of the 300,000 before it is made."""
    text = json.dumps({"data": [{"id": number} for number in range(100_000)], "end": "x"})
    tree = JsonTree(text)
    tree.line_count(80)
    assert tree.find('"id": 99998') == 1
    line = match(tree, -1, 1)
    assert text_of(tree.line(line, 80)).strip() == '"id": 99998'
    assert path_at(tree, line) == "$.data[99998].id"
    assert "home" in text_of(tree.line(0, 80))
    assert tree.node_at(0) is None
    assert tree.line_count(80) < 5_000
    assert tree.next_match(line, 1, 80) is None
    assert tree.find("id") == 100_000
    run_whole(tree.ending())
    last = tree.line_count(80) - 1
    assert [text_of(tree.line(number, 80)) for number in (last - 1, last)] == ['  "end": "x"', "}"]
    assert tree.find('"id": 70') == 1111
    run_whole(tree.ending())
    line = match(tree, tree.line_count(80), -1)
    assert path_at(tree, line) == "$.data[70999].id"
    before = match(tree, line, -1)
    assert path_at(tree, before) == "$.data[70998].id"


def test_what_begins_in_the_part_that_is_left_out_is_folded_and_shown():
    tree = JsonTree(json.dumps({"data": [*range(50_000)], "end": 1}))
    tree.line_count(80)
    run_whole(tree.ending())
    assert tree.is_partial
    line = tree.fold(tree.line_count(80) - 3)
    assert text_of(tree.line(line, 80)) == '  "data": [ 50 000 elements ],'
    assert not tree.is_partial


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([*range(60_000)]),
        json.dumps({"items": [{"id": number, "tags": ["a]", '"{']} for number in range(20_000)], "end": "x"}),
        json.dumps({"deep": {f"m{number}": {"n": [number]} for number in range(20_000)}, "end": "x"}),
    ],
    ids=["flat", "items", "members"],
)
@pytest.mark.parametrize("what", ["end", "match"])
def test_a_far_place_is_laid_out_in_slices_that_each_read_little(text, what):
    """What is read and made in one of them is bounded, so no key waits for more than that."""
    tree = JsonTree(text)
    tree.line_count(80)
    root = tree.node_at(0)
    assert root is not None
    assert tree.find('"x"' if '"x"' in text else "59999") == 1
    slices = tree.ending() if what == "end" else tree.matching(-1, 1, 80)
    steps, before = 0, (len(root.children), tree.line_count(80))
    for steps, _ in enumerate(slices, 1):  # noqa: B007
        inside = sum(len(one.children) for one in root.children.nodes.values())
        now = len(root.children) + inside, tree.line_count(80)
        assert now[0] - before[0] <= 3_000
        assert now[1] - before[1] <= 1_000
        before = now
    assert steps > 60
    rest = "\n".join(text_of(tree.line(number, 80)) for number in range(tree.line_count(80)))
    assert ('"end": "x"' if '"x"' in text else "59999") in rest


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([*range(200_000)]),
        json.dumps([{"id": number, "tags": ["a"]} for number in range(30_000)]),
        json.dumps({f"m{number}": {"n": number} for number in range(30_000)}),
    ],
    ids=["flat", "items", "members"],
)
def test_the_collector_has_little_to_look_at_after_a_far_jump(text):
    """It stops everything: with an object for each of a million values, for 0.3 s."""
    tree = JsonTree(text)
    tree.line_count(80)
    gc.collect()
    before = len(gc.get_objects())
    run_whole(tree.ending())
    tree.line_count(80)
    run_whole(tree.seeking(len(text) // 2))
    tree.line_count(80)
    assert len(gc.get_objects()) - before < 40_000


def test_what_is_read_after_all_was_folded_is_folded_too():
    tree = JsonTree(json.dumps([{"id": number} for number in range(20_000)]))
    tree.line_count(80)
    tree.fold_all(False)
    run_whole(tree.ending())
    lines = [text_of(tree.line(number, 80)) for number in range(tree.line_count(80))]
    assert lines[-2].startswith("  { ")
    assert not any('"id"' in line for line in lines)
    tree.fold_all(True)
    assert any('"id"' in text_of(tree.line(number, 80)) for number in range(tree.line_count(80)))
