"""Regular expressions over what strangers sent: RE2, whose search time grows linearly with the text.

Python's `re` backtracks: `(a+)+$` needs minutes for forty hostile characters, holds the GIL all the while and
cannot be interrupted. Filters meet text that peers chose, in the engine's event loop too. RE2's syntax lacks
backreferences and lookaround for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

#: How much of a text is searched, at most.
MAX_TEXT: Final = 1 << 20
#: Instructions of a compiled expression (`[ab]{500}` has about 500, `\\pL` 1,200); larger ones are refused.
MAX_PROGRAM: Final = 4_000
#: Bytes of text times instructions that one search may cost: RE2's time is linear in both. Measured on two
#: cores at 2 GHz: `a[ab]{n}c`, of which RE2 cannot keep the states, takes 15 to 30 ns for each, so one search
#: at most 2 s whatever the payload; by `MAX_TEXT` alone it took 30 s for 400 instructions, 200 s for 40,000.
_MAX_WORK: Final = 1 << 26
#: For shorter texts a set is faster than a search.
_SHORT: Final = 256
FLAGS: Final = "ims"


class PatternError(Exception):
    """The expression cannot be read; the message says why."""


@dataclass(frozen=True)
class Pattern:
    """An expression with its flags: `i` case does not matter, `m` lines, `s` a dot is also a line's end."""

    source: str
    flags: str = ""

    def check(self) -> None:
        """Read it, so that later searches cannot fail.

        Raises:
            PatternError: it cannot be read.
        """
        _compiled(self.source, self.flags)

    def searcher(self) -> Callable[[str], bool]:
        """A function that says whether the beginning of a text matches the pattern."""
        search, most = _compiled(self.source, self.flags).search, self.most_bytes
        return lambda text: search(text[:most].encode("utf-8", "surrogatepass")[:most]) is not None

    @property
    def most_bytes(self) -> int:
        """How many bytes of a text are searched: `MAX_TEXT`, or fewer for a long expression.

        Raises:
            PatternError: it cannot be read.
        """
        size: int = _compiled(self.source, self.flags).programsize
        return min(MAX_TEXT, _MAX_WORK // max(1, size))

    def bytes_searcher(self) -> Callable[[bytes], bool]:
        """The same for bytes, which ought to be UTF-8."""
        search, most = _compiled(self.source, self.flags).search, self.most_bytes
        match = _short(self.source, self.flags).Match
        return lambda data: match(data) is not None if len(data) < _SHORT else search(data[:most]) is not None

    def __str__(self) -> str:
        escaped = self.source.replace("/", "\\/")
        return f"/{escaped}/{self.flags}"


@lru_cache(64)
def _compiled(source: str, flags: str) -> Any:
    import re2

    text, options = _prepared(source, flags)
    try:
        found = re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be read"
        words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError(words) from None
    if found.programsize > MAX_PROGRAM:
        raise PatternError(f"too large: {found.programsize} instructions, at most {MAX_PROGRAM}")
    return found


@lru_cache(64)
def _short(source: str, flags: str) -> Any:
    """The same expression as a set of one, which answers without making objects of where the match is; what
    `_compiled` takes is never too large for one.

    Measured: 1.0 us for a payload of 25 bytes, and 3.5 us by `search`. For long ones `search` is faster.
    """
    import re2

    text, options = _prepared(source, flags)
    found = re2.Set.SearchSet(options)
    found.Add(text)
    found.Compile()
    return found


def _prepared(source: str, flags: str) -> tuple[bytes, Any]:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = "i" not in flags
    prefix = "".join(flag for flag in flags if flag in "ms")
    try:
        return ((f"(?{prefix})" if prefix else "") + source).encode("utf-8"), options
    except UnicodeEncodeError as error:
        raise PatternError(str(error)) from None
