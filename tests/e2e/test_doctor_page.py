"""`doctor` with a page's URL: Chromium opens it, and each of its WebSockets is asked, or why none."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm
from tests.support.certs import make_certificates
from tests.support.doctor_lab import LOOPBACK, http, is_upgrade, pongs, serving, switching
from tests.support.engine import ROOT, private_environment
from tests.support.public_page import PUBLIC
from wsinspect.handshake.heads import RawHead

OWN = "location.origin.replace('http', 'ws')"
OPEN = f"new WebSocket({OWN} + '/ws?token=abc')"
PAGES = {
    "/works": f"<script>{OPEN}</script>",
    "/three": f"<script>new WebSocket({OWN} + '/origin-ws'); new WebSocket({OWN} + '/ws', ['chat']);"
    f" new WebSocket({OWN} + '/broken')</script>",
    "/ticket": "<script>new WebSocket(location.origin.replace('http', 'ws') + '/once?ticket=1')</script>",
    "/two": f"<script>{OPEN}; new WebSocket(location.origin.replace('http', 'ws') + '/none')</script>",
    "/frame": '<iframe src="/works"></iframe>',
    "/throws": f"<script>const state = document.getElementById('state').value; {OPEN}</script>",
    "/missing": f'<script src="/none.js"></script><script>const later = () => {OPEN}</script>',
    "/never": f"<script>let socket = 'left over'; const open = () => socket || {OPEN}; open()</script>",
    "/polling": """<script>
