"""What became of what: pairs in order, as many as there can be."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.findings import alignment
from wsinspect.findings.alignment import align

WORDS = st.lists(st.integers(0, 3), max_size=14)


def longest(a, b):
    """The length of the longest common subsequence, by the book."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def is_in_order(pairs):
    return all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(pairs))


@given(WORDS, WORDS)
def test_pairs_are_equal_in_order_and_as_many_as_can_be(a, b):
    pairs = align(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert is_in_order(pairs)
    assert len(pairs) == longest(a, b)


@given(WORDS, WORDS)
def test_with_too_many_differences_pairs_are_still_equal_and_in_order(a, b):
    pairs = alignment._in_order(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert is_in_order(pairs)


def test_a_lost_heartbeat_among_equal_ones_is_one_loss():
    sent = ["a", "beat", "b", "beat", "c", "beat"]
    assert len(align(sent, [*sent[:1], *sent[2:]])) == len(sent) - 1


@pytest.mark.parametrize("step", [2, 10, 1000])
def test_long_sequences_are_aligned_whatever_was_lost(step):
    sent = list(range(20_000))
    came = [one for one in sent if one % step]
    assert len(align(sent, came)) == len(came)
