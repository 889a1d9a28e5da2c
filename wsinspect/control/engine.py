"""What the control API needs of the engine that it controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from wsinspect.faults.board import Board
from wsinspect.faults.held import Decision, Held
from wsinspect.faults.scenario import Scenario


class ConnectionGoneError(Exception):
    """There is no such connection open."""


class ControlledEngine(Protocol):
    """A running engine; all methods belong to its event loop's thread."""

    @property
    def board(self) -> Board: ...

    @property
    def capture(self) -> Path: ...

    def status(self) -> dict[str, Any]:
        """Version, process, listeners, open connections."""

    def is_open(self, connection: int) -> bool:
        """Whether a connection can be acted on."""

    def close(self, connection: int, *, to: str, code: int, reason: str) -> None:
        """Begin a closing handshake.

        Raises:
            ConnectionGoneError: it is not open.
        """

    def abort(self, connection: int, *, to: str, how: str) -> None:
        """End without a close frame.

        Raises:
            ConnectionGoneError: it is not open.
        """

    def inject(
        self, connection: int, *, direction: str, opcode: str, payload: bytes, raw: bytes | None
    ) -> None:
        """Send a frame of ours.

        Raises:
            ConnectionGoneError: it is not open.
        """

    def held(self) -> list[Held]:
        """The messages and handshakes that breakpoints hold."""

    def now_ns(self) -> int:
        """The time that `held` counts in."""

    def decide(self, name: str, decision: Decision) -> bool:
        """Do with something held what was decided; False where nothing has that name.

        Raises:
            FaultError: the decision cannot be carried out.
        """

    def pass_all(self) -> int:
        """Let everything pass that is held; how many messages and handshakes."""

    def load(self, scenario: Scenario, source: str) -> None:
        """Replace all rules with a scenario; `source` is who wants it."""

    async def rules_in_effect(self) -> None:
        """Return when the rules as they are now act on all that is open, or can be expected not to."""

    def unwritten_bytes(self) -> int:
        """Bytes of the journal that are still in memory."""

    def shut_down(self) -> None:
        """Begin to end the engine; returns before it has ended."""
