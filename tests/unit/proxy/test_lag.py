"""Stretches in which the event loop did not run: from a periodic timer, and on a loop that is blocked."""

import asyncio
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.proxy.lag import INTERVAL_NS, LEAST_NS, LagMeter, LagWatch, LateMeter
from wsinspect.vocabulary.events import Lag, Late

MS = 1_000_000


def meter():
    told = []
    return LagMeter(lambda event, until_ns: told.append((until_ns - (event.for_ns or 0), until_ns))), told


def test_a_timer_in_time_tells_nothing():
    made, told = meter()
    made.start(0)
    for now in (100, 210, 330, 430, 629):
        made.tick(now * MS)
    made.stop(700 * MS)
    assert told == []


def test_a_late_timer_tells_at_once_since_when_the_loop_may_not_have_run():
    made, told = meter()
    made.start(0)
    made.tick(100 * MS)
    made.tick(300 * MS)
    assert told == [(100 * MS, 300 * MS)]
    made.tick(400 * MS)
    made.stop(450 * MS)
    assert len(told) == 1


def test_a_stretch_that_lasts_is_told_in_pieces_that_touch():
    made, told = meter()
    made.start(0)
    for now in range(300, 4200, 300):
        made.tick(now * MS)
    made.tick(4000 * MS)
    assert told[0] == (0, 300 * MS)
    assert all(one[1] == other[0] for one, other in pairwise(told))
    assert told[-1][1] == 3900 * MS
    assert len(told) < 6


def test_what_is_not_told_yet_is_told_at_the_end():
    made, told = meter()
    made.start(0)
    made.tick(300 * MS)
    made.tick(600 * MS)
    made.stop(650 * MS)
    assert told == [(0, 300 * MS), (300 * MS, 600 * MS)]
    made.stop(9000 * MS)
    assert len(told) == 2


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_each_late_turn_is_within_a_stretch_and_each_stretch_ends_with_one(pauses):
    made, told = meter()
    made.start(0)
    now, late = 0, []
    for pause in pauses:
        before, now = now, now + INTERVAL_NS + pause * MS
        made.tick(now)
        if pause * MS >= LEAST_NS:
            late.append((before, now))
    made.stop(now)
    for first, last in late:
        assert sum(max(0, min(last, b) - max(first, a)) for a, b in told) == last - first
    assert {until for _, until in told} <= {last for _, last in late}


def test_a_blocked_loop_is_told_of_and_nothing_runs_once_nobody_needs_it():
    told: list[tuple[int, int]] = []

    async def run() -> None:
        has_told = asyncio.Event()
        turns: list[int] = []

        def tell(event: Lag | Late, until_ns: int) -> None:
            if isinstance(event, Lag):
                told.append((event.for_ns or 0, until_ns))
                has_told.set()

        def is_needed() -> bool:
            turns.append(1)
            return not has_told.is_set()

        watch = LagWatch(tell, time.monotonic_ns, is_needed)
        watch.start()
        watch.start()
        begun_ns = time.monotonic_ns()
        time.sleep(0.35)  # the loop is blocked: this is what is measured
        await has_told.wait()
        assert told[0][0] >= 300 * MS
        assert told[0][1] >= begun_ns + 350 * MS
        while len(turns) < 2:  # noqa: ASYNC110 - the watch has no event for it
            await asyncio.sleep(0.01)
        count = len(turns)
        await asyncio.sleep(0.25)
        assert len(turns) == count
        watch.stop()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_how_late_timers_were_is_told_every_other_second_where_it_is_notable():
    told: list[tuple[int, int]] = []
    made = LateMeter(lambda event, until_ns: told.append((event.worst_ns // MS, until_ns // MS)))
    made.start(0)
    now = 0
    for late in (0, 5, 19, 0, 3) * 10:
        now += INTERVAL_NS + late * MS
        made.tick(now)
    assert told == []
    for late in (0, 25, 60, 0, 3) * 10:
        now += INTERVAL_NS + late * MS
        made.tick(now)
    assert {worst for worst, _ in told} == {60}
    assert all(later - earlier >= 2_000 for (_, earlier), (_, later) in pairwise(told))
    assert len(told) == 3
    made.tick(now + INTERVAL_NS + 30 * MS)
    made.stop(now + INTERVAL_NS + 31 * MS)
    assert told[-1][1] == (now + INTERVAL_NS) // MS + 31
