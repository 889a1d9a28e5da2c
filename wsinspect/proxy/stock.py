"""The addons of the scripts in addons/: our relay, recording and faults inside a stock mitmproxy.

Each script is one of these addons; it installs the seams when it is loaded, and says so in mitmproxy's log.
An error that is logged while mitmproxy starts ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from wsinspect.capture import queries
from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.faults.board import Board
from wsinspect.faults.scenario import load_file
from wsinspect.faults.spec import parse_spec
from wsinspect.findings.model import Finding
from wsinspect.handshake.heads import RawHead
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.faulting import FaultController
from wsinspect.proxy.faulting_handshakes import HandshakeFaults
from wsinspect.proxy.nearby import RequestLog
from wsinspect.proxy.pages import PageWatch
from wsinspect.proxy.recording import Recording
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.seams.next_layer import install_next_layer
from wsinspect.proxy.taps import Taps
from wsinspect.text import escape, escape_bytes
from wsinspect.vocabulary import EventKind, events

logger = logging.getLogger("wsinspect")
#: How often the newest findings are looked for.
LOOK_SECONDS: Final = 0.5
_LEVELS: Final = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}
INSTALLED = "wsinspect: relay seams installed, WebSockets are relayed byte for byte"


def relay_through(log: AttemptLog) -> None:
    """Have every WebSocket of this mitmproxy relayed by us and written to `log`."""
    RelayLayer.make_link = log.make_link
    install_next_layer(ctx.master, log.connections)


class StockRecording:
    """An addon that records into a capture for as long as mitmproxy runs.

    Args:
        new_path: where to record to when the option names no file.
    """

    recording: Recording | None = None

    def __init__(self, new_path: Callable[[], Path]) -> None:
        self._new_path = new_path

    def load(self, loader: Loader) -> None:
        """mitmproxy's hook: add the option and put the seams in place."""
        loader.add_option("wsinspect_capture", str, "", "The file to record WebSockets to; must not exist.")
        seams.install()

    def running(self) -> None:
        """mitmproxy's hook: begin to record."""
        name = ctx.options.wsinspect_capture
        try:
            path = Path(name).absolute() if name else self._new_path()
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
        relay_through(self.log)
        recording.begin(changes=["stock mitmproxy with its own addons"])
        self.recording = recording
        ctx.master.addons.add(self.log, RequestLog(recording.journal, recording.clock.now_ns))
        self.begun(recording)

    def begun(self, recording: Recording) -> None:
        """For the script: the recording has begun."""
        logger.info("%s; recording to %s", INSTALLED, recording.capture)

    async def done(self) -> None:
        """mitmproxy's hook: end what is open and let the recorder finish."""
        if self.recording:
            self.log.shut_down()
            await self.recording.finish()


class StockFindings(StockRecording):
    """A recording, and a look at what its recorder has found: findings go to mitmproxy's log."""

    def __init__(self, new_path: Callable[[], Path]) -> None:
        super().__init__(new_path)
        self._printed = 0
        self._task: asyncio.Task[None] | None = None

    def begun(self, recording: Recording) -> None:
        ctx.master.addons.add(PageWatch(recording.journal, recording.clock.now_ns))
        self._task = asyncio.get_running_loop().create_task(self._follow(recording.capture))
        logger.info("%s; looking for faults", INSTALLED)

    async def done(self) -> None:
        """mitmproxy's hook: let the recorder finish, and say what it found last."""
        if self._task:
            self._task.cancel()
        await super().done()
        if self.recording:
            self._look(self.recording.capture)

    async def _follow(self, path: Path) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look(path)

    def _look(self, path: Path) -> None:
        try:
            with Capture.open(path) as capture:
                rows = queries.findings(capture, self._printed)
        except WsinspectError as error:
            logger.warning("wsinspect: %s", error)
            return
        for number, detail in rows:
            self._printed = number
            _print(json.loads(detail))


