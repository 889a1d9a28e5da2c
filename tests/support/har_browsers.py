"""HAR files as browsers export them: DevTools' own exporter in Chromium, the network monitor's in Firefox.

Both are asked through their debugging protocols, for neither exports from a command line. In Chromium a
second page is the DevTools front-end of the first, and builds the file that its Export button would save.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import websockets

from tests.support.short_folder import ShortFolder

PATIENCE_S = 40.0
LOOPBACK = "127.0.0.1"
_EXPORT = """(async () => {
  const har = await import("/devtools/models/har/har.js");
  const logs = await import("/devtools/models/logs/logs.js");
  const requests = logs.NetworkLog.NetworkLog.instance().requests();
  const log = await (har.Log.Log || har.HARLog.Log).build(requests, { sanitize: false });
  return JSON.stringify({ log });
})()"""
#: A page that is done, once the events that led there have reached DevTools.
_DONE = """new Promise((resolve) => {
  const look = () => setTimeout(document.title === "done" ? resolve : look, 300);
  look();
})"""
_FIREFOX = """
const done = arguments[arguments.length - 1];
(async () => {
  const { require } = ChromeUtils.importESModule("resource://devtools/shared/loader/Loader.sys.mjs");
  const { gDevTools } = require("devtools/client/framework/devtools");
  const window = Services.wm.getMostRecentWindow("navigator:browser");
  const tab = window.gBrowser.selectedTab;
  const toolbox = await gDevTools.showToolboxForTab(tab, { toolId: "netmonitor" });
  // The monitor sees what a page does from the moment at which it is attached: else once more.
  for (let turn = 0; ; turn++) {
    if (turn % 20 === 0) tab.linkedBrowser.reload();
    await new Promise((resolve) => window.setTimeout(resolve, 150));
    const log = await toolbox.getHARFromNetMonitor();
    const socket = log.entries.find((one) => /^ws/.test(one.request.url));
    if (socket && socket.response.status === 101) return done(JSON.stringify({ log }));
  }
})().catch((error) => done("error: " + error));
"""
_PREFERENCES = {
    "marionette.port": 0,
    "devtools.netmonitor.persistlog": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.enabled": False,
}


@contextmanager
def _browser(command: list[str], folder: Path) -> Iterator[None]:
    """A browser with a home of its own; all its processes end with it."""
    temporary = ShortFolder()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HOME": str(folder), "TMPDIR": str(temporary.path)},
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        temporary.remove()


def _port(path: Path) -> int:
    """The first line of a file that a browser writes when it listens."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if path.is_file() and (text := path.read_text().split("\n")[0]).isdigit():
            return int(text)
        time.sleep(0.05)
    raise TimeoutError(path)


def chromes_har(url: str, folder: Path, *arguments: str) -> Any:
    """What DevTools export of a page, once its title is `done`; `arguments` are Chromium's."""
    command = [os.environ.get("CHROMIUM", "/usr/bin/chromium"), "--headless=new", "--no-sandbox"]
    command += ["--disable-gpu", "--remote-debugging-port=0", "--remote-allow-origins=*"]
    with _browser([*command, *arguments, f"--user-data-dir={folder}", "about:blank"], folder):
        port = _port(folder / "DevToolsActivePort")
        return json.loads(asyncio.run(_ask_devtools(f"{LOOPBACK}:{port}", url)))


async def _ask_devtools(place: str, url: str) -> str:
    page = await asyncio.to_thread(_new_page, place, "about:blank")
    front = f"http://{place}/devtools/devtools_app.html?ws={place}/devtools/page/{page['id']}&panel=network"
    export = await asyncio.to_thread(_new_page, place, front)
    async with (
        asyncio.timeout(PATIENCE_S),
        websockets.connect(page["webSocketDebuggerUrl"], max_size=None) as shown,
        websockets.connect(export["webSocketDebuggerUrl"], max_size=None) as devtools,
    ):
        while True:
            await _ask(shown, "Page.navigate", url=url)
            await _evaluate(shown, _DONE)
            found = await _evaluate(devtools, _EXPORT)
            # DevTools see what a page does from the moment at which they know of it: else once more.
            if found is not None and '"receive"' in found:
                return str(found)


def _new_page(place: str, url: str) -> Any:
    request = urllib.request.Request(
        f"http://{place}/json/new?{urllib.parse.quote(url, safe='')}", method="PUT"
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


async def _ask(session: Any, method: str, **parameters: Any) -> Any:
    await session.send(json.dumps({"id": 1, "method": method, "params": parameters}))
    while (answer := json.loads(await session.recv())).get("id") != 1:
        pass
    return answer


async def _evaluate(session: Any, code: str) -> Any:
    answer = await _ask(session, "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
    return answer.get("result", {}).get("result", {}).get("value")


def firefoxs_har(url: str, folder: Path) -> Any:
    """What the network monitor exports of a page, once its title is `done`."""
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
    (folder / "user.js").write_text("\n".join(lines))
    command = [
        os.environ.get("FIREFOX", "firefox-esr"),
        "--headless",
        "--no-remote",
        "--profile",
        str(folder),
    ]
    with _browser([*command, "--marionette", "-remote-allow-system-access", "about:blank"], folder):
        place = (LOOPBACK, _port(folder / "MarionetteActivePort"))
        with socket.create_connection(place, PATIENCE_S) as raw, raw.makefile("rb") as answers:
            marionette = _Marionette(raw, answers)
            marionette.ask("WebDriver:NewSession", {})
            marionette.ask("WebDriver:Navigate", {"url": url})
            marionette.ask("WebDriver:SetTimeouts", {"script": int(PATIENCE_S * 1000)})
            marionette.ask("Marionette:SetContext", {"value": "chrome"})
            script = {"args": [], "script": _FIREFOX}
            return json.loads(marionette.ask("WebDriver:ExecuteAsyncScript", script)["value"])


class _Marionette:
    """Firefox's own remote protocol: `LENGTH:[type, id, ...]`."""

    def __init__(self, raw: socket.socket, answers: BinaryIO) -> None:
        self._raw = raw
        self._file = answers
        self._read()  # its greeting

    def ask(self, command: str, parameters: dict[str, Any]) -> Any:
        """The result of a command."""
        text = json.dumps([0, 1, command, parameters]).encode()
        self._raw.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self._read()
        if error is not None:
            raise AssertionError(error["message"])
        return result

    def _read(self) -> Any:
        length = b""
        while (byte := self._file.read(1)) != b":":
            length += byte
        return json.loads(self._file.read(int(length)))
