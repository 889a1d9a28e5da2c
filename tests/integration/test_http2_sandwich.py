"""The most common chain with HTTP/2: clients of HTTP/2 before a hop, HTTP/1.1 behind it."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from h2.exceptions import StreamClosedError
from websockets.asyncio.server import serve

from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.h2_lab import frame, rows
from tests.support.h2_peers import h2_client
from tests.support.hops import LOOPBACK, haproxy
from tests.support.sandwich_lab import afterwards, echo, standing, stored, told
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.hops import Hop

pytestmark = pytest.mark.lab

FIELDS = (("origin", "https://localhost"), ("x-mine", "1"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def _judge(connection, request):
    """A server that knows no path `/404`, and one Origin alone."""
    if request.path == "/404":
        return connection.respond(404, "no such path\n")
    if request.headers.get("Origin") != "https://localhost":
        return connection.respond(403, "this origin is not allowed\n")
    return None


async def _ask(client, path):
    """One message and its echo where the WebSocket opens, then a proper close; the outcome."""
    mine = client.connect(path, *FIELDS)
    stream = client.streams[mine]
    await client.wait(lambda: stream.status or stream.reset is not None)
    if stream.status != "200":
        return stream.status or stream.reset
    client.send(mine, frame(b"hello", mask=b"abcd"))
    await client.wait(lambda: len(stream.data) > 2)
    if stream.data[:1] == b"\x81" and path != "/waits":
        client.send(mine, frame(b"\x03\xe8", mask=b"abcd", opcode=0x88))
    await client.wait(lambda: stream.has_ended or stream.reset is not None)
    if not stream.has_ended:
        return stream.reset
    with contextlib.suppress(StreamClosedError):  # HAProxy resets what is over on its side
        client.send(mine, b"", end=True)
    return stream.status


def play(folder, certificates, paths, *, frontend="", backend=""):
    folder.joinpath("hop").mkdir()
    both = folder / "hop" / "both.pem"
    both.write_text(certificates.chain.read_text() + certificates.key.read_text())

    async def run():
        origin = free_port()
        async with serve(echo, LOOPBACK, 0, process_request=_judge, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            hop = await asyncio.to_thread(
                lambda: haproxy(
                    folder / "hop",
                    f"{backend}\n    server app {LOOPBACK}:{origin}",
                    bind=f" ssl crt {both} alpn h2,http/1.1",
                    frontend=frontend,
                )
            )
            with hop:
                engine = await asyncio.to_thread(
                    lambda: Engine.start(
                        "--insecure",
                        *("--tap", f"edge=127.0.0.1:0=https://{LOOPBACK}:{hop.port}"),
                        *("--tap", f"origin=127.0.0.1:{origin}=http://{LOOPBACK}:{app}"),
                        folder=folder / "engine",
                    )
                )
                try:
                    client = await h2_client(engine.port("edge"))
                    await client.wait(lambda: client.settings)
                    outcomes = [await _ask(client, path) for path in paths]
                    await client.close()
                finally:
                    await asyncio.to_thread(engine.stop)
        return outcomes, engine

    outcomes, engine = asyncio.run(run())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    with Capture.open(engine.capture) as capture:
        pairs = list(Hop(capture.query).pairs())
    found = sorted((one["id"], one["fault_of"]) for one in standing(engine.events).values())
    return SimpleNamespace(outcomes=outcomes, pairs=pairs, found=found, run=engine)


def test_a_healthy_chain_is_joined_and_has_no_finding(tmp_path, certificates):
    seen = play(tmp_path, certificates, ["/a", "/b?x=1"])
    assert seen.outcomes == ["200", "200"]
    assert [(pair.edge.tap, pair.origin.tap, pair.versions) for pair in seen.pairs] == [
        ("edge", "origin", ("HTTP/2.0", "HTTP/1.1"))
    ] * 2
    for pair in seen.pairs:
        # What a translation has to change is no change.
        assert [one.after for one in pair.request_changes] == [pair.origin.request_in.start_line]
        assert pair.request_fields == []
        assert [one.name for one in pair.response_changes] == [b""]
        assert (pair.c2s.lost_count, pair.s2c.lost_count, pair.closed_by) == (0, 0, "client")
    assert [rule for rule, _ in seen.found if rule != "WS-TLS-020"] == []
    found = rows(seen.run, "SELECT tap, http_version, server_http_version, js_code FROM connection")
    assert sorted(found) == [
        *[("edge", "HTTP/2.0", "HTTP/2.0", 1000)] * 2,
        *[("origin", "HTTP/1.1", "HTTP/1.1", 1000)] * 2,
    ]


#: HAProxy's line, and what is found: the rule, and that it is the hop's fault.
WRONG = {
    "a path": ("http-request set-path /404", "WS-HS-106"),
    "an Origin": ("http-request set-header origin https://else", "WS-HS-105"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_hop_does_wrong_is_its_fault(tmp_path, certificates, case):
    line, rule = WRONG[case]
    seen = play(tmp_path, certificates, ["/a"], frontend=line)
    assert [one for one in seen.found if one[0] != "WS-TLS-020"] == [(rule, "hop")]


def test_what_the_hop_answers_itself(tmp_path, certificates):
    seen = play(tmp_path, certificates, ["/a"], frontend="http-request deny deny_status 403")
    assert [one for one in seen.found if one[0] != "WS-TLS-020"] == [
        ("WS-HS-010", "hop"),
        ("WS-HS-103", "hop"),
    ]


def test_a_hop_that_drops_idle_connections_is_named(tmp_path, certificates):
    seen = play(tmp_path, certificates, ["/waits"], backend="timeout tunnel 1s\n    timeout server 1s")
    assert [one for one in seen.found if one[0] != "WS-TLS-020"] == [("WS-DROP-101", "hop")]
    (pair,) = seen.pairs
    assert pair.closed_by == "hop"
