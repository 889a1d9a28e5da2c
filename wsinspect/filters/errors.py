"""The one error of the filter language: where a filter cannot be read, and what could stand there."""

from __future__ import annotations

from wsinspect.errors import UsageError


class FilterError(UsageError):
    """A filter that cannot be read.

    Attributes:
        source: the filter.
        column: where, in characters, beginning with 1; one more than there are where the end came too early.
        expected: what could stand there.
        found: what does, shown safely; may be empty.
        suggestion: what was probably meant; may be empty.
    """

    def __init__(
        self, source: str, offset: int, expected: str, *, found: str = "", suggestion: str = ""
    ) -> None:
        self.source = source
        self.column = offset + 1
        self.expected = expected
        self.found = found or _show(source[offset:])
        self.suggestion = suggestion
        message = f"filter, column {self.column}: expected {expected}, found {self.found}"
        super().__init__(message, hint=suggestion)
        self.excerpt = (source, self.caret())

    def caret(self) -> str:
        """A line to be printed below the filter, with a caret below the column."""
        return " " * (self.column - 1) + "^"


def _show(rest: str) -> str:
    """The beginning of what was found, in ASCII, so that no terminal acts on it."""
    if not rest:
        return "the end"
    word = rest.split(maxsplit=1)[0] if not rest[0].isspace() else rest[0]
    return ascii(word if len(word) <= 24 else word[:24] + "...")
