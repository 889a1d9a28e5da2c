"""What Chromium refuses by itself, and the names that it has for it: what findings say of browsers is true.

Local Network Access: a page that Chromium takes for public (`--ip-address-space-overrides`) and a server on
loopback. Chromium's names of network errors: those that the rules print are those in its console. Handshakes
and frames that it refuses: those that the doctor calls failing.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.certs import DAY, dated_certificate, make_certificates
from tests.support.devtools import DevTools, devtools
from tests.support.doctor_lab import Play, examined, is_upgrade, pongs, replies, serving, switching
from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, found_in
from tests.support.named_sites import NamedSites, Served
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop
from tests.unit.findings.facts_made import capture
from wsinspect.doctor.examination import Examination
from wsinspect.doctor.target import Extras
from wsinspect.findings.evidence import js_status
from wsinspect.findings.registry import all_rules, diagnose_capture
from wsinspect.handshake.heads import RawHead

pytestmark = pytest.mark.lab

NODE = Path(__file__).resolve().parents[1] / "node"
BLOCKED = "net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: What JavaScript sees of a socket, as JSON: its state or the events until it was closed.
TALK = """new Promise((resolve) => {
  const seen = [];
  const socket = new WebSocket("URL");
  socket.onopen = () => { seen.push("open"); socket.close(1000); };
  socket.onerror = () => seen.push("error");
  socket.onclose = ({ code }) => resolve([...seen, code]);
})"""
STATES = """Promise.all(["loopback-network", "local-network"].map(
  async (name) => (await navigator.permissions.query({ name })).state))"""


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: int) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        allow = 'allow="loopback-network"' if path == "/allowed" else ""
        frame = f'<iframe {allow} src="http://{LOOPBACK}:{other}/inner"></iframe>'
        body = f"<!doctype html><link rel=icon href='data:,'>{'' if path == '/inner' else frame}".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
    writer.close()


class Public:
    """Two origins that Chromium takes for public, the browser, and an echo server behind a tap."""

    def __init__(self, loop: ThreadedLoop, browser: DevTools, pages: list[int]) -> None:
        self.loop, self.browser, self.pages = loop, browser, pages

    def open(self, name: str, path: str = "/", *, proxy: int | None = None) -> None:
        self.browser.open(name, f"http://{LOOPBACK}:{self.pages[0]}{path}", proxy=proxy)


@pytest.fixture(scope="module")
def public() -> Iterator[Public]:
    ports = [free_port(), free_port()]
    spaces = ",".join(f"{LOOPBACK}:{port}=public" for port in ports)

    async def serve() -> list[asyncio.Server]:
        return [
            await asyncio.start_server(lambda reader, writer: _page(reader, writer, ports[1]), LOOPBACK, port)
            for port in ports
        ]

    async def end(servers: list[asyncio.Server]) -> None:
        for server in servers:
            server.close()

    with ThreadedLoop() as loop:
        servers = loop.run(serve())
        try:
            with devtools(loop, f"--ip-address-space-overrides={spaces}") as browser:
                yield Public(loop, browser, ports)
        finally:
            loop.run(end(servers))


def test_a_blocked_page_connects_and_leaves_without_a_byte(public, tmp_path):
    browser = public.browser
    with Engine.start(*("--mode", f"reverse:http://{LOOPBACK}:9@{LOOPBACK}:0"), folder=tmp_path) as engine:
        port = engine.ready["listeners"][0]["port"]
        public.open("blocked")
        assert browser.frame("blocked", 0, STATES) == ["prompt", "prompt"]
        seen = browser.evaluate("blocked", TALK.replace("URL", f"ws://{LOOPBACK}:{port}/ws"))
        assert seen == ["error", 1006]
        assert any(BLOCKED in line for line in browser.console("blocked"))
        assert engine.wait_for_event("client_left")["how"] == "fin"
        browser.close("blocked")
        engine.stop()
    [finding] = found_in(engine.capture)
    assert finding.id == "WS-PAGE-006"
    assert BLOCKED in finding.js
    assert "0 bytes" in finding.evidence[0]
    assert "Local Network Access" in finding.causes[0].cause


def test_an_iframe_needs_the_attribute_by_the_name_of_the_permission(public):
    browser = public.browser
    # The second origin is another one: its frame has no permission of the page's without `allow`.
    for path, states in (("/", ["denied", "denied"]), ("/allowed", ["prompt", "denied"])):
        public.open(path, path)
        browser.until(path, "document.querySelector('iframe') !== null")
        assert browser.frame(path, 1, STATES) == states, path
        browser.close(path)


def test_a_page_with_the_permission_connects(public):
    browser = public.browser
    with _Answers(None) as server:
        url = f"ws://{LOOPBACK}:{server.port}/ws"
        public.open("granted")
        # Chromium's driver knows both permissions by the name that they had before they were split.
        browser.grant("granted", "local-network-access")
        assert browser.frame("granted", 0, STATES) == ["granted", "granted"]
        assert browser.evaluate("granted", TALK.replace("URL", url)) == ["error", 1006]
        assert any("Unexpected response code: 403" in line for line in browser.console("granted"))


def test_a_forward_proxy_hides_it_and_the_note_says_so(public, tmp_path):
    """A page at a public name, a server on loopback, both through the engine: no permission is asked for."""
    sites = NamedSites({"/": Served("<!doctype html><link rel=icon href='data:,'>")})
    context = make_certificates(tmp_path / "certs").server_context()
    public.loop.run(sites.start(context))
    try:
        with (
            devtools(public.loop) as lenient,
            Engine.start(
                *("--mode", f"upstream:http://{LOOPBACK}:{sites.proxy_port}@{LOOPBACK}:0", "--insecure"),
                folder=tmp_path,
            ) as engine,
        ):
            proxy = engine.ready["listeners"][0]["port"]
            lenient.open("named", "https://app.example.org/", proxy=proxy)
            seen = lenient.evaluate("named", TALK.replace("URL", f"wss://{LOOPBACK}:9443/ws"))
            assert seen == ["open", 1000]
            engine.stop()
    finally:
        public.loop.run(sites.stop())
    notes = [one for one in found_in(engine.capture) if one.id == "WS-TOOL-009"]
    assert len(notes) == 1
    assert any("loopback-network" in line for line in notes[0].evidence)


class _Answers:
    """A port that answers every connection with the same bytes, inside TLS where a context is given.

    A thread with a blocking socket, because asyncio drops the alert of a TLS handshake that fails.
    """

    def __init__(self, context: ssl.SSLContext | None, answer: bytes = FORBIDDEN) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._context, self._answer = context, answer
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> _Answers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:  # shut down
                return
            connection.settimeout(5)
            with suppress(OSError):
                if self._context:
                    connection = self._context.wrap_socket(connection, server_side=True)
                connection.recv(4096)
                connection.sendall(self._answer)
            connection.close()


def _servers(folder: Path, stack: ExitStack) -> dict[str, str]:
    """URLs by what is wrong with the server; the browser of `folder` trusts all its authorities but one."""
    database = folder / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certutil = ("certutil", "-d", f"sql:{database}")
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)

    def context(name: str, *, is_trusted: bool = True, **dates) -> ssl.SSLContext:
        chain, key, ca = dated_certificate(folder, name, **dates)
        if is_trusted and ca.exists():
            subprocess.run([*certutil, "-A", "-t", "C,,", "-n", name, "-i", ca], check=True)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(chain, key)
        return made

    def url(made: ssl.SSLContext | None, *answer: bytes, host: str = LOOPBACK, scheme: str = "wss") -> str:
        return f"{scheme}://{host}:{stack.enter_context(_Answers(made, *answer)).port}/ws"

    good = context("good")
    wants = context("wants")
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.load_verify_locations(folder / "wants.ca")
    odd = context("odd")
    odd.maximum_version = ssl.TLSVersion.TLSv1_2
    odd.set_ciphers("ECDHE-ECDSA-AES256-SHA384")
    return {
        "good": url(good),
        "long": url(context("long", end=900 * DAY)),
        "expired": url(context("expired", begin=-2 * DAY, end=-DAY)),
        "early": url(context("early", begin=DAY, end=2 * DAY)),
        "self-signed": url(context("self", is_signed=False)),
        "unknown issuer": url(context("unknown", is_trusted=False)),
        "other name": url(good, host="localhost"),
        "client certificate": url(wants),
        "no common cipher": url(odd),
        "plain port": url(None),
        "not HTTP": url(None, b"SSH-2.0-OpenSSH_9.2\r\n", scheme="ws"),
        "refused": f"ws://{LOOPBACK}:{free_port()}/ws",
        "page": url(good, PAGE),
        "no such name": "wss://no-such-name.invalid/ws",
    }


#: What is wrong with the server, the words in Chromium's console, and the rules that say them.
NAMES = [
    ("good", "Unexpected response code: 403", ()),
    # Chromium's limit on the days of a certificate is for public authorities alone.
    ("long", "Unexpected response code: 403", ()),
    ("expired", "net::ERR_CERT_DATE_INVALID", ("WS-TLS-010",)),
    ("early", "net::ERR_CERT_DATE_INVALID", ("WS-TLS-011",)),
    ("self-signed", "net::ERR_CERT_AUTHORITY_INVALID", ("WS-TLS-012",)),
    ("unknown issuer", "net::ERR_CERT_AUTHORITY_INVALID", ("WS-TLS-014",)),
    ("other name", "net::ERR_CERT_COMMON_NAME_INVALID", ("WS-TLS-013",)),
    ("client certificate", "WebSocket opening handshake was canceled", ("WS-TLS-015",)),
    ("no common cipher", "net::ERR_SSL_VERSION_OR_CIPHER_MISMATCH", ("WS-TLS-016",)),
    ("plain port", "net::ERR_SSL_PROTOCOL_ERROR", ("WS-TLS-017",)),
    ("not HTTP", "net::ERR_INVALID_HTTP_RESPONSE", ("WS-HS-041",)),
    ("refused", "net::ERR_CONNECTION_REFUSED", ("WS-HS-032",)),
    ("no such name", "net::ERR_NAME_NOT_RESOLVED", ("WS-HS-033",)),
]


@pytest.fixture(scope="module")
def strict(tmp_path_factory) -> Iterator[tuple[DevTools, dict[str, str]]]:
    """A Chromium as strict as a user's, on an https page, and the servers; three names are this machine."""
    folder = tmp_path_factory.mktemp("strict")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch, ThreadedLoop() as loop:
        patch.setenv("HOME", str(folder))  # NSS's database of authorities is there
        urls = _servers(folder, stack)
        rules = ", ".join(
            f"MAP {name} {LOOPBACK}" for name in ("192.168.7.7", "printer.local", "public.test")
        )
        with devtools(loop, f"--host-resolver-rules={rules}") as browser:
            browser.open("page", urls["page"].replace("wss", "https"))
            yield browser, urls


