"""The kinds of values: how one is read, written and compared.

A kind's `tester` gives a function of the fact that the key looks up; facts that are None, or empty, fit
nothing. Numbers are kept as whole nanoseconds and bytes.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Final

from wsinspect.filters.regex import Pattern
from wsinspect.filters.values import BadValueError, Raw, text_bytes, write_text
from wsinspect.units import Dimension, QuantityError

Tester = Callable[[Any], bool]

HAS, IS, MATCHES, ANY = ":", "=", "~", "*"
COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_INTEGER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,15}|[0-9]{1,18}")
_MOST: Final = 10**18


class Kind(ABC):
    """A kind of values.

    Attributes:
        name: in a word or two.
        operators: those that may stand between key and value; `*` is a value that all know.
        expected: what a value looks like.
    """

    name: str
    operators: Sequence[str]
    expected: str

    def normal(self, sign: str) -> str:
        """One operator for those that mean the same."""
        return sign

    @abstractmethod
    def parse(self, raw: Raw, sign: str) -> Any:
        """The value.

        Raises:
            BadValueError: it is not a value of this kind.
        """

    @abstractmethod
    def write(self, value: Any) -> str:
        """The value as a filter has it."""

    @abstractmethod
    def tester(self, sign: str, value: Any) -> Tester:
        """A function that compares a fact with the value."""

    def words(self) -> Sequence[tuple[str, str]]:
        """Values with a name, and what they mean."""
        return ()


class NumberKind(Kind):
    """Whole numbers; several after `:` mean any of them."""

    name = "number"
    operators: Sequence[str] = (HAS, IS, *COMPARISONS)
    expected = "a number"
    most: ClassVar[int] = _MOST

    def normal(self, sign: str) -> str:
        """`=` and `:` mean the same for numbers."""
        return HAS if sign == IS else sign

    def parse(self, raw: Raw, sign: str) -> Any:
        """One number, or a tuple of them."""
        if sign in COMPARISONS:
            return self._number(raw.text, 0)
        numbers = []
        skip = 0
        for part in raw.text.split(","):
            numbers.append(self._number(part, skip))
            skip += len(part) + 1
        return tuple(dict.fromkeys(numbers))

    def write(self, value: Any) -> str:
        """Several numbers are joined by commas."""
        return ",".join(map(self._write, value)) if isinstance(value, tuple) else self._write(value)

    def tester(self, sign: str, value: Any) -> Tester:
        """A test that a fact of None never passes."""
        if sign in COMPARISONS:
            compare = COMPARISONS[sign]
            return lambda fact: fact is not None and compare(fact, value)
        numbers = frozenset(value)
        return lambda fact: fact in numbers

    def _number(self, text: str, skip: int) -> int:
        if not _INTEGER.fullmatch(text):
            raise BadValueError(self.expected, skip=skip)
        number = int(text, 16 if text[:2] in ("0x", "0X") else 10)
        if number > self.most:
            raise BadValueError(f"a number up to {self.most}", skip=skip)
        return number

    def _write(self, number: int) -> str:
        return str(number)


class QuantityKind(NumberKind):
    """Sizes or durations, in base units; several after `:` mean any of them.

    Args:
        dimension: which.
        bare: the unit of a bare number.
    """

    def __init__(self, dimension: Dimension, bare: str) -> None:
        self.name = dimension.name
        self.bare = bare
        self.dimension = dimension
        self.expected = dimension.expected(bare)

    def scan(self, source: str, start: int) -> int:
        """Where the value ends that begins at `start`: its units may stand behind a blank.

        Raises:
            QuantityError: with the place in the filter.
        """
        _, end = self.dimension.scan(source, start, self.bare)
        while source[end : end + 1] == ",":
            _, end = self.dimension.scan(source, end + 1, self.bare)
        return end

    def _number(self, text: str, skip: int) -> int:
        try:
            return self.dimension.parse(text, self.bare)
        except QuantityError as error:
            raise BadValueError(error.expected, skip=skip + error.offset) from None

    def _write(self, number: int) -> str:
        return self.dimension.exact(number)


class FlagKind(Kind):
    """One bit of a frame's header; `yes`, `no`, `true` and `false` are read, too."""

    name = "bit"
    operators = (HAS, IS)
    expected = "1 or 0"
    _VALUES: ClassVar = {"1": True, "0": False, "yes": True, "no": False, "true": True, "false": False}

    def normal(self, sign: str) -> str:
        """Any operator is written as `:`."""
        return HAS

    def parse(self, raw: Raw, sign: str) -> Any:
        value = self._VALUES.get(raw.text.lower())
        if value is None:
            raise BadValueError(self.expected)
        return value

    def write(self, value: Any) -> str:
        return "1" if value else "0"

    def tester(self, sign: str, value: Any) -> Tester:
        """Also for bits that are integers."""
        return lambda fact: bool(fact) is value

    def words(self) -> Sequence[tuple[str, str]]:
        return ("1", "set"), ("0", "not set")


