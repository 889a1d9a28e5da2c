"""The four field reports, each ended by one command: `doctor` names hop, file and line of the faulty system.

With each fault stands the mended system as a control.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apps import NodeApp
from tests.support.certs import DAY, dated_certificate, make_certificates
from tests.support.doctor_lab import http, is_upgrade, pongs, serving, switching
from tests.support.engine import wsinspect_json
from tests.support.hops import LOOPBACK, Hop
from tests.support.small_servers import free_port
from wsinspect.handshake.heads import RawHead

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

UPGRADE = """proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;"""


async def doctor(folder: Path, url: str, *options: str) -> tuple[int, dict[str, Any]]:
    words, home = ["doctor", url, *options], folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    return await asyncio.to_thread(wsinspect_json, home, *words, timeout=110)


def worst(told: dict[str, Any]) -> list[str]:
    return [one["id"] for one in told["findings"] if one["severity"] != "note"]


def placed(told: dict[str, Any]) -> tuple[str, str, str]:
    """The fix of the first finding that names a place: file, the line as it is written there, the diff."""
    [fix] = [one for one in told["findings"][0]["fixes"] if "file" in one][:1]
    file = Path(fix["file"])
    return file.name, file.read_text().splitlines()[fix["line"] - 1].strip(), fix.get("diff", "")


def proven(told: dict[str, Any]) -> str:
    return next((str(one["proven"]) for one in told["findings"][0]["fixes"] if "proven" in one), "")


@contextlib.contextmanager
def nginx_tree(folder: Path, files: dict[str, str], port: int) -> Iterator[Path]:
    """An nginx whose configuration is a tree of files: `nginx.conf` includes the others."""
    folder.mkdir(parents=True)
    head = f"""daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
"""
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((head if name == "nginx.conf" else "") + text)
    with Hop.start(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder):
        yield folder


def http_block(folder: Path, include: str) -> str:
    return f"""http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    include {include};
}}
"""


# -- report 1: wss fails in production, behind a TLS-terminating nginx


def board(head: RawHead) -> bytes:
    """The axum application: `/ws/{board_id}` with a token."""
    if not is_upgrade(head):
        return http("400 Bad Request", b"Connection header did not include 'upgrade'")
    return switching(head) if b"token=" in head.target else http("401 Unauthorized")


async def play_board(head, reader, writer) -> None:
    answer = board(head)
    writer.write(answer)
    if answer.startswith(b"HTTP/1.1 101"):
        await pongs(reader, writer)


def site_1(folder: Path, port: int, app: int, certificates: Any, lines: str) -> dict[str, str]:
    return {
        "nginx.conf": http_block(folder, "conf.d/*.conf"),
        "conf.d/app.conf": f"""server {{
    listen {LOOPBACK}:{port} ssl http2;
    server_name localhost;
    ssl_certificate {certificates.chain};
    ssl_certificate_key {certificates.key};
    location / {{
        proxy_pass http://{LOOPBACK}:{app};
        proxy_set_header Host $host;
        {lines}
    }}
}}
""",
    }


@pytest.mark.parametrize(
    ("lines", "options", "wanted"),
    [
        pytest.param("", (), ("WS-HS-002", "426"), id="the URL alone"),
        pytest.param("", ("direct",), ("WS-HS-101", "Upgrade"), id="with the application"),
        pytest.param(UPGRADE, (), None, id="mended"),
    ],
)
def test_report_1_nginx_lacks_the_lines_for_the_upgrade(tmp_path, lines, options, wanted):
    certificates = make_certificates(tmp_path / "certs")

    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(play_board) as app:
            port, tree = free_port(), tmp_path / "nginx"
            with nginx_tree(tree, site_1(tree, port, app, certificates, lines), port):
                more = [f"--direct=http://{LOOPBACK}:{app}"] if options else []
                url = f"wss://localhost:{port}/ws/board?token=abc"
                return await doctor(
                    tmp_path, url, "--ca", str(certificates.ca), "--config", str(tree), "--prove", *more
                )

    code, told = asyncio.run(run())
    if wanted is None:
        assert (code, worst(told), told["verdict"]) == (0, [], "healthy")
        return
    assert code == 1
    first = told["findings"][0]
    assert first["id"] in (wanted[0], "WS-HS-012", "WS-HS-101"), told["findings"]
    assert "nginx" in (first["hop"] or "") + told["headline"]
    assert "conf.d/app.conf:" in told["headline"]
    file, _, diff = placed(told)
    assert file == "app.conf"
    assert "+" in diff
    assert "proxy_set_header Upgrade $http_upgrade;" in diff
    assert "101" in proven(told)


def test_report_1_and_then_it_drops_after_a_silence(tmp_path):
    certificates = make_certificates(tmp_path / "certs")

    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(play_board) as app:
            port, tree = free_port(), tmp_path / "nginx"
            lines = f"{UPGRADE}\n        proxy_read_timeout 3s;"
            with nginx_tree(tree, site_1(tree, port, app, certificates, lines), port):
                url = f"wss://localhost:{port}/ws/board?token=abc"
                options = ("--ca", str(certificates.ca), "--config", str(tree), "--idle", "8s")
                return await doctor(tmp_path, url, *options)

    code, told = asyncio.run(run())
    assert (code, worst(told), told["verdict"]) == (0, ["WS-DROP-009"], "degraded")
    assert "3 s of silence" in told["headline"]
    file, line, _ = placed(told)
    assert (file, line) == ("app.conf", "proxy_read_timeout 3s;")


# -- report 2: Nginx Proxy Manager, a custom location, Socket.IO


@contextlib.asynccontextmanager
async def socketio() -> AsyncIterator[int]:
    """A real Socket.IO server."""
    app = await NodeApp.start("socketio_server.mjs")
    try:
        yield int((await app.first_line())["port"])
    finally:
        app.process.terminate()
        await app.process.wait()


@contextlib.asynccontextmanager
async def fastapi() -> AsyncIterator[int]:
    """What the report's author had: FastAPI with python-socketio, served by uvicorn."""
    app = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.apps.fastapi_socketio_app"), stdout=subprocess.PIPE
    )
    assert app.stdout is not None
    try:
        yield int(await app.stdout.readline())
    finally:
        app.terminate()
        await app.wait()


