"""A silence proves nothing where bytes are missing that could have broken it; nor do those of others."""

import pytest

from tests.support.journals import Script, index, text, write_journal
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader
from wsinspect.findings.registry import diagnose_connection

MINUTE = 60 * 10**9


def cut_twice(tmp_path, gap):
    """Two connections that the server's side cut after a minute of silence; the first one may lack bytes."""
    script = Script()
    for number in (1, 2):
        script.open(number)
        script.data(number, 0, text(b"hello"))
        script.data(number, 1, text(b"hello", masked=False))
        if number == 1 and gap:
            script.event(1, "gap", direction=gap, bytes=100, reason="disk full")
        script.now += MINUTE
        script.end(number, "server")
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)
    with Capture.open(path) as capture:
        return FactReader(capture.query).connection(2)


@pytest.mark.parametrize(
    ("gap", "silences"),
    [(None, (True, True)), ("c2s", (False, True)), ("s2c", (True, False))],
)
def test_the_silence_of_another_connection(tmp_path, gap, silences):
    facts = cut_twice(tmp_path, gap)
    (other,) = facts.others
    assert tuple(ns is not None for ns in other.silences) == silences
    assert (other.silence_ns() is None) is (gap is not None)
    (found, *_) = diagnose_connection(facts)
    assert found.id == "WS-DROP-002"
    assert (found.confidence == "high") is any("#1 ended after the same silence" in e for e in found.evidence)
    if gap == "s2c":
        assert not any("#1 ended" in line for line in found.evidence)
