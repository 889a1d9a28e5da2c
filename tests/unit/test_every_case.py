"""tests.support.every_case: no case that fails is lost, and an empty table is no proof."""

import pytest

from tests.support.every_case import every_case


def refuse_one_and_three(number):
    assert number != 1
    if number == 3:
        raise ValueError("bad")


def trying(check, values, least=1):
    with every_case(least) as case:
        for number, value in enumerate(values):
            with case(value, number):
                check(number)


def test_all_are_tried_and_those_that_fail_are_named():
    tried = []

    def check(number):
        tried.append(number)
        refuse_one_and_three(number)

    words = r"(?s)2 of 4 cases failed:\none 1: AssertionError: .*\nthree 3: ValueError: bad"
    with pytest.raises(AssertionError, match=words) as found:
        trying(check, ["zero", "one", "two", "three"])
    assert tried == [0, 1, 2, 3]
    assert isinstance(found.value.__cause__, AssertionError)


def test_what_should_have_raised_and_did_not_is_a_failure():
    def calm(_number):
        with pytest.raises(ValueError):
            pass

    with pytest.raises(AssertionError, match="1 of 1 cases failed"):
        trying(calm, ["calm"])


@pytest.mark.parametrize("least", [1, 5])
def test_too_few_cases_are_a_failure(least):
    with pytest.raises(AssertionError, match=f"at least {least} expected"):
        trying(refuse_one_and_three, [], least)
