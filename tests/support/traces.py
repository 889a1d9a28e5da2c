"""A packet trace as a capture, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.packets import Wire
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.formats.importing import PacketOptions, import_file
from wsinspect.wire.opcodes import Direction


class Imported:
    """What became of a trace.

    Attributes:
        path: the capture.
        notes: what import said.
        connections: as they were read.
    """

    def __init__(
        self,
        folder: Path,
        wire: Wire | bytes,
        *,
        taps: Mapping[str, str] | None = None,
        key_log: Path | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        trace = folder / "trace.pcapng"
        trace.write_bytes(wire if isinstance(wire, bytes) else wire.pcapng())
        self.path = folder / "trace.db"
        options = PacketOptions(taps=taps or {}, key_log=key_log)
        self.notes = [*import_file(trace, self.path, packets=options).lines()]
        with Capture.open(self.path) as capture:
            self.connections: list[Connection] = capture.connections()

    def texts(self, number: int = 1) -> list[tuple[str, bytes]]:
        """Direction and payload of the frames of a connection."""
        return self._read(
            lambda capture: [(one.direction.short, one.payload) for one in capture.frames(number)]
        )

    def opaque(self, number: int = 1) -> list[tuple[Direction, bytes, str | None]]:
        """Bytes that are no frames."""
        return self._read(
            lambda capture: [(one.direction, one.data, one.reason) for one in capture.opaque(number)]
        )

    def ends(self, number: int = 1) -> list[tuple[str, str]]:
        """Side and how of each end of a transport."""
        return self._read(
            lambda capture: [
                (one.detail["side"], one.detail["how"]) for one in capture.events(number) if one.kind == "end"
            ]
        )

    def handshake(self, number: int = 1) -> Any:
        """The handshake of a connection."""
        return self._read(lambda capture: capture.handshake(number))

    def _read(self, ask: Callable[[Capture], Any]) -> Any:
        with Capture.open(self.path) as capture:
            return ask(capture)
