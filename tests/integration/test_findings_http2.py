"""HTTP/2 downgrades and dead ends on real connections: HAProxy with RFC 8441, nginx, and an h2 client."""

import asyncio
import json

import pytest

from tests.support.apps import NodeApp
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.h2_client import H2Client
from tests.support.hops import LOOPBACK, NGINX_GOOD, haproxy, nginx
from tests.support.sandwich_lab import afterwards, echo_server, standing, stored, told
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab

PAGE = 'http-request return status 200 content-type text/html string "<title>a</title>" if { path / }'
HTTP_1_1_REQUIRED = 13


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def h2_haproxy(folder, certificates, *, backend="server app 127.0.0.1:9", alpn="h2,http/1.1", extra=""):
    """An HAProxy that speaks HTTP/2 to clients; from 2.4 on it announces RFC 8441."""
    folder.mkdir(parents=True, exist_ok=True)
    both = folder / "both.pem"
    both.write_text(certificates.chain.read_text() + certificates.key.read_text())
    return haproxy(folder, backend, bind=f" ssl crt {both} alpn {alpn}", frontend=extra)


def tls_nginx(folder, certificates, listen):
    tls = f"ssl_certificate {certificates.chain}; ssl_certificate_key {certificates.key};"
    return nginx(folder, 'location / { return 200 "hello"; }', server=tls, listen=listen)


def engine(folder, port, *options):
    return Engine.start(
        *("--insecure", "--tap", f"main=127.0.0.1:0=https://{LOOPBACK}:{port}"),
        *("--capture", str(folder / "kept.db")),
        *options,
        folder=folder,
    )


def h2_findings(run):
    """The findings about HTTP/2 and the tool; live and afterwards they are the same."""
    assert told(run.events) == stored(run.capture) == afterwards(run.capture)
    return sorted(rule for rule, _ in stored(run.capture) if rule.split("-")[1] in ("H2", "TOOL"))


def events(run, kind):
    with Capture.open(run.capture) as capture:
        rows = capture.query("SELECT detail FROM event WHERE kind = ? ORDER BY id", (kind,))
    return [json.loads(detail) for (detail,) in rows]


@pytest.mark.parametrize(
    ("options", "is_offered", "expected"),
    [((), True, []), (("--http2-websocket", "off"), False, ["WS-TOOL-004"])],
)
def test_an_origin_with_rfc_8441_behind_this_proxy(tmp_path, certificates, options, is_offered, expected):
    with h2_haproxy(tmp_path / "hop", certificates, extra=PAGE) as origin:
        with H2Client(origin.port) as direct:
            assert direct.request("/") == "200"
            assert direct.enable_connect is True
        with engine(tmp_path, origin.port, *options) as run:
            with H2Client(run.port("main")) as client:
                assert (client.alpn, client.request("/")) == ("h2", "200")
                assert bool(client.enable_connect) is is_offered
            run.stop()
    assert h2_findings(run) == expected
    (settings,) = events(run, "h2_settings")
    assert (settings["server_enable_connect"], settings["client_enable_connect"]) == (True, is_offered)
    assert (settings["tap"], settings["client_alpn"]) == ("main", "h2")


@pytest.mark.parametrize(
    ("listen", "offers", "options", "expected"),
    [
        (" ssl http2", ("h2", "http/1.1"), (), []),
        (" ssl", ("h2", "http/1.1"), (), []),
        (" ssl", ("http/1.1",), (), []),
        (" ssl http2", ("h2", "http/1.1"), ("--set", "http2=false"), ["WS-TOOL-001"]),
    ],
)
def test_who_made_a_client_take_http1(tmp_path, certificates, listen, offers, options, expected):
    with (
        tls_nginx(tmp_path / "hop", certificates, listen) as hop,
        engine(tmp_path, hop.port, *options) as run,
    ):
        with H2Client(run.port("main"), offers) as client:
            if client.alpn == "h2":
                assert client.request("/") == "200"
            else:
                client._socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b" 200 " in client._socket.recv(4096)
        run.stop()
    assert h2_findings(run) == expected


def test_an_extended_connect_is_refused_and_reported(tmp_path, certificates):
    with (
        h2_haproxy(tmp_path / "hop", certificates, extra=PAGE) as origin,
        engine(tmp_path, origin.port, "--http2-websocket", "off") as run,
    ):
        with H2Client(run.port("main")) as client:
            assert client.request("/") == "200"
            assert client.request("/chat", protocol="websocket") == f"reset {HTTP_1_1_REQUIRED}"
            # The connection lives on.
            assert client.request("/") == "200"
        run.wait_for_event("finding", id="WS-H2-003")
        run.stop()
    assert h2_findings(run) == ["WS-H2-003", "WS-TOOL-004"]
    (refused,) = events(run, "h2_connect_refused")
    assert (refused["protocol"], refused["path"]) == ("websocket", "/chat")


