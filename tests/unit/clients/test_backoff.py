"""The shape of a backoff: named where the delays show it, never against what was generated."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.clients.backoff import Shape, classify

Made = Callable[[int], float]
SHAPES: dict[Shape, Callable[[float, int], float]] = {
    Shape.IMMEDIATE: lambda base, nth: 0.0,
    Shape.FIXED: lambda base, nth: base,
    Shape.LINEAR: lambda base, nth: base * (nth + 1),
    Shape.EXPONENTIAL: lambda base, nth: base * 2**nth,
}


def delays(
    shape: Shape, count: int, base: float, *, cap: float = 1e9, jitter: float = 0.0, chance: random.Random
) -> list[int]:
    """In nanoseconds, each up to 20 ms late."""
    made = (
        min(SHAPES[shape](base, nth), cap) * chance.uniform(1 - jitter, 1 + jitter) for nth in range(count)
    )
    return [int(one * 1e9) + chance.randint(0, 20_000_000) for one in made]


def seconds(*values: float) -> list[int]:
    return [int(value * 1e9) for value in values]


@given(
    shape=st.sampled_from(list(SHAPES)),
    count=st.integers(3, 10),
    base=st.floats(0.4, 5),
    cap=st.sampled_from([1e9, 30.0, 8.0]),
    seed=st.integers(0, 10_000),
)
def test_without_jitter_the_shape_is_never_contradicted(shape, count, base, cap, seed):
    found = classify(delays(shape, count, base, cap=max(cap, base), chance=random.Random(seed)))
    assert shape in found.plausible
    assert found.shape in (shape, Shape.GROWING, Shape.UNCLEAR, Shape.FIXED if cap <= 2 * base else shape)
    if count >= 5 and cap == 1e9 and shape != Shape.LINEAR:
        assert found.shape == shape
    assert found.has_jitter is not True


@given(
    values=st.lists(st.integers(0, 10**12), min_size=2, max_size=12),
    noise=st.integers(0, 10**9),
)
def test_any_delays_have_a_shape(values, noise):
    found = classify(values, noise)
    assert found.shape in found.plausible or found.shape in (Shape.NONE, Shape.GROWING, Shape.IRREGULAR)
    assert found.words


@pytest.mark.parametrize("rounds", [10, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("jitter", [0.2, pytest.param(0.5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", [Shape.FIXED, Shape.LINEAR, Shape.EXPONENTIAL])
def test_with_jitter_hardly_any_is_taken_for_what_it_is_not(shape, jitter, rounds):
    chance = random.Random(11)
    wrong, jittered, count = 0, Counter[bool | None](), 0
    for _ in range(rounds):
        for tries in range(3, 11):
            cap = chance.choice([1e9, 8.0, 4.0])
            found = classify(
                delays(shape, tries, chance.choice([0.5, 1, 2]), cap=cap, jitter=jitter, chance=chance)
            )
            wrong += shape not in found.plausible
            jittered[found.has_jitter] += 1
            count += 1
    assert wrong <= count * 0.04
    assert jittered[False] <= count * 0.05


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (seconds(0.001, 0.002), Shape.IMMEDIATE),
        (seconds(1, 1.01, 0.995), Shape.FIXED),
        (seconds(1, 2, 4, 8), Shape.EXPONENTIAL),
        (seconds(1, 2, 3, 4, 5), Shape.LINEAR),
        (seconds(2, 10, 30), Shape.EXPONENTIAL),
        (seconds(1), Shape.NONE),
        (seconds(), Shape.NONE),
        (seconds(1, 1.6, 2.1, 2.6), Shape.GROWING),
    ],
)
def test_examples(values: Sequence[int], shape: Shape):
    found = classify(values)
    assert found.shape == shape or shape in found.plausible


def test_a_first_try_at_once_is_said_and_does_not_hide_the_shape():
    found = classify(seconds(0, 1, 2, 4, 8, 16))
    assert found.shape == Shape.EXPONENTIAL
    assert found.first_at_once
    assert found.words == "exponential without jitter, the first try at once"


def test_a_cap_is_found():
    found = classify(seconds(1, 2, 4, 5, 5, 5))
    assert found.cap_ns == 5_000_000_000


def test_more_noise_tells_less():
    assert classify(seconds(0.2, 0.21, 0.2), 5_000_000).has_jitter is not True
    assert classify(seconds(0.2, 0.29, 0.22), 200_000_000).shape in (Shape.FIXED, Shape.IMMEDIATE)


def on_a_busy_machine(true: Sequence[float], chance: random.Random) -> list[int]:
    """Each a little late, some very late, as timers are beside other work; none is early."""
    late = [chance.random() * 0.02 for _ in true]
    for at in chance.sample(range(len(true)), len(true) // 4):
        late[at] = chance.uniform(0.03, 0.5)
    return [int((one + more) * 1e9) for one, more in zip(true, late, strict=True)]


@pytest.mark.parametrize("base", [0.4, 0.5, 1.0, 5.0])
def test_late_timers_do_not_hide_a_fixed_delay_and_are_no_jitter(base: float):
    chance = random.Random(7)
    for count in (4, 5, 6, 8, 11):
        for _ in range(8):
            found = classify(on_a_busy_machine([base] * count, chance))
            assert found.shape == Shape.FIXED
            assert found.has_jitter is not True


def test_late_timers_are_no_jitter_of_a_backoff():
    chance = random.Random(8)
    wrong = 0
    for factor in (1.5, 1.8, 2.0):
        for count in (5, 6, 8):
            for _ in range(10):
                true = [min(0.3 * factor**nth, 5.0) for nth in range(count)]
                found = classify(on_a_busy_machine(true, chance), 60_000_000)
                assert Shape.FIXED not in found.plausible or found.shape != Shape.FIXED
                wrong += found.has_jitter is True
    assert wrong <= 90 * 0.05


@pytest.mark.parametrize("noise", [0.02, 0.06, 0.12, 0.5])
def test_growing_delays_are_not_fixed_however_late_timers_are(noise: float):
    chance = random.Random(9)
    made: list[Callable[[int], float]] = [
        lambda nth: (0.1, 0.25, 0.6, 1.5, 2.5, 2.5)[nth],  # Phoenix's, a quarter of its own
        lambda nth: min(2.0, 0.3 * 2**nth) + 0.2 * chance.random(),
        lambda nth: min(4.0, 0.5 * 1.8**nth),
    ]
    for delay in made:
        for count in (3, 4, 5, 6):
            for _ in range(8):
                seen = [int(1e9 * (delay(nth) + noise * chance.random())) for nth in range(count)]
                found = classify(seen, int(noise * 1e9))
                if found.shape == Shape.NONE or found.longest_ns < 5 * noise * 1e9:
                    continue
                assert found.shape not in (Shape.FIXED, Shape.IMMEDIATE), (seen, found)


def test_seen_on_a_busy_machine():
    """What a test machine with nine busy processes for two cores made of one library's backoff."""
    noise = 60_000_000
    for late in ((328, 435, 666, 1180, 2000, 2020), (291, 385, 718, 1190, 2010, 2020)):
        found = classify([one * 1_000_000 for one in late], noise)
        assert found.plausible & {Shape.EXPONENTIAL, Shape.GROWING}
        assert found.has_jitter is not True
    naive = (641, 691, 589, 535, 570, 524, 510, 512)  # 500 ms each
    assert classify([one * 1_000_000 for one in naive], noise).has_jitter is not True
    chance = ((298, 523, 901, 1520, 1520, 1550), (182, 446, 1040, 2060))  # with jitter of half up and down
    for jittered in chance:
        assert classify([one * 1_000_000 for one in jittered]).has_jitter is not False
    little = (196, 394, 738, 1380, 2110, 2070)  # graphql-ws: up to 200 ms of jitter on top
    assert classify([one * 1_000_000 for one in little], noise).has_jitter is not False


