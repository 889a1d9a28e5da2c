"""A page over https with a WebSocket over wss, in Chromium with the engine as its proxy.

The capture is compared frame by frame with Chromium's DevTools, and for every way in which a connection can
end onclose's code, reason and wasClean are those that the page sees without the proxy.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.app_capture import Recording, engine_before, recording, recordings
from tests.support.app_lab import AppLab, Way
from tests.support.apps import Outcome
from tests.support.certs import make_certificates
from tests.support.devtools import DevTools, devtools, differences, of
from tests.support.endings import server_endings
from tests.support.engine import Engine
from tests.support.origin import Origin
from tests.support.talk_server import TalkServer
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab

#: A page has no way to drop a connection without a closing handshake.
ENDINGS = [ending for ending in server_endings() if ending.name != "client-terminates"]

TALK = """
new Promise((resolve) => {
  const say = (socket) => [
    "", "€ 🙂", "x".repeat(125), "x".repeat(126), "y".repeat(65535), "z".repeat(65536),
    "again ".repeat(60000), new Uint8Array(0), new Uint8Array(256).map((_, i) => i),
    new Uint8Array(300000).map((_, i) => i * i),
    'cmd:{"do": "fragments", "parts": ["one ", "", "two ", "€"]}',
    'cmd:{"do": "ping", "payload": "are you there?"}',
    'cmd:{"do": "ping", "payload": ""}',
    "last",
  ];
  const socket = new WebSocket(URL_OF_SOCKET);
  socket.binaryType = "arraybuffer";
  const steps = say(socket);
  const seen = { received: 0, extensions: "" };
  const next = () => (steps.length ? socket.send(steps.shift()) : CLOSE);
  socket.onopen = () => { seen.extensions = socket.extensions; next(); };
  socket.onmessage = () => { seen.received += 1; next(); };
  socket.onclose = ({ code, reason, wasClean }) => resolve({ ...seen, code, reason, wasClean });
})
"""
CLOSES = {
    "page": ("socket.close(3210, 'the page €')", [3210, "the page €"]),
    "page-empty": ("socket.close()", [1005, ""]),
    "server": (
        """socket.send('cmd:{"do": "close", "code": 4321, "reason": "the server €"}')""",
        [4321, "the server €"],
    ),
}


@contextmanager
def talking(loop: ThreadedLoop, context: ssl.SSLContext, compression: str | None) -> Iterator[TalkServer]:
    server = TalkServer()
    loop.run(server.start(context, compression))
    try:
        yield server
    finally:
        loop.run(server.stop())


class Lab:
    """A browser, an engine, and what is behind it."""

    def __init__(
        self, loop: ThreadedLoop, browser: DevTools, engine: Engine, context: ssl.SSLContext
    ) -> None:
        self.loop, self.browser, self.engine, self.context = loop, browser, engine, context

    def pages(self, url: str) -> dict[int | None, str]:
        """One page without a proxy and one through it, by the proxy's port."""
        proxy = self.engine.port("regular")
        names = {None: f"direct {url}", proxy: f"through {url}"}
        for port, name in names.items():
            self.browser.open(name, url, proxy=port)
        return names


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("https")
    context = make_certificates(folder / "certs").server_context()
    with ThreadedLoop() as loop, engine_before(folder) as engine, devtools(loop) as browser:
        yield Lab(loop, browser, engine, context)
        assert engine.stderr == ""


@pytest.mark.parametrize("compression", ["deflate", None])
def test_frame_by_frame(lab, compression):
    with talking(lab.loop, lab.context, compression) as server:
        page = lab.pages(f"https://127.0.0.1:{server.port}/")[lab.engine.port("regular")]
        for name, (code, close) in CLOSES.items():
            path = f"/talk/{compression}/{name}?"
            url = f"wss://127.0.0.1:{server.port}{path}"
            talk = TALK.replace("URL_OF_SOCKET", repr(url)).replace("CLOSE", code)
            told = lab.browser.evaluate(page, talk)
            kept, account = recording(lab.engine, path), server.accounts[path]
            (socket,) = [one for one in lab.browser.sockets(page) if one["url"] == url]
            assert differences(socket, kept) == []
            check_account(kept, account, told)
            assert [told["code"], told["reason"]] == close
            check_heads(socket, kept)


