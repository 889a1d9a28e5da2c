"""nginx as it is configured well and badly: the exact findings through one tap, and in a sandwich."""

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.finding_lab import by_path, found_in, record_port
from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.journals import need
from tests.support.matrix_lab import reset
from tests.support.recorder_rig import wait_for
from tests.support.sandwich_lab import afterwards, echo, echo_server, play, stored, talk, told
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import Hop as TwoTaps
from wsinspect.diagnosis.hops import diagnose_hop
from wsinspect.findings.facts import CaptureFacts
from wsinspect.findings.registry import diagnose_capture

pytestmark = pytest.mark.lab

#: path: (finding ids of the edge's tap alone, those of the sandwich)
CASES = {
    "/good-map": ([], []),
    "/good-literal": ([], []),
    "/good-inherited": ([], []),
    "/no-upgrade": (["WS-HS-002"], ["WS-HS-101"]),
    "/default": (["WS-HS-014"], ["WS-HS-101"]),
    "/no-version": (["WS-HS-014"], ["WS-HS-102"]),
    "/connection-close": (["WS-HS-002"], ["WS-HS-101"]),
    "/not-inherited": (["WS-HS-002"], ["WS-HS-101"]),
    "/idle": (["WS-DROP-002"], ["WS-DROP-101"]),
    "/301": (["WS-HS-005"], ["WS-HS-005", "WS-HS-103"]),
    "/slash": (["WS-HS-006"], ["WS-HS-006", "WS-HS-103"]),
    "/to-login": (["WS-HS-007"], ["WS-HS-007", "WS-HS-103"]),
    "/401": (["WS-HS-009"], ["WS-HS-009", "WS-HS-103"]),
    "/403": (["WS-HS-010"], ["WS-HS-010", "WS-HS-103"]),
    "/404": (["WS-HS-011"], ["WS-HS-011", "WS-HS-103"]),
    "/413": (["WS-HS-013"], ["WS-HS-013", "WS-HS-103"]),
    "/429": (["WS-HS-017"], ["WS-HS-017", "WS-HS-103"]),
    "/500": (["WS-HS-019"], ["WS-HS-019", "WS-HS-103"]),
    "/page": (["WS-HS-004"], ["WS-HS-004", "WS-HS-103"]),
    "/502": (["WS-HS-020"], ["WS-HS-020", "WS-HS-103"]),
    "/504": (["WS-HS-022"], ["WS-HS-022", "WS-HS-103"]),
    "/rewritten/1011": (["WS-CL-011"], ["WS-CL-011"]),
}


def locations(origin: int, dead: int, mute: int) -> str:
    pass_on = f"proxy_pass http://{LOOPBACK}:{origin};"
    return f"""
    {NGINX_GOOD}
    location /good-map {{ {NGINX_GOOD} {pass_on} }}
    location /good-literal {{
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        {pass_on}
    }}
    location /good-inherited {{ {pass_on} }}
    location /no-upgrade {{ proxy_http_version 1.1; proxy_set_header Host $http_host; {pass_on} }}
    location /default {{ proxy_http_version 1.0; proxy_set_header Host $http_host; {pass_on} }}
    location /no-version {{
        proxy_http_version 1.0;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        {pass_on}
    }}
    location /connection-close {{
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection close;
        {pass_on}
    }}
    location /not-inherited {{ proxy_set_header X-Anything 1; {pass_on} }}
    location /idle {{ {NGINX_GOOD} proxy_read_timeout 3s; {pass_on} }}
    location /301 {{ return 301 https://$host$request_uri; }}
    location = /slash {{ return 301 http://$http_host/slash/; }}
    location /to-login {{ return 302 https://$host/accounts/login?next=$request_uri; }}
    location /401 {{ return 401; }}
    location /403 {{ return 403; }}
    location /404 {{ return 404; }}
    location /413 {{ return 413; }}
    location /429 {{ return 429; }}
    location /500 {{ return 500; }}
    location /page {{ default_type text/html; return 200 "<!doctype html><title>app</title>"; }}
    location /502 {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{dead}; }}
    location /504 {{ {NGINX_GOOD} proxy_read_timeout 1s; proxy_pass http://{LOOPBACK}:{mute}; }}
    location /rewritten/ {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{origin}/other/; }}
    """


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    with socket.socket() as mute:
        mute.bind((LOOPBACK, 0))
        mute.listen()
        silent = mute.getsockname()[1]
        return play(
            lambda origin, folder: nginx(folder, locations(origin, free_port(), silent)),
            list(CASES),
            tmp_path_factory.mktemp("nginx"),
            waiting=["/idle", "/rewritten/1011"],
        )


@pytest.mark.parametrize("path", CASES)
def test_the_exact_findings_of_the_edge_alone(seen, path):
    assert seen[path].edge_ids == CASES[path][0]


@pytest.mark.parametrize("path", CASES)
def test_the_exact_findings_of_the_sandwich(seen, path):
    assert seen[path].sandwich_ids == CASES[path][1]


def test_nginx_is_named_with_the_lines_that_fix_it(seen):
    (found,) = seen["/no-upgrade"].sandwich
    assert found.hop is not None
    assert "nginx" in found.hop
    assert found.fault_of == "hop"
    assert found.fixes[0].for_ == "nginx"
    assert "proxy_set_header Upgrade $http_upgrade;" in found.fixes[0].text
    assert any(line.startswith("removed  Upgrade: websocket") for line in found.evidence)


def test_the_result_has_versions_header_blocks_and_messages(seen):
    pair = seen["/default"].pair
    assert pair is not None
    assert pair.versions == ("HTTP/1.1", "HTTP/1.0")
    good = seen["/good-map"].pair
    assert good is not None
    assert good.joined_by == "key"
    assert good.c2s is not None
    assert (good.c2s.sent, good.c2s.arrived, good.c2s.lost_count) == (1, 1, 0)
    assert good.closed_by == "client"
    assert seen["/idle"].pair is not None
    assert seen["/idle"].pair.closed_by == "hop"