const url = "/socket.io/?EIO=4&transport=polling";
const poll = () => fetch(url).then(() => setTimeout(poll, 200));
poll(); const io = () => 0; io();
</script>""",
    "/late": f"<script>setTimeout(() => new WebSocket({OWN} + '/slow'), 5500)</script>",
    "/port": "<script>new WebSocket('ws://localhost:6000/ws')</script>",
    "/many": f"<script>for (let n = 0; n < 300; n++) new WebSocket({OWN} + '/ws?' + n)</script>",
    "/last": f"<script>for (const at of [1, 2, 3]) new WebSocket({OWN} + `/ws?${{at}}`);"
    f" new WebSocket({OWN} + `/none`)</script>",
    "/invalid": f"<script>{OPEN}; new WebSocket({OWN} + '/ws', ['a b'])</script>",
    "/plain": "<p>hello</p>",
    "/mixed": "<script>try { new WebSocket('ws://chat.test/ws') } catch (e) { console.log(e) }</script>",
}
POLICIES = {"/csp": "connect-src 'none'", "/fine": "connect-src 'self'", "/half": "connect-src 'self'"}
PAGES |= {path: PAGES["/works"] for path in POLICIES}
PAGES["/half"] += "<script>new WebSocket('ws://elsewhere.test/ws')</script>"

#: Page, the findings about it, those of each of its WebSockets (notes aside), verdict.
CASES = {
    "/fine": ([], [[]], "healthy"),
    "/frame": ([], [[]], "healthy"),
    # A 101 that the browser does not take, and frames that it does not take, are no tickets for one time.
    "/three": ([], [["WS-HS-050"], ["WS-HS-026"], ["WS-FR-003"]], "failing"),
    "/ticket": ([], [["WS-HS-010"]], "healthy"),
    "/two": ([], [[], ["WS-HS-011"]], "failing"),
    "/throws": (["WS-PAGE-007"], [], "failing"),
    "/missing": (["WS-PAGE-005"], [], "degraded"),
    "/never": (["WS-PAGE-001"], [], "degraded"),
    "/polling": (["WS-PAGE-004"], [], "degraded"),
    "/csp": (["WS-PAGE-002"], [], "failing"),
    "/late": ([], [[]], "healthy"),
    # What the browser itself refuses is said, also next to WebSockets that open.
    "/port": (["WS-PAGE-010"], [["WS-HS-032"]], "failing"),
    "/many": (["WS-PAGE-011"], [[], [], []], "failing"),
    "/half": (["WS-PAGE-002"], [[]], "failing"),
    "/invalid": (["WS-PAGE-007"], [[]], "failing"),
    "/last": ([], [[], [], ["WS-HS-011"]], "failing"),
    "/plain": ([], [], "degraded"),
    "/gone": ([], [], "degraded"),
    # Servers that answer an ordinary GET with what a WebSocket server says are asked as that.
    "/socket": ([], [[]], "healthy"),
    "/closed": ([], [["WS-HS-010"]], "failing"),
}


def site():
    """The pages, and WebSockets of each kind."""
    is_used = False

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal is_used
        path = head.target.decode().partition("?")[0]
        if path == "/once" and is_upgrade(head) and not is_used:
            is_used, path = True, "/ws"
        if path == "/origin-ws" and head.get("origin") is None:
            path = "/ws"
        if path == "/slow" and is_upgrade(head):
            await asyncio.sleep(1)
            path = "/ws"
        if path == "/broken" and is_upgrade(head):
            writer.write(switching(head) + b"\xc1\x01a")
            await pongs(reader, writer)
        elif path == "/ws" and is_upgrade(head):
            writer.write(switching(head))
            await pongs(reader, writer)
        elif path in ("/socket", "/closed") and not is_upgrade(head):
            writer.write(http("400 Bad Request", b'Can "Upgrade" only to "WebSocket".', Connection="close"))
        elif path == "/socket":
            writer.write(switching(head))
            await pongs(reader, writer)
        elif path in ("/origin-ws", "/once", "/closed"):
            writer.write(http("403 Forbidden", b"ticket already used" if path == "/once" else b""))
        elif path == "/socket.io/":
            body = b'0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'
            writer.write(http("200 OK", body, Content_Type="text/plain"))
        elif path in PAGES:
            body = b"<!doctype html><link rel=icon href='data:,'>" + PAGES[path].encode()
            more: dict[str, Any] = {"Content_Security_Policy": POLICIES[path]} if path in POLICIES else {}
            writer.write(http("200 OK", body, Content_Type="text/html", Connection="close", **more))
        else:
            writer.write(http("404 Not Found", b"nothing here", Connection="close"))

    return play


async def doctor(
    folder: Path, url: str, *options: str, path: str | None = None
) -> tuple[int, dict[str, Any], str]:
    """Exit code, the object of --json, stderr."""
    environment = private_environment(folder)
    if path is not None:
        environment["PATH"] = path
    words = ["doctor", url, "--json", "--wait", "4s", *options]
    done = await asyncio.to_thread(warm.run, words, folder=folder, environment=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def ids(content: dict[str, Any]) -> list[str]:
    return [one["id"] for one in content["findings"] if one["severity"] != "note"]


async def asked(folder: Path, paths: Sequence[str]) -> dict[str, tuple[int, dict[str, Any], str]]:
    """Some pages at a time, each with a home of its own."""
    found: dict[str, tuple[int, dict[str, Any], str]] = {}
    async with serving(site()) as port:
        turns = asyncio.Semaphore(3)

        async def one(path: str) -> None:
            async with turns:
                home = folder / path.strip("/")
                found[path] = await doctor(home, f"http://{LOOPBACK}:{port}{path}")

        await asyncio.gather(*map(one, paths))
    return found


@pytest.mark.lab
@pytest.mark.timeout(400)
def test_each_page(tmp_path):
    for path, (code, told, err) in asyncio.run(asked(tmp_path, list(CASES))).items():
        of_page, of_sockets, verdict = CASES[path]
        said = (path, told, err)
        assert ids(told) == of_page, said
        assert [ids(one) for one in told["attempts"]] == of_sockets, said
        assert told["verdict"] == verdict, said
        assert code == (1 if verdict == "failing" else 0), said
        assert told["browser"] == (None if path in ("/socket", "/closed") else "chromium")
        if path == "/socket":
            assert "a WebSocket server answers there, not a page" in told["notes"][0]
        if path == "/gone":
            assert told["headline"].startswith("The page's own answer is 404, and it tried no WebSocket")
        if path == "/ticket":
            assert "one time" in told["notes"][0]
        if path == "/throws":
            assert "TypeError" in told["headline"]
        if path == "/two":
            assert any("404" in one["text"] for one in told["console"])


@pytest.mark.lab
def test_mixed_content_and_a_cookie_on_a_page_by_tls(tmp_path):
    certificates = make_certificates(tmp_path / "certs")
    seen: list[bytes | None] = []
    play = site()

    async def noting(head, reader, writer) -> None:
        if head.target == b"/mixed":
            seen.append(head.get("cookie"))
        await play(head, reader, writer)

    async def run() -> tuple[int, dict[str, Any], str]:
        async with serving(noting, certificates.server_context()) as port:
            options = ("--ca", str(certificates.ca), "--cookie", "session=abc")
            return await doctor(tmp_path, f"https://localhost:{port}/mixed", *options)

    code, told, err = asyncio.run(run())
    assert (code, ids(told)) == (1, ["WS-PAGE-003"]), (told, err)
    assert any(line.startswith("console: ") for line in told["findings"][0]["evidence"])
    assert seen[-1] == b"session=abc"


def at_a_public_address(folder: Path, scheme: str, host: str) -> tuple[int, dict[str, Any]]:
    """Exit code and object of the doctor on a page at a public address whose WebSocket is at `host`."""
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.support.public_page", str(folder), scheme, host],
        capture_output=True,
        text=True,
        env=private_environment(folder),
        cwd=ROOT,
        check=False,
        timeout=100,
    )
    if "not permitted" in done.stderr:
        pytest.skip("a network namespace needs root")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["code"], found["told"]


@pytest.mark.lab
@pytest.mark.parametrize(
    ("scheme", "host", "of_page", "of_socket", "verdict"),
    [
        ("https", LOOPBACK, [("WS-PAGE-008", "warning")], [("WS-PAGE-009", "warning")], "degraded"),
        ("http", LOOPBACK, [("WS-PAGE-008", "error")], [("WS-PAGE-009", "error")], "failing"),
        ("https", PUBLIC, [], [], "healthy"),
    ],
)
def test_local_network_access_is_asked_of_the_browser(tmp_path, scheme, host, of_page, of_socket, verdict):
    """Through our proxy the WebSocket opens; without it Chromium wants a permission that nobody gives."""
    code, told = at_a_public_address(tmp_path, scheme, host)

    def serious(content: dict[str, Any]) -> list[tuple[str, str]]:
        return [(one["id"], one["severity"]) for one in content["findings"] if one["severity"] != "note"]

    assert serious(told) == of_page, told
    assert [serious(one) for one in told["attempts"]] == [of_socket], told
    assert (told["verdict"], code) == (verdict, 1 if verdict == "failing" else 0)
    assert [one["opened_by_page"] for one in told["attempts"]] == [True]
    if of_page:
        evidence = " ".join(told["findings"][0]["evidence"])
        assert "net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS" in evidence
        assert "Local Network Access" in told["headline"]


def without_browser(folder: Path) -> str:
    """A PATH with this Python alone."""
    place = folder / "bin"
    place.mkdir(parents=True)
    python = shutil.which("python3") or sys.executable
    (place / "python3").symlink_to(python)
    return str(place)


def test_without_a_browser_the_page_is_read(tmp_path):
    path = without_browser(tmp_path)

    async def run() -> tuple[tuple[int, dict[str, Any], str], ...]:
        async with serving(site()) as port:
            PAGES["/named"] = (
                f"<script src='/app.js'></script><script>new WebSocket('ws://{LOOPBACK}:{port}/none')</script>"
            )
            PAGES["/app.js"] = f"new WebSocket('ws://{LOOPBACK}:{port}/ws')"
            url = f"http://{LOOPBACK}:{port}"
            return tuple(
                [await doctor(tmp_path, f"{url}{one}", path=path) for one in ("/named", "/plain", "/csp")]
            )

    named, plain, csp = asyncio.run(run())
    assert named[0] == 1
    assert "not opened" in named[2]
    assert named[1]["browser"] is None
    assert [ids(one) for one in named[1]["attempts"]] == [["WS-HS-011"], []]
    assert (plain[0], ids(plain[1]), plain[1]["verdict"]) == (0, [], "degraded")
    assert "only a browser" in plain[1]["headline"]
    assert ids(csp[1]) == ["WS-PAGE-002"]


def test_a_page_that_cannot_be_reached(tmp_path):
    code, told, _ = asyncio.run(doctor(tmp_path, f"http://{LOOPBACK}:1/"))
    assert code == 1
    assert told["verdict"] == "unreachable"
    assert len(told["attempts"]) == 1
    certificates = make_certificates(tmp_path / "certs")

    async def untrusted() -> tuple[int, dict[str, Any], str]:
        async with serving(site(), certificates.server_context()) as port:
            return await doctor(tmp_path, f"https://localhost:{port}/works")

    code, told, _ = asyncio.run(untrusted())
    assert code == 1
    assert ids(told["attempts"][0])[0].startswith("WS-TLS-")


@pytest.mark.lab
def test_an_interrupt_leaves_nothing_behind(tmp_path):
    """Browser, proxy and profile are gone; the fixture of all tests fails on what is left."""

    async def run() -> int:
        is_open = asyncio.Event()
        play = site()

        async def noting(head, reader, writer) -> None:
            if "Chrome" in (head.get("user-agent") or b"").decode():
                is_open.set()
            await play(head, reader, writer)

        async with serving(noting) as port:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "wsinspect",
                    "doctor",
                    f"http://{LOOPBACK}:{port}/plain",
                    "--wait",
                    "60s",
                ),
                env=private_environment(tmp_path),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            await is_open.wait()
            process.send_signal(2)
            await process.communicate()
            return process.returncode or 0

    assert asyncio.run(run()) == 130
