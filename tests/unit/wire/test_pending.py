"""The log of unfinished bytes."""

from __future__ import annotations

from wsinspect.wire.pending import PendingLog


def test_bytes_are_handed_out_once_and_appended():
    log = PendingLog()
    log.start(b"")
    log.add(b"ab", 10, is_whole_needed=False)
    assert log.take() == (True, b"ab")
    log.add(b"cd", 10, is_whole_needed=False)
    assert log.take() == (False, b"cd")
    assert log.take() == (False, b"")
    assert log.is_used


def test_a_new_anchor_replaces_what_was_handed_out():
    log = PendingLog()
    log.add(b"ab", 10, is_whole_needed=False)
    log.take()
    log.start(b"xy")
    assert log.take() == (True, b"xy")
    log.start(b"")
    assert not log.is_used
    assert log.take() == (True, b"")


def test_no_more_than_the_limit_is_kept_when_the_rest_is_not_needed():
    log = PendingLog()
    log.add(b"abc", 4, is_whole_needed=False)
    log.add(b"def", 4, is_whole_needed=False)
    log.add(b"ghi", 4, is_whole_needed=False)
    assert log.take() == (False, b"abcd")
    assert not log.is_over


def test_nothing_is_kept_when_all_was_needed_and_it_is_too_much():
    log = PendingLog()
    log.add(b"abc", 4, is_whole_needed=True)
    log.add(b"def", 4, is_whole_needed=True)
    log.add(b"g", 9, is_whole_needed=True)
    assert log.is_over
    assert log.take() == (False, b"")
    log.start(b"")
    assert not log.is_over
