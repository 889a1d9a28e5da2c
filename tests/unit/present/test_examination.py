"""What the doctor found, on screens of several sizes and in a pipe."""

from dataclasses import replace

import pytest

from wsinspect.findings.model import Cause, Finding, Fix
from wsinspect.present.examination import ProbeLine, examination_lines
from wsinspect.present.terminal import Palette

FINDING = Finding(
    id="WS-HS-101",
    severity="error",
    fault_of="hop",
    hop="nginx",
    title="The hop removes the Upgrade headers",
    meaning="A meaning of some length. " * 8,
    js="What JavaScript sees. " * 8,
    confidence="high",
    evidence=tuple(f"evidence number {number} of a line or so" for number in range(8)),
    fixes=(Fix("nginx", "one line\ntwo lines\nthree lines"), Fix("general", "in general " * 20)),
    causes=(Cause("this", "by that"), Cause("or this", "by something else")),
    connection=1,
)
PROBES = [
    ProbeLine(number, f"question {number}", "HTTP/1.1 400", 1.0, b"GET / HTTP/1.1") for number in range(20)
]
HEADLINE = "nginx in front of the application removes Upgrade: conf.d/app.conf:14 lacks two lines"


def lines(count=1, rows=24, columns=80, *, is_verbose=False, palette=None):
    findings = [FINDING, *(replace(FINDING, id=f"WS-HS-{number:03}") for number in range(1, count))]
    return list(
        examination_lines(
            "wss://chat.example.com/socket",
            "failing",
            HEADLINE,
            findings,
            PROBES,
            palette or Palette(),
            ruled_out=[f"this is ruled out {number}" for number in range(12)],
            next_steps=["ask the server behind it"],
            curl="curl " + "-H x " * 60,
            columns=columns,
            rows=rows,
            is_verbose=is_verbose,
        )
    )


def rows_of(found, columns):
    return sum(1 + max(0, len(line) - 1) // columns for line in found)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_it_fits_a_screen_of_24_lines(count):
    found = lines(count)
    assert rows_of(found, 80) < 24
    assert " ".join(found[:2]) == HEADLINE
    assert found[2] == "failing  wss://chat.example.com/socket"
    text = "\n".join(found)
    for words in (
        "evidence number 0",
        "this (to check: by that)",
        "three lines",
        "ask the server behind it",
        "-v shows",
    ):
        assert words in text
    assert "question 3" not in text


def test_the_first_line_says_it_in_words_everywhere():
    assert lines(rows=None, columns=None)[0] == HEADLINE
    assert lines(is_verbose=True)[0].startswith("nginx in front of the application removes")


def test_a_pipe_a_large_screen_and_verbose_have_all_of_it():
    for found in (lines(rows=None, columns=None), lines(rows=200), lines(is_verbose=True)):
        text = "\n".join(found)
        assert "question 19" in text
        assert "evidence number 7" in text
        assert "As curl" in text
        assert "-v shows" not in text


def test_colour_takes_no_room():
    assert len(lines(palette=Palette(True))) == len(lines())
