"""Types of the fields of a fault: how a value is written, what it becomes, and its JSON Schema.

A value comes from YAML, JSON or a command line, so each type takes text as well as the plain value.
Sizes, durations and rates are those of `wsinspect.units`. `parse` raises ValueError with one sentence that
says what was expected.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

from wsinspect import units

JsonSchema = dict[str, Any]


class ValueType(ABC):
    """How one kind of value is written.

    Attributes:
        name: for help and docs, as "duration".
        expected: what an error message asks for.
    """

    name = "value"
    expected = "a value"

    @abstractmethod
    def parse(self, raw: Any) -> Any:
        """The value.

        Raises:
            ValueError: with what was expected.
        """

    def render(self, value: Any) -> Any:
        """The value as JSON that `parse` takes."""
        return value

    @abstractmethod
    def schema(self) -> JsonSchema:
        """JSON Schema of what `parse` takes from a file."""

    def wrong(self, raw: Any) -> ValueError:
        """The error for `raw`."""
        return ValueError(f"expected {self.expected}, found {shown(raw)}")


def shown(raw: Any) -> str:
    """What was found, for an error in one line; None is what YAML has where nothing stands."""
    if raw is None:
        return "nothing"
    if isinstance(raw, str | bytes):
        raw = raw[:60]
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class Quantity(ValueType):
    """A size or a duration.

    Attributes:
        bare: the unit that a bare number counts in.
    """

    dimension: units.Dimension
    bare: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.dimension.name} (bare numbers are {self.bare})"

    @property
    def expected(self) -> str:  # type: ignore[override]
        return self.dimension.expected(self.bare)

    def parse(self, raw: Any) -> int:
        return self.dimension.parse(raw, self.bare)

    def render(self, value: Any) -> Any:
        return self.dimension.exact(value)

    def schema(self) -> JsonSchema:
        return self.dimension.schema(self.bare)


class Rate(ValueType):
    """`64 KiB/s`, `1.5 Mbit/s`."""

    name = "rate"
    expected = "a rate such as 64 KiB/s or 1 Mbit/s"

    def parse(self, raw: Any) -> int:
        return units.parse_rate(raw)

    def render(self, value: Any) -> Any:
        return units.SIZE.exact(value) + "/s"

    def schema(self) -> JsonSchema:
        return units.rate_schema()


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


class Share(Probability):
    """A probability that may be written in percent, as `tc` does."""

    name = "share"
    expected = "a share such as 2% or 0.02"

    def parse(self, raw: Any) -> float:
        if isinstance(raw, str) and raw.strip().endswith("%"):
            try:
                raw = float(raw.strip()[:-1]) / 100
            except ValueError:
                raise self.wrong(raw) from None
        return super().parse(raw)

    def schema(self) -> JsonSchema:
        return {
            "anyOf": [
                super().schema(),
                {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$"},
            ]
        }


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
        return {"type": ["string", "number"], "maxLength": self.most}  # what YAML reads as a number, too


def is_header_value(text: str) -> bool:
    """Whether a text can stand in a header field of one line (RFC 9110 section 5.5)."""
    return all(char == "\t" or 0x20 <= ord(char) < 0x7F or 0xA0 <= ord(char) <= 0xFF for char in text)


SECONDS: Final = Quantity(units.DURATION, "s")
#: Delays of frames and handshakes: bare numbers are milliseconds there, as Toxiproxy's are.
MILLISECONDS: Final = Quantity(units.DURATION, "ms")
SIZE: Final = Quantity(units.SIZE, "B")
RATE: Final = Rate()
PROBABILITY: Final = Probability()
SHARE: Final = Share()
LINE: Final = Text(most=4096, in_header=True)
