"""Values of fields: what each type takes, and how it is written back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsinspect.faults.values import (
    LINE,
    MILLISECONDS,
    PROBABILITY,
    RATE,
    SECONDS,
    SHARE,
    SIZE,
    Choice,
    Number,
    Text,
    ValueType,
    shown,
)

CODE = Number(least=1, most=100)
WORD = Choice(("fin", "rst", "silent"))


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        *((CODE, 1, 1), (CODE, "100", 100), (CODE, " 7 ", 7)),
        *((PROBABILITY, 0, 0.0), (PROBABILITY, "0.25", 0.25), (PROBABILITY, 1, 1.0)),
        *((SHARE, "2%", 0.02), (SHARE, " 12.5 % ", 0.125), (SHARE, "0.5", 0.5), (SHARE, 1, 1.0)),
        *((WORD, "fin", "fin"), (Text(), 5, "5"), (Text(), 1.5, "1.5"), (LINE, "a\tb", "a\tb")),
        *(
            (SECONDS, 5, 5 * 10**9),
            (MILLISECONDS, 5, 5 * 10**6),
            (SIZE, "1KiB", 1024),
            (RATE, "1KiB/s", 1024),
        ),
    ],
)
def test_a_value_is_read_and_written_so_that_it_is_read_again(kind: ValueType, raw: Any, value: Any) -> None:
    assert kind.parse(raw) == value
    assert kind.parse(kind.render(value)) == value


@pytest.mark.parametrize(
    ("kind", "raw", "words"),
    [
        *((CODE, 0, "from 1 to 100"), (CODE, "101", "from 1 to 100"), (CODE, True, "found True")),
        *((CODE, "1.5", "a whole number"), (CODE, "9" * 13, "a whole number"), (CODE, None, "found nothing")),
        *(
            (PROBABILITY, "x", "from 0 to 1"),
            (PROBABILITY, True, "found True"),
            (PROBABILITY, -0.1, "0 to 1"),
        ),
        *((PROBABILITY, "nan", "from 0 to 1"), (PROBABILITY, None, "found nothing")),
        *((SHARE, "101%", "a share such as 2%"), (SHARE, "x%", "0.02"), (SHARE, 2, "found 2")),
        *((SHARE, "nan%", "a share"), (SHARE, "%", "a share"), (SHARE, True, "found True")),
        *((WORD, "FIN", "fin, rst or silent"), (WORD, None, "fin, rst or silent")),
        *((Text(most=3), "abcd", "at most 3 bytes"), (Text(most=3), "\u20ac\u20ac", "at most 3 bytes")),
        *((Text(), "\ud800", "a text of at most"), (Text(), True, "found True"), (Text(), [], "found []")),
        *((LINE, "a\nb", "in one line"), (LINE, "\u20ac", "in one line"), (LINE, "a\x7f", "in one line")),
    ],
)
def test_a_wrong_value_says_what_was_expected(kind: ValueType, raw: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        kind.parse(raw)


def test_what_was_found_is_shown_in_few_characters() -> None:
    assert shown("x" * 1000) == repr("x" * 60)[:57] + "..."
    assert shown(b"x") == "b'x'"
    assert len(shown(list(range(1000)))) == 60
    assert "\n" not in shown("a\nb")
