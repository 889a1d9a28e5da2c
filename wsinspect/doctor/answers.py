"""What comes of asking: how far the server was reached, and the answer to each question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from wsinspect.doctor.questions import Question
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.net import Address


class Tried(NamedTuple):
    """An address of the server's name, and whether it accepts connections.

    Attributes:
        error: why not; None where it does.
        is_local: this machine has no way there, so it says nothing of the server.
    """

    address: Address
    error: str | None
    took_ns: int
    is_local: bool = False


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How far the server can be reached.

    Attributes:
        addresses: each that was tried, IPv6 and IPv4, in the order of the resolver.
        error: why the name has none.
        is_local: the name could not be asked for at all.
    """

    addresses: tuple[Tried, ...] = ()
    error: str | None = None
    is_local: bool = False

    @property
    def working(self) -> Address | None:
        """The first address that accepts connections."""
        return next((one.address for one in self.addresses if one.error is None), None)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether it is this machine that has no network there."""
        if self.working is not None:
            return False
        return self.is_local or (bool(self.addresses) and all(one.is_local for one in self.addresses))


class Answer(NamedTuple):
    """What came of a question.

    Attributes:
        strict: what h11 does not accept in the response.
    """

    question: Question
    facts: ConnectionFacts
    strict: str | None = None
