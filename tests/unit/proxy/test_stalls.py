"""A side that does not read, and one that reads slowly, by a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from wsinspect.findings.stalls import stalls_in
from wsinspect.proxy.stalls import LEAST_NS, MOST, Stall
from wsinspect.vocabulary.events import Drained, Event, Stalled

SECOND = 1_000_000_000


class Lab:
    """A clock, a loop's timers, a recording, and bytes that wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ns = 10 * SECOND
        self.events: list[tuple[Event, int]] = []
        self.size = 1_000_000
        self.timers: list[tuple[int, Callable[[], None]]] = []
        loop = SimpleNamespace(call_later=self._call_later)
        monkeypatch.setattr("wsinspect.proxy.stalls.asyncio.get_running_loop", lambda: loop)
        recording: Any = SimpleNamespace(now_ns=lambda: self.ns, event=self._event)
        self.stall = Stall("client", recording, lambda: (self.size, 0))

    def _event(self, event: Event) -> None:
        self.events.append((event, self.ns))

    def _call_later(self, wait: float, call: Callable[[], None]) -> Any:
        timer = (self.ns + round(wait * SECOND), call)
        self.timers.append(timer)
        return SimpleNamespace(cancel=lambda: self.timers.remove(timer))

    def passes(self, seconds: float, *, takes: int = 0) -> None:
        """Time passes in tenths of a second, in each of which the peer takes so many bytes."""
        for _ in range(round(seconds * 10)):
            self.ns += SECOND // 10
            self.size -= takes
            due = [one for one in self.timers if one[0] <= self.ns]
            for one in due:
                self.timers.remove(one)
                one[1]()

    @property
    def facts(self) -> Any:
        made = [
            ("drained" if isinstance(event, Drained) else "stalled", event.as_json(), at)
            for event, at in self.events
        ]
        return stalls_in(made)


@pytest.fixture
def lab(monkeypatch):
    return Lab(monkeypatch)


def test_a_side_that_takes_nothing_did_not_read(lab):
    lab.stall.begin()
    lab.passes(9)
    lab.stall.end()
    (stall,) = lab.facts
    assert (stall.lasted_ns, stall.still_ns, stall.is_steady) == (9 * SECOND, 8 * SECOND, False)


def test_a_side_that_takes_some_all_the_time_reads_slowly(lab):
    lab.stall.begin()
    lab.passes(9, takes=100)
    lab.stall.end()
    (stall,) = lab.facts
    assert (stall.lasted_ns, stall.still_ns, stall.is_steady) == (9 * SECOND, SECOND, True)


@pytest.mark.parametrize(("takes", "is_steady"), [(0, False), (100, True)])
def test_the_same_where_the_connection_ends_meanwhile(lab, takes, is_steady):
    lab.stall.begin()
    lab.passes(9, takes=takes)
    lab.stall.over()
    (stall,) = lab.facts
    assert (stall.has_drained, stall.is_steady) == (False, is_steady)
    assert not lab.timers


def test_a_side_that_reads_and_then_stops_is_judged_by_the_longer_part(lab):
    lab.stall.begin()
    lab.passes(4, takes=100)
    lab.passes(20)
    lab.stall.end()
    (stall,) = lab.facts
    assert stall.still_ns >= 20 * SECOND
    assert not stall.is_steady


def test_a_buffer_that_fills_and_empties_is_no_event_and_has_one_timer(lab):
    for _ in range(50):
        lab.stall.begin()
        lab.passes(0.5)
        lab.stall.end()
        assert len(lab.timers) <= 1
    lab.stall.over()
    assert not lab.events
    assert not lab.timers


def test_each_stall_is_judged_for_itself_and_only_the_first_are_reported(lab):
    for number in range(MOST + 3):
        lab.stall.begin()
        lab.passes(3, takes=100 if number % 2 else 0)
        lab.stall.end()
    reported = [event for event, _ in lab.events if isinstance(event, Stalled)]
    assert len(reported) == MOST
    assert [one.is_steady for one in lab.facts] == [bool(number % 2) for number in range(MOST)]
    assert all(one.lasted_ns >= LEAST_NS for one in lab.facts)
