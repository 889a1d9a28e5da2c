"""Print what wsinspect finds wrong with WebSockets: stripped Upgrade fields, downgrades, drops, close codes.

Run it with stock mitmproxy: mitmdump -s findings.py --mode reverse:http://localhost:3000
Findings go to mitmproxy's log, and with everything else into a capture (--set wsinspect_capture=chat.db, else
in wsinspect's own place), which `wsinspect diagnose` reads. It installs wsinspect's relay seams and says so:
from then on WebSockets pass through unchanged, byte for byte, and mitmproxy collects no messages of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.findings.model import Finding
from wsinspect.launch.paths import new_capture_path
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.pages import PageWatch
from wsinspect.proxy.recording import Recording
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.taps import Taps
from wsinspect.text import escape

LOOK_SECONDS = 0.5
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}
logger = logging.getLogger("wsinspect")


class Findings:
    """A recording that lasts as long as mitmproxy runs, and a look at what its recorder has found."""

    recording: Recording | None = None

    def __init__(self) -> None:
        self._told = 0
        self._task: asyncio.Task[None] | None = None

    def load(self, loader: Loader) -> None:
        """Add the option and put the seams in place."""
        loader.add_option("wsinspect_capture", str, "", "The file to record WebSockets to; must not exist.")
        seams.install()

    def running(self) -> None:
        """Begin to record; an error that is logged now ends mitmproxy."""
        name = ctx.options.wsinspect_capture
        try:
            path = Path(name).absolute() if name else new_capture_path()
            recording = Recording(path, warn=lambda line: logger.warning("wsinspect: %s", line))
        except WsinspectError as error:
            logger.error("wsinspect: %s", error)
            return
        now_ns = recording.clock.now_ns
        self.log = AttemptLog(
            recording.journal, now_ns, Taps(()), recording.first_connection, recording.when_unblocked
        )
        RelayLayer.make_link = self.log.make_link
        changes = ["stock mitmproxy with its own addons"]
        recording.begin({"run_file": None, "snaplen": None, "taps": [], "changes": changes})
        self.recording = recording
        ctx.master.addons.add(self.log, PageWatch(recording.journal, now_ns))
        self._task = asyncio.get_running_loop().create_task(self._follow(path))
        logger.info(
            "wsinspect: relay seams installed, WebSockets are relayed byte for byte; looking for faults"
        )

    async def done(self) -> None:
        """End what is open, let the recorder finish, and say what it found last."""
        if self._task:
            self._task.cancel()
        if self.recording:
            self.log.shut_down()
            await self.recording.finish()
            self._look(self.recording.capture)

    async def _follow(self, path: Path) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look(path)

    def _look(self, path: Path) -> None:
        try:
            with Capture.open(path) as capture:
                rows = capture.query("SELECT id, detail FROM finding WHERE id > ? ORDER BY id", (self._told,))
        except WsinspectError as error:
            logger.warning("wsinspect: %s", error)
            return
        for number, detail in rows:
            self._told = number
            tell(json.loads(detail))


def tell(detail: dict[str, Any]) -> None:
    """One finding, with its evidence and the first fix."""
    finding = Finding.from_json(detail)
    where = f"websocket {finding.connection}: " if finding.connection is not None else ""
    hop = f" [{escape(finding.hop)}]" if finding.hop else ""
    lines = [f"{where}{finding.id} {escape(finding.title)}{hop}"]
    lines += [f"    {escape(line)}" for line in finding.evidence]
    lines += [f"    fix: {escape(line)}" for fix in finding.fixes[:1] for line in fix.text.splitlines()]
    logger.log(LEVELS[finding.severity], "\n".join(lines))


addons = [Findings()]
