"""Which plain requests belong near an attempt: times on either side, limits, and whose they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.clients.nearby import (
    AFTER_SECONDS,
    BEFORE_SECONDS,
    MAX_CLIENTS,
    MOST_AFTER,
    MOST_BEFORE,
    Asked,
    Nearby,
)
from wsinspect.vocabulary.events import HttpRequest

SECOND = 10**9


def asked(number: int, at_s: float = 0) -> Asked:
    return Asked(int(at_s * SECOND), HttpRequest(number=number))


def numbers(found: list[Asked]) -> list[int]:
    return [one.event.number for one in found]


def test_what_came_just_before_goes_with_the_attempt() -> None:
    nearby = Nearby()
    assert nearby.asked("me", asked(1, 0), SECOND) is None
    assert nearby.asked("me", asked(2, 5), 6 * SECOND) is None
    assert numbers(nearby.attempt("me", 7, (BEFORE_SECONDS + 1) * SECOND)) == [2]
    assert numbers(Nearby().attempt("me", 7, SECOND)) == []


def test_what_comes_soon_after_goes_with_the_attempt_and_with_the_next_one() -> None:
    nearby = Nearby()
    nearby.attempt("me", 7, 0)
    assert nearby.asked("me", asked(1, 1), 2 * SECOND) == 7
    assert nearby.asked("me", asked(2, 1), (AFTER_SECONDS + 1) * SECOND) is None
    assert numbers(nearby.attempt("me", 8, 12 * SECOND)) == [1, 2]
    assert nearby.asked("me", asked(3, 12), 12 * SECOND) == 8


def test_clients_are_told_apart() -> None:
    nearby = Nearby()
    nearby.asked("you", asked(1), 0)
    assert nearby.attempt("me", 7, 1) == []
    assert nearby.asked("you", asked(2), 2) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 5)), max_size=200))
def test_each_attempt_has_few_requests_and_only_its_clients(steps: list[tuple[int, bool, int]]) -> None:
    nearby, now, attempts = Nearby(), 0, 0
    own: dict[int, set[int]] = {}
    owner: dict[int, int] = {}
    after: dict[int, int] = {}
    for number, (who, is_attempt, seconds) in enumerate(steps, 1):
        now += seconds * SECOND
        if is_attempt:
            attempts += 1
            found = nearby.attempt(who, attempts, now)
            owner[attempts] = who
            assert len(found) <= MOST_BEFORE
            assert set(numbers(found)) <= own.get(who, set())
            assert all(now - one.began_ns <= BEFORE_SECONDS * SECOND for one in found)
            assert numbers(found) == sorted(numbers(found))
        else:
            own.setdefault(who, set()).add(number)
            attempt = nearby.asked(who, Asked(now, HttpRequest(number=number)), now)
            assert attempt is None or owner[attempt] == who
            if attempt is not None:
                after[attempt] = after.get(attempt, 0) + 1
    assert all(count <= MOST_AFTER for count in after.values())


def test_a_client_that_asks_a_thousand_times_costs_what_twenty_cost() -> None:
    nearby = Nearby()
    nearby.attempt("me", 1, 0)
    with_it = [nearby.asked("me", asked(number), number) for number in range(1000)]
    assert with_it.count(1) == MOST_AFTER
    assert numbers(nearby.attempt("me", 2, 2000)) == list(range(1000 - MOST_BEFORE, 1000))


def test_the_client_that_was_quiet_longest_is_forgotten() -> None:
    nearby = Nearby()
    for who in range(MAX_CLIENTS):
        nearby.asked(who, asked(who), 0)
    nearby.attempt(0, 1, 1)
    nearby.asked("one more", asked(0), 1)
    assert numbers(nearby.attempt(0, 2, 2)) == [0]
    assert nearby.attempt(1, 3, 2) == []
