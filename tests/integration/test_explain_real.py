"""`explain` on what real programs really write: the right situation first, from their own stderr and logs.

Each program meets a server that does one thing. What it writes goes to `explain` as it is.
"""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm_command
from tests.support.certs import dated_certificate
from tests.support.devtools import DevTools, devtools
from tests.support.doctor_lab import http, replies, serving, switching
from tests.support.hops import LOOPBACK, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.explain.explaining import Explanation, explain
from wsinspect.explain.reading import read_lines

pytestmark = pytest.mark.lab

NODE = Path(__file__).parents[1] / "node"

WS = """import WebSocket from "ws";
const socket = new WebSocket(process.argv[1], { handshakeTimeout: 5000 });
socket.on("close", () => process.exit());"""
#: Node's own WebSocket is undici's.
UNDICI = """const socket = new WebSocket(process.argv[1]);
socket.onerror = (event) => { console.error(event.error ?? event.message); process.exit(); };
socket.onclose = (event) => { console.error(event); process.exit(); };"""
WEBSOCKETS = """import sys
from websockets.sync.client import connect
with connect(sys.argv[1], proxy=None, open_timeout=5) as socket:
    socket.recv(5)"""
AIOHTTP = """import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession() as session, session.ws_connect(sys.argv[1]) as socket:
        message = await socket.receive(5)
        print(message, socket.close_code, socket.exception())
asyncio.run(main())"""
_HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


def ws(url):
    return ["node", "--input-type=module", "-e", WS, url]


def undici(url):
    return ["node", "--no-warnings", "--experimental-websocket", "-e", UNDICI, url]


def websockets(url):
    return [sys.executable, "-c", WEBSOCKETS, url]


def aiohttp(url):
    return [sys.executable, "-c", AIOHTTP, url]


