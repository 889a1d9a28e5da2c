"""When memory is given back: after many have closed, and while few are open."""

import asyncio
import gc

import pytest

from wsinspect import memory as shared
from wsinspect.proxy import memory


@pytest.fixture
def numbers(monkeypatch):
    monkeypatch.setattr(memory, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(shared, "MANY", 5)
    for module in (shared, memory):
        monkeypatch.setattr(module, "FEW", 2)


def counted(opened: int, closed: int, *, again: int = 0) -> int:
    async def play() -> int:
        open_ones: dict[int, int] = {}
        relief = memory.Relief(open_ones)
        for number in range(opened):
            open_ones[number] = number
            relief.opened()
        for number in range(closed):
            del open_ones[number]
            relief.closed()
        for number in range(again):
            open_ones[-number - 1] = number
            relief.opened()
        await asyncio.sleep(0.01)
        relief.stop()
        return relief.water.count

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("opened", "closed", "again", "count"),
    [(7, 7, 0, 1), (7, 5, 0, 1), (5, 5, 0, 1), (4, 4, 0, 0), (9, 6, 0, 0), (7, 7, 3, 0), (7, 7, 2, 1)],
)
def test_it_is_given_back_once_many_have_closed_and_few_are_open(numbers, opened, closed, again, count):
    assert counted(opened, closed, again=again) == count


@pytest.mark.parametrize(
    ("middle", "open_count", "is_collected"),
    [(9, 0, False), (10, 2, True), (10, 3, False), (299, 3, False), (300, 3, True)],
)
def test_garbage_is_looked_for_while_few_are_open_or_where_it_may_be_much(
    numbers, monkeypatch, middle, open_count, is_collected
):
    collected: list[bool] = []
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, middle))
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    memory.Relief(range(open_count)).look()
    assert bool(collected) is is_collected
