"""What is done on purpose, in words."""

from __future__ import annotations

from wsinspect.vocabulary.rules import BY_HAND, rule_words


def test_a_rule_is_named_and_a_hand_is_yours():
    assert rule_words("slow") == "your rule `slow`"
    assert rule_words(BY_HAND) == "you, by hand"
