"""A headless Firefox by Marionette, its own remote protocol: pages, scripts in them, the browser's console.

Marionette is JSON with its length in front, on a port of loopback. The console is read from the browser's
own service (`nsIConsoleService`): WebDriver passes on what scripts log, not what the browser says of sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.small_servers import free_port

#: Firefox's own traffic is off, as far as preferences can.
_PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "dom.push.connection.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
}
_CONSOLE = "return Services.console.getMessageArray().map((one) => one.errorMessage || one.message)"


def firefox_program() -> str | None:
    """The Firefox on this machine."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Marionette:
    """A Firefox with a throw-away profile in `folder`; leaving its block ends all its processes.

    Args:
        accepts_certificates: any, without a page that asks.
        proxy: the port of the forward proxy that it uses, for loopback too.
    """

    def __init__(self, folder: Path, *, accepts_certificates: bool = False, proxy: int | None = None) -> None:
        program = firefox_program()
        assert program is not None, "Firefox is missing: make test-deps"
        port = free_port()
        profile = folder / "profile"
        profile.mkdir(parents=True)
        wanted: dict[str, str | int] = {**_PREFERENCES, "marionette.port": port}
        if proxy is not None:
            wanted |= {"network.proxy.type": 1, "network.proxy.allow_hijacking_localhost": True}
            for scheme in ("http", "ssl"):
                wanted |= {f"network.proxy.{scheme}": "127.0.0.1", f"network.proxy.{scheme}_port": proxy}
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items())
        (profile / "user.js").write_text("\n".join(lines))
        options = ["--headless", "--marionette", "--remote-allow-system-access", "--no-remote"]
        self._process = subprocess.Popen(
            [program, *options, "--profile", str(profile), "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
            start_new_session=True,
        )
        self._number = 0
        try:
            self._socket = self._connected(port)
            self._received()
            self._ask("WebDriver:NewSession", acceptInsecureCerts=accepts_certificates)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Marionette:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self.close()

    def close(self) -> None:
        """End it: its processes are a group of their own."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._ask("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script gives to its last argument, a function."""
        asked = {"script": script, "args": list(arguments), "scriptTimeout": 60_000}
        return self._ask("WebDriver:ExecuteAsyncScript", **asked)["value"]

    def console(self) -> list[str]:
        """All that the browser's console has, of all pages."""
        self._ask("Marionette:SetContext", value="chrome")
        found = self._ask("WebDriver:ExecuteScript", script=_CONSOLE, args=[])["value"]
        self._ask("Marionette:SetContext", value="content")
        return [str(one) for one in found]

    def _connected(self, port: int) -> socket.socket:
        deadline = time.monotonic() + 60
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=60)
            except OSError:
                # Firefox does not report when it starts to listen.
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def _ask(self, name: str, **parameters: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
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
            more = self._socket.recv(count - len(data))
            if not more:
                raise EOFError("Firefox has ended")
            data += more
        return data
