"""Which limits explain what became of connections; doctor/test_hold.py plays whole trials."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.findings.triggers_held import (
    GONE,
    HEARTBEAT,
    IDLE,
    LIFETIME,
    ODD,
    REPLACED,
    RESTART,
    held,
    kept,
)
from wsinspect.findings.held import (
    Gaps,
    ended_together,
    limits,
    opened,
    own_interval_ns,
    replaced,
    vanishing,
    without_heartbeat,
)
from wsinspect.findings.registry import diagnose_probes
from wsinspect.findings.rules.held import held_line

SECOND = 10**9


def measures(facts) -> list[tuple[str, float]]:
    return [(one.measure, one.length_ns / SECOND) for one in limits(facts.held)]


def test_what_explains_the_same_is_ranked_and_what_does_not_is_out():
    assert measures(IDLE) == [("any", 60), ("client", 60)]
    assert measures(LIFETIME) == [("age", 60)]
    assert measures(kept(held("silent", 60, "fin"), held("pings", 60, "fin"))) == [
        ("age", 60),
        ("messages", 60),
    ]
    assert measures(ODD) == []
    assert measures(kept()) == []


def test_only_what_lived_longer_outlived_a_limit():
    [limit, _] = limits(IDLE.held)
    assert [one.way for one in limit.outlived] == ["pings", "pongs"]
    assert limits(LIFETIME.held)[0].outlived == ()


def test_two_limits():
    both = kept(held("silent", 20, "fin"), held("pings", 60, "fin"), held("pongs", 60, "fin"))
    first = limits(both.held)[0]
    assert (first.length_ns, first.lifetime_ns) == (20 * SECOND, 60 * SECOND)


def test_the_heartbeat_is_no_limit():
    rest, mute = without_heartbeat(HEARTBEAT.held)
    assert mute is not None
    assert mute.way == "mute"
    assert limits(rest) == []
    assert without_heartbeat(IDLE.held)[1] is None


def test_together_is_one_moment_and_not_one_age():
    assert len(ended_together(RESTART.held)) == 6
    assert ended_together(LIFETIME.held) == []
    assert ended_together(IDLE.held) == []


def test_one_connection_at_a_time():
    assert [one.way for one in replaced(REPLACED.held)] == ["silent", "pings", "pongs", "mute"]
    assert replaced(LIFETIME.held) == []
    assert replaced(IDLE.held) == []


def test_a_silence_after_which_nobody_is_there_lies_between_two_lengths():
    gone = vanishing(GONE.held)
    assert gone is not None
    assert (gone.least_ns, gone.most_ns) == (5 * SECOND, 60 * SECOND)
    assert vanishing(IDLE.held) is None


def test_a_ping_that_meets_an_end_on_its_way_is_not_a_silence_after_which_nobody_is_there():
    """The server's timer strikes while our PING is under way: its FIN and our PING's reset are one end."""
    met = [held("silent", 2.5, "fin"), held("waits", 2.7, "vanished"), held("messages")]
    assert vanishing(met) is None
    assert vanishing([held("silent", 2.5, "fin"), held("waits", 9, "vanished"), held("messages")]) is not None


def test_a_ping_in_the_last_second_before_an_end_is_no_second_limit():
    """Envoy ends a stream a second before it closes TCP, and answers nothing in between."""
    met = kept(
        held("silent", 8, "fin"), held("mute", 8, "fin"), held("waits", 7.2, "vanished"), held("pings")
    )
    assert vanishing(met.held) is None
    assert [one.id for one in diagnose_probes(met)] == ["WS-DROP-009"]
    # Well before that, or where no end was seen, nobody was there.
    early = [held("silent", 8, "fin"), held("waits", 6.5, "vanished"), held("pings")]
    assert vanishing(early) is not None
    assert (
        vanishing([held("silent", 8, "vanished"), held("waits", 7.2, "vanished"), held("pings")]) is not None
    )


def test_how_often_the_server_speaks_by_itself():
    assert own_interval_ns(IDLE.held) is None
    longest = Gaps(7 * SECOND, 7 * SECOND, 7 * SECOND)
    assert own_interval_ns([held("silent", server_frames=9, longest=longest)]) == 7 * SECOND
    assert own_interval_ns([held("silent", server_pings=9, longest=longest)]) == 7 * SECOND


def test_those_of_one_server_that_were_open():
    asked = [held("silent"), held("silent", place=1), held("pings", error="refused")]
    assert opened(asked) == asked[:1]
    assert opened(asked, 1) == asked[1:2]


def test_each_end_in_a_line():
    assert "open for 2 min" in held_line(held("silent"))
    assert "a CLOSE frame 1001 'gone'" in held_line(
        held("silent", 60, "close-frame", code=1001, reason="gone")
    )
    assert "at ws://app/" in held_line(held("silent", 60, "fin", place=1, where="ws://app/"))
    assert "not open: refused" in held_line(held("silent", error="refused"))


ways = st.sampled_from(("silent", "mute", "waits", "pings", "pongs", "messages"))
ends = st.sampled_from((None, "fin", "rst", "close-frame", "vanished"))
anything = st.lists(st.builds(held, ways, st.floats(0.01, 200), ends), max_size=9)


@given(anything)
def test_a_limit_explains_every_end(connections):
    for limit in limits(connections):
        explained = {id(one) for one in (*limit.ended, *limit.expired)}
        assert explained == {id(one) for one in connections if one.has_ended}


@given(st.sampled_from(("fin", "rst", "close-frame")), st.floats(1, 100))
def test_an_idle_limit_is_found_at_any_length(how, length):
    trial = [held("silent", length, how), held("mute", length, how), held("pings"), held("pongs")]
    if length > 10:
        assert limits(trial)[0].measure == "any"
        assert abs(limits(trial)[0].length_ns - length * SECOND) < 2
