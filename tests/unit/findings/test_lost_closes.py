"""A CLOSE that went into the hop and did not come out: what is said depends on no machine's speed."""

import pytest

from tests.unit.findings.facts_made import OPEN, SECOND, cut, ended, frame, silent, talk
from tests.unit.findings.pairs_made import behind, pair
from wsinspect.findings.facts import C2S
from wsinspect.findings.lag import Lag
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection, diagnose_pair, ranked
from wsinspect.findings.together import link_of, together


def at(first: float, last: float) -> Lag:
    """A stretch in seconds after the 101."""
    return Lag(OPEN + int(first * SECOND), OPEN + int(last * SECOND))


def said(left: float, *lags: Lag) -> list[Finding]:
    """The client says one thing and CLOSE at 0.1 s; the server has only the first, and leaves."""
    hello = frame(1, C2S, 0.05)
    edge = ended(hello, at=0.1, lags=lags)
    origin = behind(silent(left, **{**talk(hello), "lags": lags}))
    facts = pair(edge, origin)
    own = [one for each in (facts.edge, origin) for one in diagnose_connection(each)]
    return ranked(together(diagnose_pair(facts), own, [link_of(facts)]))


@pytest.mark.parametrize(
    ("left", "lags", "blamed"),
    [
        (0.9, (), "hop"),
        (0.9, (at(0.3, 0.6),), "hop"),
        (0.9, (at(0.05, 0.85),), "hop"),
        (0.12, (), "server"),
        (0.12, (at(0.05, 0.3),), "server"),
    ],
)
def test_a_server_that_leaves_without_the_close_is_not_blamed_for_sure(left, lags, blamed):
    (found,) = said(left, *lags)
    assert (found.id, found.severity, found.fault_of) == ("WS-CL-101", "warning", blamed)
    causes = [one.cause for one in found.causes]
    assert any(one.startswith("the hop swallows") for one in causes)
    assert causes[0].startswith("it was still on its way") == (blamed == "server")


def test_a_server_that_left_first_is_blamed_as_before():
    """What the client says afterwards nobody could have passed on."""
    for left in (0.05, 0.09):
        assert "WS-CL-101" not in [one.id for one in diagnose_pair(pair(ended(at=0.1), behind(cut(at=left))))]
    # The tap in front saw the end come first, whatever it read when.
    edge = cut(at=0.1, client_close_code=1000, client_close_reason="", lags=(at(0.0, 0.5),))
    origin = behind(cut(at=0.12, lags=(at(0.0, 0.5),)))
    assert "WS-CL-101" not in [one.id for one in diagnose_pair(pair(edge, origin))]
