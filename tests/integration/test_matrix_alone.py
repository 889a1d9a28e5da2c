"""Peers that break a rule, and answers of every kind, at one tap without a hop, beside near neighbours.

Every cell brings its one finding first, of the party whose fault it is, and no other one; healthy ones bring
none. The table is `matrix_odds.ODDS` with `matrix_alone.NEAR`: which column is what is said there.
"""

import json
import os

import pytest

from tests.support import warm
from tests.support.matrix_alone import judged_alone, play_alone
from tests.support.matrix_lab import disagreements

pytestmark = pytest.mark.slow


def test_one_tap_says_what_it_is_and_its_neighbours_are_silent(tmp_path):
    engine, seen = play_alone(tmp_path)
    wrong = judged_alone(engine, seen)
    assert not wrong, "\n".join(wrong)
    assert disagreements(engine) == []
    done = warm.run(
        ["diagnose", "--json", str(engine.capture)], folder=engine.capture.parent, environment=os.environ
    )
    assert done.returncode == 1, done.stderr
    said = {(one["id"], one["connection"]) for one in json.loads(done.stdout)["findings"]}
    assert {(one.id, one.connection) for cell in seen.values() for one in cell.all} == said
