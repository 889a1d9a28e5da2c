"""The byte checker over sockets: every case through `wsinspect run`, in each mode and with TLS on each leg.

Frames take one way through the relay, however a connection was opened: `make test` sends them over one route,
and over the others what depends on how a connection begins and ends there; `make test-all` all over all.

One engine and one origin serve all; a test is one family of cases on one route, and its failure lists every
case that differs from the direct connection, with what differs.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cases import all_cases
from tests.support.certs import make_certificates
from tests.support.engine import Engine, start_engine
from tests.support.origin import Origin
from tests.support.routes import Checker, Route
from tests.support.threaded_loop import ThreadedLoop

CASES = all_cases()
FAMILIES = list(dict.fromkeys(case.family for case in CASES))
ROUTES = ["ws-ws", "wss-wss", "wss-ws", "ws-wss", "regular-get", "regular-connect", "regular-connect-wss"]
#: What both directions have to carry is tried in both where it has to do with how bytes come in pieces.
ONE_WAY = {"opcodes", "reserved-bits", "masks", "texts", "strangers", "deflate", "closes", "truncated"}
QUICK = {
    "ws-ws": set(FAMILIES) - {"random-rest"} - {f"{what}-s2c" for what in ONE_WAY},
    "wss-wss": {"handshakes", "ends", "half-close", "closing", "tls-ends", "mixed", "hasty", "lengths-s2c"},
    "wss-ws": {"handshakes", "ends", "half-close"},
    "ws-wss": {"ends", "half-close", "mixed"},
    "regular-get": {"handshakes", "ends"},
    "regular-connect": {"handshakes", "half-close"},
    "regular-connect-wss": {"ends", "tls-ends", "mixed"},
}


@dataclass
class Lab:
    """The checker in its own thread, with one engine before one origin."""

    loop: ThreadedLoop
    checker: Checker
    engine: Engine

    def route(self, name: str) -> Route:
        origin, port = self.checker.origin, self.engine.port
        return {
            "ws-ws": lambda: Route(name, port("plain")),
            "wss-wss": lambda: Route(name, port("secure"), client_tls=True, server_tls=True),
            "wss-ws": lambda: Route(name, port("plain"), client_tls=True),
            "ws-wss": lambda: Route(name, port("secure"), server_tls=True),
            "regular-get": lambda: Route(name, port("regular"), mode="absolute", target=origin.port),
            "regular-connect": lambda: Route(name, port("regular"), mode="connect", target=origin.port),
            "regular-connect-wss": lambda: Route(
                name,
                port("regular"),
                client_tls=True,
                server_tls=True,
                mode="connect",
                target=origin.tls_port,
            ),
        }[name]()

    def failures(self, family: str, route: str) -> dict[str, list[str]]:
        cases = [case for case in CASES if case.family == family]
        return self.loop.run(self.checker.failures(cases, self.route(route)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("bytes")
    context = make_certificates(folder / "certs").server_context()
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        try:
            with start_engine(origin, folder) as engine:
                yield Lab(loop, Checker(origin), engine)
                # The engine itself must have gone through all of this without a word.
                assert engine.stderr == ""
        finally:
            loop.run(origin.__aexit__())


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


@pytest.mark.parametrize(
    ("route", "family"),
    [
        pytest.param(route, family, marks=[] if family in QUICK[route] else pytest.mark.slow)
        for route in ROUTES
        for family in FAMILIES
    ],
)
def test_both_sides_see_what_they_see_directly(lab, route, family):
    assert lab.failures(family, route) == {}
