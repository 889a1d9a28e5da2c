"""What to write where: snippets by topic and software (`data/fixes.toml`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsinspect.findings.data import table
from wsinspect.findings.model import Fix

#: Topic, then software: the lines to write. Every topic ends with one for `general`.
FIXES: Final[dict[str, dict[str, str]]] = table("fixes")


def fixes_for(topic: str, software: Sequence[str] = ()) -> tuple[Fix, ...]:
    """The fixes of a topic: for the software that was recognised, then in general."""
    known = FIXES.get(topic, {})
    names = [name for name in dict.fromkeys(software) if name in known and name != "general"]
    return tuple(Fix(name, known[name]) for name in (*names, "general") if name in known)
