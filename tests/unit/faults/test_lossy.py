"""A lossy line: how often segments are lost, in bursts of which length, and when they arrive after all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.faults.lossy import LossyLine, Segment
from wsinspect.units import MS

RTT = 50 * MS
RTO = 200 * MS


def line(lost: Iterable[int], rtt_ns: int = RTT) -> LossyLine:
    """One that loses the transmissions with these numbers, from 1."""
    numbers = set(lost)
    return LossyLine(0.5, 0.0, rtt_ns, RTO, lambda number: 0.0 if number in numbers else 0.9)


def arrivals(one: LossyLine, segments: Iterable[tuple[int, Segment]]) -> list[int]:
    """When each is there, in ms since it was sent, once everything is sent that has to be sent again."""
    found: dict[int, int] = {}
    known = list(segments)
    for number, (at, segment) in enumerate(known):
        if segment.is_here:
            found[number] = at
    while (due := one.due) is not None:
        one.wake(due)
        for number, (_, segment) in enumerate(known):
            if segment.is_here:
                found.setdefault(number, due)
    return [(found[number] - at) // MS for number, (at, _) in enumerate(known)]


def sent(one: LossyLine, times: Iterable[int]) -> list[tuple[int, Segment]]:
    return [(at * MS, one.send(at * MS)) for at in times]


def test_a_single_one_comes_after_the_timeout() -> None:
    one = line([1])
    assert arrivals(one, sent(one, [0])) == [250]  # the round trip, and Linux's least timeout


def test_the_timeout_doubles_behind_the_probe() -> None:
    one = line([1, 2, 3, 4])
    assert arrivals(one, sent(one, [0])) == [250 + 250 + 500 + 1000]


def test_nothing_new_is_sent_while_a_timeout_is_waited_for() -> None:
    one = line([1, 2, 3])
    segments = sent(one, [0])
    one.wake(one.due or 0)  # the probe, at 250
    one.wake(one.due or 0)  # the timeout, at 500; the next is at 1000
    segments += sent(one, [600, 700])
    assert arrivals(one, segments) == [1000, 450, 350]  # a round trip after it


def test_no_timeout_is_longer_than_two_minutes() -> None:
    one = line(range(1, 20))
    one.send(0)
    waits = []
    now = 0
    while (due := one.due) is not None:
        waits.append(due - now)
        one.wake(now := due)
    assert max(waits) == 120_000 * MS
    assert waits == sorted(waits)


def test_one_that_later_ones_pass_is_sent_again_after_a_round_trip() -> None:
    one = line([1])
    assert arrivals(one, sent(one, [0, 0, 0, 0])) == [50, 0, 0, 0]  # three duplicate acknowledgements
    one = line([1])
    assert arrivals(one, sent(one, [0, 0])) == [
        62,
        0,
    ]  # one of them, and a quarter of a round trip of patience


def test_what_comes_much_later_tells_of_it_a_round_trip_after_that() -> None:
    one = line([1])
    segments = sent(one, [0, 100])
    assert arrivals(one, segments) == [150, 0]


def test_a_burst_at_the_end_is_found_by_the_probe() -> None:
    one = line([2, 3, 4])
    # The probe is the last one, after two round trips; with it here the others follow a round trip later.
    assert arrivals(one, sent(one, [0, 0, 0, 0])) == [0, 150, 150, 100]


def test_a_lost_retransmission_waits_for_what_was_sent_after_it() -> None:
    one = line([1, 3])
    segments = sent(one, [0, 10])
    one.wake(one.due or 0)  # sent again after 62 ms, and lost again
    segments += sent(one, [100])
    assert arrivals(one, segments)[:1] == [150]


def chain(loss: float, correlation: float, count: int) -> list[bool]:
    """Which of so many segments are lost, without anything sent again in between."""
    draw = random.Random(3)
    one = LossyLine(loss, correlation, RTT, RTO, lambda _: draw.random())
    return [not one.send(0).is_here for _ in range(count)]


@pytest.mark.parametrize(("loss", "correlation"), [(0.01, 0.0), (0.05, 0.5), (0.2, 0.8), (0.5, 0.25)])
def test_the_chain_is_that_of_netems_gemodel(loss: float, correlation: float) -> None:
    lost = chain(loss, correlation, 100_000)
    assert sum(lost) / len(lost) == pytest.approx(loss, rel=0.1)
    bursts = [len(list(group)) for is_lost, group in groupby(lost) if is_lost]
    # `loss gemodel p r`: r = (1 - loss) (1 - correlation), and bursts are 1 / r segments long.
    assert sum(bursts) / len(bursts) == pytest.approx(1 / ((1 - loss) * (1 - correlation)), rel=0.1)
    pairs = sum(one and after for one, after in pairwise(lost))
    share = pairs / sum(lost)
    assert (share - loss) / (1 - loss) == pytest.approx(correlation, abs=0.05)


@given(
    st.lists(st.integers(0, 400), max_size=40).map(sorted),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.integers(0, 2**32),
)
def test_everything_arrives_in_the_end(times: list[int], loss: float, correlation: float, seed: int) -> None:
    draw = random.Random(seed)
    one = LossyLine(loss, correlation, RTT, RTO, lambda _: draw.random())
    segments: list[Segment] = []
    for at in times:
        while (due := one.due) is not None and due <= at * MS:
            one.wake(due)
        segments.append(one.send(at * MS))
    now = times[-1] * MS if times else 0
    for _ in range(10_000):
        due = one.due
        if due is None:
            break
        assert due >= now  # time never runs backwards
        one.wake(now := due)
    assert all(segment.is_here for segment in segments)


def test_a_line_that_loses_nothing_has_nothing_to_wait_for() -> None:
    never: Callable[[int], float] = lambda _: 0.99  # noqa: E731
    one = LossyLine(0.0, 0.0, RTT, RTO, never)
    assert one.send(5).is_here
    assert one.due is None
