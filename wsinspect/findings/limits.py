"""Known default limits of software between a client and a server (`data/limits.toml`), to match silences,
ages and sizes against.

Most numbers are shared: 60 s is nginx, Apache, an AWS load balancer and more. So a match is a list, and names
nobody; a fingerprint or a second tap does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

from wsinspect.findings.data import table
from wsinspect.units import format_size

Kind = Literal["idle", "lifetime", "keepalive", "handshake", "answer"]
Unit = Literal["frame", "message", "URL"]


class Limit(NamedTuple):
    """A default limit: whose (a name in `software.NAMES` where there is one), the setting, and its kind."""

    software: str
    who: str
    setting: str
    seconds: float
    kind: Kind


class Size(NamedTuple):
    """A default limit on what a receiver takes: whose, the setting, bytes (of a URL characters), of what."""

    software: str
    who: str
    setting: str
    bytes: int
    of: Unit


LIMITS: Final = tuple(Limit(**one) for one in table("limits")["limit"])
SIZES: Final = tuple(Size(**one) for one in table("limits")["size"])
#: What somebody else runs as a service: its limits are nobody's who does not use it.
SERVICES: Final = frozenset(("aws", "azure", "cloudflare", "fly", "gcp", "gemini", "heroku", "openai"))
#: Limits of a size that are listed.
_LISTED: Final = 4
#: A message is compared with limits that it exceeds by at most this factor.
_NEAR: Final = 1.5
#: A limit matches within two seconds: timers of proxies are coarse, and the last byte was seen elsewhere.
TOLERANCE_SECONDS: Final = 2.0


def matching(seconds: float, *kinds: Kind) -> list[Limit]:
    """Limits of these kinds that `seconds` fits, the nearest first."""
    fits = [
        limit
        for limit in LIMITS
        if limit.kind in kinds and -0.5 <= seconds - limit.seconds <= TOLERANCE_SECONDS
    ]
    return sorted(fits, key=lambda limit: abs(seconds - limit.seconds))


def sizes_below(size: int, *of: Unit) -> list[Size]:
    """Limits that something of so many bytes is just above, the nearest first.

    Args:
        of: what it may be; a message or a frame where nothing is given.
    """
    units = of or ("frame", "message")
    below = [limit for limit in SIZES if limit.of in units and limit.bytes < size <= limit.bytes * _NEAR]
    return sorted(below, key=lambda limit: size - limit.bytes)


def possible_sizes(size: int, seen: Collection[str], *of: Unit) -> list[Size]:
    """`sizes_below`, without services that left no mark: recognised software first, then the nearest.

    A size alone names nobody: several have the same one, and a service that somebody else runs leaves a mark.

    Args:
        seen: the software and services that left a mark (names in `software.NAMES`).
    """
    kept = [one for one in sizes_below(size, *of) if one.software in seen or one.software not in SERVICES]
    return sorted(kept, key=lambda one: one.software not in seen)


def size_lines(limits: Sequence[Size], seen: Collection[str]) -> tuple[str, ...]:
    """Lines of evidence: the limits of recognised software, a line each, then the others of this size in one.

    Args:
        limits: of `possible_sizes`.
        seen: as there.
    """
    own = [limit for limit in limits if limit.software in seen]
    others = "; ".join(size_words(one) for one in [one for one in limits if one not in own][:_LISTED])
    return (
        *(f"just above a limit of recognised software: {size_words(limit)}" for limit in own[:_LISTED]),
        *((f"limits of this size: {others}",) if others else ()),
    )


def size_words(limit: Size) -> str:
    """Whose limit, and how much, for a line of evidence."""
    if limit.of == "URL":
        return f"{limit.who}: {limit.setting}, {limit.bytes:,} characters"
    return f"{limit.who}: {limit.setting}, {format_size(limit.bytes)} a {limit.of}"


#: Numbers of seconds that people configure, in addition to whole minutes.
_USUAL: Final = (1, 2, 3, 5, 10, 15, 20, 25, 30, 40, 45, 50, 55, 60, 90, 100)
_MINUTE: Final = 60


def is_round(seconds: float) -> bool:
    """Whether one silence or age alone looks like somebody's setting: one of the usual numbers of seconds.

    Of one connection that is a hint only; equal silences of several prove a timer at any number. Timers fire
    late: by 2 % of the setting is near enough, at least by 0.25 s and at most by `TOLERANCE_SECONDS`. nginx
    moves a timer only when it is 0.3 s off, so it may be early by as much, of short settings by a tenth.
    """
    minutes = int(seconds // _MINUTE)
    settings = (*_USUAL, *(_MINUTE * whole for whole in (minutes, minutes + 1) if whole))
    return any(is_at(seconds, one) for one in settings)


def is_at(seconds: float, setting: float) -> bool:
    """Whether a timer that was set to so many seconds may have ended after these."""
    return -min(0.3, 0.1 * setting) <= seconds - setting <= min(TOLERANCE_SECONDS, max(0.25, 0.02 * setting))


def words(limit: Limit) -> str:
    """A line of evidence."""
    return f"{limit.who}: {limit.setting}, {limit.seconds:g} s ({limit.kind})"