def site_2(folder: Path, port: int, app: int, custom: str) -> dict[str, str]:
    """As Nginx Proxy Manager writes it: upgrade headers for the server, and a custom location."""
    return {
        "nginx.conf": http_block(folder, "data/nginx/proxy_host/*.conf"),
        "conf.d/include/proxy.conf": f"""add_header X-Served-By $host;
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-Scheme $scheme;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_pass http://{LOOPBACK}:{app}$request_uri;
""",
        "data/nginx/proxy_host/1.conf": f"""server {{
    listen {LOOPBACK}:{port};
    server_name localhost;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_http_version 1.1;
    location /socket.io {{
        {custom}
        include conf.d/include/proxy.conf;
    }}
    location / {{
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        include conf.d/include/proxy.conf;
    }}
}}
""",
    }


@pytest.mark.parametrize(
    ("custom", "wanted"),
    [
        pytest.param("", "upgrade", id="a custom location inherits nothing"),
        pytest.param(
            f"allow 192.0.2.1;\n        deny all;\n        {UPGRADE}", "deny all;", id="an access list"
        ),
        pytest.param(UPGRADE, None, id="mended"),
    ],
)
@pytest.mark.parametrize("application", [fastapi, socketio])
def test_report_2_nginx_proxy_manager(tmp_path, application, custom, wanted):
    async def run() -> tuple[int, dict[str, Any]]:
        async with application() as app:
            port, tree = free_port(), tmp_path / "npm"
            with nginx_tree(tree, site_2(tree, port, app, custom), port):
                url = f"ws://localhost:{port}/socket.io/?EIO=4&transport=websocket"
                return await doctor(tmp_path, url, "--config", str(tree), "--prove")

    code, told = asyncio.run(run())
    if wanted is None:
        assert (code, worst(told)) == (0, []), told["findings"]
        return
    assert code == 1
    assert "1.conf:" in told["headline"], told["headline"]
    file, line, diff = placed(told)
    if wanted == "upgrade":
        assert "101" in proven(told)
        assert told["findings"][0]["id"] in ("WS-HS-002", "WS-HS-012"), told["findings"][0]
        assert "Upgrade $http_upgrade;" in diff
    else:
        assert told["findings"][0]["id"] == "WS-HS-010"
        assert (file, line) == ("1.conf", wanted)
        # Whom to let in is not ours to say: no diff, but the configuration alone answers the same.
        assert any("as it is: 403" in one for one in told["findings"][0]["evidence"])


def test_report_2_the_page_that_never_tries(tmp_path):
    """A state that rendering on the server left behind: the socket "exists", and none is made."""
    page = b"""<!doctype html><link rel=icon href='data:,'><script>
let socketInstance = { left: "over" };
const connect = () => socketInstance || (socketInstance = new WebSocket(`ws://${location.host}/socket`));
connect();
</script>"""

    async def play(head, reader, writer) -> None:
        writer.write(http("200 OK", page, Content_Type="text/html", Connection="close"))

    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(play) as port:
            return await doctor(tmp_path, f"http://{LOOPBACK}:{port}/", "--wait", "2s")

    code, told = asyncio.run(run())
    assert (code, worst(told), told["attempts"]) == (0, ["WS-PAGE-001"], [])
    assert told["headline"] == "The page made no WebSocket attempt at all"


# -- report 3: a tunnel