def test_chromium_says_the_names_that_the_findings_print(strict):
    browser, urls = strict
    said = {rule.id: rule.js for rule in all_rules()}
    wanted = [urls[name] for name, _, _ in NAMES]
    talk = TALK.replace('"URL"', "url")
    code = f"Promise.all({wanted}.map((url) => {talk}))"
    assert browser.evaluate("page", code) == [["error", 1006]] * len(wanted)
    console = browser.console("page")
    for name, words, rules in NAMES:
        [line] = [line for line in console if f"'{urls[name]}'" in line]
        assert words in line, name
        assert all(words in said[rule] for rule in rules), name


#: Chromium asks for credentials after 401 and 407, so it says something else of them.
STATUSES = (200, 204, 302, 304, 400, 401, 403, 404, 407, 421, 426, 429, 500, 502, 503, 504, 511, 520)


def test_the_console_says_of_each_status_what_its_finding_prints(strict):
    browser, _ = strict

    async def by_path(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = head.target.strip(b"/")
        writer.write(b"HTTP/1.1 %s Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    async def ask() -> list[str]:
        async with serving(by_path) as port:
            urls = [f"ws://{LOOPBACK}:{port}/{status}" for status in STATUSES]
            talk = TALK.replace('"URL"', "url")
            code = f"Promise.all({urls}.map((url) => {talk}))"
            seen = await asyncio.to_thread(browser.evaluate, "page", code)
            assert seen == [["error", 1006]] * len(urls)
            console = browser.console("page")
            return [next(line for line in console if f"'{url}'" in line) for url in urls]

    for status, line in zip(STATUSES, asyncio.run(ask()), strict=True):
        assert js_status(status).partition("Chrome's console: ")[2] in line, status


def _after(*data: bytes, **fields: str) -> Play:
    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(head, **fields))
        writer.writelines(data)
        await pongs(reader, writer)

    return play


def _made(change: Callable[[bytes], bytes]) -> Play:
    """A correct 101, changed."""
    return replies(lambda head: change(switching(head, Sec_WebSocket_Protocol="chat")))


def _again(name: bytes) -> Play:
    def change(answer: bytes) -> bytes:
        return answer[:-2] + next(one for one in answer.split(b"\r\n") if one.startswith(name)) + b"\r\n\r\n"

    return _made(change)


def _interim(line: bytes) -> Play:
    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line + b"\r\n\r\n" + switching(head, Sec_WebSocket_Protocol="chat"))
        await pongs(reader, writer)

    return play


