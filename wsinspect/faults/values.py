"""Types of the fields of a fault: how a value is written, what it becomes, and its JSON Schema.

A value comes from YAML, JSON or a command line, so each type takes text as well as the plain value.
Durations become nanoseconds, sizes bytes, rates bytes per second. `parse` raises ValueError with one
sentence that says what was expected.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

JsonSchema = dict[str, Any]

NS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SIZES: Final = {
    **{"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3},
    **{"KIB": 1024, "MIB": 1024**2, "GIB": 1024**3},
}
_BITS: Final = {"BIT": 1, "KBIT": 1000, "MBIT": 1000**2, "GBIT": 1000**3}
_QUANTITY: Final = re.compile(r"(?P<sign>-?)(?P<number>[0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?P<unit>[A-Za-z]*)")
#: Longer than any test runs, and short enough for every arithmetic with epoch nanoseconds.
MAX_DURATION_NS: Final = 365 * 86400 * 10**9
MAX_SIZE: Final = 1 << 40


class ValueType:
    """How one kind of value is written.

    Attributes:
        name: for help and docs, as "duration".
        expected: what a mistake is told to write.
    """

    name = "value"
    expected = "a value"

    def parse(self, raw: Any) -> Any:
        """The value.

        Raises:
            ValueError: with what was expected.
        """
        raise NotImplementedError

    def render(self, value: Any) -> Any:
        """The value as JSON that `parse` takes."""
        return value

    def schema(self) -> JsonSchema:
        """JSON Schema of what `parse` takes from a file."""
        raise NotImplementedError

    def wrong(self, raw: Any) -> ValueError:
        """The error for `raw`."""
        return ValueError(f"expected {self.expected}, found {shown(raw)}")


def shown(raw: Any) -> str:
    """What was found, for an error in one line."""
    if isinstance(raw, str | bytes):
        raw = raw[:60]
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."


class Duration(ValueType):
    """`250ms`, `5s`, `2m`."""

    name = "duration"
    expected = "a duration such as 250ms or 5s"

    def parse(self, raw: Any) -> int:
        if raw == 0 and not isinstance(raw, bool):
            return 0
        match = _QUANTITY.fullmatch(raw.strip()) if isinstance(raw, str) else None
        if match is None or match["unit"] not in NS:
            if isinstance(raw, int | float) and not isinstance(raw, bool):
                raise ValueError(f"expected {self.expected}, found {shown(raw)} without a unit")
            raise self.wrong(raw)
        if match["sign"]:
            raise ValueError(f"a time cannot be negative: {shown(raw)}")
        value = int(Decimal(match["number"]) * NS[match["unit"]])
        if value > MAX_DURATION_NS:
            raise ValueError(f"expected a duration of at most a year, found {shown(raw)}")
        return value

    def render(self, value: Any) -> Any:
        return format_duration(value)

    def schema(self) -> JsonSchema:
        units = "|".join(NS)
        return {
            "anyOf": [
                {"type": "string", "pattern": rf"^\s*[0-9]{{1,8}}(\.[0-9]{{1,9}})?\s*({units})\s*$"},
                {"const": 0},
            ]
        }


class Size(ValueType):
    """`64KiB`, or bytes as a number."""

    name = "size"
    expected = "a size such as 64KiB or 1000"

    def parse(self, raw: Any) -> int:
        match = _QUANTITY.fullmatch(str(raw).strip()) if _is_number_or_text(raw) else None
        if match is None or match["sign"]:
            raise self.wrong(raw)
        unit = match["unit"].upper() or "B"
        if unit not in _SIZES:
            raise self.wrong(raw)
        value = int(Decimal(match["number"]) * _SIZES[unit])
        if value > MAX_SIZE:
            raise ValueError(f"expected a size of at most 1024GiB, found {shown(raw)}")
        return value

    def render(self, value: Any) -> Any:
        return format_size(value)

    def schema(self) -> JsonSchema:
        return {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*[0-9]{1,4}(\.[0-9]{1,9})?\s*([KMG]i?)?B?\s*$"},
                {"type": "integer", "minimum": 0, "maximum": MAX_SIZE},
            ]
        }


class Rate(ValueType):
    """`64KiB/s`, `1.5Mbit/s`."""

    name = "rate"
    expected = "a rate such as 64KiB/s or 1Mbit/s"

    def parse(self, raw: Any) -> int:
        text = raw.strip() if isinstance(raw, str) else ""
        head, slash, second = text.rpartition("/")
        match = _QUANTITY.fullmatch(head.strip())
        if match is None or not slash or second.strip() != "s" or match["sign"]:
            raise self.wrong(raw)
        unit, number = match["unit"].upper(), Decimal(match["number"])
        if unit in _BITS:
            value = int(number * _BITS[unit] / 8)
        elif unit in _SIZES:
            value = int(number * _SIZES[unit])
        else:
            raise self.wrong(raw)
        if not 1 <= value <= MAX_SIZE:
            raise ValueError(f"expected a rate of at least 1B/s, found {shown(raw)}")
        return value

    def render(self, value: Any) -> Any:
        return format_size(value) + "/s"

    def schema(self) -> JsonSchema:
        return {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,4}(\.[0-9]{1,9})?\s*([KMG]i?B|[KMGkm]?bit|B)\s*/\s*s$",
        }


@dataclass(frozen=True)
class Number(ValueType):
    """An integer of a range."""

    least: int = 0
    most: int = 1_000_000_000

    name = "number"

    @property
    def expected(self) -> str:  # type: ignore[override]
        return f"a whole number from {self.least} to {self.most}"

    def parse(self, raw: Any) -> int:
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,12}", raw.strip()):
            raw = int(raw)
        if not isinstance(raw, int) or isinstance(raw, bool) or not self.least <= raw <= self.most:
            raise self.wrong(raw)
        return raw

    def schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Probability(ValueType):
    """A number from 0 to 1."""

    name = "probability"
    expected = "a probability from 0 to 1"

    def parse(self, raw: Any) -> float:
        if isinstance(raw, str):
            try:
                raw = float(raw)
            except ValueError:
                raise self.wrong(raw) from None
        if not isinstance(raw, int | float) or isinstance(raw, bool) or not 0 <= raw <= 1:
            raise self.wrong(raw)
        return float(raw)

    def schema(self) -> JsonSchema:
        return {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(frozen=True)
class Choice(ValueType):
    """One of some words."""

    words: tuple[str, ...] = ()

    name = "word"

    @property
    def expected(self) -> str:  # type: ignore[override]
        return ", ".join(self.words[:-1]) + f" or {self.words[-1]}"

    def parse(self, raw: Any) -> str:
        if raw not in self.words:
            raise self.wrong(raw)
        return str(raw)

    def schema(self) -> JsonSchema:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Text(ValueType):
    """A text; `most` in bytes of UTF-8."""

    most: int = 65536
    in_header: bool = False

    name = "text"

    @property
    def expected(self) -> str:  # type: ignore[override]
        return f"a text of at most {self.most} bytes" + (" in one line" if self.in_header else "")

    def parse(self, raw: Any) -> str:
        # 1e999 is JSON and .nan is YAML; neither is what somebody meant to be sent as "inf" or "nan".
        is_whole = isinstance(raw, int) and not isinstance(raw, bool)
        if is_whole or (isinstance(raw, float) and math.isfinite(raw)):
            raw = str(raw)
        if not isinstance(raw, str):
            raise self.wrong(raw)
        try:
            size = len(raw.encode())
        except UnicodeEncodeError:
            raise self.wrong(raw) from None
        if size > self.most or (self.in_header and not is_header_value(raw)):
            raise self.wrong(raw)
        return raw

    def schema(self) -> JsonSchema:
        return {"type": "string", "maxLength": self.most}


def is_header_value(text: str) -> bool:
    """Whether a text can stand in a header field of one line (RFC 9110 section 5.5)."""
    return all(char == "\t" or 0x20 <= ord(char) < 0x7F or 0xA0 <= ord(char) <= 0xFF for char in text)


def _is_number_or_text(raw: Any) -> bool:
    return isinstance(raw, str | int) and not isinstance(raw, bool)


def format_duration(ns: int) -> str:
    """`1.5s`: the largest unit that leaves no long fraction."""
    for unit in ("h", "m", "s", "ms", "us"):
        if ns >= NS[unit] and (ns * 1000) % NS[unit] == 0:
            if unit in ("h", "m") and ns % NS[unit]:
                continue
            return f"{Decimal(ns) / NS[unit]:f}{unit}"
    return f"{ns}ns" if ns else "0s"


def format_size(size: int) -> str:
    """`64KiB` where that is exact, else bytes."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


DURATION: Final = Duration()
SIZE: Final = Size()
RATE: Final = Rate()
PROBABILITY: Final = Probability()
LINE: Final = Text(most=4096, in_header=True)
