"""One directive of a configuration file whose blocks are in braces or sections: nginx, Apache, Caddy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsinspect.doctor.configuration.model import Place


@dataclass(frozen=True, eq=False)
class Directive:
    """One directive, with where it stands.

    Attributes:
        name: as written; of Apache's in lower case.
        line: of its name, from 1.
        last: the line of its closing brace, or of its last argument; of nginx's not known, and 0.
        block: what is inside; None for a directive without a block.
        number: which of nginx's directives of its file it is, from 0, in the order of the text.
    """

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    last: int = 0
    block: tuple[Directive, ...] | None = None
    number: int = 0

    @property
    def words(self) -> str:
        """As it is written, without its block."""
        return " ".join((self.name, *self.args))

    @property
    def at(self) -> Place:
        """File and line of its first word."""
        return Place(self.file, self.line)

    @property
    def where(self) -> str:
        """The same in one text, as `nginx.conf:12`."""
        return str(self.at)

    def all(self, *names: str) -> Iterator[Directive]:
        """Directives of these names just inside."""
        return (one for one in self.block or () if one.name in names)

    def get(self, name: str) -> Directive | None:
        """The first of that name; None without one."""
        return next(self.all(name), None)