DEFLATE_TWICE = "permessage-deflate, permessage-deflate"
CHAT = {"Sec_WebSocket_Protocol": "chat"}
#: What a server does, what Chromium's console says of it (None: it works), and what the doctor finds first.
REFUSED: dict[str, tuple[Play, str | None, str | None]] = {
    "good": (_made(lambda answer: answer), None, None),
    "Accept twice": (_again(b"Sec-WebSocket-Accept"), "must not appear more than once", "WS-HS-024"),
    "Upgrade twice": (_again(b"Upgrade"), "must not appear more than once", "WS-HS-025"),
    "Connection twice": (_again(b"Connection"), None, None),
    "Protocol twice": (_again(b"Sec-WebSocket-Protocol"), "must not appear more than once", "WS-HS-027"),
    "deflate twice": (
        _after(Sec_WebSocket_Extensions=DEFLATE_TWICE, **CHAT),
        "duplicate permessage-deflate",
        "WS-HS-028",
    ),
    "100": (_interim(b"HTTP/1.1 100 Continue"), "Unexpected response code: 100", "WS-HS-038"),
    "102": (_interim(b"HTTP/1.1 102 Processing"), "Unexpected response code: 102", "WS-HS-038"),
    "103": (_interim(b"HTTP/1.1 103 Early Hints"), "Unexpected response code: 103", "WS-HS-038"),
    "LF": (_made(lambda answer: answer.replace(b"\r\n", b"\n")), None, "WS-HS-059"),
    "folded": (_made(lambda answer: answer.replace(b"tion: ", b"tion:\r\n ")), None, "WS-HS-059"),
    "masked": (_after(b"\x81\x81\0\0\0\0x", **CHAT), "must not mask", "WS-FR-002"),
    "RSV": (_after(b"\xc1\x01x", **CHAT), "reserved bits are on", "WS-FR-003"),
    "opcode": (_after(b"\x83\x01x", **CHAT), "Unrecognized frame opcode", "WS-FR-004"),
    "fragmented ping": (_after(b"\x09\x01x", **CHAT), "Invalid frame header", "WS-FR-005"),
    "continuation": (_after(b"\x80\x01x", **CHAT), "unexpected continuation", "WS-FR-006"),
    "length": (_after(b"\x81\x7e\0\x01x", **CHAT), "Invalid frame header", "WS-FR-007"),
    "UTF-8": (_after(b"\x81\x02\xc3\x28", **CHAT), "Could not decode a text frame", "WS-MS-001"),
    "chunk": (_after(b"0\r\n\r\n", **CHAT), "reserved bits are on", "WS-HS-029"),
}
#: What Node's client refuses and Chromium takes: why the doctor calls it degraded.
NODE_REFUSES = ("LF", "folded")


