"""Mistakes in faults: where they are, seen from inside out."""

from __future__ import annotations

import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.units import DURATION, QuantityError


@pytest.mark.parametrize(
    ("inner", "path"),
    [("", "rules"), ("[2]", "rules[2]"), ("name", "rules.name"), ("a.b", "rules.a.b")],
)
def test_a_path_grows_outwards(inner: str, path: str) -> None:
    assert FaultError(inner, "wrong", line=3, source="x.yaml").inside("rules").field == path


def test_the_place_stands_first_and_what_is_not_known_is_left_out() -> None:
    error = FaultError("rules[0]", "wrong")
    assert str(error) == "rules[0]: wrong"
    assert str(error.at(3, 5, "x.yaml")) == "x.yaml:3:5: rules[0]: wrong"
    assert str(FaultError("", "wrong")) == "wrong"
    assert str(error.at(3, 5, "x.yaml").inside("a")) == "x.yaml:3:5: a.rules[0]: wrong"


def test_a_quantity_that_cannot_be_read_is_shown_with_its_caret() -> None:
    with pytest.raises(QuantityError) as caught:
        DURATION.parse("5 parsecs", "s")
    error = FaultError.of("for", caught.value)
    assert error.excerpt == ("5 parsecs", "  ^")
    assert error.inside("phases[0]").excerpt == error.at(1, 1, "x").excerpt == error.excerpt
    assert FaultError.of("for", ValueError("no")).excerpt == ()


def test_a_field_of_any_length_makes_a_short_message() -> None:
    assert len(str(FaultError("x" * 10_000, "wrong"))) < 300