@pytest.mark.parametrize("factor", [1.3, 1.618, 1.77, 2.236])
@pytest.mark.parametrize("count", [5, 8, 12])
def test_any_factor_is_exact_the_golden_ratio_too(factor: float, count: int):
    found = classify([int(1e9 * factor**nth) for nth in range(count)], 80_000_000)
    assert Shape.EXPONENTIAL in found.plausible
    assert found.shape in (Shape.EXPONENTIAL, Shape.GROWING)
    assert found.has_jitter is not True


@pytest.mark.parametrize("count", [300, 5000])
def test_a_row_of_thousands_of_tries_is_read_like_its_beginning(count: int):
    """An outage of hours; nothing overflows, and it takes no longer."""
    chance = random.Random(3)
    assert classify([2_000_000_000] * count).shape == Shape.FIXED
    grown = [min(30.0, 0.5 * 2 ** min(nth, 30)) * chance.uniform(0.5, 1.5) for nth in range(count)]
    found = classify([int(one * 1e9) for one in grown])
    assert found.plausible & {Shape.EXPONENTIAL, Shape.GROWING}
    assert (found.delays, found.longest_ns) == (count, max(int(one * 1e9) for one in grown))


@given(
    base=st.sampled_from([0.3, 0.5, 1.0, 2.0, 5.0]),
    noise=st.sampled_from([0.02, 0.04, 0.08, 0.15]),
    count=st.integers(3, 12),
    data=st.data(),
)
def test_what_lateness_does_not_explain_is_not_called_equal(base, noise, count, data):
    """Delays in a band: `equal` only where late timers explain it all and could not hide much more."""
    shares = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    band = data.draw(st.floats(0, 0.5)) * base
    delays = [int((base + band * one) * 1e9) for one in shares]
    found = classify(delays, int(noise * 1e9))
    steady = sorted(delays)[: count - count // 4]
    if found.shape == Shape.FIXED and found.has_jitter is False:
        assert steady[-1] - steady[0] <= noise * 1e9 + 0.012 * steady[0]
        assert noise <= 0.08 * max(delays) / 1e9
    if band <= noise and found.shape == Shape.FIXED:
        assert found.has_jitter is not True


@pytest.mark.parametrize("amount", [0.3, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.5, 1.0))])
def test_a_fixed_delay_with_jitter_is_hardly_ever_called_equal(amount: float):
    chance = random.Random(21)
    wrong = count = 0
    for noise in (0.02, 0.04, 0.08):
        for base in (0.3, 0.5, 1.0, 2.0):
            for tries in range(5, 13):
                made = [base * (1 + amount * chance.random()) + noise * chance.random() for _ in range(tries)]
                wrong += classify([int(one * 1e9) for one in made], int(noise * 1e9)).has_jitter is False
                count += 1
    assert wrong <= count * 0.03
