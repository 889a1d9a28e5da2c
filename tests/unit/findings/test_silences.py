"""Idle timeouts and limits on a lifetime are recognised by what several connections have in common."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, START, cut, frame, request, silent, switching
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
    twice = first(cut(*beating(12), at=12.3, by="client", others=(again,)))
    assert twice.id == "WS-DROP-003"
    # A script that is run twice does the same.
    assert twice.confidence == "medium"
    assert any("run again" in one.cause for one in twice.causes)


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


# -- one limit, or another: what explains all ends


def talking(until, *gaps):
    """Messages of the server at irregular times: no heartbeat."""
    times, at = [], 0.1
    while at < until:
        times.append(at)
        at += gaps[len(times) % len(gaps)]
    return [frame(n, S2C, at, 1, b"x" * 300) for n, at in enumerate(times, 1)]


def test_equal_ages_and_other_silences_are_a_lifetime_limit_at_the_silent_one_too():
    """Of a limit on the age the silent connections are as well: no idle timeout ended the busy ones."""
    busy = ended_before(7, 0.2, age=20.0)
    quiet = silent(20.0, others=(busy,))
    assert first(quiet).id == "WS-DROP-003"
    assert any("the silences before these ends differ" in line for line in first(quiet).evidence)
    talk = talking(19.7, 0.4, 1.1, 0.7)
    other = ended_before(7, 20.0, age=20.0)
    assert first(cut(*talk, at=20.0, others=(other,))).id == "WS-DROP-003"


@pytest.mark.parametrize(
    "other",
    [
        ended_before(7, 0.2, age=26.0),
        ended_before(7, 0.2, age=20.0)._replace(path="/another"),
        # The server was as silent: a limit that counts its bytes.
        ended_before(7, 20.0, age=20.0, side=S2C),
    ],
    ids=["another age", "another path", "as silent in one direction"],
)
def test_no_lifetime_is_made_of_another_age_path_or_of_one_side_s_silence(other):
    assert first(silent(20.0, others=(other,))).id == "WS-DROP-002"


def test_an_idle_timeout_that_met_others_at_other_ages_is_none_of_the_age():
    """One more connection was cut at this age by chance."""
    others = (ended_before(7, 20.0, age=90.0), ended_before(8, 0.2, age=20.1))
    found = first(silent(20.0, others=others))
    assert (found.id, found.confidence, found.causes) == ("WS-DROP-002", "high", ())


def test_a_lifetime_is_refuted_by_one_that_lived_longer():
    talk = talking(12.9, 1.3, 2.1)
    others = (ended_before(7, 0.2, age=13.0), ended_before(8, 0.3, age=13.1))
    assert first(cut(*talk, at=13.0, others=others)).id == "WS-DROP-003"
    older = ended_before(9, 0.2, age=40.0)
    assert first(cut(*talk, at=13.0, others=(*others, older))).id == "WS-DROP-006"
    elsewhere = older._replace(path="/another")
    assert first(cut(*talk, at=13.0, others=(*others, elsewhere))).id == "WS-DROP-003"


def test_a_silence_that_was_survived_before_is_no_idle_timeout():
    facts = cut(frame(1, S2C, 0.1), frame(2, S2C, 4.2), at=7.3)
    assert first(facts).id == "WS-DROP-006"
    assert not any("idle" in one.cause for one in first(facts).causes)
    assert first(cut(frame(1, S2C, 0.1), frame(2, S2C, 2.2), at=5.3)).id == "WS-DROP-002"
    # Of another connection of the same path, and of one direction alone.
    longer = ended_before(7, 9.0, age=60.0)
    assert first(cut(*HELLO, at=3.2, others=(longer,))).id == "WS-DROP-006"
    assert first(cut(*HELLO, at=3.2, others=(longer._replace(path="/another"),))).id == "WS-DROP-002"
    same = ended_before(8, 3.05, age=33.0)
    assert first(cut(*HELLO, at=3.2, others=(same,))).confidence == "high"
    assert first(cut(*HELLO, at=3.2, others=(same, longer))).id == "WS-DROP-006"


def test_equal_ages_and_equal_silences_are_not_told_apart():
    """Data until 2.5 s, an end at 3.5 s, twice: what is likelier is first, and both are named."""
    talk = talking(2.5, 0.12, 0.2)
    twin = ended_before(7, 1.0, age=3.5)
    found = first(cut(*talk, at=3.45, others=(twin,)))
    assert (found.id, found.confidence) == ("WS-DROP-003", "medium")
    assert ["lifetime" in one.cause for one in found.causes] == [True, False]
    assert "idle timeout" in found.causes[1].cause
    # Mostly silence: the other one is likelier.
    quiet = first(cut(*talk, at=5.0, others=(ended_before(7, 2.5, age=5.0),)))
    assert (quiet.id, quiet.confidence) == ("WS-DROP-002", "medium")
    assert any("lifetime" in one.cause for one in quiet.causes)


ENVOY = switching(Server="envoy")


def test_envoy_closes_tcp_a_second_late_and_no_timeout_counted_that():
    """max_stream_duration ends a stream that was never silent (delayed_close_timeout, 1 s by default)."""
    talk = talking(2.5, 0.12, 0.2)
    assert first(cut(*talk, at=3.5)).id == "WS-DROP-002"
    assert first(cut(*talk, at=3.5, raw_response_in=ENVOY)).id == "WS-DROP-006"
    # Its idle timeout of 2 s.
    assert first(cut(*talk, at=5.5, raw_response_in=ENVOY)).id == "WS-DROP-002"
    beats = beating(10)
    assert first(cut(*beats, at=11.9, raw_response_in=ENVOY)).id == "WS-DROP-003"


@pytest.mark.parametrize("silence", [1.0, 5.0, 20.0, 30.0, 60.0, 300.0])
@pytest.mark.parametrize(("how", "rule"), [("fin", "WS-DROP-007"), ("rst", "WS-DROP-005")])
def test_one_end_of_a_client_s_own_is_no_hop_s_whatever_the_silence(silence, how, rule):
    found = diagnose_connection(cut(*HELLO, at=0.2 + silence, by="client", how=how))
    assert [(one.id, one.fault_of) for one in found] == [(rule, "client")]
    assert found[0].severity == ("note" if how == "fin" else "warning")


BEHIND = request(X_Forwarded_For="203.0.113.9")


def test_an_end_from_a_hop_before_this_tap_is_that_hop_s_where_a_known_limit_fits():
    limit = cut(*HELLO, at=60.2, by="client", raw_request_in=BEHIND)
    assert (first(limit).id, first(limit).fault_of, first(limit).severity) == ("WS-DROP-002", "hop", "error")
    odd = cut(*HELLO, at=8.2, by="client", raw_request_in=BEHIND)
    assert (first(odd).id, first(odd).severity) == ("WS-DROP-007", "note")


def test_equal_silences_of_clients_are_their_own_where_nothing_shows_a_hop_before_this_tap():
    others = (ended_before(7, 13.37, by="client"), ended_before(8, 13.4, by="client", ago=90))
    own = first(cut(*HELLO, at=13.57, by="client", others=others))
    assert (own.id, own.fault_of, own.severity, own.confidence) == (
        *("WS-DROP-002", "client", "warning", "medium"),
    )
    assert "the client ends after that silence" in own.causes[0].cause
    assert "a hop before this tap" in own.causes[1].cause
    hops = first(cut(*HELLO, at=13.57, by="client", others=others, raw_request_in=BEHIND))
    assert (hops.id, hops.fault_of, hops.severity) == ("WS-DROP-002", "hop", "error")
