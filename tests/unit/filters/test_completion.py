"""What could be typed at a place of a filter."""

from __future__ import annotations

from wsinspect.filters import complete


def test_completion() -> None:
    assert [c.text for c in complete("op:p", 4).candidates] == ["ping", "pong"]
    assert [c.text for c in complete("rs", 2).candidates] == ["rsv1:", "rsv2:", "rsv3:"]
    assert complete("op:text,pi", 10).start == 8
    assert complete("(dir:", 5).candidates[0].text == "c2s"
    assert {c.kind for c in complete("len", 3).candidates} == {"operator"}
    assert complete("nonsense:", 9).candidates == []
    assert complete("", 0).candidates


def test_a_key_with_an_argument_is_followed_by_a_colon_alone() -> None:
    assert [c.text for c in complete("json", 4).candidates if c.kind == "operator"] == ["json:"]
    assert [c.text for c in complete("header", 6).candidates if c.kind == "operator"] == ["header:"]
    assert [c.text for c in complete("conn", 4).candidates if c.kind == "operator"][:2] == ["conn:", "conn="]
