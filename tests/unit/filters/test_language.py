"""A filter as a whole: what it is about, and its predicates."""

from __future__ import annotations

import pytest

from tests.support.filter_facts import AConnection, AFrame
from wsinspect.filters import parse


def test_what_lists_connections() -> None:
    assert parse("host:x close:1006").lists_connections
    assert parse("finding:* tap:a").lists_connections
    assert not parse("host:x op:text").lists_connections
    with pytest.raises(ValueError, match="frames"):
        parse("op:text").connection_predicate()
    assert parse("close:rst").connection_predicate()(AConnection())


def test_the_empty_filter_passes_everything() -> None:
    flt = parse("  ")
    assert flt.is_empty
    assert flt.keys == frozenset()
    assert flt.lists_connections
    assert not flt.is_late
    assert flt.frame_predicate()(AFrame())
    assert flt.connection_predicate()(AConnection())
    assert not parse("fin:1").is_empty


@pytest.mark.parametrize(
    ("source", "is_late"),
    [("rtt>50ms", True), ("fin:1 | !finding:*", True), ("close:1006", True), ("op:text len>5", False)],
)
def test_what_may_come_after_the_frame_is_late(source: str, is_late: bool) -> None:
    assert parse(source).is_late is is_late


def test_or_needs_one_and_and_needs_all() -> None:
    either = parse("op:ping | fin:1").frame_predicate()
    both = parse("op:text fin:1").frame_predicate()
    assert either(AFrame(opcode=9, fin=False))
    assert either(AFrame())
    assert not either(AFrame(fin=False))
    assert both(AFrame())
    assert not both(AFrame(fin=False))


def test_a_frame_is_asked_about_its_connection() -> None:
    passes = parse("conn:3 | host:nowhere").frame_predicate()
    assert passes(AFrame())
    assert not passes(AFrame(connection=AConnection(id=4)))
