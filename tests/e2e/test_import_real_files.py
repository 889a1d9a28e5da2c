"""What other programs really write opens, and plays, like a capture that was recorded here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import websockets

import wsinspect
from tests.support import warm
from tests.support.apps import NODE
from tests.support.certs import make_certificates
from tests.support.engine import private_environment
from tests.support.h2_servers import hypercorn
from tests.support.har_browsers import chromes_har, firefoxs_har
from tests.support.replay_lab import serving
from tests.support.replay_peers import Server, echo
from tests.support.small_servers import Page, pages
from tests.support.tui_pilot import opened

pytestmark = pytest.mark.lab

PAGE = """<!doctype html><title>waiting</title><link rel="icon" href="data:,"><script>
const socket = new WebSocket("ws://127.0.0.1:%d/chat?room=7");
const seen = [];
socket.binaryType = "arraybuffer";
socket.onopen = () => {
  socket.send('{"op":"join","text":"\\u00fc"}');
  socket.send(new Uint8Array([0, 1, 255]));
};
socket.onmessage = ({ data }) => { if (seen.push(data) === 2) socket.close(1000, "bye"); };
socket.onclose = () => { document.title = "done"; };
</script>"""
SAID = [("c2s", 1), ("c2s", 2), ("s2c", 1), ("s2c", 2)]
DATA = {1: '{"op":"join","text":"ü"}'.encode(), 2: b"\x00\x01\xff"}


def by_browser(har: Any, folder: Path) -> Path:
    (folder / "profile").mkdir()
    with Server(echo) as server, pages(lambda _path: Page((PAGE % server.port).encode())) as port:
        url = f"http://127.0.0.1:{port}/"
        (folder / "made.har").write_text(json.dumps(har(url, folder / "profile")))
    return folder / "made.har"


async def talk(port: int, proxy: str) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{port}/chat?room=7", proxy=proxy) as client:
        await client.send(DATA[1].decode())
        await client.send(DATA[2])
        assert [await client.recv(), await client.recv()] == [DATA[1].decode(), DATA[2]]
        await client.close(1000, "bye")


def by_mitmproxy(name: str, folder: Path) -> Path:
    """What stock mitmproxy writes: a HAR, or its flow file."""
    option = ["--set", f"hardump={folder / name}"] if name.endswith("har") else ["-w", str(folder / name)]
    command = [str(Path(sys.executable).with_name("mitmdump")), "--listen-host", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(
        [*command, *option, "--set", f"confdir={folder}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "listening at" in line)
        proxy = "http://127.0.0.1:" + line.rpartition(":")[2].strip(" .\n")
        with Server(echo) as server:
            asyncio.run(talk(server.port, proxy))
    finally:
        process.terminate()
        process.communicate(timeout=20)
    return folder / name


def wsinspect_says(folder: Path, *args: str) -> tuple[int, str, str]:
    done = warm.run(args, folder=folder, environment=private_environment(folder), timeout=110)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


async def screen(path: Path) -> str:
    async with opened(path) as shown:
        await shown.press("enter")
        return shown.text()


SOURCES = {
    "chromium": lambda folder: by_browser(chromes_har, folder),
    "mitmproxy.har": lambda folder: by_mitmproxy("made.har", folder),
    "mitmproxy.flows": lambda folder: by_mitmproxy("made.flows", folder),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_with_messages_opens_and_plays(tmp_path, source):
    made = SOURCES[source](tmp_path)
    code, _, err = wsinspect_says(tmp_path, "import", str(made), "-o", "a.db")
    assert code == 0, err
    assert "1 connection" in err
    path = tmp_path / "a.db"
    code, out, _ = wsinspect_says(tmp_path, "show", "a.db", "--json")
    (one,) = json.loads(out)["connections"]
    assert (code, one["status"]) == (0, 101)
    assert one["url"].endswith("/chat?room=7")
    code, out, _ = wsinspect_says(tmp_path, "show", "a.db", "1", "--payload")
    assert code == 0
    assert "join" in out
    # A HAR does not say how a connection ended; nothing else is wrong with it.
    code, out, _ = wsinspect_says(tmp_path, "diagnose", str(made), "--json")
    assert code == 0
    assert [found["id"] for found in json.loads(out)["findings"] if found["severity"] == "error"] == []
    with wsinspect.open_capture(made) as capture:
        messages = list(capture.messages())
    assert sorted((message.direction.short, message.opcode) for message in messages) == SAID
    assert all(message.data == DATA[message.opcode] for message in messages)
    assert "join" in asyncio.run(screen(path))
    with Server(echo) as server:
        code, out, _ = wsinspect_says(tmp_path, "replay", "a.db", "--to", server.url, "--json")
    (report,) = json.loads(out)["connections"]
    assert (report["sent"], report["messages"]["equal"], report["divergences"]) == (2, 2, [])
    with serving(path) as player:
        asyncio.run(answered(f"{player.url}/chat?room=7"))
        _, events = player.finish()
    assert events[-2]["messages"]["equal"] == 2


PAGE2 = b"""<!doctype html><title>waiting</title><link rel="icon" href="data:,"><script>
const socket = new WebSocket("wss://" + location.host + "/chat?room=7");
socket.onopen = () => socket.send("hello");
socket.onclose = () => { document.title = "done"; };
</script>"""


def by_playwright(url: str, folder: Path) -> Any:
    made = folder / "playwright.har"
    subprocess.run(["node", "playwright_har.mjs", url, str(made)], cwd=NODE, check=True, timeout=60)
    return json.loads(made.read_text())


def by_devtools(url: str, folder: Path) -> Any:
    return chromes_har(url, folder, "--ignore-certificate-errors")


def test_a_browsers_websocket_over_http2_is_one(tmp_path):
    """DevTools and Playwright list an extended CONNECT as an upgrade of HTTP/1.1 without a key."""
    certificates = make_certificates(tmp_path / "certificates")
    with hypercorn(tmp_path / "server", certificates, PAGE2) as server:
        url = f"https://localhost:{server.port}/"
        for name, make in (("devtools", by_devtools), ("playwright", by_playwright)):
            folder = tmp_path / name
            folder.mkdir()
            made = folder / "made.har"
            made.write_text(json.dumps(make(url, folder)))
            with wsinspect.open_capture(made) as capture:
                (one,) = capture.connections()
                said = [(message.direction.short, message.data) for message in capture.messages()]
            assert (name, one.http_version, one.status) == (name, "HTTP/2.0", 200)
            assert said == [("c2s", b"hello"), ("s2c", b"got hello")]
            code, out, _ = wsinspect_says(folder, "diagnose", str(made), "--json")
            assert (code, json.loads(out)["findings"]) == (0, [])


async def answered(url: str) -> None:
    async with websockets.connect(url) as client:
        await client.send(DATA[1].decode())
        await client.send(DATA[2])
        assert [await client.recv(), await client.recv()] == [DATA[1].decode(), DATA[2]]
        await client.close(1000, "bye")


def test_firefoxs_file_has_the_handshake_and_says_so(tmp_path):
    made = by_browser(firefoxs_har, tmp_path)
    code, _, err = wsinspect_says(tmp_path, "import", str(made), "-o", "a.db")
    assert code == 0, err
    assert "without messages (Firefox exports none)" in err
    code, out, _ = wsinspect_says(tmp_path, "show", "a.db", "1", "--json")
    one = json.loads(out)
    assert (code, one["connection"]["status"], one["connection"]["extensions"]) == (0, 101, None)
    assert wsinspect_says(tmp_path, "diagnose", "a.db")[0] in (0, 1)
    assert "/chat" in asyncio.run(screen(tmp_path / "a.db"))
    with Server(echo) as server:
        code, out, _ = wsinspect_says(tmp_path, "replay", "a.db", "--to", server.url, "--json")
    assert json.loads(out)["connections"][0]["divergences"] == []