def curl(url):
    command = ["curl", "-v", "--http1.1", "-m", "20", "-o", "/dev/null"]
    for header in (*_HANDSHAKE, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="):
        command += ["-H", header]
    return [*command, url.replace("ws", "http", 1)]


async def written(command):
    """What a program writes to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=NODE,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as browser:
        yield browser


def chromium(browser: DevTools, url: str) -> bytes:
    """What Chromium writes to its console about one WebSocket."""
    page = url
    browser.open(page, "about:blank")
    browser.evaluate(page, f"new Promise((done) => new WebSocket('{url}').onclose = () => done(0))")
    until = time.monotonic() + 20
    while not (lines := browser.console(page)):  # they come a little later
        assert time.monotonic() < until
        time.sleep(0.02)
    browser.close(page)
    return "\n".join(lines).encode()


Say = Callable[[str], Awaitable[bytes]]


@pytest.fixture
def say(request: pytest.FixtureRequest, program: Any) -> Say:
    """What the program writes when it is given a URL; there is one Chromium for all of them."""
    browser = request.getfixturevalue("browser") if program is chromium else None

    async def say(url: str) -> bytes:
        if browser is not None:
            return await asyncio.to_thread(chromium, browser, url)
        return await written(program(url))

    return say


def first(text: bytes) -> Explanation:
    account = explain(read_lines(text))
    assert account.explanations, text.decode("utf-8", "replace")
    return account.explanations[0]


async def close(head, reader, writer, payload=b""):
    writer.write(switching(head) + payload)
    await writer.drain()


async def policy(head, reader, writer):
    await close(head, reader, writer, b"\x88\x08\x03\xf0policy")
    await reader.read(64)


async def reserved(head, reader, writer):
    await close(head, reader, writer, b"\xc1\x02hi")
    await reader.read(64)


async def nothing(head, reader, writer):
    """No answer at all."""


PLAYS = {
    "404": replies(lambda head: http("404 Not Found")),
    "502": replies(lambda head: http("502 Bad Gateway")),
    "accept": replies(lambda head: switching(head, Sec_WebSocket_Accept="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
    "upgrade": replies(lambda head: switching(head, Upgrade="")),
    "nothing": nothing,
    "policy": policy,
    "reserved": reserved,
    "fin": close,
}
EXPECTED = [
    *((ws, play, name) for play, name in (
        ("404", "status-404"), ("502", "status-502"), ("accept", "bad-accept"), ("upgrade", "status-101"),
        ("nothing", "empty-answer"), ("reserved", "frame-reserved"),
    )),
    *((undici, play, name) for play, name in (
        ("404", "status-other"), ("502", "status-other"), ("nothing", "status-other"),
        ("accept", "bad-accept"), ("reserved", "frame-reserved"),
    )),
    *((chromium, play, name) for play, name in (
        ("404", "status-404"), ("502", "status-502"), ("accept", "bad-accept"), ("upgrade", "bad-101"),
        ("nothing", "empty-answer"), ("reserved", "frame-reserved"),
    )),
    *((websockets, play, name) for play, name in (
        ("404", "status-404"), ("502", "status-502"), ("accept", "bad-accept"), ("upgrade", "bad-101"),
        ("nothing", "not-http"), ("policy", "close-1008"),
        ("reserved", "frame-reserved"), ("fin", "abnormal"),
    )),
    *((aiohttp, play, name) for play, name in (
        ("404", "status-404"), ("502", "status-502"), ("accept", "bad-accept"), ("upgrade", "bad-101"),
        ("nothing", "empty-answer"), ("reserved", "frame-reserved"),
    )),
    *((curl, play, name) for play, name in (
        ("404", "status-404"), ("502", "status-502"), ("nothing", "empty-answer"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("program", "play", "name"), EXPECTED, ids=lambda one: getattr(one, "__name__", one))
def test_a_client_and_a_server_that_does_one_thing(say, program, play, name):
    async def run():
        async with serving(PLAYS[play]) as port:
            return port, await say(f"ws://{LOOPBACK}:{port}/chat")

    port, text = asyncio.run(run())
    found = first(text)
    assert found.situation.name == name, text.decode("utf-8", "replace")
    if program in (aiohttp, curl, chromium) and found.places.target is not None:
        assert str(port) in found.places.target


@pytest.mark.parametrize("program", [ws, websockets, aiohttp, curl, chromium])
def test_a_client_and_a_closed_port(say, program):
    port = free_port()
    text = asyncio.run(say(f"ws://{LOOPBACK}:{port}/chat"))
    found = first(text)
    assert found.situation.name == "connect-refused", text.decode("utf-8", "replace")
    if program is not websockets:  # which does not say where it wanted to connect to
        # Chromium alone says the whole URL.
        place = f"ws://{LOOPBACK}:{port}/chat" if program is chromium else f"{LOOPBACK}:{port}"
        assert found.next[0].startswith(f"wsinspect doctor {place}")


@pytest.mark.parametrize("program", [ws, websockets, aiohttp, curl, chromium])
def test_a_client_and_a_name_that_does_not_exist(say, program):
    text = asyncio.run(say("ws://no-such-host.invalid/chat"))
    assert first(text).situation.name == "dns", text.decode("utf-8", "replace")


def openssl(port):
    return ["openssl", "s_client", "-connect", f"localhost:{port}", "-servername", "localhost"]


@pytest.mark.parametrize("program", [ws, websockets, aiohttp, curl, "openssl"])
def test_a_client_and_a_certificate_that_it_does_not_trust(program, tmp_path):
    chain, key, _ = dated_certificate(tmp_path, "localhost", is_signed=False)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)

    async def run():
        async with serving(PLAYS["404"], tls) as port:
            command = openssl(port) if program == "openssl" else program(f"wss://localhost:{port}/chat")
            return await written(command)

    text = asyncio.run(run())
    assert first(text).situation.name == "certificate-self-signed", text.decode("utf-8", "replace")


# -- proxies ------------------------------------------------------


def asked(hop, path):
    """A handshake through the hop; what it answers does not matter here."""
    subprocess.run(curl(f"ws://{LOOPBACK}:{hop.port}{path}"), capture_output=True, timeout=30, check=False)


PATHS = {
    "/dead": "bad-gateway",
    "/nothing": "upstream-closed",
    "/hang": "upstream-timeout-answer",
}


async def server(head, reader, writer):
    if head.target.startswith(b"/hang"):
        await reader.read()


def logged(hop, log, path, settle):
    """What the hop's log says of one handshake."""
    before = len(log())
    asked(hop, path)
    settle()
    hop.stop()  # and its log is whole
    return log()[before:]


async def through(start, path, log, settle=lambda: None):
    """What a hop writes of one handshake; `settle` waits for what it writes only while it lives."""
    async with serving(server) as port:
        with start(port, free_port()) as hop:
            return await asyncio.to_thread(logged, hop, log, path, settle)


@pytest.mark.parametrize(("path", "name"), PATHS.items())
def test_nginx(path, name, tmp_path):
    def start(port, dead):
        places = {"/dead": dead, "/nothing": port, "/hang": port}
        lines = "".join(
            f"location {one} {{ proxy_pass http://{LOOPBACK}:{to}; proxy_read_timeout 1s; }}\n"
            for one, to in places.items()
        )
        return nginx(tmp_path, lines)

    text = asyncio.run(through(start, path, lambda: (tmp_path / "error.log").read_bytes()))
    found = first(text)
    assert found.situation.name == name, text
    assert "--direct http://127.0.0.1:" in found.next[0]
    assert found.causes[0].fixes[0].for_ == "nginx"


@pytest.mark.parametrize(("path", "name"), PATHS.items())
def test_apache(path, name, tmp_path):
    def start(port, dead):
        rules = f"ProxyTimeout 1\nProxyPass /dead http://{LOOPBACK}:{dead}/dead upgrade=websocket\n"
        return apache(tmp_path, rules + f"ProxyPass / http://{LOOPBACK}:{port}/ upgrade=websocket")

    text = asyncio.run(through(start, path, lambda: (tmp_path / "error.log").read_bytes()))
    assert first(text).situation.name == name, text
    assert first(text).causes[0].fixes[0].for_ == "apache"


@pytest.mark.parametrize(("path", "name"), [("/dead", "bad-gateway"), ("/nothing", "upstream-closed")])
def test_caddy(path, name, tmp_path):
    def start(port, dead):
        site = f"log\nhandle /dead* {{\n reverse_proxy {LOOPBACK}:{dead}\n}}\n"
        return caddy(tmp_path, f"{site}handle {{\n reverse_proxy {LOOPBACK}:{port}\n}}")

    text = asyncio.run(through(start, path, lambda: (tmp_path / "hop.log").read_bytes()))
    found = first(text)
    assert found.situation.name == name, text
    assert found.places.path == path
    assert found.causes[0].fixes[0].for_ == "caddy"


@pytest.mark.parametrize(("path", "name"), PATHS.items())
def test_haproxy(path, name, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind((LOOPBACK, 0))
        syslog.settimeout(20)

        def start(port, dead):
            return haproxy(
                tmp_path,
                f"server app {LOOPBACK}:{port}\nbackend dead\nserver app {LOOPBACK}:{dead}",
                main=f"log {LOOPBACK}:{syslog.getsockname()[1]} local0",
                timeouts="log global\noption httplog\ntimeout connect 1s\ntimeout server 1s\nretries 0",
                frontend="use_backend dead if { path_beg /dead }",
            )

        lines = [b""]

        def read():
            # The line comes after the answer has left: of a process that is stopped before that, never.
            while path.encode() not in lines[-1]:
                lines.append(syslog.recv(8192))

        asyncio.run(through(start, path, lambda: b"", read))
    text = lines[-1]
    found = first(text)
    assert found.situation.name == name, text
    assert found.causes[0].fixes[0].for_ in ("haproxy", "general")


_LOG = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"


@pytest.mark.skipif(envoy_program() is None, reason="there is no Envoy for this machine")
@pytest.mark.parametrize(("path", "name"), [*PATHS.items(), ("/nowhere", "no-route")])
def test_envoy(path, name, tmp_path):
    def start(port, dead):
        routes = [
            {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
            {"match": {"prefix": "/hang"}, "route": {"cluster": "app", "timeout": "1s"}},
            {"match": {"prefix": "/nothing"}, "route": {"cluster": "app"}},
        ]
        manager = {
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "access_log": [{"name": "stdout", "typed_config": {"@type": _LOG}}],
        }
        return envoy(tmp_path, routes, {"app": port, "dead": dead}, manager=manager)

    text = asyncio.run(through(start, path, lambda: (tmp_path / "hop.log").read_bytes()))
    found = first(text)
    assert found.situation.name == name, text
    assert found.places.path == path


def test_the_command_reads_a_real_log(tmp_path):
    """End to end: nginx's log, piped."""

    def start(port, dead):
        return nginx(tmp_path, f"location / {{ proxy_pass http://{LOOPBACK}:{dead}; }}")

    text = asyncio.run(through(start, "/ws?token=1", lambda: (tmp_path / "error.log").read_bytes()))
    command = [str(warm_command.program()), "explain", "--json"]
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=True)
    [one] = json.loads(done.stdout)["explanations"]
    assert (one["situation"], one["path"]) == ("bad-gateway", "/ws?token=1")
    assert shutil.which("nginx")


#: A text of Firefox's for the console, what fills it, and the situation that it means; None is no failure.
FIREFOX = [
    ("browser/appstrings.properties", "connectionFailure", ("{url}",), "status-other"),
    ("browser/appstrings.properties", "netInterrupt", ("{url}",), "interrupted"),
    ("csp.properties", "CSPGenericViolation", ("connect-src 'self'", "{url}", "connect-src"), "csp"),
    ("csp.properties", "CSPROGenericViolation", ("connect-src 'self'", "{url}", "connect-src"), None),
    ("security.properties", "BlockMixedActiveContent", ("{url}",), "mixed-content"),
    (
        "necko.properties",
        "LocalNetworkAccessPermissionRequired",
        ("https://a.example", "https://a.example", "192.168.1.5", "192.168.1.5", "80", "WebSocket", "true"),
        "local-network",
    ),
]


def firefox_text(file, name):
    """A text of the Firefox on this machine; its archives are zip files."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("no Firefox is installed")
    folder = Path(program).resolve().parent
    found = []
    for archive in (folder / "omni.ja", folder / "browser" / "omni.ja"):
        with zipfile.ZipFile(archive) as content:
            for one in content.namelist():
                if one.endswith(file):
                    lines = content.read(one).decode().splitlines()
                    found += [line.partition("=") for line in lines]
    return next(value.strip() for key, _, value in found if key.strip() == name)


@pytest.mark.parametrize(("file", "name", "values", "situation"), FIREFOX)
def test_the_texts_of_the_installed_firefox(file, name, values, situation):
    url = "wss://chat.example.com/ws"
    text = firefox_text(file, name)
    for number, value in enumerate(values, 1):
        text = text.replace(f"%{number}$S", value.format(url=url)).replace("%S", value.format(url=url))
    found = explain(read_lines(f"{text} app.js:12:22".encode())).explanations
    assert [one.situation.name for one in found] == ([situation] if situation else []), text
