"""What to write where: snippets by topic and software (`data/fixes.toml`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from wsinspect.findings.data import table
from wsinspect.findings.model import Fix

#: Topic, then software: the lines to write. Every topic ends with one for `general`.
FIXES: Final[dict[str, dict[str, str]]] = table("fixes")

#: What our lines have in the place of the reader's own path and application.
_PATH: Final = re.compile(r"(?<![\w.:/-])/ws(?![\w/-])")
_APPLICATION: Final = re.compile(
    r"\bapp:3000\b|\bhttp://app\b|\b(?:127\.0\.0\.1|localhost):3000\b|\bcluster: (app)\b"
)


def examples_in(fix: Fix, path: str | None = None) -> list[str]:
    """What in the lines of a fix stands for something of the reader's, in words; nothing in lines of a file.

    Args:
        path: the one that the finding is about, where it is one alone.
    """
    if fix.file is not None:
        return []
    words = []
    if path != "/ws" and _PATH.search(fix.text):
        words.append(f"/ws for {path or 'the path of your WebSocket'}")
    if application := _APPLICATION.search(fix.text):
        words.append(f"{application[1] or application[0]} for your application")
    return words


def fixes_for(topic: str, software: Sequence[str] = ()) -> tuple[Fix, ...]:
    """The fixes of a topic: for the software that was recognised, then in general."""
    known = FIXES.get(topic, {})
    names = [name for name in dict.fromkeys(software) if name in known and name != "general"]
    return tuple(Fix(name, known[name]) for name in (*names, "general") if name in known)