def check_account(kept: Recording, account: dict[str, Any], told: dict[str, Any]) -> None:
    assert kept.faults == []
    assert kept.c2s.messages == account["received"]
    assert kept.s2c.messages == account["sent"]
    assert len(kept.s2c.messages) == told["received"]
    assert kept.s2c.pings == kept.c2s.pongs == [b"are you there?", b""]
    assert account["pings"] == 2
    # Four frames of the server's are one message to DevTools.
    assert max(kind[2] for kind in kept.s2c.kinds) >= 4
    assert (kept.connection.js_code, kept.connection.js_was_clean) == (told["code"], told["wasClean"])
    assert account["close"] == [told["code"], told["reason"]]
    assert (kept.connection.extensions or "").startswith(told["extensions"])
    assert kept.connection.scheme == "wss"


def check_heads(socket: dict[str, Any], kept: Recording) -> None:
    """The heads that DevTools show are those of the capture."""
    ((shown,),) = of(socket, "request")
    headers = kept.request_headers()
    assert {name: headers.get(name.lower()) for name in shown} == shown
    ((status, _),) = of(socket, "response")
    assert status == kept.connection.status == 101


async def _converse_everywhere(lab: Lab, apps: AppLab, pages: dict[int | None, str]) -> dict[str, list[str]]:
    async def converse(url: str, proxy: int | None) -> Outcome:
        return await lab.browser.app.ask(do="converse", page=pages[proxy], url=url)

    port = apps.origin.tls_port
    through = Way("through", port, True, proxy=lab.engine.port("regular"))
    return await apps.failures(ENDINGS, converse, Way("direct", port, True), through)


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


def test_every_ending(lab):
    """What the page sees is the same; DevTools and the capture agree on each of them."""
    origin = lab.loop.run(_open(lab.context))
    try:
        with talking(lab.loop, lab.context, None) as server:
            pages = lab.pages(f"https://127.0.0.1:{server.port}/")
            apps = AppLab(origin)
            assert lab.loop.run(_converse_everywhere(lab, apps, pages), 90) == {}
            told = apps.told["through"]
            assert len(told) == len(ENDINGS)
            sockets = {one["url"]: one for one in lab.browser.sockets(pages[lab.engine.port("regular")])}
            kept = {one.connection.url: one for one in recordings(lab.engine, "/case/", count=len(told))}
            wrong = {url: check_ending(sockets[url], one, told) for url, one in kept.items()}
            assert {url: what for url, what in wrong.items() if what} == {}
    finally:
        lab.loop.run(origin.__aexit__())


def check_ending(socket: dict[str, Any], kept: Recording, told: dict[str, Outcome]) -> list[str]:
    """Sentences about what DevTools, the capture and the page say differently of one ending."""
    outcome = told[socket["url"].rpartition("/")[2]]
    accepted = kept.connection.state == "closed" and not kept.handshake.problems
    found = differences(socket, kept) if accepted else []
    if not accepted and (of(socket, "received") or outcome["opened"]):
        found.append("opened, although the handshake failed")
    if (kept.connection.js_code, kept.connection.js_was_clean) != (outcome["code"], outcome["wasClean"]):
        found.append(f"the capture says {kept.connection.js_code}, the page was told {outcome}")
    # DevTools show an error for what the capture calls a violation, unless it is one that Chromium tolerates.
    evidence = [fault for fault in kept.faults if "unfinished" not in fault]
    is_broken = not outcome["wasClean"] and (bool(evidence) or not accepted)
    if bool(of(socket, "error")) is not is_broken:
        found.append(f"DevTools' error {of(socket, 'error')}, the capture's evidence {kept.faults}")
    return found
