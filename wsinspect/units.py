"""Sizes, durations and rates: the one grammar in which users write them and the one way they are printed.

Options, filters, faults, scenario files, the timeline and the control API read quantities here, so that a
spelling is taken everywhere or nowhere. A quantity is a number, an optional blank and a unit in any letter
case: `64 KiB`, `1.5MB`, `250ms`, `2 min`. What a number without a unit counts depends on the key and is
documented with it. Sizes are whole bytes, durations whole nanoseconds, rates whole bytes a second.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

US: Final = 1000
MS: Final = 10**6
SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_NUMBER: Final = r"[0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}"
#: The same for JSON Schema, whose regular expressions are ECMAScript's.
_PATTERN: Final = r"[0-9]{1,18}(\.[0-9]{1,18})?|\.[0-9]{1,18}"
#: Those of units: a microsecond is also written with either of Unicode's two mus, whose capital is one.
_LETTERS: Final = "[A-Za-z\u00b5\u03bc\u039c]"
_QUANTITY: Final = re.compile(rf"(?P<number>{_NUMBER})(?P<blank>\s*)(?P<unit>{_LETTERS}*)")
#: A unit that stands apart from its number ends where a word of a filter does; so does that of a rate.
_UNIT_BEHIND: Final = re.compile(rf"\s+(?P<unit>{_LETTERS}+)(?=(?:/[A-Za-z]+)?(?:[\s()&|,]|$))")
#: Words that people write as units, so that `gap>5 sec` is an error and not a search for the text "sec".
_NEARLY_UNITS: Final = frozenset(
    {
        *(prefix + unit for prefix in ("", "k", "m", "g", "t", "p", "ki", "mi", "gi", "ti") for unit in "b"),
        *("k", "m", "g", "t", "bit", "bits", "kbit", "mbit", "gbit", "byte", "bytes", "octet", "octets"),
        *(prefix + "byte" + s for prefix in ("kilo", "mega", "giga") for s in ("", "s")),
        *(
            "\u00b5s",
            "\u03bcs",
            "ns",
            "us",
            "ms",
            "s",
            "min",
            "h",
            "d",
            "w",
            "sec",
            "msec",
            "usec",
            "hr",
            "mins",
            "secs",
            "hrs",
        ),
        *(
            prefix + unit + s
            for prefix in ("", "milli", "micro", "nano")
            for unit in ("second", "minute", "hour", "day", "week")
            for s in ("", "s")
        ),
    }
)


class QuantityError(ValueError):
    """Text that is not a quantity of the kind that was asked for.

    Attributes:
        text: what was read.
        offset: of the character where it goes wrong, from 0.
        expected: what should stand there.
    """

    def __init__(self, text: str, offset: int, expected: str) -> None:
        self.text = text
        self.offset = offset
        self.expected = expected
        found = ascii(text[:60]) if text else "nothing"
        super().__init__(f"expected {expected}, found {found} (column {offset + 1})")

    def caret(self) -> str:
        """A line to print below the text, with a caret below the column."""
        return " " * self.offset + "^"


@dataclass(frozen=True)
class Dimension:
    """One kind of quantity.

    Attributes:
        name: as errors and documentation call it.
        units: base units in each, largest first; the names as they are printed.
        aliases: other spellings of these.
        most: the largest value, in base units, and how it is written.
        examples: for errors.
    """

    name: str
    units: dict[str, int]
    aliases: dict[str, str]
    most: tuple[int, str]
    examples: tuple[str, str]

    def factor(self, unit: str) -> int | None:
        """Base units in a unit, in any letter case; None for one that it does not have."""
        lower = unit.lower()
        lower = self.aliases.get(lower, lower)
        return next((size for name, size in self.units.items() if name.lower() == lower), None)

    def expected(self, bare: str = "") -> str:
        """What a value looks like, in a few words.

        Args:
            bare: the unit that a bare number counts in; empty where a unit has to be given.
        """
        first, second = self.examples
        return f"a {self.name} such as {first} or {second}" + (f" (bare numbers are {bare})" if bare else "")

    def parse(self, raw: Any, bare: str = "") -> int:
        """A quantity as text, or as a number of `bare` units.

        Args:
            raw: what a command line, YAML or JSON has.
            bare: the unit that a bare number counts in; empty where a unit has to be given, except for zero.

        Raises:
            QuantityError: with the place.
        """
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            raise QuantityError(_shown(raw), 0, self.expected(bare))
        if isinstance(raw, float) and not math.isfinite(raw):
            raise QuantityError(str(raw), 0, self.expected(bare))
        text = str(raw)
        start = len(text) - len(text.lstrip())
        if text[start : start + 1] == "-":
            raise QuantityError(text, start, f"{self.expected(bare)}, not a negative one")
        value, end = self.scan(text, start, bare, is_all=True)
        if rest := text[end:].strip():
            raise QuantityError(text, text.index(rest, end), "the end")
        return value

    def scan(self, text: str, start: int, bare: str, *, is_all: bool = False) -> tuple[int, int]:
        """The quantity that begins at `start`, and where it ends.

        A word behind a blank belongs to it where it is a unit, or where somebody could take it for one.

        Args:
            is_all: nothing else follows, so that any word is meant as a unit.

        Raises:
            QuantityError: with the place in `text`.
        """
        match = _QUANTITY.match(text, start)
        if match is None:
            raise QuantityError(text, start, self.expected(bare))
        unit, at, end = match["unit"], match.start("unit"), match.end()
        if match["blank"] or not unit:
            behind = _UNIT_BEHIND.match(text, match.end("number"))
            is_unit = behind is not None and (is_all or behind["unit"].lower() in _NEARLY_UNITS)
            if behind is not None and is_unit:
                unit, at, end = behind["unit"], behind.start("unit"), behind.end()
            else:
                unit, at, end = "", match.end("number"), match.end("number")
        factor = self.factor(unit or bare) if unit or bare else None
        number = Decimal(match["number"])
        if factor is None and not unit and number == 0:
            return 0, end
        if factor is None:
            names = ", ".join(reversed(self.units))
            if unit:
                raise QuantityError(text, at, f"one of the units {names}, not {ascii(unit)[1:-1][:24]}")
            raise QuantityError(text, at, f"a unit ({names})")
        value = number * factor
        if value > self.most[0]:
            raise QuantityError(text, start, f"a {self.name} of at most {self.most[1]}")
        if value != int(value):
            smallest = next(reversed(self.units))
            raise QuantityError(text, start, f"a {self.name} in whole {smallest}")
        return int(value), end

    def exact(self, value: int) -> str:
        """The value as it is written in a rule or a filter: `64KiB`, `1.5s`; `parse` gives it again."""
        for unit, size in self.units.items():
            places = 1000 if self is DURATION and size <= SECOND else 1
            if value >= size and value * places % size == 0:
                return f"{(Decimal(value) / size).normalize():f}{unit}"
        return "0s" if self is DURATION else "0B"

    def schema(self, bare: str = "") -> dict[str, Any]:
        """JSON Schema of what `parse` takes."""
        units = "|".join(_any_case(name) for name in (*self.units, *self.aliases))
        unit = rf"\s*({units})" + ("?" if bare else "")
        forms: list[dict[str, Any]] = [
            {"type": "string", "pattern": rf"^\s*(({_PATTERN}){unit}|0)\s*$"},
            {"type": "number", "minimum": 0} if bare else {"const": 0},
        ]
        return {"anyOf": forms}


SIZE: Final = Dimension(
    "size",
    {
        **{"TiB": 1 << 40, "TB": 10**12, "GiB": 1 << 30, "GB": 10**9},
        **{"MiB": 1 << 20, "MB": 10**6, "KiB": 1 << 10, "KB": 10**3, "B": 1},
    },
    {},
    (1000 << 40, "1000 TiB"),
    ("64 KiB", "1.5 MB"),
)
DURATION: Final = Dimension(
    "duration",
    {"d": DAY, "h": HOUR, "min": MINUTE, "s": SECOND, "ms": MS, "us": US, "ns": 1},
    {"m": "min", "\u00b5s": "us", "\u03bcs": "us"},
    (3650 * DAY, "3650 d"),
    ("250 ms", "5 s"),
)
_BITS: Final = {"gbit": 10**9, "mbit": 10**6, "kbit": 10**3, "bit": 1}
_RATE: Final = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?P<unit>[A-Za-z]+)\s*/\s*[sS]\s*")
_RATE_EXPECTED: Final = "a rate such as 64 KiB/s or 1 Mbit/s"


def parse_size(raw: Any, bare: str = "B") -> int:
    """Bytes: `64 KiB` (1024 based), `64 KB` (1000 based), or a number of bytes.

    Raises:
        QuantityError: with the place.
    """
    return SIZE.parse(raw, bare)


def parse_duration(raw: Any, bare: str = "s") -> int:
    """Nanoseconds: `250 ms`, `1 min`, or a number of `bare` units (empty: a unit is needed).

    Raises:
        QuantityError: with the place.
    """
    return DURATION.parse(raw, bare)


def parse_rate(raw: Any) -> int:
    """Bytes a second: `64 KiB/s`, `1.5 Mbit/s`; always with its unit, since bits and bytes are both usual.

    Raises:
        QuantityError: with the place.
    """
    text = raw if isinstance(raw, str) else _shown(raw)
    match = _RATE.fullmatch(text) if isinstance(raw, str) else None
    if match is None:
        number = re.match(rf"\s*(?:{_NUMBER})\s*", text)
        raise QuantityError(text, number.end() if number else 0, _RATE_EXPECTED)
    bits, size = _BITS.get(match["unit"].lower()), SIZE.factor(match["unit"])
    if bits is None and size is None:
        names = ", ".join([*reversed(SIZE.units), "bit, kbit, Mbit or Gbit"])
        raise QuantityError(text, match.start("unit"), f"one of {names} before /s")
    amount = Decimal(match["number"])
    value = int(amount * size) if size is not None else int(amount * (bits or 0) / 8)
    if not 1 <= value <= SIZE.most[0]:
        raise QuantityError(text, match.start("number"), f"a rate from 1 B/s to {SIZE.most[1]}/s")
    return value


def rate_schema() -> dict[str, Any]:
    """JSON Schema of what `parse_rate` takes."""
    units = "|".join(map(_any_case, (*SIZE.units, *_BITS)))
    return {"type": "string", "pattern": rf"^\s*({_PATTERN})\s*({units})\s*/\s*[sS]\s*$"}


def format_size(count: int) -> str:
    """Bytes for a reader, rounded: `61 B`, `8.2 KiB`, `100 MiB`; never `1024 KiB`, which is `1.0 MiB`."""
    if abs(count) < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if round(abs(value)) < 1024:
            return f"{_tenths(value)} {unit}"
    return f"{_tenths(value / 1024)} TiB"


def format_duration(interval_ns: int, *, is_steady: bool = False) -> str:
    """A duration for a reader, rounded: `250 us`, `3.12 ms`, `60 s`, `3 min 20 s`, `2 h 05 min`.

    Args:
        is_steady: always the same number of decimals, for columns and for numbers that change while somebody
        looks:
            `4.0 ms`, `2.310 s`, `1 min 00 s`.
    """
    sign, rest = ("-", -interval_ns) if interval_ns < 0 else ("", interval_ns)
    if rest < US and not is_steady:
        return f"{sign}{rest} ns" if rest else "0 s"
    steps = (("us", US, 1000, 0), ("ms", MS, 1000, 1), ("s", SECOND, 60 if is_steady else 120, 3))
    for unit, size, limit, places in steps:
        rounded = f"{rest / size:.{places}f}" if is_steady else _three_digits(rest / size)
        if float(rounded) < limit:
            return f"{sign}{rounded} {unit}"
    if (smalls := _rounded(rest, SECOND)) < HOUR // SECOND:
        size, unit, small_unit = 60, "min", "s"
    elif (smalls := _rounded(rest, MINUTE)) < DAY // MINUTE:
        size, unit, small_unit = 60, "h", "min"
    else:
        smalls, size, unit, small_unit = _rounded(rest, HOUR), 24, "d", "h"
    whole, left = divmod(smalls, size)
    return f"{sign}{whole} {unit}" + (f" {left:02} {small_unit}" if left or is_steady else "")


def whole_number(text: str | bytes, most_digits: int = 9) -> int | None:
    """A number in ASCII digits alone, as protocols and configurations write it; None if it is not one.

    `str.isdigit` is true of `²`, which `int` refuses, and `int` refuses more than 4300 digits.

    Args:
        most_digits: longer ones are None.
    """
    is_one = text.isascii() and text.isdigit() and len(text) <= most_digits
    return int(text) if is_one else None


def format_milliseconds(value: float) -> str:
    """Milliseconds for a reader, as `format_duration`; `nan` or `inf` of a damaged file as they are."""
    return format_duration(round(value * MS)) if math.isfinite(value * MS) else f"{value} ms"


def format_rate(bytes_per_second: int) -> str:
    """A rate for a reader: `100 KiB/s`."""
    return f"{format_size(bytes_per_second)}/s"


def _rounded(interval_ns: int, unit: int) -> int:
    return (interval_ns + unit // 2) // unit


def _tenths(value: float) -> str:
    return f"{value:.{1 if abs(value) < 99.95 else 0}f}"


def _three_digits(value: float) -> str:
    """Three digits at least, without zeros behind the point: `2.31`, `12.3`, `60`, `1023`."""
    places = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text


def _any_case(name: str) -> str:
    return "".join(f"[{char.upper()}{char.lower()}]" if char.isalpha() else char for char in name)


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."
