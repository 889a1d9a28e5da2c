"""Servers that carry WebSockets over HTTP/2, and servers that do not, behind the proxy and on both its sides.

The application says one sentence and closes with 4001; whatever versions are on the way, it is what a client
is told and what the capture has. Who carries what is in `tests.support.h2_servers`, and in docs/modes.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.browser_run import wait_for
from tests.support.certs import Certificates, make_certificates
from tests.support.engine import Engine
from tests.support.h2_asked import SAID, Outcome, Place, ask, over_http1, over_http2
from tests.support.h2_servers import (
    KINDS,
    application,
    hypercorn,
    is_missing,
    newest_caddy,
    nghttpx,
    tls_apache,
    tls_envoy,
    tls_haproxy,
    tls_nginx,
)
from tests.support.hops import Hop
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader
from wsinspect.diagnosis.hops import Hop as TwoTaps
from wsinspect.findings.registry import diagnose_connection

pytestmark = pytest.mark.lab

#: Each WebSocket ended so; which of these findings there are is not what is tested here.
EXPECTED_FINDINGS = {"WS-TLS-020", "WS-CL-030", "WS-H2-006"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def app() -> Iterator[int]:
    with application() as port:
        yield port


@pytest.fixture(scope="module")
def servers(certificates, app, tmp_path_factory) -> Iterator[dict[str, int]]:
    """The ports of all, started side by side."""
    ports: dict[str, int] = {}
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        for number, (name, kind) in enumerate(KINDS.items()):
            if is_missing(name):
                continue
            ports[name] = stack.enter_context(kind.start(folder / str(number), certificates, app))
        yield ports


class Run(NamedTuple):
    """An engine before all servers.

    Attributes:
        taps: the name of each server's tap; of a forward proxy they are all `regular`.
    """

    mode: str
    engine: Engine
    taps: dict[str, str]
    servers: dict[str, int]

    def place(self, name: str) -> Place:
        if name not in self.taps:
            pytest.skip(f"there is no {name} for this machine")
        port = self.engine.port(self.taps[name])
        return Place(self.servers[name], port) if self.taps[name] == "regular" else Place(port)


@pytest.fixture(
    scope="module",
    params=[("mirror", False), ("bridge", False), ("mirror", True), ("bridge", True)],
    ids=["mirror", "bridge", "mirror-forward", "bridge-forward"],
)
def run(request, servers, tmp_path_factory) -> Iterator[Run]:
    """An engine with a tap before each server, or one forward proxy before all."""
    mode, is_forward = request.param
    taps = {name: "regular" if is_forward else f"t{number}" for number, name in enumerate(servers)}
    words = ["--insecure", "--http2-websocket", mode, *(["--listen", "0"] if is_forward else [])]
    for name, port in servers.items():
        words += [] if is_forward else ["--tap", f"{taps[name]}=127.0.0.1:0=https://localhost:{port}"]
    with Engine.start(*words, folder=tmp_path_factory.mktemp(mode)) as engine:
        yield Run(mode, engine, taps, servers)


def path_of(name: str, version: int) -> str:
    """A path of its own for each server and version: a forward proxy has one tap for all."""
    return f"/{list(KINDS).index(name)}/{version}"


def ended(engine: Engine, tap: str, path: str) -> int:
    """The number of a connection that is over."""
    begun = engine.wait_for(
        lambda one: one["event"] == "attempt" and one["tap"] == tap and one["url"].endswith(path)
    )
    number = int(begun["connection"])
    engine.wait_for(lambda one: one["event"] in ("close", "refused") and one["connection"] == number)
    return number


def recorded(run: Run, name: str, path: str) -> tuple[tuple[Any, ...], list[str]]:
    """Versions, status and how JavaScript would see the end of a connection that is over; its findings."""
    number = ended(run.engine, run.taps[name], path)
    with Capture.open(run.engine.capture) as capture:
        # A refusal is said before its connection has ended.
        over = "SELECT 1 FROM connection WHERE id = ? AND closed_ns IS NOT NULL"
        wait_for(lambda: capture.query(over, (number,)) or None)
        ((tap, *facts),) = capture.query(
            "SELECT tap, http_version, server_http_version, status, js_code, js_was_clean FROM connection"
            " WHERE id = ?",
            (number,),
        )
        seen = FactReader(capture.query).connection(number)
    assert tap == run.taps[name]
    assert seen is not None
    found = {one.id for one in diagnose_connection(seen)}
    return tuple(facts), sorted(found - EXPECTED_FINDINGS)


#: Envoy makes an upgrade of an extended CONNECT without Sec-WebSocket-Key (envoyproxy/envoy#8547).
LACKS_KEY = "Envoy"


@pytest.mark.parametrize("name", KINDS)
def test_a_client_of_http2(run, name):
    kind, is_bridging = KINDS[name], run.mode == "bridge"
    path = path_of(name, 2)
    outcome = ask(over_http2, run.place(name), path)
    if not is_bridging and kind.alpn is None:
        assert outcome == ("http/1.1", None, 0, b"")
        return
    assert outcome[:2] == ("h2", kind.offers or is_bridging)
    facts, found = recorded(run, name, path)
    if name == LACKS_KEY:
        assert (outcome.answer, facts, found) == (400, ("HTTP/2.0", "HTTP/2.0", 400, 1006, 0), ["WS-H2-008"])
    elif name == "Node http2, off" and is_bridging:
        assert (outcome.answer, facts) == (426, ("HTTP/2.0", "HTTP/1.1", 426, 1006, 0))
    elif kind.offers or is_bridging:
        assert (outcome.answer, outcome.said, found) == (200, SAID, [])
        version = "HTTP/2.0" if kind.offers else "HTTP/1.1"
        assert facts == ("HTTP/2.0", version, 200 if kind.offers else 101, 4001, 1)
    else:
        # It was asked for what it had not offered.
        assert found == ["WS-H2-007"]
        assert facts[0] == "HTTP/2.0"
        assert facts[3:] == (1006, 0)


@pytest.mark.parametrize("name", KINDS)
def test_a_client_of_http1(run, name):
    kind, is_bridging = KINDS[name], run.mode == "bridge"
    path = path_of(name, 1)
    outcome = ask(over_http1, run.place(name), path)
    facts, found = recorded(run, name, path)
    if name == LACKS_KEY and is_bridging:
        assert (outcome.answer, facts, found) == (400, ("HTTP/1.1", "HTTP/2.0", 400, 1006, 0), ["WS-H2-008"])
        return
    is_connect = kind.offers and is_bridging
    if name.startswith("Node") and not is_connect:
        assert (outcome.answer, facts) == (426, ("HTTP/1.1", "HTTP/1.1", 426, 1006, 0))
        return
    assert (outcome.answer, outcome.said, found) == (101, SAID, [])
    assert facts == (
        *("HTTP/1.1", "HTTP/2.0" if is_connect else "HTTP/1.1", 200 if is_connect else 101),
        *(4001, 1),
    )


# -- on both sides of a hop

Make = Callable[[Path, Certificates, int], Hop]
#: Hops that speak HTTP/1.1 to the application.
BEFORE_HTTP1: dict[str, Make] = {
    "HAProxy": tls_haproxy,
    "Apache": lambda f, c, app: tls_apache(f, c, app, "H2WebSockets on\n"),
    "nghttpx": nghttpx,
    "Envoy": tls_envoy,
    "Caddy": newest_caddy,
    "nginx": tls_nginx,
}
#: Hops that speak HTTP/2 to it, whatever their clients speak.
BEFORE_HTTP2: dict[str, Make] = {
    "HAProxy": lambda f, c, app: tls_haproxy(f, c, app, "ssl verify none alpn h2"),
    "nghttpx": lambda f, c, app: nghttpx(f, c, app, "proto=h2;tls", "--insecure"),
    "Envoy": lambda f, c, app: tls_envoy(f, c, app, is_http2_behind=True),
    # Told to speak HTTP/2 alone, it speaks HTTP/1.1 for WebSockets.
    "Caddy": lambda f, c, app: newest_caddy(f, c, app, is_http2_behind=True),
}


class Chain(NamedTuple):
    """What was seen of a WebSocket over each version of HTTP, through a hop between two taps.

    Attributes:
        outcomes: what the clients were told.
        pairs: versions and status on both sides of the hop, and the fields that it changed in a request.
        findings: by number of the connection; 1 is the first client's.
    """

    outcomes: list[Outcome]
    pairs: list[tuple[tuple[str | None, str | None], int | None, set[str]]]
    findings: list[tuple[str, int | None]]


def through(name: str, make: Make, folder: Path, certificates: Certificates, behind: str) -> Chain:
    if is_missing(name):
        pytest.skip(f"there is no {name} for this machine")
    origin = free_port()
    with (
        make(folder / "hop", certificates, origin) as hop,
        Engine.start(
            "--insecure",
            *("--tap", f"edge=127.0.0.1:0=https://localhost:{hop.port}"),
            *("--tap", f"origin=127.0.0.1:{origin}={behind}"),
            folder=folder / "engine",
        ) as engine,
    ):
        outcomes = []
        for way, path in ((over_http2, "/two"), (over_http1, "/one")):
            outcomes.append(ask(way, Place(engine.port("edge")), path))
            ended(engine, "edge", path)
        engine.stop()
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    with Capture.open(engine.capture) as capture:
        pairs = [
            (pair.versions, pair.edge.status, {one.name for one in pair.request_fields})
            for pair in TwoTaps(capture.query).pairs()
        ]
    found = sorted(one for one in stored(engine.capture) if one[0] not in EXPECTED_FINDINGS)
    return Chain(outcomes, pairs, found)


#: What every hop may add about itself, and Apache's Host of the server behind it.
ABOUT_HOP = {"via", "x-request-id", "accept-encoding", "host", "content-length"}


def about_websocket(names: set[str]) -> set[str]:
    return {one for one in names if not one.startswith("x-forwarded-")} - ABOUT_HOP


@pytest.mark.parametrize("name", BEFORE_HTTP1)
def test_a_hop_before_a_server_of_http1(name, certificates, app, tmp_path):
    seen = through(name, BEFORE_HTTP1[name], tmp_path, certificates, f"http://127.0.0.1:{app}")
    over2, over1 = seen.outcomes
    assert (over1.answer, over1.said) == (101, SAID)
    assert seen.pairs[-1][0] == ("HTTP/1.1", "HTTP/1.1")
    if name == "nginx":
        # It was not allowed, and nobody but a client that asks all the same notices.
        assert (over2.is_offered, over2.answer) == (False, 400)
        assert seen.pairs[0] == (("HTTP/2.0", None), 400, set())
        assert seen.findings == [("WS-H2-007", 1), ("WS-HS-103", 1)]
    elif name == LACKS_KEY:
        assert (over2.is_offered, over2.answer) == (True, 400)
        assert seen.findings == [("WS-H2-101", 1)]
    else:
        assert over2 == ("h2", True, 200, SAID)
        versions, status, changed = seen.pairs[0]
        assert (versions, status, about_websocket(changed)) == (("HTTP/2.0", "HTTP/1.1"), 200, set())
        assert seen.findings == []


@pytest.fixture(scope="module")
def http2_app(certificates, tmp_path_factory) -> Iterator[int]:
    with hypercorn(tmp_path_factory.mktemp("hypercorn"), certificates) as server:
        yield server.port


@pytest.mark.parametrize("name", BEFORE_HTTP2)
def test_a_hop_before_a_server_of_http2(name, certificates, http2_app, tmp_path):
    seen = through(name, BEFORE_HTTP2[name], tmp_path, certificates, f"https://127.0.0.1:{http2_app}")
    assert [(one.answer, one.said) for one in seen.outcomes] == [(200, SAID), (101, SAID)]
    behind = "HTTP/1.1" if name == "Caddy" else "HTTP/2.0"
    assert [pair[0] for pair in seen.pairs] == [("HTTP/2.0", behind), ("HTTP/1.1", behind)]
    assert [about_websocket(pair[2]) for pair in seen.pairs] == [set(), set()]
    assert seen.findings == []


def test_a_hop_that_allows_what_it_cannot_send_on(certificates, http2_app, tmp_path):
    """Apache's mod_proxy_http2 has no WebSockets: an extended CONNECT, and an upgrade, become a GET."""

    def make(folder, certificates, app):
        return tls_apache(folder, certificates, app, "H2WebSockets on\n", is_http2_behind=True)

    seen = through("Apache", make, tmp_path, certificates, f"https://127.0.0.1:{http2_app}")
    assert [(one.is_offered, one.answer) for one in seen.outcomes] == [(True, 502), (None, 200)]
    assert [pair[0] for pair in seen.pairs] == [("HTTP/2.0", "HTTP/2.0"), ("HTTP/1.1", "HTTP/2.0")]
    assert seen.findings == [("WS-H2-102", 1), ("WS-HS-101", 3)]
