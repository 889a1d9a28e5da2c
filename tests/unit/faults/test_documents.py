"""YAML files within bounds, and the places of mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsinspect.faults.documents import MAX_DEPTH, place_of, placed, read_text, read_yaml, refuse_bomb
from wsinspect.faults.errors import FaultError

TEXT = "version: 1\nrules:\n  - {name: a, kind: drop}\n  - name: b\n"


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("", (1, 1)),
        ("version", (1, 1)),
        ("rules", (2, 1)),
        ("rules[0].kind", (3, 15)),
        ("rules[1]", (4, 5)),
        ("rules[1].nothing", (4, 5)),
        ("rules[7]", (2, 1)),
    ],
)
def test_a_field_has_a_place(field, place):
    assert place_of(read_yaml(TEXT), field) == place


def test_an_error_gets_its_place_once():
    error = placed(FaultError("rules[1].name", "wrong"), read_yaml(TEXT), "s.yaml")
    assert str(error) == "s.yaml:4:5: rules[1].name: wrong"
    assert placed(error, read_yaml(TEXT), "other") is error
    assert placed(FaultError("a", "wrong"), {"a": 1}, "s").line is None


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t", "a: &x [*y]", "? : :\n- "])
def test_what_is_not_yaml_is_one_line(text):
    with pytest.raises(FaultError, match="not YAML") as caught:
        read_yaml(text, "s.yaml")
    assert "\n" not in str(caught.value)


def test_bombs_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 7)]
    with pytest.raises(FaultError, match="values"):
        refuse_bomb(read_yaml("\n".join(lines)))
    with pytest.raises(FaultError, match="nested"):
        refuse_bomb(read_yaml("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)))


def test_a_key_that_is_given_twice_is_refused_with_its_place_also_in_json():
    for text, column in (("a: 1\na: 2", 1), ('{"a": 1,\n "a": 2}', 2)):
        with pytest.raises(FaultError, match='duplicate key "a"') as caught:
            read_yaml(text, "s.yaml")
        assert (caught.value.line, caught.value.column) == (2, column)


@pytest.mark.parametrize(("opening", "column"), [("[", 36), ("{a: ", 132), ("[{a: ", 84)])
def test_nesting_without_end_is_refused_at_its_place_and_at_once(opening, column):
    """The 33rd bracket is; to read all of them would take a minute."""
    with pytest.raises(FaultError, match=f"nested at most {MAX_DEPTH} deep") as caught:
        read_yaml("a: " + opening * 50_000)
    assert (caught.value.line, caught.value.column) == (1, column)


def test_brackets_as_deep_as_they_may_be_are_read():
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    refuse_bomb(read_yaml(deepest))
    assert read_yaml(f"a: '{'[' * 1000}'") == {"a": "[" * 1000}


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FaultError, match="cannot read it"):
            read_text(path)
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(FaultError, match="UTF-8"):
        read_text(tmp_path / "latin")
    (tmp_path / "long").write_bytes(b"x" * 11)
    with pytest.raises(FaultError, match="at most"):
        read_text(tmp_path / "long", most=10)
