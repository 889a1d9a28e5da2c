"""Idle timeouts and limits on a lifetime are recognised by what several connections have in common."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, START, cut, frame, silent
from wsinspect.findings.facts import C2S, S2C, EndFact, OpaqueFact, Other
from wsinspect.findings.registry import diagnose_connection
from wsinspect.wire.violations import MASK_UNEXPECTED


def ended_before(number, silence, *, ago=100.0, age=None, by="server", how="fin", side=None):
    """A connection that was cut `ago` seconds before, after this silence."""
    end = START - int(ago * SECOND)
    ns = int(silence * SECOND)
    silences = (ns, ns) if side is None else (0, ns) if side == S2C else (ns, 0)
    opened = end - int((age if age is not None else 3 * silence) * SECOND)
    return Other(
        number, "/chat", opened, opened, closed_ns=end, end_ns=end, ended_by=by, how=how, silences=silences
    )


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize("seconds", [1.3, 7.0, 13.37, 37.6, 421.5])
@pytest.mark.parametrize("factor", [1.0, 0.93, 1.07])
def test_equal_silences_are_an_idle_timeout_at_any_number_of_seconds(seconds, factor):
    facts = cut(*HELLO, at=0.2 + seconds, others=(ended_before(7, seconds * factor),))
    found = first(facts)
    assert (found.id, found.confidence, found.causes) == ("WS-DROP-002", "high", ())
    assert any("#7 ended after the same silence" in line for line in found.evidence)


@pytest.mark.parametrize(
    "one",
    [
        ended_before(7, 30.0),
        ended_before(7, 13.37, by="client"),
        ended_before(7, 13.37)._replace(has_close=True),
        ended_before(7, 13.37, ago=-13.67),
    ],
    ids=["another silence", "another side", "closed properly", "the same moment"],
)
def test_other_ends_prove_nothing(one):
    found = first(cut(*HELLO, at=13.57, others=(one,)))
    assert found.confidence != "high" or found.id != "WS-DROP-002"
    assert not any("#7" in line for line in found.evidence)


@pytest.mark.parametrize("seconds", [7.0, 17.0, 37.6])
def test_one_silence_ranks_an_idle_timeout_next_to_the_other_side(seconds):
    found = first(cut(*HELLO, at=0.2 + seconds))
    assert found.id in ("WS-DROP-002", "WS-DROP-006")
    causes = [one.cause for one in found.causes]
    assert any("an idle timeout" in cause for cause in causes)
    assert any("ended it" in cause for cause in causes)


def beating(until, every=1.0):
    return [frame(n, C2S, n * every, 1, b"ping") for n in range(1, int(until / every) + 1)]


@pytest.mark.parametrize("end", [10.3, 10.9, 11.0])
def test_a_silence_no_longer_than_the_heartbeat_is_never_idleness(end):
    found = first(cut(*beating(10), at=end))
    assert found.id == "WS-DROP-003"
    assert "ping" not in " ".join(fix.text for fix in found.fixes).lower()
    assert any("an idle timeout did not count this silence" in line for line in found.evidence)


def test_one_early_end_or_one_reset_amid_heartbeats_is_not_a_limit():
    assert first(cut(*beating(2, 0.25), at=2.1)).id == "WS-DROP-006"
    assert first(cut(*beating(10), at=10.3, how="rst")).id == "WS-DROP-005"
    again = ended_before(7, 0.2, age=10.2)
    assert first(cut(*beating(10), at=10.3, how="rst", others=(again,))).id == "WS-DROP-003"


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_one_client_that_leaves_amid_heartbeats_is_not_a_limit(how):
    """A script that is killed, a tab that crashes: nothing says that a hop did it."""
    found = first(cut(*beating(12), at=12.3, by="client", how=how))
    assert found.fault_of != "hop"
    assert found.id != "WS-DROP-003"
    again = ended_before(7, 0.3, age=12.2, by="client")
    assert first(cut(*beating(12), at=12.3, by="client", others=(again,))).id == "WS-DROP-003"


def test_a_longer_silence_is_not_the_heartbeat_s():
    assert first(cut(*beating(10), at=15.0)).id == "WS-DROP-002"
    assert first(cut(*beating(10), at=11.1)).id == "WS-KA-002"


def test_no_client_that_leaves_makes_an_error():
    for at in (10.3, 10.9, 11.1, 12.0):
        for how in ("fin", "rst"):
            found = diagnose_connection(cut(*beating(10), at=at, by="client", how=how))
            assert [one.id for one in found if one.severity == "error"] == []


def test_a_heartbeat_as_slow_as_a_known_limit_is_an_error_whoever_seems_to_end_it():
    beats = [frame(n, C2S, n * 58.0, 1, b"ping") for n in range(1, 7)]
    assert first(cut(*beats, at=6 * 58 + 60, by="client")).id == "WS-KA-002"


def test_nothing_is_guessed_of_a_silence_next_to_an_error_that_explains_the_end():
    guess = cut(*HELLO, at=2.2)
    assert (first(guess).id, first(guess).confidence) == ("WS-DROP-002", "low")
    bad = frame(2, S2C, 0.2, 1, b"x", violation=MASK_UNEXPECTED)
    broken = replace(guess, violations=((bad, 1),))
    assert first(broken).id.startswith("WS-FR-")
    assert "WS-DROP-002" not in [one.id for one in diagnose_connection(broken)]
    # What others prove is said all the same.
    sure = replace(broken, others=(ended_before(7, 2.0), ended_before(8, 2.02)))
    assert [one.confidence for one in diagnose_connection(sure) if one.id == "WS-DROP-002"] == ["high"]


def test_equal_ages_are_a_limit_on_the_lifetime():
    talk = [frame(n, S2C, at, 1, b"x" * 300) for n, at in enumerate((1, 4, 5, 8, 12.9), 1)]
    others = (ended_before(7, 0.2, age=13.0), ended_before(8, 0.3, age=13.1))
    found = first(cut(*talk, at=13.0, others=others))
    assert (found.id, found.confidence) == ("WS-DROP-003", "high")
    assert first(cut(*talk, at=13.0)).id == "WS-DROP-006"


def test_silent_from_the_start_ranks_the_lifetime_too():
    causes = [one.cause for one in first(silent(60.0)).causes]
    assert any("lifetime" in cause for cause in causes)


@pytest.mark.parametrize(
    ("data", "direction", "expected"),
    [
        (b"\x81\x7e\x10\x00abc", C2S, "WS-FR-001"),
        (b"\x81\xfe\x10\x00\x01\x02\x03\x04abc", S2C, "WS-FR-002"),
        (b"\xc1\x7e\x10\x00abc", S2C, "WS-FR-003"),
        (b"\x83\x7e\x10\x00abc", S2C, "WS-FR-004"),
        (b"\x89\x7e\x10\x00abc", S2C, "WS-FR-005"),
        (b"\x82\x7f" + (200).to_bytes(8, "big") + b"abc", S2C, "WS-FR-007"),
        (b"\x82\x7e\x10\x00abc", S2C, "WS-FR-010"),
        (b"\x82\x7e\x10", S2C, "WS-FR-010"),
        (b"\x82", S2C, "WS-FR-010"),
    ],
)
def test_the_header_of_an_unfinished_frame_is_judged(data, direction, expected):
    one = OpaqueFact(direction, OPEN, len(data), data, "unfinished-frame", 2)
    facts = cut(at=0.63, ends=(EndFact("server", "rst", OPEN + SECOND),), how="rst", opaque=(one,))
    found = [one for one in diagnose_connection(facts) if one.id.startswith("WS-FR")]
    assert [one.id for one in found] == [expected]
    assert found[0].frame is None
