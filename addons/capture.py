"""Record every WebSocket into a capture that `wsinspect show` reads.

Run it with stock mitmproxy: mitmdump -s capture.py --set wsinspect_capture=chat.db
Without the option the capture goes to wsinspect's own place and its name to the log. It installs
wsinspect's relay seams and says so: from then on WebSockets pass through unchanged, byte for byte, and
mitmproxy collects no messages of them.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from mitmproxy import ctx, version
from mitmproxy.addonmanager import Loader

import wsinspect
from wsinspect.capture.journal import JournalWriter
from wsinspect.capture.prepare import prepare_capture
from wsinspect.errors import WsinspectError
from wsinspect.launch.paths import new_capture_path
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.clock import Clock
from wsinspect.proxy.recording import Narration, Recorder
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.taps import Taps

logger = logging.getLogger("wsinspect")


class Capture:
    """Journal and recorder while mitmproxy runs; `AttemptLog` writes to them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.waiting: list[Callable[[], None]] = []
        self.recorder: Recorder | None = None

    def load(self, loader: Loader) -> None:
        """Add the option and put the seams in place."""
        loader.add_option("wsinspect_capture", str, "", "The file to record WebSockets to; must not exist.")
        seams.install()

    def running(self) -> None:
        """Begin to record; an error that is logged now ends mitmproxy."""
        path = ctx.options.wsinspect_capture
        try:
            self.start(Path(path).absolute() if path else new_capture_path())
        except WsinspectError as error:
            logger.error("wsinspect: %s", error)

    def start(self, path: Path) -> None:
        """Journal, recorder and the addon that feeds them."""
        prepared = prepare_capture(path, append=False)
        self.loop = asyncio.get_running_loop()
        self.journal = JournalWriter(
            prepared.journal,
            first_segment=prepared.first_segment,
            on_unstored=lambda size, reason: self.later(self.warn, f"cannot store what is seen ({reason})"),
            on_drained=lambda: self.later(self.drained),
        )
        self.log = AttemptLog(
            self.journal, self.clock.now_ns, Taps(()), prepared.first_connection, self.waiting.append
        )
        RelayLayer.make_link = self.log.make_link
        self.describe()
        self.recorder = Recorder(prepared.path, self.journal, Narration(), self.warn)
        self.recorder.start()
        ctx.master.addons.add(self.log)
        logger.info(
            "wsinspect: relay seams installed, WebSockets are relayed byte for byte; recording to %s", path
        )

    def describe(self) -> None:
        """The record that tells the capture who wrote it."""
        versions = {
            "wsinspect": wsinspect.__version__,
            "mitmproxy": version.VERSION,
            "python": platform.python_version(),
        }
        facts = {
            "event": "engine",
            "versions": versions,
            "argv": sys.argv,
            "run_file": None,
            "snaplen": None,
            "taps": [],
        }
        anchors = {"anchor_wall_ns": self.clock.anchor_wall_ns, "anchor_mono_ns": self.clock.anchor_mono_ns}
        self.journal.event(
            0, {**facts, **anchors, "changes": ["stock mitmproxy with its own addons"]}, self.clock.now_ns()
        )

    def later(self, callback: Callable[..., None], *args: object) -> None:
        """Call it in the loop's thread; the journal writes in its own."""
        self.loop.call_soon_threadsafe(callback, *args)

    def warn(self, line: str) -> None:
        """One line for the user."""
        logger.warning("wsinspect: %s", line)

    def drained(self) -> None:
        """The journal takes records again."""
        waiting, self.waiting[:] = list(self.waiting), []
        for callback in waiting:
            callback()

    async def done(self) -> None:
        """End what is open and let the recorder finish."""
        if self.recorder is None:
            return
        for attempt in list(self.log.open.values()):
            if attempt.link:
                attempt.link.shut_down()
        self.journal.event(0, {"event": "engine_stop"}, self.clock.now_ns())
        await asyncio.to_thread(self.journal.close)
        await self.recorder.finish(asyncio.Event())


addons = [Capture()]
