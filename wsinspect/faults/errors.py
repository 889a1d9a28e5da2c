"""What is wrong with a fault, a rule or a scenario that somebody wrote."""

from __future__ import annotations

from wsinspect.errors import UsageError

_LONGEST_FIELD = 200


class FaultError(UsageError):
    """One mistake.

    Args:
        field: where it is, as "rules[0].latency"; empty for the whole.
        problem: what is wrong and what was expected there.
        line: from 1; None where there are no lines.
        column: from 1.
        source: the file's name.
    """

    def __init__(
        self,
        field: str,
        problem: str,
        *,
        line: int | None = None,
        column: int | None = None,
        source: str = "",
    ) -> None:
        self.field = field = field[:_LONGEST_FIELD]
        self.problem = problem
        self.line = line
        self.column = column
        self.source = source
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
        return FaultError(path, self.problem, line=self.line, column=self.column, source=self.source)

    def at(self, line: int, column: int, source: str) -> FaultError:
        """The same mistake with its place in a file."""
        return FaultError(self.field, self.problem, line=line, column=column, source=source)