def test_the_doctor_calls_failing_what_chromium_refuses(strict):
    """The same answers for Chromium, Node and the doctor."""
    browser, _ = strict
    names = list(REFUSED)

    async def by_path(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = head.target.strip(b"/").decode()
        if is_upgrade(head):
            await REFUSED[names[int(number)]][0](head, reader, writer)
        else:
            writer.write(FORBIDDEN)

    async def serve(work: Callable[[list[str]], Awaitable[Any]]) -> Any:
        async with serving(by_path) as port:
            return await work([f"ws://{LOOPBACK}:{port}/{number}" for number in range(len(names))])

    talk = TALK.replace('"URL"', 'url, "chat"').replace(
        "socket.close(1000)", "setTimeout(() => socket.close(1000), 200)"
    )
    seen: dict[str, list[Any]] = {}

    async def ask(urls: list[str]) -> list[Examination]:
        code = f"Promise.all({urls}.map((url) => {talk}))"
        seen["chromium"] = await asyncio.to_thread(browser.evaluate, "page", code)
        seen["console"] = [
            next((line for line in browser.console("page") if f"'{url}'" in line), "") for url in urls
        ]
        program = f"import WebSocket from 'ws'; console.log(JSON.stringify(await {code}))"
        node = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-e", program), cwd=NODE, stdout=subprocess.PIPE
        )
        seen["node"] = json.loads((await node.communicate())[0])
        extras = Extras(subprotocols=("chat",))
        return [await examined(url, extras) for url in urls]

    for name, found, chromium, line, node in zip(
        names, asyncio.run(serve(ask)), seen["chromium"], seen["console"], seen["node"], strict=True
    ):
        _, words, rule = REFUSED[name]
        first = next((one.id for one in found.judgement.findings if one.severity != "note"), None)
        assert first == rule, (name, found.judgement.headline)
        assert (chromium == ["open", 1000]) is (words is None), (name, chromium, line)
        assert (words or "") in line, (name, line)
        is_failing = found.judgement.verdict == "failing"
        assert is_failing is (words is not None), (name, found.judgement)
        if name in NODE_REFUSES or rule is None:
            assert (node == ["open", 1000]) is (rule is None), (name, node)


def test_mixed_content_is_what_the_rule_takes_for_it(strict):
    """The real browser and the rule agree on each URL: refused in the constructor, or tried."""
    browser, _ = strict
    port = free_port()
    hosts = ("192.168.7.7", "printer.local", "localhost", LOOPBACK, "public.test")
    urls = [f"{scheme}://{host}:{port}/ws" for scheme in ("ws", "http", "wss") for host in hosts]
    code = f"""{urls}.map((url) => {{
      try {{ new WebSocket(url); return true; }} catch (error) {{ return error.name; }}
    }})"""
    tried = dict(zip(urls, browser.evaluate("page", code), strict=True))
    refused = {url for url, outcome in tried.items() if outcome == "SecurityError"}
    assert refused == {f"ws://public.test:{port}/ws", f"http://public.test:{port}/ws"}
    assert {tried[url] for url in set(urls) - refused} == {True}
    for url in urls:
        page = {"url": "https://app.example.org/", "ws_urls": [url], "interest": "new WebSocket"}
        facts = capture(events=(("page", page),))
        assert ("WS-PAGE-003" in {one.id for one in diagnose_capture(facts)}) is (url in refused), url
