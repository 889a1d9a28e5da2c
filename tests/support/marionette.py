"""A headless Firefox by Marionette, its own remote protocol: pages, scripts in them, the browser's console.

Marionette is JSON with its length in front, on a port of loopback that Firefox chooses and writes into its
profile once it listens. The console is read from the browser's
own service (`nsIConsoleService`): WebDriver passes on what scripts log, not what the browser says of sockets.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.small_servers import LOOPBACK

#: How long one start may take, on a machine that is busy; there are two.
_START_SECONDS = 50.0
#: How long any answer may take.
_ANSWER_SECONDS = 100.0
#: Firefox's own traffic is off, as far as preferences can.
_PREFERENCES: dict[str, str | int] = {
    "marionette.port": 0,
    "browser.shell.checkDefaultBrowser": False,
    "dom.push.connection.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
}
_OPTIONS = ("--headless", "--marionette", "--remote-allow-system-access", "--no-remote")
_SCHEME = "Services.prefs.setIntPref('layout.css.prefers-color-scheme.content-override', arguments[0])"
#: Firefox makes no window narrower.
_NARROWEST = 500
_WIDTH = "document.defaultView.gBrowser.selectedBrowser.style.maxWidth = arguments[0] + 'px'"
#: Keys that are no characters, as WebDriver has them.
KEYS = {
    "Tab": "\ue004", "Enter": "\ue007", "Space": " ", "End": "\ue010", "Home": "\ue011",
    "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
}  # fmt: skip
_CONSOLE = "return Services.console.getMessageArray().map((one) => one.errorMessage || one.message)"


def firefox_program() -> str | None:
    """The Firefox on this machine."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Marionette:
    """A Firefox with a throw-away profile in `folder`; leaving its block ends all its processes.

    A start that hangs, or ends, is made once more.

    Args:
        accepts_certificates: any, without a page that asks.
        proxy: the port of the forward proxy that it uses, for loopback too.

    Raises:
        TimeoutError: it did not listen in time; or ChildProcessError: it ended.
    """

    def __init__(self, folder: Path, *, accepts_certificates: bool = False, proxy: int | None = None) -> None:
        program = firefox_program()
        assert program is not None, "Firefox is missing: make test-deps"
        wanted = dict(_PREFERENCES)
        if proxy is not None:
            wanted |= {"network.proxy.type": 1, "network.proxy.allow_hijacking_localhost": True}
            for scheme in ("http", "ssl"):
                wanted |= {f"network.proxy.{scheme}": LOOPBACK, f"network.proxy.{scheme}_port": proxy}
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items())
        self._command = [program, *_OPTIONS]
        self._preferences = "\n".join(lines)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._number = 0
        try:
            self._start(folder / "profile")
        except (TimeoutError, ChildProcessError, ConnectionError):
            self.close()
            self._start(folder / "second profile")
        try:
            self._received()
            self._ask("WebDriver:NewSession", acceptInsecureCerts=accepts_certificates)
        except BaseException:
            self.close()
            raise

    def _start(self, profile: Path) -> None:
        """A process that listens, and the connection to it; else neither is left."""
        profile.mkdir(parents=True)
        (profile / "user.js").write_text(self._preferences)
        self._process = process = subprocess.Popen(
            [*self._command, "--profile", str(profile), "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._folder), "TMPDIR": str(self._folder)},
            start_new_session=True,
        )
        try:
            self._socket = socket.create_connection((LOOPBACK, self._port(process, profile)), _ANSWER_SECONDS)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _port(process: subprocess.Popen[bytes], profile: Path) -> int:
        """Where it listens."""
        place = profile / "MarionetteActivePort"
        deadline = time.monotonic() + _START_SECONDS
        while not (place.is_file() and (text := place.read_text().partition("\n")[0]).isdigit()):
            if (code := process.poll()) is not None:
                raise ChildProcessError(f"Firefox ended with {code}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"Firefox does not listen after {_START_SECONDS:.0f} s")
            time.sleep(0.05)
        return int(text)

    def __enter__(self) -> Marionette:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up and end it: its processes are a group of their own. Again: no harm."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended, and all of its processes with it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._ask("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script gives to its last argument, a function."""
        asked = {"script": script, "args": list(arguments), "scriptTimeout": 60_000}
        return self._ask("WebDriver:ExecuteAsyncScript", **asked)["value"]

    def look(self, *, width: int, scheme: str) -> None:
        """From now on: how wide the page is, and which colours pages are asked for."""
        wanted = {"dark": 0, "light": 1}[scheme]
        self._ask("Marionette:SetContext", value="chrome")
        self._ask("WebDriver:ExecuteScript", script=_SCHEME, args=[wanted])
        # A window is not made narrower than this: the page in it is.
        self._ask("WebDriver:ExecuteScript", script=_WIDTH, args=[width])
        self._ask("Marionette:SetContext", value="content")
        self._ask("WebDriver:SetWindowRect", width=max(width, _NARROWEST), height=800)

    def press(self, *keys: str) -> None:
        """Keys one after the other, to whatever has the focus: characters, or names in `KEYS`."""
        steps: list[dict[str, str]] = []
        for key in keys:
            value = KEYS.get(key, key)
            steps += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        actions = [{"type": "key", "id": "keyboard", "actions": steps}]
        self._ask("WebDriver:PerformActions", actions=actions)

    def printed(self) -> bytes:
        """The page as Firefox prints it on A4: a PDF."""
        page = {"width": 21.0, "height": 29.7}
        found = self._ask("WebDriver:Print", page=page, background=False)["value"]
        return base64.b64decode(found)

    def picture(self) -> bytes:
        """What the window shows: a PNG."""
        return base64.b64decode(self._ask("WebDriver:TakeScreenshot", full=False)["value"])

    def console(self) -> list[str]:
        """All that the browser's console has, of all pages."""
        self._ask("Marionette:SetContext", value="chrome")
        found = self._ask("WebDriver:ExecuteScript", script=_CONSOLE, args=[])["value"]
        self._ask("Marionette:SetContext", value="content")
        return [str(one) for one in found]

    @property
    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise EOFError("Firefox was ended")
        return self._socket

    def _ask(self, name: str, **parameters: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._received()
        assert error is None, error
        return result

    def _received(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._bytes(1)
        return json.loads(self._bytes(int(length[:-1])))

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            if not more:
                raise EOFError("Firefox has ended")
            data += more
        return data
