"""What is done on purpose, in the words that every part uses of it."""

from __future__ import annotations

from typing import Final

#: In place of a rule's name: what somebody did to one connection by hand.
BY_HAND: Final = "by-hand"


def rule_words(rule: str) -> str:
    """Who did it, for `by ...` and for brackets behind what was done; not escaped."""
    return "you, by hand" if rule == BY_HAND else f"your rule `{rule}`"
