"""Break WebSockets on purpose: the rules of a wsinspect scenario, applied by stock mitmproxy.

Run it with stock mitmproxy: mitmdump -s faults.py --set wsinspect_faults=outage.yaml
or with rules on the command line: --set wsinspect_fault='latency:s2c,latency=300ms' (semicolons between
several). It installs wsinspect's relay seams and says so: from then on WebSockets pass through unchanged,
byte for byte, but for the faults, and mitmproxy collects no messages of them.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from wsinspect.errors import WsinspectError
from wsinspect.faults.board import Board
from wsinspect.faults.scenario import load_file
from wsinspect.faults.spec import parse_spec
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.faulting import FaultController
from wsinspect.proxy.faulting_handshakes import HandshakeFaults
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.taps import Taps

logger = logging.getLogger("wsinspect")


class Ledger:
    """Tells mitmproxy's log of every fault that acted; nothing else is kept."""

    is_full = False

    def event(self, connection: int, obj: dict[str, Any], time_ns: int) -> None:
        """Faults are logged, all else is not."""
        if obj["event"] == "fault":
            logger.info("websocket %d: fault %s (%s) %s", connection, obj["rule"], obj["kind"], obj["detail"])

    def head(self, connection: int, part: int, raw: bytes, time_ns: int, sent_after_ns: int = 0) -> None:
        """Heads are not logged."""

    def body(self, connection: int, chunk: bytes, time_ns: int) -> None:
        """Nor are bodies."""

    def data(
        self, connection: int, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int = 0
    ) -> None:
        """Nor frames."""


class Faults:
    """The rules of a scenario, for as long as mitmproxy runs."""

    def load(self, loader: Loader) -> None:
        """Add the options and put the seams in place."""
        loader.add_option("wsinspect_faults", str, "", "A wsinspect scenario file.")
        loader.add_option(
            "wsinspect_fault", str, "", "Rules as `wsinspect run --fault` has them, with ';' between."
        )
        loader.add_option("wsinspect_seed", int, 0, "The seed of all decisions.")
        seams.install()

    def running(self) -> None:
        """Arm the rules; an error that is logged now ends mitmproxy."""
        board = Board(ctx.options.wsinspect_seed)
        try:
            if ctx.options.wsinspect_faults:
                board.load(load_file(Path(ctx.options.wsinspect_faults)))
            for spec in filter(str.strip, ctx.options.wsinspect_fault.split(";")):
                board.add(board.unique(parse_spec(spec)))
        except WsinspectError as error:
            logger.error("wsinspect: %s", error)
            return
        controller = FaultController(board, time.time_ns)
        log = AttemptLog(Ledger(), time.time_ns, Taps(()), controller=controller)
        RelayLayer.make_link = log.make_link
        handshake_faults = HandshakeFaults(controller, log)
        ctx.master.addons.add(log, handshake_faults)
        handshake_faults.start()
        names = ", ".join(board.order) or "none"
        logger.info(
            "wsinspect: relay seams installed, WebSockets are relayed byte for byte; faults: %s", names
        )


addons = [Faults()]
