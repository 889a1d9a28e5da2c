"""Chance that is none: numbers that follow from the seed and from where the traffic is.

A number is a pure function of (seed, rule, tap, host, path without query, attempt of the client session,
direction, matching frame, purpose), made with a keyed hash. So the same traffic meets the same faults
whatever other connections do, in whatever order things happen, on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from math import log
from typing import Final, NamedTuple

_UNIT: Final = 1 / (1 << 64)
#: Standard normal from uniforms (Irwin-Hall): twelve of them, exact enough for delays, bounded at 6 sigma.
_NORMAL_TERMS: Final = 12


class Place(NamedTuple):
    """What identifies a connection to chance.

    Attributes:
        tap: name of the tap; empty where it has none.
        host: as the client named it, without the port, which tests let the system choose.
        path: without the query.
        attempt: which one of its client session, from 1.
    """

    tap: str
    host: str
    path: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Chance:
    """The numbers of one rule on one direction of one connection."""

    seed: int
    rule: str
    place: Place
    direction: str

    #: What all of its numbers begin with: a flood of small frames asks for one or two a frame.
    _where: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tap, host, path, attempt = self.place
        where = (str(self.seed), self.rule, tap, host, path, str(attempt), self.direction)
        object.__setattr__(self, "_where", b"".join(map(_part, where)))

    def _digest(self, number: int, purpose: str, size: int) -> bytes:
        message = self._where + _part(str(number)) + _part(purpose)
        return blake2b(message, digest_size=size, person=b"wsinspect fault").digest()

    def uniform(self, number: int, purpose: str = "acts") -> float:
        """From 0 to 1, 1 excluded.

        Args:
            number: of the matching frame, message or attempt, from 1.
            purpose: one decision may need several numbers.
        """
        return int.from_bytes(self._digest(number, purpose, 8), "big") * _UNIT

    def below(self, limit: int, number: int, purpose: str) -> int:
        """A whole number from 0 to `limit` - 1."""
        return int(self.uniform(number, purpose) * limit)

    def octets(self, count: int, number: int, purpose: str) -> bytes:
        """At most 64 bytes."""
        return self._digest(number, purpose, count)

    def normal(self, number: int, purpose: str) -> float:
        """About a standard normal distribution: the sum of 12 uniform numbers minus 6, so never beyond 6."""
        total = sum(self.uniform(number, f"{purpose} {index}") for index in range(_NORMAL_TERMS))
        return total - _NORMAL_TERMS / 2

    def exponential(self, number: int, purpose: str) -> float:
        """Exponential distribution with mean 1."""
        return -log(1 - self.uniform(number, purpose))


def _part(text: str) -> bytes:
    """With its length, so that where one part ends and the next begins counts."""
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded
