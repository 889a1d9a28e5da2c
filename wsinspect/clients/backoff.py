"""The shape of a client's backoff, seen in the delays before its tries.

Few delays fit many shapes, and jitter hides one behind another. So `plausible` has every shape that the
delays do not contradict, and `shape` names one only where the others are contradicted. Shapes are compared by
the jitter that each would need to explain all delays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Final

#: Delays up to this count as none.
IMMEDIATE_NS: Final = 100_000_000
#: A shape that needs at most this much jitter has none.
_EXACT: Final = 0.04
#: No row of delays with jitter is this close to a curve, however it was drawn.
_CLOSE: Final = 0.012
#: Of so many delays one may be late because the machine was busy, and says nothing of its client.
_LATE_OF: Final = 4
#: With timers that are later than this share of a delay, nothing is said of jitter, and no shape is exact.
_MOST_NOISE: Final = 0.15
#: Delays that are longer than the shortest by this factor were meant to be.
_VARIES: Final = 1.12
#: So many delays of a long row are looked at for that.
_LOOKED_AT: Final = 16
#: A backoff has grown as far as it will after so many tries; later ones say nothing of its shape.
_FIRST: Final = 32
#: With more jitter than this, no model differs from chance.
_MOST_JITTER: Final = 0.9
_FACTORS: Final = tuple(1.25 + 0.05 * step for step in range(76))
_MOST_FACTOR: Final = 5.0
_SLOPES: Final = (*(0.25 * step for step in range(1, 13)), 4.0, 5.0, 7.0, 10.0)
_MOST_SLOPE: Final = 10.0


class Shape(StrEnum):
    """How delays grow from try to try."""

    NONE = "none"  # too few delays
    IMMEDIATE = "immediate"
    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    GROWING = "growing"
    IRREGULAR = "irregular"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """What the delays say.

    Attributes:
        plausible: every shape that is not contradicted.
        has_jitter: None where nobody can say.
        cap_ns: what the delays do not exceed; None where none was reached.
        first_at_once: the first try came at once, the shape is that of the others.
        longest_ns: of the delays.
    """

    shape: Shape
    plausible: frozenset[Shape]
    has_jitter: bool | None = None
    cap_ns: int | None = None
    factor: float | None = None
    first_at_once: bool = False
    longest_ns: int = 0
    delays: int = 0

    @property
    def words(self) -> str:
        """For people: `exponential with jitter, at most 5 s`."""
        words = str(self.shape)
        if self.shape == Shape.NONE:
            return "too few delays to say"
        if self.has_jitter:
            words += " with jitter"
        elif self.has_jitter is False and self.shape != Shape.IMMEDIATE:
            words += " without jitter"
        return words + (", the first try at once" if self.first_at_once else "")


def classify(delays: Sequence[int], noise_ns: int = 20_000_000) -> Backoff:
    """The shape of delays in nanoseconds.

    Args:
        noise_ns: how late a timer may be.
    """
    at_once = IMMEDIATE_NS + noise_ns
    longest = max(delays, default=0)
    if len(delays) < 2:
        return Backoff(shape=Shape.NONE, plausible=frozenset(Shape), longest_ns=longest, delays=len(delays))
    # On a busy machine some of very many tries come late.
    is_hasty = len(delays) >= 5 and median(delays) <= at_once and _trend(delays) < 2
    if longest <= at_once or is_hasty:
        return Backoff(
            shape=Shape.IMMEDIATE,
            plausible=frozenset({Shape.IMMEDIATE}),
            longest_ns=longest,
            delays=len(delays),
        )
    first_at_once = delays[0] <= at_once and longest > 3 * max(delays[0], noise_ns)
    rest = list(delays[1:] if first_at_once else delays)[:_FIRST]
    if len(rest) < 2:
        return Backoff(
            shape=Shape.NONE,
            plausible=frozenset(Shape) - {Shape.IMMEDIATE},
            first_at_once=True,
            longest_ns=longest,
            delays=len(delays),
        )
    found = _shape(rest, noise_ns)
    has_jitter, cap = _jitter(rest, found, noise_ns), _cap(rest, found, noise_ns)
    return Backoff(
        shape=found.shape,
        plausible=found.plausible,
        has_jitter=has_jitter,
        cap_ns=cap,
        factor=found.factor,
        first_at_once=first_at_once,
        longest_ns=longest,
        delays=len(delays),
    )


@dataclass(frozen=True)
class _Fit:
    shape: Shape
    plausible: frozenset[Shape]
    jitter: float
    factor: float | None = None
    is_exact: bool = False


def _shape(delays: Sequence[int], noise_ns: int) -> _Fit:
    slack = min(_MOST_NOISE, noise_ns / max(1.0, median(delays)))
    exact = _EXACT + slack
    fixed = _needed([1.0] * len(delays), delays)
    linear, _ = min(_grown(delays, "linear"), key=lambda one: one[0])
    exponential, factor = min(_grown(delays, "exponential"), key=lambda one: one[0])
    growths = {Shape.LINEAR: linear, Shape.EXPONENTIAL: exponential}
    best = min(growths.values())
    count = len(delays)
    if fixed <= exact:
        return _Fit(Shape.FIXED, frozenset({Shape.FIXED}), fixed, is_exact=True)
    steady = sorted(delays)[: count - count // _LATE_OF]
    if count >= _LATE_OF and (timely := _needed([1.0] * len(steady), steady)) <= exact / 2:
        # A timer is late on a busy machine, never early.
        return _Fit(Shape.FIXED, frozenset({Shape.FIXED}), timely, is_exact=True)
    if count > _LATE_OF and not _varies(delays, noise_ns):
        return _Fit(Shape.FIXED, frozenset({Shape.FIXED}), fixed)
    spread = max(delays) / max(1, min(delays))
    is_rising = all(b >= a * (1 - exact) - noise_ns for a, b in pairwise(delays))
    # An even jitter of half up and down spans at most three times the smallest delay.
    rises_too_far = is_rising and spread > 2.5 if best <= exact else _trend(delays) > 3.5
    plausible = set()
    if (
        not rises_too_far
        and fixed <= _MOST_JITTER
        and not (best <= exact and count >= 5 and is_rising and spread > 1.6)
    ):
        plausible.add(Shape.FIXED)
    for shape, jitter in growths.items():
        other = max(one for name, one in growths.items() if name != shape)
        is_contradicted = jitter > max(exact, 2.5 * other) + 0.06 and (other <= exact or count >= 7)
        if jitter <= _MOST_JITTER and not is_contradicted and _can_grow(delays, exact):
            plausible.add(shape)
    is_exact = best <= exact
    if not is_exact and (count < 5 or (plausible == {Shape.FIXED} and spread > 3)):
        # Full jitter (0 ... d) hides every shape behind a few delays.
        plausible |= {Shape.LINEAR, Shape.EXPONENTIAL}
    if plausible == {Shape.EXPONENTIAL} and count >= 3:
        return _Fit(Shape.EXPONENTIAL, frozenset(plausible), exponential, factor, is_exact)
    if plausible == {Shape.LINEAR} and count >= 3:
        return _Fit(Shape.LINEAR, frozenset(plausible), linear, None, is_exact)
    if plausible == {Shape.FIXED}:
        return _Fit(Shape.FIXED, frozenset(plausible), fixed)
    if plausible and Shape.FIXED not in plausible:
        return _Fit(Shape.GROWING, frozenset(plausible | {Shape.GROWING}), best, None, is_exact)
    if plausible:
        return _Fit(Shape.UNCLEAR, frozenset(plausible | {Shape.UNCLEAR}), best, None, is_exact)
    if is_rising and spread > 2.5:
        return _Fit(Shape.GROWING, frozenset({Shape.GROWING}), best)
    return _Fit(Shape.IRREGULAR, frozenset(Shape) - {Shape.IMMEDIATE, Shape.NONE}, best)


def _needed(model: Sequence[float], delays: Sequence[int], late: int = 0) -> float:
    """The least j for which some base has every delay within base * model * (1 - j ... 1 + j).

    Args:
        late: how many of them may be later than that.
    """
    ratios = sorted(delay / one for delay, one in zip(delays, model, strict=True))
    low, high = ratios[0], ratios[len(ratios) - 1 - late]
    return (high - low) / (high + low) if high else 0.0


def _grown(delays: Sequence[int], kind: str, late: int = 0) -> list[tuple[float, float]]:
    """For each factor or slope, and each place where a cap may begin: the jitter needed, and the factor."""
    count = len(delays)
    found = []
    for rate in (
        (*_FACTORS, *_own_factors(delays)) if kind == "exponential" else (*_SLOPES, *_own_slopes(delays))
    ):
        steps = [rate**i if kind == "exponential" else 1 + rate * i for i in range(count)]
        for capped in range(1, count):
            # The cap is reached at this delay; its value is between the value there and the one before.
            model = steps[: capped + 1]
            if capped == count - 1:
                found.append((_needed(steps, delays, late), rate))
            flat = delays[capped:]
            level = min(flat) if late else (max(flat) + min(flat)) / 2
            base = _base(model[:-1], delays[:capped], late)
            if base and model[-2] * base <= level <= model[-1] * base * (1 + _EXACT):
                values = [one * base for one in model[:-1]] + [level] * len(flat)
                found.append((_needed(values, delays, late), rate))
    return found


def _own_factors(delays: Sequence[int]) -> Iterator[float]:
    """Factors by which the delays themselves may grow from the first one, the golden ratio among them."""
    for index in range(1, len(delays)):
        factor = (delays[index] / max(1, delays[0])) ** (1 / index)
        if _FACTORS[0] <= factor <= _MOST_FACTOR:
            yield factor


def _own_slopes(delays: Sequence[int]) -> Iterator[float]:
    for index in range(1, len(delays)):
        slope = (delays[index] / max(1, delays[0]) - 1) / index
        if _SLOPES[0] <= slope <= _MOST_SLOPE:
            yield slope


def _base(model: Sequence[float], delays: Sequence[int], late: int = 0) -> float:
    ratios = sorted(delay / one for delay, one in zip(delays, model, strict=True))
    return (ratios[0] + ratios[max(0, len(ratios) - 1 - late)]) / 2


def _trend(delays: Sequence[int]) -> float:
    """The later half over the earlier half."""
    half = max(1, len(delays) // 2)
    early, late = delays[:half], delays[-half:]
    return (sum(late) / half) / max(1.0, sum(early) / half)


def _can_grow(delays: Sequence[int], exact: float) -> bool:
    """Whether the delays are not those of a fall."""
    return _trend(delays) > 1 - exact and delays[-1] > delays[0] * 0.5


def _jitter(delays: Sequence[int], found: _Fit, noise_ns: int) -> bool | None:
    count, noise = len(delays), noise_ns / max(1.0, median(delays))
    if noise > _MOST_NOISE:
        return None
    if not found.is_exact and Shape.FIXED in found.plausible and not _varies(delays, noise_ns):
        return None
    if found.shape == Shape.FIXED and not found.is_exact:
        return True
    if found.is_exact:
        # A few delays with jitter may be on a curve by chance, but hardly this exactly, and those at a cap
        # say nothing of what is below it.
        is_close = found.jitter <= _CLOSE + noise_ns / max(delays) / 4
        below_cap = sum(one < 0.95 * max(delays) - noise_ns for one in delays)
        if found.shape == Shape.FIXED:
            # Neither may lateness be what makes equal delays differ, nor hide that they were not.
            early = sorted(delays)[: count - count // _LATE_OF]
            is_even = early[-1] - early[0] <= noise_ns + _CLOSE * early[0] and noise <= 2 * _EXACT
            return False if is_even and (is_close or count >= 6) else None
        return False if noise <= 2 * _EXACT and is_close and below_cap >= 4 else None
    if _is_timely(delays, noise):
        return None
    if found.shape in (Shape.LINEAR, Shape.EXPONENTIAL, Shape.IRREGULAR, Shape.UNCLEAR) and count >= 3:
        return True
    slack = noise_ns / max(delays)
    if found.shape == Shape.GROWING and count >= 5 and found.jitter > 2 * _EXACT + slack:
        return True
    if found.shape == Shape.GROWING and any(b < a - noise_ns - 0.05 * a for a, b in pairwise(delays)):
        return True
    return None


def _varies(delays: Sequence[int], noise_ns: int) -> bool:
    """Whether more of them are far from the shortest than a busy machine makes late."""
    early = sorted(delays)[: len(delays) - len(delays) // _LATE_OF]
    return early[-1] > _VARIES * early[0] + noise_ns


def _is_timely(delays: Sequence[int], noise: float) -> bool:
    """Whether all but a few late delays are on a curve: then what is off it may be the machine's."""
    first = delays[:_LOOKED_AT]
    late = len(first) // _LATE_OF
    if len(first) < 5 or not late:
        return False
    fits = [*_grown(first, "linear", late), *_grown(first, "exponential", late)]
    return min(fits)[0] <= (_EXACT + noise) / 2


def _cap(delays: Sequence[int], found: _Fit, noise_ns: int) -> int | None:
    if found.shape in (Shape.FIXED, Shape.IRREGULAR, Shape.UNCLEAR) or len(delays) < 3:
        return None
    last = delays[-2:]
    if found.is_exact and abs(last[0] - last[1]) <= noise_ns + _EXACT * last[1]:
        return max(last)
    return None
