"""The capture holds what was on the wire: every byte of every case can be made again from it, and the end it
names is the one that happened.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.captures import Recorded, recorded, wait_until_settled
from tests.support.cases import all_cases
from tests.support.certs import make_certificates
from tests.support.engine import start_engine
from tests.support.origin import Origin
from tests.support.routes import Checker, Route
from tests.support.script import Case, Observation
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.slow

CASES = {case.name: case for case in all_cases()}
ROUTES = ["ws-ws", "wss-wss"]


class Played:
    """All cases on both routes, with what the peers saw and what was recorded."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Observation]] = {}
        self.recorded: dict[str, Recorded] = {}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder: Path = tmp_path_factory.mktemp("capture")
    context = make_certificates(folder / "certs").server_context()
    played = Played()
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        try:
            with start_engine(origin, folder) as engine:
                routes = [
                    Route("ws-ws", engine.port("plain")),
                    Route("wss-wss", engine.port("secure"), client_tls=True, server_tls=True),
                ]
                checker = Checker(origin)
                for route in routes:
                    played.seen[route.name] = {
                        case.name: loop.run(checker.play(case, route)) for case in _fitting(route)
                    }
                wait_until_settled(engine.capture, sum(len(seen) for seen in played.seen.values()))
                capture = engine.capture
            played.recorded = recorded(capture)
            yield played
        finally:
            loop.run(origin.__aexit__())


def _fitting(route: Route) -> list[Case]:
    return [case for case in CASES.values() if not case.tls_only or route.server_tls]


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


@pytest.mark.parametrize("route", ROUTES)
def test_every_byte_can_be_made_again(played, route):
    wrong = []
    for name, seen in played.seen[route].items():
        kept = played.recorded[seen.tag]
        pounded = any(step.what == "pound" for step in CASES[name].steps)
        for what, there, here in [
            ("s2c", seen.client, kept.response_in + kept.s2c),
            ("c2s", seen.server, kept.c2s),
        ]:
            # What was written to a peer that had gone is on record, though it arrived nowhere.
            if here != there and not (pounded and here.startswith(there)):
                at = next((n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), -1)
                wrong.append(f"{name}: {what} has {len(here)} bytes instead of {len(there)}, differs at {at}")
    assert wrong == []


ENDS = {
    # case: who ended it, how, and what JavaScript sees
    "ends-server-fin": ("server", "fin", 1006, False),
    "ends-client-fin": ("client", "fin", 1006, False),
    "ends-server-rst": ("server", "rst", 1006, False),
    "ends-client-rst": ("client", "rst", 1006, False),
    "ends-server-rst-after-60kB": ("server", "rst", 1006, False),
    "closing-server-first": ("server", "close-frame", 1000, True),
    "closing-client-first": ("client", "close-frame", 1000, True),
    "closing-empty-both": ("client", "close-frame", 1005, True),
    "closing-late-data-from-client": ("server", "close-frame", 1000, True),
    "closing-other-code-in-answer": ("client", "close-frame", 4999, True),
    "s2c-cut-at-6-fin": ("server", "fin", 1006, False),
    "c2s-cut-at-6-rst": ("client", "rst", 1006, False),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ENDS)
def test_the_end_on_record_is_the_one_that_happened(played, route, name):
    kept = played.recorded[played.seen[route][name].tag]
    assert (kept.ended_by, kept.how, kept.js_code, kept.js_was_clean) == ENDS[name]


@pytest.mark.parametrize("route", ROUTES)
def test_no_connection_is_missing_and_none_is_left_open(played, route):
    seen = played.seen[route]
    unlike = {
        name: played.recorded[seen[name].tag].state
        for name in seen
        # A client that gave up before the answer has no WebSocket that could be closed.
        if played.recorded[seen[name].tag].state != ("failed" if name.startswith("gave-up-") else "closed")
    }
    assert unlike == {}
