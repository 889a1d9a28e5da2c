"""Chance that is none: the same place and number give the same draw, on every machine."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from wsinspect.faults.seeded import Chance, Place

PLACE = Place("edge", "example.org", "/chat", 1)
CHANCE = Chance(7, "rule", PLACE, "s2c")


def test_a_draw_is_a_function_of_where_it_is_made_and_of_nothing_else():
    assert CHANCE.uniform(1) == Chance(7, "rule", PLACE, "s2c").uniform(1)
    # What a capture recorded before must come out the same in every version.
    assert CHANCE.uniform(1) == pytest.approx(0.1069883378, abs=1e-10)
    assert CHANCE.octets(4, 1, "masking key").hex() == "c5b83f78"


def test_a_hash_of_all_parts_each_with_its_length_makes_it():
    parts = ("7", "r\u00e8gle", "edge", "example.org", "/chat", "1", "s2c", "12", "masking key 0 0")
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (one.encode() for one in parts))
    for size in (4, 8, 64):
        wanted = blake2b(message, digest_size=size, person=b"wsinspect fault").digest()
        assert Chance(7, "r\u00e8gle", PLACE, "s2c").octets(size, 12, "masking key 0 0") == wanted


@pytest.mark.parametrize(
    "other",
    [
        Chance(8, "rule", PLACE, "s2c"),
        Chance(7, "rule2", PLACE, "s2c"),
        Chance(7, "rule", PLACE, "c2s"),
        Chance(7, "rule", PLACE._replace(tap="origin"), "s2c"),
        Chance(7, "rule", PLACE._replace(host="a.example"), "s2c"),
        Chance(7, "rule", PLACE._replace(path="/"), "s2c"),
        Chance(7, "rule", PLACE._replace(attempt=2), "s2c"),
        # Where one part ends and the next begins counts.
        Chance(7, "rul", PLACE._replace(tap="eedge"), "s2c"),
    ],
)
def test_another_place_has_other_draws(other):
    assert other.uniform(1) != CHANCE.uniform(1)


def test_numbers_and_purposes_are_independent():
    draws = {CHANCE.uniform(number, purpose) for number in range(1, 50) for purpose in ("acts", "jitter")}
    assert len(draws) == 98
    assert all(0 <= draw < 1 for draw in draws)


def test_distributions_have_their_means_and_bounds():
    numbers = range(1, 2001)
    below = [CHANCE.below(10, number, "place") for number in numbers]
    assert set(below) == set(range(10))
    normal = [CHANCE.normal(number, "n") for number in numbers]
    assert abs(sum(normal) / len(normal)) < 0.1
    assert max(map(abs, normal)) <= 6
    exponential = [CHANCE.exponential(number, "e") for number in numbers]
    assert abs(sum(exponential) / len(exponential) - 1) < 0.1
    assert min(exponential) >= 0
