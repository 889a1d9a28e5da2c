"""What is wrong with a fault, a rule or a scenario that somebody wrote."""

from __future__ import annotations

from wsinspect.errors import UsageError
from wsinspect.text import escape
from wsinspect.units import QuantityError

_LONGEST_FIELD = 200


class FaultError(UsageError):
    """One mistake.

    Args:
        field: where it is, as "rules[0].latency"; empty for the whole.
        problem: what is wrong and what was expected there.
        line: from 1; None where there are no lines.
        column: from 1.
        source: the file's name.
        excerpt: the text that is wrong, and a line with a caret below the place; may be empty.
    """

    def __init__(
        self,
        field: str,
        problem: str,
        *,
        line: int | None = None,
        column: int | None = None,
        source: str = "",
        excerpt: tuple[str, ...] = (),
    ) -> None:
        self.field = field = escape(field[:_LONGEST_FIELD])  # a key of a scenario may be any text
        self.problem = problem
        self.line = line
        self.column = column
        self.source = source
        self.excerpt = excerpt
        place = ":".join(str(part) for part in (source, line, column) if part not in ("", None))
        super().__init__(": ".join(part for part in (place, field, problem) if part))

    def inside(self, field: str) -> FaultError:
        """The same mistake, seen from the object that holds it in `field`."""
        if not self.field:
            path = field
        elif self.field.startswith("["):
            path = field + self.field
        else:
            path = f"{field}.{self.field}"
        return FaultError(
            path, self.problem, line=self.line, column=self.column, source=self.source, excerpt=self.excerpt
        )

    def at(self, line: int, column: int, source: str) -> FaultError:
        """The same mistake with its place in a file."""
        return FaultError(
            self.field, self.problem, line=line, column=column, source=source, excerpt=self.excerpt
        )

    @classmethod
    def of(cls, field: str, error: ValueError) -> FaultError:
        """A value that could not be read, with the place in it where that is known."""
        excerpt = (error.text, error.caret()) if isinstance(error, QuantityError) else ()
        return cls(field, str(error), excerpt=excerpt)