def _print(detail: dict[str, Any]) -> None:
    """One finding, with its evidence and the first fix."""
    finding = Finding.from_json(detail)
    where = f"websocket {finding.connection}: " if finding.connection is not None else ""
    hop = f" [{escape(finding.hop)}]" if finding.hop else ""
    lines = [f"{where}{finding.id} {escape(finding.title)}{hop}"]
    lines += [f"    {escape(line)}" for line in finding.evidence]
    lines += [f"    fix: {escape(line)}" for fix in finding.fixes[:1] for line in fix.text.splitlines()]
    logger.log(_LEVELS[finding.severity], "\n".join(lines))


class FaultLedger:
    """Reports every fault to mitmproxy's log that acted; nothing else is kept."""

    is_full = False

    def event(self, connection: int, event: events.Event, time_ns: int) -> None:
        """Faults are logged, all else is not."""
        if isinstance(event, events.Fault):
            logger.info("websocket %d: fault %s (%s) %s", connection, event.rule, event.kind, event.detail)

    def head(self, connection: int, part: int, raw: bytes, time_ns: int, sent_after_ns: int = 0) -> None:
        """Heads are not logged."""

    def body(self, connection: int, chunk: bytes, time_ns: int) -> None:
        """Bodies are not logged."""

    def data(
        self, connection: int, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int = 0
    ) -> None:
        """Frames are not logged."""


class StockFaults:
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
                board.load(load_file(Path(ctx.options.wsinspect_faults)), ctx.options.wsinspect_faults)
            for spec in filter(str.strip, ctx.options.wsinspect_fault.split(";")):
                board.add(board.unique(parse_spec(spec)), "wsinspect_fault")
        except WsinspectError as error:
            logger.error("wsinspect: %s", error)
            return
        controller = FaultController(board, time.time_ns)
        log = AttemptLog(FaultLedger(), time.time_ns, Taps(()), controller=controller)
        relay_through(log)
        handshake_faults = HandshakeFaults(controller, log)
        ctx.master.addons.add(log, handshake_faults)
        handshake_faults.start()
        names = ", ".join(board.order) or "none"
        logger.info("%s; faults: %s", INSTALLED, names)


_PARTS = (
    "request from the client",
    "request to the server",
    "response from the server",
    "response to the client",
    "informational response",
)
_EVENTS = {
    EventKind.OPEN: "open",
    EventKind.REFUSED: "refused",
    EventKind.FAILED: "failed",
    EventKind.END: "ended",
}


class HandshakeLog(AttemptLog):
    """Writes what `AttemptLog` sees to mitmproxy's log; it is its own sink."""

    is_full = False

    def __init__(self) -> None:
        super().__init__(self, time.time_ns, Taps(()))

    def load(self, loader: Loader) -> None:
        """Put the seams in place."""
        seams.install()
        relay_through(self)
        logger.info("%s; logging handshakes", INSTALLED)

    def head(self, connection: int, part: int, raw: bytes, time_ns: int, sent_after_ns: int = 0) -> None:
        """One head, a line each for the start line and the fields."""
        head = RawHead.parse(raw)
        lines = [head.start_line, *(field.raw.strip() for field in head.fields)]
        text = "\n".join(f"    {escape_bytes(line)}" for line in lines)
        logger.info("websocket %d: %s\n%s", connection, _PARTS[part], text)

    def event(self, connection: int, event: events.Event, time_ns: int) -> None:
        """How the attempt went on."""
        if event.KIND in _EVENTS:
            found = event.as_json()
            facts = ", ".join(
                f"{key} {value}" for key, value in found.items() if key != "event" and value is not None
            )
            text = escape_bytes(facts.encode("utf-8", "surrogateescape"))
            logger.info("websocket %d: %s %s", connection, _EVENTS[event.KIND], text)

    def body(self, connection: int, chunk: bytes, time_ns: int) -> None:
        """The beginning of the body of a refusal."""
        logger.info("websocket %d: body of the refusal: %s", connection, escape_bytes(chunk[:500]))

    def data(
        self, connection: int, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int = 0
    ) -> None:
        """Frames are not logged."""


__all__ = ["HandshakeLog", "StockFaults", "StockFindings", "StockRecording"]