def tunnel(app: int, *, passes_upgrade: bool = True, lifetime: float | None = None):
    """A tunnel that opens its own request to the local service; 502 where nobody listens there."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner = await asyncio.open_connection(LOOPBACK, app)
        except OSError:
            writer.write(http("502 Bad Gateway", b"502 Bad Gateway: tunnel client could not connect"))
            return
        lines = [
            one.raw for one in head.fields if passes_upgrade or one.key not in (b"upgrade", b"connection")
        ]
        inner.write(head.start_line + b"\r\n" + b"".join(lines) + b"\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)

        both = [asyncio.create_task(copy(reader, inner)), asyncio.create_task(copy(inner_reader, writer))]
        await asyncio.wait(both, timeout=lifetime, return_when=asyncio.FIRST_COMPLETED)
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        inner.close()

    return play


async def play_local(head, reader, writer) -> None:
    """The local service: a WebSocket at /socket."""
    if is_upgrade(head):
        writer.write(switching(head))
        await pongs(reader, writer)
    else:
        writer.write(http("426 Upgrade Required", b"this is a WebSocket endpoint"))


@pytest.mark.parametrize(
    ("name", "options", "wanted", "fault"),
    [
        ("local service down", {}, "WS-HS-020", "hop"),
        ("no upgrade", {"passes_upgrade": False}, "WS-HS-101", "hop"),
        ("request timeout", {"lifetime": 3.0}, "WS-DROP-010", "hop"),
        ("healthy", {}, None, ""),
    ],
)
def test_report_3_a_tunnel(tmp_path, name, options, wanted, fault):
    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(play_local) as app:
            behind = free_port() if name == "local service down" else app
            async with serving(tunnel(behind, **options)) as port:
                more = ["--idle", "6s", "--message", "hello"] if name != "no upgrade" else []
                if name != "local service down":
                    more.append(f"--direct=http://{LOOPBACK}:{app}")
                return await doctor(tmp_path, f"ws://{LOOPBACK}:{port}/socket", *more)

    code, told = asyncio.run(run())
    if wanted is None:
        assert (code, worst(told), told["verdict"]) == (0, [], "healthy"), told["findings"]
        return
    first = told["findings"][0]
    assert first["id"] == wanted, told["findings"]
    assert first["fault_of"] == fault
    assert code == (0 if wanted == "WS-DROP-010" else 1)
    if wanted == "WS-DROP-010":
        assert "3 s" in told["headline"]
        assert any("keeps it open longer" in line for line in first["evidence"])


# -- report 4: Action Cable behind nginx, by wss


async def play_cable(head, reader, writer) -> None:
    """Action Cable on the wire: the Origin has to be that of the Host; then a welcome."""
    host = (head.get("host") or b"").decode()
    scheme = (head.get("x-forwarded-proto") or b"http").decode()
    is_same = head.get("origin") == f"{scheme}://{host}".encode()
    if not is_upgrade(head) or head.target != b"/cable" or not is_same:
        writer.write(http("404 Not Found", b"Page not found", Content_Type="text/plain"))
        return
    offered = b"actioncable-v1-json" in head.elements("sec-websocket-protocol")
    writer.write(switching(head, Sec_WebSocket_Protocol="actioncable-v1-json" if offered else ""))
    welcome = b'{"type":"welcome"}'
    writer.write(bytes((0x81, len(welcome))) + welcome)
    await pongs(reader, writer)


def site_4(folder: Path, port: int, app: int, chain: Path, key: Path, lines: str) -> dict[str, str]:
    return {
        "nginx.conf": http_block(folder, "sites-enabled/*"),
        "sites-enabled/postfacto": f"""server {{
    listen {LOOPBACK}:{port} ssl;
    server_name localhost;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    location /cable {{
        {UPGRADE}
        proxy_set_header X-Forwarded-Proto $scheme;
        {lines}
        proxy_pass http://{LOOPBACK}:{app};
    }}
}}
""",
    }


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        pytest.param("", "WS-HS-105", id="Host is not passed on"),
        pytest.param("proxy_set_header Host $http_host;", None, id="mended"),
    ],
)
def test_report_4_action_cable(tmp_path, lines, wanted):
    certificates = make_certificates(tmp_path / "certs")

    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(play_cable) as app:
            port, tree = free_port(), tmp_path / "nginx"
            files = site_4(tree, port, app, certificates.chain, certificates.key, lines)
            with nginx_tree(tree, files, port):
                return await doctor(
                    *(tmp_path, f"wss://localhost:{port}/cable", "--subprotocol", "actioncable-v1-json"),
                    *("--ca", str(certificates.ca), "--config", str(tree)),
                    *("--header", "X-Forwarded-Proto: https", f"--direct=http://{LOOPBACK}:{app}"),
                )

    code, told = asyncio.run(run())
    if wanted is None:
        assert (code, worst(told)) == (0, []), told["findings"]
        return
    assert (code, told["findings"][0]["id"]) == (1, wanted), told["findings"]
    file, _, diff = placed(told)
    assert file == "postfacto"
    assert "proxy_set_header Host" in diff
    assert "postfacto:" in told["headline"]


def test_report_4_the_certificate_first(tmp_path):
    chain, key, _ = dated_certificate(tmp_path / "expired", "localhost", begin=-9 * DAY, end=-DAY)

    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(play_cable) as app:
            port, tree = free_port(), tmp_path / "nginx"
            with nginx_tree(tree, site_4(tree, port, app, chain, key, ""), port):
                return await doctor(tmp_path, f"wss://localhost:{port}/cable")

    code, told = asyncio.run(run())
    assert code == 1
    assert len(worst(told)) == 1
    assert worst(told)[0].startswith("WS-TLS-")
    assert all(one["status"] is None for one in told["probes"] if one["kind"] != "scheme")
