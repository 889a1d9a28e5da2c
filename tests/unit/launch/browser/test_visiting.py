"""How long a page is watched."""

from __future__ import annotations

from wsinspect.launch.browser.visiting import _end_of_watch

WAIT = 10.0


def end(loaded: float | None, last_made: float | None = None, *, is_connecting: bool = False) -> float:
    """Seconds after the page's begin."""
    return _end_of_watch(0.0, WAIT, loaded, last_made, is_connecting=is_connecting)


def test_a_page_without_a_socket_has_its_time_and_one_that_still_loads_as_much_again():
    assert end(loaded=1.0) == 12.0
    assert end(loaded=None) == 22.0
    assert end(loaded=15.0) == 17.0


def test_a_socket_ends_the_wait_once_it_has_opened_or_failed():
    assert end(1.0, last_made=3.0) == 5.0
    assert end(1.0, last_made=11.9) == 12.0


def test_a_socket_that_began_late_is_waited_for():
    """Begun just before the end of the wait, and hanging ones, have a bound too."""
    assert end(1.0, last_made=11.9, is_connecting=True) == 16.9
    assert end(1.0, last_made=0.5, is_connecting=True) == 5.5
    # A page that makes one after the other, of which always one is connecting.
    assert end(1.0, last_made=900.0, is_connecting=True) == 17.0