def test_an_upgrade_over_http2_is_the_clients_mistake(tmp_path, certificates):
    with (
        h2_haproxy(tmp_path / "hop", certificates, extra=PAGE) as origin,
        engine(tmp_path, origin.port) as run,
    ):
        with H2Client(run.port("main")) as client:
            fields = [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")]
            client.request("/chat", *fields)
        run.wait_for_event("finding", id="WS-H2-005")
        run.stop()
    assert h2_findings(run) == ["WS-H2-005"]


def test_a_hop_that_does_not_pass_the_announcement_on(tmp_path, certificates):
    """Chain: edge tap, an HAProxy that does not announce RFC 8441, origin tap, an HAProxy that does."""
    behind = free_port()
    with (
        h2_haproxy(tmp_path / "origin", certificates, extra=PAGE) as origin,
        silent_haproxy(tmp_path / "hop", certificates, behind) as hop,
        Engine.start(
            "--insecure",
            *("--tap", f"edge=127.0.0.1:0=https://{LOOPBACK}:{hop.port}"),
            *("--tap", f"origin=127.0.0.1:{behind}=https://{LOOPBACK}:{origin.port}"),
            folder=tmp_path,
        ) as run,
    ):
        with H2Client(run.port("edge")) as client:
            assert client.request("/") == "200"
        run.wait_for_event("finding", id="WS-H2-002")
        run.stop()
    assert "WS-H2-002" in h2_findings(run)
    (one,) = (e for (rule, _), e in standing(run.events).items() if rule == "WS-H2-002")
    assert one["hop"] == "the hop between edge and origin"


def silent_haproxy(folder, certificates, behind):
    """An HTTP/2 listener without RFC 8441, in front of a server that it speaks HTTP/2 to."""
    folder.mkdir(parents=True, exist_ok=True)
    both = folder / "both.pem"
    both.write_text(certificates.chain.read_text() + certificates.key.read_text())
    return haproxy(
        folder,
        f"server app {LOOPBACK}:{behind} ssl verify none alpn h2",
        bind=f" ssl crt {both} alpn h2,http/1.1",
        main="h2-workaround-bogus-websocket-clients",
    )


async def _in_chromium(folder, certificates, make_hop, *options):
    """A page over HTTP/2 and its socket, in Chromium through one tap."""
    async with echo_server() as (_, app):
        hop = await asyncio.to_thread(make_hop, app)
        with hop:
            run = await asyncio.to_thread(engine, folder, hop.port, *options)
            try:
                base = f"localhost:{run.port('main')}"
                browser = await NodeApp.start("chromium.mjs", f"https://{base}/")
                try:
                    await browser.first_line()
                    outcome = await browser.ask(url=f"wss://{base}/1011")
                finally:
                    await browser.stop()
            finally:
                await asyncio.to_thread(run.stop)
    return run, outcome


def test_a_finding_says_where_this_proxy_makes_a_browser_take_http1(tmp_path, certificates):
    def make_hop(app):
        backend = f"server app {LOOPBACK}:{app}"
        return h2_haproxy(tmp_path / "hop", certificates, backend=backend, extra=PAGE)

    run, outcome = asyncio.run(_in_chromium(tmp_path, certificates, make_hop, "--http2-websocket", "off"))
    assert outcome["code"] == 1011
    assert h2_findings(run) == ["WS-TOOL-004"]
    (settings,) = events(run, "h2_settings")
    assert (settings["server_enable_connect"], settings["client_alpn"]) == (True, "h2")


def test_a_browser_before_nginxs_http2_listener_is_healthy(tmp_path, certificates):
    def make_hop(app):
        tls = f"ssl_certificate {certificates.chain}; ssl_certificate_key {certificates.key};"
        locations = f"""
            location = / {{ default_type text/html; return 200 "<title>a</title>"; }}
            location / {{ proxy_pass http://{LOOPBACK}:{app}; {NGINX_GOOD} }}
        """
        return nginx(tmp_path / "hop", locations, server=tls, listen=" ssl http2")

    run, outcome = asyncio.run(_in_chromium(tmp_path, certificates, make_hop))
    assert outcome["code"] == 1011
    assert h2_findings(run) == []
    (settings,) = events(run, "h2_settings")
    assert (settings["server_enable_connect"], settings["client_alpn"]) == (False, "h2")
