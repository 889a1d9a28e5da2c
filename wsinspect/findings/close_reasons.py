"""What the reason of a CLOSE frame says: services put very different failures under one code
(`data/close_reasons.toml`).

Gemini Live closes with 1007 for a wrong API key, OpenAI with 1001 at the end of a session's time, and
Deepgram with 1011 where no audio came. So known words decide before the code does, and the code where there
are none.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from wsinspect.findings.data import table
from wsinspect.findings.failures import is_about_login

#: Characters of a reason that are looked at; a CLOSE frame has room for 123 bytes (RFC 6455, 5.5).
_SEARCHED: Final = 200
#: Codes of a side that found fault with what it got, and not with itself.
_OF_CONTENT: Final = frozenset((1003, 1007, 1008))
#: Codes of a side that failed itself, and words for those behind it: `1011 login to the database failed`
#: says nothing of the other side.
_OF_ITSELF: Final = frozenset((1011, 1012, 1013, 1014))
_BEHIND: Final = re.compile(
    r"\b(?:upstream|back-?end|database|db|redis|postgres(?:ql)?|mysql|mongo(?:db)?|kafka|rabbitmq|broker"
    r"|worker|leader|replica|internal|third[- ]party|provider)\b",
    re.I,
)


class Said(NamedTuple):
    """What a reason says.

    Attributes:
        name: of the kind.
        is_closers: whether the side that closed is the one that has to change, by its own words.
        cause: with `{who}` for the side that closed, `{other}` for the other one.
        tell_apart: likewise.
        topic: names the fixes (`fixes.FIXES`).
    """

    name: str
    is_closers: bool
    cause: str
    tell_apart: str
    topic: str


class _Kind(NamedTuple):
    said: Said
    shape: re.Pattern[str] | None
    needs_content: bool

    def fits(self, words: str, code: int) -> bool:
        if not self.said.is_closers and code in _OF_ITSELF and _BEHIND.search(words):
            return False
        if self.needs_content and code not in _OF_CONTENT and code < 4000:
            return False
        return is_about_login(words) if self.shape is None else self.shape.search(words) is not None


def _kind(one: dict[str, Any]) -> _Kind:
    said = Said(one["name"], one["who"] == "closer", one["cause"], one["tell_apart"], one["topic"])
    shape = re.compile("|".join(one["match"]), re.I) if "match" in one else None
    return _Kind(said, shape, one.get("needs_content", False))


_KINDS: Final = tuple(map(_kind, table("close_reasons")["kind"]))


def what_is_said(reason: str, code: int) -> Said | None:
    """What a reason says beyond its code; None where its words are not known.

    Args:
        code: of the same CLOSE frame: some words only say something together with it.
    """
    words = reason[:_SEARCHED]
    return next((one.said for one in _KINDS if one.fits(words, code)), None) if words else None