def test_an_http2_listener_is_not_a_reason_to_fail(tmp_path):
    lab = make_certificates(tmp_path / "certificates")
    seen = play(
        lambda origin, folder: nginx(
            folder,
            f"location / {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{origin}; }}",
            server=f"ssl_certificate {lab.chain}; ssl_certificate_key {lab.key};",
            listen=" ssl http2",
        ),
        ["/good"],
        tmp_path,
        scheme="https",
    )
    assert seen["/good"].status == 101
    # --insecure bears the lab's certificate; about HTTP/2 there is nothing to say.
    assert seen["/good"].sandwich_ids == ["WS-TLS-020"]


def test_cookies_that_are_too_large(tmp_path):
    """nginx says it in its page, with 400; a token as subprotocol does the same."""

    async def requests(base):
        for cookie in ("a=b", "session=" + "x" * 9000):
            with contextlib.suppress(WebSocketException, OSError):
                async with connect(
                    f"{base}/ws{len(cookie)}", additional_headers={"Cookie": cookie}, proxy=None
                ):
                    pass

    async def play():
        async with echo_server() as (_, app):
            location = f"location / {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{app}; }}"
            with await asyncio.to_thread(nginx, tmp_path / "nginx", location) as hop:
                return await record_port(tmp_path, hop.port, requests)

    capture = asyncio.run(play())
    assert by_path(capture) == {"/ws3": [], "/ws9008": ["WS-HS-015"]}
    (found,) = found_in(capture)
    assert found.hop == "nginx"
    assert any("Request Header Or Cookie Too Large" in line for line in found.evidence)
    assert "large_client_header_buffers" in found.fixes[0].text


async def _reload(folder):
    """Four connections of different ages, and a reload that lets old workers live for a second."""
    async with echo_server() as (_, app):
        locations = f"location / {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{app}; }}"
        hop = await asyncio.to_thread(
            lambda: nginx(folder / "hop", locations, main="worker_shutdown_timeout 1s;")
        )
        with hop:
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    "--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{hop.port}", folder=folder / "e"
                )
            )
            waiting = []
            for _ in range(4):
                url = f"ws://{LOOPBACK}:{engine.port('edge')}/chat"
                waiting.append(asyncio.create_task(talk(url, waits=True)))
                await asyncio.sleep(0.3)
            hop.reload()
            await asyncio.gather(*waiting)
            await asyncio.to_thread(engine.stop)
    return engine


def test_a_reload_ends_many_at_once_and_is_one_finding(tmp_path):
    engine = asyncio.run(_reload(tmp_path))
    with Capture.open(engine.capture) as capture:
        found = diagnose(capture.query)
    assert [one.id for one in found] == ["WS-DROP-004"]
    assert found[0].evidence[0].startswith("4 connections within")


@pytest.mark.slow
def test_of_a_hop_that_dies_while_the_server_restarts_each_is_blamed_for_its_own(tmp_path):
    """Half of the ends come from behind the hop, by RST, and half are the hop's, all within a moment."""

    async def play():
        restarted = []

        async def serve_until_restart(connection):
            if connection.request.path == "/restarts":
                restarted.append(connection)
            await echo(connection)

        async with serve(serve_until_restart, LOOPBACK, 0, ping_interval=None) as server:
            app, origin = next(iter(server.sockets)).getsockname()[1], free_port()
            location = f"location / {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{origin}; }}"
            with await asyncio.to_thread(nginx, tmp_path / "hop", location) as hop:
                taps = (
                    f"edge={LOOPBACK}:0=http://{LOOPBACK}:{hop.port}",
                    f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}",
                )
                engine = await asyncio.to_thread(
                    lambda: Engine.start("--tap", taps[0], "--tap", taps[1], folder=tmp_path / "engine")
                )
                base = f"ws://{LOOPBACK}:{engine.port('edge')}"
                clients = []
                for number in range(8):
                    path = ("/restarts", "/stays")[number % 2]
                    clients.append(asyncio.create_task(talk(base + path, waits=True)))
                    await asyncio.sleep(0.1)
                await asyncio.to_thread(wait_for, lambda: len(restarted) == 4, "all that the server ends")
                for one in restarted:
                    reset(one)
                await asyncio.gather(*clients[::2])
                await asyncio.to_thread(hop.kill)
                await asyncio.gather(*clients)
                await asyncio.to_thread(engine.stop)
                return engine

    engine = asyncio.run(play())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    with Capture.open(engine.capture) as capture:
        paths = {one.id: one.path for one in capture.connections()}
        taps = {one.id: one.tap for one in capture.connections()}
        both = diagnose_hop(TwoTaps(capture.query), diagnose(capture.query)).findings
        facts = FactReader(capture.query).capture()
    groups = {str(one.fault_of): one for one in both if one.id == "WS-DROP-004"}
    assert set(groups) == {"hop", "server"}
    for party, path in (("hop", "/stays"), ("server", "/restarts")):
        assert {paths[number] for number, _ in groups[party].covers} == {path}
    assert "nginx" in need(groups["hop"].hop)
    assert {paths[need(one.connection)] for one in both if one.fault_of == "hop"} == {"/stays"}
    # One tap before the hop sees eight ends, and says of whom it does not know.
    edge = [one for one in facts.connections if taps[one.id] == "edge"]
    (alone,) = diagnose_capture(CaptureFacts(connections=tuple(edge), lags=facts.lags))
    assert (alone.id, alone.confidence, len(alone.causes)) == ("WS-DROP-004", "medium", 2)
