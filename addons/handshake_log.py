"""Log the opening handshakes of WebSockets with the headers of both sides, refused ones too.

Run it with stock mitmproxy: mitmdump -s handshake_log.py --mode reverse:http://localhost:3000
It installs wsinspect's relay seams and says so: from then on WebSockets pass through unchanged, byte for
byte, and mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from mitmproxy.addonmanager import Loader

from wsinspect.handshake.heads import RawHead
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.taps import Taps
from wsinspect.text import escape_bytes

PARTS = (
    "request from the client",
    "request to the server",
    "response from the server",
    "response to the client",
    "informational response",
)
EVENTS = {"open": "open", "refused": "refused", "failed": "failed", "end": "ended"}
logger = logging.getLogger("wsinspect")


class HandshakeLog(AttemptLog):
    """Writes what `AttemptLog` sees to mitmproxy's log; it is its own sink."""

    is_full = False

    def __init__(self) -> None:
        super().__init__(self, time.time_ns, Taps(()))

    def load(self, loader: Loader) -> None:
        """Put the seams in place."""
        seams.install()
        RelayLayer.make_link = self.make_link
        logger.info(
            "wsinspect: relay seams installed, WebSockets are relayed byte for byte; logging handshakes"
        )

    def head(self, connection: int, part: int, raw: bytes, time_ns: int, sent_after_ns: int = 0) -> None:
        """One head, a line each for the start line and the fields."""
        head = RawHead.parse(raw)
        lines = [head.start_line, *(field.raw.strip() for field in head.fields)]
        text = "\n".join(f"    {escape_bytes(line)}" for line in lines)
        logger.info("websocket %d: %s\n%s", connection, PARTS[part], text)

    def event(self, connection: int, obj: dict[str, Any], time_ns: int) -> None:
        """How the attempt went on."""
        if obj["event"] in EVENTS:
            facts = ", ".join(
                f"{key} {value}" for key, value in obj.items() if key != "event" and value is not None
            )
            text = escape_bytes(facts.encode("utf-8", "surrogateescape"))
            logger.info("websocket %d: %s %s", connection, EVENTS[obj["event"]], text)

    def body(self, connection: int, chunk: bytes, time_ns: int) -> None:
        """The beginning of the body of a refusal."""
        logger.info("websocket %d: body of the refusal: %s", connection, escape_bytes(chunk[:500]))

    def data(
        self, connection: int, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int = 0
    ) -> None:
        """Frames are not logged."""


addons = [HandshakeLog()]
