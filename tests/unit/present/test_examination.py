"""What the doctor found, on screens of several sizes and in a pipe."""

from dataclasses import replace

import pytest

from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.model import Cause, Finding, Fix
from wsinspect.findings.registry import all_rules
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


DIFF = """/etc/nginx/conf.d/app.conf:14
--- a/conf.d/app.conf
+++ b/conf.d/app.conf
@@ -10,6 +10,8 @@
""" + "\n".join(
    [
        *(f" context {number}" for number in range(9)),
        "+    proxy_set_header Upgrade $http_upgrade;",
        "-    old;",
    ]
)


def verdict(rule, fix, *, evidence=6, causes=5):
    title = rule.title[:200]
    place = "location /socket in /etc/nginx/conf.d/a/long/way/to/app.conf:14: no 'proxy_set_header Upgrade'"
    one = Finding(
        id=rule.id,
        severity="error",
        fault_of=rule.fault_of,
        hop="Nginx Proxy Manager",
        title=title,
        meaning=rule.meaning,
        js=rule.js,
        confidence="medium",
        evidence=(place, *(f"evidence {number}: {'word ' * 25}" for number in range(evidence))),
        fixes=(fix,),
        causes=tuple(Cause(f"cause {number} {'word ' * 20}", "check " * 12) for number in range(causes)),
        connection=1,
    )
    return list(
        examination_lines(
            "wss://chat.example.com/socket",
            "failing",
            f"{title}: {place}; no 'proxy_set_header Connection'",
            [one, replace(one, id="WS-HS-001")],
            PROBES,
            Palette(),
            ruled_out=["this " * 30],
            next_steps=["that " * 30],
            curl="curl " + "-H x " * 60,
            columns=80,
            rows=24,
        )
    )


@pytest.mark.parametrize("diff", [False, True])
def test_the_verdict_of_every_rule_fits_24_lines_of_80_columns(diff):
    """Title, evidence and the fix are there, whatever software the fix is for."""
    for rule in all_rules()[:: 4 if diff else 1]:
        fixes = [Fix("nginx", DIFF, diff=DIFF)] if diff else fixes_for(rule.topic)[:2]
        for fix in fixes or (Fix("general", "read the log"),):
            found = verdict(rule, fix)
            assert rows_of(found, 80) < 24, (rule.id, fix.for_, rows_of(found, 80))
            text = "\n".join(found)
            assert rule.title[:30] in found[0]
            assert "evidence 0" in text
            assert "  fix  " in text
            assert not diff or "proxy_set_header Upgrade $http_upgrade;" in text


def test_a_long_fix_keeps_what_changes():
    rule = next(one for one in all_rules() if one.id == "WS-HS-002")
    text = "\n".join(verdict(rule, Fix("nginx", DIFF, diff=DIFF), causes=3))
    assert "+    proxy_set_header Upgrade $http_upgrade;" in text
    assert "context 3" not in text
