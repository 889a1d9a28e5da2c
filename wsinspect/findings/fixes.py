"""What to write where: snippets by topic and software.

Every topic has a fix for `general`; those for software that was recognised come first. The snippets are
small on purpose: the line that is missing, in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsinspect.findings import fixes_attempt, fixes_open
from wsinspect.findings.model import Fix

FIXES: Final[dict[str, dict[str, str]]] = {**fixes_attempt.FIXES, **fixes_open.FIXES}


def fixes_for(topic: str, software: Sequence[str] = ()) -> tuple[Fix, ...]:
    """The fixes of a topic: for the software that was recognised, then in general."""
    known = FIXES.get(topic, {})
    names = [name for name in dict.fromkeys(software) if name in known and name != "general"]
    return tuple(Fix(name, known[name]) for name in (*names, "general") if name in known)