class ChoiceKind(Kind):
    """Words, each of which stands for some members; several after `:` mean any of them.

    Args:
        words: what each word means, in words.
        members: what each word stands for; itself where it is not there.
        aliases: other words for these.
        numbers: how many numbers from 0 are values too.
        hexadecimal: whether such numbers are written so.
        ranks: members in rising order, where they can be compared.
        is_many: the fact is a collection of members, else one.
    """

    name = "choice"

    def __init__(
        self,
        words: Mapping[str, str],
        members: Mapping[str, Sequence[int | str | bool]] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        numbers: int = 0,
        hexadecimal: bool = False,
        ranks: Sequence[str] = (),
        is_many: bool = False,
    ) -> None:
        self._words = words
        self._members = members or {}
        self._aliases = aliases or {}
        self._numbers = numbers
        self._hexadecimal = hexadecimal
        self._ranks = ranks
        self._is_many = is_many
        self.is_comparable = bool(ranks) or (numbers > 0 and is_many)
        self.operators = (HAS, IS, *(COMPARISONS if self.is_comparable else ()))
        number = f" or a number up to {numbers - 1}" if numbers else ""
        self.expected = f"one of {', '.join(words)}{number}"

    def normal(self, sign: str) -> str:
        """`=` and `:` mean the same for words."""
        return HAS if sign == IS else sign

    def parse(self, raw: Raw, sign: str) -> Any:
        """One member with a comparison, else a tuple of words and numbers."""
        if sign in COMPARISONS:
            value = self._value(raw.text, 0)
            if not self._ranks and not isinstance(value, int):
                raise BadValueError("a number to compare with")
            return value
        values = []
        skip = 0
        for part in raw.text.split(","):
            values.append(self._value(part, skip))
            skip += len(part) + 1
        return tuple(dict.fromkeys(values))

    def write(self, value: Any) -> str:
        """Words, and numbers in their usual notation."""
        return ",".join(map(self._write, value if isinstance(value, tuple) else (value,)))

    def tester(self, sign: str, value: Any) -> Tester:
        """Any member will do."""
        if sign in COMPARISONS:
            return self._comparer(COMPARISONS[sign], value)
        wanted = self.members(value)
        if self._is_many:
            return lambda fact: not wanted.isdisjoint(fact)
        return lambda fact: fact in wanted

    def members(self, value: Sequence[int | str]) -> frozenset[Any]:
        """All that a list of words and numbers stands for."""
        return frozenset(
            member
            for one in value
            for member in (self._members.get(one, (one,)) if isinstance(one, str) else (one,))
        )

    def words(self) -> Sequence[tuple[str, str]]:
        return tuple(self._words.items())

    def _comparer(self, compare: Callable[[Any, Any], bool], value: Any) -> Tester:
        ranks = self._ranks
        if ranks:
            fitting = frozenset(one for one in ranks if compare(ranks.index(one), ranks.index(value)))
            return lambda fact: not fitting.isdisjoint(fact)
        return lambda fact: any(
            isinstance(one, int) and not isinstance(one, bool) and compare(one, value) for one in fact
        )

    def _value(self, text: str, skip: int) -> int | str:
        word = text.lower()
        word = self._aliases.get(word, word)
        if word in self._words:
            return word
        if self._numbers and _INTEGER.fullmatch(text):
            number = int(text, 16 if word.startswith("0x") else 10)
            if number < self._numbers:
                return self._word_of(number)
        close = get_close_matches(word, [*self._words, *self._aliases], n=1)
        suggestion = f"did you mean {close[0]!r}?" if close else ""
        raise BadValueError(self.expected, skip=skip, suggestion=suggestion)

    def _word_of(self, number: int) -> int | str:
        return next((word for word, members in self._members.items() if tuple(members) == (number,)), number)

    def _write(self, value: int | str) -> str:
        return f"0x{value:x}" if self._hexadecimal and isinstance(value, int) else str(value)


class TextKind(Kind):
    """Texts: `:` contains, `=` is the whole of it, `~` finds a regular expression.

    Args:
        folds: upper and lower case are the same.
    """

    name = "text"
    operators = (HAS, IS, MATCHES)
    expected = "a text, in quotes where it has blanks or parentheses"

    def __init__(self, *, folds: bool = False) -> None:
        self._folds = folds

    def parse(self, raw: Raw, sign: str) -> Any:
        """The text; a pattern is read by the parser."""
        if not raw.text and sign == HAS:
            raise BadValueError("at least one character")
        return raw.text

    def write(self, value: Any) -> str:
        """In quotes where it needs them, or between slashes."""
        return str(value) if isinstance(value, Pattern) else write_text(value)

    def tester(self, sign: str, value: Any) -> Tester:
        """The fact is a sequence of texts, of which one must fit."""
        test = self.text_tester(sign, value)
        return lambda fact: any(map(test, fact))

    def text_tester(self, sign: str, value: Any) -> Callable[[str], bool]:
        """A function of one text."""
        if isinstance(value, Pattern):
            return value.searcher()
        if self._folds:
            folded = value.casefold()
            if sign == HAS:
                return lambda text: folded in text.casefold()
            return lambda text: bool(text.casefold() == folded)
        if sign == HAS:
            return lambda text: value in text
        return lambda text: bool(text == value)


class BytesKind(TextKind):
    """Bytes compared as they are, with UTF-8 for the characters of the filter."""

    name = "payload"

    def tester(self, sign: str, value: Any) -> Tester:
        """The fact is bytes, or None."""
        if isinstance(value, Pattern):
            search = value.bytes_searcher()
            return lambda fact: fact is not None and search(fact)
        wanted = text_bytes(value)
        if sign == HAS:
            return lambda fact: fact is not None and wanted in fact
        return lambda fact: bool(fact == wanted)
