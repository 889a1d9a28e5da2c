"""Regular expressions of strangers' configurations: linear where RE2 can read them, refused where they
may hang.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import re2

#: A repetition within a repetition: `(a+)+`.
_NESTED: Final = re.compile(r"\([^()]*[+*}][^()]*\)[+*{]")
_NAMED: Final = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")
_LONGEST: Final = 2048


class UndecidedError(Exception):
    """A value or a pattern that cannot be decided from here; the message says which."""


def is_any(tests: Iterable[Callable[[], bool]]) -> bool:
    """Whether one of them holds.

    Raises:
        UndecidedError: none does, but of one it is not known.
    """
    unknown: UndecidedError | None = None
    for test in tests:
        try:
            if test():
                return True
        except UndecidedError as error:
            unknown = error
    if unknown is not None:
        raise unknown
    return False


def search(pattern: str, text: str, *, ignores_case: bool = False) -> Any:
    """The match of a pattern anywhere in a text, or None.

    Raises:
        UndecidedError: the pattern cannot be read, or could take forever.
    """
    compiled = _compiled(_NAMED.sub(r"(?P<\1>", pattern), ignores_case)
    if compiled is None:
        raise UndecidedError(f"the regular expression {pattern[:80]!r}")
    try:
        return compiled.search(text[:_LONGEST])
    except UnicodeEncodeError:  # bytes that are not UTF-8, kept as surrogates: RE2 reads none
        raise UndecidedError(f"the regular expression {pattern[:80]!r}") from None


@functools.lru_cache(1024)
def _compiled(pattern: str, ignores_case: bool) -> Any:
    flag = "(?i)" if ignores_case else ""
    if len(pattern) > _LONGEST:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(flag + pattern, options)
    except (re2.error, UnicodeEncodeError):
        pass
    if _NESTED.search(pattern):
        return None
    try:
        return re.compile(flag + pattern)  # lookaround
    except (re.error, RecursionError, OverflowError):
        return None
