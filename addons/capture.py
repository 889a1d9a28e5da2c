"""Record every WebSocket into a capture that `wsinspect show` reads.

Run it with stock mitmproxy: mitmdump -s capture.py --set wsinspect_capture=chat.db
Without the option the capture goes to wsinspect's own place and its name to the log. It installs
wsinspect's relay seams and says so: from then on WebSockets pass through unchanged, byte for byte, and
mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from wsinspect.errors import WsinspectError
from wsinspect.launch.paths import new_capture_path
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.recording import Recording
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.taps import Taps

logger = logging.getLogger("wsinspect")


class Capture:
    """A recording that lasts as long as mitmproxy runs."""

    recording: Recording | None = None

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
        self.log = AttemptLog(
            recording.journal,
            recording.clock.now_ns,
            Taps(()),
            recording.first_connection,
            recording.when_unblocked,
        )
        RelayLayer.make_link = self.log.make_link
        changes = ["stock mitmproxy with its own addons"]
        recording.begin({"run_file": None, "snaplen": None, "taps": [], "changes": changes})
        self.recording = recording
        ctx.master.addons.add(self.log)
        logger.info(
            "wsinspect: relay seams installed, WebSockets are relayed byte for byte; recording to %s", path
        )

    async def done(self) -> None:
        """End what is open and let the recorder finish."""
        if self.recording:
            self.log.shut_down()
            await self.recording.finish()


addons = [Capture()]
