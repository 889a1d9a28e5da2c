"""The table of patterns and situations: whole, each entry reachable, each with a source."""

import re

import pytest

from tests.support.every_case import every_case
from wsinspect.explain.matching import match_all
from wsinspect.explain.reading import read_lines
from wsinspect.explain.table import patterns, situations
from wsinspect.findings.close_codes import known_code
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.registry import all_rules
from wsinspect.findings.software import NAMES

#: Lines that come around the one that matters, and what is put before and behind it.
NOISE = (
    "{}",
    "\x1b[31m{}\x1b[0m",
    "2026-11-29T14:31:41.123Z  {}",
    "web-1  | {}",
    "Nov 29 14:31:41 host app[1234]: {}",
    "[14:31:41] [ERROR] {}   ",
    "app.js:12  {}\r",
)
#: These are what stands alone in a line, so a prefix makes them something else.
ALONE = {"status-alone", "close-alone", "curl-status", "curl-head", "curl-no-upgrade"}


def test_there_are_many_and_each_has_an_example_and_a_source():
    assert len(patterns()) > 400
    for one in patterns():
        assert one.examples, one.name
        assert len(one.source) > 10, one.name
        assert one.program, one.name


#: Whose lines the command promises to know, and the fewest that would be of use.
PROGRAMS = {
    "Chrome": 20, "Firefox": 5, "Safari": 5,
    "Node ws": 10, "undici": 5, "Python websockets": 10, "aiohttp": 10, "gorilla": 10, "coder": 5,
    "tungstenite": 10, "Java": 10, ".NET": 5, "Socket.IO": 5, "SignalR": 5, "Phoenix": 5,
    "nginx": 10, "HAProxy": 10, "Apache httpd": 10, "Caddy": 5, "Envoy": 10, "Traefik": 5,
    "uvicorn": 5, "Rails": 5, "Django": 5, "OpenSSL|openssl": 5, "curl": 10,
}  # fmt: skip


def test_every_program_that_is_promised_has_patterns():
    for name, least in PROGRAMS.items():
        found = [one.name for one in patterns() if re.search(name.replace(".", r"\."), one.program, re.I)]
        assert len(found) >= least, (name, found)


#: Where a line can be looked up: a path, an address, an API or a version (`a/b`, `a.b`), or a name in a
#: program or a specification (`a: b`).
SOURCE = re.compile(r"\w/\w|\w\.\w|\w: \w|RFC \d")


def test_a_source_can_be_looked_up():
    for one in patterns():
        assert SOURCE.search(one.source), (one.name, one.source)


def test_each_example_meets_its_own_entry_first():
    """So nothing is unreachable, and no entry hides another."""
    with every_case(400) as case:
        for one in patterns():
            for example in one.examples:
                with case(one.name, repr(example)):
                    first = match_all(read_lines(example.encode()).lines)[0]
                    assert first.pattern.name == one.name


@pytest.mark.parametrize("noise", NOISE)
def test_noise_around_an_example_changes_nothing(noise):
    for one in patterns():
        if one.name in ALONE or one.is_whole:
            continue
        for example in one.examples:
            found = [
                seen.pattern.name for seen in match_all(read_lines(noise.format(example).encode()).lines)
            ]
            expected = [seen.pattern.name for seen in match_all(read_lines(example.encode()).lines)]
            # A pattern that begins or ends with its line keeps to a more general one at worst.
            anchored = one.match.startswith("^") or one.match.endswith("$") or "^" in one.match
            assert found[:1] == expected[:1] or (anchored and found), (one.name, example)


def test_lines_around_it_change_nothing():
    for one in patterns():
        text = "\n".join(
            ["Starting up", "", one.examples[0], "    at Object.<anonymous> (/app/x.js:1:1)", "done"]
        )
        names = [seen.pattern.name for seen in match_all(read_lines(text.encode()).lines)]
        assert one.name in names or one.is_whole, one.name


def test_names_of_situations_software_and_findings_exist():
    ids = {rule.id for rule in all_rules()}
    for one in patterns():
        assert one.situation in {*situations(), "status", "close"}, one.name
        assert set(one.software) <= set(NAMES), one.name
        assert set(one.hides) <= {each.name for each in patterns()}, one.name
        if one.first:
            causes = situations()[one.situation].causes
            assert any(one.first in (*cause.findings, cause.words) for cause in causes), one.name
    for situation in situations().values():
        for cause in situation.causes:
            assert set(cause.findings) <= ids, situation.name
            assert cause.words, situation.name
            assert cause.tell_apart, situation.name
            assert not cause.topic or cause.topic in FIXES, situation.name


def test_no_situation_is_unreachable():
    used = {one.situation for one in patterns()}
    for name in situations():
        by_number = re.fullmatch(r"(status|close)-(\d+|\dxx|other|private|reserved)", name)
        assert name in used or by_number, name


def test_several_causes_come_with_a_probe_that_decides():
    for situation in situations().values():
        if len(situation.causes) > 1 and situation.ask in ("doctor", "tap"):
            assert situation.probe, situation.name


def test_each_cause_says_how_to_recognise_it_by_itself():
    for situation in situations().values():
        told = [cause.tell_apart for cause in situation.causes]
        assert len(set(told)) == len(told), situation.name
        words = [cause.words for cause in situation.causes]
        assert len(set(words)) == len(words), situation.name


def test_causes_have_fixes():
    """A cause without a topic of its own takes that of its finding; each situation's first one has a fix."""
    for situation in situations().values():
        if situation.causes:
            assert situation.causes[0].topic, situation.name


def test_every_status_and_close_code_has_a_situation():
    for status in (101, 200, 204, 301, 302, 307, 400, 401, 403, 404, 405, 407, 408, 418, 421, 426, 429, 431):
        assert match_all(read_lines(f"HTTP {status}".encode()).lines) or status in (101, 200, 204)
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015):
        assert f"close-{code}" in situations()
    assert known_code(4401, subprotocols=(), place="", reason="") is not None
