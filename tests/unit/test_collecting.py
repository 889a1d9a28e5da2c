"""conftest.py collects no module whose tests `-m` leaves out, and every other one."""

from __future__ import annotations

import pytest

from tests.conftest import are_all_deselected

QUICK = "not lab and not slow"
LAB = "import pytest\n\npytestmark = pytest.mark.lab\n"
BOTH = "pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(60)]\n"
LONG = "pytestmark = [\n    pytest.mark.asyncio,\n    pytest.mark.slow,\n]\n"
OTHER = "pytestmark = pytest.mark.asyncio\n"
OF_ONE = "@pytest.mark.slow\ndef test_it():\n    pass\n"
TWICE = LAB + OTHER
IN_TEXT = 'TEXT = """\n    pytestmark = pytest.mark.lab\n"""\n'


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        (LAB, QUICK),
        (BOTH, QUICK),
        (LONG, QUICK),
        (LAB, "not lab"),
        (LONG, "not slow"),
        (LAB, "not (lab or alone)"),
        (LAB, "slow and not lab"),
    ],
)
def test_a_module_whose_mark_is_left_out_is_not_collected(source, expression):
    assert are_all_deselected(source, expression)


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        (LAB, "lab"),
        (LAB, "not slow"),
        (LAB, ""),
        (LONG, "not lab"),
        (LONG, "slow or lab"),
        (LAB, "slow"),  # a test of its own may be slow, too
        (LAB, "not lab or slow"),
        (OTHER, QUICK),
        (OF_ONE, QUICK),
        (TWICE, QUICK),
        (IN_TEXT, QUICK),
        (LAB, "not lab and not asyncio"),  # a mark that is not known here
    ],
)
def test_every_other_module_is(source, expression):
    assert not are_all_deselected(source, expression)
