"""`wsinspect browser` as a subprocess with a home and a temporary folder of its own, and what it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from websockets.asyncio.client import connect

from tests.support import warm_command
from tests.support.engine import private_environment
from tests.support.page_server import PageServer
from tests.support.short_folder import ShortFolder

T = TypeVar("T")
_SECONDS = 40.0


class BrowserRun:
    """One run; `home` is also the home of an engine that it finds or starts."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self._folder = ShortFolder()
        self.temporary = self._folder.path
        self.log = home / "browser-run.log"
        variables = {**private_environment(home), "TMPDIR": str(self.temporary), **environment}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(warm_command.program()), "browser", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def wait(self, timeout: float = _SECONDS) -> int:
        return self.process.wait(timeout)

    def signal(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.wait()

    def profile(self) -> Path:
        """The throw-away profile, once it is there."""
        return wait_for(lambda: next(self.temporary.glob("wsinspect-browser-*/profile"), None))

    def told(self, pages: PageServer, mark: str) -> dict[str, str]:
        """What the page with this mark was told, unless the run has ended before."""
        wait_for(lambda: self.process.poll() is not None or pages.find(mark) or None)
        answer = pages.find(mark)
        assert answer, self.said
        return {name: value for name, value in answer.items() if name != "search"}

    def close_chromium(self) -> None:
        """Close the browser as a user does; it was started with --remote-debugging-port=0."""
        file = self.profile() / "DevToolsActivePort"
        lines = wait_for(lambda: file.read_text().split() if file.exists() and file.read_text() else None)
        asyncio.run(_close(f"ws://127.0.0.1:{lines[0]}{lines[1]}"))

    def close_firefox(self) -> None:
        """Close the browser by WebDriver BiDi; it was started with --remote-debugging-port=0."""
        file = self.profile() / "WebDriverBiDiServer.json"
        place = wait_for(lambda: json.loads(file.read_text() or "null") if file.exists() else None)
        asyncio.run(_close_firefox(f"ws://{place['ws_host']}:{place['ws_port']}/session"))

    def leftovers(self) -> list[str]:
        """Profiles, run files, and processes whose environment or command line names our home."""
        found = [str(path) for path in self.temporary.iterdir()]
        found += [str(path) for path in (self.home / "runtime").rglob("*.json")]
        return found + [f"{pid}: {words}" for pid, words in _processes(str(self.home))]

    def __enter__(self) -> BrowserRun:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end()
        finally:
            self._folder.remove()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


async def _close(url: str) -> None:
    async with connect(url, proxy=None, max_size=None) as devtools:
        await devtools.send(json.dumps({"id": 1, "method": "Browser.close"}))
        await devtools.recv()


async def _close_firefox(url: str) -> None:
    async with connect(url, proxy=None, max_size=None) as driver:
        for number, method in enumerate(("session.new", "browser.close")):
            params: dict[str, object] = {"capabilities": {}} if method == "session.new" else {}
            await driver.send(json.dumps({"id": number, "method": method, "params": params}))
            await driver.recv()


def _processes(marker: str) -> list[tuple[int, str]]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) == os.getpid():
            continue
        try:
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            variables = (place / "environ").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if words and (marker in words or marker in variables):
            found.append((int(place.name), words))
    return found


def wait_for(fact: Callable[[], T | None], timeout: float = _SECONDS) -> T:
    """What `fact` gives once it gives something."""
    deadline = time.monotonic() + timeout
    while (value := fact()) is None:
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value
